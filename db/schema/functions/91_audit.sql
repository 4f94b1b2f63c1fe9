-- The audit trail: what writes it besides the triggers on the tables of administration.

create or replace function internal.audit(p_action text, p_subject text, p_detail jsonb default null) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    insert into public.audit_log (action, subject, detail) values (p_action, left(p_subject, 255), p_detail)
$$;
comment on function internal.audit is 'A line of the audit trail: what this session does, and to whom or what.';

create or replace function internal.login_detail() returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object('tls', coalesce(s.ssl, false), 'tls_version', s.version)
    from (select pg_backend_pid() as pid) b
    left join pg_stat_ssl s on s.pid = b.pid
$$;
comment on function internal.login_detail is 'How this session''s connection is secured.';

create or replace function internal.note_login() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from public.users u where u.username = session_user::text) then
        return;
    elsif pg_is_in_recovery() or current_setting('transaction_read_only')::boolean then
        raise log 'pitside: the log-in of % is not in the audit trail, for the session began read-only', session_user;
    else
        perform internal.audit('login', session_user::text, internal.login_detail());
    end if;
exception when others then
    -- A trail that cannot be written must not lock everybody out.
    raise log 'pitside: the log-in of % is not in the audit trail: %', session_user, sqlerrm;
end;
$$;
comment on function internal.note_login is 'Writes a line for each connection of a user, whatever program it is (PostgreSQL 17 and later, where the owner is a superuser).';

do $$
begin
    if current_setting('server_version_num')::integer >= 170000 and current_setting('is_superuser')::boolean
        and not exists (select from pg_event_trigger e where e.evtname = 'pitside_login')
    then
        execute 'create event trigger pitside_login on login execute function internal.note_login()';
    end if;
end;
$$;

create or replace function record_login() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_since timestamp;
begin
    select a.backend_start at time zone 'UTC' into v_since from pg_stat_get_activity(pg_backend_pid()) a;
    if exists (
        select from public.audit_log l
        where l.username = session_user::text and l.action = 'login' and l.process_id = pg_backend_pid() and l.at >= v_since)
    then
        return false;
    end if;
    perform internal.audit('login', session_user::text, internal.login_detail());
    return true;
end;
$$;
comment on function record_login is 'Writes the line of this session''s log-in, once; false: it is there. Where the server writes them itself this finds it done.';

create or replace function record_view(p_account_id bigint, p_what varchar, p_detail jsonb default null) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_number text;
    v_id bigint;
begin
    select a.account_number into v_number from public.accounts a where a.account_id = internal.authorize_read(p_account_id);
    if not found then
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    elsif coalesce(p_what, '') = '' or length(p_what) > 100 then
        perform internal.refuse('what', left(p_what, 40), 'must be 1 to 100 characters', 'Say in a word or two what was looked at.');
    elsif octet_length(p_detail::text) > 4000 then
        perform internal.refuse('detail', left(p_detail::text, 40) || '…', 'is longer than 4000 bytes', 'Say less.');
    end if;
    insert into public.audit_log (action, subject, detail)
    values ('view', v_number, jsonb_strip_nulls(jsonb_build_object('account_id', p_account_id, 'what', p_what, 'detail', p_detail)))
    returning audit_id into v_id;
    return v_id;
end;
$$;
comment on function record_view is 'Writes into the audit trail that the session looked into an account, and at what: the viewing log of support. Returns the line''s id.';
