-- Many orders in one transaction: a client's batch, and orders that somebody inserted with plain SQL.

drop function if exists internal.lock_for(orders[]);
create function internal.lock_for(p_orders orders[]) returns internal.stand
language plpgsql as $$
declare
    v_stand internal.stand;
    v_stops public.orders[];
    v_side record;
    v_book record;
begin
    -- All instruments, in id order.
    select array_agg(b.instrument_id), array_agg((b.instrument_id, b.symbol, b.currency, b.is_active, b.tick_size, b.lot_size, b.bid_price, b.bid_size,
               b.ask_price, b.ask_size, b.last_price, b.waiting_stops, b.updated_at, b.linked_orders, b.buy_stop, b.sell_stop)::internal.market)
    into v_stand.instruments, v_stand.markets
    from (
        select * from internal.books b
        where b.instrument_id in (select o.instrument_id from unnest(p_orders) o)
        order by b.instrument_id
        for no key update
    ) b;
    v_stand.requesters := array(select distinct o.account_id from unnest(p_orders) o where o.account_id is not null);
    v_stand.accounts := v_stand.requesters;
    v_stops := array(
        select o from public.orders o
        where o.instrument_id = any (v_stand.instruments) and o.status = 'pending' and o.order_type in ('stop', 'stop_limit') and o.priority is not null
        order by o.priority);

    -- Of each side of each book as much as all orders of the other side can reach together, with the stops that they may set off.
    for v_side in
        select k.k, s.side, coalesce(d.quantity, 0) as quantity, coalesce(d.accounts, '{}') as accounts,
               coalesce(d.price_limit, case s.side when 'sell' then 'Infinity'::numeric else 0 end) as price_limit
        from generate_series(1, cardinality(v_stand.instruments)) k (k)
        cross join (values (1, 'buy'), (2, 'sell')) as s (number, side)
        left join (
            select o.instrument_id, o.side, sum(o.quantity - o.filled_quantity) as quantity, array_agg(distinct o.account_id) as accounts,
                   case o.side when 'buy' then max(coalesce(o.price, 'Infinity')) else min(coalesce(o.price, 0)) end as price_limit
            from unnest(p_orders || v_stops) o
            group by o.instrument_id, o.side
        ) d on d.instrument_id = v_stand.instruments[k.k] and d.side <> s.side
        order by k.k, s.number
    loop
        v_book := internal.resting(v_stand.markets[v_side.k], v_side.side, v_side.price_limit, v_side.quantity, v_side.accounts);
        v_stand.heads := v_stand.heads || case when v_book.makers is null then 0 else coalesce(cardinality(v_stand.orders), 0) + 1 end;
        v_stand.orders := v_stand.orders || v_book.makers;
        v_stand.ends := v_stand.ends || coalesce(cardinality(v_stand.orders), 0);
        v_stand.next_prices := v_stand.next_prices || v_book.next_price;
        v_stand.next_sizes := v_stand.next_sizes || v_book.next_size;
        v_stand.accounts := v_stand.accounts || v_book.accounts;
    end loop;
    v_stand.stops := array(select coalesce(cardinality(v_stand.orders), 0) + n from generate_series(1, cardinality(v_stops)) n);
    v_stand.orders := v_stand.orders || v_stops;
    -- Where a stop may be set off, or orders hang together, everyone with a working order may take part.
    for v_side in
        select m.instrument_id from unnest(v_stand.markets) m
        where m.waiting_stops > 0 or m.linked_orders > 0
            or exists (select from unnest(p_orders) o where o.instrument_id = m.instrument_id and o.order_type in ('stop', 'stop_limit'))
    loop
        v_stand.accounts := v_stand.accounts || internal.participants(v_side.instrument_id);
    end loop;
    perform from public.accounts a where a.account_id = any (v_stand.accounts) order by a.account_id for no key update;
    return v_stand;
