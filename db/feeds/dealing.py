"""How the simulated participants carry out what they have decided: their accounts, their requests, and
what came of them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from db import orders
from db.database import ANSWER_TIMEOUT, Database
from db.errors import DatabaseError, RequestError
from db.feeds import participants
from db.feeds.fair_value import FairValue
from db.feeds.grid import Grid
from db.feeds.participants import Participant
from db.feeds.quoting import Action, Cancel, Place, Quoting, Reduce, Resting
from db.feeds.taking import take
from db.instruments import Instrument
from db.orders import OrderRequest
from db.settings import SimulationSettings

log = logging.getLogger(__name__)

ACTIONS = 2
"""Requests of a maker in a turn, besides taking exposed orders away; more while its ladder is being built."""

LIMIT = 25
"""The position at which a participant stops adding, in usual orders."""

PROVIDED = 60.0
"""Seconds after a refused order before an account's capital is looked at again, and a repeated trouble
told again."""

_WORKING = """
    select order_id, account_id, side, price, quantity - filled_quantity as remaining, filled_quantity
    from orders
    where instrument_id = $1 and account_id = any($2) and status in ('open', 'partially_filled')
"""


@dataclass(slots=True)
class Activity:
    """What the simulated participants have done since they began."""

    instruments: int = 0
    """In which they are now."""
    resting: int = 0
    """Orders that rest there."""
    requests: int = 0
    """Orders placed, replaced and cancelled."""
    takes: int = 0
    """The takers' orders among them."""
    rejected: int = 0
    """Orders that the exchange refused, and recorded as such."""
    errors: int = 0
    """Requests that failed; the log says how."""
    reconnecting: bool = False
    """Whether the connection is lost just now."""


@dataclass(slots=True)
class Market:
    """One instrument that the participants are in."""

    instrument: Instrument
    grid: Grid
    fair: FairValue
    rng: random.Random
    resting: int = 0

    @property
    def key(self) -> int:
        """The instrument's id."""
        return self.instrument.instrument_id

    @property
    def fair_ticks(self) -> float:
        """The fair value in ticks, at least one."""
        return max(1.0, self.fair.price / float(self.grid.tick))


