-- What a request needs to know of an instrument lies in the row that it locks, and a request carries it along to its end.

alter table internal.books
    add column symbol varchar(20), add column currency varchar(3), add column is_active boolean, add column tick_size numeric(10, 4),
    add column lot_size numeric(10, 2);
comment on column internal.books.is_active is
    'As in instruments, kept up by a trigger, like symbol, currency, tick_size and lot_size: a request that has waited for this row sees a halt of the meantime.';
update internal.books b
set symbol = i.symbol, currency = i.currency, is_active = coalesce(i.is_active, true), tick_size = nullif(i.tick_size, 0), lot_size = nullif(i.lot_size, 0)
from instruments i
where i.instrument_id = b.instrument_id;

create or replace function internal.open_book() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into internal.books as b (instrument_id, symbol, currency, is_active, tick_size, lot_size)
    values (new.instrument_id, new.symbol, new.currency, coalesce(new.is_active, true), nullif(new.tick_size, 0), nullif(new.lot_size, 0))
    on conflict (instrument_id) do update
    set symbol = excluded.symbol, currency = excluded.currency, is_active = excluded.is_active, tick_size = excluded.tick_size, lot_size = excluded.lot_size;
    return null;
end;
$$;
drop trigger instruments_open_book on instruments;
create trigger instruments_open_book after insert or update on instruments for each row execute function internal.open_book();

-- What a request did to the instrument.
alter type internal.outcome
    add attribute market internal.market, add attribute top_known boolean, add attribute published boolean;
comment on type internal.outcome is
    'What became of an order: its status, when, the prices it printed in their order, the quantity printed, whether the book or the stops changed; the instrument as it is now, whether its top is known or must be read again, and whether all that has been shown.';

-- What a batch finds when it has all its locks.
create type internal.stand as (
    instruments bigint[], markets internal.market[], requesters bigint[], accounts bigint[], orders orders[], heads integer[], ends integer[],
    next_prices numeric[], next_sizes numeric[], stops integer[]
);
comment on type internal.stand is
    'The instruments of a batch in id order; the accounts that send orders, and all that are locked; the orders that these can meet, side by side (2k - 1 the bids, 2k the asks of instrument k: the first and the last of each, and price and size of the level behind), and after them the waiting stops.';
