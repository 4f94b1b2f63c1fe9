-- The core: one order meets the book (rules 6 to 14), and everything that follows from it is written (rules 15 to 19, 21).
--
-- The caller holds the lock of the instrument (its row in internal.books), so the book stands still. internal.work then
--   1. walks the other side as far as the order can reach, and so knows who may take part;
--   2. locks those accounts in id order: with instruments before accounts, always, no two requests can wait for each other;
--   3. decides whether the order may stand;
--   4. matches in memory;
--   5. writes all of it in one statement, and where nothing else follows from the order, shows it in the same.
-- Nothing is written before the order is decided, so a refusal has nothing to undo.
--
-- The statements here touch a few rows by an index each. The functions that clients call say so to the planner (enable_seqscan = off and
-- its like: a plan made while a table was small must not scan it later) and have it keep its plans (plan_cache_mode): over arrays whose
-- lengths it does not know, it would plan anew each time.

drop function if exists internal.resting(internal.market, text, numeric, numeric, bigint);
create or replace function internal.resting(
    p_market internal.market, p_side text, p_limit numeric, p_quantity numeric, p_accounts bigint[],
    out makers orders[], out accounts bigint[], out reach numeric, out furthest numeric, out next_price numeric, out next_size numeric
) language plpgsql
-- One index has each side of the book in the order in which it trades: what needs sorting was read from elsewhere.
set enable_sort = off
as $$
declare
    v_maker public.orders;
    v_last numeric;
begin
    accounts := p_accounts;
    reach := 0;
    for v_maker in
        select asks.* from (
            select * from public.orders o
            where p_side = 'sell' and o.instrument_id = p_market.instrument_id and o.side = 'sell' and o.status in ('open', 'partially_filled')
            order by o.price, o.priority
        ) asks
        union all
        select bids.* from (
            select * from public.orders o
            where p_side = 'buy' and o.instrument_id = p_market.instrument_id and o.side = 'buy' and o.status in ('open', 'partially_filled')
            order by o.price desc, o.priority
        ) bids
    loop
        if next_price is not null then
            exit when v_maker.price <> next_price;
            next_size := next_size + v_maker.quantity - v_maker.filled_quantity;
        elsif p_side = 'sell' and v_maker.price > p_limit or p_side = 'buy' and v_maker.price < p_limit
            or reach >= p_quantity and v_maker.price is distinct from v_last
        then
            next_price := v_maker.price;
            next_size := v_maker.quantity - v_maker.filled_quantity;
        else
            makers := makers || v_maker;
            v_last := v_maker.price;
            if reach < p_quantity then
                furthest := v_last;
                accounts := accounts || v_maker.account_id;
            end if;
            if v_maker.account_id <> all (p_accounts) then
                reach := reach + v_maker.quantity - v_maker.filled_quantity;
            end if;
        end if;
    end loop;
end;
$$;
comment on function internal.resting is
    'Whom an order of this quantity and limit meets on one side of the book, best first and to the end of the level at which it is satisfied: their orders, the accounts that may take part, what they could trade with p_accounts, whose own orders do not count, the price of the last of them; and the level after those, which is the best one when they are gone.';

drop function if exists internal.work(orders, text, internal.market, numeric);
create function internal.work(p_order orders, p_mode text, p_market internal.market, p_further numeric default 0) returns internal.outcome
language plpgsql as $$
/*  p_mode   new      a request: the row does not exist yet
             pending  a row that somebody inserted as pending: it exists, but was never accepted
             replace  a working order with new terms, matched again as if new (rule 12)
             trigger  a stop whose price was printed (rule 11)
             exit     a new order that a bracket places for what its entry has filled
    p_further how much further to look into the book than the order's quantity: see the end of the matching                      */
