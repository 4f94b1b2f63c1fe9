"""What the market shows to everyone: books, prices, candles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from db.database import ANSWER_TIMEOUT, Database
from db.errors import RequestError
from db.values import utc

# Timeframes by the names that traders use. A month is no fixed time, so it is a word that Postgres
# understands.
INTERVALS: dict[str, timedelta | str] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
    "1M": "1 month",
}


@dataclass(frozen=True, slots=True)
class Level:
    """One price of a book: the quantity that rests there and the number of orders."""

    price: Decimal
    quantity: Decimal
    orders: int


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides of an instrument's book, best price first."""

    instrument_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def spread(self) -> Decimal | None:
        """Best ask minus best bid, or None while a side is empty."""
        return self.asks[0].price - self.bids[0].price if self.bids and self.asks else None


@dataclass(frozen=True, slots=True)
class Ticker:
    """An instrument's prices now; None where there is none. `last_at` is UTC, `volume` that of the day
    (UTC)."""

    instrument_id: int
    symbol: str
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    last: Decimal | None
    last_at: datetime | None
    previous_close: Decimal | None
    volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Candle:
    """What happened in one interval from `time` (UTC) on."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


async def book(db: Database, instrument_id: int, depth: int = 20) -> Book:
    """The book, `depth` levels a side. Raises RequestError for an unknown instrument."""
    rows = await db.fetch(
        "select side, price, quantity, orders from order_book($1, $2)",
        instrument_id,
        depth,
        within=ANSWER_TIMEOUT,
    )
    sides: dict[str, list[Level]] = {"buy": [], "sell": []}
    for row in rows:
        sides[row["side"]].append(Level(row["price"], row["quantity"], row["orders"]))
    return Book(instrument_id, tuple(sides["buy"]), tuple(sides["sell"]))


async def tickers(db: Database) -> dict[int, Ticker]:
    """Every instrument's prices, by instrument id."""
    rows = await db.fetch(
        """
        select instrument_id, symbol, bid, bid_size, ask, ask_size, last, last_at, previous_close, volume
        from tickers()""",
        within=ANSWER_TIMEOUT,
    )
    return {row["instrument_id"]: Ticker(**row) for row in rows}


async def candles(
    db: Database, instrument_id: int, interval: timedelta | str, start: datetime, end: datetime
) -> list[Candle]:
    """The candles from `start` on and before `end` (UTC, without a zone), oldest first.

    `interval` is a timedelta or a name in `INTERVALS`. Raises RequestError for a name that is not there.
    """
    length = interval if isinstance(interval, timedelta) else INTERVALS.get(interval)
    if length is None:
        raise RequestError("interval", interval, "is no timeframe", f"Use one of {', '.join(INTERVALS)}.")
    # As text, because the driver writes only a timedelta as an interval, and a month is none.
    text = length if isinstance(length, str) else f"{length.total_seconds():f} seconds"
    rows = await db.fetch(
        """
        select time, open, high, low, close, volume
        from candles($1, $2::text::interval, $3, $4) order by time""",
        instrument_id,
        text,
        utc("start", start),
        utc("end", end),
        within=ANSWER_TIMEOUT,
    )
    return [Candle(**row) for row in rows]
