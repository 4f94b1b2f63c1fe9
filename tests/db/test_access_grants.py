"""Every privilege of every role, held against the live catalogue.

A new table, column, view, sequence or function in a database's schemas fails here until somebody has decided
who may do what with it: in functions/99_grants.sql, and in the tables below.
"""

from __future__ import annotations

import re

from db.database import Database
from db.schema.migrate import migrate

GROUPS = ("trader", "support", "market_data", "backup")
ROLES = (*GROUPS, "public")

# r select, i insert, u update; "some" columns are those of SOME_COLUMNS; "-" nothing.
TABLES = """
                    trader  support  market_data  backup  public
    access_limits   -       r        -            -       -
    accounts        r       r        -            -       -
    audit_log       -       r        -            -       -
    fee_schedule    r       r        -            -       -
    instruments     r       r        r            -       -
    journal         r       r        -            -       -
    margin_schedule r       r        -            -       -
    market_data     r       r        riu          -       -
    orders          r       r        -            -       -
    portfolio_view  r       r        -            -       -
    positions       r       r        -            -       -
    quotes          r       r        -            -       -
    trades          r       r        -            -       -
    transactions    r       r        -            -       -
    users           some    some     -            -       -
"""

SOME_COLUMNS = {
    "users": "created_at email first_name is_active last_name role updated_at user_id username",
}

# x execute
FUNCTIONS = """
                           trader  support  market_data  backup  public
    account_close          -       -        -            -       -
    account_density        x       x        -            -       -
    account_events         x       x        -            -       -
    account_events_back    x       x        -            -       -
    account_open           -       -        -            -       -
    account_span           x       x        -            -       -
    account_state          x       x        -            -       -
    account_summary        x       x        -            -       -
    adjust                 -       -        -            -       -
    audit_journal          -       x        -            -       -
    audited_accounts       -       x        -            -       -
    book_state             x       x        -            -       -
    calculate_position_pnl x       -        -            -       -
    cancel_all_orders      x       -        -            -       -
    cancel_order           x       -        -            -       -
    candles                x       x        -            -       -
    change_password        x       x        x            x       -
    deposit                -       -        -            -       -
    enforce_limits         -       -        -            -       -
    expire_day_orders      -       -        -            -       -
    find_accounts          x       x        -            -       -
    instrument_add         -       -        -            -       -
    instrument_halt        -       -        -            -       -
    instrument_resume      -       -        -            -       -
    instrument_set         -       -        -            -       -
    journal_link           -       x        -            -       -
    journal_links          -       x        -            -       -
    journal_texts          -       x        -            -       -
    keep_checkpoints       -       -        -            -       -
    live_versions          x       x        -            -       -
    match_pending          -       -        -            -       -
    order_book             x       x        -            -       -
    place_bracket          x       -        -            -       -
    place_oco              x       -        -            -       -
    place_order            x       -        -            -       -
    place_orders           x       -        -            -       -
    place_trailing_stop    x       -        -            -       -
    position_report        x       x        -            -       -
    prints                 x       x        -            -       -
    read_order             x       x        -            -       -
    rebuild_checkpoints    -       -        -            -       -
    record_login           x       x        x            x       -
    record_view            -       x        -            -       -
    refresh_pnl            x       -        -            -       -
    replace_order          x       -        -            -       -
    restore_logins         -       -        -            -       -
    schema_version         x       x        x            x       -
    tickers                x       x        -            -       -
    user_add               -       -        -            -       -
    user_disable           -       -        -            -       -
    user_enable            -       -        -            -       -
    user_end_sessions      -       -        -            -       -
    user_password          -       -        -            -       -
    user_role              -       -        -            -       -
    verify_ledger          -       x        -            -       -
    whoami                 x       x        x            x       -
    withdraw               -       -        -            -       -
"""

LETTERS = {
    "SELECT": "r",
    "INSERT": "i",
    "UPDATE": "u",
    "DELETE": "d",
    "TRUNCATE": "t",
    "REFERENCES": "f",
    "TRIGGER": "g",
}


