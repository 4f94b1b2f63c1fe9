-- The journal's chain: what makes a change of history show.
--
-- The last event that a statement writes for an account carries a link: the SHA-256 of the account's link before it and of the digests of all its
-- events since. The account is locked by whoever writes, so the link before is the last one. Events of a market (kind quoted, no account) have
-- a chain for each instrument, under its lock. Whoever changes, removes or slips in a row breaks the next link, or leaves a row without one.
-- Somebody with the owner's rights could make the rest of a chain anew; that shows against a link that was noted elsewhere before (trade audit --json).

create or replace function internal.event_text(e journal, p_mark numeric) returns text language sql stable as $$
    select format('%s|%s|%s|%s|%s|%s|%s|%s', e.event_id, extract(epoch from e.at), e.account_id, e.kind, e.order_id, e.instrument_id, p_mark, e.detail)
$$;
comment on function internal.event_text is
    'An event as the chain sees it: event_id|seconds since 1970|account_id|kind|order_id|instrument_id|mark|detail, nothing for null.';

create or replace function internal.event_digest(e journal, p_mark numeric) returns bytea language sql stable as $$
    select sha256(convert_to(internal.event_text(e, p_mark), 'UTF8'))
$$;
comment on function internal.event_digest is 'SHA-256 of an event''s text.';

create or replace function internal.chained_each(p_events journal[], p_marks numeric[]) returns setof journal language sql stable as $$
    with events as materialized (
        select e.event_id, e.at, e.account_id, e.kind, e.order_id, e.instrument_id, e.detail, p_marks[least(e.n, cardinality(p_marks))] as mark,
               internal.event_digest((e.event_id, e.at, e.account_id, e.kind, e.order_id, e.instrument_id, e.detail, null, null)::public.journal,
                   p_marks[least(e.n, cardinality(p_marks))]) as digest
        from unnest(p_events) with ordinality as e (event_id, at, account_id, kind, order_id, instrument_id, detail, mark, hash, n)
    ),
    links as (
        select max(e.event_id) as event_id,
               sha256(coalesce(case
                   when e.account_id is not null then (
                       select j.hash from public.journal j
                       where j.account_id = e.account_id and j.hash is not null
                       order by j.event_id desc limit 1)
                   else (
                       select j.hash from public.journal j
                       where j.instrument_id = min(e.instrument_id) and j.account_id is null and j.hash is not null
                       order by j.event_id desc limit 1)
               end, '') || string_agg(e.digest, '' order by e.event_id)) as hash
        from events e
        group by e.account_id
    )
    select e.event_id, e.at, e.account_id, e.kind, e.order_id, e.instrument_id, e.detail, e.mark, l.hash
    from events e
    left join links l on l.event_id = e.event_id
$$;
comment on function internal.chained_each is
    'Events as the journal takes them, with the marks of their instruments (the last one for all that follow) and their links. The accounts are locked, and nothing of this statement is written yet.';

create or replace function internal.chained(p_events journal[], p_mark numeric) returns setof journal language sql stable as $$
    select * from internal.chained_each(p_events, array[p_mark])
$$;
comment on function internal.chained is 'Events with one mark for all of them.';

create or replace function internal.mark(p_market internal.market) returns numeric language sql immutable as $$
    select coalesce((p_market.bid_price + p_market.ask_price) / 2, p_market.last_price)
$$;
comment on function internal.mark is 'The mark of an instrument as the request sees it (rule 20); null where nothing of it is known.';

-- The account itself: what it was opened as, and what became of its terms. Not on the way of any order.

create or replace function internal.account_terms(a accounts) returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'account_number', a.account_number, 'account_type', a.account_type, 'currency', a.currency, 'status', a.status, 'user_id', a.user_id,
        'initial_rate', m.initial_rate, 'maintenance_long_rate', m.maintenance_long_rate, 'maintenance_short_rate', m.maintenance_short_rate))
    from (select) x
    left join public.margin_schedule m on m.account_type = a.account_type
$$;
comment on function internal.account_terms is 'What the journal says of an account when it is opened and when its terms change: its type, and the rates of rule 22.';

create or replace function internal.journal_opened() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.journal
    select c.*
    from inserted a
    cross join lateral internal.chained(array[(nextval('public.journal_event_id_seq'),
        greatest(clock_timestamp() at time zone 'UTC', a.updated_at), a.account_id, 'opened', null, null,
        internal.account_terms(a::public.accounts) || jsonb_build_object('balance', coalesce(a.balance, 0)), null, null)::public.journal], null) c;
    return null;
end;
$$;
create or replace trigger accounts_opened after insert on accounts referencing new table as inserted
    for each statement execute function internal.journal_opened();

create or replace function internal.journal_terms() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.journal
    select * from internal.chained(array[(nextval('public.journal_event_id_seq'),
        greatest(clock_timestamp() at time zone 'UTC', new.updated_at), new.account_id, 'terms', null, null,
        internal.account_terms(new), null, null)::public.journal], null);
    return null;
end;
$$;
create or replace trigger accounts_terms after update of account_type, account_number, currency, status, user_id on accounts for each row
    when ((old.account_type, old.account_number, old.currency, old.status, old.user_id)
        is distinct from (new.account_type, new.account_number, new.currency, new.status, new.user_id))
    execute function internal.journal_terms();

create or replace function internal.journal_rates() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Every account of the type has other terms from now on. They are locked in id order, as by a request.
    perform from public.accounts a
    where a.account_type in (new.account_type, old.account_type)
    order by a.account_id
    for no key update;
    update public.accounts a set updated_at = greatest(clock_timestamp() at time zone 'UTC', a.updated_at)
    where a.account_type in (new.account_type, old.account_type);
    insert into public.journal
    select c.*
    from (select a.* from public.accounts a where a.account_type in (new.account_type, old.account_type) order by a.account_id) a
    cross join lateral internal.chained(array[(nextval('public.journal_event_id_seq'),
        greatest(clock_timestamp() at time zone 'UTC', a.updated_at), a.account_id, 'terms', null, null,
        internal.account_terms(a::public.accounts), null, null)::public.journal], null) c;
    return null;
end;
$$;
create or replace trigger margin_schedule_rates after insert or update or delete on margin_schedule for each row
    execute function internal.journal_rates();