end;
$$;
comment on function internal.lock_for is
    'Takes every lock that these orders can need, instruments before accounts, each in id order, so that working through them waits for nobody; and reads whom they can meet.';

create or replace function internal.batch_element(p_element jsonb) returns orders
language plpgsql stable as $$
declare
    v_words constant text[] := '{account_id,instrument_id,order_type,side,quantity,price,stop_price,time_in_force,post_only,self_trade,client_order_id}';
    v_word text;
    v_value text;
    v_order public.orders;
begin
    if jsonb_typeof(p_element) <> 'object' then
        perform internal.refuse('order', left(p_element::text, 60), 'is no object', 'Send objects with the words of place_order.');
    end if;
    for v_word in select k from jsonb_object_keys(p_element) k where k <> all (v_words) order by k loop
        perform internal.refuse(v_word, p_element ->> v_word, 'is no term of an order', 'The terms are ' || array_to_string(v_words, ', ') || '.');
    end loop;
    -- Each word in its own type: what does not convert is named.
    foreach v_word in array v_words loop
        v_value := p_element ->> v_word;
        begin
            case v_word
                when 'account_id' then v_order.account_id := v_value;
                when 'instrument_id' then v_order.instrument_id := v_value;
                when 'order_type' then v_order.order_type := v_value;
                when 'side' then v_order.side := v_value;
                when 'quantity' then perform v_value::numeric;
                when 'price' then perform v_value::numeric;
                when 'stop_price' then perform v_value::numeric;
                when 'time_in_force' then v_order.time_in_force := coalesce(v_value, 'GTC');
                when 'post_only' then v_order.post_only := coalesce(v_value, 'false');
                when 'self_trade' then v_order.self_trade := coalesce(v_value, 'cancel_newest');
                when 'client_order_id' then v_order.client_order_id := v_value;
            end case;
        exception
            when invalid_text_representation or numeric_value_out_of_range then
                perform internal.refuse(v_word, v_value, 'is not of its type', 'See place_order for the type of each term.');
            when string_data_right_truncation then
                perform internal.refuse(v_word, v_value, 'is too long', 'See place_order for the words that it takes.');
        end;
    end loop;
    return v_order;
end;
$$;
comment on function internal.batch_element is 'Reads one element of place_orders word by word; the first that is wrong is an error that names it.';

create or replace function internal.batch_request(p_element jsonb) returns orders
language plpgsql stable as $$
declare
    v_order public.orders := internal.batch_element(p_element);
    v_market internal.market;
