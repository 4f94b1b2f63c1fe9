-- Orders: what every client calls. Words and meanings are those of the SQL interface; the rules are in docs/rules.md.

create or replace function place_order(
    p_account_id bigint, p_instrument_id bigint, p_order_type varchar, p_side varchar, p_quantity numeric, p_price numeric default null,
    p_stop_price numeric default null, p_time_in_force varchar default 'GTC', p_post_only boolean default false,
    p_self_trade varchar default 'cancel_newest', p_client_order_id varchar default null
) returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
    v_market internal.market := internal.lock_market(p_instrument_id);
begin
    return internal.enter(internal.request(p_account_id, p_order_type, p_side, p_quantity, p_price, p_stop_price, p_time_in_force,
        p_post_only, p_self_trade, p_client_order_id, v_market), v_market);
end;
$$;
comment on function place_order is
    'Places an order: accepts or rejects it, matches it, settles every fill, all in one transaction (rules 1 to 24). Returns the order''s id; a senseless request is an error that names the field and the value.';

create or replace function internal.locked_order(p_order_id bigint, out o orders, out market internal.market)
language plpgsql as $$
declare
    v_instrument_id bigint;
begin
    select r.instrument_id into v_instrument_id from public.orders r where r.order_id = p_order_id;
    if not found then
        perform internal.refuse('order_id', p_order_id::text, 'there is no such order', 'The table orders lists them.', 'PS002');
    end if;
    market := internal.lock_market(v_instrument_id);
    select * into o from public.orders r where r.order_id = p_order_id;
end;
$$;
comment on function internal.locked_order is
    'An order as it stands, with its instrument locked: then nothing changes it. Its account is for the caller to lock, after whom it may have to lock before.';

create or replace function internal.end_orders(p_orders bigint[], p_status text, p_reason text, p_at timestamp) returns void
language plpgsql as $$
declare
    v_stops bigint[];
begin
    with before as (
        select o.order_id, o.account_id, o.instrument_id, o.reserved, o.filled_quantity,
               o.status = 'pending' and o.order_type in ('stop', 'stop_limit') and o.priority is not null as waited
        from public.orders o
        where o.order_id = any (p_orders)
    ),
    ended as (
        update public.orders o
        set status = p_status, reason = p_reason, reserved = 0, updated_at = p_at
        where o.order_id = any (p_orders)
    ),
    released as (
        update public.accounts a
        set reserved = a.reserved - r.reserved, updated_at = p_at
        from (select b.account_id, sum(b.reserved) as reserved from before b group by b.account_id) r
        where a.account_id = r.account_id
    ),
    told as (
        insert into public.journal
        select c.*
        from (
            select array_agg((nextval('public.journal_event_id_seq'), p_at, b.account_id, p_status, b.order_id, b.instrument_id,
                jsonb_build_object('reason', p_reason, 'filled_quantity', b.filled_quantity), null, null)::public.journal) as events
            from (select * from before order by array_position(p_orders, order_id)) b
        ) e
        cross join lateral internal.chained(e.events, null) c
    )
    select array_agg(b.instrument_id) into v_stops from before b where b.waited;
    for v_at in 1..coalesce(cardinality(v_stops), 0) loop
        perform internal.count_stops(v_stops[v_at], -1);
    end loop;
end;
$$;
comment on function internal.end_orders is 'Takes working orders out: cancelled or expired. The caller holds the locks of their instruments and accounts.';

create or replace function internal.moment(p_markets internal.market[]) returns timestamp
language sql volatile as $$
    select greatest(clock_timestamp() at time zone 'UTC', max(m.updated_at)) from unnest(p_markets) m
$$;
comment on function internal.moment is 'The time of a request: taken while its locks are held, never before what it follows (rule 15).';

