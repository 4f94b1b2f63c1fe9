"""Reads from the data layer what a screen shows, as the plain values of `terminal.state`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

from db import accounts, instruments, market, orders
from db.database import Database
from terminal.state import (
    Account,
    AccountChoice,
    Book,
    Candle,
    Candles,
    Instrument,
    Level,
    Position,
    Quote,
    Side,
    WorkingOrder,
)

CANDLES = 400
"""How many candles are kept for a chart: more than the widest screen has columns."""
FEW = 60
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440, "1w": 10_080, "1M": 44_640}
# Markets close at night and over weekends: when a span holds only few candles, a wider one is read.
WIDER = (1.2, 8, 60)
EARLIEST = datetime(1990, 1, 1)  # noqa: DTZ001 - the database speaks naive UTC


async def all_instruments(db: Database) -> tuple[tuple[Instrument, ...], dict[int, Instrument]]:
    """What can be traded, by symbol; and everything there is, by id: a position may outlive its listing."""
    listed, known = [], {}
    for found in await instruments.list_all(db):
        instrument = Instrument(
            instrument_id=found.instrument_id,
            symbol=found.symbol,
            name=found.name,
            kind=found.instrument_type,
            currency=found.currency,
            tick=found.tick_size,
            lot=found.lot_size,
        )
        known[instrument.instrument_id] = instrument
        if found.is_active:
            listed.append(instrument)
    return tuple(listed), known


async def quotes(db: Database) -> dict[int, Quote]:
    """Everybody's prices, by instrument id."""
    return {
        number: Quote(number, found.bid, found.ask, found.last, found.previous_close, found.volume)
        for number, found in (await market.tickers(db)).items()
    }


async def book(db: Database, instrument_id: int, depth: int) -> Book:
    """The book, nobody's orders marked yet."""
    found = await market.book(db, instrument_id, depth)
    return Book(
        instrument_id,
        bids=tuple(Level(level.price, level.quantity, level.orders) for level in found.bids),
        asks=tuple(Level(level.price, level.quantity, level.orders) for level in found.asks),
    )


def with_own(found: Book, working: tuple[WorkingOrder, ...]) -> Book:
    """The book with what is one's own marked at each level."""
    own: dict[tuple[Side, Decimal], Decimal] = {}
    for order in working:
        if (
            order.instrument.instrument_id == found.instrument_id
            and order.price is not None
            and order.status != "pending"
        ):
            key = (order.side, order.price)
            own[key] = own.get(key, Decimal(0)) + order.remaining

    def marked(side: Side, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        return tuple(
            # The orders may have been read a moment later than the book: never more than there is.
            replace(level, own=min(mine, level.quantity)) if (mine := own.get((side, level.price))) else level
            for level in levels
        )

    return replace(found, bids=marked("buy", found.bids), asks=marked("sell", found.asks)) if own else found


async def account_choices(db: Database) -> tuple[tuple[AccountChoice, ...], dict[int, accounts.Account]]:
    """The accounts that this user may look at, in the order in which they were opened; and as they are read,
    by id."""
    known = {found.account_id: found for found in await accounts.list_all(db)}
    choices = tuple(
        AccountChoice(
            account_id=found.account_id,
            number=found.account_number,
            owner=found.username,
            kind=found.account_type,
            currency=found.currency,
            balance=found.balance,
            status=found.status,
        )
        for found in known.values()
    )
    return choices, known


async def account(db: Database, found: accounts.Account, rates: accounts.FeeRates) -> Account:
    """The account with its money now."""
    now = await accounts.summary(db, found.account_id)
    return Account(
        account_id=found.account_id,
        number=found.account_number,
        kind=found.account_type,
        currency=found.currency,
        balance=now.balance,
        reserved=now.reserved,
        available=now.available,
        equity=now.equity,
        unrealized=now.unrealized_pnl,
        realized=now.realized_pnl,
        commissions=now.commissions,
        buying_power=now.buying_power,
        margin_call=now.margin_call,
        maker_rate=rates.maker,
        taker_rate=rates.taker,
    )


async def positions(db: Database, account_id: int, known: dict[int, Instrument]) -> tuple[Position, ...]:
    """What the account holds, and what it has made on what it held."""
    nothing = Decimal(0)
    return tuple(
        Position(
            instrument=known[found.instrument_id],
            quantity=found.quantity,
            average=found.average_price,
            mark=found.mark,
            market_value=found.market_value or nothing,
            unrealized=found.unrealized_pnl or nothing,
            realized=found.realized_pnl,
        )
        for found in await accounts.positions(db, account_id)
        if found.instrument_id in known
    )


async def working_orders(
    db: Database, account_id: int, known: dict[int, Instrument]
) -> tuple[WorkingOrder, ...]:
    """The account's orders that can still fill."""
    return tuple(
        WorkingOrder(
            order_id=found.order_id,
            instrument=known[found.instrument_id],
            side=cast(Side, found.side),
            order_type=found.order_type,
            quantity=found.quantity,
            filled=found.filled_quantity,
            price=found.price,
            stop_price=found.stop_price,
            status=found.status,
            time_in_force=found.time_in_force,
            created_at=found.created_at.replace(tzinfo=UTC),
        )
        for found in await orders.working(db, account_id)
        if found.instrument_id in known
    )


async def candles(db: Database, instrument_id: int, timeframe: str) -> Candles:
    """The last candles of a timeframe."""
    end = _now() + timedelta(minutes=1)
    found: list[market.Candle] = []
    for factor in WIDER:
        start = max(EARLIEST, end - timedelta(minutes=MINUTES[timeframe] * CANDLES * factor))
        found = await market.candles(db, instrument_id, timeframe, start, end)
        if len(found) >= FEW:
            break
    return Candles(instrument_id, timeframe, tuple(_candle(one) for one in found[-CANDLES:]))


async def newer_candles(db: Database, known: Candles) -> Candles:
    """The same with what has happened since its last candle began."""
    if not known.candles:
        return await candles(db, known.instrument_id, known.timeframe)
    start = known.candles[-1].time.replace(tzinfo=None)
    found = await market.candles(
        db, known.instrument_id, known.timeframe, start, _now() + timedelta(minutes=1)
    )
    fresh = tuple(_candle(one) for one in found)
    if not fresh or fresh == known.candles[-1:]:
        return known
    return replace(known, candles=(*known.candles[:-1], *fresh)[-CANDLES:])


def _candle(found: market.Candle) -> Candle:
    return Candle(
        found.time.replace(tzinfo=UTC), found.open, found.high, found.low, found.close, found.volume
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
