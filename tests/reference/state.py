"""What the comparison reads of the database."""

from __future__ import annotations

# In one round trip: the rows that any transaction since $3 has written, and those that the model has changed.
# With a plan that is kept: making one anew took longer than all else.
STATE = """
create or replace function pg_temp.state(
    bigint[], bigint[], bigint, bigint[], bigint, bigint, bigint, bigint[], bigint[]
) returns json language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin
return json_build_object(
    'seen', pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    'orders', (
        select coalesce(json_agg(to_json(o) order by order_id), '[]') from (
            select order_id, account_id, instrument_id, order_type, side, quantity, price, stop_price, status,
                   time_in_force, filled_quantity, reason, reserved, oco_id, parent_id, covered_quantity,
                   triggered_at is not null as triggered, filled_at is not null as has_filled_at
            from orders
            where account_id = any($1) and (xmin::text::bigint >= $3 or order_id = any($4))) o),
    'trades', (
        select coalesce(json_agg(to_json(t) order by trade_id), '[]') from (
            select trade_id, match_id, order_id, account_id, instrument_id, side, quantity, price, commission,
                   liquidity, date_trunc('minute', executed_at) as minute
            from trades
            where trade_id > $5 and instrument_id = any($2)) t),
    'transactions', (
        select coalesce(json_agg(to_json(t) order by transaction_id), '[]') from (
            select transaction_id, account_id, transaction_type, amount, balance_after
            from transactions
            where transaction_id > $6 and account_id = any($1)) t),
    'quotes', (
        select coalesce(json_agg(to_json(q) order by quote_id), '[]') from quotes q
        where quote_id > $7 and instrument_id = any($2)),
    'positions', (
        select coalesce(json_agg(to_json(p)), '[]') from (
            select account_id, instrument_id, quantity, average_price, cost, realized_pnl, unrealized_pnl
            from positions
            where account_id = any($1) and (xmin::text::bigint >= $3 or account_id = any($8))) p),
    'accounts', (
        select coalesce(json_agg(to_json(a)), '[]') from (
            select account_id, balance, reserved, commissions
            from accounts
            where account_id = any($1) and (xmin::text::bigint >= $3 or account_id = any($8))) a),
    'summaries', (
        select json_object_agg(a, to_json(s)) from unnest($8::bigint[]) a, account_summary(a) s),
    'books', (
        select coalesce(json_agg(json_build_array(i, b.side, b.price, b.quantity, b.orders)), '[]')
        from unnest($9::bigint[]) i, order_book(i, 1000) b),
    -- Who trades next: the resting orders by price and time; then the waiting stops by their place.
    'turns', (
        select coalesce(
            json_agg(
                json_build_array(instrument_id, side, order_id)
                order by status = 'pending',
                         case when status = 'pending' then 0 when side = 'sell' then price else -price end,
                         priority),
            '[]')
        from orders
        where instrument_id = any($9) and status in ('pending', 'open', 'partially_filled'))
);
end;
$$
"""
BARS = """
select instrument_id, to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS') as minute, open, high, low, close, volume
from market_data where instrument_id = any($1) and time > '2020-01-02'
"""