def table(text: str) -> dict[tuple[str, str], str]:
    """(object, role) → what it may do, "" for nothing."""
    head, *lines = [line.split() for line in text.strip().splitlines()]
    assert tuple(head) == ROLES
    return {
        (name, role): "" if cell == "-" else cell
        for name, *cells in lines
        for role, cell in zip(ROLES, cells, strict=True)
    }


async def test_tables_and_views(database: Database) -> None:
    rows = await database.fetch(
        """select c.relname as name, g.role, p.privilege, c.relnamespace::regnamespace::text as schema
           from pg_class c, unnest($1::text[]) g(role), unnest($2::text[]) p(privilege)
           where c.relnamespace in ('public'::regnamespace, 'internal'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')
             and has_table_privilege(g.role, c.oid, p.privilege)
             and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')""",
        list(ROLES),
        list(LETTERS),
    )
    assert [tuple(row) for row in rows if row["schema"] == "internal"] == []
    wanted = {key: "" if cell == "some" else cell for key, cell in table(TABLES).items()}
    actual = dict.fromkeys(wanted, "")
    for name in await public_tables(database):
        for role in ROLES:
            actual[name, role] = "".join(
                LETTERS[row["privilege"]]
                for row in sorted(rows, key=lambda row: list(LETTERS).index(row["privilege"]))
                if (row["name"], row["role"]) == (name, role)
            )
    assert actual == wanted


async def test_columns(database: Database) -> None:
    """What is not a table's is a column's: `some` are those named, and none may be written."""
    rows = await database.fetch(
        """select c.relname as name, a.attname as column, g.role, p.privilege, c.relnamespace::regnamespace::text as schema
           from pg_class c
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped,
           unnest($1::text[]) g(role), unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p(privilege)
           where c.relnamespace in ('public'::regnamespace, 'internal'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')
             and has_column_privilege(g.role, c.oid, a.attnum, p.privilege)
             and not has_table_privilege(g.role, c.oid, p.privilege)""",
        list(ROLES),
    )
    actual: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        actual.setdefault((row["name"], row["role"], row["privilege"]), set()).add(row["column"])
    assert actual == {
        (name, role, "SELECT"): set(SOME_COLUMNS[name].split())
        for (name, role), cell in table(TABLES).items()
        if cell == "some"
    }
    assert {row["schema"] for row in rows} == {"public"}


async def test_functions(database: Database) -> None:
    rows = await database.fetch(
        """select p.oid::regprocedure::text as signature, p.proname as name, p.pronamespace::regnamespace::text as schema, g.role,
                  has_function_privilege(g.role, p.oid, 'execute') as may
           from pg_proc p, unnest($1::text[]) g(role)
           where p.pronamespace in ('public'::regnamespace, 'internal'::regnamespace)
             and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')""",
        list(ROLES),
    )
    assert [(row["signature"], row["role"]) for row in rows if row["may"] and row["schema"] != "public"] == []
    actual = {
        (row["name"], row["role"]): "x" if row["may"] else "" for row in rows if row["schema"] == "public"
    }
    assert actual == table(FUNCTIONS)


async def test_sequences_schemas_types_and_the_database_are_nobodys(
    database: Database, database_url: str
) -> None:
    await migrate(database_url)  # a copy of the template has not its database's own privileges
    rows = await database.fetch(
        """select g.role, 'sequence ' || c.relname as object from pg_class c, unnest($1::text[]) g(role), unnest(array['usage', 'select', 'update']) p(privilege)
           where c.relkind = 'S' and has_sequence_privilege(g.role, c.oid, p.privilege)
           union all
           select g.role, n.nspname || ' ' || p.privilege from pg_namespace n, unnest($1::text[]) g(role), unnest(array['usage', 'create']) p(privilege)
           where n.nspname in ('public', 'internal') and has_schema_privilege(g.role, n.oid, p.privilege)
           union all
           select g.role, 'database ' || p.privilege from unnest($1::text[]) g(role), unnest(array['connect', 'create', 'temporary']) p(privilege)
           where has_database_privilege(g.role, current_database(), p.privilege)
           union all
           select g.role, 'language ' || l.lanname from pg_language l, unnest($1::text[]) g(role)
           where l.lanpltrusted and l.lanname <> 'sql' and has_language_privilege(g.role, l.oid, 'usage')""",
        list(ROLES),
    )
    assert sorted(tuple(row) for row in rows) == sorted((group, "public usage") for group in GROUPS)


