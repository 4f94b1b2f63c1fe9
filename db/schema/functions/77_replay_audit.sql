-- The audit: the journal against itself (its chain), and what it comes to against the tables. Nothing is written.

create or replace function internal.audit_chain(p_account_id bigint, p_instrument_id bigint default null)
returns table (difference text, subject text, detail jsonb) language sql stable as $$
    with events as (
        select j.event_id, j.hash, internal.event_digest(j.event_id, j.at, j.account_id, j.kind, j.order_id, j.instrument_id, j.mark, j.detail) as digest
        from public.journal j
        where p_account_id is not null and j.account_id = p_account_id
        union all
        select j.event_id, j.hash, internal.event_digest(j.event_id, j.at, j.account_id, j.kind, j.order_id, j.instrument_id, j.mark, j.detail)
        from public.journal j
        where p_account_id is null and j.account_id is null and j.instrument_id = p_instrument_id
    ),
    -- A part ends with its link; what comes after the last link has none.
    parted as (
        select e.*, count(e.hash) over (order by e.event_id rows between unbounded preceding and 1 preceding) as part from events e
    ),
    parts as (
        select p.part, min(p.event_id) as first_event, max(p.event_id) as last_event, count(*) as events,
               string_agg(p.digest, '' order by p.event_id) as digests, string_agg(p.hash, '') as hash
        from parted p
        group by p.part
    ),
    linked as (
        select p.*, lag(p.hash) over (order by p.part) as before from parts p
    )
    select case when l.hash is null then 'events without a link' else 'events that do not fit their link' end,
           case when l.first_event = l.last_event then 'event ' || l.first_event else format('events %s to %s', l.first_event, l.last_event) end,
           jsonb_build_object('events', l.events, 'link', encode(l.hash, 'hex'),
               'computed', encode(sha256(coalesce(l.before, '') || l.digests), 'hex'))
    from linked l
    where l.hash is distinct from sha256(coalesce(l.before, '') || l.digests)
    order by l.part
$$;
comment on function internal.audit_chain is
    'Where an account''s chain, or without an account a market''s, does not hold: an event of that range was changed, removed or slipped in, or the last ones before it were.';

