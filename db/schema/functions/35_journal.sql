-- What the journal says of an event: enough to rebuild the order, the position and the balance after it, without looking at any table.

create or replace function internal.order_detail(o orders) returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'order_type', o.order_type, 'side', o.side, 'quantity', o.quantity, 'price', o.price, 'stop_price', o.stop_price,
        'time_in_force', o.time_in_force, 'post_only', o.post_only, 'self_trade', o.self_trade, 'client_order_id', o.client_order_id,
        'status', o.status, 'reason', o.reason, 'filled_quantity', o.filled_quantity, 'reserved', o.reserved,
        'priority', o.priority, 'oco_id', o.oco_id, 'parent_id', o.parent_id, 'take_profit', o.take_profit, 'stop_loss', o.stop_loss,
        'trail_amount', o.trail_amount, 'trail_percent', o.trail_percent,
        -- Where it was not entered just now.
        'created_at', nullif(o.created_at, o.updated_at)))
$$;
comment on function internal.order_detail is 'An order as the journal keeps it when it is accepted, replaced or rejected.';

create or replace function internal.fill_detail(
    t trades, o orders, p_balance numeric, p_position numeric, p_cost numeric, p_realized numeric
) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'trade_id', t.trade_id, 'match_id', t.match_id, 'side', t.side, 'quantity', t.quantity, 'price', t.price, 'liquidity', t.liquidity,
        'cash', round(t.quantity * t.price, 2), 'commission', t.commission,
        'filled_quantity', o.filled_quantity, 'reserved', case when o.filled_quantity = o.quantity then 0 else o.reserved end,
        'balance', p_balance, 'position', p_position, 'cost', p_cost, 'realized', p_realized)
$$;
comment on function internal.fill_detail is 'A fill as the journal keeps it, with what the account has after it.';