async def test_the_groups_are_groups_and_nothing_else(database: Database) -> None:
    rows = await database.fetch(
        """select r.rolname from pg_roles r
           where r.rolname = any ($1) and not (r.rolcanlogin or r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
             and not exists (select from pg_auth_members m where m.member = r.oid)
           order by 1""",
        list(GROUPS),
    )
    assert [row[0] for row in rows] == sorted(GROUPS)


async def test_what_is_somebodys_has_walls(database: Database) -> None:
    """Row-level security on every table that a trader reads, but for those that are for everybody."""
    rows = await database.fetch(
        """select c.relname, c.relrowsecurity, array(select p.polname::text from pg_policy p where p.polrelid = c.oid order by 1) as policies,
                  (select bool_and(p.polcmd = 'r') from pg_policy p where p.polrelid = c.oid) as read_only
           from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
             and has_any_column_privilege('trader', c.oid, 'select')"""
    )
    for_everybody = {"instruments", "market_data", "quotes", "fee_schedule", "margin_schedule"}
    assert {row["relname"] for row in rows if not row["relrowsecurity"]} == for_everybody
    for row in rows:
        if row["relrowsecurity"]:
            assert (row["policies"], row["read_only"]) == (["all_rows", "own"], True), row
    options = await database.fetchval("select reloptions from pg_class where relname = 'portfolio_view'")
    assert sorted(options) == ["security_barrier=true", "security_invoker=true"]


async def test_clients_functions_run_as_the_owner_and_ask_who_is_there(database: Database) -> None:
    """Every function of a group is SECURITY DEFINER with a pinned search_path and no dynamic SQL; those about an account or
    an order ask the guard."""
    rows = await database.fetch(
        """select p.proname as name, p.prosecdef, p.proconfig, p.prosrc, pg_get_function_arguments(p.oid) as arguments,
                  obj_description(p.oid, 'pg_proc') as comment
           from pg_proc p where p.pronamespace = 'public'::regnamespace
             and exists (select from unnest($1::text[]) g(role) where has_function_privilege(g.role, p.oid, 'execute'))""",
        list(GROUPS),
    )
    assert len(rows) > 20
    for row in rows:
        assert "search_path=pg_catalog, pg_temp" in row["proconfig"], row["name"]
        assert row["prosecdef"] is (row["name"] != "read_order"), row[
            "name"
        ]  # that one reads as whoever asks
        assert row["comment"], row["name"]
        assert not re.search(r"\bexecute\b", row["prosrc"]), row["name"]
        if re.search(r"p_(account_id|account_ids|order_id|position_id|orders)\b", row["arguments"]):
            named = {
                "place_orders": "internal.batch_request",
                # Of all accounts, and for support and the owner only.
                "verify_ledger": "",
                "audited_accounts": "",
                "journal_link": "",
                "journal_links": "",
                "read_order": "public.orders",
            }
            guard = named.get(
                row["name"],
                r"internal\.(authorize|authorize_read|authorize_order|enter_replay|own_accounts|readable_accounts)\b",
            )
            assert re.search(guard, row["prosrc"]), row["name"]


async def public_tables(database: Database) -> list[str]:
    rows = await database.fetch(
        """select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
             and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')"""
    )
    return [row[0] for row in rows]
