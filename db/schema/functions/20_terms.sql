-- The terms of an order: do they make sense (rules 1, 2, 4)?

create or replace function internal.check_number(p_field text, p_value numeric, p_step numeric, p_step_name text)
returns void language plpgsql as $$
begin
    if p_value is null then
        perform internal.refuse(p_field, null, 'is missing', format('Give a %s.', p_field));
    elsif p_value = 'NaN' or p_value <= 0 then
        perform internal.refuse(p_field, p_value::text, 'must be more than zero', format('Give a positive %s.', p_field));
    elsif p_value >= 1e12 then
        perform internal.refuse(p_field, p_value::text, 'is beyond what an order can hold', 'Give less than 1000000000000.');
    elsif p_step > 0 then
        if p_value % p_step <> 0 then
            perform internal.refuse(
                p_field, trim_scale(p_value)::text, format('is not a multiple of the %s %s', p_step_name, trim_scale(p_step)),
                format('Nearest: %s or %s.', trim_scale(p_value - p_value % p_step), trim_scale(p_value - p_value % p_step + p_step)));
        end if;
    elsif p_value <> round(p_value, 8) then
        perform internal.refuse(p_field, p_value::text, 'has more than 8 decimals', format('Nearest: %s.', trim_scale(round(p_value, 8))));
    end if;
end;
$$;
comment on function internal.check_number is
    'Refuses a price or quantity that is not a positive multiple of its step, or, where the instrument has no step, has more than 8 decimals (rule 2).';

create or replace function internal.check_terms(
    p_type text, p_side text, p_quantity numeric, p_price numeric, p_stop_price numeric,
    p_time_in_force text, p_post_only boolean, p_self_trade text, p_tick_size numeric, p_lot_size numeric
) returns void language plpgsql as $$
begin
    if p_type is null or p_type not in ('market', 'limit', 'stop', 'stop_limit') then
        perform internal.refuse('order_type', p_type, 'is no order type', 'Use market, limit, stop or stop_limit.');
    elsif p_side is null or p_side not in ('buy', 'sell') then
        perform internal.refuse('side', p_side, 'is no side', 'Use buy or sell.');
    elsif p_time_in_force is null or p_time_in_force not in ('GTC', 'DAY', 'IOC', 'FOK') then
        perform internal.refuse('time_in_force', p_time_in_force, 'is no time in force', 'Use GTC, DAY, IOC or FOK.');
    elsif p_self_trade is null or p_self_trade not in ('cancel_newest', 'cancel_oldest', 'cancel_both', 'decrement') then
        perform internal.refuse('self_trade', p_self_trade, 'is no way of self-trade prevention',
            'Use cancel_newest, cancel_oldest, cancel_both or decrement.');
    elsif p_post_only is null then
        perform internal.refuse('post_only', null, 'is missing', 'Use true or false.');
    elsif p_post_only and p_type not in ('limit', 'stop_limit') then
        perform internal.refuse('post_only', 'true', format('does not go with a %s order', p_type), 'It is for limit and stop_limit orders.');
    elsif p_post_only and p_time_in_force not in ('GTC', 'DAY') then
        perform internal.refuse('post_only', 'true', format('does not go with %s', p_time_in_force), 'Use GTC or DAY.');
    end if;

    perform internal.check_number('quantity', p_quantity, p_lot_size, 'lot size');
    if p_type in ('limit', 'stop_limit') then
        perform internal.check_number('price', p_price, p_tick_size, 'tick size');
    elsif p_price is not null then
        perform internal.refuse('price', p_price::text, format('does not belong to a %s order', p_type), 'Leave it out, or send a limit order.');
    end if;
    if p_type in ('stop', 'stop_limit') then
        perform internal.check_number('stop_price', p_stop_price, p_tick_size, 'tick size');
    elsif p_stop_price is not null then
        perform internal.refuse('stop_price', p_stop_price::text, format('does not belong to a %s order', p_type), 'Leave it out, or send a stop order.');
    end if;
    if round(p_quantity * greatest(coalesce(p_price, 0), coalesce(p_stop_price, 0)), 2) >= 1e18 then
        perform internal.refuse('quantity', p_quantity::text, 'times the price is beyond what an account can hold', 'Send a smaller order.');
    end if;
end;
$$;
comment on function internal.check_terms is 'Refuses terms that make no sense (rules 1, 2 and 4), naming the field and the value.';

create or replace function internal.makes_sense(
    p_account_id bigint, p_type text, p_side text, p_quantity numeric, p_price numeric, p_stop_price numeric, p_time_in_force text,
    p_post_only boolean, p_self_trade text, p_client_order_id text, p_tick_size numeric, p_lot_size numeric
) returns boolean language sql immutable as $$
    select (p_account_id is not null
        and p_quantity > 0 and p_quantity < 1e12 and p_quantity % coalesce(p_lot_size, 0.00000001) = 0
        and (p_type = 'limit' and p_price > 0 and p_price < 1e12 and p_price % coalesce(p_tick_size, 0.00000001) = 0
                and p_quantity * p_price < 1e17
            or p_type = 'market' and p_price is null and not p_post_only)
        and p_stop_price is null and p_side in ('buy', 'sell')
        and p_self_trade in ('cancel_newest', 'cancel_oldest', 'cancel_both', 'decrement')
        and (p_time_in_force in ('GTC', 'DAY') and p_post_only is not null or p_time_in_force in ('IOC', 'FOK') and not p_post_only)
        and coalesce(length(p_client_order_id), 0) <= 100) is true
$$;
comment on function internal.makes_sense is
    'Whether a limit or market order makes sense for certain (rules 1 and 2): one look, no reason. check_terms says what is wrong with the others, or that nothing is.';

create or replace function internal.request(
    p_account_id bigint, p_type varchar, p_side varchar, p_quantity numeric, p_price numeric, p_stop_price numeric, p_time_in_force varchar,
    p_post_only boolean, p_self_trade varchar, p_client_order_id varchar, p_market internal.market
) returns orders language plpgsql as $$
begin
    if not internal.makes_sense(p_account_id, p_type, p_side, p_quantity, p_price, p_stop_price, p_time_in_force, p_post_only, p_self_trade,
        p_client_order_id, p_market.tick_size, p_market.lot_size)
    then
        if p_account_id is null then
            perform internal.refuse('account_id', null, 'is missing', 'Name the account that the order is for.');
        elsif length(p_client_order_id) > 100 then
            perform internal.refuse('client_order_id', p_client_order_id, 'is longer than 100 characters', 'Send a shorter one.');
        end if;
        perform internal.check_terms(p_type, p_side, p_quantity, p_price, p_stop_price, p_time_in_force, p_post_only, p_self_trade,
            p_market.tick_size, p_market.lot_size);
    end if;
    return (null, p_account_id, p_market.instrument_id, p_type, p_side, p_quantity, p_price, p_stop_price, null, p_time_in_force, null, null,
        null, 0, p_post_only, p_self_trade, p_client_order_id, null, null, null, 0, null, null, null, null, null, null, null, null)::public.orders;
end;
$$;
comment on function internal.request is 'A request as an order that is not placed yet; a senseless one is an error that names the field (rules 1, 2 and 4).';

create or replace function internal.terms(o orders) returns jsonb language sql stable as $$
    select jsonb_build_array(o.instrument_id, o.order_type, o.side, o.quantity, o.price, o.stop_price, o.time_in_force, o.post_only, o.self_trade,
        o.take_profit, o.stop_loss, o.trail_amount, o.trail_percent)
$$;
comment on function internal.terms is 'What makes two requests with one client_order_id the same request (rule 5); jsonb compares numbers by value.';