create or replace function internal.audit_account(p_account_id bigint)
returns table (difference text, subject text, detail jsonb) language sql stable as $$
    with j as materialized (
        select x.event_id, x.at, x.kind, x.order_id, x.instrument_id, x.detail from public.journal x where x.account_id = p_account_id
    ),
    last as (
        select j.event_id, j.at from j order by j.event_id desc limit 1
    ),
    a as materialized (
        select x.* from public.accounts x where x.account_id = p_account_id
    ),
    -- Every order that the journal knows, with the last word on each of its terms.
    said as materialized (
        select j.order_id, internal.merged(internal.order_change(j.kind, j.at, j.instrument_id, j.detail) order by j.event_id) as o
        from j
        where j.order_id is not null
        group by j.order_id
    ),
    told as materialized (
        select s.order_id, t.*,
               case
                   when t.ended is not null then t.ended
                   when t.status = 'pending' then 'pending'
                   when t.filled_quantity = t.quantity then 'filled'
                   when t.filled_quantity > 0 then 'partially_filled'
                   else 'open'
               end as standing
        from said s
        cross join lateral jsonb_to_record(s.o) as t (
            order_type text, side text, quantity numeric, filled_quantity numeric, price numeric, stop_price numeric, status text, time_in_force text,
            post_only boolean, client_order_id text, reserved numeric, priority bigint, instrument_id bigint, ended text)
    ),
    orders as (
        select 'an order is not as the journal has it' as difference, 'order ' || coalesce(o.order_id, t.order_id) as subject,
               jsonb_build_object('journal', to_jsonb(t) - 'ended' - 'status', 'stored', case when o.order_id is not null then jsonb_build_object(
                   'order_type', o.order_type, 'side', o.side, 'quantity', o.quantity, 'filled_quantity', o.filled_quantity, 'price', o.price,
                   'stop_price', o.stop_price, 'standing', o.status, 'reserved', o.reserved, 'time_in_force', o.time_in_force,
                   'client_order_id', o.client_order_id, 'priority', o.priority) end) as detail
        from (
            select * from public.orders x
            -- One that somebody inserted, and that the engine has not seen yet, is not in the journal.
            where x.account_id = p_account_id and not (x.status = 'pending' and x.priority is null)
        ) o
        full join told t on t.order_id = o.order_id
        where (o.order_type, o.side, o.quantity, o.price, o.stop_price, o.status, o.client_order_id, coalesce(o.filled_quantity, 0), o.post_only)
            is distinct from (t.order_type, t.side, t.quantity, t.price, t.stop_price, t.standing, t.client_order_id,
                coalesce(t.filled_quantity, 0), t.post_only)
            or o.status in ('pending', 'open', 'partially_filled') and (o.reserved, o.priority) is distinct from (t.reserved, t.priority)
    ),
    fills as (
        select j.event_id, j.at, j.order_id, j.instrument_id, f.*
        from j
        cross join lateral jsonb_to_record(j.detail) as f (
            trade_id bigint, match_id bigint, side text, quantity numeric, price numeric, commission numeric, balance numeric,
            position numeric, cost numeric, realized numeric)
        where j.kind = 'filled'
    ),
    trades as (
        select 'a trade is not as the journal has it' as difference, 'trade ' || coalesce(t.trade_id, f.trade_id) as subject,
               jsonb_build_object('journal', to_jsonb(f), 'stored', to_jsonb(t)) as detail
        from (select * from public.trades x where x.account_id = p_account_id) t
        full join fills f on f.trade_id = t.trade_id
        where (t.order_id, t.instrument_id, t.match_id, t.side, t.quantity, t.price, t.commission, t.executed_at) is distinct from
            (f.order_id, f.instrument_id, f.match_id, f.side, f.quantity, f.price, f.commission, f.at)
    ),
    moved as (
        -- What the journal says of cash: the balance after each event that moves it.
        select f.trade_id, null::bigint as transaction_id, f.balance from fills f
        union all
        select null, (j.detail ->> 'transaction_id')::bigint, (j.detail -> 'balance')::numeric from j where j.kind in ('deposit', 'withdrawal', 'adjustment')
    ),
    booked as (
        select l.trade_id, case when l.trade_id is null then l.transaction_id end as transaction_id,
               (array_agg(l.balance_after order by l.transaction_id desc))[1] as balance
        from public.transactions l
        where l.account_id = p_account_id
        group by l.trade_id, case when l.trade_id is null then l.transaction_id end
    ),
    ledger as (
        select 'the ledger is not as the journal has it' as difference,
               coalesce('trade ' || coalesce(m.trade_id, b.trade_id), 'transaction ' || coalesce(m.transaction_id, b.transaction_id)) as subject,
               jsonb_build_object('journal', m.balance, 'stored', b.balance) as detail
        from moved m
        full join booked b on coalesce(b.trade_id, -b.transaction_id) = coalesce(m.trade_id, -m.transaction_id)
        where m.balance is distinct from b.balance
    ),
    held as (
        select distinct on (f.instrument_id) f.instrument_id, f.position, f.cost, f.realized from fills f order by f.instrument_id, f.event_id desc
    ),
    positions as (
        select 'a position is not as the journal has it' as difference, 'instrument ' || coalesce(p.instrument_id, h.instrument_id) as subject,
               jsonb_build_object('journal', to_jsonb(h), 'stored', to_jsonb(p)) as detail
        from (select * from public.positions x where x.account_id = p_account_id) p
        full join held h on h.instrument_id = p.instrument_id
        where (p.quantity, p.cost, p.realized_exact) is distinct from (h.position, h.cost, h.realized)
            or p.realized_pnl <> round(round(h.realized, 16), 2)
            or p.average_price <> case when h.position = 0 then 0 else round(h.cost / h.position, 8) end
    ),
    figures as (
        select coalesce((select (j.detail -> 'balance')::numeric from j where j.detail ? 'balance' order by j.event_id desc limit 1), 0) as balance,
               coalesce((select sum(t.reserved) from told t where t.standing in ('pending', 'open', 'partially_filled')), 0) as reserved,
               coalesce((select sum(f.commission) from fills f), 0) as commissions,
               (select j.detail - 'balance' from j where j.kind in ('opened', 'terms') order by j.event_id desc limit 1) as terms
    ),
    account as (
        select 'the account is not as the journal has it' as difference, 'account ' || p_account_id as subject,
               jsonb_build_object('journal', to_jsonb(f), 'stored', jsonb_build_object(
                   'balance', a.balance, 'reserved', a.reserved, 'commissions', a.commissions, 'terms', internal.account_terms(a::public.accounts))) as detail
        from figures f
        left join a on true
        where (f.balance, f.reserved, f.commissions) is distinct from (a.balance, a.reserved, a.commissions)
            or f.terms is distinct from internal.account_terms(a::public.accounts)
        union all
        select 'the account has changed since its last event', 'account ' || p_account_id,
               jsonb_build_object('changed', a.updated_at, 'event', l.event_id, 'at', l.at)
        from a
        left join last l on true
        where (a.updated_at <= l.at) is not true
    )
    select * from account
    union all
    select * from orders
    union all
    select * from trades
    union all
    select * from ledger
    union all
    select * from positions