declare
    v_order public.orders := p_order;
    v_market internal.market := p_market;
    v_buy constant boolean := v_order.side = 'buy';
    v_sign constant numeric := case when v_buy then 1 else -1 end;
    v_new constant boolean := p_mode in ('new', 'exit');
    -- A part of a request under way: at the request's own time, with its locks.
    v_inner constant boolean := p_mode in ('trigger', 'exit');
    v_stop constant boolean := v_order.order_type in ('stop', 'stop_limit');
    -- Does it meet the book now? A stop waits for its price, or is already through (rule 11).
    v_waits constant boolean := v_stop and p_mode <> 'trigger' and v_order.triggered_at is null
        and (p_market.last_price is null or case when v_buy then p_market.last_price < v_order.stop_price
                                                 else p_market.last_price > v_order.stop_price end);
    v_rests constant boolean := v_order.order_type in ('limit', 'stop_limit') and v_order.time_in_force in ('GTC', 'DAY');
    v_remaining numeric := v_order.quantity - v_order.filled_quantity;
    v_now timestamp;

    -- The other side, as far as the order can reach.
    v_book record;
    v_makers public.orders[];
    v_maker public.orders;
    v_reach numeric;
    v_met integer := 0;

    -- The accounts that may take part, in id order, and what each has: index by array_position(v_ids, account_id).
    v_ids bigint[] := array[v_order.account_id];
    v_balance numeric[];
    v_reserved numeric[];
    v_maker_rate numeric[];
    v_taker_rate numeric[];
    v_margin boolean[];
    v_quantity numeric[];
    v_cost numeric[];
    v_realized numeric[];
    v_opened boolean[];
    v_fees numeric[];
    v_traded boolean[];
    v_me integer;
    v_status text;
    v_user_active boolean;
    v_currency text;
    v_known public.orders;

    -- What will be written.
    v_changed public.orders[];
    v_trades public.trades[];
    v_transactions public.transactions[];
    v_events public.journal[];
    v_prints numeric[];
    v_last numeric;
    v_volume numeric := 0;
    v_stops integer := 0;
    v_publish boolean;
    v_mark numeric;

    v_reason text;
    v_kill text;
    v_money numeric;
    v_need numeric;
    v_open numeric;
    v_fill numeric;
    v_at integer;
    v_match bigint;
    v_price numeric;
    v_before numeric;
    v_released numeric;
    v_ends text;
    v_events_before integer;
    v_reserved_before numeric[];
    v_unpaid numeric := 0;
