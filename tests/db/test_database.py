from __future__ import annotations

import asyncio
import logging
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import users
from db.database import ConnectionState, Database, connect
from db.errors import (
    ConnectionLostError,
    DatabaseError,
    LoginError,
    PitsideError,
    RequestError,
    ServerError,
)
from db.live import Changes, subscribe
from db.urls import describe, mask
from tests.db.people import People
from tests.factories import make_account
from tests.proxy import Proxy
from tests.waiting import until


async def test_statements_and_what_they_return(database: Database) -> None:
    await database.execute("create table t (n integer)")
    await database.executemany("insert into t values ($1)", [(n,) for n in range(3)])
    assert [row["n"] for row in await database.fetch("select n from t order by n")] == [0, 1, 2]
    row = await database.fetchrow("select n from t where n = $1", 2)
    assert row is not None
    assert row["n"] == 2
    assert await database.fetchrow("select n from t where n = 7") is None
    assert await database.fetchval("select count(*) from t") == 3
    assert await database.execute("update t set n = n + 1") == "UPDATE 3"


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    await database.execute("create table t (n integer primary key)")
    async with database.transaction() as connection:
        await connection.execute("insert into t values (1)")

    async def insert_two() -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into t values (2)")
            await connection.execute("insert into t values (1)")

    with pytest.raises(DatabaseError, match="duplicate key") as refused:
        await insert_two()
    assert refused.value.sqlstate == "23505"
    assert await database.fetchval("select array_agg(n) from t") == [1]


async def test_every_session_is_in_utc_and_says_who_it_is(database_url: str) -> None:
    async with await Database.open(database_url, application_name="pitside test") as database:
        row = await database.fetchrow(
            "select current_setting('timezone'), current_setting('application_name')"
        )
    assert row is not None
    assert tuple(row) == ("UTC", "pitside test")


async def test_money_comes_and_goes_exactly(database: Database) -> None:
    value = Decimal("123456789012.12345678")
    assert await database.fetchval("select $1::numeric(20, 8)", value) == value


async def test_what_the_engine_refuses_carries_field_value_reason_and_way_out(database: Database) -> None:
    account = await make_account(database)
    with pytest.raises(RequestError) as refused:
        await database.fetchval("select deposit($1, $2)", account, Decimal(-5))
    error = refused.value
    assert (error.field, error.value) == ("amount", "-5")
    assert error.reason
    assert "amount" not in error.reason
    assert str(error) == f"amount -5: {error.reason}. {error.hint}"


async def test_a_mistake_of_the_caller_stays_what_it_is(database: Database) -> None:
    with pytest.raises(DatabaseError, match="no_such_table"):
        await database.fetch("select * from no_such_table")
    with pytest.raises(ZeroDivisionError):
        async with database.connection():
            _ = 1 // 0
    with pytest.raises(FileNotFoundError):  # an OSError, and none of the connection's
        async with database.connection():
            open("/does/not/exist")  # noqa: ASYNC230, PTH123, SIM115
    assert database.state is ConnectionState.CONNECTED


# Reaching the server


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(ConnectionLostError) as lost:
        await Database.open("postgresql://ann:secret@127.0.0.1:9/trading_db", connect_timeout=2)
    assert "trading_db on 127.0.0.1:9" in str(lost.value)
    assert "secret" not in str(lost.value)
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        await connect("postgresql://pitside@/trading_db?host=/does/not/exist")


async def test_a_server_that_refuses_is_another_matter_than_one_that_is_away(database_url: str) -> None:
    with pytest.raises(ServerError, match=r'database "nowhere" does not exist.*Create it, or name another'):
        await Database.open(database_url.replace(database_url.split("/")[3].split("?")[0], "nowhere"))
    with pytest.raises(ServerError, match="refuses the log-in"):
        await Database.open(database_url.replace("pitside@", "stranger:secret@"))


async def test_a_server_that_does_not_answer_costs_no_more_than_the_timeout(proxy: Proxy) -> None:
    proxy.freeze()
    started = time.monotonic()
    with pytest.raises(ConnectionLostError, match="did not answer in time"):
        await Database.open(proxy.url, connect_timeout=0.2)
    assert time.monotonic() - started < 2


async def test_a_version_that_is_too_old_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("db.database.SUPPORTED", range(90, 92))
        with pytest.raises(ServerError, match="runs PostgreSQL 18; Pitside needs 90 to 91"):
            await Database.open(database_url)
        with pytest.raises(ServerError, match="Pitside needs 90 to 91"):
            await connect(database_url)


# Losing it and getting it back