$$;
comment on function internal.audit_account is 'Where an account''s tables are not what its journal comes to.';

create or replace function internal.audit_seals(p_account_id bigint)
returns table (difference text, subject text, detail jsonb) language sql stable as $$
    select 'a checkpoint is not as it was written', 'event ' || c.event_id,
           jsonb_build_object('repair', 'select rebuild_checkpoints(' || p_account_id || ')')
    from internal.account_checkpoints c
    where c.account_id = p_account_id and c.seal <> internal.checkpoint_seal('account', c.account_id, c.event_id, c.state)
    order by c.event_id
$$;
comment on function internal.audit_seals is 'Checkpoints of an account that somebody changed.';

create or replace function internal.audit_checkpoints(p_account_id bigint)
returns table (difference text, subject text, detail jsonb) language sql stable as $$
    select 'a checkpoint is not what the journal comes to', 'event ' || c.event_id,
           jsonb_build_object('repair', 'select rebuild_checkpoints(' || p_account_id || ')')
    from (
        select x.*, coalesce(lag(x.event_id) over w, 0) as before_event, coalesce(lag(x.state) over w, internal.empty_state()) as before_state
        from internal.account_checkpoints x
        where x.account_id = p_account_id
        window w as (order by x.event_id)
    ) c
    where c.state is distinct from internal.account_fold(p_account_id, c.before_state, c.before_event, c.event_id)
    order by c.event_id
$$;
comment on function internal.audit_checkpoints is 'Checkpoints of an account that do not follow from the one before them.';

drop function if exists internal.audit_market(bigint);
create or replace function internal.audit_market(p_instrument_id bigint, p_rebuild boolean)
returns table (difference text, subject text, detail jsonb) language plpgsql stable as $$
declare
    v_event constant bigint := internal.last_event(null, p_instrument_id, 'infinity');
    v_mark numeric;
