"""What the database did otherwise than the model."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from tests.reference.numbers import plain


class Difference(AssertionError):  # noqa: N818  what it is called in the field
    """The database did not do what the model says."""


class LedgerDifference(Difference):
    """The database's own check of its books finds something."""


class Differences:
    """Collects them, so that one step shows all that is wrong after it."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def compare(self, what: str, expected: object, got: object) -> None:
        """Note a difference if there is one."""
        if expected != got:
            self.add(what, expected, got)

    def add(self, what: str, expected: object, got: object) -> None:
        """Note a difference."""
        self._found.append(f"{what}: the rules say {_readable(expected)}, the database {_readable(got)}")

    def raise_any(self, after: object) -> None:
        """Raise Difference if anything was noted."""
        if self._found:
            raise Difference(f"after {after!r}:\n  " + "\n  ".join(self._found))


def _readable(value: object) -> str:
    if isinstance(value, Fraction | Decimal):
        return plain(Fraction(value))
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_readable(each) for each in value) + "]"
    return value if isinstance(value, str) else repr(value)
