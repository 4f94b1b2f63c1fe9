"""What came of an order, in words."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from db.orders import Fill, Order
from terminal.format import exact, number
from terminal.state import Answer, Instrument, Notice

PAST = {"buy": "Bought", "sell": "Sold"}


def of_order(order: Order, fills: Sequence[Fill], instrument: Instrument) -> Answer:
    """What came of an order that was placed; `fills` are its fills so far."""
    decimals = instrument.quantity_decimals
    quantity, filled, rest = (
        exact(value, decimals) for value in (order.quantity, order.filled_quantity, order.remaining)
    )
    at = f"@ {exact(order.price, instrument.price_decimals)}" if order.price is not None else "at market"
    why = f": {order.reason}" if order.reason else ""
    done = f"{PAST[order.side]} {filled} {instrument.symbol}{_average(fills, instrument)}"
    if order.status == "rejected":
        return Answer("rejected", f"Rejected{why}")
    if order.status == "filled":
        return Answer("filled", done)
    if order.status in ("cancelled", "expired"):
        if order.filled_quantity:
            return Answer("partial", f"{done}; {rest} of {quantity} {order.status}{why}")
        return Answer("rejected", f"Nothing traded, {order.status}{why}")
    if order.filled_quantity:
        return Answer("partial", f"{done}; {rest} of {quantity} rest {at}, order {order.order_id}")
    return Answer(
        "accepted", f"Order {order.order_id} rests: {order.side} {quantity} {instrument.symbol} {at}"
    )


def of_fills(fills: Sequence[Fill], instrument: Instrument) -> Notice:
    """The notice of an order's new fills."""
    first = fills[0]
    quantity = sum((fill.quantity for fill in fills), Decimal(0))
    words = f"{PAST[first.side]} {exact(quantity, instrument.quantity_decimals)} {instrument.symbol}"
    return Notice(
        f"{words}{_average(fills, instrument)} · order {first.order_id}",
        "buy" if first.side == "buy" else "sell",
    )


def _average(fills: Sequence[Fill], instrument: Instrument) -> str:
    quantity = sum((fill.quantity for fill in fills), Decimal(0))
    if not quantity:
        return ""
    prices = {fill.price for fill in fills}
    if len(prices) == 1:
        return f" @ {exact(prices.pop(), instrument.price_decimals)}"
    average = sum((fill.quantity * fill.price for fill in fills), Decimal(0)) / quantity
    return f" @ {number(average, instrument.price_decimals + 2)} on average"
