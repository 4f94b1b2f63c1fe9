-- Administration: users and accounts. Nobody but the owner may execute these, except where it says so.

create or replace function internal.known_user(p_username text) returns users language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users;
begin
    select * into v_user from public.users u where u.username = p_username;
    if not found then
        perform internal.refuse('username', p_username, 'there is no such user', 'The table users lists them.', 'PS002');
    end if;
    return v_user;
end;
$$;
comment on function internal.known_user is 'The user of that name; an unknown one is an error.';

create or replace function user_add(
    p_username varchar, p_email varchar, p_role varchar default 'trader', p_verifier varchar default null, p_first_name varchar default null,
    p_last_name varchar default null
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user_id bigint;
begin
    perform internal.check_username(p_username);
    perform internal.check_role(p_role);
    if p_email is null or p_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' or length(p_email) > 255 then
        perform internal.refuse('email', left(p_email, 60), 'is no address', 'Give one such as jo@example.com.');
    elsif length(p_first_name) > 100 then
        perform internal.refuse('first_name', left(p_first_name, 40) || '…', 'is longer than 100 characters', 'Give a shorter one.');
    elsif length(p_last_name) > 100 then
        perform internal.refuse('last_name', left(p_last_name, 40) || '…', 'is longer than 100 characters', 'Give a shorter one.');
    elsif exists (select from public.users u where lower(u.username) = lower(p_username)) then
        perform internal.refuse('username', p_username, 'a user has it already', 'Take another one.');
    end if;
    insert into public.users (username, email, password_hash, first_name, last_name, role)
    values (p_username, p_email, coalesce(p_verifier, '!'), p_first_name, p_last_name, p_role)
    on conflict do nothing
    returning user_id into v_user_id;
    if v_user_id is null then
        perform internal.refuse('email', p_email, 'a user has it already', 'Take another one.');
    end if;
    if p_verifier is not null then
        perform internal.make_login(p_username, p_role, p_verifier);
    end if;
    return v_user_id;
end;
$$;
comment on function user_add is
    'Adds a user, and with a SCRAM verifier the role that they log in as; without one nobody can log in as them until user_password. Returns the user''s id.';

create or replace function user_password(p_username varchar, p_verifier varchar) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
begin
    perform internal.check_verifier(p_verifier);
    perform internal.make_login(v_user.username, v_user.role, p_verifier);
    if v_user.is_active is not true then
        execute format('alter role %I nologin', v_user.username);
    end if;
    update public.users u set password_hash = p_verifier, updated_at = clock_timestamp() at time zone 'UTC' where u.user_id = v_user.user_id;
end;
$$;
comment on function user_password is 'Gives a user another password, or the first one, by its SCRAM verifier: then the role is made that they log in as.';

create or replace function change_password(p_verifier varchar) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.acting_user();
begin
    perform internal.check_verifier(p_verifier);
    perform internal.make_login(v_user.username, v_user.role, p_verifier);
    update public.users u set password_hash = p_verifier, updated_at = clock_timestamp() at time zone 'UTC' where u.user_id = v_user.user_id;
end;
$$;
comment on function change_password is 'Changes the password of the user who is logged in, by its SCRAM verifier. For every user.';

create or replace function user_role(p_username varchar, p_role varchar) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
begin
    perform internal.check_role(p_role);
    if v_user.role = p_role then
        return;
    end if;
    if v_user.password_hash like 'SCRAM%' and internal.login_exists(v_user.username, v_user.role) then
        begin
            execute format('revoke %I from %I', v_user.role, v_user.username);
            execute format('grant %I to %I', p_role, v_user.username);
            if 'backup' in (v_user.role, p_role) then
                execute format('alter role %I %s', v_user.username, case p_role when 'backup' then 'replication' else 'noreplication' end);
            end if;
            perform internal.limit_login(v_user.username, p_role);
        exception when insufficient_privilege then
            perform internal.cannot_make_logins(v_user.username, sqlerrm);
        end;
        -- A membership that somebody else granted is theirs to revoke: then nothing of this happens.
        perform internal.login_exists(v_user.username, p_role);
    end if;
    update public.users u set role = p_role, updated_at = clock_timestamp() at time zone 'UTC' where u.user_id = v_user.user_id;
end;
$$;
comment on function user_role is 'Makes a user a trader, support, market_data or backup. Open sessions have the new rights at once, the new limits when they log in again.';

create or replace function user_end_sessions(p_username varchar) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
    v_ended integer;
begin
    select count(*) filter (where pg_terminate_backend(a.pid, 5000)) into v_ended
    from pg_stat_activity a
    where a.usename = v_user.username and a.pid <> pg_backend_pid() and (a.datname = current_database() or a.datname is null);
    if v_ended > 0 then
        perform internal.audit('sessions ended', v_user.username, jsonb_build_object('sessions', v_ended));
    end if;
    return v_ended;
end;
$$;
comment on function user_end_sessions is 'Ends the open sessions of a user; returns how many.';

create or replace function user_disable(p_username varchar) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
begin
    if v_user.password_hash like 'SCRAM%' and internal.login_exists(v_user.username, v_user.role) then
        begin
            execute format('alter role %I nologin', v_user.username);
        exception when insufficient_privilege then
            perform internal.cannot_make_logins(v_user.username, sqlerrm);
        end;
    end if;
    update public.users u set is_active = false, updated_at = clock_timestamp() at time zone 'UTC'
    where u.user_id = v_user.user_id and u.is_active is not false;
    return public.user_end_sessions(v_user.username);
end;
$$;
comment on function user_disable is
    'Locks a user out: no log-in, no request accepted; returns how many open sessions were ended. A session that comes in before this commits is for user_end_sessions.';

create or replace function user_enable(p_username varchar) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
begin
    if v_user.password_hash like 'SCRAM%' then
        perform internal.make_login(v_user.username, v_user.role, v_user.password_hash);
    end if;
    update public.users u set is_active = true, updated_at = clock_timestamp() at time zone 'UTC'
    where u.user_id = v_user.user_id and u.is_active is not true;
end;
$$;
comment on function user_enable is 'Lets a user in again, with the password they had.';

create or replace function restore_logins() returns table (username varchar, problem text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users;
begin
    for v_user in select * from public.users u where u.password_hash like 'SCRAM%' and u.is_active order by u.user_id loop
        username := v_user.username;
        problem := null;
        begin
            perform internal.make_login(v_user.username, v_user.role, v_user.password_hash);
        exception when sqlstate 'PS001' or insufficient_privilege then
            problem := sqlerrm;
        end;
        return next;
    end loop;
end;
$$;
comment on function restore_logins is
    'Makes the login roles of all active users with passwords, as after restoring the database into another server; one row each, with the problem where there was one.';

create or replace function enforce_limits() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_session record;
    v_ended integer := 0;
begin
    -- A session may set its own timeouts to what it likes, so that they hold only for those who mean well.
    for v_session in
        select a.pid, u.username, a.state, round(extract(epoch from clock_timestamp() - s.since), 1) as seconds
        from pg_stat_activity a
        join public.users u on u.username = a.usename
        join public.access_limits l on l.role = u.role
        cross join lateral (select case when a.state = 'active' then a.query_start else a.state_change end as since,
                                   case when a.state = 'active' then l.statement_timeout else l.idle_in_transaction_timeout end as at_most) s
        where a.datname = current_database() and a.pid <> pg_backend_pid()
            and (a.state = 'active' or a.state like 'idle in transaction%')
            and s.at_most > interval '0' and clock_timestamp() - s.since > s.at_most
    loop
        if pg_terminate_backend(v_session.pid, 5000) then
            v_ended := v_ended + 1;
            perform internal.audit('sessions ended', v_session.username, jsonb_build_object('state', v_session.state, 'seconds', v_session.seconds));
        end if;
    end loop;
    return v_ended;
end;
$$;
comment on function enforce_limits is
    'Ends users'' sessions that run a statement, or sit in a transaction, for longer than access_limits allows, whatever they have set; returns how many.';

create or replace function whoami() returns table (username varchar, user_id bigint, role varchar, may_administer boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select session_user::varchar, u.user_id, case when m.may then 'owner' else u.role end, m.may
    from (select internal.may_administer() as may) m
    left join public.users u on u.username = session_user::text and u.is_active
$$;
comment on function whoami is 'Who is logged in: role is owner, or that of the user, or null for a login that is no user''s. For everybody.';

create or replace function schema_version() returns integer language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select max(v.version) from internal.schema_versions v
$$;
comment on function schema_version is 'The newest version of the schema that was applied. For everybody.';

-- Accounts ------------------------------------------------------------------------------------------------------------------------

create or replace function account_open(
    p_username varchar, p_account_type varchar default 'cash', p_currency varchar default 'USD', p_account_number varchar default null
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users := internal.known_user(p_username);
    v_account_id bigint;
begin
    if p_account_type is null or p_account_type not in ('cash', 'margin')
        and not exists (select from public.margin_schedule m where m.account_type = p_account_type)
        and not exists (select from public.fee_schedule f where f.account_type = p_account_type)
    then
        perform internal.refuse('account_type', p_account_type, 'is no type of account',
            'Use cash or margin, or a type that fee_schedule or margin_schedule has a row for.');
    elsif p_currency is null or p_currency !~ '^[A-Z]{3}$' then
        perform internal.refuse('currency', left(p_currency, 20), 'is no currency', 'Give three capital letters, such as USD.');
    elsif p_account_number is not null and (p_account_number !~ '^[^[:space:][:cntrl:]]([^[:cntrl:]]*[^[:space:][:cntrl:]])?$' or length(p_account_number) > 50) then
        perform internal.refuse('account_number', left(p_account_number, 60), 'must be 1 to 50 characters without blanks at its ends', 'Take another number, or leave it out.');
    end if;
    v_account_id := nextval('public.accounts_account_id_seq');
    insert into public.accounts (account_id, user_id, account_type, account_number, currency)
    values (v_account_id, v_user.user_id, p_account_type, coalesce(p_account_number, 'A-' || lpad(v_account_id::text, greatest(6, length(v_account_id::text)), '0')), p_currency)
    on conflict (account_number) do nothing;
    if not found then
        perform internal.refuse('account_number', coalesce(p_account_number, 'A-' || v_account_id), 'an account has it already', 'Take another number.');
    end if;
    return v_account_id;
end;
$$;
comment on function account_open is 'Opens an account with no money in it for a user; the number is made up where none is given. Returns the account''s id.';

create or replace function account_close(p_account_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_account public.accounts;
    v_working bigint;
    v_symbols text;
begin
    -- Orders of the account cannot come in while its row is locked: every request locks it.
    select * into v_account from public.accounts a where a.account_id = p_account_id for no key update;
    if not found then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    elsif v_account.status = 'closed' then
        return;
    end if;
    select count(*) into v_working from public.orders o where o.account_id = p_account_id and o.status in ('pending', 'open', 'partially_filled');
    select string_agg(i.symbol, ', ' order by i.symbol) into v_symbols
    from public.positions p join public.instruments i on i.instrument_id = p.instrument_id
    where p.account_id = p_account_id and p.quantity <> 0;
    if v_working > 0 then
        perform internal.refuse('account_id', p_account_id::text, format('the account has %s working orders', v_working), 'Cancel them first.');
    elsif v_symbols is not null then
        perform internal.refuse('account_id', p_account_id::text, format('the account holds %s', left(v_symbols, 200)), 'Close its positions first.');
    elsif v_account.balance <> 0 then
        perform internal.refuse('account_id', p_account_id::text, format('the account has a balance of %s %s', v_account.balance, v_account.currency),
            case when v_account.balance > 0 then 'Withdraw it first.' else 'Deposit what is missing first.' end);
    end if;
    update public.accounts a set status = 'closed', updated_at = greatest(a.updated_at, clock_timestamp() at time zone 'UTC')
    where a.account_id = p_account_id;
end;
$$;
comment on function account_close is 'Closes an account: its status becomes closed. Refused while it has working orders, positions or cash.';
