-- What each group may do: the one place that says it. Applied again whenever a file before it changes. An object that is not named here is
-- nobody's but the owner's; tests/db/test_access_grants.py holds the catalogue against a table of its own.

create or replace function internal.wanted_grants()
returns table (kind text, object text, privilege text, groups text[]) language sql immutable set search_path = pg_catalog, pg_temp as $$
    select g.kind, g.object, g.privilege, g.groups::text[]
    from (values
        ('schema', 'public', 'usage', '{trader,support,market_data,backup}'),

        -- Tables and columns. Rows are the matter of the policies in versions/0003_access.sql. A password's verifier is for nobody to read.
        ('table', 'users', 'select (user_id, email, username, first_name, last_name, created_at, updated_at, is_active, role)', '{trader,support}'),
        ('table', 'accounts', 'select', '{trader,support}'),
        ('table', 'orders', 'select', '{trader,support}'),
        ('table', 'positions', 'select', '{trader,support}'),
        ('table', 'transactions', 'select', '{trader,support}'),
        ('table', 'trades', 'select', '{trader,support}'),
        ('table', 'journal', 'select', '{trader,support}'),
        ('table', 'portfolio_view', 'select', '{trader,support}'),
        ('table', 'fee_schedule', 'select', '{trader,support}'),
        ('table', 'margin_schedule', 'select', '{trader,support}'),
        ('table', 'instruments', 'select', '{trader,support,market_data}'),
        ('table', 'quotes', 'select', '{trader,support}'),
        ('table', 'market_data', 'select', '{trader,support,market_data}'),
        ('table', 'market_data', 'insert', '{market_data}'),
        ('table', 'market_data', 'update', '{market_data}'),
        ('table', 'access_limits', 'select', '{support}'),
        ('table', 'audit_log', 'select', '{support}'),

        -- Who I am
        ('function', 'whoami', 'execute', '{trader,support,market_data,backup}'),
        ('function', 'schema_version', 'execute', '{trader,support,market_data,backup}'),
        ('function', 'change_password', 'execute', '{trader,support,market_data,backup}'),
        ('function', 'record_login', 'execute', '{trader,support,market_data,backup}'),
        -- Trading, for the accounts that are one's own
        ('function', 'place_order', 'execute', '{trader}'),
        ('function', 'place_orders', 'execute', '{trader}'),
        ('function', 'place_oco', 'execute', '{trader}'),
        ('function', 'place_bracket', 'execute', '{trader}'),
        ('function', 'place_trailing_stop', 'execute', '{trader}'),
        ('function', 'cancel_order', 'execute', '{trader}'),
        ('function', 'cancel_all_orders', 'execute', '{trader}'),
        ('function', 'replace_order', 'execute', '{trader}'),
        ('function', 'calculate_position_pnl', 'execute', '{trader}'),
        ('function', 'refresh_pnl', 'execute', '{trader}'),
        -- Looking
        ('function', 'account_summary', 'execute', '{trader,support}'),
        ('function', 'position_report', 'execute', '{trader,support}'),
        ('function', 'read_order', 'execute', '{trader,support}'),
        ('function', 'live_versions', 'execute', '{trader,support}'),
        ('function', 'order_book', 'execute', '{trader,support}'),
        ('function', 'tickers', 'execute', '{trader,support}'),
        ('function', 'candles', 'execute', '{trader,support}'),
        ('function', 'prints', 'execute', '{trader,support}'),
        -- Looking back
        ('function', 'account_state', 'execute', '{trader,support}'),
        ('function', 'account_events', 'execute', '{trader,support}'),
        ('function', 'account_events_back', 'execute', '{trader,support}'),
        ('function', 'account_density', 'execute', '{trader,support}'),
        ('function', 'account_span', 'execute', '{trader,support}'),
        ('function', 'find_accounts', 'execute', '{trader,support}'),
        ('function', 'book_state', 'execute', '{trader,support}'),
        ('function', 'journal_links', 'execute', '{support}'),
        ('function', 'journal_link', 'execute', '{support}'),
        ('function', 'journal_texts', 'execute', '{support}'),
        ('function', 'audited_accounts', 'execute', '{support}'),
        ('function', 'audit_journal', 'execute', '{support}'),
        ('function', 'verify_ledger', 'execute', '{support}'),
        ('function', 'record_view', 'execute', '{support}')
    ) as g (kind, object, privilege, groups)
$$;
comment on function internal.wanted_grants is 'Which group may do what with which object, all of it.';

create or replace function internal.apply_grants() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_nobody constant text := 'public, trader, support, market_data, backup';
    v_kind text;
    v_objects text;
    v record;
begin
    execute format('revoke all on schema public, internal from %s', v_nobody);
    -- What is ours to give, extensions' objects included where the owner made them.
    for v_kind, v_objects in
        select o.kind, string_agg(o.name, ', ' order by o.name)
        from (
            select case c.relkind when 'S' then 'sequence' else 'table' end as kind, c.oid::regclass::text as name
            from pg_class c
            where c.relnamespace in ('public'::regnamespace, 'internal'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                and pg_has_role(c.relowner, 'usage')
            union all
            select 'routine', p.oid::regprocedure::text
            from pg_proc p
            where p.pronamespace in ('public'::regnamespace, 'internal'::regnamespace) and pg_has_role(p.proowner, 'usage') and p.prokind <> 'a'
        ) o
        group by o.kind
    loop
        execute format('revoke all on %s %s from %s', v_kind, v_objects, v_nobody);
    end loop;

    for v in select * from internal.wanted_grants() loop
        if v.kind <> 'function' then
            execute format('grant %s on %s %s to %s', v.privilege, v.kind, case v.kind when 'table' then 'public.' else '' end || quote_ident(v.object),
                array_to_string(v.groups, ', '));
            continue;
        end if;
        select string_agg(p.oid::regprocedure::text, ', ') into v_objects
        from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = v.object;
        if v_objects is null then
            raise exception 'internal.wanted_grants names the function %, which is not there', v.object;
        end if;
        execute format('grant execute on function %s to %s', v_objects, array_to_string(v.groups, ', '));
    end loop;
end;
$$;
comment on function internal.apply_grants is 'Makes the privileges of the groups and of public what internal.wanted_grants says.';

create or replace function internal.close_the_catalogue() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_functions text;
begin
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        return;
    end if;
    -- What PostgreSQL lets everybody do and no user needs: hold the locks by which our processes agree, write large objects, write into the log
    -- of changes, run programs of their own.
    select string_agg(p.oid::regprocedure::text, ', ') into v_functions
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace
        and (p.proname ~ '^pg_(try_)?advisory_' or p.proname in ('pg_logical_emit_message', 'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite'));
    execute format('revoke execute on function %s from public', v_functions);
    revoke usage on language plpgsql from public;
end;
$$;
comment on function internal.close_the_catalogue is 'Takes from public what a superuser can take: locks, large objects, the log of changes, blocks of PL/pgSQL.';

select internal.apply_grants();
select internal.close_the_catalogue();
