-- What positions are worth and what an account may do (rules 20 to 22).

create or replace view internal.marks as
select b.instrument_id, b.bid_price, b.ask_price,
       case
           when b.bid_price is not null and b.ask_price is not null then (b.bid_price + b.ask_price) / 2
           else coalesce(b.last_price, (
               select m.close from public.market_data m where m.instrument_id = b.instrument_id order by m.time desc limit 1))
       end as mark
from internal.books b;
comment on view internal.marks is
    'The price at which positions are valued: the middle of bid and ask, else the last trade, else the last bar''s close (rule 20); null where there is none of them.';

create or replace function internal.margin_figures(
    p_account_id bigint, p_order orders default null, p_instead boolean default false,
    out holdings numeric, out initial_margin numeric, out maintenance_margin numeric
) language plpgsql stable as $$
begin
    select coalesce(sum(e.value), 0),
           coalesce(sum(greatest(abs(e.value + e.buys), abs(e.value - e.sells)) * e.initial_rate), 0),
           coalesce(sum(case when e.value > 0 then e.value * e.maintenance_long_rate else -e.value * e.maintenance_short_rate end), 0)
    into holdings, initial_margin, maintenance_margin
    from (
        -- An instrument a row: what is held, at its mark, and what open orders would buy and sell, each at its own price.
        select x.quantity * x.mark as value, x.buys + x.unpriced_buys * x.mark as buys, x.sells + x.unpriced_sells * x.mark as sells,
               r.initial_rate, r.maintenance_long_rate, r.maintenance_short_rate
        from (
            select w.instrument_id, sum(w.held) as quantity, sum(w.buys) as buys, sum(w.sells) as sells,
                   sum(w.unpriced_buys) as unpriced_buys, sum(w.unpriced_sells) as unpriced_sells,
                   -- Without any mark a market order counts at the best price that it would meet.
                   coalesce(max(k.mark), max(w.average_price), case when sum(w.unpriced_buys) > 0 then max(k.ask_price) else max(k.bid_price) end, 0) as mark
            from (
                select p.instrument_id, p.quantity as held, p.average_price, 0 as buys, 0 as sells, 0 as unpriced_buys, 0 as unpriced_sells
                from public.positions p
                where p.account_id = p_account_id and p.quantity <> 0
                union all
                -- Of a one-cancels-other pair only one can fill: the one that is worth more counts.
                select t.instrument_id, 0, null, case t.side when 'buy' then t.value else 0 end, case t.side when 'sell' then t.value else 0 end, 0, 0
                from (
                    select distinct on (g.pair) g.instrument_id, g.side, g.value
                    from (
                        select coalesce(o.oco_id, -o.order_id) as pair, o.instrument_id, o.side,
                               (o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price) as value
                        from public.orders o
                        where o.account_id = p_account_id and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
                            and not (p_instead and o.order_id = p_order.order_id)
                        union all
                        select coalesce(p_order.oco_id, 0), p_order.instrument_id, p_order.side,
                               (p_order.quantity - p_order.filled_quantity) * coalesce(p_order.price, p_order.stop_price)
                        where p_order.instrument_id is not null and p_order.order_type <> 'market'
                    ) g
                    order by g.pair, g.value desc
                ) t
                union all
                select p_order.instrument_id, 0, null, 0, 0,
                       case when p_order.side = 'buy' and p_order.order_type = 'market' then p_order.quantity - p_order.filled_quantity else 0 end,
                       case when p_order.side = 'sell' and p_order.order_type = 'market' then p_order.quantity - p_order.filled_quantity else 0 end
                where p_order.instrument_id is not null
            ) w
            left join internal.marks k on k.instrument_id = w.instrument_id
            group by w.instrument_id
        ) x
        join public.accounts a on a.account_id = p_account_id
        join public.margin_schedule r on r.account_type = a.account_type
    ) e;
end;
$$;
comment on function internal.margin_figures is
    'Market value of the positions and the two margin requirements of an account (rule 22), as if p_order stood besides, or instead of itself as it is; 0 for a cash account.';

create or replace function internal.margin_refusal(p_order orders, p_instead boolean, p_balance numeric) returns text
language plpgsql stable as $$
declare
    v_figures record;
    v_position numeric;
    v_open numeric;
    v_enough boolean;
begin
    -- Enough for certain, where the equity covers everything that is held and every open order by itself: that is quickly added up.
    select p_balance + coalesce(h.value, 0) >= greatest(m.initial_rate, m.maintenance_long_rate, m.maintenance_short_rate) * (
               coalesce(h.gross, 0)
               + (p_order.quantity - p_order.filled_quantity) * coalesce(p_order.price, p_order.stop_price, 'Infinity')
               + coalesce((
                   select sum((o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price))
                   from public.orders o
                   where o.account_id = p_order.account_id and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null), 0))
    into v_enough
    from public.accounts a
    join public.margin_schedule m on m.account_type = a.account_type
    cross join lateral (
        select sum(p.quantity * coalesce(k.mark, p.average_price)) as value, sum(abs(p.quantity * coalesce(k.mark, p.average_price))) as gross
        from public.positions p
        left join internal.marks k on k.instrument_id = p.instrument_id
        where p.account_id = p_order.account_id and p.quantity <> 0
    ) h
    where a.account_id = p_order.account_id;
    if v_enough then
        return null;
    end if;
    select * into v_figures from internal.margin_figures(p_order.account_id, p_order, p_instead);
    if p_balance + v_figures.holdings >= greatest(v_figures.initial_margin, v_figures.maintenance_margin) then
        return null;
    end if;
    -- An order that only reduces is never refused: with its like it cannot take the position through zero.
    select p.quantity into v_position from public.positions p
    where p.account_id = p_order.account_id and p.instrument_id = p_order.instrument_id;
    if p_order.side = 'sell' and v_position > 0 or p_order.side = 'buy' and v_position < 0 then
        v_open := internal.open_quantity(p_order.side, p_order.account_id, p_order.instrument_id,
            case when p_instead then p_order.order_id end, p_order.oco_id, p_order.quantity - p_order.filled_quantity);
        if v_open <= abs(v_position) then
            return null;
        end if;
    end if;
    if p_balance + v_figures.holdings < v_figures.maintenance_margin then
        return format('margin call: maintenance %s, equity %s; only orders that reduce positions are taken',
            round(v_figures.maintenance_margin, 2), round(p_balance + v_figures.holdings, 2));
    end if;
    return format('insufficient margin: %s required, equity %s', round(v_figures.initial_margin, 2), round(p_balance + v_figures.holdings, 2));
end;
$$;
comment on function internal.margin_refusal is 'Why a margin account may not place this order, or null where it may (rule 22).';
