"""What goes into money, prices, quantities and times: exact decimals and UTC, checked before they are sent.

A float would carry its noise into the ledger, and the driver takes it without a word; a time with a zone
means something else in a `timestamp` column than it says.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal


def exact(name: str, value: object) -> Decimal:
    """A number of money, price or quantity. Raises TypeError for anything but a Decimal or an int."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    raise TypeError(
        f"{name} is {value!r}: pass a Decimal, such as Decimal({str(value)!r}), not {type(value).__name__}"
    )


def exact_or_none(name: str, value: object) -> Decimal | None:
    """As `exact`, or None for None."""
    return None if value is None else exact(name, value)


def utc(name: str, value: object) -> datetime:
    """A moment in UTC without a zone, as the database keeps it. Raises TypeError for any other."""
    if not isinstance(value, datetime):
        raise TypeError(
            f"{name} is {value!r}: pass a datetime in UTC without a zone, not {type(value).__name__}"
        )
    if value.tzinfo is not None:
        raise TypeError(
            f"{name} is {value}: pass it in UTC without a zone, value.astimezone(UTC).replace(tzinfo=None)"
        )
    return value
