"""What this trader looks at, an account and an instrument, and its live state; no Textual in it.

The desk follows `db.live`, reads again what changed, and tells its listeners a new immutable `DeskState`.
However much happens, each part is read at most as often as a person can see, and only one read of a part is
under way at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Any

from db import accounts, orders
from db.database import ConnectionState, Database
from db.errors import ConnectionLostError, PitsideError, RequestError
from db.live import Changes, Stream, subscribe
from db.users import Identity
from terminal import access, answers, asking, reading
from terminal.publishing import Publishing
from terminal.state import (
    AccountChoice,
    Answer,
    Candles,
    DeskState,
    Instrument,
    Notice,
    OrderEntry,
)

BEAT = 1.0

Prepare = Callable[[Callable[[str], None]], Awaitable[None]]
"""Makes a database ready for trading before it is opened; told how to report progress."""


class Part(enum.Enum):
    """What is read again by itself, with the shortest time in seconds between two reads of it."""

    INSTRUMENTS = 1.0
    QUOTES = 0.1
    BOOK = 0.05
    MONEY = 0.2
    ORDERS = 0.02
    CANDLES = 0.5


class Desk(Publishing):
    """One account of one user on one database. `run` keeps it up to date; the requests work while it runs."""

    def __init__(
        self,
        open_database: Callable[[], Awaitable[Database]],
        *,
        account: str | None = None,
        timeframe: str = "1m",
        depth: int = 20,
        poll_interval: float = 0.05,
        heartbeat: float = 2.0,
        demo: bool = False,
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(DeskState(demo=demo))
        self._open_database = open_database
        self._account_number = account
        self._timeframe = timeframe
        self._depth = depth
        self._poll_interval, self._heartbeat = poll_interval, heartbeat
        self._prepare = prepare
        self._db: Database | None = None
        self._stream: Stream | None = None
        self._identity: Identity | None = None
        self._account: accounts.Account | None = None
        self._accounts: dict[int, accounts.Account] = {}
        self._switch = 0
        self._rates = accounts.FeeRates(Decimal(0), Decimal(0))
        self._instruments: dict[int, Instrument] = {}
        self._due: set[Part] = set()
        self._read_at: defaultdict[Part, float] = defaultdict(float)
        self._wake = asyncio.Event()
        self._last_fill: int | None = None
        self._look = 0
        self._untrue = set(Part)  # what has not been read since the connection came (back)
        self._following = False

    # Keeping up to date.

    async def run(self) -> None:
        """Prepare, connect, and follow until cancelled. Raises PitsideError when there is no way to go on,
        LoginError when it is the user who may not."""
        if self._prepare is not None:
            await self._prepare(lambda words: self._connection("starting", words))
        db = await self._open_database()
        try:
            self._connection("starting", "Reading the market")
            await self._begin(db)
            async with subscribe(
                db, [self._trading_account.account_id], self._poll_interval, heartbeat=self._heartbeat
            ) as stream:
                self._stream = stream
                await _together(self._follow(stream), self._keep_reading(db), self._beat(stream))
        except RequestError as error:
            access.require_let_in(error, self._identity)
            raise
        finally:
            self._db = self._stream = None
            await db.close()

    async def _begin(self, db: Database) -> None:
        """User, account, instruments, and the first state with everything in it."""
        self._identity = identity = await access.arrive(db)
        choices, self._accounts = await reading.account_choices(db)
        found = await access.first_account(db, identity, self._account_number, self._accounts.values())
        await access.note_view(db, identity, found)
        self._account = found
        self._rates = await accounts.fee_rates(db, found.account_type)
        self._publish(user=identity.username, accounts=choices, **await self._read_instruments(db))
        if not self._state.instruments:
            raise RequestError(
                "instruments", None, "the database has none to trade", "trade demo sets a demo market up"
            )
        self._last_fill = next((fill.trade_id for fill in await orders.fills(db, found.account_id, 1)), 0)
        self._db = db
        self._publish(demo=self._state.demo or found.username == access.DEMO_USER)
        await self._read(db, [Part.QUOTES, Part.MONEY, Part.ORDERS])
        await self.look_at(self._state.instruments[0].instrument_id)
        self._following = True
        self._connection("live", "", time.monotonic())

    @property
    def _trading_account(self) -> accounts.Account:
        if self._account is None:
            raise RuntimeError("the desk has not begun")
        return self._account

    async def _follow(self, stream: Stream) -> None:
        """Note what changed, and whether the server is there."""
        async for event in stream:
            if isinstance(event, Changes):
                self._note(event)
            elif event is ConnectionState.RECONNECTING:
                self._following = False
                self._lose()
            else:
                self._following = True
                self._untrue = set(Part)
                self._need(*Part)

    def _lose(self) -> None:
        """What is on the screen is not known to be true any more."""
        self._untrue = set(Part)
        self._connection("lost", "reconnecting")

    def _note(self, changes: Changes) -> None:
        shown = self._state.instrument
        if changes.instruments:
            self._need(Part.QUOTES)
            if not changes.instruments <= self._instruments.keys():
                self._need(Part.INSTRUMENTS)
            if shown is not None and shown.instrument_id in changes.instruments:
                self._need(Part.BOOK, Part.CANDLES)
            if any(
                position.instrument.instrument_id in changes.instruments for position in self._state.positions
            ):
                self._need(Part.MONEY)
        if changes.accounts:
            self._need(Part.MONEY, Part.ORDERS)

    def _need(self, *parts: Part) -> None:
        self._due.update(parts)
        self._wake.set()

    async def _keep_reading(self, db: Database) -> None:
        """Read what is due, each part as often as it may be; start over after a lost connection."""
        while True:
            self._wake.clear()
            now = time.monotonic()
            waits = {part: self._read_at[part] + part.value - now for part in self._due}
            ready = [part for part, wait in waits.items() if wait <= 0]
            if ready:
                self._due.difference_update(ready)
                try:
                    await self._read(db, ready)
                except ConnectionLostError:
                    self._lose()
                    await db.wait_until_connected()
                    self._need(*Part)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(waits.values(), default=None))

    async def _read(self, db: Database, parts: list[Part]) -> None:
        """Read these parts side by side and publish them as one state."""
        account = self._trading_account
        for part in parts:
            self._read_at[part] = time.monotonic()
        wanted: list[Coroutine[Any, Any, dict[str, Any]]] = []
        shown, candles = self._state.instrument, self._state.candles
        if Part.INSTRUMENTS in parts:
            wanted.append(self._read_instruments(db))
        if Part.QUOTES in parts:
            wanted.append(self._read_quotes(db))
        if Part.MONEY in parts:
            wanted.append(self._read_money(db, account, self._rates))
        if Part.ORDERS in parts:
            wanted.append(self._read_orders(db, account))
        if Part.BOOK in parts and shown is not None:
            wanted.append(self._read_book(db, shown))
        if Part.CANDLES in parts and candles is not None:
            wanted.append(self._read_candles(db, candles))
        changes = {}
        for found in await asyncio.gather(*wanted):
            changes.update(found)
        if self._account is not account:  # another one is looked at by now, with everything just read
            for name in ("account", "positions", "orders"):
                changes.pop(name, None)
        if self._state.instrument != shown:  # another one is looked at by now, with a book just read
            changes.pop("book", None)
        if self._state.candles is not candles:
            changes.pop("candles", None)
        self._publish(**changes)
        self._untrue.difference_update(parts)
        # Called live again only once everything on the screen is true again.
        if self._following and self._state.connection.status == "lost" and not self._untrue:
            self._connection("live", "", time.monotonic())

    async def _read_instruments(self, db: Database) -> dict[str, Any]:
        listed, self._instruments = await reading.all_instruments(db)
        return {"instruments": listed}

    async def _read_quotes(self, db: Database) -> dict[str, Any]:
        return {"quotes": await reading.quotes(db)}

    async def _read_money(
        self, db: Database, account: accounts.Account, rates: accounts.FeeRates
    ) -> dict[str, Any]:
        money, held = await asyncio.gather(
            reading.account(db, account, rates),
            reading.positions(db, account.account_id, self._instruments),
        )
        return {"account": money, "positions": held}

    async def _read_orders(self, db: Database, account: accounts.Account) -> dict[str, Any]:
        working, fills = await asyncio.gather(
            reading.working_orders(db, account.account_id, self._instruments),
            orders.fills(db, account.account_id, asking.FILLS_READ),
        )
        if self._account is account:
            self._tell_fills(fills)
        return {"orders": working}

    def _tell_fills(self, fills: list[orders.Fill]) -> None:
        """A notice for each order that has filled since the last look."""
        fresh: dict[int, list[orders.Fill]] = {}
        for fill in reversed(fills):
            if self._last_fill is not None and fill.trade_id > self._last_fill:
                fresh.setdefault(fill.order_id, []).append(fill)
        self._last_fill = max([fill.trade_id for fill in fills], default=self._last_fill or 0)
        for of_order in fresh.values():
            instrument = self._instruments.get(of_order[0].instrument_id)
            if instrument is not None:
                self.tell(answers.of_fills(of_order, instrument))

    async def _read_book(self, db: Database, shown: Instrument) -> dict[str, Any]:
        return {"book": await reading.book(db, shown.instrument_id, self._depth)}

    async def _read_candles(self, db: Database, known: Candles) -> dict[str, Any]:
        return {"candles": await reading.newer_candles(db, known)}

    async def _beat(self, stream: Stream) -> None:
        """Show how old the last answer is, also while nothing changes."""
        while True:
            await asyncio.sleep(BEAT)
            heard = stream.heard_at
            if heard is not None and self._state.connection.status == "live":
                self._connection("live", "", max(heard, self._state.connection.heard_at or heard))

    # What the trader asks for.

    async def look_at(self, instrument_id: int) -> None:
        """Show another instrument: it, its book and its candles change at one stroke."""
        if self._db is None or instrument_id not in self._instruments:
            return
        self._look += 1
        look = self._look
        try:
            book, candles = await asyncio.gather(
                reading.book(self._db, instrument_id, self._depth),
                reading.candles(self._db, instrument_id, self._timeframe),
            )
        except PitsideError as error:
            self.tell(Notice(str(error), "problem"))
            return
        if look == self._look:
            self._publish(instrument=self._instruments[instrument_id], book=book, candles=candles)

    async def set_timeframe(self, timeframe: str) -> None:
        """Show other candles."""
        self._timeframe = timeframe
        if self._state.instrument is None or self._db is None:
            return
        shown = self._state.instrument
        try:
            found = await reading.candles(self._db, shown.instrument_id, timeframe)
        except PitsideError as error:
            self.tell(Notice(str(error), "problem"))
            return
        if self._timeframe == timeframe and self._state.instrument == shown:
            self._publish(candles=found)

    async def list_accounts(self) -> tuple[AccountChoice, ...]:
        """The accounts that this user may look at, as they are now; what was known where there is no
        connection."""
        if self._db is not None:
            try:
                choices, self._accounts = await reading.account_choices(self._db)
            except PitsideError as error:
                self.tell(Notice(str(error), "problem"))
            else:
                self._publish(accounts=choices)
        return self._state.accounts

    async def switch_account(self, account_id: int) -> None:
        """Look at another account: its money, positions and orders come at one stroke."""
        found = self._accounts.get(account_id)
        if self._db is None or found is None or self._account is None:
            return
        self._switch += 1
        switch = self._switch
        if found.account_id == self._account.account_id:
            return
        db = self._db
        try:
            await access.note_view(db, self._identity, found)
            rates = await accounts.fee_rates(db, found.account_type)
            last = next((fill.trade_id for fill in await orders.fills(db, account_id, 1)), 0)
            money, working = await asyncio.gather(
                self._read_money(db, found, rates),
                reading.working_orders(db, account_id, self._instruments),
            )
        except PitsideError as error:
            self.tell(Notice(str(error), "problem"))
            return
        if switch != self._switch:  # yet another one is wanted by now
            return
        self._account, self._rates, self._last_fill = found, rates, last
        if self._stream is not None:
            self._stream.watch([account_id])
        self._publish(**money, orders=working)
        self._need(Part.MONEY, Part.ORDERS)  # what happened while it was read

    async def place(self, entry: OrderEntry) -> Answer:
        """Send an order."""
        if self._account is not None and entry.account_id not in (None, self._account.account_id):
            return Answer("error", "not sent: another account is looked at by now; look at the order again")
        return await self._ask(lambda db, account: asking.place(db, account, entry))

    async def cancel(self, order_id: int) -> Answer:
        """Cancel one order."""
        return await self._ask(lambda db, _: asking.cancel(db, order_id))

    async def cancel_all(self) -> Answer:
        """Cancel every working order of the account."""
        return await self._ask(asking.cancel_all)

    async def reduce(self, order_id: int, quantity: Decimal) -> Answer:
        """Replace an order's total quantity by a smaller one."""
        return await self._ask(lambda db, _: asking.reduce(db, order_id, quantity))

    async def _ask(self, request: Callable[[Database, accounts.Account], Awaitable[Answer]]) -> Answer:
        """Have a request answered; what it changed is read at once."""
        if self._db is None or self._account is None:
            return Answer("error", "not sent: the database is not connected yet")
        if self._identity is not None and self._identity.role == access.READER:
            return Answer("error", "not sent: support reads, and does not trade")
        try:
            return await asking.answered(request(self._db, self._account))
        finally:
            self._need(Part.MONEY, Part.ORDERS, Part.BOOK)


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Run until one of them fails; its error is raised, the others end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