begin
    select * into v_market from internal.markets m where m.instrument_id = v_order.instrument_id;
    if not found then
        perform internal.refuse('instrument_id', p_element ->> 'instrument_id', 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    elsif not exists (select from internal.own_accounts a where a.account_id = v_order.account_id) then
        perform internal.refuse('account_id', p_element ->> 'account_id', 'there is no such account', 'The table accounts lists them.', 'PS002');
    end if;
    return internal.request(v_order.account_id, v_order.order_type, v_order.side, (p_element ->> 'quantity')::numeric,
        (p_element ->> 'price')::numeric, (p_element ->> 'stop_price')::numeric, v_order.time_in_force, v_order.post_only,
        v_order.self_trade, v_order.client_order_id, v_market);
end;
$$;
comment on function internal.batch_request is 'What one element of place_orders asks for, looked at piece by piece; the first thing that is wrong is an error that names it.';

create or replace function internal.batch_requests(p_orders jsonb, out requests orders[], out ordinals integer[])
language plpgsql stable as $$
begin
    -- All at once, where every word converts and every object has no word too many; those that make no sense are left out.
    if exists (
        select from jsonb_array_elements(p_orders) e cross join lateral jsonb_object_keys(e) k
        where k not in ('account_id', 'instrument_id', 'order_type', 'side', 'quantity', 'price', 'stop_price', 'time_in_force', 'post_only',
            'self_trade', 'client_order_id'))
    then
        return;
    end if;
    select array_agg((null, e.account_id, e.instrument_id, e.order_type, e.side, e.quantity, e.price, null, null, e.time_in_force, null, null,
               null, 0, e.post_only, e.self_trade, e.client_order_id, null, null, null, 0, null, null, null, null, null, null, null, null)::public.orders
               order by e.ordinality),
           array_agg(e.ordinality order by e.ordinality)
    into requests, ordinals
    from (
        select r.account_id, r.instrument_id, r.order_type, r.side, r.quantity, r.price, r.stop_price, r.client_order_id, r.ordinality,
               coalesce(r.time_in_force, 'GTC') as time_in_force, coalesce(r.post_only, false) as post_only,
               coalesce(r.self_trade, 'cancel_newest') as self_trade
        from rows from (jsonb_to_recordset(p_orders) as (
            account_id bigint, instrument_id bigint, order_type text, side text, quantity numeric, price numeric, stop_price numeric,
            time_in_force text, post_only boolean, self_trade text, client_order_id text)) with ordinality r
    ) e
    join public.instruments i on i.instrument_id = e.instrument_id
    join internal.own_accounts a on a.account_id = e.account_id
    where internal.makes_sense(e.account_id, e.order_type, e.side, e.quantity, e.price, e.stop_price, e.time_in_force, e.post_only,
        e.self_trade, e.client_order_id, nullif(i.tick_size, 0), nullif(i.lot_size, 0));
exception when data_exception then
    requests := null;
    ordinals := null;
end;
$$;
comment on function internal.batch_requests is 'The elements of place_orders that make sense for certain, with their places in the array; the others are for internal.batch_request.';

create or replace function place_orders(p_orders jsonb)
returns table (ordinal integer, order_id bigint, status varchar, reason text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_market internal.market;
    v_certain record;
    v_requests public.orders[];
    v_ids bigint[];
    v_errors text[];
    v_request public.orders;
    v_stand internal.stand;
    v_settled bigint[];
    v_count integer;
begin
    if p_orders is null or jsonb_typeof(p_orders) <> 'array' then
        perform internal.refuse('orders', left(p_orders::text, 60), 'is no array', 'Send a JSON array of objects with the words of place_order.');
    end if;
    v_count := jsonb_array_length(p_orders);
    v_requests := array_fill(null::public.orders, array[v_count]);
    v_errors := array_fill(null::text, array[v_count]);
    v_ids := array_fill(null::bigint, array[v_count]);

    -- What each element asks for. One that makes no sense is told as such, and spoils no other.
    select * into v_certain from internal.batch_requests(p_orders);
    for v_at in 1..coalesce(cardinality(v_certain.ordinals), 0) loop
        v_requests[v_certain.ordinals[v_at]] := v_certain.requests[v_at];
    end loop;
    for v_at in 1..v_count loop
        continue when v_requests[v_at].account_id is not null;
        begin
            v_requests[v_at] := internal.batch_request(p_orders -> v_at - 1);
        exception when sqlstate 'PS001' or sqlstate 'PS002' then
            v_errors[v_at] := sqlerrm;
        end;
    end loop;

    v_stand := internal.lock_for(array(select r from unnest(v_requests) r where (r).account_id is not null));
    if v_stand.instruments is not null then
        v_settled := internal.settle(v_requests, v_stand);
    end if;
    for v_at in 1..v_count loop
        -- All at once, or, where that cannot be told for certain, one after another.
        if v_settled is not null then
            v_ids := v_settled;
            exit;
        end if;
        v_request := v_requests[v_at];
        continue when v_request.account_id is null;
        select * into v_market from internal.markets m where m.instrument_id = v_request.instrument_id;
        if v_request.client_order_id is null then
            v_ids[v_at] := internal.enter(v_request, v_market);
        else
            -- An id that was used with other terms is an error of its element.
            begin
                v_ids[v_at] := internal.enter(v_request, v_market);
            exception when sqlstate 'PS001' then
                v_errors[v_at] := sqlerrm;
            end;
        end if;
    end loop;

    return query
        select n::integer, o.order_id, case when o.order_id is null then 'error' else o.status end, coalesce(v_errors[n], o.reason)
        from generate_series(1, v_count) n
        left join public.orders o on o.order_id = v_ids[n]
        order by n;
end;
$$;
comment on function place_orders is
    'Places a JSON array of orders in one transaction, in array order, with the outcome of one by one; a senseless element is a row with the status error and spoils no other.';

create or replace function match_pending() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_orders public.orders[];
    v_order public.orders;
    v_market internal.market;
    v_outcome internal.outcome;
    v_at timestamp;
    v_count integer := 0;
begin
    select array_agg(o order by o.order_id) into v_orders
    from public.orders o
    where o.status = 'pending' and o.priority is null and o.order_type not in ('stop', 'stop_limit');
    if v_orders is null then
        return 0;
    end if;
    perform internal.lock_for(v_orders);
    foreach v_order in array v_orders loop
        -- Somebody else may have been here while we waited.
        select * into v_order from public.orders o where o.order_id = v_order.order_id and o.status = 'pending' and o.priority is null;
        continue when not found;
        v_count := v_count + 1;
        -- What only the engine knows is not for others to write.
        v_order.filled_quantity := 0;
        v_order.reserved := 0;
        v_order.triggered_at := null;
        v_order.filled_at := null;
        v_order.time_in_force := coalesce(v_order.time_in_force, 'GTC');
        v_order.post_only := coalesce(v_order.post_only, false);
        v_order.self_trade := coalesce(v_order.self_trade, 'cancel_newest');
        begin
            if v_order.account_id is null then
                perform internal.refuse('account_id', null, 'is missing', 'Name the account that the order is for.');
            end if;
            v_market := internal.lock_market(v_order.instrument_id);
            perform internal.check_terms(v_order.order_type, v_order.side, v_order.quantity, v_order.price, v_order.stop_price,
                v_order.time_in_force, v_order.post_only, v_order.self_trade, v_market.tick_size, v_market.lot_size);
        exception when sqlstate 'PS001' or sqlstate 'PS002' then
            -- There is nobody to tell but the row itself.
            v_at := greatest(clock_timestamp() at time zone 'UTC',
                (select a.updated_at from public.accounts a where a.account_id = v_order.account_id));
            update public.orders o
            set status = 'rejected', reason = sqlerrm, updated_at = v_at, filled_quantity = 0, reserved = 0
            where o.order_id = v_order.order_id;
            update public.accounts a set updated_at = v_at where a.account_id = v_order.account_id;
            insert into public.journal
            select c.*
            from internal.chained(array[(nextval('public.journal_event_id_seq'), v_at, v_order.account_id, 'rejected', v_order.order_id,
                v_order.instrument_id, internal.order_detail(v_order) || jsonb_build_object('status', 'rejected', 'reason', sqlerrm),
                null, null)::public.journal], null) c
            where v_order.account_id is not null;
            continue;
        end;
        update public.orders o
        set filled_quantity = 0, reserved = 0, triggered_at = null, filled_at = null, time_in_force = v_order.time_in_force, post_only = v_order.post_only,
            self_trade = v_order.self_trade, terms = case when o.client_order_id is not null then internal.terms(v_order) end
        where o.order_id = v_order.order_id;
        v_outcome := internal.work(v_order, 'pending', v_market);
        if v_outcome.changed and not v_outcome.published then
            perform internal.finish(v_market, v_outcome);
        end if;
    end loop;
    return v_count;
end;
$$;
comment on function match_pending is
    'Accepts and matches orders that were inserted straight into the table as pending, stops aside, in id order; returns how many. One that makes no sense is rejected.';
