-- A new order enters. Most orders rest: they cross nothing, need no match, and have a short way of their own.

create or replace function internal.enter(p_order orders, p_market internal.market) returns bigint
language plpgsql as $$
declare
    v_account record;
    v_known boolean := false;
    v_need numeric;
    v_outcome internal.outcome;
    v_order_id bigint;
    v_at timestamp;
begin
    -- It rests for certain where the best of the other side is out of its reach, and nothing speaks against it.
    -- In any doubt the whole way decides, and words the reason.
    if p_order.order_type = 'limit' and p_order.time_in_force in ('GTC', 'DAY') and p_market.is_active
        and (p_order.side = 'sell' or p_market.ask_price is null or p_order.price < p_market.ask_price)
        and (p_order.side = 'buy' or p_market.bid_price is null or p_order.price > p_market.bid_price)
    then
        select a.balance, a.balance - a.reserved as available, m.account_type is not null as is_margin,
               internal.reserve(p_order.quantity, p_order.price, coalesce(f.maker_rate, 0), coalesce(f.taker_rate, 0)) as cost,
               a.updated_at
        into v_account
        from public.accounts a
        left join public.users u on u.user_id = a.user_id
        left join public.fee_schedule f on f.account_type = a.account_type
        left join public.margin_schedule m on m.account_type = a.account_type
        where a.account_id = p_order.account_id and a.status = 'active' and u.is_active is not false and a.currency = p_market.currency
        for no key update of a;
        -- An id that is known already says that this is no new order (rule 5).
        if p_order.client_order_id is not null then
            perform from public.orders o where o.account_id = p_order.account_id and o.client_order_id = p_order.client_order_id;
            v_known := found;
        end if;
        if v_known then
            v_need := null;
        elsif v_account.is_margin then
            v_need := case when internal.margin_refusal(p_order, false, v_account.balance) is null then 0 end;
        elsif p_order.side = 'buy' then
            v_need := case when v_account.cost <= v_account.available then v_account.cost end;
        elsif v_account.cost is not null then
            select 0 into v_need
            from public.positions p
            where p.account_id = p_order.account_id and p.instrument_id = p_order.instrument_id
                and p.quantity >= internal.open_quantity('sell', p_order.account_id, p_order.instrument_id, null, null, p_order.quantity);
        end if;
    end if;

    if v_need is null then
        v_outcome := internal.work(p_order, 'new', p_market);
        if v_outcome.changed and not v_outcome.published then
            perform internal.finish(p_market, v_outcome);
        end if;
        return v_outcome.order_id;
    end if;

    -- Only now: the clock of the statement that waited for the lock stood still before the wait (rule 15).
    v_at := greatest(clock_timestamp() at time zone 'UTC', p_market.updated_at, v_account.updated_at);
    with numbers as materialized (
        select nextval('public.orders_order_id_seq') as order_id, nextval('internal.priority_seq') as priority,
               nextval('public.journal_event_id_seq') as event_id
    ),
    placed as (
        insert into public.orders (order_id, account_id, instrument_id, order_type, side, quantity, price, status, time_in_force, created_at,
            updated_at, post_only, self_trade, client_order_id, priority, reserved, terms)
        select n.order_id, p_order.account_id, p_order.instrument_id, p_order.order_type, p_order.side, p_order.quantity, p_order.price,
               'open', p_order.time_in_force, v_at, v_at, p_order.post_only, p_order.self_trade, p_order.client_order_id,
               n.priority, v_need, case when p_order.client_order_id is not null then internal.terms(p_order) end
        from numbers n
    ),
    account as (
        update public.accounts a
        set reserved = a.reserved + v_need, updated_at = v_at
        -- Where nothing is set aside the row says all the same that the account has changed: whoever read it before must not act on that.
        where a.account_id = p_order.account_id
    ),
    -- A better price makes a new top, the same price a larger one.
    top as materialized (
        select case when p_order.side = 'sell' then p_market.bid_price else greatest(p_market.bid_price, p_order.price) end as bid_price,
               case when p_order.side = 'sell' or p_order.price < p_market.bid_price then p_market.bid_size
                    when p_order.price = p_market.bid_price then p_market.bid_size + p_order.quantity else p_order.quantity end as bid_size,
               case when p_order.side = 'buy' then p_market.ask_price else least(p_market.ask_price, p_order.price) end as ask_price,
               case when p_order.side = 'buy' or p_order.price > p_market.ask_price then p_market.ask_size
                    when p_order.price = p_market.ask_price then p_market.ask_size + p_order.quantity else p_order.quantity end as ask_size
    ),
    quoted as (
        insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
        select p_order.instrument_id, coalesce(t.bid_price, 0), coalesce(t.bid_size, 0), coalesce(t.ask_price, 0), coalesce(t.ask_size, 0), v_at
        from top t
        where (t.bid_price, t.bid_size, t.ask_price, t.ask_size)
            is distinct from (p_market.bid_price, p_market.bid_size, p_market.ask_price, p_market.ask_size)
    ),
    shown as (
        update internal.books b
        set bid_price = t.bid_price, bid_size = t.bid_size, ask_price = t.ask_price, ask_size = t.ask_size,
            version = b.version + 1, updated_at = v_at
        from top t
        where b.instrument_id = p_order.instrument_id
    )
    insert into public.journal (event_id, at, account_id, kind, order_id, instrument_id, detail, mark, hash)
    select e.event_id, v_at, p_order.account_id, 'accepted', e.order_id, p_order.instrument_id, e.detail, e.mark, sha256(coalesce((
               select l.hash from public.journal l
               where l.account_id between p_order.account_id and p_order.account_id and l.hash is not null -- see 37_chain.sql
               order by l.account_id desc, l.event_id desc
               limit 1), '')
               || internal.event_digest(e.event_id, v_at, p_order.account_id, 'accepted', e.order_id, p_order.instrument_id, e.mark, e.detail))
    from (
        select n.event_id, n.order_id, coalesce((t.bid_price + t.ask_price) / 2, p_market.last_price) as mark,
               jsonb_strip_nulls(jsonb_build_object(
                   'client_order_id', p_order.client_order_id, 'order_type', p_order.order_type, 'side', p_order.side,
                   'quantity', p_order.quantity, 'price', p_order.price, 'time_in_force', p_order.time_in_force,
                   'post_only', p_order.post_only, 'self_trade', p_order.self_trade, 'status', 'open', 'filled_quantity', 0,
                   'reserved', v_need, 'priority', n.priority)) as detail
        from numbers n
        cross join top t
        -- Made once, and said twice: in the row and in its link.
        offset 0
    ) e
    returning order_id into v_order_id;
    return v_order_id;
end;
$$;
comment on function internal.enter is 'Places a new order in an instrument whose lock is held: the short way to rest, or internal.work; returns its id.';
