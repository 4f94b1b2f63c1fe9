"""What can be asked for, and what makes no sense (rules 1 to 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.reference.numbers import SMALLEST, exact, is_multiple, rounded

SIDES = ("buy", "sell")
ORDER_TYPES = ("market", "limit", "stop", "stop_limit")
TIMES_IN_FORCE = ("GTC", "DAY", "IOC", "FOK")
SELF_TRADE_WAYS = ("cancel_newest", "cancel_oldest", "cancel_both", "decrement")
WORKING = ("pending", "open", "partially_filled")
WITH_LIMIT = ("limit", "stop_limit")
WITH_STOP = ("stop", "stop_limit")

QUANTITY_BOUND = Fraction(10**12)  # numeric(20,8)
MONEY_BOUND = Fraction(10**18)  # numeric(20,2)


class SenselessError(Exception):
    """The request makes no sense and leaves nothing behind; `fields` are the ones that may be blamed."""

    def __init__(self, *blamed: str) -> None:
        self.fields = frozenset(blamed)
        super().__init__(", ".join(sorted(blamed)))


@dataclass(frozen=True)
class Instrument:
    """What trades; None as a tick or lot allows any value of 8 decimals."""

    instrument_id: int
    tick: Fraction | None = None
    lot: Fraction | None = None
    currency: str = "USD"

    @property
    def smallest_quantity(self) -> Fraction:
        """What a quantity is counted in."""
        return self.lot or SMALLEST


@dataclass(frozen=True)
class Terms:
    """A request to place an order, word for word."""

    account_id: int
    instrument_id: int
    order_type: str
    side: str
    quantity: Decimal | Fraction
    price: Decimal | Fraction | None = None
    stop_price: Decimal | Fraction | None = None
    time_in_force: str = "GTC"
    post_only: bool = False
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None


@dataclass
class Order:
    """An order and what has become of it. `place` is its place in time, in its level or among the stops.

    Linked orders (L1 to L3): `pair` numbers the two of a one-cancels-other pair; the entry of a bracket has
    `take_profit` and `stop_loss`, has `covered` so much with exits, and is their `parent`; a trailing stop
    has one of the two trails.
    """

    order_id: int
    account_id: int
    instrument_id: int
    order_type: str
    side: str
    quantity: Fraction
    price: Fraction | None
    stop_price: Fraction | None
    time_in_force: str
    post_only: bool
    self_trade: str
    status: str = "new"
    filled: Fraction = Fraction(0)
    reason: str | None = None
    triggered: bool = False
    place: int = 0
    pair: int | None = None
    parent: int | None = None
    take_profit: Fraction | None = None
    stop_loss: Fraction | None = None
    covered: Fraction = Fraction(0)
    trail_amount: Fraction | None = None
    trail_percent: Fraction | None = None

    @property
    def remaining(self) -> Fraction:
        """What is still to be traded."""
        return self.quantity - self.filled

    @property
    def is_working(self) -> bool:
        """Not final (rule 3). An order that is being matched right now is not working either."""
        return self.status in WORKING

    @property
    def is_resting(self) -> bool:
        """In the book, for others to trade with."""
        return self.status in ("open", "partially_filled")

    @property
    def is_waiting_stop(self) -> bool:
        """A stop that nothing has set off yet."""
        return self.status == "pending" and not self.triggered

    @property
    def has_limit(self) -> bool:
        """Limit and stop_limit orders, the ones that can rest."""
        return self.order_type in WITH_LIMIT

    @property
    def sign(self) -> int:
        """+1 for a buy, −1 for a sell."""
        return 1 if self.side == "buy" else -1

    def accepts(self, price: Fraction) -> bool:
        """Whether this order would trade at that price."""
        if not self.has_limit:
            return True
        limit = self.limit
        return price <= limit if self.side == "buy" else price >= limit

    @property
    def limit(self) -> Fraction:
        """The limit of an order that has one."""
        assert self.price is not None
        return self.price

    @property
    def is_trailing(self) -> bool:
        """A stop whose price follows the last trade (L3)."""
        return self.trail_amount is not None or self.trail_percent is not None

    @property
    def worst_price(self) -> Fraction | None:
        """What an order is valued at before it trades (rules 21, 22): limit, else stop, else none."""
        return self.price if self.has_limit else self.stop_price


def wrong_fields(terms: Terms, instrument: Instrument) -> Iterator[str]:
    """The fields of a request that make no sense for this instrument (rules 1, 2, 4)."""
    words = {
        "order_type": ORDER_TYPES,
        "side": SIDES,
        "time_in_force": TIMES_IN_FORCE,
        "self_trade": SELF_TRADE_WAYS,
    }
    for field, allowed in words.items():
        if getattr(terms, field) not in allowed:
            yield field
    if terms.post_only and (terms.order_type not in WITH_LIMIT or terms.time_in_force not in ("GTC", "DAY")):
        yield "post_only"
    if not is_sound(exact(terms.quantity), instrument.lot):
        yield "quantity"
    for field, types in (("price", WITH_LIMIT), ("stop_price", WITH_STOP)):
        value = exact(getattr(terms, field))
        if (value is None) == (terms.order_type in types) or not (
            value is None or is_sound(value, instrument.tick)
        ):
            yield field
    for value in (exact(terms.price), exact(terms.stop_price)):
        if value is not None and rounded(value * Fraction(terms.quantity)) >= MONEY_BOUND:
            yield from ("quantity", "price", "stop_price")


def is_sound(value: Fraction | None, step: Fraction | None) -> bool:
    """Whether this can be a price or quantity at all (rule 2)."""
    return (
        value is not None
        and 0 < value < QUANTITY_BOUND
        and is_multiple(value, SMALLEST)
        and is_multiple(value, step or SMALLEST)
    )


def replacement_is_sound(order: Order, instrument: Instrument) -> bool:
    """Rules 2 and 4 for the terms that an order would have after `replace_order`."""
    prices = ((order.price, WITH_LIMIT), (order.stop_price, WITH_STOP))
    if any(value is not None and rounded(value * order.quantity) >= MONEY_BOUND for value, _ in prices):
        return False
    return is_sound(order.quantity, instrument.lot) and all(
        (value is None) != (order.order_type in types) and (value is None or is_sound(value, instrument.tick))
        for value, types in prices
    )
