-- Who may do what: groups, a user's role, walls around what is whose, limits, and the audit trail.
--
-- Each user logs in as a role of their own, a member of exactly one of four groups. Groups belong to the whole server, so that another
-- database's migration, or an administrator, may have made them already. What each group may do stands in functions/97_grants.sql.

do $$
declare
    v_group text;
begin
    foreach v_group in array array['trader', 'support', 'market_data', 'backup'] loop
        begin
            if not exists (select from pg_roles r where r.rolname = v_group) then
                execute format('create role %I nologin', v_group);
            elsif exists (select from pg_roles r where r.rolname = v_group and (r.rolcanlogin or r.rolsuper)) then
                raise exception 'the server has a role % that somebody logs in as, and it is needed as a group', v_group
                    using hint = format('Rename it (alter role %I rename to …), and try again.', v_group);
            end if;
        exception
            when duplicate_object or unique_violation then
                null; -- another database's migration was faster
            when insufficient_privilege then
                raise exception 'the group % is missing, and % may not make roles', v_group, current_user
                    using errcode = 'insufficient_privilege',
                        hint = format('As a superuser: alter role %I createrole; or make the groups trader, support, market_data and backup '
                            '(nologin) and grant them to %I with admin option.', current_user, current_user);
        end;
    end loop;
end;
$$;

-- Users ---------------------------------------------------------------------------------------------------------------------------

alter table users
    add column role varchar(20) not null default 'trader' check (role in ('trader', 'support', 'market_data', 'backup'));
comment on column users.role is 'The group of the role that the user logs in as.';
comment on column users.username is 'Also the name of the role that the user logs in as, once they have a password.';
comment on column users.password_hash is 'The SCRAM verifier of the user''s password, computed by the client; ! where the user has none and cannot log in.';

create table access_limits (
    role                         varchar(20) primary key check (role in ('trader', 'support', 'market_data', 'backup')),
    connections                  integer not null check (connections >= -1),
    statement_timeout            interval not null check (statement_timeout >= interval '0'),
    lock_timeout                 interval not null check (lock_timeout >= interval '0'),
    idle_in_transaction_timeout  interval not null check (idle_in_transaction_timeout >= interval '0')
);
comment on table access_limits is
    'What one user of a role may take of the server. A change holds for new sessions; connections -1 and a time of 0 stand for no limit.';
comment on column access_limits.connections is 'Connections of one user at a time; a terminal takes up to database.pool_max and two more.';
insert into access_limits values
    ('trader', 24, '30 s', '10 s', '30 s'),
    ('support', 24, '2 min', '10 s', '30 s'),
    ('market_data', 8, '1 min', '10 s', '30 s'),
    ('backup', 4, '0', '1 min', '0');

create function internal.limits_changed() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform internal.apply_limits(new.role);
    return null;
end;
$$;
create trigger access_limits_apply after insert or update on access_limits for each row execute function internal.limits_changed();

-- The audit trail -----------------------------------------------------------------------------------------------------------------

create table audit_log (
    audit_id     bigserial primary key,
    at           timestamp not null default (clock_timestamp() at time zone 'UTC'),
    username     varchar(63) not null default session_user,
    address      inet default inet_client_addr(),
    application  text default current_setting('application_name'),
    process_id   integer not null default pg_backend_pid(),
    action       varchar(50) not null,
    subject      varchar(255),
    detail       jsonb
);
comment on table audit_log is
    'Who did what from where: log-ins, administration, support''s looks into accounts. Append-only. What was refused is in the server''s log.';
comment on column audit_log.username is 'The role that logged in.';
comment on column audit_log.address is 'Where the client is; null for a client on the server''s own socket.';
comment on column audit_log.process_id is 'The server''s process that served the session.';
comment on column audit_log.detail is 'What was changed: the new values of a new row, [before, after] of each changed column. Never a password.';
create index audit_log_username on audit_log (username, audit_id);
create trigger audit_log_append_only before update or delete or truncate on audit_log for each statement execute function internal.refuse_change();

create function internal.audit_change() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- What the engine writes is in the ledger and the journal.
    v_left_out constant text[] := '{created_at,updated_at,balance,reserved,commissions}';
    v_old jsonb := to_jsonb(old) - v_left_out;
    v_new jsonb := to_jsonb(new) - v_left_out;
    v_detail jsonb;
