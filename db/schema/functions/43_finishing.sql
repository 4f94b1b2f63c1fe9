-- After the order: what it set off, and what everybody sees.

drop function if exists internal.publish(internal.market, timestamp, numeric[], numeric);
create or replace function internal.publish(p_before internal.market, p_after internal.market, p_prints numeric[], p_volume numeric) returns void
language plpgsql as $$
declare
    v_last constant numeric := p_prints[cardinality(p_prints)];
    v_at constant timestamp := p_after.updated_at;
begin
    with quoted as (
        insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
        select p_after.instrument_id, coalesce(p_after.bid_price, 0), coalesce(p_after.bid_size, 0), coalesce(p_after.ask_price, 0),
               coalesce(p_after.ask_size, 0), v_at
        where (p_after.bid_price, p_after.bid_size, p_after.ask_price, p_after.ask_size)
            is distinct from (p_before.bid_price, p_before.bid_size, p_before.ask_price, p_before.ask_size)
    ),
    bar as (
        insert into public.market_data as m (time, instrument_id, open, high, low, close, volume)
        select date_trunc('minute', v_at), p_after.instrument_id, p_prints[1], max(p), min(p), v_last, p_volume
        from unnest(p_prints) as p
        having count(*) > 0
        on conflict (time, instrument_id) do update
        set high = greatest(m.high, excluded.high), low = least(m.low, excluded.low), close = excluded.close, volume = m.volume + excluded.volume
    )
    update internal.books b
    set bid_price = p_after.bid_price, bid_size = p_after.bid_size, ask_price = p_after.ask_price, ask_size = p_after.ask_size,
        last_price = coalesce(v_last, b.last_price),
        last_at = case when v_last is not null then v_at else b.last_at end,
        session_date = case when v_last is not null then v_at::date else b.session_date end,
        session_volume = case when v_last is not null and b.session_date is distinct from v_at::date then 0 else b.session_volume end + p_volume,
        previous_close = case when v_last is not null and b.session_date < v_at::date then p_before.last_price else b.previous_close end,
        version = b.version + 1, updated_at = greatest(b.updated_at, v_at)
    where b.instrument_id = p_after.instrument_id;
    perform internal.tell_market(p_after);
end;
$$;
comment on function internal.publish is
    'Shows what a request did to an instrument: the top of the book (a quote where it changed), the last trade, the one-minute bar, a new version.';

create or replace function internal.read_top(p_market internal.market) returns internal.market
language plpgsql as $$
declare
    v_market internal.market := p_market;
    v_side record;
begin
    -- An order for nothing meets nobody: the level behind that is the best one.
    v_side := internal.resting(p_market, 'buy', 0, 0, '{}');
    v_market.bid_price := v_side.next_price;
    v_market.bid_size := v_side.next_size;
    v_side := internal.resting(p_market, 'sell', 'Infinity', 0, '{}');
    v_market.ask_price := v_side.next_price;
    v_market.ask_size := v_side.next_size;
    return v_market;
end;
$$;
comment on function internal.read_top is 'An instrument with the top of its book as the orders have it.';

create or replace function internal.finish(p_market internal.market, p_outcome internal.outcome) returns void
language plpgsql as $$
declare
    v_market internal.market := p_outcome.market;
    v_top_known boolean := p_outcome.top_known;
    v_prints numeric[] := p_outcome.prints;
    v_volume numeric := p_outcome.volume;
    v_new_prints numeric[] := p_outcome.prints;
    v_outcome internal.outcome;
    v_queue bigint[] := '{}';
    v_set_off bigint[];
    v_next integer := 1;
    v_stop public.orders;
begin
    -- Stops run first in, first out, each when the one before is completely done; their prints can set off more (rule 11).
    while p_market.waiting_stops > 0 or p_market.linked_orders > 0 loop
        v_set_off := '{}';
        -- An order's prints go one way, so the first and the last are the highest and the lowest; trailing stops want to see them all.
        if p_market.linked_orders > 0 and cardinality(v_new_prints) > 0
            or greatest(v_new_prints[1], v_market.last_price) >= p_market.buy_stop
            or least(v_new_prints[1], v_market.last_price) <= p_market.sell_stop
        then
            v_set_off := array(
                select t.order_id
                from unnest(internal.triggered_stops(p_market.instrument_id, v_new_prints)) with ordinality as t (order_id, turn)
                where t.order_id <> all (v_queue)
                order by t.turn);
            v_queue := v_queue || v_set_off;
        end if;
        -- What hangs together is put right before anything else runs; an exit can trade, and then its prints come next.
        if p_market.linked_orders > 0 then
            v_outcome := internal.follow_links(v_market, v_new_prints, v_queue, v_set_off);
            v_market := v_outcome.market;
            v_top_known := false;
            v_new_prints := v_outcome.prints;
            v_prints := v_prints || v_outcome.prints;
            v_volume := v_volume + v_outcome.volume;
            continue when cardinality(v_new_prints) > 0 or v_outcome.changed;
        end if;
        exit when v_next > cardinality(v_queue);
        select * into v_stop from public.orders o where o.order_id = v_queue[v_next] and o.status = 'pending';
        v_next := v_next + 1;
        v_new_prints := null;
        if v_stop.order_id is not null then
            v_outcome := internal.work(v_stop, 'trigger', v_market);
            v_market := v_outcome.market;
            v_new_prints := v_outcome.prints;
            v_prints := v_prints || v_outcome.prints;
            v_volume := v_volume + v_outcome.volume;
        end if;
    end loop;
    if not v_top_known then
        v_market := internal.read_top(v_market);
    end if;
    perform internal.publish(p_market, v_market, v_prints, v_volume);
end;
$$;
comment on function internal.finish is 'Completes a request: what is linked follows, stops that it set off run, and the outcome is shown.';