async def test_a_lost_server_is_told_and_comes_back_by_itself(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[ConnectionState] = []
    async with await Database.open(proxy.url) as database:
        database.add_state_listener(states.append)
        await proxy.refuse()
        await until(lambda: database.state is ConnectionState.RECONNECTING)
        with pytest.raises(ConnectionLostError, match="cannot be reached"):
            await database.fetchval("select 1")
        with pytest.raises(ConnectionLostError, match=r"has not come back within 0\.05 seconds"):
            await database.wait_until_connected(within=0.05)
        await proxy.accept()
        await database.wait_until_connected(within=5)
        assert await database.fetchval("select 1") == 1
    assert states == [ConnectionState.RECONNECTING, ConnectionState.CONNECTED]
    # What the driver logs would be written across the terminal's screen.
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_one_broken_connection_of_many_is_replaced(database: Database) -> None:
    assert await database.fetchval("select 1") == 1
    with pytest.raises(ConnectionLostError):
        await database.fetchval("select pg_terminate_backend(pg_backend_pid())")
    await database.wait_until_connected(within=5)
    assert await asyncio.gather(*(database.fetchval("select 1") for _ in range(20))) == [1] * 20


async def test_a_connection_that_breaks_in_a_transaction_leaves_nothing_behind(database: Database) -> None:
    await database.execute("create table t (n integer)")

    async def insert_and_break() -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into t values (1)")
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(ConnectionLostError):
        await insert_and_break()
    assert await database.fetchval("select count(*) from t") == 0


async def test_a_frozen_server_is_a_lost_connection_for_who_says_how_long_to_wait(proxy: Proxy) -> None:
    async with await Database.open(proxy.url, pool_max=2) as database:
        assert await database.fetchval("select 1", within=5) == 1
        proxy.freeze()
        started = time.monotonic()
        with pytest.raises(ConnectionLostError, match=r"has not answered for 0\.2 seconds"):
            await database.fetchval("select 1", within=0.2)
        assert time.monotonic() - started < 2
        assert database.state is ConnectionState.RECONNECTING
        proxy.thaw()
        await database.wait_until_connected(within=5)
        assert await database.fetchval("select 1", within=5) == 1


async def test_closing_does_not_wait_for_a_frozen_server(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.database.CLOSE_TIMEOUT", 0.2)
    database = await Database.open(proxy.url)
    hanging: asyncio.Task[int] = asyncio.create_task(database.fetchval("select 1"))
    proxy.freeze()
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await database.close()
    assert time.monotonic() - started < 2
    proxy.thaw()
    (outcome,) = await asyncio.gather(hanging, return_exceptions=True)
    assert outcome == 1 or isinstance(outcome, PitsideError)


async def test_a_listener_that_is_taken_away_hears_no_more(proxy: Proxy) -> None:
    heard: list[ConnectionState] = []
    async with await Database.open(proxy.url) as database:
        remove = database.add_state_listener(heard.append)
        remove()
        remove()
        await proxy.refuse()
        await until(lambda: database.state is ConnectionState.RECONNECTING)
    assert heard == []


async def test_an_open_transaction_ends_with_the_use_of_its_connection(database_url: str) -> None:
    async with await Database.open(database_url, pool_max=1) as database:
        async with database.connection() as connection:
            await connection.execute("begin; create table t (n integer)")
        assert await database.fetchval("select to_regclass('t')") is None


async def test_a_user_who_is_refused_when_the_server_is_back_is_told_so_and_not_kept_waiting(
    database: Database, database_url: str
) -> None:
    jo = await People(database, database_url).add()
    async with jo.opened() as own:
        async with subscribe(own, [jo.account], 0.01) as stream:
            assert isinstance(await anext(stream), Changes)
            await users.disable(database, jo.username)

            async def until_refused() -> None:
                async for _event in stream:
                    pass

            with pytest.raises(LoginError, match="not permitted to log in"):
                await asyncio.wait_for(until_refused(), 10)
        with pytest.raises(LoginError, match="not permitted to log in") as refused:
            await own.wait_until_connected(within=10)
        assert own.state is ConnectionState.RECONNECTING
        assert refused.value.sqlstate == "28000"


# URLs as people see them


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@db.example/x", "postgresql://ann:***@db.example/x"),
        ("postgresql://ann:se/cr@et@db.example/x", "postgresql://ann:***@db.example/x"),
        ("postgresql://ann@db.example:5432/x", "postgresql://ann@db.example:5432/x"),
        (
            "postgresql://db.example/x?password=secret&user=ann",
            "postgresql://db.example/x?password=***&user=ann",
        ),
        ("host=db.example password='se cret' user=ann", "host=db.example password=*** user=ann"),
        ("ann:secret@db.example", "ann:***@db.example"),
    ],
)
def test_no_password_shows(url: str, shown: str) -> None:
    assert mask(url) == shown
    assert "cret" not in describe(url)


@given(st.text(), st.text(), st.sampled_from(["postgresql://ann:", "ann:", "mysql://", "postgresql://:"]))
def test_no_password_shows_however_it_is_written(start: str, end: str, before: str) -> None:
    if ":" not in before.partition("//")[2] and before != "ann:":
        before += "ann:"
    assert "§" not in mask(f"{before}{start}§{end}@db.example/x")


def test_where_a_url_leads() -> None:
    assert describe("postgresql://ann:secret@db.example:6000/x") == "x on db.example:6000"
    assert describe("postgresql://pitside@/trading_db?host=%2Frun%2Fp&port=5432") == "trading_db on /run/p"
    assert describe("postgresql://db.example") == "the default database on db.example:5432"