begin
    return query select * from internal.audit_chain(null, p_instrument_id);
    select j.mark into v_mark
    from public.journal j
    where j.instrument_id = p_instrument_id and j.mark is not null
    order by j.event_id desc
    limit 1;
    return query
        select 'the market is not as the journal has it', 'instrument ' || p_instrument_id,
               jsonb_build_object('journal', v_mark, 'stored', coalesce((b.bid_price + b.ask_price) / 2, b.last_price))
        from internal.books b
        where b.instrument_id = p_instrument_id and v_mark is distinct from coalesce((b.bid_price + b.ask_price) / 2, b.last_price);
    return query
        select 'a checkpoint of a book is not as it was written', 'event ' || c.event_id, jsonb_build_object('repair', 'select rebuild_checkpoints()')
        from internal.book_checkpoints c
        where c.instrument_id = p_instrument_id and c.seal <> internal.checkpoint_seal('book', c.instrument_id, c.event_id, c.state);
    if not p_rebuild then
        return;
    end if;
    return query
        select 'a checkpoint of a book is not what the journal comes to', 'event ' || c.event_id,
               jsonb_build_object('repair', 'select rebuild_checkpoints()')
        from (
            select x.*, coalesce(lag(x.event_id) over w, 0) as before_event, coalesce(lag(x.state) over w, '{}') as before_state
            from internal.book_checkpoints x
            where x.instrument_id = p_instrument_id
            window w as (order by x.event_id)
        ) c
        where c.state is distinct from internal.book_fold(p_instrument_id, c.before_state, c.before_event, c.event_id)
        order by c.event_id;
end;
$$;
comment on function internal.audit_market is 'Where a market''s own events are not whole, or its mark is not what the journal says last.';

create or replace function internal.audit_parts(p_account_id bigint, p_part text)
returns table (difference text, subject text, detail jsonb) language plpgsql volatile as $$
begin
    if coalesce(p_part, 'chain') = 'chain' then
        return query select * from internal.audit_chain(p_account_id);
        return query select * from internal.audit_seals(p_account_id);
    end if;
    if coalesce(p_part, 'tables') = 'tables' then
        return query select * from internal.audit_account(p_account_id);
    end if;
    if coalesce(p_part, 'checkpoints') = 'checkpoints' then
        return query select * from internal.audit_checkpoints(p_account_id);
    end if;
end;
$$;
comment on function internal.audit_parts is 'The audit of an account, or one part of it.';

