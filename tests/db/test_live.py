from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from db import accounts, orders
from db.database import ConnectionState, Database
from db.errors import DatabaseError
from db.live import Changes, Stream, subscribe
from db.orders import OrderRequest
from tests.factories import make_account, make_instrument
from tests.proxy import Proxy


async def _next(stream: Stream, within: float = 5.0) -> Changes | ConnectionState:
    async with asyncio.timeout(within):
        return await anext(stream)


async def _changes(stream: Stream) -> tuple[set[int], set[int]]:
    event = await _next(stream)
    assert isinstance(event, Changes)
    return set(event.instruments), set(event.accounts)


async def _buy(db: Database, account: int, instrument: int) -> None:
    await orders.place(db, OrderRequest(account, instrument, "limit", "buy", Decimal(1), Decimal(90)))


async def test_the_first_look_names_everything_and_then_only_what_changed(database: Database) -> None:
    acme, other = await make_instrument(database), await make_instrument(database)
    mine, theirs = await make_account(database), await make_account(database)
    async with subscribe(database, [mine], 0.02) as stream:
        assert await _changes(stream) == ({acme, other}, {mine})
        await _buy(database, mine, acme)
        assert await _changes(stream) == ({acme}, {mine})
        await _buy(database, theirs, other)
        assert await _changes(stream) == ({other}, set())


async def test_nothing_comes_while_nothing_changes(database: Database) -> None:
    await make_instrument(database)
    async with subscribe(database, [], 0.02) as stream:
        await _changes(stream)
        with pytest.raises(TimeoutError):
            await _next(stream, within=0.2)


async def test_whatever_happened_since_the_last_look_is_one_event(database: Database) -> None:
    acme, other = await make_instrument(database), await make_instrument(database)
    mine = await make_account(database)
    async with subscribe(database, [mine], 0.02) as stream:
        await _changes(stream)
        for _ in range(5):
            await _buy(database, mine, acme)
            await _buy(database, mine, other)
        assert await _changes(stream) == ({acme, other}, {mine})
        with pytest.raises(TimeoutError):
            await _next(stream, within=0.1)


async def test_giving_up_on_waiting_loses_nothing(database: Database) -> None:
    acme, mine = await make_instrument(database), await make_account(database)
    async with subscribe(database, [mine], 0.01) as stream:
        await _changes(stream)
        await _buy(database, mine, acme)
        for patience in (0.0, 0.001, 0.002, 0.004):
            try:
                event = await _next(stream, within=patience)
            except TimeoutError:
                continue
            break
        else:
            event = await _next(stream)
        assert isinstance(event, Changes)
        assert event.instruments == {acme}


async def test_an_account_that_is_followed_from_now_on_counts_as_changed(database: Database) -> None:
    mine, next_one = await make_account(database), await make_account(database)
    async with subscribe(database, [mine], 0.02) as stream:
        assert await _changes(stream) == (set(), {mine})
        stream.watch([next_one])
        assert await _changes(stream) == (set(), {next_one})
        await accounts.deposit(database, mine, Decimal(1))
        await accounts.deposit(database, next_one, Decimal(1))
        assert await _changes(stream) == (set(), {next_one})


async def test_a_broken_connection_is_told_and_after_it_everything_counts_as_changed(proxy: Proxy) -> None:
    async with await Database.open(proxy.url) as db:
        acme, mine = await make_instrument(db), await make_account(db)
        async with subscribe(db, [mine], 0.02) as stream:
            await _changes(stream)
            await proxy.refuse()
            assert await _next(stream) is ConnectionState.RECONNECTING
            with pytest.raises(TimeoutError):
                await _next(stream, within=0.3)
            await proxy.accept()
            assert await _next(stream) is ConnectionState.CONNECTED
            assert await _changes(stream) == ({acme}, {mine})


async def test_a_frozen_server_is_noticed_by_the_heartbeat(proxy: Proxy) -> None:
    async with await Database.open(proxy.url) as db:
        acme = await make_instrument(db)
        async with subscribe(db, [], 0.02, heartbeat=0.2) as stream:
            await _changes(stream)
            proxy.freeze()
            assert await _next(stream, within=1.0) is ConnectionState.RECONNECTING
            assert db.state is ConnectionState.RECONNECTING
            proxy.thaw()
            assert await _next(stream) is ConnectionState.CONNECTED
            assert await _changes(stream) == ({acme}, set())


async def test_a_look_that_the_database_refuses_is_an_error_and_no_lost_connection(
    database: Database,
) -> None:
    await database.execute("drop function live_versions(bigint[])")
    async with subscribe(database) as stream:
        with pytest.raises(DatabaseError, match="live_versions"):
            await _next(stream)


async def test_leaving_gives_the_connection_back(database: Database) -> None:
    count = "select count(*) from pg_stat_activity where datname = current_database()"
    before = await database.fetchval(count)
    async with subscribe(database, [], 0.02) as stream:
        await make_instrument(database)
        await _changes(stream)
        assert await database.fetchval(count) == before + 1
    async with asyncio.timeout(5):
        while await database.fetchval(count) != before:  # noqa: ASYNC110 – the server takes its time
            await asyncio.sleep(0.01)
