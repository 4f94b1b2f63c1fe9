-- An account at any moment, from the journal alone.
--
-- A state is what a run of events comes to: {balance, commissions, transactions, terms, orders, positions}. It begins at a checkpoint, which is the state after
-- some event and is derived itself, and goes on with the events since. Its marks are those that the journal says of the instruments.

create or replace aggregate internal.merged(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');
comment on aggregate internal.merged(jsonb) is 'Objects laid over each other in order: the last word on each key.';

create or replace function internal.order_change(p_kind text, p_at timestamp, p_instrument_id bigint, p_detail jsonb) returns jsonb
language sql immutable as $$
    select case p_kind
        when 'filled' then jsonb_build_object('filled_quantity', p_detail -> 'filled_quantity', 'reserved', p_detail -> 'reserved')
        when 'accepted' then jsonb_build_object('instrument_id', p_instrument_id, 'created_at', p_at) || p_detail
        -- Its quantity is what was left of the order, not the order's.
        when 'rested' then jsonb_build_object('status', 'open', 'reserved', p_detail -> 'reserved', 'priority', p_detail -> 'priority')
        when 'replaced' then p_detail
        when 'reduced' then p_detail - 'reason'
        when 'resized' then p_detail - 'reason'
        when 'trailed' then p_detail - 'reason'
        when 'triggered' then '{"status": "open"}'
        when 'cancelled' then '{"ended": "cancelled"}'
        when 'expired' then '{"ended": "expired"}'
        when 'rejected' then p_detail - 'reason' || '{"ended": "rejected"}'
        else '{}'
    end
$$;
comment on function internal.order_change is 'What an event says of its order, as the keys that it changes.';

create or replace function internal.is_working(p_order jsonb) returns boolean language sql immutable as $$
    select p_order ? 'side' and not p_order ? 'ended' and (p_order -> 'filled_quantity')::numeric < (p_order -> 'quantity')::numeric
$$;
comment on function internal.is_working is 'Whether an order as the journal has it is accepted and not final.';

create or replace function internal.account_fold(p_account_id bigint, p_state jsonb, p_after bigint, p_to bigint) returns jsonb
language plpgsql stable as $$
declare
    v_orders constant jsonb := p_state -> 'orders';
    v_state jsonb;
begin
    with events as materialized (
        select j.event_id, j.at, j.kind, j.order_id, j.instrument_id, j.detail
        from public.journal j
        where j.account_id = p_account_id and j.event_id > p_after and j.event_id <= p_to
    ),
    touched as materialized (
        select c.order_id::text as order_id, c.said, internal.is_working(c.said) as works
        from (
            select e.order_id, coalesce(v_orders -> e.order_id::text, '{}')
                       || internal.merged(internal.order_change(e.kind, e.at, e.instrument_id, e.detail) order by e.event_id)
                       || jsonb_strip_nulls(jsonb_build_object('updated_at', max(e.at) filter (where e.kind <> 'replace_refused'))) as said
            from events e
            where e.order_id is not null
            group by e.order_id
        ) c
    ),
    held as (
        select distinct on (e.instrument_id) e.instrument_id,
               jsonb_build_object('quantity', e.detail -> 'position', 'cost', e.detail -> 'cost', 'realized', e.detail -> 'realized') as position
        from events e
        where e.kind = 'filled'
        order by e.instrument_id, e.event_id desc
    ),
    counted as (
        select coalesce(sum((e.detail -> 'commission')::numeric) filter (where e.kind = 'filled'), 0) as commissions,
               count(*) filter (where e.kind in ('filled', 'deposit', 'withdrawal', 'adjustment'))
                   + count(*) filter (where e.kind = 'filled' and (e.detail -> 'commission')::numeric > 0) as transactions
        from events e
    )
    select jsonb_build_object(
        'balance', coalesce((select e.detail -> 'balance' from events e where e.detail ? 'balance' order by e.event_id desc limit 1),
            p_state -> 'balance'),
        'commissions', (p_state -> 'commissions')::numeric + c.commissions,
        'transactions', (p_state -> 'transactions')::bigint + c.transactions,
        'terms', coalesce((select e.detail from events e where e.kind in ('opened', 'terms') order by e.event_id desc limit 1), p_state -> 'terms'),
        'orders', (v_orders - array(select t.order_id from touched t where not t.works))
            || coalesce((select jsonb_object_agg(t.order_id, t.said) from touched t where t.works), '{}'),
        'positions', (p_state -> 'positions') || coalesce((select jsonb_object_agg(h.instrument_id, h.position) from held h), '{}'))
    into v_state
    from counted c;
    return v_state;
end;
$$;
comment on function internal.account_fold is 'The state of an account after its events up to p_to, from its state after p_after.';

create or replace function internal.empty_state() returns jsonb language sql immutable as $$
    select '{"balance": 0, "commissions": 0, "transactions": 0, "terms": null, "orders": {}, "positions": {}}'::jsonb
$$;
comment on function internal.empty_state is 'The state of an account before its first event.';

create or replace function internal.last_event(p_account_id bigint, p_instrument_id bigint, p_at timestamp) returns bigint
language plpgsql stable as $$
declare
    v_low bigint;
    v_high bigint;
    v_found record;
begin
    -- Ids and times of an account's events, and of an instrument's, run the same way (rule 15): the id is found by halves.
    if p_account_id is not null then
        select j.event_id, j.at into v_found from public.journal j
        where j.account_id between p_account_id and p_account_id order by j.account_id desc, j.event_id desc limit 1; -- see 37_chain.sql
    else
        select j.event_id, j.at into v_found from public.journal j
        where j.instrument_id between p_instrument_id and p_instrument_id order by j.instrument_id desc, j.event_id desc limit 1;
    end if;
    if v_found.at <= p_at then
        return v_found.event_id;
    end if;
    v_low := 0;
    v_high := v_found.event_id - 1;
    while v_low < v_high loop
        if p_account_id is not null then
            select j.event_id, j.at into v_found from public.journal j
            where j.account_id between p_account_id and p_account_id and j.event_id > (v_low + v_high) / 2
            order by j.account_id, j.event_id limit 1;
        else
            select j.event_id, j.at into v_found from public.journal j
            where j.instrument_id between p_instrument_id and p_instrument_id and j.event_id > (v_low + v_high) / 2
            order by j.instrument_id, j.event_id limit 1;
        end if;
        if v_found.at <= p_at and v_found.event_id <= v_high then
            v_low := v_found.event_id;
        else
            v_high := (v_low + v_high) / 2;
        end if;
    end loop;
    return nullif(v_low, 0);
end;
$$;
comment on function internal.last_event is 'The last event of an account, or else of an instrument, up to a time; null where there is none.';

create or replace function internal.mark_at(p_instrument_id bigint, p_at timestamp) returns numeric
language sql stable as $$
    select j.mark
    from public.journal j
    where j.instrument_id between p_instrument_id and p_instrument_id and j.event_id <= internal.last_event(null, p_instrument_id, p_at) and j.mark is not null
    order by j.instrument_id desc, j.event_id desc
    limit 1
$$;
comment on function internal.mark_at is 'The mark of an instrument at a time, as the journal has it (rule 20); null before anything was known of it.';

create or replace function internal.checkpoint_seal(p_of text, p_id bigint, p_event_id bigint, p_state jsonb) returns bytea
language sql stable as $$
    select sha256(convert_to(format('%s|%s|%s|%s', p_of, p_id, p_event_id, p_state), 'UTF8'))
$$;
comment on function internal.checkpoint_seal is 'SHA-256 of a checkpoint: account or book, whose, after which event, and its state.';

create or replace function internal.extend_checkpoints(p_account_id bigint, p_to bigint) returns integer
language plpgsql as $$
declare
    -- So many events are read again from each checkpoint at the most: some milliseconds.
    v_every constant integer := 200;
    v_event bigint := 0;
    v_events bigint := 0;
    v_state jsonb := internal.empty_state();
    v_next bigint;
    v_at timestamp;
    v_made integer := 0;
begin
    select c.event_id, c.events, c.state into v_event, v_events, v_state
    from internal.account_checkpoints c
    where c.account_id = p_account_id
    order by c.event_id desc
    limit 1;
    if not found then
        v_event := 0;
        v_events := 0;
        v_state := internal.empty_state();
    end if;
    loop
        select j.event_id, j.at into v_next, v_at
        from public.journal j
        where j.account_id = p_account_id and j.event_id > v_event and j.event_id <= p_to
        order by j.event_id
        offset v_every - 1
        limit 1;
        exit when not found;
        v_state := internal.account_fold(p_account_id, v_state, v_event, v_next);
        v_event := v_next;
        v_events := v_events + v_every;
        insert into internal.account_checkpoints (account_id, event_id, events, at, state, seal)
        values (p_account_id, v_event, v_events, v_at, v_state, internal.checkpoint_seal('account', p_account_id, v_event, v_state))
        on conflict do nothing;
        v_made := v_made + 1;
    end loop;
    return v_made;
end;
$$;
comment on function internal.extend_checkpoints is
    'Writes an account''s missing checkpoints up to an event; returns how many. An event that is seen is preceded by all earlier ones of its account, for they lock it.';

create or replace function internal.state_after(p_account_id bigint, p_event_id bigint) returns jsonb
language plpgsql as $$
declare
    v_event bigint;
    v_state jsonb;
begin
    select c.event_id, c.state into v_event, v_state
    from internal.account_checkpoints c
    where c.account_id = p_account_id and c.event_id <= p_event_id
    order by c.event_id desc
    limit 1;
    -- Far from any checkpoint: write those that are missing, where writing is possible, and begin at the last of them.
    perform from public.journal j
    where j.account_id = p_account_id and j.event_id > coalesce(v_event, 0) and j.event_id <= p_event_id
    offset 399
    limit 1;
    if found and current_setting('transaction_read_only') = 'off' then
        perform internal.extend_checkpoints(p_account_id, p_event_id);
        select c.event_id, c.state into v_event, v_state
        from internal.account_checkpoints c
        where c.account_id = p_account_id and c.event_id <= p_event_id
        order by c.event_id desc
        limit 1;
    end if;
    return internal.account_fold(p_account_id, coalesce(v_state, internal.empty_state()), coalesce(v_event, 0), coalesce(p_event_id, 0));
end;
$$;
comment on function internal.state_after is 'The state of an account after an event, by the nearest checkpoint before it.';

create or replace function internal.account_view(p_account_id bigint, p_state jsonb, p_event_id bigint, p_at timestamp) returns jsonb
language plpgsql stable as $$
declare
    -- What was written before the journal kept terms: those that it kept first.
    v_terms constant jsonb := coalesce(nullif(p_state -> 'terms', 'null'), (
        select j.detail
        from public.journal j
        where j.account_id = p_account_id and j.event_id > coalesce(p_event_id, 0) and j.kind in ('opened', 'terms')
        order by j.event_id
        limit 1));
    v_rate constant numeric := v_terms ->> 'initial_rate';
    v_balance constant numeric := p_state -> 'balance';
    v_equity numeric;
    v_positions jsonb;
    v_realized_pnl numeric;
    v_unrealized_pnl numeric;
    v_orders jsonb;
    v_reserved numeric;
    v_available numeric;
    v_initial numeric := 0;
    v_maintenance numeric := 0;
begin
    select v_balance + coalesce(sum(p.quantity * p.mark), 0), coalesce(sum(p.realized_pnl), 0), coalesce(sum(p.unrealized_pnl), 0),
           coalesce(jsonb_agg(jsonb_build_object(
               'instrument_id', p.instrument_id, 'symbol', p.symbol, 'quantity', p.quantity, 'average_price', p.average_price, 'cost', p.cost,
               'realized_pnl', p.realized_pnl, 'mark', p.mark, 'market_value', round(p.quantity * p.mark, 2),
               'unrealized_pnl', p.unrealized_pnl) order by p.symbol, p.instrument_id), '[]')
    into v_equity, v_realized_pnl, v_unrealized_pnl, v_positions
    from (
        select m.*, round(m.quantity * (m.mark - m.average_price), 2) as unrealized_pnl
        from (
            select a.*, i.symbol, coalesce(internal.mark_at(a.instrument_id, p_at), a.average_price) as mark
            from (
                select k.key::bigint as instrument_id, h.quantity, h.cost, round(round(h.realized, 16), 2) as realized_pnl,
                       case when h.quantity = 0 then 0 else round(h.cost / h.quantity, 8) end as average_price
                from jsonb_each(p_state -> 'positions') k
                cross join lateral jsonb_to_record(k.value) as h (quantity numeric, cost numeric, realized numeric)
            ) a
            left join public.instruments i on i.instrument_id = a.instrument_id
            -- Once for each, however often it is named above.
            offset 0
        ) m
    ) p;
    select coalesce(sum((k.value -> 'reserved')::numeric), 0),
           coalesce(jsonb_agg(
               '{"price": null, "stop_price": null, "client_order_id": null, "oco_id": null, "parent_id": null, "take_profit": null, "stop_loss": null,
                 "trail_amount": null, "trail_percent": null}'::jsonb
               || (k.value - 'priority')
               || jsonb_build_object('order_id', k.key::bigint, 'symbol', i.symbol, 'status', case
                   when k.value ->> 'status' = 'pending' then 'pending'
                   when (k.value -> 'filled_quantity')::numeric > 0 then 'partially_filled'
                   else 'open' end)
               order by k.key::bigint), '[]')
    into v_reserved, v_orders
    from jsonb_each(p_state -> 'orders') k
    left join public.instruments i on i.instrument_id = (k.value -> 'instrument_id')::bigint;

    if v_rate is null then
        v_available := v_balance - v_reserved;
    else
        -- Rule 22, as internal.margin_figures has it.
        select coalesce(sum(greatest(abs(e.value + e.buys), abs(e.value - e.sells)) * v_rate), 0),
               coalesce(sum(case when e.value > 0 then e.value * (v_terms ->> 'maintenance_long_rate')::numeric
                                 else -e.value * (v_terms ->> 'maintenance_short_rate')::numeric end), 0)
        into v_initial, v_maintenance
        from (
            select sum(x.value) as value, sum(x.buys) as buys, sum(x.sells) as sells
            from (
                select p.instrument_id, p.quantity * p.mark as value, 0 as buys, 0 as sells
                from jsonb_to_recordset(v_positions) as p (instrument_id bigint, quantity numeric, mark numeric)
                union all
                -- Of a one-cancels-other pair the one that is worth more counts.
                select t.instrument_id, 0, case t.side when 'buy' then t.value else 0 end, case t.side when 'sell' then t.value else 0 end
                from (
                    select distinct on (coalesce(o.oco_id, -k.key::bigint)) o.instrument_id, o.side,
                           (o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price, 0) as value
                    from jsonb_each(p_state -> 'orders') k
                    cross join lateral jsonb_to_record(k.value) as o (
                        instrument_id bigint, side text, quantity numeric, filled_quantity numeric, price numeric, stop_price numeric,
                        priority bigint, oco_id bigint)
                    where o.priority is not null
                    order by coalesce(o.oco_id, -k.key::bigint), value desc
                ) t
            ) x
            group by x.instrument_id
        ) e;
        v_reserved := 0;
        v_available := round(v_equity, 2) - round(v_initial, 2);
    end if;
    return jsonb_build_object(
        'account_id', p_account_id, 'at', p_at, 'event_id', p_event_id,
        'account_number', v_terms -> 'account_number', 'account_type', v_terms -> 'account_type', 'currency', v_terms -> 'currency',
        'status', v_terms -> 'status', 'balance', v_balance, 'reserved', v_reserved, 'available', v_available, 'equity', round(v_equity, 2),
        'realized_pnl', v_realized_pnl, 'unrealized_pnl', v_unrealized_pnl, 'commissions', p_state -> 'commissions',
        'transactions', p_state -> 'transactions', 'initial_margin', round(v_initial, 2), 'maintenance_margin', round(v_maintenance, 2),
        'buying_power', case when v_rate is null then v_available else round(v_available / v_rate, 2) end,
        'margin_call', v_rate is not null and v_equity < v_maintenance, 'positions', v_positions, 'orders', v_orders);
