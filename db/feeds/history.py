"""A made-up past for an instrument: bars of a random walk that ends at the instrument's price.

The walk is a model and is reckoned in floats; what leaves this module is whole numbers of ticks, exact.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from db.feeds.catalogue import Listing, volatility

MINUTE_DAYS = 4
"""How many whole days before today have minute bars; today has them too, up to the present minute."""

DAILY_DAYS = 300
"""How many days before those have a bar for the day."""

MINUTES_A_DAY = 1440
SHORTEST = timedelta(minutes=1)

Bar = tuple[datetime, int, Decimal, Decimal, Decimal, Decimal, Decimal]
"""time, instrument_id, open, high, low, close, volume: a row of market_data."""


def bars(listing: Listing, instrument_id: int, seed: str, now: datetime) -> list[Bar]:
    """The bars of an instrument up to the minute before `now` (naive UTC), oldest first; the same seed
    gives the same bars.

    The simulated exchange is open all day, every day, and so is its past. The last close is `listing.price`.
    """
    rng = random.Random(f"{seed}:{listing.symbol}")
    days, minutes = _times(now)
    yearly = volatility(listing.instrument_type)
    path = _Path(rng, yearly)
    for _ in days:
        path.step(1 / 365)
    for moment in minutes:
        path.step(1 / 365 / MINUTES_A_DAY, _bustle(moment, listing.instrument_type))
    tick = listing.tick_size or Decimal("0.0001")
    grain = listing.lot_size or Decimal("0.01")
    ticks = path.in_ticks(float(listing.price), float(tick))
    last = int(listing.price / tick)
    made: list[Bar] = []
    for number, moment in enumerate([*days, *minutes]):
        opening, high, low, close, activity = next(ticks)
        if number + 1 == len(days) + len(minutes):
            close, high, low = last, max(high, last), min(low, last)
        share = 1.0 if number < len(days) else _bustle(moment, listing.instrument_type) ** 2 / MINUTES_A_DAY
        units = round(listing.volume * share * activity / float(grain))
        made.append(
            (moment, instrument_id, opening * tick, high * tick, low * tick, close * tick, units * grain)
        )
    return made


def first_day(now: datetime) -> date:
    """The day of the oldest bar."""
    return now.date() - timedelta(days=MINUTE_DAYS + DAILY_DAYS)


def _times(now: datetime) -> tuple[list[datetime], list[datetime]]:
    """When the daily bars and when the minute bars are."""
    first = datetime.combine(first_day(now), time.min)
    days = [first + timedelta(days=day) for day in range(DAILY_DAYS)]
    start = first + timedelta(days=DAILY_DAYS)
    count = int((now - start) / SHORTEST)
    return days, [start + SHORTEST * minute for minute in range(count)]


def _bustle(moment: datetime, instrument_type: str) -> float:
    """How lively this minute is against the day's average (as a standard deviation): shares wake up for
    New York's hours."""
    if instrument_type == "crypto":
        return 1.0
    hour = moment.hour + moment.minute / 60
    if instrument_type == "currency_pair":
        return 1.25 if 7 <= hour < 17 else 0.75
    if not 14.5 <= hour < 21:
        return 0.55
    return 1.45 + 0.9 * abs((hour - 17.75) / 3.25) ** 3  # livelier at the opening and at the close


class _Path:
    """The logarithm of a price, step by step, and how far each step reached beyond its ends."""

    def __init__(self, rng: random.Random, yearly_volatility: float) -> None:
        self._rng = rng
        self._yearly = yearly_volatility
        self._at = 0.0
        self._mood = 1.0  # volatility comes in clusters
        self._steps: list[tuple[float, float, float, float, float]] = []

    def step(self, years: float, bustle: float = 1.0) -> None:
        gauss, uniform = self._rng.gauss, self._rng.random
        self._mood = min(2.5, max(0.5, self._mood * math.exp(0.08 * gauss(0, 1) - 0.04 * (self._mood - 1))))
        scale = self._yearly * math.sqrt(years) * self._mood * bustle
        move = scale * gauss(0, 1)
        opening, self._at = self._at, self._at + move
        up = max(opening, self._at) + scale * 0.6 * uniform() ** 2
        down = min(opening, self._at) - scale * 0.6 * uniform() ** 2
        activity = self._mood * (0.5 + 0.6 * abs(move) / scale) * (0.6 + 0.8 * uniform())
        self._steps.append((opening, up, down, self._at, activity))

    def in_ticks(self, final_price: float, tick: float) -> Iterator[tuple[int, int, int, int, float]]:
        """Open, high, low and close in ticks, and the activity, of each step, moved so that the last
        close is the final price."""
        scale = final_price / tick
        end, exp = self._at, math.exp
        for opening, high, low, close, activity in self._steps:
            yield (
                max(1, round(scale * exp(opening - end))),
                max(1, round(scale * exp(high - end))),
                max(1, round(scale * exp(low - end))),
                max(1, round(scale * exp(close - end))),
                activity,
            )
