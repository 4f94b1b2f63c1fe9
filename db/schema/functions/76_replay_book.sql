-- The book of an instrument at any moment, from the journal alone: its working orders after a checkpoint, and the events since.

create or replace function internal.book_fold(p_instrument_id bigint, p_state jsonb, p_after bigint, p_to bigint) returns jsonb
language sql stable as $$
    with changes as (
        select k.key::bigint as order_id, 0::bigint as event_id, k.value as change
        from jsonb_each(p_state) k
        union all
        select j.order_id, j.event_id, internal.order_change(j.kind, j.at, j.instrument_id, j.detail)
        from public.journal j
        where j.instrument_id = p_instrument_id and j.event_id > p_after and j.event_id <= p_to and j.order_id is not null
    ),
    merged as (
        select c.order_id, internal.merged(c.change order by c.event_id) as said
        from changes c
        group by c.order_id
    )
    select coalesce(jsonb_object_agg(m.order_id, jsonb_build_object(
        'side', m.said -> 'side', 'price', m.said -> 'price', 'quantity', m.said -> 'quantity', 'filled_quantity', m.said -> 'filled_quantity',
        'status', m.said -> 'status', 'priority', m.said -> 'priority')), '{}')
    from merged m
    where internal.is_working(m.said)
$$;
comment on function internal.book_fold is 'The working orders of an instrument after its events up to p_to, from those after p_after; waiting stops included.';

create or replace function internal.extend_book_checkpoints(p_instrument_id bigint, p_to bigint) returns integer
language plpgsql as $$
declare
    v_event bigint;
    v_state jsonb;
    v_next bigint;
    v_made integer := 0;
begin
    select c.event_id, c.state into v_event, v_state
    from internal.book_checkpoints c
    where c.instrument_id = p_instrument_id
    order by c.event_id desc
    limit 1;
    if not found then
        v_event := 0;
        v_state := '{}';
    end if;
    loop
        -- A deep book is written down more rarely, so that its checkpoints never outgrow its journal.
        select j.event_id into v_next
        from public.journal j
        where j.instrument_id = p_instrument_id and j.event_id > v_event and j.event_id <= p_to
        order by j.event_id
        offset greatest(1000, (select count(*) from jsonb_object_keys(v_state))) - 1
        limit 1;
        exit when not found;
        v_state := internal.book_fold(p_instrument_id, v_state, v_event, v_next);
        v_event := v_next;
        insert into internal.book_checkpoints (instrument_id, event_id, state, seal)
        values (p_instrument_id, v_event, v_state, internal.checkpoint_seal('book', p_instrument_id, v_event, v_state))
        on conflict do nothing;
        v_made := v_made + 1;
    end loop;
    return v_made;
end;
$$;
comment on function internal.extend_book_checkpoints is 'Writes an instrument''s missing checkpoints up to an event; returns how many.';

create or replace function internal.book_after(p_instrument_id bigint, p_event_id bigint) returns jsonb
language plpgsql as $$
declare
    v_event bigint;
    v_state jsonb;
begin
    if current_setting('transaction_read_only') = 'off' then
        perform internal.extend_book_checkpoints(p_instrument_id, p_event_id);
    end if;
    select c.event_id, c.state into v_event, v_state
    from internal.book_checkpoints c
    where c.instrument_id = p_instrument_id and c.event_id <= p_event_id
    order by c.event_id desc
    limit 1;
    return internal.book_fold(p_instrument_id, coalesce(v_state, '{}'), coalesce(v_event, 0), coalesce(p_event_id, 0));
end;
$$;
comment on function internal.book_after is 'The working orders of an instrument after an event, by the nearest checkpoint before it.';

create or replace function book_state(
    p_instrument_id bigint, p_at timestamp default (clock_timestamp() at time zone 'UTC'), p_depth integer default 20, p_event_id bigint default null
) returns table (side varchar, price numeric, quantity numeric, orders bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_event bigint := p_event_id;
begin
    if not exists (select from public.instruments i where i.instrument_id = p_instrument_id) then
        perform internal.refuse('instrument_id', p_instrument_id::text, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    elsif p_depth is null or p_depth < 1 then
        perform internal.refuse('depth', p_depth::text, 'must be at least 1', 'Give a number of price levels.');
    elsif p_at is null and p_event_id is null then
        perform internal.refuse('at', null, 'is missing', 'Give a time in UTC, or leave it out for now.');
    elsif p_event_id is null then
        v_event := internal.last_event(null, p_instrument_id, p_at);
    end if;
    return query
        with resting as materialized (
            select o.side, o.price, o.quantity - o.filled_quantity as quantity
            from jsonb_each(internal.book_after(p_instrument_id, v_event)) k
            cross join lateral jsonb_to_record(k.value) as o (
                side varchar, price numeric, quantity numeric, filled_quantity numeric, status text, priority bigint)
            where o.status <> 'pending' and o.priority is not null and o.price is not null
        ),
        levels as (
            select r.side, r.price, sum(r.quantity) as quantity, count(*) as orders,
                   row_number() over (partition by r.side order by case r.side when 'buy' then -r.price else r.price end) as place
            from resting r
            group by r.side, r.price
        )
        select l.side, l.price, l.quantity, l.orders
        from levels l
        where l.place <= p_depth
        order by l.side, l.place;
end;
$$;
comment on function book_state is
    'Price levels of an instrument as they stood at a time (UTC), or after an event; the rows are those of order_book. Rebuilt from the journal alone.';
