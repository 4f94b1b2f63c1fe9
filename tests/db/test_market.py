from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from db import instruments, market, orders
from db.database import Database
from db.errors import RequestError
from db.market import Candle, Level
from db.orders import OrderRequest
from tests.factories import make_account, make_instrument


def _utc(year: int, month: int, day: int) -> datetime:
    """A day's start as the database keeps it: UTC without a zone."""
    return datetime(year, month, day, tzinfo=UTC).replace(tzinfo=None)


DAY = _utc(2026, 1, 5)  # a Monday


async def _limit(db: Database, account: int, instrument: int, side: str, quantity: str, price: str) -> None:
    await orders.place(
        db, OrderRequest(account, instrument, "limit", side, Decimal(quantity), Decimal(price))
    )


async def test_the_book_has_both_sides_best_first_and_as_deep_as_asked(database: Database) -> None:
    acme = await make_instrument(database, "ACME")
    maker = await make_account(database, cash="1000000", account_type="margin")
    for price in ("99", "98", "98", "97"):
        await _limit(database, maker, acme, "buy", "5", price)
    for price in ("102", "101"):
        await _limit(database, maker, acme, "sell", "7", price)

    book = await market.book(database, acme, depth=2)
    assert book.bids == (Level(Decimal(99), Decimal(5), 1), Level(Decimal(98), Decimal(10), 2))
    assert book.asks == (Level(Decimal(101), Decimal(7), 1), Level(Decimal(102), Decimal(7), 1))
    assert book.spread == Decimal(2)


async def test_an_empty_book_has_no_spread_and_an_unknown_one_is_an_error(database: Database) -> None:
    empty = await market.book(database, await make_instrument(database))
    assert (empty.bids, empty.asks, empty.spread) == ((), (), None)
    with pytest.raises(RequestError, match="instrument_id 4711"):
        await market.book(database, 4711)


async def test_tickers_say_none_where_there_is_nothing(database: Database) -> None:
    acme = await make_instrument(database, "ACME")
    quiet = await make_instrument(database, "QUIET")
    maker = await make_account(database, cash="1000000", account_type="margin")
    taker = await make_account(database, cash="10000")
    await _limit(database, maker, acme, "sell", "7", "101")
    await _limit(database, taker, acme, "buy", "3", "101")

    tickers = await market.tickers(database)
    ticker = tickers[acme]
    assert (ticker.symbol, ticker.bid, ticker.ask, ticker.ask_size) == (
        "ACME",
        None,
        Decimal(101),
        Decimal(4),
    )
    assert (ticker.last, ticker.volume) == (Decimal(101), Decimal(3))
    assert ticker.last_at is not None
    assert abs(datetime.now(UTC).replace(tzinfo=None) - ticker.last_at) < timedelta(minutes=1)
    assert (tickers[quiet].bid, tickers[quiet].ask, tickers[quiet].last) == (None, None, None)


async def _bars(db: Database, instrument: int, *bars: tuple[datetime, str]) -> None:
    await db.executemany(
        """
        insert into market_data (time, instrument_id, open, high, low, close, volume)
        values ($1, $2, $3, $4, $5, $3, 10)""",
        [(time, instrument, Decimal(price), Decimal(price) + 1, Decimal(price) - 1) for time, price in bars],
    )


async def test_candles_of_a_timeframe_by_name_or_length(database: Database) -> None:
    acme = await make_instrument(database)
    minute = timedelta(minutes=1)
    await _bars(database, acme, (DAY, "100"), (DAY + minute, "103"), (DAY + 5 * minute, "90"))

    by_name = await market.candles(database, acme, "5m", DAY, DAY + timedelta(hours=1))
    assert by_name == [
        Candle(DAY, Decimal(100), Decimal(104), Decimal(99), Decimal(103), Decimal(20)),
        Candle(DAY + 5 * minute, Decimal(90), Decimal(91), Decimal(89), Decimal(90), Decimal(10)),
    ]
    assert await market.candles(database, acme, 5 * minute, DAY, DAY + timedelta(hours=1)) == by_name
    assert [c.time for c in await market.candles(database, acme, "1m", DAY, DAY + 2 * minute)] == [
        DAY,
        DAY + minute,
    ]


@pytest.mark.parametrize(
    ("timeframe", "starts"),
    [
        ("1d", [_utc(2026, 1, 5), _utc(2026, 2, 2)]),
        ("1w", [_utc(2026, 1, 5), _utc(2026, 2, 2)]),
        ("1M", [_utc(2026, 1, 1), _utc(2026, 2, 1)]),
    ],
)
async def test_weeks_start_on_monday_and_months_on_the_first(
    database: Database, timeframe: str, starts: list[datetime]
) -> None:
    acme = await make_instrument(database)
    await _bars(database, acme, (DAY, "100"), (DAY + timedelta(days=28), "110"))
    candles = await market.candles(
        database,
        acme,
        timeframe,
        _utc(2026, 1, 1),
        _utc(2026, 3, 1),
    )
    assert [candle.time for candle in candles] == starts


async def test_a_timeframe_that_is_none_and_a_time_with_a_zone_are_refused(database: Database) -> None:
    with pytest.raises(RequestError, match=r"interval 7m: is no timeframe. Use one of 1m, 5m") as refused:
        await market.candles(database, 1, "7m", DAY, DAY)
    assert refused.value.field == "interval"
    with pytest.raises(
        TypeError, match=r"start is 2026-01-05 00:00:00\+00:00: pass it in UTC without a zone"
    ):
        await market.candles(database, 1, "1m", DAY.replace(tzinfo=UTC), DAY)


async def test_instruments_are_found_in_any_case_and_near_ones_are_named(database: Database) -> None:
    acme = await instruments.add(
        database, symbol="ACME", name="Acme Inc.", instrument_type="share", tick_size=Decimal("0.01")
    )
    assert await instruments.by_symbol(database, "acme") == acme
    assert (acme.tick_size, acme.lot_size, acme.currency, acme.is_active) == (
        Decimal("0.01"),
        None,
        "USD",
        True,
    )
    with pytest.raises(
        RequestError, match=r"symbol ACMI: there is no such instrument. Did you mean ACME"
    ) as unknown:
        await instruments.by_symbol(database, "ACMI")
    assert unknown.value.field == "symbol"
    with pytest.raises(RequestError, match="symbol ACME: there is an instrument of that symbol"):
        await instruments.add(database, symbol="ACME", name="Another", instrument_type="share")
    with pytest.raises(TypeError, match="tick_size"):
        await instruments.add(database, symbol="B", name="B", instrument_type="share", tick_size=0.01)  # type: ignore[arg-type]


async def test_instruments_come_by_symbol_and_inactive_ones_only_when_asked_for(database: Database) -> None:
    await make_instrument(database, "ZED")
    await make_instrument(database, "ABC")
    await make_instrument(database, "OLD", active=False)
    assert [i.symbol for i in await instruments.list_all(database)] == ["ABC", "OLD", "ZED"]
    assert [i.symbol for i in await instruments.list_all(database, active_only=True)] == ["ABC", "ZED"]
