"""What the simulated market makers believe an instrument is worth: a mean-reverting random walk with
changing moods.

A model, reckoned in floats; only whole ticks of it ever become prices.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

YEAR = 365 * 86_400.0
HALF_LIFE = 4 * 3600.0
"""Seconds in which half of a move away from the anchor is expected to be gone again."""


@dataclass(frozen=True, slots=True)
class Regime:
    """A mood of the market. `drift` is in standard deviations a minute; `seconds` how long it lasts on
    average."""

    name: str
    volatility: float
    drift: float
    seconds: float
    weight: float


REGIMES = (
    Regime("calm", 0.6, 0.0, 300, 5),
    Regime("rising", 0.8, 0.35, 120, 2),
    Regime("falling", 0.8, -0.35, 120, 2),
    Regime("lively", 1.6, 0.0, 60, 1),
)


class FairValue:
    """The fair value of one instrument, moved on by `advance`. The same generator state gives the same
    path."""

    def __init__(self, price: float, yearly_volatility: float, rng: random.Random) -> None:
        self._rng = rng
        self._volatility = yearly_volatility / math.sqrt(YEAR)
        self._anchor = self._log = math.log(price)
        self._regime_left = 0.0
        self.regime = REGIMES[0]

    @property
    def price(self) -> float:
        """The fair value, in the instrument's currency."""
        return math.exp(self._log)

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self._regime_left -= seconds
        if self._regime_left <= 0:
            self.regime = self._rng.choices(REGIMES, [regime.weight for regime in REGIMES])[0]
            self._regime_left = self._rng.expovariate(1 / self.regime.seconds)
        deviation = self._volatility * self.regime.volatility
        self._log += (self._anchor - self._log) * (1 - 0.5 ** (seconds / HALF_LIFE))
        self._log += deviation * self.regime.drift * seconds / math.sqrt(60)
        self._log += deviation * math.sqrt(seconds) * self._rng.gauss(0, 1)
