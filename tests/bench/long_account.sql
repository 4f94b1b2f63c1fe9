-- What the engine would have written of one side: it buys a little and sells it again a cent dearer, over and over, in each instrument in turn.
-- A link for each request, as the engine makes them. The other side is left out: an audit looks at an account by itself.
do $make$
declare
    v_account bigint;
    v_price constant numeric := {middle}::numeric / 100;
    v_balance numeric := 0;
    v_realized numeric[] := array_fill(0::numeric, array[{instruments}]);
    v_links bytea;
    v_event public.journal;
    v_at timestamp;
    v_order bigint;
    v_trade bigint;
    v_cash numeric;
    v_instrument bigint;
    v_side text;
begin
    perform setval('accounts_account_id_seq', (select max(account_id) from accounts));
    insert into accounts (account_type, account_number) values ('cash', 'LONG') returning account_id into v_account;
    perform deposit(v_account, 1000000000);
    select j.hash into v_links from journal j where j.account_id = v_account order by j.event_id desc limit 1;
    v_balance := 1000000000;

    for n in 1..{standing} loop
        perform place_order(v_account, 1 + n % {instruments}, 'limit', 'buy', 1, v_price / 2 - n::numeric / 100);
    end loop;
    select j.hash, j.at into v_links, v_at from journal j where j.account_id = v_account order by j.event_id desc limit 1;

    for n in 0..({events} / 2 - 1) loop
        v_at := v_at + interval '10 microseconds';
        v_instrument := 1 + (n / 2) % {instruments};
        v_side := case when n % 2 = 0 then 'buy' else 'sell' end;
        v_order := nextval('orders_order_id_seq');
        v_trade := nextval('trades_trade_id_seq');
        v_cash := case when n % 2 = 0 then v_price else v_price + 0.01 end;
        v_balance := v_balance - case when n % 2 = 0 then v_cash else -v_cash end;
        v_realized[v_instrument] := v_realized[v_instrument] + case when n % 2 = 0 then 0 else 0.01 end;
        insert into orders (order_id, account_id, instrument_id, order_type, side, quantity, price, status, time_in_force, created_at, updated_at,
            filled_at, filled_quantity, post_only)
        values (v_order, v_account, v_instrument, 'limit', v_side, 1, v_cash, 'filled', 'GTC', v_at, v_at, v_at, 1, false);
        insert into trades (trade_id, order_id, instrument_id, side, quantity, price, executed_at, match_id, liquidity, account_id)
        values (v_trade, v_order, v_instrument, v_side, 1, v_cash, v_at, nextval('internal.match_id_seq'), 'taker', v_account);
        insert into transactions (account_id, transaction_type, amount, balance_after, created_at, trade_id)
        values (v_account, 'trade_' || v_side, case when n % 2 = 0 then -v_cash else v_cash end, v_balance, v_at, v_trade);
        v_event := (nextval('journal_event_id_seq'), v_at, v_account, 'accepted', v_order, v_instrument, jsonb_build_object(
            'order_type', 'limit', 'side', v_side, 'quantity', 1.00000000, 'price', v_cash, 'time_in_force', 'GTC', 'post_only', false,
            'self_trade', 'cancel_newest', 'status', 'open', 'filled_quantity', 0.00000000, 'reserved', 0.00, 'priority', v_order), v_price, null);
        v_links := v_links || internal.event_digest(v_event.event_id, v_event.at, v_event.account_id, v_event.kind, v_event.order_id, v_event.instrument_id, v_price, v_event.detail);
        insert into journal select v_event.*;
        v_event := (nextval('journal_event_id_seq'), v_at, v_account, 'filled', v_order, v_instrument, jsonb_build_object(
            'trade_id', v_trade, 'match_id', currval('internal.match_id_seq'), 'side', v_side, 'quantity', 1.00000000, 'price', v_cash,
            'liquidity', 'taker', 'cash', v_cash, 'commission', 0.00, 'filled_quantity', 1.00000000, 'reserved', 0.00, 'balance', v_balance,
            'position', case when n % 2 = 0 then 1.00000000 else 0.00000000 end, 'cost', case when n % 2 = 0 then v_price else 0 end,
            'realized', v_realized[v_instrument]), v_price, null);
        v_links := sha256(v_links || internal.event_digest(v_event.event_id, v_event.at, v_event.account_id, v_event.kind, v_event.order_id, v_event.instrument_id, v_price, v_event.detail));
        v_event.hash := v_links;
        insert into journal select v_event.*;
    end loop;
    insert into positions (account_id, instrument_id, quantity, average_price, realized_pnl, cost, realized_exact, opened_at)
    select v_account, i, 0, 0, round(v_realized[i], 2), 0, v_realized[i], v_at from generate_series(1, {instruments}) i;
    update accounts set balance = v_balance, updated_at = v_at where account_id = v_account;
end;
$make$
