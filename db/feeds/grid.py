"""What an instrument's prices and quantities look like: whole ticks and whole lots.

The simulated participants reckon in whole ticks and lots, and only what goes to the exchange is a Decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

FINEST = Decimal("0.00000001")
"""Eight decimals: what the exchange takes where an instrument has no tick or no lot."""

ORDER_VALUE = Decimal(20_000)
"""What a usual order of a simulated participant is worth, in the instrument's currency."""

STEP_SHARE = Decimal("0.0001")
"""A step of the quoted ladder as a share of the price: one basis point."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Ticks and lots of one instrument, and the simulated participants' usual sizes in it.

    `step` is the distance of the innermost quotes from the fair value, in ticks; `usual` the size of a
    usual order, in lots.
    """

    tick: Decimal
    lot: Decimal
    step: int
    usual: int

    def price(self, ticks: int) -> Decimal:
        """So many ticks as a price."""
        return self.tick * ticks

    def quantity(self, lots: int) -> Decimal:
        """So many lots as a quantity."""
        return self.lot * lots

    def ticks(self, price: Decimal) -> int:
        """A price in whole ticks, rounded down."""
        return int(price / self.tick)

    def lots(self, quantity: Decimal) -> int:
        """A quantity in whole lots, rounded towards zero."""
        return int(quantity / self.lot)


def grid(tick_size: Decimal | None, lot_size: Decimal | None, price: Decimal) -> Grid:
    """The grid of an instrument that trades at about `price`. Where it has no tick or lot, a round one
    that suits the price."""
    step_value = price * STEP_SHARE
    tick = tick_size or max(FINEST, _power_of_ten(step_value / 2))
    usual_quantity = ORDER_VALUE / price
    lot = lot_size or max(FINEST, _power_of_ten(usual_quantity / 20))
    return Grid(tick, lot, max(1, round(step_value / tick)), max(1, round(usual_quantity / lot)))


def _power_of_ten(value: Decimal) -> Decimal:
    """The largest power of ten that is not above a positive value."""
    return Decimal(1).scaleb(value.adjusted())
