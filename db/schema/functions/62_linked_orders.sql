-- Pairs, brackets and trailing stops (rules L1 to L3, see 36_links.sql).

create or replace function internal.known_request(p_account_id bigint, p_client_order_id varchar, p_terms jsonb) returns bigint
language plpgsql stable as $$
declare
    v_known public.orders;
begin
    select * into v_known from public.orders o
    where p_client_order_id is not null and o.account_id = p_account_id and o.client_order_id = p_client_order_id;
    if found and coalesce(v_known.terms, internal.terms(v_known)) is distinct from p_terms then
        perform internal.refuse('client_order_id', p_client_order_id, format('was used for order %s with other terms', v_known.order_id),
            'Give every new order an id of its own.');
    end if;
    return v_known.order_id;
end;
$$;
comment on function internal.known_request is 'The order that this client_order_id placed with these terms; null if it is new, an error with other terms (rule 5).';

create or replace function internal.enter_linked(p_order orders, p_market internal.market) returns bigint
language plpgsql as $$
declare
    v_market internal.market := p_market;
    v_outcome internal.outcome;
begin
    v_outcome := internal.work(p_order, 'new', v_market);
    if v_outcome.changed or p_order.oco_id is not null then
        -- From now on requests look for what is linked here; follow_links counts exactly.
        update internal.books b set linked_orders = b.linked_orders + 1 where b.instrument_id = p_market.instrument_id;
        v_market.linked_orders := v_market.linked_orders + 1;
        perform internal.finish(v_market, v_outcome);
    end if;
    return v_outcome.order_id;
end;
$$;
comment on function internal.enter_linked is 'Places a new order that hangs together with others, in an instrument whose lock is held; returns its id.';