begin
    -- 1. Who may take part ------------------------------------------------------------------------------------------------------
    if not v_waits then
        v_book := internal.resting(p_market, case when v_buy then 'sell' else 'buy' end,
            coalesce(v_order.price, case when v_buy then 'Infinity'::numeric else 0 end), v_remaining + p_further, v_ids);
        v_makers := v_book.makers;
        v_ids := v_book.accounts;
        v_reach := v_book.reach;
        -- A print may set off stops, theirs others, and move what is linked: then everyone with a working order here may take part.
        -- A triggered stop runs inside such a request, and its accounts are locked already.
        if v_book.reach > 0 and not v_inner
            and (p_market.linked_orders > 0
                or greatest(v_makers[1].price, v_book.furthest) >= p_market.buy_stop
                or least(v_makers[1].price, v_book.furthest) <= p_market.sell_stop)
        then
            v_ids := v_ids || internal.participants(p_market.instrument_id);
        end if;
    end if;

    -- 2. Lock them in id order --------------------------------------------------------------------------------------------------
    if v_inner or p_further > 0 then
        -- All but the rarest of these are locked already. One that is not must not be waited for out of turn: better to begin again.
        perform from public.accounts a where a.account_id = any (v_ids) order by a.account_id for no key update nowait;
    end if;
    -- Positions in this instrument change under its lock only, so they may be read in the statement that waits for the accounts.
    select array_agg(x.account_id), array_agg(x.balance), array_agg(x.reserved), array_agg(x.maker_rate), array_agg(x.taker_rate),
           array_agg(x.is_margin), array_agg(x.quantity), array_agg(x.cost), array_agg(x.realized), array_agg(x.opened),
           array_agg(0::numeric), array_agg(false), max(x.updated_at), max(x.status) filter (where x.account_id = v_order.account_id),
           bool_and(x.user_active) filter (where x.account_id = v_order.account_id), max(x.currency) filter (where x.account_id = v_order.account_id)
    into v_ids, v_balance, v_reserved, v_maker_rate, v_taker_rate, v_margin, v_quantity, v_cost, v_realized, v_opened,
         v_fees, v_traded, v_now, v_status, v_user_active, v_currency
    from (
        select a.account_id, a.balance, a.reserved, a.status, a.currency, a.updated_at, coalesce(u.is_active, true) as user_active,
               coalesce(f.maker_rate, 0) as maker_rate, coalesce(f.taker_rate, 0) as taker_rate, m.account_type is not null as is_margin,
               coalesce(p.quantity, 0) as quantity, coalesce(p.cost, 0) as cost, coalesce(p.realized_exact, 0) as realized,
               p.account_id is not null as opened
        from public.accounts a
        left join public.users u on u.user_id = a.user_id
        left join public.fee_schedule f on f.account_type = a.account_type
        left join public.margin_schedule m on m.account_type = a.account_type
        left join public.positions p on p.account_id = a.account_id and p.instrument_id = p_market.instrument_id
        where a.account_id = any (v_ids)
        order by a.account_id
        for no key update of a
    ) x;
    v_me := array_position(v_ids, v_order.account_id);
    if v_me is null then
        perform internal.refuse('account_id', v_order.account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    end if;
    -- Only now: the clock of the statement that waited for a lock stood still before the wait (rule 15).
    v_now := greatest(v_now, p_market.updated_at, case when not v_inner then clock_timestamp() at time zone 'UTC' end);
    v_market.updated_at := v_now;

    -- The same request again (rule 5)?
    if p_mode = 'new' and v_order.client_order_id is not null then
        v_order.terms := coalesce(v_order.terms, internal.terms(v_order));
        select * into v_known from public.orders o
        where o.account_id = v_order.account_id and o.client_order_id = v_order.client_order_id;
        if found then
            if coalesce(v_known.terms, internal.terms(v_known)) is distinct from v_order.terms then
                perform internal.refuse('client_order_id', v_order.client_order_id,
                    format('was used for order %s with other terms', v_known.order_id), 'Give every new order an id of its own.');
            end if;
            return (v_known.order_id, v_known.status, v_now, null, 0, false, p_market, true, false)::internal.outcome;
        end if;
    end if;

    -- 3. May it stand (rules 21 to 24)? -----------------------------------------------------------------------------------------
    v_released := case when v_new then 0 else v_order.reserved end;
    v_money := v_balance[v_me] - v_reserved[v_me] + v_released;
    if p_mode <> 'trigger' then
        if not p_market.is_active then
            v_reason := format('%s is not open for trading', p_market.symbol);
        elsif v_status is distinct from 'active' then
            v_reason := format('the account is %s', coalesce(v_status, 'not active'));
        elsif not v_user_active then
            v_reason := 'the user is not active';
        elsif v_currency is distinct from p_market.currency then
            v_reason := format('the account is in %s, %s trades in %s', v_currency, p_market.symbol, p_market.currency);
        elsif v_margin[v_me] then
            v_reason := internal.margin_refusal(v_order, p_mode in ('replace', 'pending'), v_balance[v_me]);
        elsif v_buy then
            if v_order.order_type <> 'market' then
                v_need := internal.reserve(v_remaining, coalesce(v_order.price, v_order.stop_price), v_maker_rate[v_me], v_taker_rate[v_me]);
                if v_need > v_money then
                    v_reason := format('insufficient funds: %s needed, %s available', v_need, v_money);
                end if;
            end if;
        else
            v_open := internal.open_quantity('sell', v_order.account_id, p_market.instrument_id, v_order.order_id, v_order.oco_id, v_remaining) - v_remaining;
            if v_open + v_remaining > v_quantity[v_me] then
                v_reason := format('insufficient position: %s to sell, %s held, %s of it in open sell orders',
                    trim_scale(v_remaining), trim_scale(v_quantity[v_me]), trim_scale(v_open));
            end if;
        end if;
    end if;
    if v_reason is null and v_order.post_only and v_makers is not null then
        v_reason := format('post-only, and would take liquidity at %s', trim_scale(v_makers[1].price));
    end if;

    -- 4. Match in memory --------------------------------------------------------------------------------------------------------
    v_order.updated_at := v_now;
    v_order.triggered_at := case when v_stop and not v_waits then coalesce(v_order.triggered_at, v_now) else v_order.triggered_at end;
    if v_new then
        v_order.order_id := nextval('public.orders_order_id_seq');
        v_order.created_at := v_now;
    end if;

    if v_reason is null and not v_waits and v_order.time_in_force = 'FOK' then
        v_open := 0;
        foreach v_maker in array coalesce(v_makers, '{}') loop
            if v_maker.account_id <> v_order.account_id then
                v_open := v_open + v_maker.quantity - v_maker.filled_quantity;
            elsif v_order.self_trade <> 'cancel_oldest' then
                exit;
            end if;
        end loop;
        if v_open < v_remaining then
            v_kill := format('fill or kill: %s of %s could trade', trim_scale(v_open), trim_scale(v_remaining));
        end if;
    end if;

    -- A market buy is paid for as a whole or refused as a whole: what it could trade counts (rule 21).
    if v_reason is null and v_kill is null and v_buy and v_order.order_type = 'market' and not v_margin[v_me] and p_mode <> 'trigger' then
        v_need := 0;
        v_fill := v_remaining;
        foreach v_maker in array coalesce(v_makers, '{}') loop
            exit when v_fill <= 0;
            if v_maker.account_id <> v_order.account_id then
                v_before := internal.cash(least(v_fill, v_maker.quantity - v_maker.filled_quantity), v_maker.price);
                v_need := v_need + v_before + round(v_before * v_taker_rate[v_me], 2);
                v_fill := v_fill - least(v_fill, v_maker.quantity - v_maker.filled_quantity);
            elsif v_order.self_trade in ('cancel_newest', 'cancel_both') then
                exit;
            elsif v_order.self_trade = 'decrement' then
                v_fill := v_fill - least(v_fill, v_maker.quantity - v_maker.filled_quantity);
            end if;
        end loop;
        if v_need > v_money then
            v_reason := format('insufficient funds: %s needed, %s available', v_need, v_money);
        end if;
    end if;

    if v_reason is not null then
        -- Refused. A replaced order stays as it was; anything else is a rejected order with its reason.
        if p_mode = 'replace' then
            update public.accounts a set updated_at = v_now where a.account_id = v_order.account_id;
            insert into public.journal
            select * from internal.chained(array[(nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'replace_refused',
                v_order.order_id, v_order.instrument_id, jsonb_build_object('reason', v_reason, 'quantity', v_order.quantity,
                    'price', v_order.price, 'stop_price', v_order.stop_price), null, null)::public.journal], internal.mark(p_market));
            return (v_order.order_id, 'refused', v_now, null, 0, false, p_market, true, false)::internal.outcome;
        end if;
        v_order.status := 'rejected';
        v_order.reason := v_reason;
        v_order.triggered_at := case when p_mode = 'trigger' then v_order.triggered_at end;
        v_order.reserved := 0;
        v_reserved[v_me] := v_reserved[v_me] - v_released;
        v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'rejected', v_order.order_id,
            v_order.instrument_id, internal.order_detail(v_order), null, null)::public.journal;
    else
        if p_mode = 'trigger' then
            v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'triggered', v_order.order_id,
                v_order.instrument_id, jsonb_build_object('stop_price', v_order.stop_price, 'last_price', p_market.last_price), null, null)::public.journal;
        else
            v_order.status := case when v_waits then 'pending' when v_order.filled_quantity > 0 then 'partially_filled' else 'open' end;
            v_order.reserved := case when v_buy and not v_margin[v_me] and v_order.order_type <> 'market' then v_need else 0 end;
            if v_waits or v_rests and v_makers is null then
                v_order.priority := nextval('internal.priority_seq');
            end if;
            v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id,
                case when p_mode = 'replace' then 'replaced' else 'accepted' end, v_order.order_id,
                v_order.instrument_id, internal.order_detail(v_order), null, null)::public.journal;
            if v_stop and not v_waits and p_order.triggered_at is null then
                v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'triggered', v_order.order_id,
                    v_order.instrument_id, jsonb_build_object('stop_price', v_order.stop_price, 'last_price', p_market.last_price), null, null)::public.journal;
            end if;
        end if;

        if not v_waits and v_kill is null and v_makers is not null then
            v_events_before := cardinality(v_events);
            v_reserved_before := v_reserved;
            foreach v_maker in array v_makers loop
                exit when v_remaining <= 0;
                v_at := array_position(v_ids, v_maker.account_id);
                -- Nobody thought that it would come to this one: see below.
                exit when v_at is null;
                v_met := v_met + 1;
                v_ends := null;
                -- Both of a pair can rest within reach of one order: what the first fills is taken off the second (L1).
                if v_maker.oco_id is not null then
                    foreach v_known in array coalesce(v_changed, '{}') loop
                        continue when v_known.oco_id is distinct from v_maker.oco_id or v_known.filled_quantity = 0;
                        v_open := v_maker.quantity - v_maker.filled_quantity;
                        if v_known.status = 'filled' then
                            v_ends := format('order %s of the pair ended', v_known.order_id);
                            v_unpaid := v_unpaid + v_open;
                        elsif v_known.quantity - v_known.filled_quantity < v_open then
                            v_unpaid := v_unpaid + v_open - (v_known.quantity - v_known.filled_quantity);
                            v_maker.quantity := v_maker.filled_quantity + v_known.quantity - v_known.filled_quantity;
                            v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'resized', v_maker.order_id,
                                v_maker.instrument_id, internal.order_detail(v_maker)
                                    || jsonb_build_object('reason', format('order %s of the pair filled', v_known.order_id)), null, null)::public.journal;
                        end if;
                    end loop;
                end if;

                if v_ends is not null then
                    v_fill := 0;
                elsif v_at = v_me then
                    -- Never with itself (rule 14).
                    v_fill := v_maker.quantity - v_maker.filled_quantity;
                    if v_order.self_trade = 'cancel_newest' then
                        v_met := v_met - 1;
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
                    v_fill := least(v_remaining, v_maker.quantity - v_maker.filled_quantity);
                    -- A cash account pays for each fill, its roundings included, from what is its own: so none becomes negative (rule 21).
                    if v_buy and not v_margin[v_me] then
                        v_before := internal.affordable(v_balance[v_me] - v_reserved[v_me] + v_released, v_fill, v_price, v_taker_rate[v_me], p_market.lot_size);
                        if v_before < v_fill then
                            v_kill := format('insufficient funds for the rest at %s', trim_scale(v_price));
                            v_fill := v_before;
                        end if;
                    elsif not v_buy and not v_margin[v_at] then
                        v_before := internal.cash(v_fill, v_price);
                        if v_before + round(v_before * v_maker_rate[v_at], 2) > v_balance[v_at] - v_reserved[v_at] + v_maker.reserved then
                            v_ends := format('insufficient funds at %s', trim_scale(v_price));
                            v_unpaid := v_unpaid + v_fill;
                            v_fill := 0;
                        end if;
                    end if;
                end if;

                if v_fill > 0 then
                    v_match := nextval('internal.match_id_seq');
                    v_remaining := v_remaining - v_fill;
                    v_order.filled_quantity := v_order.filled_quantity + v_fill;
                    v_maker.filled_quantity := v_maker.filled_quantity + v_fill;
                    v_prints := v_prints || v_price;
                    v_volume := v_volume + v_fill;
                    -- Both sides settle alike, the resting order first.
                    for v_side in 1..2 loop
                        declare
                            v_who constant integer := case v_side when 1 then v_at else v_me end;
                            v_signed constant numeric := case v_side when 1 then -v_sign else v_sign end * v_fill;
                            v_cash constant numeric := round(v_fill * v_price, 2);
                            v_fee constant numeric := round(v_cash * case v_side when 1 then v_maker_rate[v_at] else v_taker_rate[v_me] end, 2);
                            v_held constant numeric := v_quantity[v_who];
                            v_trade constant bigint := nextval('public.trades_trade_id_seq');
                            v_text constant text := format('%s %s @ %s', p_market.symbol, trim_scale(v_fill), trim_scale(v_price));
                            v_closed numeric;
                        begin
                            v_trades := v_trades || (v_trade, case v_side when 1 then v_maker.order_id else v_order.order_id end,
                                p_market.instrument_id, case when v_signed > 0 then 'buy' else 'sell' end, v_fill, v_price, v_fee, v_now,
                                v_match, case v_side when 1 then 'maker' else 'taker' end, v_ids[v_who])::public.trades;

                            v_balance[v_who] := v_balance[v_who] - sign(v_signed) * v_cash;
                            v_transactions := v_transactions || (nextval('public.transactions_transaction_id_seq'), v_ids[v_who],
                                case when v_signed > 0 then 'trade_buy' else 'trade_sell' end, -sign(v_signed) * v_cash,
                                v_balance[v_who], v_text, v_now, v_trade)::public.transactions;
                            if v_fee > 0 then
                                v_balance[v_who] := v_balance[v_who] - v_fee;
                                v_fees[v_who] := v_fees[v_who] + v_fee;
                                v_transactions := v_transactions || (nextval('public.transactions_transaction_id_seq'), v_ids[v_who],
                                    'commission', -v_fee, v_balance[v_who], v_text, v_now, v_trade)::public.transactions;
                            end if;

                            -- Rule 19. A part of the cost can have decimals without end: 24 are kept, and a whole close leaves none behind.
                            if v_held * v_signed >= 0 then
                                v_cost[v_who] := trim_scale(v_cost[v_who] + v_signed * v_price);
                            else
                                v_closed := case when abs(v_signed) >= abs(v_held) then v_cost[v_who]
                                                 else trim_scale(round(round(v_cost[v_who], 24) * abs(v_signed) / abs(v_held), 24)) end;
                                v_realized[v_who] := trim_scale(v_realized[v_who] - v_closed
                                    + sign(v_held) * least(abs(v_signed), abs(v_held)) * v_price);
                                v_cost[v_who] := trim_scale(v_cost[v_who] - v_closed
                                    + case when abs(v_signed) > abs(v_held) then (v_held + v_signed) * v_price else 0 end);
                            end if;
                            v_quantity[v_who] := v_held + v_signed;
                            v_traded[v_who] := true;
                        end;
                    end loop;
                end if;

                -- What the resting order sets aside from here on, and what became of it.
                if v_ends is not null then
                    v_maker.status := 'cancelled';
                    v_maker.reason := v_ends;
                elsif v_maker.filled_quantity = v_maker.quantity then
                    v_maker.status := 'filled';
                    v_maker.filled_at := v_now;
                elsif v_maker.filled_quantity > 0 then
                    v_maker.status := 'partially_filled';
                end if;
                v_before := v_maker.reserved;
                if v_maker.reserved > 0 then
                    v_maker.reserved := case
                        when v_maker.status in ('cancelled', 'filled') then 0
                        else least(v_before, internal.reserve(v_maker.quantity - v_maker.filled_quantity, v_maker.price,
                                                              v_maker_rate[v_at], v_taker_rate[v_at]))
                    end;
                    v_reserved[v_at] := v_reserved[v_at] - v_before + v_maker.reserved;
                end if;
                -- One that was met and could not be paid for is as it was.
                if v_fill > 0 or v_ends is not null or v_at = v_me then
                    v_maker.updated_at := v_now;
                    v_makers[v_met] := v_maker;
                    v_changed := v_changed || v_maker;
                end if;
                if v_fill > 0 then
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'filled', v_maker.order_id,
                        v_maker.instrument_id, internal.fill_detail(v_trades[cardinality(v_trades) - 1], v_maker, v_balance[v_at],
                            v_quantity[v_at], v_cost[v_at], v_realized[v_at]), null, null)::public.journal;
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'filled', v_order.order_id,
                        v_order.instrument_id, internal.fill_detail(v_trades[cardinality(v_trades)], v_order, v_balance[v_me],
                            v_quantity[v_me], v_cost[v_me], v_realized[v_me]), null, null)::public.journal;
                end if;
                if v_ends is not null then
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'cancelled', v_maker.order_id,
                        v_maker.instrument_id, jsonb_build_object('reason', v_ends, 'filled_quantity', v_maker.filled_quantity), null, null)::public.journal;
                elsif v_at = v_me then
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_maker.account_id, 'reduced', v_maker.order_id,
                        v_maker.instrument_id, jsonb_build_object('quantity', v_maker.quantity, 'reserved', v_maker.reserved,
                            'reason', format('self-trade prevention: own order %s came in', v_order.order_id)), null, null)::public.journal;
                end if;
                exit when v_kill is not null;
            end loop;
        end if;

        -- Some of those it counted on could not pay, and behind them the book may go on: begin again and look further.
        -- Fill or kill is the whole or nothing, whatever came between (rule 9). Nothing is written yet.
        if v_kill is null and v_remaining > 0 and v_unpaid > 0
            and v_reach >= p_order.quantity - p_order.filled_quantity + p_further
        then
            return internal.work(p_order, p_mode, p_market, p_further + v_unpaid);
        elsif v_order.time_in_force = 'FOK' and v_events_before is not null and v_remaining > 0 then
            v_kill := coalesce(v_kill, format('fill or kill: only %s could trade', trim_scale(v_order.filled_quantity)));
            v_order.quantity := p_order.quantity;
            v_order.filled_quantity := p_order.filled_quantity;
            v_reserved := v_reserved_before;
            v_met := 0;
            v_changed := null;
            v_trades := null;
            v_transactions := null;
            v_prints := null;
            v_volume := 0;
            v_events := v_events[:v_events_before];
        end if;

        -- What is left of it: filled, resting, or cancelled (rules 8, 9).
        if not v_waits then
            if v_kill is null and v_remaining = 0 then
                v_order.status := 'filled';
                v_order.filled_at := v_now;
                v_order.reserved := 0;
            elsif v_kill is null and v_rests then
                v_order.status := case when v_order.filled_quantity > 0 then 'partially_filled' else 'open' end;
                v_order.reserved := case when v_order.reserved > 0
                    then least(v_order.reserved, internal.reserve(v_remaining, v_order.price, v_maker_rate[v_me], v_taker_rate[v_me])) else 0 end;
                -- One that met nobody has said so when it was accepted.
                if v_stop or v_inner or v_makers is not null then
                    v_order.priority := nextval('internal.priority_seq');
                    v_events := v_events || (nextval('public.journal_event_id_seq'), v_now, v_order.account_id, 'rested', v_order.order_id,
                        v_order.instrument_id, jsonb_build_object('price', v_order.price, 'quantity', v_remaining, 'reserved', v_order.reserved,
                            'priority', v_order.priority), null, null)::public.journal;
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
        end if;
        v_reserved[v_me] := v_reserved[v_me] - v_released + v_order.reserved;
    end if;

    -- 5. What it leaves of the book -----------------------------------------------------------------------------------------------
    if v_met > 0 then
        -- Those that it met are gone, all but perhaps the last; behind them the book is as it was.
        v_at := case when v_makers[v_met].status in ('open', 'partially_filled') then v_met else v_met + 1 end;
        v_before := coalesce(v_makers[v_at].price, v_book.next_price);
        v_open := case when v_at <= cardinality(v_makers) then 0 else v_book.next_size end;
        while v_makers[v_at].price = v_before loop
            v_open := v_open + v_makers[v_at].quantity - v_makers[v_at].filled_quantity;
            v_at := v_at + 1;
        end loop;
        if v_buy then
            v_market.ask_price := v_before;
            v_market.ask_size := v_open;
        else
            v_market.bid_price := v_before;
            v_market.bid_size := v_open;
        end if;
    end if;
    if v_order.status in ('open', 'partially_filled') then
        v_open := v_order.quantity - v_order.filled_quantity;
        if v_buy and (v_market.bid_price >= v_order.price) is not true then
            v_market.bid_price := v_order.price;
            v_market.bid_size := v_open;
        elsif v_buy and v_market.bid_price = v_order.price then
            v_market.bid_size := v_market.bid_size + v_open;
        elsif not v_buy and (v_market.ask_price <= v_order.price) is not true then
            v_market.ask_price := v_order.price;
            v_market.ask_size := v_open;
        elsif not v_buy and v_market.ask_price = v_order.price then
            v_market.ask_size := v_market.ask_size + v_open;
        end if;
    end if;
    v_last := v_prints[cardinality(v_prints)];
    v_market.last_price := coalesce(v_last, v_market.last_price);
    -- Where the top is to be read again, the mark is not known before: then the request's last event says it.
    v_mark := case when p_mode <> 'replace' or p_order.status = 'pending' then internal.mark(v_market) end;

    -- 6. Write it -----------------------------------------------------------------------------------------------------------------
    v_stops := case when v_order.status = 'pending' then 1 else 0 end
        - case when p_order.status = 'pending' and v_stop and p_order.priority is not null then 1 else 0 end;
    if not v_new then
        v_changed := v_changed || v_order;
    end if;
    if v_trades is null then
        with placed as (
            insert into public.orders select (n.o).* from (select v_order as o) n where v_new
        ),
        changed as (
            update public.orders o
            set quantity = c.quantity, price = c.price, stop_price = c.stop_price, filled_quantity = c.filled_quantity, status = c.status,
                reserved = c.reserved, reason = c.reason, priority = c.priority, updated_at = c.updated_at, triggered_at = c.triggered_at,
                filled_at = c.filled_at
            from unnest(v_changed) c
            where o.order_id = c.order_id
        ),
        -- Where nothing is set aside the row says all the same that the account has changed: whoever read it before must not act on that.
        accounts as (
            update public.accounts a set reserved = h.reserved, updated_at = v_now
            from unnest(v_ids, v_reserved, v_margin) as h (account_id, reserved, margin)
            where a.account_id = h.account_id and (a.reserved <> h.reserved or h.account_id = v_order.account_id)
        )
        insert into public.journal select * from internal.chained(v_events, v_mark);
    else
        -- What follows from it, if anything, is shown along with it: see internal.finish.
        v_publish := p_mode = 'new' and p_market.linked_orders = 0
            and coalesce(v_order.oco_id, v_order.take_profit, v_order.stop_loss, v_order.trail_amount, v_order.trail_percent) is null
            and (greatest(v_prints[1], v_last) >= p_market.buy_stop) is not true
            and (least(v_prints[1], v_last) <= p_market.sell_stop) is not true;
        with placed as (
            insert into public.orders select (n.o).* from (select v_order as o) n where v_new
        ),
        changed as (
            update public.orders o
            set quantity = c.quantity, price = c.price, stop_price = c.stop_price, filled_quantity = c.filled_quantity, status = c.status,
                reserved = c.reserved, reason = c.reason, priority = c.priority, updated_at = c.updated_at, triggered_at = c.triggered_at,
                filled_at = c.filled_at
            from unnest(v_changed) c
            where o.order_id = c.order_id
        ),
        traded as (
            insert into public.trades select * from unnest(v_trades)
        ),
        holdings as (
            select h.*, case when h.quantity = 0 then 0 else round(h.cost / h.quantity, 8) end as average_price
            from unnest(v_ids, v_quantity, v_cost, v_realized, v_opened, v_traded) as h (account_id, quantity, cost, realized, opened, traded)
            where h.traded
        ),
        held as (
            update public.positions p
            set quantity = h.quantity, cost = h.cost, average_price = h.average_price, realized_exact = h.realized,
                realized_pnl = round(round(h.realized, 16), 2), unrealized_pnl = round(h.quantity * (v_last - h.average_price), 2),
                updated_at = v_now
            from holdings h
            where h.opened and p.account_id = h.account_id and p.instrument_id = p_market.instrument_id
        ),
        opened as (
            insert into public.positions (account_id, instrument_id, quantity, average_price, realized_pnl, unrealized_pnl, opened_at, updated_at,
                cost, realized_exact)
            select h.account_id, p_market.instrument_id, h.quantity, h.average_price, round(round(h.realized, 16), 2),
                   round(h.quantity * (v_last - h.average_price), 2), v_now, v_now, h.cost, h.realized
            from holdings h
            where not h.opened
        ),
        accounts as (
            update public.accounts a
            set balance = h.balance, reserved = h.reserved, commissions = a.commissions + h.fees, updated_at = v_now
            from unnest(v_ids, v_balance, v_reserved, v_fees) as h (account_id, balance, reserved, fees)
            where a.account_id = h.account_id and (a.balance, a.reserved) is distinct from (h.balance, h.reserved)
        ),
        ledger as (
            insert into public.transactions select * from unnest(v_transactions)
        ),
        quoted as (
            insert into public.quotes (instrument_id, bid_price, bid_size, ask_price, ask_size, timestamp)
            select v_market.instrument_id, coalesce(v_market.bid_price, 0), coalesce(v_market.bid_size, 0), coalesce(v_market.ask_price, 0),
                   coalesce(v_market.ask_size, 0), v_now
            where v_publish and (v_market.bid_price, v_market.bid_size, v_market.ask_price, v_market.ask_size)
                is distinct from (p_market.bid_price, p_market.bid_size, p_market.ask_price, p_market.ask_size)
        ),
        bar as (
            insert into public.market_data as m (time, instrument_id, open, high, low, close, volume)
            select date_trunc('minute', v_now), p_market.instrument_id, v_prints[1], greatest(v_prints[1], v_last), least(v_prints[1], v_last),
                   v_last, v_volume
            where v_publish
            on conflict (time, instrument_id) do update
            set high = greatest(m.high, excluded.high), low = least(m.low, excluded.low), close = excluded.close, volume = m.volume + excluded.volume
        ),
        shown as (
            update internal.books b
            set bid_price = v_market.bid_price, bid_size = v_market.bid_size, ask_price = v_market.ask_price, ask_size = v_market.ask_size,
                last_price = v_last, last_at = v_now, session_date = v_now::date,
                session_volume = case when b.session_date is distinct from v_now::date then 0 else b.session_volume end + v_volume,
                previous_close = case when b.session_date < v_now::date then b.last_price else b.previous_close end,
                version = b.version + 1, updated_at = v_now
            where v_publish and b.instrument_id = p_market.instrument_id
        )
        insert into public.journal select * from internal.chained(v_events, v_mark);
    end if;

    if v_stop and (p_order.status = 'pending' or v_order.status = 'pending') then
        perform internal.count_stops(p_market.instrument_id, v_stops);
    end if;
    return (v_order.order_id, v_order.status, v_now, v_prints, v_volume, v_changed is not null or v_order.status in ('pending', 'open', 'partially_filled') or v_stops <> 0,
        v_market, p_mode <> 'replace' or p_order.status = 'pending', coalesce(v_publish, false))::internal.outcome;
end;
$$;
comment on function internal.work(orders, text, internal.market, numeric) is
    'One order meets the book of an instrument whose lock is held; matches, settles, and writes all that becomes of it.';
