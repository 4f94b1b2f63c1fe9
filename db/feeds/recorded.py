"""The book as the tape tells it: the tape's own orders that should be resting, and which of them is first.

It holds nobody else's orders. The player compares it with what the exchange did, and keeps the tape's
orders on the exchange in step with it, so that one execution that went to somebody else does not put every
later one out of step.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from db.feeds.lobster import Message


@dataclass(slots=True)
class RecordedOrder:
    """An order of the tape: `order_id` is the one in our database, `remaining` what the record says is
    left."""

    order_id: int
    side: str
    price: Decimal
    remaining: Decimal


class RecordedBook:
    """Orders by the tape's own ids. Python's dicts keep their order, so each level is a queue in time."""

    def __init__(self) -> None:
        self._orders: dict[int, RecordedOrder] = {}
        self._levels: dict[str, dict[Decimal, dict[int, None]]] = {"buy": {}, "sell": {}}

    def __len__(self) -> int:
        return len(self._orders)

    def get(self, recorded_id: int) -> RecordedOrder | None:
        return self._orders.get(recorded_id)

    def add(self, message: Message, order_id: int) -> None:
        """A new order joins its level last."""
        self._orders[message.order_id] = RecordedOrder(order_id, message.side, message.price, message.size)
        self._levels[message.side].setdefault(message.price, {})[message.order_id] = None

    def take_out(self, recorded_id: int, size: Decimal | None = None) -> Decimal:
        """Take `size` (None: everything) out of an order that is there, and return what it still has.

        The rest keeps its place in time; an order with no rest is gone.
        """
        order = self._orders[recorded_id]
        order.remaining -= order.remaining if size is None else min(size, order.remaining)
        if not order.remaining:
            del self._orders[recorded_id]
            level = self._levels[order.side][order.price]
            del level[recorded_id]
            if not level:
                del self._levels[order.side][order.price]
        return order.remaining

    def first(self, side: str) -> int | None:
        """The order that would trade first by price and time, by its recorded id."""
        levels = self._levels[side]
        if not levels:
            return None
        best = max(levels) if side == "buy" else min(levels)
        return next(iter(levels[best]))

    def crossed_by(self, side: str, price: Decimal) -> list[int]:
        """The opposite orders at which an order of this side and price would trade, best first."""
        if side == "buy":
            crossed = sorted(level for level in self._levels["sell"] if level <= price)
        else:
            crossed = sorted((level for level in self._levels["buy"] if level >= price), reverse=True)
        opposite = self._levels["sell" if side == "buy" else "buy"]
        return [recorded_id for level in crossed for recorded_id in opposite[level]]