create or replace function place_oco(
    p_account_id bigint, p_instrument_id bigint, p_side varchar, p_quantity numeric, p_limit_price numeric, p_stop_price numeric,
    p_stop_limit_price numeric default null, p_time_in_force varchar default 'GTC', p_self_trade varchar default 'cancel_newest',
    p_client_order_id varchar default null
) returns table (limit_order_id bigint, stop_order_id bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
    v_market internal.market := internal.lock_market(p_instrument_id);
    v_limit public.orders;
    v_stop public.orders;
begin
    perform internal.lock_for_linked(p_account_id, v_market);
    if p_time_in_force not in ('GTC', 'DAY') then
        perform internal.refuse('time_in_force', p_time_in_force, 'does not go with one-cancels-other', 'Use GTC or DAY.');
    end if;
    v_limit := internal.request(p_account_id, 'limit', p_side, p_quantity, p_limit_price, null, p_time_in_force, false, p_self_trade,
        p_client_order_id, v_market);
    v_stop := internal.request(p_account_id, case when p_stop_limit_price is null then 'stop' else 'stop_limit' end, p_side, p_quantity,
        p_stop_limit_price, p_stop_price, p_time_in_force, false, p_self_trade, null, v_market);
    if p_side = 'sell' and p_stop_price >= p_limit_price then
        perform internal.refuse('stop_price', p_stop_price::text, format('must be below the limit of %s where the pair sells', p_limit_price), 'Exchange the two.');
    elsif p_side = 'buy' and p_stop_price <= p_limit_price then
        perform internal.refuse('stop_price', p_stop_price::text, format('must be above the limit of %s where the pair buys', p_limit_price), 'Exchange the two.');
    end if;
    v_limit.terms := internal.terms(v_limit) || internal.terms(v_stop);
    limit_order_id := internal.known_request(p_account_id, p_client_order_id, v_limit.terms);
    if limit_order_id is not null then
        select o.order_id into stop_order_id
        from public.orders o
        join public.orders l on l.oco_id = o.oco_id and l.order_id = place_oco.limit_order_id
        where o.order_id <> l.order_id;
        return next;
        return;
    end if;

    -- The limit comes first. What it leaves is what the stop is for.
    v_limit.oco_id := nextval('internal.oco_id_seq');
    limit_order_id := internal.enter_linked(v_limit, v_market);
    select o.quantity - o.filled_quantity into v_stop.quantity
    from public.orders o
    where o.order_id = limit_order_id and o.status in ('open', 'partially_filled');
    if found then
        v_market := internal.lock_market(p_instrument_id);
        v_stop.oco_id := v_limit.oco_id;
        stop_order_id := internal.enter_linked(v_stop, v_market);
    end if;
    return next;
end;
$$;
comment on function place_oco is
    'Places a limit and a stop of one side that share one quantity: what either fills is taken off the other (rule L1). A limit that is refused or fills at once has no stop.';

create or replace function place_bracket(
    p_account_id bigint, p_instrument_id bigint, p_order_type varchar, p_side varchar, p_quantity numeric, p_price numeric,
    p_take_profit numeric, p_stop_loss numeric, p_stop_price numeric default null, p_time_in_force varchar default 'GTC',
    p_self_trade varchar default 'cancel_newest', p_client_order_id varchar default null
) returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
    v_market internal.market := internal.lock_market(p_instrument_id);
    v_order public.orders;
    v_known bigint;
begin
    perform internal.lock_for_linked(p_account_id, v_market);
    v_order := internal.request(p_account_id, p_order_type, p_side, p_quantity, p_price, p_stop_price, p_time_in_force, false, p_self_trade,
        p_client_order_id, v_market);
    perform internal.check_number('take_profit', p_take_profit, v_market.tick_size, 'tick size');
    perform internal.check_number('stop_loss', p_stop_loss, v_market.tick_size, 'tick size');
    if p_side = 'buy' and p_stop_loss >= least(p_take_profit, coalesce(p_price, p_stop_price, p_take_profit)) then
        perform internal.refuse('stop_loss', p_stop_loss::text, 'must be below the entry and the take-profit of a buy', 'Lower it.');
    elsif p_side = 'sell' and p_stop_loss <= greatest(p_take_profit, coalesce(p_price, p_stop_price, p_take_profit)) then
        perform internal.refuse('stop_loss', p_stop_loss::text, 'must be above the entry and the take-profit of a sell', 'Raise it.');
    elsif p_side = 'buy' and p_take_profit <= coalesce(p_price, p_stop_price, 0) then
        perform internal.refuse('take_profit', p_take_profit::text, 'must be above the entry of a buy', 'Raise it.');
    elsif p_side = 'sell' and p_take_profit >= coalesce(p_price, p_stop_price, 1e12) then
        perform internal.refuse('take_profit', p_take_profit::text, 'must be below the entry of a sell', 'Lower it.');
    end if;
    v_order.take_profit := p_take_profit;
    v_order.stop_loss := p_stop_loss;
    v_order.covered_quantity := 0;
    v_known := internal.known_request(p_account_id, p_client_order_id, internal.terms(v_order));
    if v_known is not null then
        return v_known;
    end if;
    return internal.enter_linked(v_order, v_market);
end;
$$;
comment on function place_bracket is
    'Places an entry of any type whose fills get two exits, a limit at p_take_profit and a stop at p_stop_loss, as a one-cancels-other pair (rule L2). Returns the entry''s id.';

create or replace function place_trailing_stop(
    p_account_id bigint, p_instrument_id bigint, p_side varchar, p_quantity numeric, p_trail_amount numeric default null,
    p_trail_percent numeric default null, p_stop_price numeric default null, p_time_in_force varchar default 'GTC',
    p_self_trade varchar default 'cancel_newest', p_client_order_id varchar default null
) returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
    v_market internal.market := internal.lock_market(p_instrument_id);
    v_order public.orders;
    v_known bigint;
begin
    perform internal.lock_for_linked(p_account_id, v_market);
    if (p_trail_amount is null) = (p_trail_percent is null) then
        perform internal.refuse('trail_amount', p_trail_amount::text, 'give either an amount or a percentage to trail by', 'Leave one of the two out.');
    elsif p_trail_amount is not null then
        perform internal.check_number('trail_amount', p_trail_amount, v_market.tick_size, 'tick size');
    elsif p_trail_percent = 'NaN' or p_trail_percent <= 0 or p_trail_percent >= 100 or p_trail_percent <> round(p_trail_percent, 4) then
        perform internal.refuse('trail_percent', p_trail_percent::text, 'must be between 0 and 100, with at most 4 decimals', 'Give a percentage of the last trade.');
    end if;
    v_order.instrument_id := p_instrument_id;
    v_order.side := p_side;
    v_order.trail_amount := p_trail_amount;
    v_order.trail_percent := p_trail_percent;
    if p_stop_price is null and v_market.last_price is null then
        perform internal.refuse('stop_price', null, 'there is no trade yet for the stop to follow', 'Give the stop price to start from.');
    end if;
    v_order := internal.request(p_account_id, 'stop', p_side, p_quantity, null,
        coalesce(p_stop_price, internal.trailed_price(v_order, v_market.last_price)), p_time_in_force, false, p_self_trade, p_client_order_id, v_market);
    v_order.trail_amount := p_trail_amount;
    v_order.trail_percent := p_trail_percent;
    -- Where it starts is the market's doing unless it was asked for: the same request later starts elsewhere.
    v_order.terms := jsonb_set(internal.terms(v_order), '{5}', coalesce(to_jsonb(p_stop_price), 'null'));
    v_known := internal.known_request(p_account_id, p_client_order_id, v_order.terms);
    if v_known is not null then
        return v_known;
    end if;
    return internal.enter_linked(v_order, v_market);
end;
$$;
comment on function place_trailing_stop is
    'Places a stop that follows the last trade at a distance, an amount or a percentage, and never goes back (rule L3). Returns the order''s id.';

create or replace function internal.lock_for_linked(p_account_id bigint, p_market internal.market) returns void
language plpgsql as $$
begin
    -- Exits may meet anybody in the book, and so everybody there is locked, in id order.
    perform from public.accounts a
    where a.account_id = any (p_account_id || internal.participants(p_market.instrument_id))
    order by a.account_id
    for no key update;
end;
$$;
comment on function internal.lock_for_linked is 'Locks the account and everyone with a working order in the instrument: all whom an order that hangs together with others can meet.';