create or replace function cancel_order(p_order_id bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_order_id constant bigint := internal.authorize_order(p_order_id);
    v record;
    v_order public.orders;
    v_after internal.market;
    v_left numeric;
    v_behind record;
begin
    v := internal.locked_order(p_order_id);
    v_order := v.o;
    v_after := v.market;
    if v_order.status not in ('pending', 'open', 'partially_filled') then
        return false;
    end if;
    perform from public.accounts a where a.account_id = v_order.account_id for no key update;
    v_after.updated_at := greatest(clock_timestamp() at time zone 'UTC', v_after.updated_at);

    if v_order.status = 'pending' or v_order.oco_id is not null then
        perform internal.end_orders(array[p_order_id] || internal.other_of_pair(v_order), 'cancelled', 'cancelled on request', v_after.updated_at);
        perform internal.publish(v.market, internal.read_top(v_after), null, 0);
        return true;
    end if;

    -- One that rests by itself, as most do. At the best price it takes its size off the top, or the top away.
    if v_order.price = (case v_order.side when 'buy' then v_after.bid_price else v_after.ask_price end) then
        v_left := case v_order.side when 'buy' then v_after.bid_size else v_after.ask_size end - v_order.quantity + v_order.filled_quantity;
        if v_left = 0 then
            v_behind := internal.resting(v_after, v_order.side, v_order.price, 0, '{}');
            v_behind := internal.resting(v_after, v_order.side, v_order.price, v_behind.next_size, '{}');
        end if;
        if v_order.side = 'buy' then
            v_after.bid_size := v_left;
            if v_left = 0 then
                v_after.bid_price := v_behind.next_price;
                v_after.bid_size := v_behind.next_size;
            end if;
        else
            v_after.ask_size := v_left;
            if v_left = 0 then
                v_after.ask_price := v_behind.next_price;
                v_after.ask_size := v_behind.next_size;
            end if;
        end if;
    end if;
    with ended as (
        update public.orders o
        set status = 'cancelled', reason = 'cancelled on request', reserved = 0, updated_at = v_after.updated_at
        where o.order_id = p_order_id
    ),
    released as (
        update public.accounts a
        set reserved = a.reserved - v_order.reserved, updated_at = v_after.updated_at
        where a.account_id = v_order.account_id
    ),
    quoted as (
        insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
        select v_order.instrument_id, coalesce(v_after.bid_price, 0), coalesce(v_after.bid_size, 0), coalesce(v_after.ask_price, 0),
               coalesce(v_after.ask_size, 0), v_after.updated_at
        where (v_after.bid_price, v_after.bid_size, v_after.ask_price, v_after.ask_size)
            is distinct from ((v.market).bid_price, (v.market).bid_size, (v.market).ask_price, (v.market).ask_size)
    ),
    shown as (
        update internal.books b
        set bid_price = v_after.bid_price, bid_size = v_after.bid_size, ask_price = v_after.ask_price, ask_size = v_after.ask_size,
            version = b.version + 1, updated_at = v_after.updated_at
        where b.instrument_id = v_order.instrument_id
    )
    insert into public.journal (event_id, at, account_id, kind, order_id, instrument_id, detail, mark, hash)
    select e.event_id, v_after.updated_at, v_order.account_id, 'cancelled', p_order_id, v_order.instrument_id, e.detail, e.mark, sha256(coalesce((
               select l.hash from public.journal l
               where l.account_id between v_order.account_id and v_order.account_id and l.hash is not null -- see 37_chain.sql
               order by l.account_id desc, l.event_id desc
               limit 1), '')
               || internal.event_digest(e.event_id, v_after.updated_at, v_order.account_id, 'cancelled', p_order_id, v_order.instrument_id,
                   e.mark, e.detail))
    from (
        select nextval('public.journal_event_id_seq') as event_id, internal.mark(v_after) as mark,
               jsonb_build_object('reason', 'cancelled on request', 'filled_quantity', v_order.filled_quantity) as detail
        offset 0
    ) e;
    return true;
end;
$$;
comment on function cancel_order is 'True: the order was working and is now cancelled; its fills stay. False: it was final already.';

create or replace function internal.working_orders(p_account_id bigint, p_instrument_id bigint, p_side text, p_day_before timestamp) returns setof orders
language plpgsql as $$
begin
    -- Two statements, so that each has the plan for what it is asked.
    if p_account_id is not null then
        return query
            select * from public.orders o
            where o.status in ('pending', 'open', 'partially_filled') and o.account_id = p_account_id
                and (p_instrument_id is null or o.instrument_id = p_instrument_id)
                and (p_side is null or o.side = p_side);
    else
        return query
            select * from public.orders o
            where o.status in ('pending', 'open', 'partially_filled') and o.time_in_force = 'DAY' and o.created_at < p_day_before;
    end if;
end;
$$;
comment on function internal.working_orders is
    'The working orders of an account, in one instrument or on one side where asked; or, without an account, the DAY orders entered before a time.';

create or replace function internal.end_all(p_where_account bigint, p_where_instrument bigint, p_side text, p_day_before timestamp, p_status text, p_reason text)
returns integer language plpgsql as $$
declare
    v_instruments bigint[];
    v_markets internal.market[] := '{}';
    v_market internal.market;
    v_after internal.market;
    v_orders bigint[];
    v_at timestamp;
begin
    -- Instruments first, then accounts, each in id order; only then is it certain which orders there are.
    select array_agg(distinct o.instrument_id order by o.instrument_id) into v_instruments
    from internal.working_orders(p_where_account, p_where_instrument, p_side, p_day_before) o;
    for v_at_instrument in 1..coalesce(cardinality(v_instruments), 0) loop
        v_markets := v_markets || internal.lock_market(v_instruments[v_at_instrument]);
    end loop;
    perform from public.accounts a
    where a.account_id = any (array(
        select o.account_id from internal.working_orders(p_where_account, p_where_instrument, p_side, p_day_before) o
        where o.instrument_id = any (v_instruments)))
    order by a.account_id
    for no key update;
    select array_agg(o.order_id order by o.order_id) into v_orders
    from internal.working_orders(p_where_account, p_where_instrument, p_side, p_day_before) o
    where o.instrument_id = any (v_instruments);
    if v_orders is null then
        return 0;
    end if;
    v_at := internal.moment(v_markets);
    perform internal.end_orders(v_orders, p_status, p_reason, v_at);
    -- One of a pair that ends takes the other with it (L1).
    perform internal.end_orders(array[x.order_id], 'cancelled', format('order %s of the pair ended', o.order_id), v_at)
    from public.orders o
    join public.orders x on x.oco_id = o.oco_id and x.order_id <> o.order_id and x.status in ('pending', 'open', 'partially_filled')
    where o.order_id = any (v_orders);
    foreach v_market in array v_markets loop
        v_after := internal.read_top(v_market);
        v_after.updated_at := v_at;
        perform internal.publish(v_market, v_after, null, 0);
    end loop;
    return cardinality(v_orders);
end;
$$;
comment on function internal.end_all is 'Ends all working orders that fit: of an account, in an instrument, on a side, or DAY orders entered before a time.';

create or replace function cancel_all_orders(p_account_id bigint, p_instrument_id bigint default null, p_side varchar default null) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
begin
    if not exists (select from public.accounts a where a.account_id = p_account_id) then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    elsif p_instrument_id is not null and not exists (select from public.instruments i where i.instrument_id = p_instrument_id) then
        perform internal.refuse('instrument_id', p_instrument_id::text, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    elsif p_side not in ('buy', 'sell') then
        perform internal.refuse('side', p_side, 'is no side', 'Use buy, sell, or leave it out for both.');
    end if;
    return internal.end_all(p_account_id, p_instrument_id, p_side, null, 'cancelled', 'cancelled with all others');
end;
$$;
comment on function cancel_all_orders is 'Cancels an account''s working orders, in one instrument or on one side where asked; returns how many.';

create or replace function expire_day_orders(p_before timestamp default (clock_timestamp() at time zone 'UTC')) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
begin
    if p_before is null then
        perform internal.refuse('before', null, 'is missing', 'Give the time before which DAY orders were entered, or leave it out for now.');
    end if;
    return internal.end_all(null, null, null, p_before, 'expired', 'end of the day');
end;
$$;
comment on function expire_day_orders is 'The end of the day: DAY orders entered before that, waiting stops included, become expired (rule 9); returns how many.';

create or replace function replace_order(p_order_id bigint, p_quantity numeric default null, p_price numeric default null, p_stop_price numeric default null)
returns boolean language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_order_id constant bigint := internal.authorize_order(p_order_id);
    v record;
    v_old public.orders;
    v_new public.orders;
    -- As they were asked for: the columns of an order would round them, or overflow.
    v_quantity numeric;
    v_price numeric;
    v_stop_price numeric;
    v_at timestamp;
    v_reason text;
    v_reserved numeric;
    v_outcome internal.outcome;
    v_after internal.market;
begin
    v := internal.locked_order(p_order_id);
    v_old := v.o;
    v_quantity := coalesce(p_quantity, v_old.quantity);
    v_price := coalesce(p_price, v_old.price);
    v_stop_price := coalesce(p_stop_price, v_old.stop_price);
    select case
        when v_old.status not in ('pending', 'open', 'partially_filled') then format('the order is %s', v_old.status)
        when v_old.priority is null then 'it is not accepted yet'
        when not (v.market).is_active then format('%s is not open for trading', (v.market).symbol)
        when a.status is distinct from 'active' then format('the account is %s', coalesce(a.status, 'not active'))
        when u.is_active is false then 'the user is not active'
        when v_quantity <= v_old.filled_quantity then
            format('quantity %s: %s has filled already', trim_scale(v_quantity), trim_scale(v_old.filled_quantity))
        when v_old.oco_id is not null and v_quantity <> v_old.quantity then
            'quantity: it belongs to the pair; cancel both and place them again'
        when v_old.triggered_at is not null and v_stop_price <> v_old.stop_price then
            format('stop_price %s: the stop has triggered', trim_scale(v_stop_price))
        end
    into v_reason
    from public.accounts a
    left join public.users u on u.user_id = a.user_id
    where a.account_id = v_old.account_id;
    if v_reason is null then
        begin
            perform internal.check_terms(v_old.order_type, v_old.side, v_quantity, v_price, v_stop_price, v_old.time_in_force,
                v_old.post_only, v_old.self_trade, (v.market).tick_size, (v.market).lot_size);
        exception when sqlstate 'PS001' then
            v_reason := sqlerrm;
        end;
    end if;

    if v_reason is null then
        if (v_quantity, v_price, v_stop_price) is not distinct from (v_old.quantity, v_old.price, v_old.stop_price) then
            return true;
        end if;
        v_new := v_old;
        v_new.quantity := v_quantity;
        v_new.price := v_price;
        v_new.stop_price := v_stop_price;
        if v_quantity > v_old.quantity or (v_price, v_stop_price) is distinct from (v_old.price, v_old.stop_price) then
            -- A new place in time: matched again as if new.
            v_outcome := internal.work(v_new, 'replace', v.market);
            if v_outcome.status = 'refused' then
                return false;
            end if;
            perform internal.finish(v.market, v_outcome);
            return true;
        end if;
    end if;

    perform from public.accounts a where a.account_id = v_old.account_id for no key update;
    v_at := internal.moment(array[v.market]);
    if v_reason is not null then
        -- Refused, with nothing changed (rule 12).
        update public.accounts a set updated_at = v_at where a.account_id = v_old.account_id;
        insert into public.journal
        select * from internal.chained(array[(nextval('public.journal_event_id_seq'), v_at, v_old.account_id, 'replace_refused', p_order_id,
            v_old.instrument_id, jsonb_build_object('reason', v_reason, 'quantity', v_quantity, 'price', v_price, 'stop_price', v_stop_price),
            null, null)::public.journal], internal.mark(v.market));
        return false;
    end if;

    -- Smaller at the same prices: it keeps its place.
    select least(v_old.reserved, internal.reserve(v_quantity - v_old.filled_quantity, coalesce(v_price, v_stop_price),
        coalesce(f.maker_rate, 0), coalesce(f.taker_rate, 0)))
    into v_reserved
    from public.accounts a
    left join public.fee_schedule f on f.account_type = a.account_type
    where a.account_id = v_old.account_id;
    update public.orders o set quantity = v_quantity, reserved = v_reserved, updated_at = v_at where o.order_id = p_order_id;
    update public.accounts a set reserved = a.reserved - v_old.reserved + v_reserved, updated_at = v_at
    where a.account_id = v_old.account_id;
    v_new.reserved := v_reserved;
    insert into public.journal
    select * from internal.chained(array[(nextval('public.journal_event_id_seq'), v_at, v_old.account_id, 'reduced', p_order_id,
        v_old.instrument_id, internal.order_detail(v_new), null, null)::public.journal], internal.mark(v.market));
    v_after := internal.read_top(v.market);
    v_after.updated_at := v_at;
    perform internal.publish(v.market, v_after, null, 0);
    return true;
end;
$$;
comment on function replace_order is
    'Changes a working order''s total quantity, price or stop price (rule 12); null leaves a term as it is. False: refused, with nothing changed, and the journal says why.';
