"""How the simulated takers trade: when the next one comes, and what it sends."""

from __future__ import annotations

import random
from dataclasses import dataclass

IMPATIENT = 0.7
"""Share of takers that send a market order; the others send an IOC limit order a little through the
fair value."""

LARGEST = 5
"""The largest order, in usual orders."""


@dataclass(frozen=True, slots=True)
class Take:
    """A marketable order: `ticks` is an IOC limit, None a market order."""

    side: str
    lots: int
    ticks: int | None


def wait(orders_a_second: float, rng: random.Random) -> float:
    """Seconds until the next taker comes: arrivals are Poisson."""
    return rng.expovariate(orders_a_second)


def take(fair: float, step: int, usual: int, limit: int, position: int, rng: random.Random) -> Take:
    """What a taker sends whose position is `position`; fair value and step in ticks, the rest in lots.

    The further its position is from zero, the likelier it trades back; at the limit it always does.
    """
    pull = max(-1.0, min(1.0, position / limit))
    side = "buy" if rng.random() < 0.5 * (1 - pull) else "sell"
    lots = min(usual * LARGEST, max(1, round(usual * rng.lognormvariate(-0.6, 0.9))))
    if rng.random() < IMPATIENT:
        return Take(side, lots, None)
    reach = rng.uniform(1, 4) * step
    return Take(side, lots, max(1, round(fair + (reach if side == "buy" else -reach))))
