-- An instrument as a request sees it: its lock, and which of its stops a print can reach.

drop view if exists internal.markets;
create view internal.markets as
select b.instrument_id, b.symbol, b.currency, b.is_active, b.tick_size, b.lot_size, b.bid_price, b.bid_size, b.ask_price, b.ask_size,
       b.last_price, b.waiting_stops, b.updated_at, b.linked_orders, b.buy_stop, b.sell_stop
from internal.books b;
comment on view internal.markets is 'Every instrument as the type internal.market has it; for requests that hold its lock already.';

create or replace function internal.lock_market(p_instrument_id bigint) returns internal.market
language plpgsql as $$
declare
    v_market internal.market;
begin
    -- Everything comes from the row that is locked: what was joined to it would be as old as the wait was long.
    select b.instrument_id, b.symbol, b.currency, b.is_active, b.tick_size, b.lot_size, b.bid_price, b.bid_size, b.ask_price, b.ask_size,
           b.last_price, b.waiting_stops, b.updated_at, b.linked_orders, b.buy_stop, b.sell_stop
    into v_market
    from internal.books b
    where b.instrument_id = p_instrument_id
    for no key update of b;
    if not found then
        perform internal.refuse('instrument_id', p_instrument_id::text, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    end if;
    return v_market;
end;
$$;
comment on function internal.lock_market is 'Takes the lock of an instrument: until the transaction ends its book has one writer (rule 15).';

create or replace function internal.triggered_stops(p_instrument_id bigint, p_prints numeric[]) returns bigint[]
language sql stable as $$
    -- A trailing stop has followed the prints before the one that sets it off.
    with prints as materialized (
        select p.price, p.ordinality as print,
               max(p.price) over (order by p.ordinality rows between unbounded preceding and 1 preceding) as highest,
               min(p.price) over (order by p.ordinality rows between unbounded preceding and 1 preceding) as lowest
        from unnest(p_prints) with ordinality as p (price, ordinality)
    )
    select array_agg(t.order_id order by t.print, t.priority)
    from (
        select o.order_id, o.priority, min(p.print) as print
        from prints p
        join public.orders o
            on o.instrument_id = p_instrument_id
            and o.status = 'pending' and o.order_type in ('stop', 'stop_limit')
            and o.priority is not null and o.triggered_at is null
            and (o.side = 'buy' and least(o.stop_price, internal.trailed_price(o, p.lowest)) <= p.price
                or o.side = 'sell' and greatest(o.stop_price, internal.trailed_price(o, p.highest)) >= p.price)
        group by o.order_id, o.priority
    ) t
$$;
comment on function internal.triggered_stops is 'The waiting stops that these prints trigger, in the order in which they run (rule 11).';

create or replace function internal.count_stops(p_instrument_id bigint, p_more integer) returns void
language plpgsql as $$
begin
    update internal.books b
    set waiting_stops = b.waiting_stops + p_more,
        buy_stop = (select min(o.stop_price) from public.orders o
                    where o.instrument_id = p_instrument_id and o.side = 'buy' and o.status = 'pending' and o.order_type in ('stop', 'stop_limit')
                        and o.priority is not null),
        sell_stop = (select max(o.stop_price) from public.orders o
                     where o.instrument_id = p_instrument_id and o.side = 'sell' and o.status = 'pending' and o.order_type in ('stop', 'stop_limit')
                         and o.priority is not null)
    where b.instrument_id = p_instrument_id;
end;
$$;
comment on function internal.count_stops is 'Notes that an instrument has p_more waiting stops, and which of them are next to trigger.';

create or replace function internal.recount_stops(p_instrument_id bigint) returns void
language plpgsql as $$
begin
    update internal.books b
    set waiting_stops = s.number, buy_stop = s.buy_stop, sell_stop = s.sell_stop
    from (
        select count(*) as number, min(o.stop_price) filter (where o.side = 'buy') as buy_stop, max(o.stop_price) filter (where o.side = 'sell') as sell_stop
        from public.orders o
        where o.instrument_id = p_instrument_id and o.status = 'pending' and o.order_type in ('stop', 'stop_limit') and o.priority is not null
    ) s
    where b.instrument_id = p_instrument_id;
end;
$$;
comment on function internal.recount_stops is 'Counts the waiting stops of an instrument anew.';

create or replace function internal.participants(p_instrument_id bigint) returns bigint[]
language plpgsql as $$
begin
    -- Each part has an index of its own.
    return array(
        select o.account_id from public.orders o
        where o.instrument_id = p_instrument_id and o.side = 'buy' and o.status in ('open', 'partially_filled')
        union
        select o.account_id from public.orders o
        where o.instrument_id = p_instrument_id and o.side = 'sell' and o.status in ('open', 'partially_filled')
        union
        select o.account_id from public.orders o
        where o.instrument_id = p_instrument_id and o.status = 'pending' and o.order_type in ('stop', 'stop_limit') and o.priority is not null);
end;
$$;
comment on function internal.participants is 'Everyone with a working order in an instrument, waiting stops included; rows that nobody has accepted yet take no part.';
