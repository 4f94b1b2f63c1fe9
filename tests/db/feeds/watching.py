"""What tests of the participants look at while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal

from db import market
from db.database import Database
from tests.factories import make_instrument

RESTING = """
    select count(*) from orders o join accounts a using (account_id)
    where o.status in ('pending', 'open', 'partially_filled') and a.account_number like 'SIM-%'
      and o.instrument_id = coalesce($1, o.instrument_id)
"""


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    """Wait for something that is about to happen."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.05)


async def listed(database: Database, symbol: str, price: str, **options: str | None) -> int:
    """An instrument that has traded at a price before."""
    key = await make_instrument(database, symbol, **options)  # type: ignore[arg-type]
    await database.execute(
        "insert into market_data (time, instrument_id, open, high, low, close, volume)"
        " values ($1, $2, $3, $3, $3, $3, 1)",
        datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0),
        key,
        Decimal(price),
    )
    return key


async def has_both_sides(database: Database, key: int, levels: int = 4) -> bool:
    book = await market.book(database, key)
    return min(len(book.bids), len(book.asks)) >= levels


async def resting(database: Database, key: int | None = None) -> int:
    count: int = await database.fetchval(RESTING, key)
    return count
