-- Ways through an account's past: back and forth by event, and how much happened when.

create or replace function account_events_back(
    p_account_id bigint, p_before bigint default null, p_kinds text[] default null, p_instrument_id bigint default null, p_limit bigint default 1
) returns table (event_id bigint, at timestamp, kind varchar, order_id bigint, instrument_id bigint, detail jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
begin
    perform internal.enter_replay(p_account_id);
    if p_limit < 1 then
        perform internal.refuse('limit', p_limit::text, 'must be at least 1', 'Leave it out for all events.');
    end if;
    return query
        select j.event_id, j.at, j.kind, j.order_id, j.instrument_id, j.detail
        from public.journal j
        where j.account_id = p_account_id and j.event_id < coalesce(p_before, 9223372036854775807)
            and (p_kinds is null or j.kind = any (p_kinds))
            and (p_instrument_id is null or j.instrument_id = p_instrument_id)
        order by j.event_id desc
        limit p_limit;
end;
$$;
comment on function account_events_back is 'What happened to an account before an event, latest first; by kind or instrument. Null: from the last event on.';

create or replace function internal.count_events(p_account_id bigint, p_event_id bigint) returns bigint
language plpgsql stable as $$
declare
    v_event bigint;
    v_events bigint;
begin
    select c.event_id, c.events into v_event, v_events
    from internal.account_checkpoints c
    where c.account_id = p_account_id and c.event_id <= p_event_id
    order by c.event_id desc
    limit 1;
    return coalesce(v_events, 0) + (
        select count(*) from public.journal j
        where j.account_id = p_account_id and j.event_id > coalesce(v_event, 0) and j.event_id <= p_event_id);
end;
$$;
comment on function internal.count_events is 'How many events an account has up to one of them: those of the checkpoint before it, and those since.';

create or replace function account_density(p_account_id bigint, p_from timestamp, p_to timestamp, p_buckets integer default 100)
returns table (at timestamp, events bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_before bigint;
    v_now bigint;
begin
    perform internal.enter_replay(p_account_id);
    if p_from is null or p_to is null then
        perform internal.refuse(case when p_from is null then 'from' else 'to' end, null, 'is missing', 'Give both ends of the time asked for.');
    elsif p_to <= p_from then
        perform internal.refuse('to', p_to::text, format('is not after %s', p_from), 'Exchange the two.');
    elsif p_buckets is null or p_buckets not between 1 and 1000 then
        perform internal.refuse('buckets', p_buckets::text, 'must be from 1 to 1000', 'Give the number of parts to count in.');
    end if;
    if current_setting('transaction_read_only') = 'off' then
        perform internal.extend_checkpoints(p_account_id, 9223372036854775807);
    end if;
    v_before := coalesce(internal.count_events(p_account_id, internal.last_event(p_account_id, null, p_from - interval '1 microsecond')), 0);
    for n in 1..p_buckets loop
        at := p_from + (p_to - p_from) / p_buckets * (n - 1);
        v_now := coalesce(internal.count_events(p_account_id, internal.last_event(p_account_id, null, case
            when n = p_buckets then p_to else p_from + (p_to - p_from) / p_buckets * n - interval '1 microsecond' end)), 0);
        events := v_now - v_before;
        v_before := v_now;
        return next;
    end loop;
end;
$$;
comment on function account_density is 'How many events an account had in each of p_buckets equal parts of a time (UTC), by the beginning of each part.';

create or replace function account_span(p_account_id bigint)
returns table (first_event bigint, first_at timestamp, last_event bigint, last_at timestamp)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
begin
    perform internal.enter_replay(p_account_id);
    select j.event_id, j.at into first_event, first_at from public.journal j where j.account_id = p_account_id order by j.event_id limit 1;
    select j.event_id, j.at into last_event, last_at from public.journal j where j.account_id = p_account_id order by j.event_id desc limit 1;
    return next;
end;
$$;
comment on function account_span is 'The first and the last event of an account, and their times (UTC).';

create or replace function find_accounts(p_text varchar)
returns table (account_id bigint, account_number varchar, username varchar, found_by text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with found as (
        select a.account_id, 'number' as found_by from public.accounts a where lower(a.account_number) = lower(p_text)
        union all
        select a.account_id, 'user' from public.accounts a join public.users u on u.user_id = a.user_id where lower(u.username) = lower(p_text)
        union all
        select o.account_id, 'order'
        from public.orders o
        where o.order_id = case when p_text ~ '^[0-9]{1,18}$' then p_text::bigint end and o.account_id is not null
        union all
        (select o.account_id, 'client order id' from public.orders o where o.client_order_id = p_text and o.account_id is not null limit 20)
    )
    select distinct on (f.account_id) f.account_id, a.account_number, u.username, f.found_by
    from found f
    join internal.readable_accounts a on a.account_id = f.account_id
    left join public.users u on u.user_id = a.user_id
    order by f.account_id, f.found_by
$$;
comment on function find_accounts is 'Accounts by number, user name, order id or client order id, and by which of them.';
