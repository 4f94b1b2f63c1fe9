"""A trader with their own password, psql and bad intentions: nothing gets through.

Mallory logs in over the socket with SCRAM. Victor is another trader with money, a position and an order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from db import scram, users
from db.database import Connection, Database
from db.schema.migrate import migrate
from tests.db.people import People, Person, tuples
from tests.db.stage import Stage
from tests.waiting import until

VERIFIER = "SCRAM-SHA-256$4096:" + "A" * 22 + "==$" + "B" * 43 + "=:" + "C" * 43 + "="
SECRET = "victor-client-order"  # noqa: S105
DENIED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidGrantOperationError,
    asyncpg.InvalidRoleSpecificationError,
)


class Scene:
    """Who is there, and what there is to steal."""

    def __init__(self, mallory: Person, victor: Person, instrument: int, order: int, owner: str) -> None:
        self.mallory, self.victor, self.instrument, self.order, self.owner = (
            mallory,
            victor,
            instrument,
            order,
            owner,
        )


@pytest.fixture
async def scene(database: Database, database_url: str) -> AsyncIterator[Scene]:
    """At the end the books are right and what is Victor's is as it was."""
    await migrate(database_url)  # a copy of the template has not its database's own privileges
    people = People(database, database_url)
    mallory, victor = await people.add(cash="100"), await people.add(cash="100000")
    stage = await Stage.open(database, database_url)
    await stage.sell(await stage.margin(), 10, "100")
    await stage.buy(victor.account, 10, "100")
    order = await stage.buy(victor.account, 5, "99", client=SECRET)
    owner = await database.fetchval("select current_user")
    before = await possessions(database, victor)
    yield Scene(mallory, victor, stage.instrument, order, owner)
    assert await possessions(database, victor) == before
    assert (
        await database.fetchval("select balance from accounts where account_id = $1", mallory.account) == 100
    )
    await stage.close()


async def possessions(database: Database, one: Person) -> list[str]:
    rows = await database.fetch(
        """select to_jsonb(a)::text from accounts a where a.account_id = $1
           union all select to_jsonb(u)::text from users u where u.user_id = $2
           union all select to_jsonb(o)::text from orders o where o.account_id = $1
           union all select to_jsonb(p)::text from positions p where p.account_id = $1
           union all select to_jsonb(t)::text from transactions t where t.account_id = $1""",
        one.account,
        one.user_id,
    )
    return sorted(row[0] for row in rows)


async def denied(connection: Connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement)
        assert isinstance(refused.value, DENIED), (statement, repr(refused.value))


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


async def test_forging_who_one_is(scene: Scene) -> None:
    async with scene.mallory.connected() as connection:
        await denied(
            connection,
            f"set role {scene.owner}",
            "set role support",
            f"set role {scene.victor.username}",
            f"set session authorization {scene.victor.username}",
            f"set session authorization {scene.owner}",
        )
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(
                f"select set_config('session_authorization', '{scene.victor.username}', false)"
            )
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(f"select set_config('role', '{scene.owner}', false)")
        # Their own group they may become: session_user stays, and with it what is theirs.
        await connection.execute("set role trader")
        assert await tuples(connection, "select account_id from accounts") == [(scene.mallory.account,)]
        with pytest.raises(asyncpg.PostgresError, match="no such account"):
            await connection.execute(f"select account_summary({scene.victor.account})")
        await connection.execute("reset role")
        for name in ("pitside.username", "app.user", "internal.session_user"):
            await connection.execute(f"select set_config('{name}', '{scene.victor.username}', false)")
        assert await tuples(connection, "select account_id from accounts") == [(scene.mallory.account,)]
    for setting in ("role", "session_authorization"):
        with pytest.raises(asyncpg.PostgresError):
            async with scene.mallory.connected(**{setting: scene.owner}):
                pass


async def test_poisoning_the_search_path(scene: Scene, database: Database, database_url: str) -> None:
    """Even where somebody let them make temporary tables: no function of ours looks there first."""
    async with scene.mallory.connected() as connection:
        await denied(connection, "create temporary table users (id integer)")
        await database.execute(
            f"grant temporary on database {database_url.rpartition('/')[2].partition('?')[0]} to trader"
        )
        await connection.execute(
            f"""create temporary table users as
                select {scene.mallory.user_id}::bigint as user_id, '{scene.mallory.username}'::varchar as username, 'support'::varchar as role, true as is_active;
                create temporary table accounts as select {scene.victor.account}::bigint as account_id, {scene.mallory.user_id}::bigint as user_id;
                create temporary table orders as select {scene.order}::bigint as order_id, {scene.victor.account}::bigint as account_id;
                create function pg_temp.session_user() returns name language sql as $$ select '{scene.victor.username}'::name $$;
                create function pg_temp.has_schema_privilege(name, text, text) returns boolean language sql as 'select true';
                create operator pg_temp.= (leftarg = text, rightarg = text, function = pg_catalog.textne);
                set search_path = pg_temp, public, pg_catalog"""
        )
        for call in (
            f"public.account_summary({scene.victor.account})",
            f"public.cancel_order({scene.order})",
            f"public.cancel_all_orders({scene.victor.account})",
            f"public.place_order({scene.victor.account}, {scene.instrument}, 'limit', 'buy', 1, 1)",
        ):
            with pytest.raises(asyncpg.PostgresError, match="there is no such"):
                await connection.execute(f"select {call}")
        assert await tuples(connection, "select account_id from public.accounts") == [
            (scene.mallory.account,)
        ]