end;
$$;
comment on function internal.account_view is 'A state as account_state shows it, with the marks of a time (rules 20 to 22).';

create or replace function internal.enter_replay(p_account_id bigint) returns void language plpgsql as $$
begin
    perform internal.authorize_read(p_account_id);
    if not exists (select from public.journal j where j.account_id = p_account_id)
        and not exists (select from public.accounts a where a.account_id = p_account_id)
    then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    end if;
end;
$$;
comment on function internal.enter_replay is 'The door to an account''s past: refuses an account that there never was.';

create or replace function account_state(
    p_account_id bigint, p_at timestamp default (clock_timestamp() at time zone 'UTC'), p_event_id bigint default null
) returns jsonb language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_event bigint;
    v_at timestamp := p_at;
begin
    perform internal.enter_replay(p_account_id);
    if p_event_id is not null then
        select j.event_id into v_event
        from public.journal j
        where j.account_id = p_account_id and j.event_id <= p_event_id
        order by j.event_id desc
        limit 1;
        select j.at into v_at from public.journal j where j.event_id in (p_event_id, v_event) order by j.event_id desc limit 1;
        if v_event is null then
            perform internal.refuse('event_id', p_event_id::text, format('is before the first event of account %s', p_account_id),
                'account_events lists them.', 'PS002');
        end if;
    elsif p_at is null then
        perform internal.refuse('at', null, 'is missing', 'Give a time in UTC, or leave it out for now.');
    else
        v_event := internal.last_event(p_account_id, null, p_at);
    end if;
    return internal.account_view(p_account_id, internal.state_after(p_account_id, v_event), v_event, v_at);
