-- A request carries what it did to the instrument along with it, so that the top of the book need not be looked up again at its end.

alter type internal.outcome
    add attribute market internal.market, add attribute top_known boolean, add attribute published boolean;
comment on type internal.outcome is
    'What became of an order: its status, when, the prices it printed in their order, the quantity printed, whether the book or the stops changed, the instrument as it is now, whether its top is known or must be read again, and whether all that has been shown.';
