"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`seconds` is the length of one measurement; `requests`, where it is not None, is sent by each client
    instead."""

    rounds: int
    seconds: int
    requests: int | None
    clients: int
    accounts: int
    instruments: int
    tpcb_scale: int
    batches: int
    """Batches of orders that the clients choose from."""
    book: int
    """Orders in the book whose depth is read."""
    readings: int
    """How often it is read in a round."""
    history: int
    """Events of the account whose past is looked at."""


FULL = Scale(
    rounds=5,
    seconds=6,
    requests=None,
    clients=8,
    accounts=400,
    instruments=20,
    tpcb_scale=10,
    batches=400,
    book=100_000,
    readings=50,
    history=1_000_000,
)

QUICK = Scale(
    rounds=1,
    seconds=1,
    requests=6,
    clients=3,
    accounts=16,
    instruments=4,
    tpcb_scale=1,
    batches=4,
    book=2_000,
    readings=5,
    history=2_000,
)
"""Whether it runs, not how fast: a few seconds."""
