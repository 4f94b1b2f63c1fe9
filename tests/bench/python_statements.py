"""The statements of `python_venue`."""

LOCK_BOOK = """
select b.bid_price, b.bid_size, b.ask_price, b.ask_size, b.updated_at, i.currency, coalesce(i.is_active,
    true) as is_active
from internal.books b join instruments i using (instrument_id)
where b.instrument_id = $1 for no key update of b"""
_PAGE = """
select order_id, account_id, price, priority, quantity, filled_quantity, reserved
from orders
where instrument_id = $1 and side = '{side}' and status in ('open', 'partially_filled') and price {reach} $2
    and (price {worse} $3 or price = $3 and priority > $4) and price {worse}= $3
order by price {order}, priority limit $5"""
ASKS = _PAGE.format(side="sell", reach="<=", worse=">", order="asc")
BIDS = _PAGE.format(side="buy", reach=">=", worse="<", order="desc")
LOCK_ACCOUNTS = """
select a.account_id, a.balance, a.reserved, coalesce(f.maker_rate, 0) as maker_rate,
    coalesce(f.taker_rate, 0) as taker_rate,
       m.account_type is not null as is_margin, a.status, a.currency, coalesce(u.is_active,
           true) as user_active, a.updated_at
from accounts a
left join users u on u.user_id = a.user_id
left join fee_schedule f on f.account_type = a.account_type
left join margin_schedule m on m.account_type = a.account_type
where a.account_id = any ($1::bigint[]) order by a.account_id for no key update of a"""
POSITIONS = """
select account_id, quantity, cost, realized_exact from positions
    where account_id = any ($1::bigint[]) and instrument_id = $2"""
NUMBERS = """
select nextval('orders_order_id_seq') as order_id, nextval('internal.priority_seq') as priority,
       array(select nextval('internal.match_id_seq') from generate_series(1, $1)) as match_ids,
       array(select nextval('trades_trade_id_seq') from generate_series(1, 2 * $1)) as trade_ids"""
MARGIN_REFUSAL = "select internal.margin_refusal(jsonb_populate_record(null::orders, $1::jsonb), false, $2)"
OPEN_SELLS = """
select coalesce(sum(quantity - filled_quantity), 0) from orders
where account_id = $1 and instrument_id = $2 and side = 'sell' and status in ('pending', 'open',
    'partially_filled')"""
INSERT_ORDER = """
insert into orders (order_id, account_id, instrument_id, order_type, side, quantity, price, status,
    time_in_force, created_at,
    updated_at, filled_at, filled_quantity, reason, priority, reserved)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $14, $15)"""
UPDATE_MAKER = """
update orders set filled_quantity = $2, status = $3, filled_at = $4, reserved = $5,
    updated_at = $6 where order_id = $1"""
INSERT_TRADE = """
insert into trades (trade_id, order_id, instrument_id, side, quantity, price, commission, executed_at,
    match_id, liquidity, account_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""
UPSERT_POSITION = """
insert into positions (account_id, instrument_id, quantity, average_price, realized_pnl, unrealized_pnl,
    opened_at, updated_at, cost,
    realized_exact)
values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)
on conflict (account_id, instrument_id) do update
set quantity = excluded.quantity, average_price = excluded.average_price,
    realized_pnl = excluded.realized_pnl,
    unrealized_pnl = excluded.unrealized_pnl, updated_at = excluded.updated_at, cost = excluded.cost,
    realized_exact = excluded.realized_exact"""
INSERT_TRANSACTION = """
insert into transactions (account_id, transaction_type, amount, balance_after, description, created_at,
    trade_id)
values ($1, $2, $3, $4, $5, $6, $7)"""
UPDATE_ACCOUNT = """
update accounts set balance = $2, reserved = $3, commissions = commissions + $4,
    updated_at = $5 where account_id = $1"""
INSERT_EVENT = """
insert into journal (at, account_id, kind, order_id, instrument_id, detail) values ($1, $2, $3, $4, $5,
    $6)"""
TOP = """
select b.price as bid_price, b.size as bid_size, a.price as ask_price, a.size as ask_size
from (select) one
left join lateral (
    select price, sum(quantity - filled_quantity) as size from orders
    where instrument_id = $1 and side = 'buy' and status in ('open', 'partially_filled')
    group by price order by price desc limit 1) b on true
left join lateral (
    select price, sum(quantity - filled_quantity) as size from orders
    where instrument_id = $1 and side = 'sell' and status in ('open', 'partially_filled')
    group by price order by price limit 1) a on true"""
INSERT_QUOTE = """
insert into quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp) values ($1, $2,
    $3, $4, $5, $6)"""
UPSERT_BAR = """
insert into market_data as m (time, instrument_id, open, high, low, close, volume) values ($1, $2, $3, $4,
    $5, $6, $7)
on conflict (time, instrument_id) do update
set high = greatest(m.high, excluded.high), low = least(m.low, excluded.low), close = excluded.close,
    volume = m.volume + excluded.volume"""
UPDATE_BOOK = """
update internal.books
set bid_price = $2, bid_size = $3, ask_price = $4, ask_size = $5, last_price = coalesce($6, last_price),
    last_at = case when $6::numeric is null then last_at else $8::timestamp end,
    session_date = case when $6::numeric is null then session_date else $8::timestamp::date end,
    session_volume = case when session_date is distinct from $8::timestamp::date
        and $6::numeric is not null then 0 else session_volume end + $7,
    version = version + 1, updated_at = greatest(updated_at, $8::timestamp)
where instrument_id = $1"""
OLDEST = """
select order_id, instrument_id from orders
where account_id = $1 and status in ('pending', 'open', 'partially_filled') order by order_id + 0 limit 1"""
WORKING = """
select reserved, filled_quantity from orders where order_id = $1 and status in ('pending', 'open',
    'partially_filled')"""
CANCEL_ORDER = """
update orders set status = 'cancelled', reason = 'cancelled on request', reserved = 0,
    updated_at = $2 where order_id = $1"""
