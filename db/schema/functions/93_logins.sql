-- Login roles: the one place that makes and changes them. Dynamic SQL is used nowhere else but for partitions and grants; names and verifiers
-- are checked against strict patterns first, and quoted all the same.

create or replace function internal.check_username(p_username text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if p_username is null or p_username !~ '^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$' then
        perform internal.refuse('username', p_username, 'must be 1 to 63 letters, digits and _ . @ -, and begin with a letter or digit',
            'Take another name: it becomes a role of the server.');
    elsif lower(p_username) ~ '^pg_' or lower(p_username) = any ('{public,none,all,user,current_user,current_role,session_user,replication,sameuser,samerole,'
        'samegroup,postgres,owner,trader,support,market_data,backup}')
    then
        perform internal.refuse('username', p_username, 'is reserved', 'Take another name.');
    end if;
end;
$$;
comment on function internal.check_username is 'Refuses what cannot be the name of a user''s role.';

create or replace function internal.check_role(p_role text) returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if p_role is null or p_role not in ('trader', 'support', 'market_data', 'backup') then
        perform internal.refuse('role', p_role, 'is no role of a user', 'Use trader, support, market_data or backup.');
    end if;
end;
$$;
comment on function internal.check_role is 'Refuses a role that users cannot have.';

create or replace function internal.check_verifier(p_verifier text) returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- The value is never told: somebody may have sent a password.
    if p_verifier is null or p_verifier !~ '^SCRAM-SHA-256\$[0-9]{4,7}:[A-Za-z0-9+/]{11,86}={0,2}\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$' then
        perform internal.refuse('verifier', '(not shown)', 'is no SCRAM-SHA-256 verifier', 'Passwords are made into one by the client: trade user passwd does.');
    elsif split_part(split_part(p_verifier, '$', 2), ':', 1)::integer < 4096 then
        perform internal.refuse('verifier', '(not shown)', 'has fewer than 4096 iterations', 'Use 4096 or more.');
    end if;
end;
$$;
comment on function internal.check_verifier is 'Refuses what is no SCRAM verifier, a password in the clear above all.';

create or replace function internal.login_exists(p_username text, p_role text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_role record;
    v_groups text[];
begin
    select r.oid, r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolbypassrls as mighty into v_role from pg_roles r where r.rolname = p_username;
    if not found then
        return false;
    end if;
    select array_agg(distinct g.rolname::text) into v_groups -- each of several grantors is a row
    from pg_auth_members m
    join pg_roles g on g.oid = m.roleid
    where m.member = v_role.oid;
    -- Ours is what a user_add has made: here, in another database of the server, or before these data were restored.
    if v_role.mighty or v_groups is distinct from array[p_role] then
        perform internal.refuse('username', p_username, 'the server has a role of that name, and it is not this user''s',
            format('Take another name; a role that this user should have is a member of %s and of nothing else.', p_role));
    end if;
    return true;
end;
$$;
comment on function internal.login_exists is 'Whether a user''s role is there; one of that name that is something else is refused.';

create or replace function internal.limit_login(p_username text, p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_limits public.access_limits;
begin
    select * into v_limits from public.access_limits l where l.role = p_role;
    execute format('alter role %I connection limit %s', p_username, coalesce(v_limits.connections, -1));
    execute format('alter role %I in database %I set statement_timeout = %L', p_username, current_database(),
        internal.milliseconds(v_limits.statement_timeout));
    execute format('alter role %I in database %I set lock_timeout = %L', p_username, current_database(),
        internal.milliseconds(v_limits.lock_timeout));
    execute format('alter role %I in database %I set idle_in_transaction_session_timeout = %L', p_username, current_database(),
        internal.milliseconds(v_limits.idle_in_transaction_timeout));
end;
$$;
comment on function internal.limit_login is 'Gives a login role the limits of its group, from its next session on.';

create or replace function internal.milliseconds(p_time interval) returns text language sql immutable as $$
    select coalesce(least(round(extract(epoch from p_time) * 1000), 2147483647), 0)::bigint::text
$$;
comment on function internal.milliseconds is 'A time as PostgreSQL''s settings take it; 0 is no limit.';

create or replace function internal.make_login(p_username text, p_role text, p_verifier text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform internal.check_username(p_username);
    perform internal.check_verifier(p_verifier);
    -- Two at once would change the database's row of the catalogue at once, which Postgres does not wait for.
    perform pg_advisory_xact_lock(hashtext('internal.make_login'));
    if internal.login_exists(p_username, p_role) then
        execute format('alter role %I login password %L', p_username, p_verifier);
    else
        execute format('create role %I login password %L', p_username, p_verifier);
        execute format('grant %I to %I', p_role, p_username);
        if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
            execute format('grant %I to %I', p_username, current_user); -- to be able to end its sessions
        end if;
    end if;
    if p_role = 'backup' then
        execute format('alter role %I replication', p_username);
    end if;
    execute format('grant connect on database %I to %I', current_database(), p_username);
    perform internal.limit_login(p_username, p_role);
exception when insufficient_privilege then
    perform internal.cannot_make_logins(p_username, sqlerrm);
end;
$$;
comment on function internal.make_login is 'Makes the role that a user logs in as, with the password of this verifier; or gives the role that is there that password.';

create or replace function internal.cannot_make_logins(p_username text, p_problem text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the owner % may not make or change the role %: %', current_user, p_username, p_problem
        using errcode = 'insufficient_privilege',
            hint = format('As a superuser: alter role %I createrole; grant trader, support, market_data, backup to %I with admin option. '
                'Roles of the group backup need the owner to have the attribute replication, before PostgreSQL 16 to be a superuser.',
                current_user, current_user);
end;
$$;
comment on function internal.cannot_make_logins is 'The error of an owner who is no superuser and lacks what making roles needs.';

create or replace function internal.apply_limits(p_role text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_username text;
begin
    for v_username in
        select u.username from public.users u
        where u.role = p_role and exists (select from pg_roles r where r.rolname = u.username) and u.password_hash like 'SCRAM%'
        order by u.username
    loop
        perform internal.limit_login(v_username, p_role);
    end loop;
end;
$$;
comment on function internal.apply_limits is 'Gives all login roles of a group the limits that stand in access_limits.';
