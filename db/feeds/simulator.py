"""The simulated participants: market makers and takers that keep a market alive.

They are real accounts and trade by the public functions like everyone else. What the makers decide on is
read from the exchange at each turn, so that what others did, a restart or a lost connection needs no
special care: they go on with the orders that they find.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from itertools import count

from db import instruments, market
from db.database import Database
from db.errors import ConnectionLostError
from db.feeds import locks
from db.feeds.catalogue import volatility
from db.feeds.dealing import EXPECTED, Activity, Dealing, Market
from db.feeds.fair_value import FairValue
from db.feeds.grid import grid
from db.feeds.taking import wait
from db.instruments import Instrument
from db.settings import SimulationSettings

log = logging.getLogger(__name__)

TURN = 1.0
"""Seconds between two turns of the makers in an instrument; longer with more instruments than
TURNS_A_SECOND."""

TURNS_A_SECOND = 12

TAKES_A_SECOND = 3.0
"""Orders of all takers together."""

LOOK_ROUND = 0.5
"""Seconds between two looks for tapes that wait for an instrument or have left one."""

TAKE_STOCK = 2.0
"""Seconds between two looks at positions and instruments."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts to come back after the connection was lost."""

Job = Callable[[], Awaitable[float | None]]
"""Something that is done again and again: it returns the seconds until the next time, or None for never."""


