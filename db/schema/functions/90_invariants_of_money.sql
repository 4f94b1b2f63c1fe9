-- What must be true of trades, cash, positions and risk, and what the journal says of them: a part of verify_ledger. It shares no arithmetic with the engine.

drop function if exists internal.positions_from_trades(bigint);
create function internal.positions_from_trades(p_account_id bigint)
returns table (
    trade_id bigint, account_id bigint, instrument_id bigint, quantity numeric, cost numeric, realized numeric, opened_at timestamp, is_last boolean
) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in
        select x.trade_id, o.account_id, x.instrument_id, case x.side when 'buy' then x.quantity else -x.quantity end as signed, x.price,
               x.executed_at, lead(x.trade_id) over (partition by o.account_id, x.instrument_id order by x.trade_id) is null as is_last
        from public.trades x
        join public.orders o on o.order_id = x.order_id
        where p_account_id is null or o.account_id = p_account_id
        order by o.account_id, x.instrument_id, x.trade_id
    loop
        -- The one before ended a position, or there is none before.
        if is_last is not false then
            quantity := 0;
            cost := 0;
            realized := 0;
            opened_at := t.executed_at;
        end if;
        trade_id := t.trade_id;
        account_id := t.account_id;
        instrument_id := t.instrument_id;
        is_last := t.is_last;
        if sign(quantity) = -sign(t.signed) then
            if abs(t.signed) < abs(quantity) then
                -- A part of it closes: the same part of its cost goes.
                realized := realized - t.signed * t.price + round(round(cost, 24) * t.signed / quantity, 24);
                cost := cost + round(round(cost, 24) * t.signed / quantity, 24);
            else
                realized := realized + quantity * t.price - cost;
                cost := (quantity + t.signed) * t.price;
            end if;
        else
            cost := cost + t.signed * t.price;
        end if;
        quantity := quantity + t.signed;
        return next;
    end loop;
end;
$$;
comment on function internal.positions_from_trades is
    'Quantity, exact cost and exact realized P&L of a position after each of its trades, computed from the trades in their order (rule 19); is_last: as it is now.';

