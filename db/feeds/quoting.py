"""How the simulated market makers quote: what a maker would do next, given its resting orders and the fair
value.

Each side of the book is cut into bands that get wider with distance from the fair value, and a maker wants
one order in each. As the fair value moves, orders pass from band to band by themselves, so that keeping the
ladder takes few requests and the book looks alive but calm. No state is kept here: a maker that starts
again carries on with the orders it finds.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

NEAREST = 0.6
"""An order nearer to the fair value than this, in steps, is taken away before somebody picks it off."""

BEYOND = 1.3
"""An order further away than this times the outermost band is taken away."""

REFRESH = 0.06
"""How often, per turn, a maker takes away an order that is where it should be, to place another."""

SHRINK = 0.06
"""How often, per turn, a maker makes an order smaller (it keeps its place)."""


@dataclass(frozen=True, slots=True)
class Resting:
    """A working order of a maker: price in ticks, `lots` what is left of it, `filled` what is gone."""

    order_id: int
    side: str
    ticks: int
    lots: int
    filled: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Place a limit order."""

    side: str
    ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an order."""

    order_id: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Reduce an order to a smaller total (fills included), in lots."""

    order_id: int
    total: int


Action = Place | Cancel | Reduce


@dataclass(frozen=True, slots=True)
class Quoting:
    """One maker's terms in one instrument: `step` in ticks, `usual` in lots, `limit` the position in lots
    at which it stops adding."""

    levels: int
    step: int
    usual: int
    limit: int

    def bands(self) -> list[tuple[float, float]]:
        """From where to where each level lies, in steps from the fair value; each is wider than the one
        before."""
        edges = [1.0]
        for level in range(self.levels):
            edges.append(edges[-1] + 1 + level * 0.6)
        return list(pairwise(edges))

    def size(self, level: int, rng: random.Random) -> int:
        """A size for an order of a level, in lots: less and less with distance."""
        return max(1, round(self.usual * rng.lognormvariate(0, 0.5) * 1.6 * 0.88**level))

    def lean(self, position: int) -> float:
        """By how many steps a maker's idea of fair leans away from the mark to be rid of its position
        (lots, signed)."""
        return -max(-1.0, min(1.0, position / self.limit))

    def turn(
        self,
        fair: float,
        position: int,
        resting: Sequence[Resting],
        others: Iterable[Resting],
        rng: random.Random,
        most: int,
    ) -> list[Action]:
        """What a maker does in one turn, most urgent first: at most `most` actions besides what must go at
        once.

        `fair` is in ticks; `resting` are the maker's own orders, `others` those of the other simulated
        participants, which it does not trade with (real people's orders it does).
        """
        fair += self.lean(position) * self.step
        bands = self.bands()
        exposed: list[Action] = []
        wanted: list[Place] = []
        surplus: list[Cancel] = []
        ladders: dict[str, _Ladder] = {}
        for side in ("buy", "sell"):
            ladder = ladders[side] = _Ladder([[] for _ in bands], [])
            for order in resting:
                if order.side != side:
                    continue
                distance = self._distance(side, order.ticks, fair)
                if distance < NEAREST:
                    exposed.append(Cancel(order.order_id))
                else:
                    ladder.add(bands, distance, order)
        gone = {cancel.order_id for cancel in exposed if isinstance(cancel, Cancel)}
        standing = [order for order in (*resting, *others) if order.order_id not in gone]
        for side, ladder in ladders.items():
            if self._full(side, position):
                surplus += [Cancel(order.order_id) for order in ladder.orders()]
                continue
            missing, superfluous = ladder.changes()
            surplus += [Cancel(order.order_id) for order in superfluous]
            wanted += self._orders_for(side, missing, fair, bands, standing, rng)
        wanted.sort(key=lambda place: abs(place.ticks - fair))
        ordinary: list[Action] = []
        for pair in zip_longest(wanted, surplus):
            ordinary += [action for action in pair if action is not None]
        if not ordinary:
            ordinary += self._fidget([order for ladder in ladders.values() for order in ladder.orders()], rng)
        return exposed + ordinary[:most]

    def _orders_for(
        self,
        side: str,
        levels: Iterable[int],
        fair: float,
        bands: Sequence[tuple[float, float]],
        standing: Sequence[Resting],
        rng: random.Random,
    ) -> list[Place]:
        """An order for each of the levels, but for those that would meet one of the simulated
        participants."""
        sign = -1 if side == "buy" else 1
        opposite = [order.ticks for order in standing if order.side != side]
        placed: list[Place] = []
        for level in levels:
            near, far = bands[level]
            ticks = round(fair + sign * self.step * rng.uniform(near, far))
            meets = any(ticks >= other if side == "buy" else ticks <= other for other in opposite)
            if ticks >= 1 and not meets:
                placed.append(Place(side, ticks, self.size(level, rng)))
        return placed

    def _distance(self, side: str, ticks: int, fair: float) -> float:
        """How many steps a price stands off the fair value; negative on the wrong side of it."""
        return (fair - ticks if side == "buy" else ticks - fair) / self.step

    def _full(self, side: str, position: int) -> bool:
        """Whether the maker holds so much that it does not add on this side."""
        return position >= self.limit if side == "buy" else position <= -self.limit

    def _fidget(self, orders: list[Resting], rng: random.Random) -> list[Action]:
        """A small change for its own sake, now and then: real books are never quite still."""
        if not orders:
            return []
        order, chance = rng.choice(orders), rng.random()
        if chance < REFRESH:
            return [Cancel(order.order_id)]
        if chance < REFRESH + SHRINK and order.lots > 1:
            return [
                Reduce(order.order_id, order.filled + rng.randint(max(1, order.lots // 2), order.lots - 1))
            ]
        return []


@dataclass(slots=True)
class _Ladder:
    """A maker's orders on one side, by the band in which they stand now; `astray` are those beyond all
    bands."""

    levels: list[list[Resting]]
    astray: list[Resting]

    def add(self, bands: Sequence[tuple[float, float]], distance: float, order: Resting) -> None:
        """The innermost band reaches in to NEAREST, the outermost out to BEYOND."""
        if distance > bands[-1][1] * BEYOND:
            self.astray.append(order)
            return
        level = next((level for level, (_, far) in enumerate(bands) if distance < far), len(bands) - 1)
        self.levels[level].append(order)

    def orders(self) -> list[Resting]:
        """All of them, from the inside out."""
        return [order for level in self.levels for order in level] + self.astray

    def changes(self) -> tuple[list[int], list[Resting]]:
        """The levels that should get an order, and the orders that should go.

        As many orders as there are levels are enough, however they stand, as long as the innermost level
        has one: to spread them evenly at every move of the fair value would take many times the requests.
        """
        empty = [number for number, level in enumerate(self.levels) if not level]
        crowded = [order for level in reversed(self.levels) for order in level[1:]]
        count = sum(map(len, self.levels))
        if count < len(self.levels):
            return empty[: len(self.levels) - count], self.astray
        superfluous = count - len(self.levels) + (1 if 0 in empty else 0)
        return [], self.astray + crowded[:superfluous]