class Simulation:
    """Drives the simulated participants of one database."""

    def __init__(self, database: Database, settings: SimulationSettings, symbols: Sequence[str] = ()) -> None:
        """`symbols` are the instruments to be in; none: all that are active and have a price."""
        self.activity = Activity()
        self._database = database
        self._settings = settings
        self._symbols = frozenset(symbols)
        self._seed = settings.seed if settings.seed is not None else random.SystemRandom().getrandbits(64)
        self._takers_rng = random.Random(f"{self._seed}:takers")
        self._stop = asyncio.Event()
        self._dealing: Dealing
        self._session: locks.LockSession
        self._markets: dict[int, Market] = {}
        self._jobs: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._began = 0.0

    def stop(self) -> None:
        """End `run` soon, after the participants' orders are cancelled."""
        self._stop.set()

    async def run(self, on_activity: Callable[[Activity], None] = lambda _activity: None) -> bool:
        """Drive the participants until `stop` is called; False at once when another process drives them.

        `on_activity` is called about twice a second. A lost connection is waited for. Raises RequestError
        when one of the symbols is unknown.
        """
        self._symbols = frozenset(
            [(await instruments.by_symbol(self._database, symbol)).symbol for symbol in self._symbols]
        )
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                async with locks.LockSession.open(self._database) as session:
                    if not await session.try_alone(locks.SIMULATION):
                        return False
                    self._session = session
                    self.activity.reconnecting, pause = False, FIRST_PAUSE
                    await self._drive(on_activity)
            except ConnectionLostError as error:
                log.warning("%s", error)
                self.activity.reconnecting = True
                on_activity(self.activity)
                await self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return True

    async def _drive(self, on_activity: Callable[[Activity], None]) -> None:
        """Everything, while the connection lasts."""
        self._dealing = Dealing(self._database, self._settings, self.activity)
        self._markets.clear()
        self._jobs.clear()
        self._began = time.monotonic()
        for job in (self._take_stock, self._look_round, self._reporting(on_activity)):
            self._add(0.0, job)
        if self._settings.takers:
            self._add(2.0, self._takers_turn)  # the makers come first
        while not self._stop.is_set():
            due, number, job = self._jobs[0]
            await self._sleep((due - self._now()) / self._settings.pace)
            if self._stop.is_set():
                break
            self._session.require()
            heapq.heappop(self._jobs)
            again = await self._attempt(job)
            if again is not None:
                # What was missed while the exchange was slow is not made up for in a rush.
                heapq.heappush(self._jobs, (max(due, self._now() - 1.0) + again, number, job))
        await self._dealing.leave()
        self.activity.resting = 0

    # The clock: it runs `pace` times as fast as the one on the wall

    def _now(self) -> float:
        return (time.monotonic() - self._began) * self._settings.pace

    def _add(self, after: float, job: Job) -> None:
        heapq.heappush(self._jobs, (self._now() + after, next(self._numbers), job))

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long on the wall's clock, or until `stop`."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                return

    async def _attempt(self, job: Job) -> float | None:
        """Do a job; one that fails is told of and tried again a little later."""
        try:
            return await job()
        except EXPECTED as error:
            self.activity.errors += 1
            self._dealing.tell(error)
            return TURN

    # What is done again and again

    async def _take_stock(self) -> float:
        """Read instruments and positions; begin where there is something new, leave what is no longer
        traded."""
        listed = {
            instrument.instrument_id: instrument
            for instrument in await instruments.list_all(self._database)
            if instrument.is_active and (not self._symbols or instrument.symbol in self._symbols)
        }
        for key in [key for key, place in self._markets.items() if listed.get(key) != place.instrument]:
            await self._leave(key)
        if new := [instrument for key, instrument in listed.items() if key not in self._markets]:
            prices = await self._prices()
            for instrument in new:
                await self._begin(instrument, prices.get(instrument.instrument_id))
        await self._dealing.take_stock()
        return TAKE_STOCK * self._settings.pace

    async def _look_round(self) -> float:
        """Make room for the tapes that wait. (What they have left is found when stock is taken.)"""
        for key in await locks.awaited(self._database, locks.INSTRUMENT):
            if key in self._markets:
                await self._leave(key)
        return LOOK_ROUND * self._settings.pace

    def _reporting(self, on_activity: Callable[[Activity], None]) -> Job:
        async def report() -> float:
            self.activity.instruments = len(self._markets)
            self.activity.resting = sum(place.resting for place in self._markets.values())
            on_activity(self.activity)
            return LOOK_ROUND * self._settings.pace

        return report

    async def _takers_turn(self) -> float:
        if self._markets:
            place = self._takers_rng.choice(list(self._markets.values()))
            await self._dealing.take(place, self._takers_rng)
        return wait(TAKES_A_SECOND, self._takers_rng)

    def _makers_turn(self, place: Market) -> Job:
        async def turn() -> float | None:
            if self._markets.get(place.key) is not place:
                return None
            seconds = TURN * max(1.0, len(self._markets) / TURNS_A_SECOND)
            place.fair.advance(seconds)
            await self._dealing.make(place)
            return seconds

        return turn

    # Coming and going

    async def _begin(self, instrument: Instrument, price: Decimal | None) -> None:
        """Be in an instrument, unless it has no price to begin with or a tape has it."""
        key = instrument.instrument_id
        if price is None or not await self._session.try_shared(locks.INSTRUMENT, key):
            return
        await self._dealing.enrol(instrument.currency)
        rng = random.Random(f"{self._seed}:{instrument.symbol}")
        place = self._markets[key] = Market(
            instrument,
            grid(instrument.tick_size, instrument.lot_size, price),
            FairValue(float(price), volatility(instrument.instrument_type), rng),
            rng,
        )
        self._add(rng.random() * TURN, self._makers_turn(place))

    async def _leave(self, key: int) -> None:
        """Be out of an instrument, with no order left there."""
        del self._markets[key]
        await self._dealing.leave(key)
        await self._session.leave_shared(locks.INSTRUMENT, key)

    async def _prices(self) -> dict[int, Decimal]:
        """Where each instrument trades: its last price, unless the book says that it is elsewhere by now."""
        prices: dict[int, Decimal] = {}
        for key, ticker in (await market.tickers(self._database)).items():
            price, bid, ask = ticker.last, ticker.bid, ticker.ask
            if bid is not None and ask is not None and (price is None or not bid <= price <= ask):
                price = (bid + ask) / 2
            if price:
                prices[key] = price
        return prices
