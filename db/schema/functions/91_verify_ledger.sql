-- verify_ledger: everything that must be true of the books, recomputed from the ground up.

create or replace function verify_ledger(p_account_id bigint default null)
returns table (invariant text, subject text, detail jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
-- Whole tables are added up and compared, in memory; one account is looked up by its indexes, so each call plans for what it is asked.
set work_mem = '64MB' set plan_cache_mode = force_custom_plan as $$
    -- One statement, so that all of it is seen at one moment while trading goes on.
    select * from internal.broken_orders(p_account_id)
    union all
    select * from internal.broken_journal(p_account_id)
    union all
    select * from internal.broken_money(p_account_id)
$$;
comment on function verify_ledger is 'Every invariant of the books that is broken, of one account or of all: empty where they are right.';
