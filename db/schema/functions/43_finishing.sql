-- After the order: what it set off, and what everybody sees.

create or replace function internal.publish(p_market internal.market, p_at timestamp, p_prints numeric[], p_volume numeric) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
    with bid as materialized (
        select o.price, sum(o.quantity - o.filled_quantity) as size
        from public.orders o
        where o.instrument_id = p_market.instrument_id and o.side = 'buy' and o.status in ('open', 'partially_filled')
            and o.price = (
                select b.price from public.orders b
                where b.instrument_id = p_market.instrument_id and b.side = 'buy' and b.status in ('open', 'partially_filled')
                order by b.price desc, b.priority limit 1)
        group by o.price
    ),
    ask as materialized (
        select o.price, sum(o.quantity - o.filled_quantity) as size
        from public.orders o
        where o.instrument_id = p_market.instrument_id and o.side = 'sell' and o.status in ('open', 'partially_filled')
            and o.price = (
                select a.price from public.orders a
                where a.instrument_id = p_market.instrument_id and a.side = 'sell' and a.status in ('open', 'partially_filled')
                order by a.price, a.priority limit 1)
        group by o.price
    ),
    top as materialized (
        select bid.price as bid_price, bid.size as bid_size, ask.price as ask_price, ask.size as ask_size
        from (select 1) one
        left join bid on true
        left join ask on true
    ),
    quoted as (
        insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
        select p_market.instrument_id, coalesce(t.bid_price, 0), coalesce(t.bid_size, 0), coalesce(t.ask_price, 0), coalesce(t.ask_size, 0), p_at
        from top t
        where (t.bid_price, t.bid_size, t.ask_price, t.ask_size)
            is distinct from (p_market.bid_price, p_market.bid_size, p_market.ask_price, p_market.ask_size)
    ),
    traded as (
        insert into public.market_data as m (time, instrument_id, open, high, low, close, volume)
        select date_trunc('minute', p_at), p_market.instrument_id, p_prints[1], max(p), min(p), p_prints[cardinality(p_prints)], p_volume
        from unnest(p_prints) as p
        having count(*) > 0
        on conflict (time, instrument_id) do update
        set high = greatest(m.high, excluded.high), low = least(m.low, excluded.low), close = excluded.close, volume = m.volume + excluded.volume
    )
    update internal.books b
    set bid_price = t.bid_price, bid_size = t.bid_size, ask_price = t.ask_price, ask_size = t.ask_size,
        last_price = coalesce(p_prints[cardinality(p_prints)], b.last_price),
        last_at = case when cardinality(p_prints) > 0 then p_at else b.last_at end,
        session_date = case when cardinality(p_prints) > 0 then p_at::date else b.session_date end,
        session_volume = case when b.session_date is distinct from p_at::date and cardinality(p_prints) > 0 then 0 else b.session_volume end + p_volume,
        previous_close = case when b.session_date < p_at::date and cardinality(p_prints) > 0 then b.last_price else b.previous_close end,
        version = b.version + 1, updated_at = greatest(b.updated_at, p_at)
    from top t
    where b.instrument_id = p_market.instrument_id;
end;
$$;
comment on function internal.publish is
    'Shows what a request did to an instrument: the top of the book (a quote where it changed), the last trade, the one-minute bar, a new version.';

create or replace function internal.finish(p_market internal.market, p_outcome internal.outcome) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_market internal.market := p_market;
    v_prints numeric[] := p_outcome.prints;
    v_volume numeric := p_outcome.volume;
    v_new_prints numeric[] := p_outcome.prints;
    v_outcome internal.outcome;
    v_queue bigint[] := '{}';
    v_next integer := 1;
    v_stop public.orders;
begin
    -- Stops run first in, first out, each when the one before is completely done; their prints can set off more (rule 11).
    v_market.updated_at := p_outcome.at;
    while p_market.waiting_stops > 0 or p_market.linked_orders > 0 loop
        if cardinality(v_new_prints) > 0 then
            v_market.last_price := v_new_prints[cardinality(v_new_prints)];
        end if;
        -- An order's prints go one way, so the first and the last are the highest and the lowest; trailing stops want to see them all.
        if p_market.linked_orders > 0 and cardinality(v_new_prints) > 0
            or greatest(v_new_prints[1], v_market.last_price) >= p_market.buy_stop
            or least(v_new_prints[1], v_market.last_price) <= p_market.sell_stop
        then
            v_queue := v_queue || array(
                select t.order_id
                from unnest(internal.triggered_stops(p_market.instrument_id, v_new_prints)) with ordinality as t (order_id, turn)
                where t.order_id <> all (v_queue)
                order by t.turn);
        end if;
        -- What hangs together is put right before anything else runs; an exit can trade, and then its prints come next.
        if p_market.linked_orders > 0 then
            v_outcome := internal.follow_links(v_market, v_new_prints, v_queue[v_next:]);
            v_new_prints := v_outcome.prints;
            v_prints := v_prints || v_outcome.prints;
            v_volume := v_volume + v_outcome.volume;
            continue when cardinality(v_new_prints) > 0;
        end if;
        exit when v_next > cardinality(v_queue);
        select * into v_stop from public.orders o where o.order_id = v_queue[v_next] and o.status = 'pending';
        v_next := v_next + 1;
        v_new_prints := '{}';
        if v_stop.order_id is not null then
            v_outcome := internal.work(v_stop, 'trigger', v_market);
            v_new_prints := v_outcome.prints;
            v_prints := v_prints || v_outcome.prints;
            v_volume := v_volume + v_outcome.volume;
        end if;
    end loop;
    perform internal.publish(p_market, p_outcome.at, v_prints, v_volume);
end;
$$;
comment on function internal.finish is 'Completes a request: what is linked follows, stops that it set off run, and the outcome is shown.';
