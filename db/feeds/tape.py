"""Plays recorded order flow into an instrument's book.

New orders rest under one account of the tape; executions come as opposite IOC orders of another. Whoever
else stands in the book trades with both. Simulated participants stay out of the instrument meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from db import orders
from db.database import ANSWER_TIMEOUT, Database
from db.errors import PitsideError, RequestError
from db.feeds import locks, participants
from db.feeds.lobster import Message, MessageType, TapeFileError
from db.feeds.recorded import RecordedBook, RecordedOrder
from db.instruments import Instrument
from db.orders import Order, OrderRequest

LEAVING = 15.0
"""Seconds that the simulated participants get to take their orders out of an instrument."""

OPPOSITE = {"buy": "sell", "sell": "buy"}

_SIMULATED_ORDERS = """
    select distinct o.account_id from orders o join accounts a using (account_id)
    where o.instrument_id = $1 and o.status in ('pending', 'open', 'partially_filled')
      and a.account_number ~ $2
"""

_MET = """
    select other.order_id, sum(other.quantity) as quantity
    from trades own join trades other on other.match_id = own.match_id and other.order_id <> own.order_id
    where own.order_id = $1 group by other.order_id
"""


class TapeRefusedError(PitsideError):
    """The exchange refused an order of the tape, so that its book cannot be built."""

    title = "The tape cannot go on"


@dataclass(slots=True)
class Report:
    """What became of a tape. Each execution of a visible order is counted once among the five outcomes."""

    symbol: str
    messages: int = 0
    """Messages played."""
    executions: int = 0
    """Executions of visible orders among them."""
    filled_named: int = 0
    """Filled the very order that the tape names, whole."""
    filled_others: int = 0
    """Filled, wholly or partly, somebody else's order that stood in front."""
    taken_before: int = 0
    """The named order, or a part of it, had been taken by somebody else before."""
    deviations: int = 0
    """By price and time another order of the tape was first, or the named one stood at another price or
    had less left: taken out without a trade."""
    unknown: int = 0
    """Named an order that the file does not hold."""
    hidden: int = 0
    """Executions of hidden orders, which leave the visible book alone."""
    crosses: int = 0
    """Auctions' trades, which leave it alone too."""
    halts: int = 0
    """Halts and resumptions."""
    unknown_changes: int = 0
    """Cancellations that name an order which the file does not hold."""
    stale: int = 0
    """Orders of the tape taken out because a later one crossed them: on the recorded exchange they were
    gone."""
    met_on_arrival: int = 0
    """New orders that traded with somebody else's order on arrival."""
    seconds: float = 0.0
    """How long it took."""
    stopped: bool = False
    """Whether it was stopped before its end."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return asdict(self) | {"seconds": round(self.seconds, 3), "rate": round(self.rate, 1)}


def check(messages: Sequence[Message], instrument: Instrument, name: str) -> None:
    """Refuse a tape that the instrument cannot take, before anything is sent. `name` stands for the file."""
    if not instrument.is_active:
        raise RequestError("symbol", instrument.symbol, "the instrument is not active, so it takes no orders")
    for message in messages:
        if message.type not in (MessageType.NEW, MessageType.EXECUTED):
            continue
        for unit, value, size in (
            ("tick size", message.price, instrument.tick_size),
            ("lot size", message.size, instrument.lot_size),
        ):
            if size and value % size:
                what = "price" if unit == "tick size" else "size"
                raise TapeFileError(
                    f"{name}, line {message.line}: {what} {value.normalize():f} is no multiple of "
                    f"{instrument.symbol}'s {unit} {size.normalize():f}; "
                    "play the tape into an instrument whose ticks and lots it fits"
                )


async def play(
    database: Database,
    instrument: Instrument,
    messages: Sequence[Message],
    *,
    name: str,
    speed: float | None = None,
    stop: asyncio.Event | None = None,
    progress: Callable[[int], None] = lambda _count: None,
) -> Report:
    """Play a tape into an instrument's book and say what became of it.

    `name` stands for the file in errors. `speed` is how many times faster than recorded, None as fast as it
    goes. `progress` is called with the number of messages played; `stop`, once set, ends the tape early. At
    the end, however it comes, the tape's orders are cancelled. Raises RequestError (the instrument takes no
    tape now), TapeFileError, TapeRefusedError, ConnectionLostError.
    """
    check(messages, instrument, name)
    async with _claimed(database, instrument) as session:
        async with database.transaction() as connection:
            resting, taking = [
                await participants.enrol(connection, role, instrument.currency)
                for role in (participants.TAPE_RESTING, participants.TAPE_TAKING)
            ]
        player = _Player(database, instrument, resting.account_id, taking.account_id, name)
        await player.clear()
        try:
            await player.run(messages, speed, stop or asyncio.Event(), progress, session)
        finally:
            await player.clear()
    return player.report


@asynccontextmanager
async def _claimed(database: Database, instrument: Instrument) -> AsyncIterator[locks.LockSession]:
    """The instrument, without the simulated participants."""
    key, symbol = instrument.instrument_id, instrument.symbol
    async with locks.LockSession.open(database) as session:
        taken = key in await locks.held_alone(database, locks.INSTRUMENT)
        if taken or not await session.wait_alone(locks.INSTRUMENT, key, LEAVING):
            if taken or key in await locks.held_alone(database, locks.INSTRUMENT):
                raise RequestError(
                    "symbol", symbol, "a tape is being played into it", "Wait for its end, or stop it."
                )
            raise RequestError(
                "symbol",
                symbol,
                f"the simulated participants have not left it within {LEAVING:g} seconds",
                "Stop them (trade simulate, or the terminal that drives them) and play the tape again.",
            )
        # Those that were killed have left their orders behind.
        for row in await database.fetch(
            _SIMULATED_ORDERS, key, participants.SIMULATED, within=ANSWER_TIMEOUT
        ):
            await orders.cancel_all(database, row["account_id"], key)
        yield session


@dataclass(slots=True)
class _Player:
    """Carries out one message after another."""

    database: Database
    instrument: Instrument
    resting_account: int
    taking_account: int
    name: str
    book: RecordedBook = field(default_factory=RecordedBook)
    own: set[int] = field(default_factory=set)
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.instrument.symbol)

    async def clear(self) -> None:
        """Cancel whatever the tape's accounts have resting in the instrument."""
        for account_id in (self.resting_account, self.taking_account):
            await orders.cancel_all(self.database, account_id, self.instrument.instrument_id)

    async def run(
        self,
        messages: Sequence[Message],
        speed: float | None,
        stop: asyncio.Event,
        progress: Callable[[int], None],
        session: locks.LockSession,
    ) -> None:
        """All messages, each when its time has come."""
        started = time.monotonic()
        try:
            for message in messages:
                if speed is not None:
                    due = started + float(message.seconds - messages[0].seconds) / speed
                    await _sleep_until(due, stop)
                if stop.is_set():
                    self.report.stopped = True
                    break
                session.require()
                await self._play(message)
                self.report.messages += 1
                progress(self.report.messages)
        finally:
            self.report.seconds = time.monotonic() - started

    async def _play(self, message: Message) -> None:
        match message.type:
            case MessageType.NEW:
                await self._new(message)
            case MessageType.REDUCED | MessageType.DELETED:
                await self._cancelled(message)
            case MessageType.EXECUTED:
                self.report.executions += 1
                await self._executed(message)
            case MessageType.HIDDEN:
                self.report.hidden += 1
            case MessageType.CROSS:
                self.report.crosses += 1
            case MessageType.HALT:
                self.report.halts += 1

    async def _new(self, message: Message) -> None:
        if self.book.get(message.order_id) is not None:
            raise TapeFileError(
                f"{self.name}, line {message.line}: order id {message.order_id} is in the book already"
            )
        # The record's book was not crossed, so what this order would meet of the tape's own had gone by then.
        for stale in self.book.crossed_by(message.side, message.price):
            await self._take_out(stale, None)
            self.report.stale += 1
        order = await self._place(message, self.resting_account, message.side, message.size, "GTC")
        self.report.met_on_arrival += bool(order.filled_quantity)
        self.book.add(message, order.order_id)
        self.own.add(order.order_id)

    async def _cancelled(self, message: Message) -> None:
        if self.book.get(message.order_id) is None:
            self.report.unknown_changes += 1
            return
        await self._take_out(message.order_id, None if message.type is MessageType.DELETED else message.size)

    async def _executed(self, message: Message) -> None:
        """An execution, sent as an IOC order where the named order is the next of the tape's to trade."""
        named = self.book.get(message.order_id)
        if named is None:
            self.report.unknown += 1
            return
        if (
            self.book.first(message.side) != message.order_id
            or named.price != message.price
            or named.remaining < message.size
        ):
            self.report.deviations += 1
            await self._take_out(message.order_id, message.size)
            return
        # What somebody else has taken of the named order is no longer there to be executed; sent all the
        # same it would reach the tape's next orders and put them out of step.
        size = min(message.size, await self._remaining(named))
        met: dict[int, Decimal] = {}
        if size:
            sent = await self._place(message, self.taking_account, OPPOSITE[message.side], size, "IOC")
            met = {
                row["order_id"]: row["quantity"]
                for row in await self.database.fetch(_MET, sent.order_id, within=ANSWER_TIMEOUT)
            }
        if met.get(named.order_id) == message.size:
            self.report.filled_named += 1
            self.book.take_out(message.order_id, message.size)
            return
        if any(order_id not in self.own for order_id in met):
            self.report.filled_others += 1
        else:
            self.report.taken_before += 1
        await self._take_out(message.order_id, message.size)

    async def _place(
        self,
        message: Message,
        account_id: int,
        side: str,
        size: Decimal,
        time_in_force: str,
    ) -> Order:
        order = await orders.place(
            self.database,
            OrderRequest(
                account_id=account_id,
                instrument_id=self.instrument.instrument_id,
                order_type="limit",
                side=side,
                quantity=size,
                price=message.price,
                time_in_force=time_in_force,
            ),
        )
        if order.status == "rejected":
            raise TapeRefusedError(
                f"{self.name}, line {message.line}: the exchange refused the tape's order: {order.reason}"
            )
        return order

    async def _take_out(self, recorded_id: int, size: Decimal | None) -> None:
        """Take size (None: all) out of an order of the tape without a trade, here and on the exchange."""
        named = self.book.get(recorded_id)
        if named is None:
            raise LookupError(f"no order {recorded_id} in the recorded book")
        if not self.book.take_out(recorded_id, size):
            await orders.cancel(self.database, named.order_id)
            return
        order = await orders.get(self.database, named.order_id)
        if order.remaining > named.remaining:
            await orders.replace(
                self.database, named.order_id, quantity=order.filled_quantity + named.remaining
            )

    async def _remaining(self, named: RecordedOrder) -> Decimal:
        """What the exchange still has of an order of the tape."""
        order = await orders.get(self.database, named.order_id)
        return order.remaining if order.is_working else Decimal(0)


async def _sleep_until(due: float, stop: asyncio.Event) -> None:
    """Sleep until a moment of the monotonic clock, or until `stop` is set."""
    wait = due - time.monotonic()
    if wait > 0:
        try:
            await asyncio.wait_for(stop.wait(), wait)
        except TimeoutError:
            return
