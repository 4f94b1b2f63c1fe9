-- What positions are worth and what an account may do (rules 20 to 22).

create or replace function internal.mark(p_instrument_id bigint) returns numeric
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when b.bid_price is not null and b.ask_price is not null then (b.bid_price + b.ask_price) / 2
        else coalesce(b.last_price, (
            select m.close from public.market_data m where m.instrument_id = b.instrument_id order by m.time desc limit 1))
    end
    from internal.books b
    where b.instrument_id = p_instrument_id
$$;
comment on function internal.mark is
    'The price at which positions are valued: the middle of bid and ask, else the last trade, else the last bar''s close (rule 20); null where there is none of them.';

create or replace function internal.margin_figures(
    p_account_id bigint, p_order orders default null, p_instead boolean default false,
    out holdings numeric, out initial_margin numeric, out maintenance_margin numeric
) language sql stable set search_path = pg_catalog, pg_temp as $$
    with rates as (
        select m.initial_rate, m.maintenance_long_rate, m.maintenance_short_rate
        from public.accounts a
        join public.margin_schedule m on m.account_type = a.account_type
        where a.account_id = p_account_id
    ),
    working as (
        select o.instrument_id, o.side, o.quantity - o.filled_quantity as quantity, coalesce(o.price, o.stop_price) as price
        from public.orders o
        where o.account_id = p_account_id and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
            and not (p_instead and o.order_id = (p_order).order_id)
        union all
        select (p_order).instrument_id, (p_order).side, (p_order).quantity - (p_order).filled_quantity,
               coalesce((p_order).price, (p_order).stop_price)
        where (p_order).instrument_id is not null
    ),
    held as (
        select p.instrument_id, p.quantity, p.average_price from public.positions p where p.account_id = p_account_id and p.quantity <> 0
    ),
    marked as (
        select i.instrument_id, coalesce(h.quantity, 0) as quantity, coalesce(internal.mark(i.instrument_id), h.average_price, 0) as mark
        from (select w.instrument_id from working w union select h.instrument_id from held h) i
        left join held h on h.instrument_id = i.instrument_id
    ),
    exposed as (
        select m.quantity * m.mark as value,
               coalesce(sum(w.quantity * coalesce(w.price, m.mark)) filter (where w.side = 'buy'), 0) as buys,
               coalesce(sum(w.quantity * coalesce(w.price, m.mark)) filter (where w.side = 'sell'), 0) as sells
        from marked m
        left join working w on w.instrument_id = m.instrument_id
        group by m.instrument_id, m.quantity, m.mark
    )
    select coalesce(sum(e.value), 0),
           coalesce(sum(greatest(abs(e.value + e.buys), abs(e.value - e.sells))), 0) * coalesce(max(r.initial_rate), 0),
           coalesce(sum(case when e.value > 0 then e.value * r.maintenance_long_rate else -e.value * r.maintenance_short_rate end), 0)
    from exposed e
    left join rates r on true
$$;
comment on function internal.margin_figures is
    'Market value of the positions and the two margin requirements of an account (rule 22), as if p_order stood besides, or instead of itself as it is; 0 for a cash account.';

create or replace function internal.margin_refusal(p_order orders, p_instead boolean, p_balance numeric) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_figures record;
    v_position numeric;
    v_open numeric;
begin
    select * into v_figures from internal.margin_figures(p_order.account_id, p_order, p_instead);
    if p_balance + v_figures.holdings >= v_figures.initial_margin then
        return null;
    end if;
    -- An order that only reduces is never refused: with its like it cannot take the position through zero.
    select p.quantity into v_position from public.positions p
    where p.account_id = p_order.account_id and p.instrument_id = p_order.instrument_id;
    if p_order.side = 'sell' and v_position > 0 or p_order.side = 'buy' and v_position < 0 then
        select coalesce(sum(o.quantity - o.filled_quantity), 0) into v_open
        from public.orders o
        where o.account_id = p_order.account_id and o.instrument_id = p_order.instrument_id and o.side = p_order.side
            and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
            and not (p_instead and o.order_id = p_order.order_id);
        if v_open + p_order.quantity - p_order.filled_quantity <= abs(v_position) then
            return null;
        end if;
    end if;
    return format('insufficient margin: %s required, equity %s', round(v_figures.initial_margin, 2), round(p_balance + v_figures.holdings, 2));
end;
$$;
comment on function internal.margin_refusal is 'Why a margin account may not place this order, or null where it may (rule 22).';
