-- Many new orders at once: the rules that internal.work keeps for one, for a whole batch, matched in memory and written in one statement.
--
-- One order after another goes through the books, with the stops that it sets off, exactly as if they had been sent one by one; but what
-- they do to orders, accounts and positions stays in arrays until all is decided. So a batch costs the statements of one order and the
-- rows of all. What cannot be told for certain here is left to internal.enter: then null is returned, with nothing written, and the
-- caller places one by one, under the locks that it has. That is so when
--   orders in one of the instruments hang together (47_follow_links.sql), or a client_order_id is not new;
--   an order would go further into a book than was read;
--   a margin account may be at its limit, so that only internal.margin_figures can tell;
--   a fill-or-kill order finds on its way that somebody cannot pay.

create or replace function internal.settle(p_requests orders[], p_stand internal.stand) returns bigint[]
language plpgsql
-- Hundreds of orders are matched with hundreds of positions.
set enable_hashjoin = on
as $$
declare
    v_existing constant integer := coalesce(cardinality(p_stand.orders), 0);
    v_instruments constant bigint[] := p_stand.instruments;

    -- All orders: those that rest, the stops that wait, then the new ones. Beside each: a key that is lower the better its price is, what
    -- it has left, whose it is (its place among the accounts), its position, and who comes after it in the book (0: nobody).
    v_all public.orders[] := p_stand.orders || p_requests;
    v_key numeric[];
    v_left numeric[];
    v_owner integer[];
    v_holding integer[];
    v_after integer[];
    v_touched boolean[];
    -- The sides of the books, 2k - 1 the bids and 2k the asks of instrument k: the best order (0: none), and the level behind what was read.
    v_head integer[] := p_stand.heads;
    v_behind numeric[];
    v_behind_size numeric[] := p_stand.next_sizes;
    -- The instruments.
    v_last numeric[];
    v_bar_close numeric[];
    v_buy_stop numeric[];
    v_sell_stop numeric[];
    v_changed boolean[];
    v_stops integer[] := p_stand.stops;
    v_stops_changed boolean[];
    -- The accounts. Of margin accounts besides: the rate that they need at most, what they hold in other instruments, what they have open.
    v_ids bigint[];
    v_balance numeric[];
    v_reserved numeric[];
    v_maker_rate numeric[];
    v_taker_rate numeric[];
    v_margin boolean[];
    v_shut text[];
    v_currency text[];
    v_rate numeric[];
    v_other_value numeric[];
    v_other_gross numeric[];
    v_open_value numeric[];
    v_holdings_of integer[];
    v_fees numeric[];
    v_told_at timestamp[];
    -- The positions, and what of them is for sale.
    v_holder bigint[];
    v_held_in bigint[];
    v_quantity numeric[];
    v_cost numeric[];
    v_realized numeric[];
    v_opened boolean[];
    v_opened_at timestamp[];
    v_for_sale numeric[];
    v_traded_in integer[];

    -- What will be written.
    v_trades public.trades[];
    v_transactions public.transactions[];
    v_events public.journal[];
    v_marks numeric[];
    v_print_in integer[];
    v_print_price numeric[];
    v_print_quantity numeric[];
    v_print_at timestamp[];
    v_closing numeric[];
    v_top_price numeric[];
    v_top_size numeric[];

    -- The order under way.
    v_now timestamp;
    v_step integer := 0;
    v_index integer;
    v_order public.orders;
    v_market internal.market;
    v_triggered boolean;
    v_queue integer[];
    v_turn integer;
    v_k integer;
    v_me integer;
    v_mine integer;
    v_own integer;
    v_other integer;
    v_buy boolean;
    v_stop boolean;
    v_waits boolean;
    v_rests boolean;
    v_meets boolean;
    v_limit numeric;
    v_remaining numeric;
    v_released numeric;
    v_money numeric;
    v_need numeric;
    v_reason text;
    v_kill text;
    v_prints_before integer;
    -- Whom it meets.
    v_at integer;
    v_maker public.orders;
    v_who integer;
    v_whose integer;
    v_ends text;
    v_fill numeric;
    v_price numeric;
    v_amount numeric;
    v_before numeric;
    v_gross numeric;
    v_mark numeric;
    v_match bigint;
