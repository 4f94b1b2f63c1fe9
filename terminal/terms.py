"""The words of an order ticket: which types there are, and what each of them needs.

A new order type is a line here (and, when it needs a field that no type had before, that field in the
ticket).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrderType:
    """One type of order: the word the exchange knows, the word people read, and what the ticket has to
    ask."""

    word: str
    label: str
    needs_price: bool
    times_in_force: tuple[str, ...]


ORDER_TYPES: tuple[OrderType, ...] = (
    OrderType("limit", "Limit", needs_price=True, times_in_force=("GTC", "IOC")),
    OrderType("market", "Market", needs_price=False, times_in_force=("IOC",)),  # rule 8: it never rests
)

TIME_IN_FORCE_HINTS = {
    "GTC": "rests until filled or cancelled",
    "IOC": "fills what it can, the rest is cancelled",
}


def order_type(word: str) -> OrderType:
    """The order type with that word."""
    return next(kind for kind in ORDER_TYPES if kind.word == word)
