-- Orders that hang together: one-cancels-other pairs, brackets, and stops that trail the last trade.

alter table orders
    add column oco_id bigint,
    add column parent_id bigint,
    add column take_profit numeric(20, 8),
    add column stop_loss numeric(20, 8),
    add column covered_quantity numeric(20, 8),
    add column trail_amount numeric(20, 8),
    add column trail_percent numeric(8, 4);
comment on column orders.oco_id is 'One-cancels-other: the two orders with this number share one quantity.';
comment on column orders.parent_id is 'The bracket''s entry whose exit this order is.';
comment on column orders.take_profit is 'Bracket entry: the limit price of the exit with a profit.';
comment on column orders.stop_loss is 'Bracket entry: the stop price of the exit with a loss.';
comment on column orders.covered_quantity is 'Bracket entry: how much of what has filled has its exits.';
comment on column orders.trail_amount is 'Trailing stop: how far the stop price follows the last trade.';
comment on column orders.trail_percent is 'Trailing stop: the same in percent of the last trade.';

-- What a trade can move besides the orders that it fills; few orders are linked, so the index is small.
create index orders_linked on orders (instrument_id)
    where status in ('pending', 'open', 'partially_filled')
        and (oco_id is not null or take_profit is not null or stop_loss is not null or trail_amount is not null or trail_percent is not null);
create index orders_oco on orders (oco_id) where oco_id is not null;
create index orders_exits on orders (parent_id) where parent_id is not null;

create sequence internal.oco_id_seq as bigint;

alter table internal.books add column linked_orders integer not null default 0;
comment on column internal.books.linked_orders is 'How many working orders are linked: where there are none, no request looks for them.';
alter table internal.books add column buy_stop numeric(20, 8), add column sell_stop numeric(20, 8);
comment on column internal.books.buy_stop is 'The lowest stop price of the waiting buys: a print below it sets none of them off.';
comment on column internal.books.sell_stop is 'The highest stop price of the waiting sells: a print above it sets none of them off.';
alter type internal.market add attribute linked_orders integer, add attribute buy_stop numeric, add attribute sell_stop numeric;