begin
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(n.key, case n.key when 'password_hash' then to_jsonb('changed'::text) else jsonb_build_array(v_old -> n.key, n.value) end)
        into v_detail
        from jsonb_each(v_new) n
        where n.value is distinct from v_old -> n.key;
        if v_detail is null then
            return null;
        end if;
    else
        v_detail := jsonb_strip_nulls(coalesce(v_new, v_old) - 'password_hash');
    end if;
    insert into public.audit_log (action, subject, detail)
    values (tg_table_name || ' ' || lower(tg_op), left(coalesce(v_new, v_old) ->> tg_argv[0], 255), v_detail);
    return null;
end;
$$;
comment on function internal.audit_change is 'Writes who changed a row of administration, by whatever way; the argument is the column that names the row.';
create trigger users_audit after insert or update or delete on users for each row execute function internal.audit_change('username');
create trigger instruments_audit after insert or update or delete on instruments for each row execute function internal.audit_change('symbol');
create trigger fee_schedule_audit after insert or update or delete on fee_schedule for each row execute function internal.audit_change('account_type');
create trigger margin_schedule_audit after insert or update or delete on margin_schedule for each row execute function internal.audit_change('account_type');
create trigger access_limits_audit after insert or update or delete on access_limits for each row execute function internal.audit_change('role');
-- The engine's updates of an account name none of these columns, and so pay nothing for this.
create trigger accounts_audit after insert or delete or update of user_id, account_type, account_number, currency, status on accounts
    for each row execute function internal.audit_change('account_number');

-- The walls: what is whose ---------------------------------------------------------------------------------------------------------
--
-- session_user is who logged in, whatever role the session sets itself to since. The owner is not held back by these policies; functions run
-- as the owner and have their own guard (92_access.sql). `= any (array(…))` is looked up once for a statement, not once for a row.

alter table users enable row level security;
create policy own on users for select to trader using (username = session_user::text);
create policy all_rows on users for select to support using (true);

create index accounts_user on accounts (user_id); -- whose accounts: asked by every statement of a trader
alter table accounts enable row level security;
create policy own on accounts for select to trader
    using (user_id = any (array(select u.user_id from users u where u.username = session_user::text and u.is_active)));
create policy all_rows on accounts for select to support using (true);

do $$
declare
    v_table text;
begin
    foreach v_table in array array['orders', 'positions', 'transactions', 'journal', 'trades'] loop
        execute format('alter table %I enable row level security', v_table);
        execute format(
            'create policy own on %I for select to trader using (account_id = any (array(
                select a.account_id from accounts a join users u on u.user_id = a.user_id where u.username = session_user::text and u.is_active)))',
            v_table);
        execute format('create policy all_rows on %I for select to support using (true)', v_table);
    end loop;
end;
$$;

-- The planner's estimates, which EXPLAIN shows to everybody, look past these policies where an operator cannot leak by itself; text is
-- compared by such operators. So nothing is kept of words that are somebody's own. Where the planner needs to know of them, they are unique.
alter table users
    alter column email set statistics 0, alter column username set statistics 0, alter column password_hash set statistics 0,
    alter column first_name set statistics 0, alter column last_name set statistics 0;
alter table accounts alter column account_number set statistics 0;
alter table orders alter column client_order_id set statistics 0, alter column reason set statistics 0;
alter table transactions alter column description set statistics 0;
do $$
begin
    -- What was kept before stays otherwise, until somebody who may deletes it.
    if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        delete from pg_statistic s
        using pg_attribute a
        where a.attrelid = s.starelid and a.attnum = s.staattnum and a.attstattarget = 0
            and a.attrelid in ('users'::regclass, 'accounts'::regclass, 'orders'::regclass, 'transactions'::regclass);
    end if;
end;
$$;

-- The view shows whoever looks what they may see, not what its owner may.
alter view portfolio_view set (security_invoker = true, security_barrier = true);

-- Prints: an instrument's last matches, without parties.
create index trades_prints on trades (instrument_id, trade_id desc) where liquidity = 'taker';
