"""A trader with bad intentions bends their own session: who they are, where names lead, what they may take of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from db import users
from db.database import Database
from tests.db.attack import Scene, denied, scene_of
from tests.db.people import People, tuples
from tests.waiting import until

VERIFIER = "SCRAM-SHA-256$4096:" + "A" * 22 + "==$" + "B" * 43 + "=:" + "C" * 43 + "="


@pytest.fixture
async def scene(database: Database, database_url: str) -> AsyncIterator[Scene]:
    async with scene_of(database, database_url) as made:
        yield made


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
