-- Orders that hang together. The rules are in docs/rules.md under "Linked orders":
--   L1  One-cancels-other: a limit and a stop of one side share one quantity. What either fills is taken off the other;
--       one that ends in any other way takes the other with it, but for a stop that found nobody to trade with.
--   L2  Bracket: what the entry fills gets two exits, a limit with the profit and a stop with the loss, as such a pair.
--   L3  Trailing stop: the stop price follows the last trade at a distance, and never goes back.
-- They move in the request that moves them, under its locks and at its time.

create or replace function internal.trailed_price(o orders, p_price numeric) returns numeric language sql stable as $$
    -- Away from the market to the next tick, so that the distance is never less than asked for.
    select case
        when o.trail_amount is null and o.trail_percent is null or p_price is null then null
        else (
            select case o.side
                when 'sell' then floor((p_price - d.distance) / t.tick) * t.tick
                else ceil((p_price + d.distance) / t.tick) * t.tick end
            from public.instruments i
            cross join lateral (select coalesce(nullif(i.tick_size, 0), 0.00000001) as tick) t
            cross join lateral (select coalesce(o.trail_amount, p_price * o.trail_percent / 100) as distance) d
            where i.instrument_id = o.instrument_id)
    end
$$;
comment on function internal.trailed_price is 'Where a trailing stop would stand if the last trade were at this price; null for any other order.';

create or replace function internal.open_quantity(
    p_side text, p_account_id bigint, p_instrument_id bigint, p_but_order_id bigint, p_oco_id bigint, p_quantity numeric
) returns numeric language sql stable as $$
    select coalesce(sum(g.quantity), 0)
    from (
        select max(s.quantity) as quantity
        from (
            select coalesce(o.oco_id, -o.order_id) as pair, o.quantity - o.filled_quantity as quantity
            from public.orders o
            where o.account_id = p_account_id and o.instrument_id = p_instrument_id and o.side = p_side
                and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
                and o.order_id is distinct from p_but_order_id
            union all
            select coalesce(p_oco_id, 0), p_quantity
        ) s
        group by s.pair
    ) g
$$;
comment on function internal.open_quantity is
    'What an account would buy or sell in all if an order of p_quantity stood besides: waiting stops included, a one-cancels-other pair once (rule 21).';

create or replace function internal.other_of_pair(o orders) returns bigint[] language sql stable as $$
    select coalesce(array_agg(x.order_id), '{}')
    from public.orders x
    where o.oco_id is not null and x.oco_id = o.oco_id and x.order_id <> o.order_id and x.status in ('pending', 'open', 'partially_filled')
$$;
comment on function internal.other_of_pair is 'The other working order of a one-cancels-other pair, if there is one.';

create or replace function internal.reached_price(o orders, p_prints numeric[]) returns numeric language plpgsql stable as $$
declare
    v_stop numeric := o.stop_price;
    v_print numeric;
begin
    foreach v_print in array p_prints loop
        exit when case o.side when 'buy' then v_stop <= v_print else v_stop >= v_print end;
        v_stop := case o.side when 'sell' then greatest(v_stop, internal.trailed_price(o, v_print)) else least(v_stop, internal.trailed_price(o, v_print)) end;
    end loop;
    return v_stop;
end;
$$;
comment on function internal.reached_price is 'Where a trailing stop stands when one of these prints sets it off: it has followed those before.';
