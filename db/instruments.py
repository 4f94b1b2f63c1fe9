"""What can be traded."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from decimal import Decimal

from db.database import ANSWER_TIMEOUT, Database, Record
from db.errors import RequestError
from db.values import exact_or_none

_SELECT = """
    select instrument_id, symbol, name, instrument_type, exchange, currency, tick_size, lot_size, is_active
    from instruments"""


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument; prices are multiples of `tick_size`, quantities of `lot_size`, where it has them (rule
    2)."""

    instrument_id: int
    symbol: str
    name: str
    instrument_type: str
    exchange: str | None
    currency: str
    tick_size: Decimal | None
    lot_size: Decimal | None
    is_active: bool


async def list_all(db: Database, *, active_only: bool = False) -> list[Instrument]:
    """All instruments by symbol."""
    rows = await db.fetch(
        f"{_SELECT} where is_active or not $1 order by symbol",
        active_only,
        within=ANSWER_TIMEOUT,
    )
    return [_instrument(row) for row in rows]


async def by_symbol(db: Database, symbol: str) -> Instrument:
    """The instrument of that symbol, in any case. Raises RequestError with what is near when there is
    none."""
    row = await db.fetchrow(
        f"{_SELECT} where upper(symbol) = upper($1) order by symbol <> $1 limit 1",
        symbol,
        within=ANSWER_TIMEOUT,
    )
    if row is not None:
        return _instrument(row)
    symbols = [
        r["symbol"]
        for r in await db.fetch("select symbol from instruments order by symbol", within=ANSWER_TIMEOUT)
    ]
    near = difflib.get_close_matches(symbol.upper(), symbols) or symbols[:8]
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "There are no instruments yet: trade demo sets some up."
    )
    raise RequestError("symbol", symbol, "there is no such instrument", hint)


async def add(
    db: Database,
    *,
    symbol: str,
    name: str,
    instrument_type: str,
    exchange: str | None = None,
    currency: str = "USD",
    tick_size: Decimal | None = None,
    lot_size: Decimal | None = None,
) -> Instrument:
    """Add an instrument, as the owner; it is open for orders at once.

    Raises RequestError for a symbol that is taken, and for words and steps that will not do.
    """
    await db.execute(
        "select instrument_add($1, $2, $3, $4, $5, $6, $7)",
        symbol,
        name,
        instrument_type,
        exchange,
        currency,
        exact_or_none("tick_size", tick_size),
        exact_or_none("lot_size", lot_size),
        within=ANSWER_TIMEOUT,
    )
    return await by_symbol(db, symbol)


async def change(
    db: Database,
    symbol: str,
    *,
    name: str | None = None,
    instrument_type: str | None = None,
    exchange: str | None = None,
    tick_size: Decimal | None = None,
    lot_size: Decimal | None = None,
) -> Instrument:
    """Change what is given of an instrument, as the owner; None leaves a field as it is.

    Raises RequestError for an unknown symbol, and for a tick or lot that its orders do not fit.
    """
    found = await by_symbol(db, symbol)
    await db.execute(
        "select instrument_set($1, $2, $3, $4, $5, $6)",
        found.symbol,
        name,
        instrument_type,
        exchange,
        exact_or_none("tick_size", tick_size),
        exact_or_none("lot_size", lot_size),
        within=ANSWER_TIMEOUT,
    )
    return await by_symbol(db, found.symbol)


async def halt(db: Database, symbol: str) -> bool:
    """Take no more orders for an instrument, as the owner; cancels still work. False: it was halted already.

    Raises RequestError for an unknown symbol.
    """
    return await _switch(db, "select instrument_halt($1)", symbol)


async def resume(db: Database, symbol: str) -> bool:
    """Open a halted instrument for orders again, as the owner. False: it was open.

    Raises RequestError for an unknown symbol.
    """
    return await _switch(db, "select instrument_resume($1)", symbol)


async def _switch(db: Database, call: str, symbol: str) -> bool:
    found = await by_symbol(db, symbol)  # in any case, and with what is near where there is none
    changed: bool = await db.fetchval(call, found.symbol, within=ANSWER_TIMEOUT)
    return changed


def _instrument(row: Record) -> Instrument:
    return Instrument(**row)
