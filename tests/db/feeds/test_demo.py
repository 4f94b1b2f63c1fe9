"""The demo market: there after one call, once, whole."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from db import accounts, instruments, market
from db.database import Database
from db.feeds import demo
from db.feeds.catalogue import LISTINGS
from db.settings import SimulationSettings
from tests.factories import make_instrument

SETTINGS = SimulationSettings()


async def test_two_at_once_set_up_one_demo_and_the_books_are_right(database: Database) -> None:
    begun = time.monotonic()
    done = await asyncio.gather(demo.ensure(database, SETTINGS), demo.ensure(database, SETTINGS))
    assert time.monotonic() - begun < 10  # 3 are promised on a quiet machine
    assert sorted(done) == [False, True]
    assert await demo.ensure(database, SETTINGS) is False

    listed = {instrument.symbol: instrument for instrument in await instruments.list_all(database)}
    assert set(listed) == {listing.symbol for listing in LISTINGS}
    assert {instrument.instrument_type for instrument in listed.values()} == {
        "share",
        "etf",
        "currency_pair",
        "crypto",
    }
    trader, maker = await accounts.list_all(database)  # the trader's is the first: the terminal's default
    assert (trader.account_number, trader.username, trader.account_type) == ("DEMO", "demo", "cash")
    held = {position.symbol: position for position in await accounts.positions(database, trader.account_id)}
    assert {symbol: position.quantity for symbol, position in held.items()} == dict(demo.HOLDINGS)
    assert trader.balance == sum(demo.DEPOSITS) - sum(position.cost for position in held.values())
    sold = await accounts.positions(database, maker.account_id)
    assert {position.symbol: -position.quantity for position in sold} == dict(demo.HOLDINGS)
    assert await database.fetch("select * from verify_ledger()") == []
    assert await database.fetchval("select bool_and(password_hash = '!') from users")

    now = datetime.now(UTC).replace(tzinfo=None)
    tickers = await market.tickers(database)
    for listing in LISTINGS:
        key = listed[listing.symbol].instrument_id
        assert tickers[key].last == listing.price
        minutes = await market.candles(database, key, "1m", now - timedelta(hours=3), now)
        days = await market.candles(database, key, "1d", now - timedelta(days=200), now)
        assert len(minutes) >= 178
        assert len(days) >= 199


async def test_a_database_with_an_instrument_is_left_alone(database: Database) -> None:
    await make_instrument(database, "ACME")
    assert await demo.ensure(database, SETTINGS) is False
    assert [instrument.symbol for instrument in await instruments.list_all(database)] == ["ACME"]
    assert await accounts.list_all(database) == []


async def test_one_that_fails_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "HOLDINGS", (("AAPL", Decimal("0.5")),))  # less than its lot
    with pytest.raises(Exception, match="quantity"):
        await demo.ensure(database, SETTINGS)
    assert await instruments.list_all(database) == []
    assert await database.fetchval("select count(*) from market_data") == 0