end;
$$;
comment on function account_state is
    'An account as it stood at a time (UTC), or after an event: cash, orders, positions and what they were worth then, rebuilt from the journal alone. Marks are those of the time, or of the event''s.';

create or replace function account_events(
    p_account_id bigint, p_from timestamp default null, p_to timestamp default null, p_kinds text[] default null,
    p_instrument_id bigint default null, p_order_id bigint default null, p_after bigint default null, p_limit bigint default null
) returns table (event_id bigint, at timestamp, kind varchar, order_id bigint, instrument_id bigint, detail jsonb)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_after bigint := coalesce(p_after, 0);
    v_to bigint := 9223372036854775807;
begin
    perform internal.enter_replay(p_account_id);
    if p_limit < 1 then
        perform internal.refuse('limit', p_limit::text, 'must be at least 1', 'Leave it out for all events.');
    end if;
    if p_from is not null then
        v_after := greatest(v_after, internal.last_event(p_account_id, null, p_from - interval '1 microsecond'));
    end if;
    if p_to is not null then
        v_to := coalesce(internal.last_event(p_account_id, null, p_to), 0);
    end if;
    return query
        select j.event_id, j.at, j.kind, j.order_id, j.instrument_id, j.detail
        from public.journal j
        where j.account_id = p_account_id and j.event_id > v_after and j.event_id <= v_to
            and (p_kinds is null or j.kind = any (p_kinds))
            and (p_instrument_id is null or j.instrument_id = p_instrument_id)
            and (p_order_id is null or j.order_id = p_order_id)
        order by j.event_id
        limit p_limit;
end;
$$;
comment on function account_events is
    'Everything that happened to an account from one time (UTC) to another, both included, in order; by kind, instrument or order, and in pages by the last event_id seen.';