begin
    if exists (select from unnest(p_stand.markets) m where m.linked_orders > 0)
        or exists (
            select from unnest(p_requests) r
            where r.client_order_id is not null
            group by r.account_id, r.client_order_id
            having count(*) > 1
                or exists (select from public.orders o where o.account_id = r.account_id and o.client_order_id = r.client_order_id))
    then
        return null;
    end if;

    -- 1. What everybody has -----------------------------------------------------------------------------------------------------
    with a as materialized (
        select a.account_id, a.balance, a.reserved, a.currency, a.updated_at, coalesce(f.maker_rate, 0) as maker_rate,
               coalesce(f.taker_rate, 0) as taker_rate, m.account_type is not null as is_margin,
               case when a.status is distinct from 'active' then format('the account is %s', coalesce(a.status, 'not active'))
                    when u.is_active is false then 'the user is not active' end as shut,
               greatest(m.initial_rate, m.maintenance_long_rate, m.maintenance_short_rate) as rate,
               m.account_type is not null and a.account_id = any (p_stand.requesters) as looked_at
        from public.accounts a
        left join public.users u on u.user_id = a.user_id
        left join public.fee_schedule f on f.account_type = a.account_type
        left join public.margin_schedule m on m.account_type = a.account_type
        where a.account_id = any (p_stand.accounts)
    ),
    marks as materialized (
        select * from internal.marks k where exists (select from a where a.looked_at)
    ),
    elsewhere as (
        select p.account_id, sum(p.quantity * coalesce(k.mark, p.average_price)) as value, sum(abs(p.quantity * coalesce(k.mark, p.average_price))) as gross
        from a
        join public.positions p on p.account_id = a.account_id
        left join marks k on k.instrument_id = p.instrument_id
        where a.looked_at and p.quantity <> 0 and p.instrument_id <> all (v_instruments)
        group by p.account_id
    ),
    working as (
        select o.account_id, sum((o.quantity - o.filled_quantity) * coalesce(o.price, o.stop_price)) as value
        from a
        join public.orders o on o.account_id = a.account_id
        where a.looked_at and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
        group by o.account_id
    )
    select array_agg(x.account_id), array_agg(x.balance), array_agg(x.reserved), array_agg(x.maker_rate), array_agg(x.taker_rate),
           array_agg(x.is_margin), array_agg(x.shut), array_agg(x.currency), array_agg(x.rate), array_agg(x.other_value), array_agg(x.other_gross),
           array_agg(x.open_value), array_agg(0::numeric), max(x.updated_at)
    into v_ids, v_balance, v_reserved, v_maker_rate, v_taker_rate, v_margin, v_shut, v_currency, v_rate, v_other_value, v_other_gross,
         v_open_value, v_fees, v_now
    from (
        select a.*, coalesce(e.value, 0) as other_value, coalesce(e.gross, 0) as other_gross, coalesce(w.value, 0) as open_value
        from a
        left join elsewhere e on e.account_id = a.account_id
        left join working w on w.account_id = a.account_id
        order by a.account_id
    ) x;
    -- Positions: of everyone whose order is here, and of the margin accounts that send orders, in all instruments of the batch.
    with all_orders as materialized (
        select o.ordinality as n, o.account_id, o.instrument_id, o.quantity - o.filled_quantity as remaining,
               case o.side when 'buy' then -o.price else o.price end as key, array_position(v_ids, o.account_id) as owner
        from unnest(v_all) with ordinality o
    ),
    holdings as materialized (
        select h.account_id, h.instrument_id, row_number() over ()::integer as holding
        from (
            select o.account_id, o.instrument_id from all_orders o
            union
            select r.account_id, i.instrument_id
            from unnest(p_stand.requesters) as r (account_id)
            cross join unnest(v_instruments) as i (instrument_id)
            where v_margin[array_position(v_ids, r.account_id)]
        ) h
    ),
    filled as (
        select h.holding, h.account_id, h.instrument_id, coalesce(p.quantity, 0) as quantity, coalesce(p.cost, 0) as cost,
               coalesce(p.realized_exact, 0) as realized, p.account_id is not null as opened, coalesce(s.quantity, 0) as for_sale
        from holdings h
        left join public.positions p on p.account_id = h.account_id and p.instrument_id = h.instrument_id
        left join lateral (
            select sum(o.quantity - o.filled_quantity) as quantity
            from public.orders o
            where o.account_id = h.account_id and o.instrument_id = h.instrument_id and o.side = 'sell'
                and o.status in ('pending', 'open', 'partially_filled') and o.priority is not null
        ) s on h.account_id = any (p_stand.requesters)
    )
    select o.keys, o.remaining, o.owners, o.holdings, f.*, (
               select array_agg(h.holding order by r.n, i.n)
               from unnest(v_ids) with ordinality as r (account_id, n)
               cross join unnest(v_instruments) with ordinality as i (instrument_id, n)
               left join holdings h on h.account_id = r.account_id and h.instrument_id = i.instrument_id)
    into v_key, v_left, v_owner, v_holding, v_holder, v_held_in, v_quantity, v_cost, v_realized, v_opened, v_for_sale, v_holdings_of
    from (
        select array_agg(o.key order by o.n) as keys, array_agg(o.remaining order by o.n) as remaining, array_agg(o.owner order by o.n) as owners,
               array_agg(h.holding order by o.n) as holdings
        from all_orders o
        left join holdings h on h.account_id = o.account_id and h.instrument_id = o.instrument_id
    ) o
    cross join (
        select array_agg(f.account_id order by f.holding), array_agg(f.instrument_id order by f.holding), array_agg(f.quantity order by f.holding),
               array_agg(f.cost order by f.holding), array_agg(f.realized order by f.holding), array_agg(f.opened order by f.holding),
               array_agg(f.for_sale order by f.holding)
        from filled f
    ) f;
    v_after := array(select case when n = any (p_stand.ends) then 0 else n + 1 end from generate_series(1, v_existing) n);
    v_touched := array_fill(false, array[v_existing]);
    -- An array that grows from the middle would begin there: those that are read side by side are as long as their likes from the start.
    v_traded_in := array_fill(null::integer, array[cardinality(v_holder)]);
    v_opened_at := array_fill(null::timestamp, array[cardinality(v_holder)]);
    v_told_at := array_fill(null::timestamp, array[cardinality(v_ids)]);
    v_behind := array(select case when n % 2 = 1 then -p else p end from unnest(p_stand.next_prices) with ordinality as u (p, n) order by n);
    select array_agg(m.last_price order by m.k), array_agg(m.buy_stop order by m.k), array_agg(m.sell_stop order by m.k),
           array_agg(false), array_agg(false), greatest(v_now, max(m.updated_at)),
           array_agg((select b.close from public.market_data b where b.instrument_id = m.instrument_id order by b.time desc limit 1) order by m.k)
    into v_last, v_buy_stop, v_sell_stop, v_changed, v_stops_changed, v_now, v_bar_close
    from unnest(p_stand.markets) with ordinality as m (instrument_id, symbol, currency, is_active, tick_size, lot_size, bid_price, bid_size,
        ask_price, ask_size, last_price, waiting_stops, updated_at, linked_orders, buy_stop, sell_stop, k);

    -- 2. One order after another ------------------------------------------------------------------------------------------------
    for v_place in 1..cardinality(p_requests) loop
        v_index := v_existing + v_place;
        continue when p_requests[v_place].account_id is null;
        v_triggered := false;
        v_queue := null;
        v_turn := 0;
        v_now := greatest(v_now, clock_timestamp() at time zone 'UTC');
        loop
            v_order := v_all[v_index];
            v_step := v_step + 1;
            v_told_at[v_owner[v_index]] := v_now;
            v_k := array_position(v_instruments, v_order.instrument_id);
            v_market := p_stand.markets[v_k];
            v_me := v_owner[v_index];
            v_mine := v_holding[v_index];
            v_buy := v_order.side = 'buy';
            v_own := 2 * v_k - v_buy::integer;
            v_other := 2 * v_k - 1 + v_buy::integer;
            v_stop := v_order.order_type in ('stop', 'stop_limit');
            v_waits := v_stop and not v_triggered
                and (v_last[v_k] is null or case when v_buy then v_last[v_k] < v_order.stop_price else v_last[v_k] > v_order.stop_price end);
            v_rests := v_order.order_type in ('limit', 'stop_limit') and v_order.time_in_force in ('GTC', 'DAY');
            v_limit := coalesce(case when v_buy then v_order.price else -v_order.price end, 'Infinity');
            v_remaining := v_left[v_index];
            v_released := v_order.reserved;
            v_money := v_balance[v_me] - v_reserved[v_me] + v_released;
            v_reason := null;
            v_kill := null;
            v_need := 0;
            v_prints_before := coalesce(cardinality(v_print_price), 0);
            v_at := v_head[v_other];
            v_meets := not v_waits and v_at > 0 and v_key[v_at] <= v_limit;
            if not v_waits and v_at = 0 and v_behind[v_other] <= v_limit then
                return null;
            end if;

            if v_triggered then
                -- It waited, and its quantity was spoken for.
                if not v_buy then
                    v_for_sale[v_mine] := v_for_sale[v_mine] - v_remaining;
                end if;
                v_open_value[v_me] := v_open_value[v_me] - v_remaining * coalesce(v_order.price, v_order.stop_price);
            else
                -- May it stand (rules 21 to 24)?
                v_order.order_id := nextval('public.orders_order_id_seq');
                v_order.created_at := v_now;
                if v_order.client_order_id is not null then
                    v_order.terms := internal.terms(v_order);
                end if;
                if not v_market.is_active then
                    v_reason := format('%s is not open for trading', v_market.symbol);
                elsif v_shut[v_me] is not null then
                    v_reason := v_shut[v_me];
                elsif v_currency[v_me] is distinct from v_market.currency then
                    v_reason := format('the account is in %s, %s trades in %s', v_currency[v_me], v_market.symbol, v_market.currency);
                elsif v_margin[v_me] then
                    -- Enough for certain, where the equity covers everything that is held and every open order by itself.
                    v_amount := v_balance[v_me] + v_other_value[v_me];
                    v_gross := v_other_gross[v_me];
                    for v_each in 1..cardinality(v_instruments) loop
                        v_who := v_holdings_of[(v_me - 1) * cardinality(v_instruments) + v_each];
                        if v_quantity[v_who] <> 0 or v_each = v_k then
                            v_at := v_head[2 * v_each - 1];
                            v_mark := case when v_at > 0 then -v_key[v_at] else -v_behind[2 * v_each - 1] end;
                            v_at := v_head[2 * v_each];
                            v_mark := (v_mark + case when v_at > 0 then v_key[v_at] else v_behind[2 * v_each] end) / 2;
                            v_mark := coalesce(v_mark, v_last[v_each], v_bar_close[v_each],
                                case when v_quantity[v_who] <> 0 then round(v_cost[v_who] / v_quantity[v_who], 8) end);
                            v_amount := v_amount + coalesce(v_quantity[v_who] * v_mark, 0);
                            v_gross := v_gross + coalesce(abs(v_quantity[v_who] * v_mark), 0);
                            if v_each = v_k then
                                v_price := v_mark;
                            end if;
                        end if;
                    end loop;
                    if (v_amount >= v_rate[v_me] * (v_gross + v_open_value[v_me]
                        + v_remaining * coalesce(v_order.price, v_order.stop_price, v_price, 'Infinity'))) is not true
                    then
                        return null;
                    end if;
                elsif v_buy then
                    if v_order.order_type <> 'market' then
                        v_need := internal.reserve(v_remaining, coalesce(v_order.price, v_order.stop_price), v_maker_rate[v_me], v_taker_rate[v_me]);
                        if v_need > v_money then
                            v_reason := format('insufficient funds: %s needed, %s available', v_need, v_money);
                        end if;
                    end if;
                elsif v_for_sale[v_mine] + v_remaining > v_quantity[v_mine] then
                    v_reason := format('insufficient position: %s to sell, %s held, %s of it in open sell orders',
                        trim_scale(v_remaining), trim_scale(v_quantity[v_mine]), trim_scale(v_for_sale[v_mine]));
                end if;
            end if;
            if v_reason is null and v_order.post_only and v_meets then
                v_reason := format('post-only, and would take liquidity at %s', trim_scale(v_all[v_head[v_other]].price));
            end if;
            v_order.updated_at := v_now;
            if v_stop and not v_waits then
                v_order.triggered_at := v_now;
            end if;

            -- Fill or kill, and a market buy's money: what it could trade counts (rules 14 and 21).
            if v_reason is null and not v_waits and (v_order.time_in_force = 'FOK'
                or v_buy and v_order.order_type = 'market' and not v_margin[v_me] and not v_triggered)
            then
                v_amount := 0;
                v_fill := v_remaining;
                v_at := v_head[v_other];
                while v_at > 0 and v_fill > 0 and v_key[v_at] <= v_limit loop
                    if v_owner[v_at] is distinct from v_me then
                        v_before := least(v_fill, v_left[v_at]);
                        v_fill := v_fill - v_before;
                        v_before := round(v_before * v_key[v_at], 2);
                        v_amount := v_amount + v_before + round(v_before * v_taker_rate[v_me], 2);
                    elsif v_order.time_in_force = 'FOK' then
                        exit when v_order.self_trade <> 'cancel_oldest';
                    elsif v_order.self_trade in ('cancel_newest', 'cancel_both') then
                        exit;
                    elsif v_order.self_trade = 'decrement' then
                        v_fill := v_fill - least(v_fill, v_left[v_at]);
                    end if;
                    v_at := v_after[v_at];
                end loop;
                if v_fill > 0 and v_at = 0 and v_behind[v_other] <= v_limit then
                    return null;
                end if;
                if v_order.time_in_force = 'FOK' and v_fill > 0 then
                    v_kill := format('fill or kill: %s of %s could trade', trim_scale(v_remaining - v_fill), trim_scale(v_remaining));
                elsif v_buy and v_order.order_type = 'market' and not v_margin[v_me] and not v_triggered and v_amount > v_money then
                    v_reason := format('insufficient funds: %s needed, %s available', v_amount, v_money);
                end if;
            end if;

            if v_reason is not null then
                v_order.status := 'rejected';
                v_order.reason := v_reason;
                v_order.reserved := 0;
                if not v_triggered then
                    v_order.triggered_at := null;
                end if;
                v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'rejected', v_order.order_id,
                    v_order.instrument_id, internal.order_detail(v_order), null, null)::public.journal;
            else
                if not v_triggered then
                    v_order.status := case when v_waits then 'pending' else 'open' end;
                    v_order.reserved := case when v_buy and not v_margin[v_me] and v_order.order_type <> 'market' then v_need else 0 end;
                    if v_waits or v_rests and not v_meets then
                        v_order.priority := nextval('internal.priority_seq');
                    end if;
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'accepted', v_order.order_id,
                        v_order.instrument_id, internal.order_detail(v_order), null, null)::public.journal;
                end if;
                if v_stop and not v_waits then
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'triggered', v_order.order_id,
                        v_order.instrument_id, jsonb_build_object('stop_price', v_order.stop_price, 'last_price', v_last[v_k]), null, null)::public.journal;
                end if;

                while v_meets and v_kill is null and v_remaining > 0 loop
                    v_at := v_head[v_other];
                    if v_at = 0 and v_behind[v_other] <= v_limit then
                        return null;
                    end if;
                    exit when v_at = 0 or v_key[v_at] > v_limit;
                    v_maker := v_all[v_at];
                    v_who := v_owner[v_at];
                    v_whose := v_holding[v_at];
                    v_ends := null;
                    -- Nobody thought that it would come to this one: its account is not locked.
                    if v_who is null then
                        return null;
                    end if;

                    if v_who = v_me then
                        -- Never with itself (rule 14).
                        v_fill := v_left[v_at];
                        if v_order.self_trade = 'cancel_newest' then
                            v_kill := format('self-trade prevention: own order %s rests at %s', v_maker.order_id, trim_scale(v_maker.price));
                            exit;
                        elsif v_order.self_trade = 'decrement' and v_fill > v_remaining then
                            v_maker.quantity := v_maker.quantity - v_remaining;
                        else
                            v_ends := format('self-trade prevention: own order %s came in', v_order.order_id);
                        end if;
                        if v_order.self_trade = 'cancel_both' or v_order.self_trade = 'decrement' and v_fill >= v_remaining then
                            v_kill := format('self-trade prevention: own order %s rested at %s', v_maker.order_id, trim_scale(v_maker.price));
                        elsif v_order.self_trade = 'decrement' then
                            v_order.quantity := v_order.quantity - v_fill;
                            v_remaining := v_remaining - v_fill;
                            v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'reduced', v_order.order_id,
                                v_order.instrument_id, jsonb_build_object('quantity', v_order.quantity, 'reserved', v_order.reserved,
                                    'reason', format('self-trade prevention: own order %s rested at %s', v_maker.order_id, trim_scale(v_maker.price))), null, null)::public.journal;
                        end if;
                        v_fill := 0;
                    else
                        v_price := v_maker.price;
                        v_fill := least(v_remaining, v_left[v_at]);
                        -- A cash account pays for each fill, its roundings included, from what is its own: so none becomes negative (rule 21).
                        if v_buy and not v_margin[v_me] then
                            v_before := internal.affordable(v_balance[v_me] - v_reserved[v_me] + v_released, v_fill, v_price, v_taker_rate[v_me], v_market.lot_size);
                            if v_before < v_fill then
                                v_kill := format('insufficient funds for the rest at %s', trim_scale(v_price));
                                v_fill := v_before;
                            end if;
                        elsif not v_buy and not v_margin[v_who] then
                            v_before := round(v_fill * v_price, 2);
                            if v_before + round(v_before * v_maker_rate[v_who], 2) > v_balance[v_who] - v_reserved[v_who] + v_maker.reserved then
                                v_ends := format('insufficient funds at %s', trim_scale(v_price));
                                v_fill := 0;
                            end if;
                        end if;
                    end if;

                    if v_fill > 0 then
                        v_match := nextval('internal.match_id_seq');
                        v_remaining := v_remaining - v_fill;
                        v_order.filled_quantity := v_order.filled_quantity + v_fill;
                        v_maker.filled_quantity := v_maker.filled_quantity + v_fill;
                        v_print_in := v_print_in || v_k;
                        v_print_price := v_print_price || v_price;
                        v_print_quantity := v_print_quantity || v_fill;
                        v_print_at := v_print_at || v_now;
                        -- Both sides settle alike, the resting order first.
                        for v_side in 1..2 loop
                            declare
                                v_a constant integer := case v_side when 1 then v_who else v_me end;
                                v_h constant integer := case v_side when 1 then v_whose else v_mine end;
                                v_signed constant numeric := case when v_buy = (v_side = 2) then v_fill else -v_fill end;
                                v_cash constant numeric := round(v_fill * v_price, 2);
                                v_fee constant numeric := round(v_cash * case v_side when 1 then v_maker_rate[v_who] else v_taker_rate[v_me] end, 2);
                                v_held constant numeric := v_quantity[v_h];
                                v_trade constant bigint := nextval('public.trades_trade_id_seq');
                                v_text constant text := format('%s %s @ %s', v_market.symbol, trim_scale(v_fill), trim_scale(v_price));
                                v_closed numeric;
                            begin
                                v_trades := v_trades || (v_trade, case v_side when 1 then v_maker.order_id else v_order.order_id end,
                                    v_order.instrument_id, case when v_signed > 0 then 'buy' else 'sell' end, v_fill, v_price, v_fee, v_now,
                                    v_match, case v_side when 1 then 'maker' else 'taker' end, v_ids[v_a])::public.trades;
                                v_balance[v_a] := v_balance[v_a] - sign(v_signed) * v_cash;
                                v_transactions := v_transactions || (nextval('public.transactions_transaction_id_seq'), v_ids[v_a],
                                    case when v_signed > 0 then 'trade_buy' else 'trade_sell' end, -sign(v_signed) * v_cash,
                                    v_balance[v_a], v_text, v_now, v_trade)::public.transactions;
                                if v_fee > 0 then
                                    v_balance[v_a] := v_balance[v_a] - v_fee;
                                    v_fees[v_a] := v_fees[v_a] + v_fee;
                                    v_transactions := v_transactions || (nextval('public.transactions_transaction_id_seq'), v_ids[v_a],
                                        'commission', -v_fee, v_balance[v_a], v_text, v_now, v_trade)::public.transactions;
                                end if;

                                -- Rule 19, as in internal.work.
                                if v_held * v_signed >= 0 then
                                    v_cost[v_h] := trim_scale(v_cost[v_h] + v_signed * v_price);
                                else
                                    v_closed := case when abs(v_signed) >= abs(v_held) then v_cost[v_h]
                                                     else trim_scale(round(round(v_cost[v_h], 24) * abs(v_signed) / abs(v_held), 24)) end;
                                    v_realized[v_h] := trim_scale(v_realized[v_h] - v_closed
                                        + sign(v_held) * least(abs(v_signed), abs(v_held)) * v_price);
                                    v_cost[v_h] := trim_scale(v_cost[v_h] - v_closed
                                        + case when abs(v_signed) > abs(v_held) then (v_held + v_signed) * v_price else 0 end);
                                end if;
                                v_quantity[v_h] := v_held + v_signed;
                                v_traded_in[v_h] := v_step;
                                v_opened_at[v_h] := coalesce(v_opened_at[v_h], v_now);
                            end;
                        end loop;
                    end if;

                    -- What becomes of the resting order, and what it sets aside from here on.
                    if v_ends is not null then
                        v_maker.status := 'cancelled';
                        v_maker.reason := v_ends;
                    elsif v_maker.filled_quantity = v_maker.quantity then
                        v_maker.status := 'filled';
                        v_maker.filled_at := v_now;
                    elsif v_maker.filled_quantity > 0 then
                        v_maker.status := 'partially_filled';
                    end if;
                    v_before := v_left[v_at];
                    v_left[v_at] := case when v_maker.status in ('cancelled', 'filled') then 0 else v_maker.quantity - v_maker.filled_quantity end;
                    v_open_value[v_who] := v_open_value[v_who] - (v_before - v_left[v_at]) * v_maker.price;
                    if v_buy then
                        v_for_sale[v_whose] := v_for_sale[v_whose] - (v_before - v_left[v_at]);
                    end if;
                    if v_left[v_at] = 0 then
                        v_head[v_other] := v_after[v_at];
                    end if;
                    if v_maker.reserved > 0 then
                        v_before := v_maker.reserved;
                        v_maker.reserved := case when v_left[v_at] = 0 then 0
                            else least(v_before, internal.reserve(v_left[v_at], v_maker.price, v_maker_rate[v_who], v_taker_rate[v_who])) end;
                        v_reserved[v_who] := v_reserved[v_who] - v_before + v_maker.reserved;
                    end if;
                    -- One that was met and could not be paid for is as it was.
                    if v_fill > 0 or v_ends is not null or v_who = v_me then
                        v_maker.updated_at := v_now;
                        v_all[v_at] := v_maker;
                        v_told_at[v_who] := v_now;
                        v_changed[v_k] := true;
                        if v_at <= v_existing then
                            v_touched[v_at] := true;
                        end if;
                    end if;
                    if v_fill > 0 then
                        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'filled', v_maker.order_id,
                            v_maker.instrument_id, internal.fill_detail(v_trades[cardinality(v_trades) - 1], v_maker, v_balance[v_who],
                                v_quantity[v_whose], v_cost[v_whose], v_realized[v_whose]), null, null)::public.journal;
                        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'filled', v_order.order_id,
                            v_order.instrument_id, internal.fill_detail(v_trades[cardinality(v_trades)], v_order, v_balance[v_me],
                                v_quantity[v_mine], v_cost[v_mine], v_realized[v_mine]), null, null)::public.journal;
                    end if;
                    if v_ends is not null then
                        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'cancelled', v_maker.order_id,
                            v_maker.instrument_id, jsonb_build_object('reason', v_ends, 'filled_quantity', v_maker.filled_quantity), null, null)::public.journal;
                    elsif v_who = v_me then
                        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'reduced', v_maker.order_id,
                            v_maker.instrument_id, jsonb_build_object('quantity', v_maker.quantity, 'reserved', v_maker.reserved,
                                'reason', format('self-trade prevention: own order %s came in', v_order.order_id)), null, null)::public.journal;
                    end if;
                    -- Fill or kill is the whole or nothing (rule 9): what is done already would have to be taken back.
                    if v_order.time_in_force = 'FOK' and (v_kill is not null or v_ends is not null and v_who <> v_me) then
                        return null;
                    end if;
                end loop;

                -- What is left of it: waiting, filled, resting, or cancelled (rules 8, 9).
                if v_waits then
                    v_stops := v_stops || v_index;
                    v_stops_changed[v_k] := true;
                    v_changed[v_k] := true;
                    if v_buy then
                        v_buy_stop[v_k] := least(v_buy_stop[v_k], v_order.stop_price);
                    else
                        v_sell_stop[v_k] := greatest(v_sell_stop[v_k], v_order.stop_price);
                    end if;
                elsif v_kill is null and v_remaining = 0 then
                    v_order.status := 'filled';
                    v_order.filled_at := v_now;
                    v_order.reserved := 0;
                elsif v_kill is null and v_rests then
                    v_changed[v_k] := true;
                    v_order.status := case when v_order.filled_quantity > 0 then 'partially_filled' else 'open' end;
                    v_order.reserved := case when v_order.reserved > 0
                        then least(v_order.reserved, internal.reserve(v_remaining, v_order.price, v_maker_rate[v_me], v_taker_rate[v_me])) else 0 end;
                    -- One that met nobody has said so when it was accepted.
                    if v_stop or v_meets then
                        v_order.priority := nextval('internal.priority_seq');
                        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'rested', v_order.order_id,
                            v_order.instrument_id, jsonb_build_object('price', v_order.price, 'quantity', v_remaining, 'reserved', v_order.reserved,
                                'priority', v_order.priority), null, null)::public.journal;
                    end if;
                    -- Behind what was read it is nobody's concern here; before, it takes its place behind all at its price.
                    if v_key[v_index] = v_behind[v_own] then
                        v_behind_size[v_own] := v_behind_size[v_own] + v_remaining;
                    elsif (v_key[v_index] > v_behind[v_own]) is not true then
                        v_at := v_head[v_own];
                        if v_at = 0 or v_key[v_at] > v_key[v_index] then
                            v_head[v_own] := v_index;
                        else
                            while v_after[v_at] > 0 and v_key[v_after[v_at]] <= v_key[v_index] loop
                                v_at := v_after[v_at];
                            end loop;
                            v_who := v_at;
                            v_at := v_after[v_at];
                            v_after[v_who] := v_index;
                        end if;
                        v_after[v_index] := v_at;
                    end if;
                else
                    v_order.status := 'cancelled';
                    v_order.reason := coalesce(v_kill, case
                        when v_order.order_type in ('limit', 'stop_limit') then format('immediate or cancel: nothing more at %s or better', trim_scale(v_order.price))
                        else 'nothing more in the book' end);
                    v_order.reserved := 0;
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'cancelled', v_order.order_id,
                        v_order.instrument_id, jsonb_build_object('reason', v_order.reason, 'filled_quantity', v_order.filled_quantity), null, null)::public.journal;
                end if;
                if v_order.status in ('pending', 'open', 'partially_filled') then
                    if not v_buy then
                        v_for_sale[v_mine] := v_for_sale[v_mine] + v_remaining;
                    end if;
                    v_open_value[v_me] := v_open_value[v_me] + v_remaining * coalesce(v_order.price, v_order.stop_price);
                end if;
            end if;
            v_reserved[v_me] := v_reserved[v_me] - v_released + v_order.reserved;
            v_left[v_index] := v_order.quantity - v_order.filled_quantity;
            v_all[v_index] := v_order;
            if v_index <= v_existing then
                v_touched[v_index] := true;
            end if;

            -- The stops that its prints set off run next, first in, first out, when all before them are completely done (rule 11).
            if cardinality(v_print_price) > v_prints_before then
                v_price := v_print_price[cardinality(v_print_price)];
                v_last[v_k] := v_price;
                v_closing[v_step] := v_price;
                v_before := v_print_price[v_prints_before + 1];
                if greatest(v_before, v_price) >= v_buy_stop[v_k] or least(v_before, v_price) <= v_sell_stop[v_k] then
                    v_stops_changed[v_k] := true;
                    v_queue := v_queue || array(
                        select s.at
                        from (
                            select u.at, v_all[u.at].side, v_all[u.at].stop_price, v_all[u.at].priority
                            from unnest(v_stops) as u (at)
                            where v_all[u.at].instrument_id = v_order.instrument_id
                        ) s
                        join unnest(v_print_price[v_prints_before + 1:]) with ordinality as p (price, ordinality)
                            on case s.side when 'buy' then s.stop_price <= p.price else s.stop_price >= p.price end
                        group by s.at, s.priority
                        order by min(p.ordinality), s.priority);
                    select array_agg(u.at),
                           min(v_all[u.at].stop_price) filter (where v_all[u.at].instrument_id = v_order.instrument_id and v_all[u.at].side = 'buy'),
                           max(v_all[u.at].stop_price) filter (where v_all[u.at].instrument_id = v_order.instrument_id and v_all[u.at].side = 'sell')
                    into v_stops, v_before, v_amount
                    from unnest(v_stops) as u (at)
                    where u.at <> all (v_queue);
                    v_buy_stop[v_k] := v_before;
                    v_sell_stop[v_k] := v_amount;
                end if;
            end if;
            -- What the instrument is worth now, for the journal.
            v_at := v_head[2 * v_k - 1];
            v_mark := case when v_at > 0 then -v_key[v_at] else -v_behind[2 * v_k - 1] end;
            v_at := v_head[2 * v_k];
            v_mark := coalesce((v_mark + case when v_at > 0 then v_key[v_at] else v_behind[2 * v_k] end) / 2, v_last[v_k]);
            v_marks := v_marks || array_fill(v_mark, array[cardinality(v_events) - coalesce(cardinality(v_marks), 0)]);
            exit when v_turn >= coalesce(cardinality(v_queue), 0);
            v_turn := v_turn + 1;
            v_index := v_queue[v_turn];
            v_triggered := true;
        end loop;
    end loop;

    -- 3. The tops of the books ---------------------------------------------------------------------------------------------------
    for v_side in 1..cardinality(v_head) loop
        v_at := v_head[v_side];
        v_top_price[v_side] := case when v_at > 0 then v_all[v_at].price else abs(v_behind[v_side]) end;
        v_amount := case when v_at > 0 then 0 else v_behind_size[v_side] end;
        v_mark := v_key[v_at];
        while v_at > 0 and v_key[v_at] = v_mark loop
            v_amount := v_amount + v_left[v_at];
            v_at := v_after[v_at];
        end loop;
        v_top_size[v_side] := v_amount;
    end loop;

    -- 4. Write it -----------------------------------------------------------------------------------------------------------------
    with placed as (
        insert into public.orders select * from unnest(v_all[v_existing + 1:]) o where o.order_id is not null
    ),
    changed as (
        update public.orders o
        set quantity = c.quantity, filled_quantity = c.filled_quantity, status = c.status, reserved = c.reserved, reason = c.reason,
            priority = c.priority, updated_at = c.updated_at, triggered_at = c.triggered_at, filled_at = c.filled_at
        from (select (v_all[n]).* from unnest(v_touched) with ordinality as t (touched, n) where t.touched) c
        where o.order_id = c.order_id
    ),
    traded as (
        insert into public.trades select * from unnest(v_trades)
    ),
    holdings as (
        select h.*, case when h.quantity = 0 then 0 else round(h.cost / h.quantity, 8) end as average_price, v_closing[h.traded_in] as closing
        from unnest(v_holder, v_held_in, v_quantity, v_cost, v_realized, v_opened, v_opened_at, v_traded_in)
            as h (account_id, instrument_id, quantity, cost, realized, opened, opened_at, traded_in)
        where h.traded_in is not null
    ),
    held as (
        update public.positions p
        set quantity = h.quantity, cost = h.cost, average_price = h.average_price, realized_exact = h.realized,
            realized_pnl = round(round(h.realized, 16), 2), unrealized_pnl = round(h.quantity * (h.closing - h.average_price), 2), updated_at = v_now
        from holdings h
        where h.opened and p.account_id = h.account_id and p.instrument_id = h.instrument_id
    ),
    opened as (
        insert into public.positions (account_id, instrument_id, quantity, average_price, realized_pnl, unrealized_pnl, opened_at, updated_at,
            cost, realized_exact)
        select h.account_id, h.instrument_id, h.quantity, h.average_price, round(round(h.realized, 16), 2),
               round(h.quantity * (h.closing - h.average_price), 2), h.opened_at, v_now, h.cost, h.realized
        from holdings h
        where not h.opened
    ),
    accounts as (
        -- Everyone of whom the journal tells, as of then.
        update public.accounts a
        set balance = h.balance, reserved = h.reserved, commissions = a.commissions + h.fees, updated_at = h.told_at
        from unnest(v_ids, v_balance, v_reserved, v_fees, v_told_at) as h (account_id, balance, reserved, fees, told_at)
        where a.account_id = h.account_id and h.told_at is not null
    ),
    ledger as (
        insert into public.transactions select * from unnest(v_transactions)
    ),
    tops as (
        select m.k, m.instrument_id, v_top_price[2 * m.k - 1] as bid_price, v_top_size[2 * m.k - 1] as bid_size,
               v_top_price[2 * m.k] as ask_price, v_top_size[2 * m.k] as ask_size, v_last[m.k] as last_price,
               (m.bid_price, m.bid_size, m.ask_price, m.ask_size) is distinct from (v_top_price[2 * m.k - 1], v_top_size[2 * m.k - 1],
                   v_top_price[2 * m.k], v_top_size[2 * m.k]) as moved
        from unnest(p_stand.markets) with ordinality as m (instrument_id, symbol, currency, is_active, tick_size, lot_size, bid_price, bid_size,
            ask_price, ask_size, last_price, waiting_stops, updated_at, linked_orders, buy_stop, sell_stop, k)
        where v_changed[m.k]
    ),
    quoted as (
        insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
        select t.instrument_id, coalesce(t.bid_price, 0), coalesce(t.bid_size, 0), coalesce(t.ask_price, 0), coalesce(t.ask_size, 0), v_now
        from tops t
        where t.moved
        order by t.instrument_id
    ),
    prints as materialized (
        select v_instruments[p.k] as instrument_id, date_trunc('minute', p.at) as minute, max(p.at) as at, min(p.price) as low, max(p.price) as high,
               (array_agg(p.price order by p.n))[1] as first, (array_agg(p.price order by p.n desc))[1] as last, sum(p.quantity) as volume
        from unnest(v_print_in, v_print_price, v_print_quantity, v_print_at) with ordinality as p (k, price, quantity, at, n)
        group by p.k, date_trunc('minute', p.at)
    ),
    bars as (
        insert into public.market_data as m (time, instrument_id, open, high, low, close, volume)
        select p.minute, p.instrument_id, p.first, p.high, p.low, p.last, p.volume from prints p
        on conflict (time, instrument_id) do update
        set high = greatest(m.high, excluded.high), low = least(m.low, excluded.low), close = excluded.close, volume = m.volume + excluded.volume
    ),
    sessions as (
        select p.instrument_id, max(p.at) as at, sum(p.volume) as volume from prints p group by p.instrument_id
    ),
    shown as (
        update internal.books b
        set bid_price = t.bid_price, bid_size = t.bid_size, ask_price = t.ask_price, ask_size = t.ask_size, last_price = t.last_price,
            last_at = coalesce(s.at, b.last_at), session_date = coalesce(s.at::date, b.session_date),
            session_volume = case when b.session_date is distinct from s.at::date and s.at is not null then 0 else b.session_volume end
                + coalesce(s.volume, 0),
            previous_close = case when b.session_date < s.at::date then b.last_price else b.previous_close end,
            version = b.version + 1, updated_at = greatest(b.updated_at, v_now)
        from tops t
        left join sessions s on s.instrument_id = t.instrument_id
        where b.instrument_id = t.instrument_id
    )
    insert into public.journal select * from internal.chained_each(v_events, v_marks);
    for v_each in 1..cardinality(v_instruments) loop
        if v_stops_changed[v_each] then
            perform internal.recount_stops(v_instruments[v_each]);
        end if;
    end loop;
    return array(select o.order_id from unnest(v_all[v_existing + 1:]) with ordinality o order by o.ordinality);
end;
$$;
comment on function internal.settle is
    'Places a batch of new orders whose locks are held, and all that follows from them; their ids in order. Null, with nothing done, where that cannot be told without doing it one by one.';