@pytest.mark.parametrize(
    "verifier",
    [
        "my-new-password",
        "",
        "SCRAM-SHA-256$1:c2FsdHNhbHRzYWx0$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "md5" + "0" * 32,
        VERIFIER + "' superuser --",
        VERIFIER + "\n",
        "x'; alter role pitside password 'x'; --",
    ],
    ids=["clear", "empty", "one-iteration", "md5", "suffix", "newline", "statement"],
)
async def test_no_statement_hides_in_a_password(scene: Scene, verifier: str) -> None:
    async with scene.mallory.connected() as connection:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute("select change_password($1)", verifier)
        assert (refused.value.sqlstate, refused.value.column_name) == ("PS001", "verifier")
        assert verifier == "" or verifier not in str(refused.value)
    async with scene.mallory.connected():
        pass  # the password is what it was


async def test_nothing_is_heard_and_nothing_counted(scene: Scene, database: Database) -> None:
    """No notice carries anything, and no sequence tells how much others do."""
    heard: list[object] = []
    async with scene.mallory.connected() as connection:
        for channel in ("orders", "trades", "pitside", "internal"):
            await connection.add_listener(channel, lambda *notice: heard.append(notice))
        sequences = await database.fetch(
            "select oid::regclass::text as name from pg_class where relkind = 'S'"
        )
        assert len(sequences) >= 8
        for row in sequences:
            await denied(
                connection,
                f"select last_value from {row['name']}",
                f"select nextval('{row['name']}')",
                f"select setval('{row['name']}', 1)",
            )
        await connection.execute("select 1")
    assert heard == []
    assert not await database.fetchval(
        """select exists (select from pg_proc where pronamespace in ('public'::regnamespace, 'internal'::regnamespace)
                          and prosrc ~* '\\m(pg_notify|notify)\\M')"""
    )


async def test_flooding_connections(scene: Scene, database: Database) -> None:
    await database.execute("update access_limits set connections = 3 where role = 'trader'")
    held = [await asyncpg.connect(scene.mallory.url) for _ in range(3)]
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(scene.mallory.url)
        async with scene.victor.connected():
            pass  # it is each user's own
    finally:
        for connection in held:
            await connection.close()


async def test_starving_others(scene: Scene, database: Database) -> None:
    """A statement has its time; and one who lifts their own limits is ended by the owner's look."""
    await database.execute(
        "update access_limits set statement_timeout = '1 s', idle_in_transaction_timeout = '1 s' where role = 'trader'"
    )
    async with scene.mallory.connected() as connection:
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch("select count(*) from generate_series(1, 1e12)")
    async with scene.mallory.connected() as connection:
        await connection.execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
        await connection.execute(
            "begin; select place_order($1, $2, 'limit', 'buy', 1, 1)".replace(
                "$1", str(scene.mallory.account)
            ).replace("$2", str(scene.instrument))
        )
        assert await until(lambda: database.fetchval("select enforce_limits()")) == 1
        assert connection.is_closed() or await until(connection.is_closed)
    async with scene.mallory.connected(statement_timeout="0") as connection:
        running = asyncio.ensure_future(connection.fetch("select pg_sleep(600)"))
        assert await until(lambda: database.fetchval("select enforce_limits()")) == 1
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await running
    assert await database.fetchval("select count(*) from audit_log where action = 'sessions ended'") == 2


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_trading_on_an_old_look_at_the_book(
    scene: Scene, database: Database, database_url: str, level: str
) -> None:
    """A snapshot from before others came does not make orders pass each other: the books are looked through at the end."""
    people = People(database, database_url)
    maker = await people.add(cash="100000", account_type="margin")
    place = "select place_order($1, $2, 'limit', $3, 1, $4)"
    async with scene.mallory.connected() as connection, maker.connected() as other:
        await connection.execute(f"begin isolation level {level}")
        await connection.fetch("select * from order_book($1)", scene.instrument)
        await other.execute(place, maker.account, scene.instrument, "sell", Decimal(100))
        with pytest.raises(asyncpg.SerializationError):
            await connection.execute(place, scene.mallory.account, scene.instrument, "buy", Decimal(100))
        await connection.execute("rollback")
        await other.execute("select cancel_all_orders($1)", maker.account)


@pytest.mark.parametrize(
    "setting",
    [
        "timezone = 'Asia/Tokyo'",
        "transform_null_equals = on",
        "enable_indexscan = off",
        "datestyle = 'German'",
        "client_encoding = 'LATIN1'",
        "synchronous_commit = off",
    ],
)
async def test_settings_of_a_session_change_nothing_of_an_order(
    scene: Scene, database: Database, setting: str
) -> None:
    async with scene.mallory.connected() as connection:
        await connection.execute(f"set {setting}")
        order = await connection.fetchval(
            "select place_order($1, $2, 'limit', 'buy', 1, 1)", scene.mallory.account, scene.instrument
        )
        assert not await database.fetchval(
            "select abs(extract(epoch from created_at - (now() at time zone 'UTC'))) > 600 from orders where order_id = $1",
            order,
        )
        for call in (f"cancel_order({scene.order})", f"account_summary({scene.victor.account})"):
            with pytest.raises(asyncpg.PostgresError, match="there is no such"):
                await connection.execute(f"select {call}")
        assert await connection.fetchval("select cancel_order($1)", order)


async def test_ending_others_sessions(scene: Scene) -> None:
    async with scene.victor.connected() as victim, scene.mallory.connected() as connection:
        pid = victim.get_server_pid()
        await denied(connection, f"select pg_terminate_backend({pid})", f"select pg_cancel_backend({pid})")
        assert await victim.fetchval("select 1") == 1


async def test_a_password_that_was_changed_is_no_way_in(scene: Scene, database: Database) -> None:
    await users.set_password(database, scene.mallory.username, "another password")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(scene.mallory.url)
    await users.set_password(database, scene.mallory.username, "correct horse battery")
    async with scene.mallory.connected():
        pass