create or replace function internal.broken_money(p_account_id bigint)
returns table (invariant text, subject text, detail jsonb)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with
    a as materialized (
        select x.*, m.account_type is not null as is_margin
        from public.accounts x
        left join public.margin_schedule m on m.account_type = x.account_type
        where p_account_id is null or x.account_id = p_account_id
    ),
    o as materialized (
        select r.*, r.status in ('pending', 'open', 'partially_filled') and r.priority is not null as working, a.is_margin
        from public.orders r
        left join a on a.account_id = r.account_id
        where p_account_id is null or r.account_id = p_account_id
    ),
    t as materialized (
        select x.*, o.account_id as owner, o.side as order_side, o.instrument_id as order_instrument, o.price as limit_price,
               o.created_at as ordered_at, sum(x.quantity) over (partition by x.order_id order by x.trade_id) as filled_quantity
        from public.trades x
        join public.orders o on o.order_id = x.order_id
        where p_account_id is null or o.account_id = p_account_id
    ),
    l as materialized (
        select x.*, lag(x.balance_after, 1, 0::numeric) over w as balance_before, lag(x.created_at) over w as before_at
        from public.transactions x
        where p_account_id is null or x.account_id = p_account_id
        window w as (partition by x.account_id order by x.transaction_id)
    ),
    p as materialized (
        select x.* from public.positions x where p_account_id is null or x.account_id = p_account_id
    ),
    held as materialized (select * from internal.positions_from_trades(p_account_id)),
    paid as materialized (
        select l.trade_id, l.account_id, sum(l.amount) filter (where l.transaction_type in ('trade_buy', 'trade_sell')) as paid,
               -coalesce(sum(l.amount) filter (where l.transaction_type = 'commission'), 0) as charged,
               count(*) filter (where l.transaction_type in ('trade_buy', 'trade_sell')) as rows,
               -- The balance when all of it is paid: after the last of its rows.
               (max(array[l.transaction_id, l.balance_after]))[2] as balance
        from l
        where l.trade_id is not null
        group by l.trade_id, l.account_id
    ),
    -- Orders whose price was changed once: a limit of today says nothing about an earlier trade of theirs.
    moved as materialized (
        select distinct j.order_id from public.journal j where j.kind = 'replaced' and (p_account_id is null or j.account_id = p_account_id)
    ),
    -- What is looked up by account or order is added up once.
    ledger as materialized (
        select l.account_id, sum(l.amount) as amount, (array_agg(l.balance_after order by l.transaction_id desc))[1] as last_balance,
               coalesce(-sum(l.amount) filter (where l.transaction_type = 'commission'), 0) as commissions,
               coalesce(sum(l.amount) filter (where l.transaction_type not in ('trade_buy', 'trade_sell')), 0) as not_traded
        from l
        group by l.account_id
    ),
    reserves as materialized (select o.account_id, sum(o.reserved) as reserved from o group by o.account_id),
    selling as materialized (
        select x.account_id, x.instrument_id, sum(x.quantity) as quantity
        from (
            -- A one-cancels-other pair sells once.
            select o.account_id, o.instrument_id, max(o.quantity - o.filled_quantity) as quantity
            from o
            where o.working and o.side = 'sell'
            group by o.account_id, o.instrument_id, coalesce(o.oco_id, -o.order_id)
        ) x
        group by x.account_id, x.instrument_id
    ),
    rounded as materialized (select t.owner, count(*) as fills from t group by t.owner),
    -- Trades and events are held against their orders, which are here.
    named as materialized (
        select 'orders' as place, o.account_id, o.instrument_id from o where o.account_id is not null group by 2, 3
        union all
        select 'positions', p.account_id, p.instrument_id from p
        union all
        select 'transactions', l.account_id, null from l group by 2
    )

    -- What rows name
    select 'who and what is named exists', n.place || ' of account ' || coalesce(n.account_id::text, 'nobody'),
           jsonb_build_object('account_id', n.account_id, 'instrument_id', n.instrument_id)
    from named n
    left join a on a.account_id = n.account_id
    left join public.instruments i on i.instrument_id = n.instrument_id
    where a.account_id is null or n.instrument_id is not null and i.instrument_id is null
    union all
    -- Trades (rules 7, 14, 15)
    select 'a match has two sides', 'match ' || coalesce(m.match_id::text, 'without id'), to_jsonb(m)
    from (
        select x.match_id, count(*) as rows, count(*) filter (where x.side = 'buy') as buys, count(*) filter (where x.side = 'sell') as sells,
               count(*) filter (where x.liquidity = 'maker') as makers, count(*) filter (where x.liquidity = 'taker') as takers,
               count(distinct x.quantity) as quantities, count(distinct x.price) as prices, count(distinct x.instrument_id) as instruments,
               count(distinct x.executed_at) as times, count(distinct x.account_id) as accounts
        from public.trades x
        where p_account_id is null or x.match_id in (select t.match_id from t)
        group by x.match_id
    ) m
    where m.match_id is null or (m.rows, m.buys, m.sells, m.makers, m.takers) <> (2, 1, 1, 1, 1)
        or (m.quantities, m.prices, m.instruments, m.times, m.accounts) <> (1, 1, 1, 1, 2)
    union all
    select 'a trade is its order''s', 'trade ' || x.trade_id,
           jsonb_build_object('order_id', x.order_id, 'side', x.side, 'order_side', t.order_side, 'account_id', x.account_id, 'order_account', t.owner)
    from public.trades x
    left join t on t.trade_id = x.trade_id
    where (p_account_id is null or x.account_id = p_account_id or t.trade_id is not null)
        and ((x.side, x.instrument_id, x.account_id) is distinct from (t.order_side, t.order_instrument, t.owner)
            or x.quantity <= 0 or x.price <= 0 or x.commission < 0 or x.executed_at < t.ordered_at)
    union all
    select 'limits are respected', 'trade ' || t.trade_id, jsonb_build_object('price', t.price, 'limit', t.limit_price, 'side', t.side, 'liquidity', t.liquidity)
    from t
    where t.limit_price is not null and t.order_id not in (select m.order_id from moved m)
        and (t.side = 'buy' and t.price > t.limit_price or t.side = 'sell' and t.price < t.limit_price
            or t.liquidity = 'maker' and t.price <> t.limit_price)
    union all
    select 'trades are numbered as they happened', 'trade ' || s.trade_id, jsonb_build_object('executed_at', s.executed_at, 'before', s.before_at)
    from (
        select x.trade_id, x.executed_at, lag(x.executed_at) over (partition by x.instrument_id order by x.trade_id) as before_at
        from public.trades x
        where p_account_id is null
    ) s
    where s.executed_at < s.before_at
    union all
    -- Cash (rules 16 to 18)
    select 'each balance follows from the one before', 'transaction ' || l.transaction_id,
           jsonb_build_object('before', l.balance_before, 'amount', l.amount, 'after', l.balance_after)
    from l
    where l.balance_after <> l.balance_before + l.amount or l.created_at is null or l.created_at < l.before_at
    union all
    select 'the balance is the sum of the transactions', 'account ' || a.account_id,
           jsonb_build_object('balance', a.balance, 'transactions', s.amount, 'last', s.last_balance)
    from a
    left join ledger s on s.account_id = a.account_id
    where a.balance is distinct from coalesce(s.amount, 0) or a.balance is distinct from coalesce(s.last_balance, 0)
        or a.commissions <> coalesce(s.commissions, 0)
    union all
    select 'a transaction has its type''s sign', 'transaction ' || l.transaction_id, jsonb_build_object('type', l.transaction_type, 'amount', l.amount)
    from l
    where case l.transaction_type
        when 'deposit' then l.amount <= 0
        when 'trade_sell' then l.amount < 0
        when 'withdrawal' then l.amount >= 0
        when 'commission' then l.amount >= 0
        when 'trade_buy' then l.amount > 0
        when 'adjustment' then l.amount = 0
        else true
    end
    union all
    select 'a trade is paid for exactly once', 'trade ' || t.trade_id,
           jsonb_build_object('cash', round(t.quantity * t.price, 2), 'paid', s.paid, 'commission', t.commission, 'charged', s.charged, 'rows', s.rows)
    from t
    left join paid s on s.trade_id = t.trade_id and s.account_id = t.owner
    where s.rows is distinct from 1 or s.charged is distinct from t.commission
        or s.paid is distinct from case t.side when 'buy' then -1 else 1 end * round(t.quantity * t.price, 2)
    union all
    select 'a payment for a trade has its trade', 'transaction ' || l.transaction_id, jsonb_build_object('type', l.transaction_type, 'trade_id', l.trade_id)
    from l
    left join t on t.trade_id = l.trade_id and t.owner = l.account_id
    where (l.transaction_type in ('trade_buy', 'trade_sell', 'commission')) <> (l.trade_id is not null)
        or l.trade_id is not null and (t.trade_id is null or l.created_at is distinct from t.executed_at
            or l.transaction_type not in ('commission', 'trade_' || t.side))
    union all
    -- With each balance the sum of its account's rows: all balances are what came in, corrections included, less what went out and the commissions.
    select 'trading makes and loses no cash', 'all accounts', jsonb_build_object('sum', s.amount)
    from (select sum(l.amount) as amount from l where l.transaction_type in ('trade_buy', 'trade_sell')) s
    where p_account_id is null and s.amount <> 0
    union all
    -- Positions (rule 19)
    select 'positions follow from the trades', format('account %s, instrument %s', coalesce(p.account_id, c.account_id), coalesce(p.instrument_id, c.instrument_id)),
           jsonb_build_object('quantity', p.quantity, 'from_trades', c.quantity, 'cost', p.cost, 'cost_from_trades', c.cost,
               'average_price', p.average_price, 'realized_pnl', p.realized_pnl, 'realized_from_trades', c.realized, 'opened_at', p.opened_at)
    from p
    full join (select held.* from held where held.is_last) c
        on c.account_id = p.account_id and c.instrument_id = p.instrument_id
    where p.position_id is null or c.trade_id is null
        or (p.quantity, p.opened_at) is distinct from (c.quantity, c.opened_at)
        or round(p.cost, 16) <> round(c.cost, 16)
        or round(p.realized_exact, 16) <> round(c.realized, 16)
        or p.realized_pnl is distinct from round(round(c.realized, 16), 2)
        or p.average_price <> case when c.quantity = 0 then 0 else round(c.cost / c.quantity, 8) end
        or p.quantity = 0 and p.unrealized_pnl <> 0
    union all
    select 'positions net to zero', format('instrument %s', s.instrument_id), jsonb_build_object('sum', s.quantity)
    from (select x.instrument_id, sum(x.quantity) as quantity from public.positions x group by x.instrument_id) s
    where p_account_id is null and s.quantity <> 0
    union all
    -- Risk (rules 21, 22)
    select 'a cash account is never short', 'account ' || a.account_id || ', instrument ' || x.instrument_id,
           jsonb_build_object('quantity', x.held, 'to_sell', x.selling)
    from (
        select coalesce(p.account_id, s.account_id) as account_id, coalesce(p.instrument_id, s.instrument_id) as instrument_id,
               coalesce(p.quantity, 0) as held, coalesce(s.quantity, 0) as selling
        from p
        full join selling s on s.account_id = p.account_id and s.instrument_id = p.instrument_id
    ) x
    join a on a.account_id = x.account_id and not a.is_margin
    where x.held < 0 or x.selling > x.held
    union all
    select 'a cash account is never overdrawn', 'account ' || a.account_id, jsonb_build_object('balance', a.balance)
    from a
    where not a.is_margin and a.balance < 0
    union all
    select 'reserved is the sum of the orders', 'account ' || a.account_id, jsonb_build_object('reserved', a.reserved, 'orders', s.reserved)
    from a
    left join reserves s on s.account_id = a.account_id
    where a.reserved <> coalesce(s.reserved, 0)
    union all
    select 'an open buy reserves its cost', 'order ' || o.order_id,
           jsonb_build_object('reserved', o.reserved, 'cost', round((o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price), 2))
    from o
    -- Between its cost, and its cost with a commission as high as it can be: the rates may have changed since.
    where case when o.working and o.side = 'buy' and not o.is_margin
        then o.reserved < round((o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price), 2)
            or o.reserved > 2 * round((o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price), 2)
        else o.reserved <> 0 end
    union all
    -- Equity (rule 20): to a cent per position, plus half a cent for each rounding of rule 16, plus the average's rounding to 8 decimals.
    select 'equity is what came in and what was made', 'account ' || a.account_id,
           jsonb_build_object('equity', a.balance + v.value, 'made', coalesce(s.not_traded, 0) + v.made)
    from a
    join (
        select q.account_id, count(*) as positions, sum(abs(q.quantity)) as held, sum(q.quantity * q.mark) as value,
               sum(q.realized_pnl + round(q.quantity * (q.mark - q.average_price), 2)) as made
        from (select p.*, coalesce(k.mark, p.average_price) as mark from p left join internal.marks k on k.instrument_id = p.instrument_id) q
        group by q.account_id
    ) v on v.account_id = a.account_id
    left join ledger s on s.account_id = a.account_id
    left join rounded r on r.owner = a.account_id
    where abs(a.balance + v.value - coalesce(s.not_traded, 0) - v.made) > 0.01 * v.positions + 0.000000005 * v.held + 0.005 * coalesce(r.fills, 0)
    union all
    -- The journal says the same, with what the account had after it; what was set aside then, the order's last word says.
    select 'every trade is in the journal', format('trade %s', coalesce(t.trade_id::text, e.detail ->> 'trade_id')),
           jsonb_build_object('event', e.detail, 'quantity', t.quantity, 'price', t.price, 'balance', b.balance, 'position', c.quantity, 'cost', c.cost,
               'realized', c.realized)
    from t
    left join held c on c.trade_id = t.trade_id
    left join paid b on b.trade_id = t.trade_id and b.account_id = t.owner
    full join (
        select j.*, row_number() over (partition by j.detail -> 'trade_id' order by j.event_id) as time
        from public.journal j
        where j.kind = 'filled' and (p_account_id is null or j.account_id = p_account_id)
    ) e on e.detail -> 'trade_id' = to_jsonb(t.trade_id)
    where e.time > 1 or (t.owner, t.order_id, t.executed_at) is distinct from (e.account_id, e.order_id, e.at)
        or e.detail - '{reserved,cost,realized}'::text[] is distinct from jsonb_build_object(
            'trade_id', t.trade_id, 'match_id', t.match_id, 'side', t.side, 'quantity', t.quantity, 'price', t.price, 'liquidity', t.liquidity,
            'cash', round(t.quantity * t.price, 2), 'commission', t.commission, 'filled_quantity', t.filled_quantity, 'balance', b.balance,
            'position', c.quantity)
        or case when jsonb_typeof(e.detail -> 'cost') = 'number' then round((e.detail ->> 'cost')::numeric, 16) end is distinct from round(c.cost, 16)
        or case when jsonb_typeof(e.detail -> 'realized') = 'number' then round((e.detail ->> 'realized')::numeric, 16) end is distinct from round(c.realized, 16)
    union all
    select 'every deposit, withdrawal and adjustment is in the journal', format('transaction %s', coalesce(l.transaction_id::text, e.detail ->> 'transaction_id')),
           jsonb_build_object('event', e.detail, 'amount', l.amount)
    from (select l.* from l where l.transaction_type in ('deposit', 'withdrawal', 'adjustment')) l
    full join (
        select j.*, row_number() over (partition by j.detail -> 'transaction_id' order by j.event_id) as time
        from public.journal j
        where j.kind in ('deposit', 'withdrawal', 'adjustment') and (p_account_id is null or j.account_id = p_account_id)
    ) e on e.detail -> 'transaction_id' = to_jsonb(l.transaction_id)
    where e.time > 1 or (l.account_id, l.transaction_type, l.created_at) is distinct from (e.account_id, e.kind, e.at)
        or e.detail is distinct from jsonb_build_object('transaction_id', l.transaction_id, 'balance', l.balance_after, 'description', l.description,
            'amount', case l.transaction_type when 'withdrawal' then -l.amount else l.amount end)
$$;
comment on function internal.broken_money is 'The invariants of trades, cash, positions and risk that are broken, of one account or of all.';
