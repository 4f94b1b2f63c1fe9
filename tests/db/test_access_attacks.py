"""A trader with their own password, psql and bad intentions reads, moves and widens nothing; see `tests.db.attack` for the scene."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import scram
from db.database import Database
from tests.db.attack import SECRET, Scene, denied, scene_of
from tests.db.people import tuples


@pytest.fixture
async def scene(database: Database, database_url: str) -> AsyncIterator[Scene]:
    async with scene_of(database, database_url) as made:
        yield made


async def test_reading_others_orders(scene: Scene) -> None:
    async with scene.mallory.connected() as connection:
        for query in (
            "select * from orders",
            f"select * from orders where order_id = {scene.order}",
            f"select * from orders where client_order_id = '{SECRET}'",
            f"select read_order({scene.order})",
            "select * from trades union all select * from trades",
            "select * from positions p full join transactions t on true where t.account_id is not null",
            "select * from portfolio_view",
            "select * from journal",
            f"select * from accounts where account_id = {scene.victor.account}",
            f"select user_id from users where username = '{scene.victor.username}'",
        ):
            rows = await connection.fetch(query)
            assert not [row for row in rows if scene.victor.username in str(row) or SECRET in str(row)], query
            assert not [row for row in rows if row and row[0] == scene.order], query
        # Functions that run a query for their caller run it as their caller.
        xml = await connection.fetchval("select query_to_xml('select * from orders', true, false, '')")
        assert SECRET not in xml
        await denied(
            connection,
            "select * from users",
            "select password_hash from users",
            "select users from users",
            "select to_jsonb(u) from users u",
            "select * from audit_log",
            "select * from access_limits",
            "select * from internal.books",
            "select * from internal.schema_versions",
            "select * from internal.own_accounts",
            "select * from pg_authid",
            "select * from pg_shadow",
            "select * from internal.market_data_default",
            "copy (select password_hash from users) to stdout",
        )


async def test_leaks_by_errors_plans_and_statistics(scene: Scene, database: Database) -> None:
    """A condition of the attacker's never meets another's row, and the planner's notes on rows are closed."""
    async with scene.mallory.connected() as connection:
        for probe in (
            f"select 1 / (account_id - {scene.victor.account}) from orders",
            f"select 1 / (user_id - {scene.victor.user_id}) from users",
            f"select 1 / (account_id - {scene.victor.account}) from portfolio_view",
            "select client_order_id::integer from orders",
            "select * from accounts where account_number::integer > 0 and account_number like 'T%' and false",
        ):
            await connection.fetch(probe)
        await database.execute("analyze")
        for table in ("orders", "accounts", "users", "positions", "transactions", "journal", "trades"):
            seen = await connection.fetch("select attname from pg_stats where tablename = $1", table)
            assert seen == [], table
        plan = "\n".join(
            row[0]
            for row in await connection.fetch(
                "explain (analyze, verbose) select * from orders where quantity > 0"
            )
        )
        assert SECRET not in plan
        assert scene.victor.username not in plan
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set row_security = off; select * from orders")
        # Estimates look past the walls: of words that are somebody's own there is nothing to estimate by.
        kept = await tuples(
            database,
            """select tablename, attname from pg_stats join information_schema.columns c
                 on (c.table_schema, c.table_name, c.column_name) = (schemaname, tablename, attname)
               where schemaname = 'public' and tablename in ('users', 'accounts', 'orders', 'transactions') and data_type in ('character varying', 'text')
               order by 1, 2""",
        )
        categories = (
            "account_type currency status role order_type side self_trade time_in_force transaction_type"
        )
        assert {column for _table, column in kept} <= set(categories.split())
        assert len(kept) > 3
        # What somebody else runs is nobody's business.
        async with scene.victor.connected() as other:
            await other.execute("select 'a secret of victor'")
            seen = await connection.fetch(
                "select query from pg_stat_activity where usename = $1", scene.victor.username
            )
            assert {row[0] for row in seen} == {"<insufficient privilege>"}