class Dealing:
    """The accounts of all participants, and what they do with them."""

    def __init__(self, database: Database, settings: SimulationSettings, activity: Activity) -> None:
        self._database = database
        self._settings = settings
        self._activity = activity
        self._accounts: dict[tuple[str, str], Participant] = {}
        self._positions: dict[tuple[int, int], Decimal] = {}
        self._last: dict[object, float] = {}

    async def enrol(self, currency: str) -> None:
        """Have an account of every participant in this currency. Orders of participants that are no
        more are cancelled."""
        roles = [*participants.makers(self._settings.makers), *participants.takers(self._settings.takers)]
        if all((role, currency) in self._accounts for role in roles):
            return
        async with self._database.transaction() as connection:
            for role in roles:
                self._accounts[role, currency] = await participants.enrol(connection, role, currency)
        for row in await self._database.fetch(
            "select account_id from accounts where account_number ~ $1 and account_id <> all($2)",
            participants.SIMULATED,
            self._ids(self._accounts.values()),
            within=ANSWER_TIMEOUT,
        ):
            await orders.cancel_all(self._database, row["account_id"])

    async def take_stock(self) -> None:
        """Read the positions again."""
        rows = await self._database.fetch(
            "select account_id, instrument_id, quantity from positions where account_id = any($1)",
            self._ids(self._accounts.values()),
            within=ANSWER_TIMEOUT,
        )
        self._positions = {(row["account_id"], row["instrument_id"]): row["quantity"] for row in rows}

    async def make(self, market: Market) -> None:
        """A turn of all makers in an instrument."""
        makers = [self._account(role, market) for role in participants.makers(self._settings.makers)]
        books: dict[int, list[Resting]] = {maker.account_id: [] for maker in makers}
        for row in await self._database.fetch(_WORKING, market.key, list(books), within=ANSWER_TIMEOUT):
            books[row["account_id"]].append(
                Resting(
                    row["order_id"],
                    row["side"],
                    market.grid.ticks(row["price"]),
                    market.grid.lots(row["remaining"]),
                    market.grid.lots(row["filled_quantity"]),
                )
            )
        market.resting = sum(map(len, books.values()))
        usual = market.grid.usual
        terms = Quoting(self._settings.levels, market.grid.step, usual, LIMIT * usual)
        market.rng.shuffle(makers)
        for maker in makers:
            own = books[maker.account_id]
            others = [
                order for account, held in books.items() if account != maker.account_id for order in held
            ]
            building = len(own) < self._settings.levels
            actions = terms.turn(
                market.fair_ticks,
                self._position(maker, market),
                own,
                others,
                market.rng,
                ACTIONS * 4 if building else ACTIONS,
            )
            for action in actions:
                placed = await self._carry_out(maker, market, action)
                if placed is not None:
                    own.append(placed)

    async def take(self, market: Market, rng: random.Random) -> None:
        """An order of one of the takers in an instrument."""
        taker = self._account(rng.choice(participants.takers(self._settings.takers)), market)
        order = take(
            market.fair_ticks,
            market.grid.step,
            market.grid.usual,
            LIMIT * market.grid.usual,
            self._position(taker, market),
            rng,
        )
        self._activity.takes += 1
        await self._place(
            taker,
            OrderRequest(
                account_id=taker.account_id,
                instrument_id=market.key,
                order_type="market" if order.ticks is None else "limit",
                side=order.side,
                quantity=market.grid.quantity(order.lots),
                price=None if order.ticks is None else market.grid.price(order.ticks),
                time_in_force="IOC",
            ),
        )

    async def leave(self, instrument_id: int | None = None) -> None:
        """Cancel the orders of all participants, in one instrument or in all."""
        for participant in self._accounts.values():
            self._activity.requests += 1
            await orders.cancel_all(self._database, participant.account_id, instrument_id)

    def tell(self, trouble: Exception | str) -> None:
        """Write a trouble to the log, the same one once a minute."""
        if self._due(str(trouble)):
            log.warning("%s", trouble)

    async def _carry_out(self, maker: Participant, market: Market, action: Action) -> Resting | None:
        """Send a maker's request; returns the order that rests because of it."""
        match action:
            case Place(side, ticks, lots):
                order_id = await self._place(
                    maker,
                    OrderRequest(
                        account_id=maker.account_id,
                        instrument_id=market.key,
                        order_type="limit",
                        side=side,
                        quantity=market.grid.quantity(lots),
                        price=market.grid.price(ticks),
                    ),
                )
                return None if order_id is None else Resting(order_id, side, ticks, lots)
            case Cancel(order_id):
                self._activity.requests += 1
                await orders.cancel(self._database, order_id)
            case Reduce(order_id, total):
                self._activity.requests += 1
                await orders.replace(self._database, order_id, quantity=market.grid.quantity(total))
        return None

    async def _place(self, participant: Participant, request: OrderRequest) -> int | None:
        """Place an order and take note of its fills; its id where some of it rests."""
        self._activity.requests += 1
        order = await orders.place(self._database, request)
        if order.status == "rejected":
            self._activity.rejected += 1
            self.tell(f"{participant.role} in {order.symbol}: {order.reason}")
            if self._due(participant.account_id):
                async with self._database.transaction() as connection:
                    await participants.provide(connection, participant.account_id)
        elif order.filled_quantity:
            key = (participant.account_id, request.instrument_id)
            signed = order.filled_quantity if request.side == "buy" else -order.filled_quantity
            self._positions[key] = self._positions.get(key, Decimal(0)) + signed
        return order.order_id if order.is_working else None

    def _account(self, role: str, market: Market) -> Participant:
        return self._accounts[role, market.instrument.currency]

    def _position(self, participant: Participant, market: Market) -> int:
        return market.grid.lots(self._positions.get((participant.account_id, market.key), Decimal(0)))

    def _due(self, what: object) -> bool:
        """Whether this was not done within the last minute; then it counts as done now."""
        now = time.monotonic()
        if now - self._last.get(what, -PROVIDED) < PROVIDED:
            return False
        self._last[what] = now
        return True

    @staticmethod
    def _ids(accounts: Iterable[Participant]) -> list[int]:
        return [account.account_id for account in accounts]


EXPECTED = (RequestError, DatabaseError)
"""What one request may run into without anything being wrong with the others."""