create or replace function audit_journal(p_account_id bigint default null, p_instrument_id bigint default null, p_part text default null)
returns table (difference text, subject text, detail jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- It reads whole histories, each once.
set work_mem = '64MB' set plan_cache_mode = force_custom_plan
as $$
declare
    v_id bigint;
begin
    if p_part not in ('chain', 'tables', 'checkpoints') then
        perform internal.refuse('part', p_part, 'is no part of an audit', 'Use chain, tables or checkpoints, or leave it out for all of them.');
    elsif p_account_id is not null then
        perform internal.enter_replay(p_account_id);
        return query select * from internal.audit_parts(p_account_id, p_part);
    elsif p_instrument_id is not null then
        return query select * from internal.audit_market(p_instrument_id, coalesce(p_part, 'checkpoints') = 'checkpoints');
    else
        for v_id in
            select a.account_id from public.accounts a
            union
            select j.account_id from public.journal j where j.account_id is not null
            order by 1
        loop
            return query select * from internal.audit_parts(v_id, p_part);
        end loop;
        for v_id in select i.instrument_id from public.instruments i order by i.instrument_id loop
            return query select * from internal.audit_market(v_id, coalesce(p_part, 'checkpoints') = 'checkpoints');
        end loop;
    end if;
end;
$$;
comment on function audit_journal is
    'What is wrong with the journal, or with the tables by it: of an account, of an instrument''s market, or of everything. Empty where all is right. p_part: chain (and the seals of checkpoints), tables, or checkpoints (each built anew from the one before); all of them where it is left out.';

create or replace function audited_accounts(p_account_id bigint default null) returns table (account_id bigint, account_number varchar)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(a.account_id, j.account_id), a.account_number
    from public.accounts a
    full join (select distinct x.account_id from public.journal x where x.account_id is not null and p_account_id is null) j
        on j.account_id = a.account_id
    where p_account_id is null or a.account_id = p_account_id
    order by 1
$$;
comment on function audited_accounts is 'All accounts that there are, and those that only the journal knows.';

create or replace function journal_links(p_account_id bigint default null)
returns table (account_id bigint, event_id bigint, events bigint, hash bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.account_id, l.event_id, (select count(*) from public.journal j where j.account_id = a.account_id), l.hash
    from public.accounts a
    cross join lateral (
        select j.event_id, j.hash
        from public.journal j
        where j.account_id = a.account_id and j.hash is not null
        order by j.event_id desc
        limit 1
    ) l
    where p_account_id is null or a.account_id = p_account_id
    order by a.account_id
$$;
comment on function journal_links is
    'The last link of each account''s chain: kept elsewhere, it shows whether the journal up to it is still the same.';

create or replace function journal_link(p_account_id bigint, p_event_id bigint) returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select j.hash from public.journal j where j.account_id = p_account_id and j.event_id = p_event_id
$$;
comment on function journal_link is 'The link that an account''s event carries now; null where there is none, or no such event.';

create or replace function journal_texts(
    p_account_id bigint, p_from timestamp default null, p_to timestamp default null, p_after bigint default null, p_limit bigint default 1000
) returns table (event_id bigint, event text, link bytea)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_after bigint := coalesce(p_after, 0);
    v_to bigint := 9223372036854775807;
begin
    perform internal.enter_replay(p_account_id);
    if p_after is null and p_from is not null then
        -- From the link before it on, for a link is about all events since the one before.
        select j.event_id into v_after
        from public.journal j
        where j.account_id = p_account_id and j.hash is not null
            and j.event_id <= internal.last_event(p_account_id, null, p_from - interval '1 microsecond')
        order by j.event_id desc
        limit 1;
    end if;
    if p_to is not null then
        v_to := coalesce(internal.last_event(p_account_id, null, p_to), 0);
    end if;
    return query
        select j.event_id, internal.event_text(j.event_id, j.at, j.account_id, j.kind, j.order_id, j.instrument_id, j.mark, j.detail), j.hash
        from public.journal j
        where j.account_id = p_account_id and j.event_id > coalesce(v_after, 0) and j.event_id <= v_to
        order by j.event_id
        limit p_limit;
end;
$$;
comment on function journal_texts is 'An account''s events as the chain sees them, with their links, in pages by the last event_id seen: what an export is made of.';

create or replace function rebuild_checkpoints(p_account_id bigint default null) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_id bigint;
    v_made integer := 0;
begin
    delete from internal.account_checkpoints c where p_account_id is null or c.account_id = p_account_id;
    for v_id in select a.account_id from public.accounts a where p_account_id is null or a.account_id = p_account_id order by a.account_id loop
        v_made := v_made + internal.extend_checkpoints(v_id, 9223372036854775807);
    end loop;
    if p_account_id is null then
        delete from internal.book_checkpoints;
        for v_id in select i.instrument_id from public.instruments i order by i.instrument_id loop
            v_made := v_made + internal.extend_book_checkpoints(v_id, 9223372036854775807);
        end loop;
    end if;
    return v_made;
end;
$$;
comment on function rebuild_checkpoints is 'Throws away the checkpoints of an account, or all of them and those of the books, and makes them anew from the journal; returns how many.';

create or replace function keep_checkpoints(p_limit integer default 100) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_id bigint;
    v_made integer := 0;
begin
    -- Whoever lags behind: a look at the index says whether there are 200 events since the last checkpoint.
    for v_id in
        select a.account_id
        from public.accounts a
        where exists (
            select from public.journal j
            where j.account_id = a.account_id
                and j.event_id > coalesce((select max(c.event_id) from internal.account_checkpoints c where c.account_id = a.account_id), 0)
            offset 199)
        order by a.account_id
        limit p_limit
    loop
        v_made := v_made + internal.extend_checkpoints(v_id, 9223372036854775807);
    end loop;
    return v_made;
end;
$$;
comment on function keep_checkpoints is 'Writes the checkpoints that are missing, of so many accounts at most; returns how many. Reading does the same for the account that is read: this spares the first reader the wait.';
