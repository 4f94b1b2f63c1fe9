-- verify_ledger: everything that must be true of the books, recomputed from the ground up. It shares no arithmetic with the engine.

create or replace function internal.positions_from_trades(p_account_id bigint)
returns table (account_id bigint, instrument_id bigint, quantity numeric, cost numeric, realized numeric)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    t record;
begin
    for t in
        select o.account_id, x.instrument_id, case x.side when 'buy' then x.quantity else -x.quantity end as signed, x.price
        from public.trades x
        join public.orders o on o.order_id = x.order_id
        where p_account_id is null or o.account_id = p_account_id
        order by o.account_id, x.instrument_id, x.trade_id
    loop
        if (account_id, instrument_id) is distinct from (t.account_id, t.instrument_id) then
            if account_id is not null then
                return next;
            end if;
            account_id := t.account_id;
            instrument_id := t.instrument_id;
            quantity := 0;
            cost := 0;
            realized := 0;
        end if;
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
    end loop;
    if account_id is not null then
        return next;
    end if;
end;
$$;
comment on function internal.positions_from_trades is 'Quantity, exact cost and exact realized P&L of every position, computed from its trades in their order (rule 19).';

create or replace function verify_ledger(p_account_id bigint default null)
returns table (invariant text, subject text, detail jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    -- One statement, so that all of it is seen at one moment while trading goes on.
    with
    o as materialized (
        select r.*, i.symbol, nullif(i.tick_size, 0) as tick_size, nullif(i.lot_size, 0) as lot_size,
               r.status in ('pending', 'open', 'partially_filled') and r.priority is not null as working,
               r.status in ('open', 'partially_filled') as in_book,
               m.account_type is not null as is_margin, coalesce(f.maker_rate, 0) as maker_rate, coalesce(f.taker_rate, 0) as taker_rate
        from public.orders r
        left join public.instruments i on i.instrument_id = r.instrument_id
        left join public.accounts a on a.account_id = r.account_id
        left join public.margin_schedule m on m.account_type = a.account_type
        left join public.fee_schedule f on f.account_type = a.account_type
        where p_account_id is null or r.account_id = p_account_id
    ),
    t as materialized (
        select x.*, o.account_id as owner, o.side as order_side, o.instrument_id as order_instrument, o.price as limit_price, o.order_type,
               o.created_at as ordered_at
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
    a as materialized (
        select x.*, m.account_type is not null as is_margin
        from public.accounts x
        left join public.margin_schedule m on m.account_type = x.account_type
        where p_account_id is null or x.account_id = p_account_id
    ),
    p as materialized (
        select x.* from public.positions x where p_account_id is null or x.account_id = p_account_id
    ),
    j as materialized (
        select x.*, lag(x.at) over (partition by x.account_id order by x.event_id) as before_at
        from public.journal x
        where x.account_id is not null and (p_account_id is null or x.account_id = p_account_id)
    ),
    -- Orders whose price was changed once: a limit of today says nothing about an earlier trade of theirs.
    moved as materialized (select distinct j.order_id from j where j.kind = 'replaced'),
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
    said as materialized (
        select distinct on (j.order_id) j.order_id, j.kind
        from j
        where j.order_id is not null and j.kind <> 'replace_refused'
        order by j.order_id, j.event_id desc
    ),
    fills as materialized (select t.order_id, sum(t.quantity) as quantity, max(t.executed_at) as last_at from t group by t.order_id),
    book as materialized (
        select r.instrument_id,
               max(r.price) filter (where r.side = 'buy') as bid, min(r.price) filter (where r.side = 'sell') as ask
        from public.orders r
        where r.status in ('open', 'partially_filled')
        group by r.instrument_id
    )

    -- Orders (rules 1 to 3, 8, 9)
    select 'order words', 'order ' || o.order_id,
           jsonb_build_object('order_type', o.order_type, 'side', o.side, 'time_in_force', o.time_in_force, 'status', o.status)
    from o
    where o.order_type not in ('market', 'limit', 'stop', 'stop_limit') or o.side not in ('buy', 'sell')
        or coalesce(o.time_in_force, '') not in ('GTC', 'DAY', 'IOC', 'FOK')
        or coalesce(o.status, '') not in ('pending', 'open', 'partially_filled', 'filled', 'cancelled', 'rejected', 'expired')
    union all
    select 'order terms', 'order ' || o.order_id,
           jsonb_build_object('quantity', o.quantity, 'price', o.price, 'stop_price', o.stop_price, 'tick_size', o.tick_size, 'lot_size', o.lot_size)
    from o
    where (o.status not in ('rejected', 'pending') or o.priority is not null)
        and (o.quantity <= 0 or o.quantity % coalesce(o.lot_size, 0.00000001) <> 0
            or (o.price is not null) <> (o.order_type in ('limit', 'stop_limit'))
            or (o.stop_price is not null) <> (o.order_type in ('stop', 'stop_limit'))
            or o.price <= 0 or o.price % coalesce(o.tick_size, 0.00000001) <> 0
            or o.stop_price <= 0 or o.stop_price % coalesce(o.tick_size, 0.00000001) <> 0)
    union all
    select 'filled quantity is the sum of the trades', 'order ' || o.order_id,
           jsonb_build_object('filled_quantity', o.filled_quantity, 'trades', coalesce(f.quantity, 0))
    from o
    left join fills f on f.order_id = o.order_id
    where o.filled_quantity is distinct from coalesce(f.quantity, 0)
    union all
    select 'status fits the fills', 'order ' || o.order_id,
           jsonb_build_object('status', o.status, 'quantity', o.quantity, 'filled_quantity', o.filled_quantity, 'filled_at', o.filled_at)
    from o
    where o.filled_quantity < 0 or o.filled_quantity > o.quantity
        or o.status in ('pending', 'open', 'rejected') and o.filled_quantity <> 0
        or o.status = 'partially_filled' and (o.filled_quantity = 0 or o.filled_quantity = o.quantity)
        or o.status in ('cancelled', 'expired') and o.filled_quantity = o.quantity
        or (o.status = 'filled') <> (o.filled_quantity = o.quantity)
        or (o.status = 'filled') <> (o.filled_at is not null)
        or o.status = 'pending' and o.priority is not null and o.order_type not in ('stop', 'stop_limit')
    union all
    select 'filled_at is the time of the last fill', 'order ' || o.order_id, jsonb_build_object('filled_at', o.filled_at, 'last_fill', f.last_at)
    from o
    join fills f on f.order_id = o.order_id
    where o.status = 'filled' and o.filled_at is distinct from f.last_at
    union all
    select 'what never rests does not rest', 'order ' || o.order_id, jsonb_build_object('order_type', o.order_type, 'time_in_force', o.time_in_force)
    from o
    where o.in_book and (o.order_type in ('market', 'stop') or o.time_in_force in ('IOC', 'FOK') or o.priority is null)
    union all
    select 'fill or kill', 'order ' || o.order_id, jsonb_build_object('quantity', o.quantity, 'filled_quantity', o.filled_quantity)
    from o
    where o.time_in_force = 'FOK' and o.filled_quantity not in (0, o.quantity)
    union all
    select 'every end has its reason', 'order ' || o.order_id, jsonb_build_object('status', o.status)
    from o
    where o.status in ('cancelled', 'rejected', 'expired') and o.reason is null
    union all
    -- The book (rules 6, 13)
    select 'the book is not crossed', 'instrument ' || b.instrument_id, jsonb_build_object('bid', b.bid, 'ask', b.ask)
    from book b
    where p_account_id is null and b.bid >= b.ask
    union all
    select 'the top of the book is the best of the orders', 'instrument ' || k.instrument_id,
           jsonb_build_object('bid', k.bid_price, 'ask', k.ask_price, 'best_buy', b.bid, 'best_sell', b.ask)
    from internal.books k
    left join book b on b.instrument_id = k.instrument_id
    where p_account_id is null and (k.bid_price, k.ask_price) is distinct from (b.bid, b.ask)
    union all
    select 'waiting stops are counted', 'instrument ' || k.instrument_id,
           jsonb_build_object('waiting_stops', k.waiting_stops, 'buy_stop', k.buy_stop, 'sell_stop', k.sell_stop, 'orders', to_jsonb(s))
    from internal.books k
    cross join lateral (
        select count(*) as stops, min(r.stop_price) filter (where r.side = 'buy') as buy_stop,
               max(r.stop_price) filter (where r.side = 'sell') as sell_stop
        from public.orders r
        where r.instrument_id = k.instrument_id and r.status = 'pending' and r.order_type in ('stop', 'stop_limit') and r.priority is not null
    ) s
    where p_account_id is null and (k.waiting_stops, k.buy_stop, k.sell_stop) is distinct from (s.stops, s.buy_stop, s.sell_stop)
    union all
    -- Linked orders (rules L1, L2)
    select 'a pair shares one quantity', 'pair ' || s.oco_id, to_jsonb(s)
    from (
        select o.oco_id, count(*) filter (where o.working) as working, min(o.quantity - o.filled_quantity) filter (where o.working) as least,
               max(o.quantity - o.filled_quantity) filter (where o.working) as most, count(distinct o.side) as sides,
               bool_or(not o.working and not (o.status = 'cancelled' and o.order_type = 'stop' and o.triggered_at is not null)) as ended
        from o
        where o.oco_id is not null
        group by o.oco_id
    ) s
    where s.working > 2 or s.sides > 1 or s.least <> s.most or s.working > 0 and s.ended
    union all
    select 'what an entry fills has its exits', 'order ' || o.order_id,
           jsonb_build_object('filled_quantity', o.filled_quantity, 'covered_quantity', o.covered_quantity)
    from o
    where (o.take_profit is not null or o.stop_loss is not null) and o.covered_quantity is distinct from o.filled_quantity
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
    select 'a trade is its order''s', 'trade ' || t.trade_id,
           jsonb_build_object('side', t.side, 'order_side', t.order_side, 'account_id', t.account_id, 'order_account', t.owner)
    from t
    where t.side <> t.order_side or t.instrument_id <> t.order_instrument or t.account_id is distinct from t.owner
        or t.quantity <= 0 or t.price <= 0 or t.commission < 0 or t.executed_at < t.ordered_at
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
    where l.balance_after <> l.balance_before + l.amount or l.created_at < l.before_at
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
        else l.transaction_type <> 'adjustment'
    end
    union all
    select 'a trade is paid for exactly once', 'trade ' || t.trade_id,
           jsonb_build_object('cash', round(t.quantity * t.price, 2), 'paid', s.paid, 'commission', t.commission, 'charged', s.charged, 'rows', s.rows)
    from t
    left join (
        select l.trade_id, l.account_id, sum(l.amount) filter (where l.transaction_type in ('trade_buy', 'trade_sell')) as paid,
               -coalesce(sum(l.amount) filter (where l.transaction_type = 'commission'), 0) as charged,
               count(*) filter (where l.transaction_type in ('trade_buy', 'trade_sell')) as rows
        from l
        where l.trade_id is not null
        group by l.trade_id, l.account_id
    ) s on s.trade_id = t.trade_id and s.account_id = t.owner
    where s.rows is distinct from 1 or s.charged <> t.commission
        or s.paid <> case t.side when 'buy' then -1 else 1 end * round(t.quantity * t.price, 2)
    union all
    select 'a payment for a trade has its trade', 'transaction ' || l.transaction_id, jsonb_build_object('type', l.transaction_type, 'trade_id', l.trade_id)
    from l
    where (l.transaction_type in ('trade_buy', 'trade_sell', 'commission')) <> (l.trade_id is not null)
        or l.trade_id is not null and not exists (select from t where t.trade_id = l.trade_id and t.owner = l.account_id)
    union all
    select 'trading makes and loses no cash', 'all accounts', jsonb_build_object('sum', s.amount)
    from (select sum(x.amount) as amount from public.transactions x where x.transaction_type in ('trade_buy', 'trade_sell')) s
    where p_account_id is null and s.amount <> 0
    union all
    -- Positions (rule 19)
    select 'positions follow from the trades', 'account ' || coalesce(p.account_id, c.account_id) || ', instrument ' || coalesce(p.instrument_id, c.instrument_id),
           jsonb_build_object('quantity', p.quantity, 'from_trades', c.quantity, 'cost', p.cost, 'cost_from_trades', c.cost,
               'average_price', p.average_price, 'realized_pnl', p.realized_pnl, 'realized_from_trades', c.realized)
    from p
    full join internal.positions_from_trades(p_account_id) c on c.account_id = p.account_id and c.instrument_id = p.instrument_id
    where coalesce(p.quantity, 0) <> coalesce(c.quantity, 0)
        or round(coalesce(p.cost, 0), 16) <> round(coalesce(c.cost, 0), 16)
        or round(coalesce(p.realized_exact, 0), 16) <> round(coalesce(c.realized, 0), 16)
        or coalesce(p.realized_pnl, 0) <> round(round(coalesce(c.realized, 0), 16), 2)
        or coalesce(p.average_price, 0) <> case when coalesce(c.quantity, 0) = 0 then 0 else round(c.cost / c.quantity, 8) end
    union all
    select 'positions net to zero', 'instrument ' || s.instrument_id, jsonb_build_object('sum', s.quantity)
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
    -- The journal says what the tables say
    select 'events are numbered as they happened', 'event ' || j.event_id, jsonb_build_object('at', j.at, 'before', j.before_at)
    from j
    where j.at < j.before_at
    union all
    select 'every trade is in the journal', 'trade ' || coalesce(t.trade_id, (e.detail ->> 'trade_id')::bigint),
           jsonb_build_object('event', e.detail, 'quantity', t.quantity, 'price', t.price)
    from t
    full join (select j.* from j where j.kind = 'filled') e on (e.detail ->> 'trade_id')::bigint = t.trade_id
    where (t.owner, t.order_id, t.quantity, t.price, t.commission, t.match_id, t.executed_at) is distinct from
        (e.account_id, e.order_id, (e.detail ->> 'quantity')::numeric, (e.detail ->> 'price')::numeric, (e.detail ->> 'commission')::numeric,
         (e.detail ->> 'match_id')::bigint, e.at)
    union all
    select 'every deposit and withdrawal is in the journal', 'transaction ' || coalesce(l.transaction_id, (e.detail ->> 'transaction_id')::bigint),
           jsonb_build_object('event', e.detail, 'amount', l.amount)
    from (select l.* from l where l.transaction_type in ('deposit', 'withdrawal')) l
    full join (select j.* from j where j.kind in ('deposit', 'withdrawal')) e on (e.detail ->> 'transaction_id')::bigint = l.transaction_id
    where (l.account_id, l.transaction_type, abs(l.amount), l.balance_after) is distinct from
        (e.account_id, e.kind::varchar, (e.detail ->> 'amount')::numeric, (e.detail ->> 'balance')::numeric)
    union all
    select 'the journal''s last word on an order is its status', 'order ' || o.order_id, jsonb_build_object('status', o.status, 'kind', e.kind)
    from o
    left join said e on e.order_id = o.order_id
    -- A row without an account, inserted by hand, is nobody's to tell.
    where (o.status <> 'pending' or o.priority is not null) and o.account_id is not null
        and case o.status
            when 'pending' then e.kind in ('accepted', 'replaced', 'reduced', 'resized', 'trailed')
            when 'open' then e.kind in ('accepted', 'replaced', 'rested', 'reduced', 'resized')
            when 'partially_filled' then e.kind in ('filled', 'rested', 'replaced', 'reduced', 'resized')
            when 'filled' then e.kind in ('filled')
            else e.kind = o.status
        end is not true
$$;
comment on function verify_ledger is 'Every invariant of the books that is broken, of one account or of all: empty where they are right.';
