-- Money in and out, and what an account is worth.

create or replace function internal.move_cash(p_account_id bigint, p_amount numeric, p_type text, p_description text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- What it does to the balance; the amount of an adjustment has its sign already.
    v_change constant numeric := case p_type when 'withdrawal' then -p_amount else p_amount end;
    v_account public.accounts;
    v_available numeric;
    v_at timestamp;
    v_id bigint;
begin
    if p_amount is null then
        perform internal.refuse('amount', null, 'is missing', 'Give an amount of money.');
    elsif p_type = 'adjustment' and p_amount in ('NaN', 0) then
        perform internal.refuse('amount', p_amount::text, 'changes nothing', 'Give what the balance lacks, or with a minus what it has too much.');
    elsif p_type <> 'adjustment' and (p_amount = 'NaN' or p_amount <= 0) then
        perform internal.refuse('amount', p_amount::text, 'must be more than zero', 'Give a positive amount.');
    elsif abs(p_amount) >= 1e18 then
        perform internal.refuse('amount', p_amount::text, 'is beyond what an account can hold', 'Give less than 1000000000000000000.');
    elsif p_amount <> round(p_amount, 2) then
        perform internal.refuse('amount', p_amount::text, 'is finer than a cent', format('Nearest: %s.', round(p_amount, 2)));
    elsif length(p_description) > 255 then
        perform internal.refuse('description', left(p_description, 40) || '…', 'is longer than 255 characters', 'Send a shorter one.');
    elsif p_type = 'adjustment' and trim(coalesce(p_description, '')) = '' then
        perform internal.refuse('description', p_description, 'is missing', 'Say what is corrected, and why.');
    end if;
    select * into v_account from public.accounts a where a.account_id = p_account_id for no key update;
    if not found then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    elsif v_account.status is distinct from 'active' then
        perform internal.refuse('account_id', p_account_id::text, format('the account is %s', coalesce(v_account.status, 'not active')),
            'Only an active account moves money.');
    elsif exists (select from public.users u where u.user_id = v_account.user_id and not u.is_active) then
        perform internal.refuse('account_id', p_account_id::text, 'its user is not active', 'Only an active user''s account moves money.');
    elsif abs(v_account.balance + v_change) >= 1e18 then
        perform internal.refuse('amount', p_amount::text, 'would bring the balance beyond what an account can hold',
            case p_type when 'deposit' then 'Deposit less.' else 'Move less.' end);
    elsif v_change < 0 then
        -- A mistake in a margin account is put right whatever it leaves: that the account then owes is the truth.
        if p_type = 'withdrawal' or not exists (select from public.margin_schedule m where m.account_type = v_account.account_type) then
            select s.available into v_available from internal.account_figures(p_account_id) s;
        end if;
        if -v_change > v_available then
            perform internal.refuse('amount', p_amount::text, format('only %s is available', v_available),
                format('%s at most %s.', case p_type when 'withdrawal' then 'Withdraw' else 'Take' end, greatest(v_available, 0)));
        end if;
    end if;
    v_at := greatest(clock_timestamp() at time zone 'UTC', v_account.updated_at);
    update public.accounts a
    set balance = a.balance + v_change, updated_at = v_at
    where a.account_id = p_account_id
    returning a.balance into v_account.balance;
    insert into public.transactions (account_id, transaction_type, amount, balance_after, description, created_at)
    values (p_account_id, p_type, v_change, v_account.balance, p_description, v_at)
    returning transaction_id into v_id;
    insert into public.journal
    select * from internal.chained(array[(nextval('public.journal_event_id_seq'), v_at, p_account_id, p_type, null, null, jsonb_build_object(
        'transaction_id', v_id, 'amount', p_amount, 'balance', v_account.balance, 'description', p_description), null, null)::public.journal], null);
    insert into public.audit_log (action, subject, detail)
    values (p_type, v_account.account_number, jsonb_build_object('transaction_id', v_id, 'amount', p_amount));
    return v_id;
end;
$$;
comment on function internal.move_cash is 'A deposit, a withdrawal or an adjustment: one row of the ledger, the balance, and the journal.';

create or replace function deposit(p_account_id bigint, p_amount numeric, p_description varchar default null) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$ select internal.move_cash(p_account_id, p_amount, 'deposit', p_description) $$;
comment on function deposit is 'Pays money into an account; returns the transaction''s id. Nobody but the owner may: it makes money.';

create or replace function withdraw(p_account_id bigint, p_amount numeric, p_description varchar default null) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$ select internal.move_cash(p_account_id, p_amount, 'withdrawal', p_description) $$;
comment on function withdraw is 'Pays money out of an account, at most what is available; returns the transaction''s id. Nobody but the owner may.';

create or replace function adjust(p_account_id bigint, p_amount numeric, p_description varchar) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$ select internal.move_cash(p_account_id, p_amount, 'adjustment', p_description) $$;
comment on function adjust is
    'Corrects a balance by a signed amount, with the reason; takes from a cash account at most what is available. Returns the transaction''s id. Nobody but the owner may.';

create or replace function internal.account_figures(
    p_account_id bigint, out balance numeric, out reserved numeric, out available numeric, out equity numeric, out realized_pnl numeric,
    out unrealized_pnl numeric, out commissions numeric, out initial_margin numeric, out maintenance_margin numeric,
    out buying_power numeric, out margin_call boolean
) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_rate numeric;
    v_margin record;
begin
    select a.balance, a.reserved, a.commissions, m.initial_rate into balance, reserved, commissions, v_rate
    from public.accounts a
    left join public.margin_schedule m on m.account_type = a.account_type
    where a.account_id = p_account_id;
    if not found then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    end if;
    select balance + coalesce(sum(p.quantity * p.mark), 0), coalesce(sum(p.realized_pnl), 0), coalesce(sum(p.unrealized_pnl), 0)
    into equity, realized_pnl, unrealized_pnl
    from (
        select q.quantity, q.mark, q.realized_pnl, round(q.quantity * (q.mark - q.average_price), 2) as unrealized_pnl
        from (select p.*, coalesce(k.mark, p.average_price) as mark
              from public.positions p
              left join internal.marks k on k.instrument_id = p.instrument_id
              where p.account_id = p_account_id) q
    ) p;
    if v_rate is null then
        equity := round(equity, 2);
        available := balance - reserved;
        initial_margin := 0;
        maintenance_margin := 0;
        buying_power := available;
        margin_call := false;
    else
        select * into v_margin from internal.margin_figures(p_account_id);
        reserved := 0;
        initial_margin := round(v_margin.initial_margin, 2);
        maintenance_margin := round(v_margin.maintenance_margin, 2);
        margin_call := equity < v_margin.maintenance_margin;
        equity := round(equity, 2);
        available := equity - initial_margin;
        buying_power := round(available / v_rate, 2);
    end if;
end;
$$;
comment on function internal.account_figures is 'What account_summary shows; also the measure of what can be taken out.';

create or replace function account_summary(
    p_account_id bigint, out balance numeric, out reserved numeric, out available numeric, out equity numeric, out realized_pnl numeric,
    out unrealized_pnl numeric, out commissions numeric, out initial_margin numeric, out maintenance_margin numeric,
    out buying_power numeric, out margin_call boolean
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select * from internal.account_figures(internal.authorize_read(p_account_id))
$$;
comment on function account_summary is 'An account now, marked at read (rules 20 to 22): money in the account''s currency.';

create or replace function position_report(p_account_id bigint)
returns table (
    position_id bigint, instrument_id bigint, symbol varchar, quantity numeric, average_price numeric, cost numeric, mark numeric,
    market_value numeric, unrealized_pnl numeric, realized_pnl numeric
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select q.position_id, q.instrument_id, i.symbol, q.quantity, q.average_price, q.cost, q.mark, round(q.quantity * q.mark, 2),
           round(q.quantity * (q.mark - q.average_price), 2), q.realized_pnl
    from (select p.*, coalesce(k.mark, p.average_price) as mark
          from public.positions p
          left join internal.marks k on k.instrument_id = p.instrument_id
          where p.account_id = (select internal.authorize_read(p_account_id))) q
    join public.instruments i on i.instrument_id = q.instrument_id
    order by i.symbol
$$;
comment on function position_report is 'All positions that an account has or had, marked at read (rules 19 and 20).';

create or replace function calculate_position_pnl(p_position_id bigint, p_current_price numeric) returns numeric
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_quantity numeric;
    v_average_price numeric;
    v_unrealized_pnl numeric;
begin
    select p.quantity, p.average_price into v_quantity, v_average_price
    from public.positions p
    join internal.own_accounts a on a.account_id = p.account_id
    where p.position_id = p_position_id;
    if not found then
        return null;
    end if;
    v_unrealized_pnl := v_quantity * (p_current_price - v_average_price);
    update public.positions p
    set unrealized_pnl = v_unrealized_pnl, updated_at = clock_timestamp() at time zone 'UTC'
    where p.position_id = p_position_id;
    return v_unrealized_pnl;
end;
$$;
comment on function calculate_position_pnl is 'Marks one position at a price of the caller''s: stores and returns quantity × (price − average price).';

create or replace function refresh_pnl(p_account_id bigint default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_account_id constant bigint := internal.authorize(p_account_id);
    v_changed integer;
begin
    with marks as materialized (
        select k.instrument_id, k.mark from internal.marks k
    ),
    -- A position that is being traded this moment is marked by its trade; waiting for it could wait in a circle.
    free as materialized (
        select p.position_id, round(p.quantity * (coalesce(m.mark, p.average_price) - p.average_price), 2) as unrealized_pnl
        from public.positions p
        join marks m on m.instrument_id = p.instrument_id
        where (p_account_id is null or p.account_id = p_account_id)
            and p.unrealized_pnl is distinct from round(p.quantity * (coalesce(m.mark, p.average_price) - p.average_price), 2)
        for no key update of p skip locked
    )
    update public.positions p
    set unrealized_pnl = f.unrealized_pnl, updated_at = clock_timestamp() at time zone 'UTC'
    from free f
    where p.position_id = f.position_id;
    get diagnostics v_changed = row_count;
    return v_changed;
end;
$$;
comment on function refresh_pnl is 'Marks the positions of one account, or of all, at the market (rule 20), in one statement; returns how many changed.';
