-- Journal, accounts and orders say the same: a part of verify_ledger; 90_invariants_of_money.sql has fills and payments. What an event says is
-- compared as JSON, numbers by value, so that nothing that stands there can make the comparison itself fail.

create or replace function internal.broken_journal(p_account_id bigint)
returns table (invariant text, subject text, detail jsonb)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with
    -- Which events speak of an order: a later one speaks over an earlier one, so the last that says a thing counts.
    told as materialized (
        select j.order_id, min(j.event_id) as first_id, max(j.event_id) as last_id,
               min(j.event_id) filter (where j.kind in ('accepted', 'rejected')) as entered_id,
               max(j.event_id) filter (where j.kind in ('accepted', 'rejected', 'replaced', 'resized', 'trailed')
                   or j.kind = 'reduced' and j.detail ? 'order_type') as terms_id,
               max(j.event_id) filter (where j.kind in ('accepted', 'rejected', 'replaced', 'resized', 'trailed', 'reduced')) as quantity_id,
               max(j.event_id) filter (where j.kind in ('accepted', 'rejected', 'replaced', 'resized', 'trailed', 'rested')
                   or j.kind = 'reduced' and j.detail ? 'order_type') as priority_id,
               max(j.event_id) filter (where j.kind in ('accepted', 'rejected', 'replaced', 'resized', 'trailed', 'reduced', 'rested', 'filled')) as reserved_id,
               count(*) filter (where j.kind = 'accepted') as accepted,
               count(*) filter (where j.kind = 'rejected') as rejected,
               count(*) filter (where j.kind = 'triggered') as triggered,
               min(j.event_id) filter (where j.kind in ('cancelled', 'rejected', 'expired')) as ended_id,
               max(j.at) filter (where j.kind in ('triggered', 'rejected')) as triggered_at
        from public.journal j
        where j.order_id is not null and j.kind <> 'replace_refused' and (p_account_id is null or j.account_id = p_account_id)
        group by j.order_id
    )

    select 'events are numbered as they happened', 'event ' || s.event_id, jsonb_build_object('at', s.at, 'before', s.before_at)
    from (
        -- The market's events are those of no account.
        select j.event_id, j.at,
               lag(j.at) over (partition by j.account_id, case when j.account_id is null then j.instrument_id end order by j.event_id) as before_at
        from public.journal j
        where p_account_id is null or j.account_id = p_account_id
    ) s
    where s.at < s.before_at
    union all
    select 'an account is what the journal says', 'account ' || coalesce(a.account_id, e.account_id), jsonb_build_object('account', to_jsonb(a), 'detail', e.detail)
    from (select x.*, internal.account_terms(x) as terms from public.accounts x where p_account_id is null or x.account_id = p_account_id) a
    full join (
        select distinct on (j.account_id) j.account_id, j.detail, count(*) filter (where j.kind = 'opened') over (partition by j.account_id) as opened
        from public.journal j
        where j.kind in ('opened', 'terms') and (p_account_id is null or j.account_id = p_account_id)
        order by j.account_id, j.event_id desc
    ) e on e.account_id = a.account_id
    where a.account_id is null or e.opened is distinct from 1 or e.detail - 'balance' <> a.terms
    union all
    select 'an event is its order''s', 'event ' || j.event_id,
           jsonb_build_object('kind', j.kind, 'order_id', j.order_id, 'account_id', j.account_id, 'instrument_id', j.instrument_id, 'detail', j.detail,
               'order', to_jsonb(o))
    from public.journal j
    left join public.orders o on o.order_id = j.order_id
    where (p_account_id is null or j.account_id = p_account_id)
        and case
            when j.kind = 'quoted' then j.account_id is not null or j.order_id is not null or j.instrument_id is null
            when j.kind in ('opened', 'terms', 'deposit', 'withdrawal', 'adjustment')
            then j.account_id is null or j.order_id is not null or j.instrument_id is not null
            when j.kind not in ('accepted', 'rejected', 'rested', 'triggered', 'filled', 'reduced', 'replaced', 'replace_refused', 'resized',
                'trailed', 'cancelled', 'expired') or (j.account_id, j.instrument_id) is distinct from (o.account_id, o.instrument_id)
            then true
            -- Each says what its kind has to say.
            when j.kind = 'rested' then not j.detail ?& '{price,quantity,reserved,priority}' or j.detail ? 'order_type'
            when j.kind = 'triggered' then not j.detail ? 'last_price' or j.detail -> 'stop_price' is distinct from to_jsonb(o.stop_price)
            when j.kind = 'replace_refused' then not j.detail ?& '{reason,quantity,price,stop_price}'
            when j.kind in ('cancelled', 'expired') then not j.detail ?& '{reason,filled_quantity}'
            when j.kind = 'reduced' and not j.detail ? 'order_type' then not j.detail ?& '{reason,quantity,reserved}'
            when j.kind = 'filled' then j.detail ? 'order_type'
            -- What nothing changes in an order. A row that somebody inserted has the defaults where it says nothing.
            else (j.detail ?& '{quantity,status,filled_quantity,reserved}' and j.detail ->> 'order_type' = o.order_type and j.detail ->> 'side' = o.side
                and j.detail ->> 'time_in_force' = case o.status when 'rejected' then coalesce(o.time_in_force, 'GTC') else o.time_in_force end
                and j.detail -> 'post_only' = to_jsonb(case o.status when 'rejected' then coalesce(o.post_only, false) else o.post_only end)
                and j.detail ->> 'self_trade' = case o.status when 'rejected' then coalesce(o.self_trade, 'cancel_newest') else o.self_trade end
                and j.detail ->> 'client_order_id' is not distinct from o.client_order_id
                and j.detail -> 'oco_id' is not distinct from to_jsonb(o.oco_id) and j.detail -> 'parent_id' is not distinct from to_jsonb(o.parent_id)
                and j.detail -> 'take_profit' is not distinct from to_jsonb(o.take_profit) and j.detail -> 'stop_loss' is not distinct from to_jsonb(o.stop_loss)
                and j.detail -> 'trail_amount' is not distinct from to_jsonb(o.trail_amount)
                and j.detail -> 'trail_percent' is not distinct from to_jsonb(o.trail_percent)) is not true
        end
    union all
    select 'nothing is told twice', 'order ' || j.order_id, jsonb_build_object('kind', j.kind, 'at', j.at, 'detail', j.detail, 'times', count(*))
    from public.journal j
    where j.kind in ('rested', 'reduced', 'replaced', 'resized', 'trailed') and (p_account_id is null or j.account_id = p_account_id)
    group by j.order_id, j.kind, j.at, j.detail
    having count(*) > 1
    union all
    select 'an order enters first and ends last, once each', 'order ' || coalesce(o.order_id, s.order_id),
           jsonb_build_object('status', o.status, 'accepted', s.accepted, 'rejected', s.rejected, 'triggered', s.triggered,
               'first', s.first_id, 'entered', s.entered_id, 'ended', s.ended_id, 'last', s.last_id)
    from (select r.* from public.orders r where p_account_id is null or r.account_id = p_account_id) o
    full join told s on s.order_id = o.order_id
    where case
        when o.order_id is null then true
        -- A row that somebody inserted waits for match_pending; without an account it is nobody's to tell.
        when s.order_id is null then not (o.priority is null and (o.status = 'pending' or o.status = 'rejected' and o.account_id is null))
        when s.accepted = 1 or s.accepted = 0 and s.rejected = 1 then
            s.entered_id <> s.first_id or s.ended_id <> s.last_id or s.triggered > 1
        -- … or was ended before anybody accepted it.
        when s.accepted = 0 and s.rejected = 0 then
            s.first_id <> s.last_id or s.ended_id is null or o.priority is not null
            or o.reason not in ('cancelled on request', 'cancelled with all others', 'end of the day')
        else true
    end
    union all
    select 'an order is what the journal says', 'order ' || o.order_id, jsonb_build_object('order', to_jsonb(o), 'event_id', j.event_id, 'detail', j.detail)
    from told s
    join public.orders o on o.order_id = s.order_id
    join public.journal j on j.order_id = s.order_id and (p_account_id is null or j.account_id = p_account_id)
    where j.event_id = s.terms_id and (j.detail -> 'price' is distinct from to_jsonb(o.price) or j.detail -> 'stop_price' is distinct from to_jsonb(o.stop_price))
        or j.event_id = s.quantity_id and j.detail -> 'quantity' is distinct from to_jsonb(o.quantity)
        or j.event_id = s.priority_id and j.detail -> 'priority' is distinct from to_jsonb(o.priority)
        or j.event_id = s.reserved_id and (o.status in ('pending', 'open', 'partially_filled') or s.reserved_id = s.last_id)
            and j.detail -> 'reserved' is distinct from to_jsonb(o.reserved)
        or j.event_id = s.entered_id and (
            j.kind = 'accepted' and (o.created_at <= j.at and j.detail -> 'filled_quantity' = '0') is not true
            or o.status not in ('cancelled', 'rejected', 'expired') and o.reason is distinct from j.detail ->> 'reason'
            or o.triggered_at is distinct from case when s.triggered = 1 or s.accepted = 1 then s.triggered_at end)
    union all
    -- Where a trailing stop started is the market's doing, and not always among the terms (rule 5).
    select 'the terms of a request are those it entered with', 'order ' || o.order_id, jsonb_build_object('terms', o.terms, 'event', j.detail)
    from public.orders o
    join told s on s.order_id = o.order_id
    join public.journal j on j.event_id = s.entered_id
    where (o.terms is not null or o.client_order_id is not null)
        and (o.terms is null and j.kind = 'accepted'
            or o.terms is not null
                and jsonb_set(jsonb_path_query_array(o.terms, '$[0 to 12]'), '{5}',
                    coalesce(case when o.trail_amount is null and o.trail_percent is null then o.terms -> 5 end, 'null'))
                is distinct from jsonb_build_array(j.instrument_id, j.detail -> 'order_type', j.detail -> 'side', j.detail -> 'quantity',
                    j.detail -> 'price', case when o.trail_amount is null and o.trail_percent is null then j.detail -> 'stop_price' end,
                    j.detail -> 'time_in_force', j.detail -> 'post_only', j.detail -> 'self_trade', j.detail -> 'take_profit',
                    j.detail -> 'stop_loss', j.detail -> 'trail_amount', j.detail -> 'trail_percent'))
    union all
    select 'the journal''s last word on an order is its status', 'order ' || o.order_id,
           jsonb_build_object('status', o.status, 'reason', o.reason, 'updated_at', o.updated_at, 'filled_quantity', o.filled_quantity,
               'kind', j.kind, 'at', j.at, 'detail', j.detail)
    from told s
    join public.orders o on o.order_id = s.order_id
    join public.journal j on j.event_id = s.last_id
    where case o.status
            when 'pending' then j.kind in ('accepted', 'replaced', 'reduced', 'resized', 'trailed')
            when 'open' then j.kind in ('accepted', 'replaced', 'rested', 'reduced', 'resized')
            when 'partially_filled' then j.kind in ('filled', 'rested', 'replaced', 'reduced', 'resized')
            when 'filled' then j.kind = 'filled'
            else j.kind = o.status
        end is not true
        -- Later, where it was met and nothing came of it.
        or (o.updated_at >= j.at) is not true
        or j.kind in ('cancelled', 'rejected', 'expired') and j.detail ->> 'reason' is distinct from o.reason
        or j.kind = 'rested' and (j.detail -> 'price', j.detail -> 'quantity') <> (to_jsonb(o.price), to_jsonb(o.quantity - o.filled_quantity))
        or j.detail ? 'status' and j.detail ->> 'status' is distinct from o.status
        or j.kind <> 'filled' and j.detail -> 'filled_quantity' <> to_jsonb(o.filled_quantity)
$$;
comment on function internal.broken_journal is 'What journal, accounts and orders do not say alike, of one account or of all.';