async def test_moving_money(scene: Scene) -> None:
    async with scene.mallory.connected() as connection:
        await denied(
            connection,
            f"select deposit({scene.mallory.account}, 1000000)",
            f"select withdraw({scene.victor.account}, 1)",
            f"update accounts set balance = 1e9 where account_id = {scene.mallory.account}",
            f"insert into transactions (account_id, transaction_type, amount, balance_after) values ({scene.mallory.account}, 'deposit', 1, 1)",
            "delete from transactions",
            "truncate transactions",
            "update positions set quantity = 1000",
            "insert into trades (order_id, side, quantity, price) values (1, 'buy', 1, 1)",
            f"update accounts set user_id = {scene.mallory.user_id}",
            "update fee_schedule set maker_rate = 0",
            "insert into fee_schedule values ('cash', 0, 0)",
            "update margin_schedule set initial_rate = 0.001",
            f"select internal.move_cash({scene.mallory.account}, 1, 'deposit', null)",
            "copy transactions from stdin",
            "select * from orders for update",
            "select * from instruments for share",
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select 1; lock table accounts in access exclusive mode")


async def test_acting_for_another(scene: Scene, database: Database) -> None:
    """Each function that a trader may call and that is about an account or an order says the same of another's and of none, with whatever
    else it is called."""
    rows = await database.fetch(
        """select p.proname as name, p.proargnames[1:p.pronargs] as arguments
           from pg_proc p where p.pronamespace = 'public'::regnamespace and has_function_privilege('trader', p.oid, 'execute')"""
    )
    about = {
        row["name"]: next(
            (name for name in ("p_account_id", "p_order_id") if name in (row["arguments"] or [])), None
        )
        for row in rows
    }
    tried = 0
    async with scene.mallory.connected() as connection:
        for row in rows:
            what = about[row["name"]]
            if what is None or row["name"] == "read_order":  # that one is a plain select
                continue
            tried += 1
            sane = {
                "p_instrument_id": scene.instrument,
                "p_order_type": "'limit'",
                "p_side": "'buy'",
                "p_quantity": 1,
                "p_price": 50,
            }
            for others in (dict.fromkeys(row["arguments"], "null"), sane):
                said = []
                for number in (scene.order if what == "p_order_id" else scene.victor.account, 999_999):
                    given = {**dict.fromkeys(row["arguments"], "null"), **others, what: number}
                    call = ", ".join(f"{name} => {given[name]}" for name in row["arguments"])
                    with pytest.raises(asyncpg.PostgresError) as refused:
                        await connection.fetch(f"select {row['name']}({call})")
                    error = refused.value
                    assert (error.sqlstate, error.column_name) == ("PS002", what.removeprefix("p_")), (
                        call,
                        error,
                    )
                    said.append((error.message.replace(str(number), "N"), error.hint, error.context is None))
                assert said[0] == said[1]
    assert tried >= 10


async def test_widening_ones_rights(scene: Scene) -> None:
    async with scene.mallory.connected() as connection:
        me = scene.mallory.username
        await denied(
            connection,
            f"alter role {me} superuser",
            f"alter role {me} createrole",
            f"alter role {me} bypassrls",
            f"alter role {me} connection limit 1000",
            f"grant support to {me}",
            f"grant {scene.owner} to {me}",
            f"grant trader to {scene.victor.username} with admin option",
            f"alter role {scene.victor.username} password 'mine'",
            "create role puppet login",
            "create database mine",
            "create schema mine",
            "create table public.mine (id integer)",
            "create temporary table mine (id integer)",
            "create function public.mine() returns integer language sql as 'select 1'",
            "create extension postgres_fdw",
            "create policy mine on orders using (true)",
            "alter table orders disable row level security",
            "drop policy own on orders",
            "alter view portfolio_view set (security_invoker = false)",
            "alter function place_order owner to trader",
            "create trigger mine after insert on orders execute function internal.open_book()",
            "create publication mine for all tables",
            "alter database postgres set search_path = 'x'",
            "alter system set fsync = off",
            "set session_replication_role = replica",
            "set event_triggers = off",
            "do $$ begin end $$",
            "select pg_read_file('postgresql.conf')",
            "copy instruments to '/tmp/x'",
            "copy instruments to program 'cat'",
            "select lo_create(0)",
            "select pg_advisory_lock(1)",
            "select pg_try_advisory_xact_lock(1, 2)",
            "select pg_logical_emit_message(false, 'x', 'y')",
            "select pg_reload_conf()",
            f"select user_role('{me}', 'support')",
            f"select user_password('{scene.victor.username}', '{scram.verifier('something else')}')",
            f"select user_disable('{scene.victor.username}')",
            f"select account_open('{me}', 'margin')",
            f"select account_close({scene.victor.account})",
            "select instrument_halt('ACME')",
            "select match_pending()",
            "select expire_day_orders()",
            "select verify_ledger()",
            "select record_view(1, 'x')",
            "select enforce_limits()",
            "update users set role = 'support'",
            "update access_limits set connections = 1000",
        )
        # A grant of what one does not have gives nothing, with a warning.
        await denied(
            connection, f"grant select on audit_log to {me}", f"grant execute on function deposit to {me}"
        )


async def test_calling_internals(scene: Scene, database: Database) -> None:
    rows = await database.fetch(
        """select p.oid::regprocedure::text as signature from pg_proc p
           where p.pronamespace = 'internal'::regnamespace and p.prorettype <> 'trigger'::regtype and p.prorettype <> 'event_trigger'::regtype
             and p.prokind = 'f'"""
    )
    assert len(rows) > 30
    async with scene.mallory.connected() as connection:
        for row in rows:
            name, _, arguments = row["signature"].partition("(")
            count = 0 if arguments == ")" else arguments.count(",") + 1
            await denied(connection, f"select {name}({', '.join(['null'] * count)})")
