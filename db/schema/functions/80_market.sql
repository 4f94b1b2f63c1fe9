-- What everybody may see: the book, the last trades, the bars; and what changed.

create or replace function order_book(p_instrument_id bigint, p_depth integer default 20)
returns table (side varchar, price numeric, quantity numeric, orders bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
-- Levels come out of the index in order, so that the depth asked for is all that is read.
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashagg = off as $$
begin
    if not exists (select from public.instruments i where i.instrument_id = p_instrument_id) then
        perform internal.refuse('instrument_id', p_instrument_id::text, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    elsif p_depth is null or p_depth < 1 then
        perform internal.refuse('depth', p_depth::text, 'must be at least 1', 'Give a number of price levels.');
    end if;
    return query
        select 'buy'::varchar, o.price, sum(o.quantity - o.filled_quantity), count(*)
        from public.orders o
        where o.instrument_id = p_instrument_id and o.side = 'buy' and o.status in ('open', 'partially_filled')
        group by o.price
        order by o.price desc
        limit p_depth;
    return query
        select 'sell'::varchar, o.price, sum(o.quantity - o.filled_quantity), count(*)
        from public.orders o
        where o.instrument_id = p_instrument_id and o.side = 'sell' and o.status in ('open', 'partially_filled')
        group by o.price
        order by o.price
        limit p_depth;
end;
$$;
comment on function order_book is 'Price levels of an instrument, best first, buys before sells: price, quantity left, number of orders. Waiting stops are not in it.';

create or replace function tickers()
returns table (
    instrument_id bigint, symbol varchar, bid numeric, bid_size numeric, ask numeric, ask_size numeric, last numeric, last_at timestamp,
    previous_close numeric, volume numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with today as (select (now() at time zone 'UTC')::date as day)
    select b.instrument_id, i.symbol, b.bid_price, b.bid_size, b.ask_price, b.ask_size,
           coalesce(b.last_price, (
               select m.close from public.market_data m where m.instrument_id = b.instrument_id order by m.time desc limit 1)),
           b.last_at,
           case when b.session_date < t.day then b.last_price
                else coalesce(b.previous_close, (
                    select m.close from public.market_data m
                    where m.instrument_id = b.instrument_id and m.time < t.day order by m.time desc limit 1))
           end,
           case when b.session_date = t.day then b.session_volume else 0 end
    from internal.books b
    join public.instruments i on i.instrument_id = b.instrument_id
    cross join today t
    order by i.symbol
$$;
comment on function tickers is
    'One row per instrument: best bid and ask with their sizes (null: an empty side), last trade (or last bar''s close), the close before today (UTC), today''s volume.';

create or replace function live_versions(p_account_ids bigint[])
returns table (kind text, id bigint, version bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select 'instrument', b.instrument_id, b.version from internal.books b
    union all
    -- An account of others stands still, as one that is not there does.
    select 'account', a.account_id, coalesce((
        select j.event_id from public.journal j
        where j.account_id between r.account_id and r.account_id -- see 37_chain.sql
        order by j.account_id desc, j.event_id desc limit 1), 0)
    from unnest(p_account_ids) as a (account_id)
    left join internal.readable_accounts r on r.account_id = a.account_id
$$;
comment on function live_versions is 'Numbers that move when an instrument''s market or an account changes: what a terminal polls to know what to read again.';

create or replace function prints(p_instrument_id bigint, p_limit integer default 50, p_before bigint default null)
returns table (print_id bigint, executed_at timestamp, side varchar, quantity numeric, price numeric)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.instruments i where i.instrument_id = p_instrument_id) then
        perform internal.refuse('instrument_id', p_instrument_id::text, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    elsif p_limit is null or p_limit not between 1 and 1000 then
        perform internal.refuse('limit', p_limit::text, 'must be 1 to 1000', 'Page with before: the print_id of the last one seen.');
    end if;
    return query
        select t.trade_id, t.executed_at, t.side, t.quantity, t.price
        from public.trades t
        where t.instrument_id = p_instrument_id and t.liquidity = 'taker' and (p_before is null or t.trade_id < p_before)
        order by t.trade_id desc
        limit p_limit;
end;
$$;
comment on function prints is
    'The last matches of an instrument, newest first, without parties: side is that of the order that took. p_before is the print_id to go on from.';

create or replace function candles(p_instrument_id bigint, p_interval interval, p_from timestamp, p_to timestamp)
returns table ("time" timestamp, open numeric, high numeric, low numeric, close numeric, volume numeric)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_months integer := extract(year from p_interval) * 12 + extract(month from p_interval);
    v_rest interval := p_interval - make_interval(months => v_months);
begin
    if p_interval is null or p_interval <= interval '0' then
        perform internal.refuse('interval', p_interval::text, 'must be more than zero', 'Give an interval such as 5 minutes, 1 day or 1 month.');
    elsif v_months > 0 and v_rest <> interval '0' then
        perform internal.refuse('interval', p_interval::text, 'mixes months and a length of time', 'Give whole months, or days and smaller.');
    elsif p_from is null or p_to is null then
        perform internal.refuse(case when p_from is null then 'from' else 'to' end, null, 'is missing', 'Give both ends of the time asked for.');
    end if;
    if v_months > 0 then
        -- Months have no fixed length: they are counted from the year 2000.
        return query
            select timestamp '2000-01-01' + make_interval(months => b.bin * v_months),
                   (array_agg(b.open order by b.time))[1], max(b.high), min(b.low), (array_agg(b.close order by b.time desc))[1], sum(b.volume)
            from (
                select m.*, floor(((extract(year from m.time) - 2000) * 12 + extract(month from m.time) - 1) / v_months)::integer as bin
                from public.market_data m
                where m.instrument_id = p_instrument_id and m.time >= p_from and m.time < p_to
            ) b
            group by b.bin
            order by b.bin;
    else
        -- Weeks start on Monday: so does the origin.
        return query
            select b.bin, (array_agg(b.open order by b.time))[1], max(b.high), min(b.low), (array_agg(b.close order by b.time desc))[1], sum(b.volume)
            from (
                select m.*, date_bin(p_interval, m.time, timestamp '2000-01-03') as bin
                from public.market_data m
                where m.instrument_id = p_instrument_id and m.time >= p_from and m.time < p_to
            ) b
            group by b.bin
            order by b.bin;
    end if;
end;
$$;
comment on function candles is 'Bars of any interval from the one-minute bars kept, from p_from (inclusive) to p_to (exclusive), UTC; times without trades have none.';

create or replace function internal.ensure_bar_partitions(p_from timestamp, p_to timestamp) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_month timestamp := date_trunc('month', p_from);
    v_name text;
    v_made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('internal.ensure_bar_partitions'));
    while v_month <= p_to loop
        v_name := 'market_data_' || to_char(v_month, 'YYYY_MM');
        if to_regclass('internal.' || v_name) is null then
            -- What the default partition took in meanwhile moves into the new one.
            execute format('create table internal.%I (like public.market_data including defaults)', v_name);
            execute format('with moved as (delete from internal.market_data_default where time >= %L and time < %L returning *)
                            insert into internal.%I select * from moved', v_month, v_month + interval '1 month', v_name);
            execute format('alter table public.market_data attach partition internal.%I for values from (%L) to (%L)',
                v_name, v_month, v_month + interval '1 month');
            v_made := v_made + 1;
        end if;
        v_month := v_month + interval '1 month';
    end loop;
    return v_made;
end;
$$;
comment on function internal.ensure_bar_partitions is 'Makes the monthly partitions of market_data from one time to another where they are missing; returns how many.';
select internal.ensure_bar_partitions((now() at time zone 'UTC')::timestamp, (now() at time zone 'UTC' + interval '12 months')::timestamp);
