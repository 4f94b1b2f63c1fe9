"""Numbers, times and durations as the screen writes them: thousands separators, a real minus, local time."""

from __future__ import annotations

from datetime import datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal

MINUS = "−"
NOTHING = "–"


def number(value: Decimal | None, decimals: int) -> str:
    """With separators and exactly `decimals` decimals: 1,234.50."""
    if value is None:
        return NOTHING
    text = f"{value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN):,f}"
    negative = text.startswith("-")
    text = text.lstrip("-")
    return MINUS + text if negative and any(digit in text for digit in "123456789") else text


def exact(value: Decimal | None, decimals: int) -> str:
    """Like `number`, but never hides a digit: as many decimals as the value needs, at least `decimals`."""
    if value is None:
        return NOTHING
    exponent = value.normalize().as_tuple().exponent
    return number(value, max(decimals, -exponent if isinstance(exponent, int) else 0))


def money(value: Decimal | None) -> str:
    """An amount to the cent."""
    return number(value, 2)


def signed(value: Decimal | None, decimals: int = 2) -> str:
    """With a plus sign when above zero."""
    text = number(value, decimals)
    return (
        f"+{text}"
        if value is not None and value > 0 and any(digit in text for digit in "123456789")
        else text
    )


def percent(share: Decimal | None) -> str:
    """A share as a signed percentage with two decimals."""
    return NOTHING if share is None else f"{signed(share * 100)}%"


def compact(value: Decimal | None, decimals: int = 0) -> str:
    """At most seven characters: 999,999 in full (with decimals where they fit), then 1.23M and so on."""
    if value is None:
        return NOTHING
    size = abs(value)
    for limit, suffix in ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M")):
        if size >= limit:
            return f"{number(value / limit, 2 if size < 100 * limit else 1)}{suffix}"
    fitting = next((d for d in range(decimals, 0, -1) if len(number(value, d)) <= 8), 0)
    return number(value, fitting)


def duration(seconds: float) -> str:
    """How long ago, coarsely: 4 s, 2 min, 3 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"


def clock(at: datetime, zone: tzinfo | None = None) -> str:
    """Time of day in the local zone (or `zone`)."""
    return at.astimezone(zone).strftime("%H:%M:%S")


def parse(text: str) -> Decimal | None:
    """What a person typed as a number (separators allowed), or None when it is none."""
    cleaned = text.replace(",", "").replace("_", "").strip()
    if (
        not cleaned
        or not cleaned.isascii()
        or cleaned.strip("0123456789.")
        or cleaned.count(".") > 1
        or cleaned == "."
    ):
        return None
    return Decimal(cleaned)
