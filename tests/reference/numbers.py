"""Exact numbers, and the few places where they are rounded."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

ZERO = Fraction(0)
SMALLEST = Fraction(1, 10**8)  # of a price and of a quantity: numeric(20,8)


def exact(value: Fraction | Decimal | str | int | None) -> Fraction | None:
    """The number itself; None stays None."""
    return None if value is None else Fraction(value)


def rounded(value: Fraction, decimals: int = 2) -> Fraction:
    """To so many decimals, halves away from zero, as numeric in Postgres does."""
    scale = 10**decimals
    doubled = abs(value) * scale * 2
    units = (doubled.numerator + doubled.denominator) // (2 * doubled.denominator)
    return Fraction(-units if value < 0 else units, scale)


def is_multiple(value: Fraction, step: Fraction) -> bool:
    """Whether `value` is a whole number of steps."""
    return (value / step).denominator == 1


def plain(value: Fraction) -> str:
    """For a person to read: decimal where it ends, else rounded to 12 decimals."""
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):.12f}"
    return text.rstrip("0").rstrip(".")
