"""What can be said of an order before it is sent. The exchange has the last word; this spares the way
there."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from terminal.format import exact, parse
from terminal.state import Answer, Instrument
from terminal.terms import OrderType


def quantity_problem(text: str, instrument: Instrument) -> Answer | None:
    """Why this text is no quantity for the instrument, if it is none."""
    return _problem("quantity", text, instrument.lot, "lot", instrument.quantity_decimals)


def price_problem(text: str, instrument: Instrument, kind: OrderType) -> Answer | None:
    """Why this text is no price for the instrument, if the order type needs one and it is none."""
    return (
        _problem("price", text, instrument.tick, "tick", instrument.price_decimals)
        if kind.needs_price
        else None
    )


def _problem(field: str, text: str, step: Decimal | None, step_name: str, decimals: int) -> Answer | None:
    if not text.strip():
        return Answer("error", f"{field}: nothing entered", field)
    value = parse(text)
    if value is None:
        return Answer("error", f"{field} {text!r}: not a number", field)
    if value <= 0:
        return Answer("error", f"{field} {text}: must be above zero", field)
    if step is not None and value % step:
        below, above = (
            (value / step).to_integral_value(rounding) * step for rounding in (ROUND_FLOOR, ROUND_CEILING)
        )
        near = (
            exact(above, decimals) if below == 0 else f"{exact(below, decimals)} or {exact(above, decimals)}"
        )
        return Answer(
            "error",
            f"{field} {text}: not a multiple of the {step_name} {step.normalize():f}; try {near}",
            field,
        )
    return None
