-- What must be true of the orders, of the book that they make, and of those that hang together: a part of verify_ledger.

create or replace function internal.broken_orders(p_account_id bigint)
returns table (invariant text, subject text, detail jsonb)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with
    o as materialized (
        select r.*, nullif(i.tick_size, 0) as tick_size, nullif(i.lot_size, 0) as lot_size,
               r.status in ('pending', 'open', 'partially_filled') and r.priority is not null as working,
               r.status in ('open', 'partially_filled') as in_book,
               -- A row that somebody inserted and nobody accepted may say anything: it is rejected for it, or waits to be.
               e.order_id is not null or r.priority is not null as accepted
        from public.orders r
        left join public.instruments i on i.instrument_id = r.instrument_id
        left join (
            select distinct j.order_id from public.journal j
            where j.kind = 'accepted' and (p_account_id is null or j.account_id = p_account_id)
        ) e on e.order_id = r.order_id
        where p_account_id is null or r.account_id = p_account_id
    ),
    -- The trades of these orders, whoever they say that they belong to.
    fills as materialized (
        select x.order_id, sum(x.quantity) as quantity, max(x.executed_at) as last_at
        from public.trades x
        where p_account_id is null or x.order_id in (select o.order_id from o)
        group by x.order_id
    ),
    book as materialized (
        select r.instrument_id, max(r.price) filter (where r.side = 'buy') as bid, min(r.price) filter (where r.side = 'sell') as ask
        from public.orders r
        where r.status in ('open', 'partially_filled')
        group by r.instrument_id
    ),
    tops as materialized (
        select b.instrument_id, b.bid, b.ask, sum(r.quantity - r.filled_quantity) filter (where r.side = 'buy') as bid_size,
               sum(r.quantity - r.filled_quantity) filter (where r.side = 'sell') as ask_size
        from book b
        join public.orders r on r.instrument_id = b.instrument_id and r.status in ('open', 'partially_filled')
            and r.price = case r.side when 'buy' then b.bid else b.ask end
        group by b.instrument_id, b.bid, b.ask
    ),
    waiting as materialized (
        select r.instrument_id, count(*) as stops, min(r.stop_price) filter (where r.side = 'buy') as buy_stop,
               max(r.stop_price) filter (where r.side = 'sell') as sell_stop
        from public.orders r
        where r.status = 'pending' and r.order_type in ('stop', 'stop_limit') and r.priority is not null
        group by r.instrument_id
    ),
    linked as materialized (
        select r.instrument_id, count(*) as orders
        from public.orders r
        where r.status in ('pending', 'open', 'partially_filled') and r.priority is not null
            and coalesce(r.oco_id, r.take_profit, r.stop_loss, r.trail_amount, r.trail_percent) is not null
        group by r.instrument_id
    ),
    prints as materialized (
        select distinct on (x.instrument_id) x.instrument_id, x.price, x.executed_at
        from public.trades x
        where p_account_id is null
        order by x.instrument_id, x.trade_id desc
    )

    -- Orders (rules 1 to 3, 8, 9)
    select 'order words', 'order ' || o.order_id,
           jsonb_build_object('order_type', o.order_type, 'side', o.side, 'time_in_force', o.time_in_force, 'status', o.status)
    from o
    where coalesce(o.status, '') not in ('pending', 'open', 'partially_filled', 'filled', 'cancelled', 'rejected', 'expired')
        or o.accepted and (o.order_type not in ('market', 'limit', 'stop', 'stop_limit') or o.side not in ('buy', 'sell')
            or coalesce(o.time_in_force, '') not in ('GTC', 'DAY', 'IOC', 'FOK'))
    union all
    select 'order terms', 'order ' || o.order_id,
           jsonb_build_object('quantity', o.quantity, 'price', o.price, 'stop_price', o.stop_price, 'tick_size', o.tick_size, 'lot_size', o.lot_size)
    from o
    where o.accepted
        and (o.quantity <= 0 or o.quantity % coalesce(o.lot_size, 0.00000001) <> 0
            or (o.price is not null) <> (o.order_type in ('limit', 'stop_limit'))
            or (o.stop_price is not null) <> (o.order_type in ('stop', 'stop_limit'))
            or o.price <= 0 or o.price % coalesce(o.tick_size, 0.00000001) <> 0
            or o.stop_price <= 0 or o.stop_price % coalesce(o.tick_size, 0.00000001) <> 0)
    union all
    select 'filled quantity is the sum of the trades', 'order ' || o.order_id,
           jsonb_build_object('filled_quantity', o.filled_quantity, 'trades', coalesce(f.quantity, 0))
    from o
    left join fills f on f.order_id = o.order_id
    where o.filled_quantity is distinct from coalesce(f.quantity, 0)
    union all
    select 'status fits the fills', 'order ' || o.order_id,
           jsonb_build_object('status', o.status, 'quantity', o.quantity, 'filled_quantity', o.filled_quantity, 'filled_at', o.filled_at)
    from o
    where o.filled_quantity < 0
        or o.status in ('pending', 'open', 'rejected') and o.filled_quantity <> 0
        or o.status = 'partially_filled' and (o.filled_quantity = 0 or o.filled_quantity = o.quantity)
        or (o.status = 'filled') <> (o.filled_at is not null)
        or o.accepted and (
            o.filled_quantity > o.quantity
            or o.status in ('cancelled', 'expired') and o.filled_quantity = o.quantity
            or (o.status = 'filled') <> (o.filled_quantity = o.quantity)
            or o.status = 'pending' and o.order_type not in ('stop', 'stop_limit'))
    union all
    select 'filled_at is the time of the last fill', 'order ' || o.order_id, jsonb_build_object('filled_at', o.filled_at, 'last_fill', f.last_at)
    from o
    join fills f on f.order_id = o.order_id
    where o.status = 'filled' and o.filled_at is distinct from f.last_at
    union all
    select 'what works has its place', 'order ' || o.order_id, jsonb_build_object('status', o.status, 'priority', o.priority)
    from o
    where o.priority is null and (o.in_book or o.status = 'pending' and o.accepted)
    union all
    select 'what never rests does not rest', 'order ' || o.order_id, jsonb_build_object('order_type', o.order_type, 'time_in_force', o.time_in_force)
    from o
    where o.in_book and (o.order_type in ('market', 'stop') or o.time_in_force in ('IOC', 'FOK'))
    union all
    select 'fill or kill', 'order ' || o.order_id, jsonb_build_object('quantity', o.quantity, 'filled_quantity', o.filled_quantity)
    from o
    where o.time_in_force = 'FOK' and o.filled_quantity not in (0, o.quantity)
    union all
    select 'every end has its reason', 'order ' || o.order_id, jsonb_build_object('status', o.status)
    from o
    where o.status in ('cancelled', 'rejected', 'expired') and o.reason is null
    union all
    -- The book (rules 6, 13)
    select 'the book is not crossed', 'instrument ' || b.instrument_id, jsonb_build_object('bid', b.bid, 'ask', b.ask)
    from book b
    where p_account_id is null and b.bid >= b.ask
    union all
    select 'the top of the book is the best of the orders', 'instrument ' || k.instrument_id,
           jsonb_build_object('bid', k.bid_price, 'bid_size', k.bid_size, 'ask', k.ask_price, 'ask_size', k.ask_size, 'orders', to_jsonb(b))
    from internal.books k
    left join tops b on b.instrument_id = k.instrument_id
    where p_account_id is null and (k.bid_price, k.bid_size, k.ask_price, k.ask_size) is distinct from (b.bid, b.bid_size, b.ask, b.ask_size)
    union all
    select 'waiting stops are counted', 'instrument ' || k.instrument_id,
           jsonb_build_object('waiting_stops', k.waiting_stops, 'buy_stop', k.buy_stop, 'sell_stop', k.sell_stop, 'orders', to_jsonb(w))
    from internal.books k
    left join waiting w on w.instrument_id = k.instrument_id
    where p_account_id is null and (k.waiting_stops, k.buy_stop, k.sell_stop) is distinct from (coalesce(w.stops, 0), w.buy_stop, w.sell_stop)
    union all
    -- Where none are counted, no request looks for them; one too many is counted until the next request looks.
    select 'linked orders are counted', 'instrument ' || k.instrument_id, jsonb_build_object('linked_orders', k.linked_orders, 'orders', l.orders)
    from internal.books k
    join linked l on l.instrument_id = k.instrument_id
    where p_account_id is null and k.linked_orders < l.orders
    union all
    select 'the last price is the last trade''s', 'instrument ' || x.instrument_id,
           jsonb_build_object('last_price', k.last_price, 'last_at', k.last_at, 'price', x.price, 'executed_at', x.executed_at)
    from prints x
    left join internal.books k on k.instrument_id = x.instrument_id
    where k.last_price is distinct from x.price or (k.last_at >= x.executed_at) is not true
    union all
    select 'the book is its instrument''s', 'instrument ' || coalesce(i.instrument_id, k.instrument_id), coalesce(to_jsonb(i), to_jsonb(k))
    from public.instruments i
    full join internal.books k on k.instrument_id = i.instrument_id
    where p_account_id is null
        and (k.symbol, k.currency, k.is_active, k.tick_size, k.lot_size)
            is distinct from (i.symbol, i.currency, coalesce(i.is_active, true), nullif(i.tick_size, 0), nullif(i.lot_size, 0))
    union all
    -- Linked orders (rules L1, L2)
    select 'a pair shares one quantity', 'pair ' || s.oco_id, to_jsonb(s)
    from (
        select o.oco_id, count(*) filter (where o.working) as working, min(o.quantity - o.filled_quantity) filter (where o.working) as least,
               max(o.quantity - o.filled_quantity) filter (where o.working) as most, count(distinct o.side) as sides,
               bool_or(not o.working and not (o.status = 'cancelled' and o.order_type = 'stop' and o.triggered_at is not null)) as ended
        from o
        where o.oco_id is not null
        group by o.oco_id
    ) s
    where s.working > 2 or s.sides > 1 or s.least <> s.most or s.working > 0 and s.ended
    union all
    select 'what an entry fills has its exits', 'order ' || o.order_id,
           jsonb_build_object('filled_quantity', o.filled_quantity, 'covered_quantity', o.covered_quantity)
    from o
    where o.accepted
        and o.covered_quantity is distinct from case when coalesce(o.take_profit, o.stop_loss) is not null then o.filled_quantity end
$$;
comment on function internal.broken_orders is 'The invariants of orders, book and linked orders that are broken, of one account or of all.';
