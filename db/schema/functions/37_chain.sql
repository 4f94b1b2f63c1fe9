-- The journal's chain: what makes a change of history show.
--
-- The last event that a statement writes for an account carries a link: the SHA-256 of the account's link before it and of the digests of all its
-- events since. The account is locked by whoever writes, so the link before is the last one. Events of a market (kind quoted, no account) have
-- a chain for each instrument, under its lock. Whoever changes, removes or slips in a row breaks the next link, or leaves a row without one.
-- Somebody with the owner's rights could make the rest of a chain anew; that shows against a link that was noted elsewhere before (trade audit --json).

create or replace function internal.event_text(
    p_event_id bigint, p_at timestamp, p_account_id bigint, p_kind text, p_order_id bigint, p_instrument_id bigint, p_mark numeric, p_detail jsonb
) returns text language sql stable as $$
    select format('%s|%s|%s|%s|%s|%s|%s|%s', p_event_id, extract(epoch from p_at), p_account_id, p_kind, p_order_id, p_instrument_id, p_mark, p_detail)
$$;
comment on function internal.event_text is
    'An event as the chain sees it: event_id|seconds since 1970|account_id|kind|order_id|instrument_id|mark|detail, nothing for null.';

create or replace function internal.event_digest(
    p_event_id bigint, p_at timestamp, p_account_id bigint, p_kind text, p_order_id bigint, p_instrument_id bigint, p_mark numeric, p_detail jsonb
) returns bytea language sql stable as $$
    select sha256(convert_to(
        format('%s|%s|%s|%s|%s|%s|%s|%s', p_event_id, extract(epoch from p_at), p_account_id, p_kind, p_order_id, p_instrument_id, p_mark, p_detail),
        'UTF8'))
$$;
comment on function internal.event_digest is 'SHA-256 of internal.event_text.';

-- The link before is looked up by a range of one account, not by equality: then only the index by account has the order that is asked for, and the
-- planner does not walk the whole journal backwards until it meets an account that has been still for long.
create or replace function internal.chained(p_events journal[], p_mark numeric) returns setof journal language sql stable as $$
    select c.event_id, c.at, c.account_id, c.kind, c.order_id, c.instrument_id, c.detail, p_mark,
           case when c.is_last then sha256(coalesce((
               select j.hash from public.journal j
               where j.account_id between c.account_id and c.account_id and j.hash is not null
               order by j.account_id desc, j.event_id desc
               limit 1), '') || c.digests) end
    from (
        select e.*, string_agg(internal.event_digest(e.event_id, e.at, e.account_id, e.kind, e.order_id, e.instrument_id, p_mark, e.detail), '') over w as digests, lead(e.event_id) over w is null as is_last
        from unnest(p_events) e
        window w as (partition by e.account_id order by e.event_id)
    ) c
$$;
comment on function internal.chained is
    'Events as the journal takes them, with the mark of their instrument and their links. The accounts are locked, and nothing of this statement is written yet.';

create or replace function internal.chained_each(p_events journal[], p_marks numeric[]) returns setof journal language sql stable as $$
    select c.event_id, c.at, c.account_id, c.kind, c.order_id, c.instrument_id, c.detail, c.mark,
           case when c.is_last then sha256(coalesce((
               select j.hash from public.journal j
               where j.account_id between c.account_id and c.account_id and j.hash is not null
               order by j.account_id desc, j.event_id desc
               limit 1), '') || c.digests) end
    from (
        select e.*, string_agg(internal.event_digest(e.event_id, e.at, e.account_id, e.kind, e.order_id, e.instrument_id, e.mark, e.detail), '') over w as digests,
               lead(e.event_id) over w is null as is_last
        from (
            select u.event_id, u.at, u.account_id, u.kind, u.order_id, u.instrument_id, u.detail, p_marks[u.n] as mark
            from unnest(p_events) with ordinality as u (event_id, at, account_id, kind, order_id, instrument_id, detail, mark, hash, n)
        ) e
        window w as (partition by e.account_id order by e.event_id)
    ) c
$$;
comment on function internal.chained_each is 'As internal.chained, where each event has a mark of its own.';

create or replace function internal.mark(p_market internal.market) returns numeric language sql immutable as $$
    select coalesce((p_market.bid_price + p_market.ask_price) / 2, p_market.last_price)
$$;
comment on function internal.mark is 'The mark of an instrument as the request sees it (rule 20); null where nothing of it is known.';

create or replace function internal.tell_market(p_market internal.market) returns void
language plpgsql as $$
declare
    v_event public.journal;
begin
    v_event := (nextval('public.journal_event_id_seq'), p_market.updated_at, null, 'quoted', null, p_market.instrument_id,
        jsonb_strip_nulls(jsonb_build_object('bid', p_market.bid_price, 'ask', p_market.ask_price, 'last', p_market.last_price)),
        internal.mark(p_market), null);
    v_event.hash := sha256(coalesce((
        select j.hash from public.journal j
        where j.instrument_id between p_market.instrument_id and p_market.instrument_id and j.account_id is null and j.hash is not null
        order by j.instrument_id desc, j.event_id desc
        limit 1), '') || internal.event_digest(v_event.event_id, v_event.at, v_event.account_id, v_event.kind, v_event.order_id, v_event.instrument_id, v_event.mark, v_event.detail));
    insert into public.journal select v_event.*;
end;
$$;
comment on function internal.tell_market is
    'Writes the event of a market, whose lock is held, that says what the request under way has come to: for requests that wrote their own events before they knew.';

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
