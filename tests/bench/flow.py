"""What the clients send: the mix, as pgbench scripts and as requests of a client in Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tests.bench.load import Script
from tests.bench.market import MIDDLE

SPREAD = 20
"""Ticks on each side of the middle within which prices lie, evenly."""

LARGEST = 10
"""Orders are for 1 to so many."""

Kind = Literal["rest", "cross", "ioc", "market", "stop", "stop_limit", "cancel"]
Side = Literal["buy", "sell"]

SHARES: dict[Kind, int] = {
    "rest": 43,
    "cross": 17,
    "ioc": 8,
    "market": 7,
    "stop": 2,
    "stop_limit": 2,
    "cancel": 21,
}
"""Percent of each kind of request.

`rest` is a limit order on its own side of the middle, `cross` one that reaches up to SPREAD ticks into the
other side and rests with what is left, `ioc` the same as immediate or cancel; the stops lie beyond the middle
and are set off by the trades of the others; `cancel` ends an account's oldest working order where it has one.
What comes in is on average what goes out, so the books stay as long as they are.
"""

SAID = (
    "43 % limit that mostly rest, 17 % limit that cross, 8 % IOC, 7 % market, 2 % stop, 2 % stop-limit, "
    "21 % cancels; cash and margin accounts in equal parts, taker fee"
)

_CHOICE = r"""
\set a random(1, :accounts)
\set i random(1, :instruments)
\set q random(1, {largest})
\set d random(1, {spread})
"""
_PLACE = (
    "select place_order(:a::bigint, :i::bigint, '{type}'::varchar, '{side}'::varchar, :q::numeric, "
    "{price}, {stop}, '{time_in_force}'::varchar);\n"
)
# The sum keeps the planner from walking all orders ever made in the order of their ids.
_CANCEL = r"""
\set a random(1, :accounts)
select cancel_order(w.order_id)
from (
    select o.order_id from orders o
    where o.account_id = :a::bigint and o.status in ('pending', 'open', 'partially_filled')
    order by o.order_id + 0 limit 1
) w;
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a kind of order looks: `away` is +1 where its price lies on its own side of the middle, -1 on the
    other, 0 where it has none; `stop` tells the same of its stop price."""

    order_type: str
    time_in_force: str
    away: int
    stop: int


TERMS: dict[Kind, Terms] = {
    "rest": Terms("limit", "GTC", 1, 0),
    "cross": Terms("limit", "GTC", -1, 0),
    "ioc": Terms("limit", "IOC", -1, 0),
    "market": Terms("market", "IOC", 0, 0),
    "stop": Terms("stop", "GTC", 0, -1),
    "stop_limit": Terms("stop_limit", "GTC", -1, -1),
}


def scripts(shares: dict[Kind, int]) -> list[Script]:
    """The mix for pgbench, which must be told `accounts` and `instruments`."""
    found: list[Script] = []
    for kind, share in shares.items():
        if kind == "cancel":
            found.append(Script(kind, 2 * share, _CANCEL))
        else:
            found += [Script(f"{kind}_{side}", share, _script(TERMS[kind], side)) for side in _SIDES]
    return found


_SIDES: tuple[Side, ...] = ("buy", "sell")


def _script(terms: Terms, side: Side) -> str:
    toward = -1 if side == "buy" else 1

    def price(away: int) -> str:
        if not away:
            return "null::numeric"
        return f"({MIDDLE} {'+' if away * toward > 0 else '-'} :d::numeric) / 100"

    return _CHOICE.format(largest=LARGEST, spread=SPREAD) + _PLACE.format(
        type=terms.order_type,
        side=side,
        price=price(terms.away),
        stop=price(terms.stop),
        time_in_force=terms.time_in_force,
    )


@dataclass(frozen=True, slots=True)
class Request:
    """One request; a cancel has an account only."""

    kind: Kind
    account_id: int
    instrument_id: int
    side: Side
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None

    @property
    def terms(self) -> Terms:
        return TERMS[self.kind]

    def as_json(self) -> dict[str, object]:
        """An element of place_orders."""
        return {
            "account_id": self.account_id,
            "instrument_id": self.instrument_id,
            "order_type": self.terms.order_type,
            "side": self.side,
            "quantity": str(self.quantity),
            "price": None if self.price is None else str(self.price),
            "stop_price": None if self.stop_price is None else str(self.stop_price),
            "time_in_force": self.terms.time_in_force,
        }


def requests(
    chance: random.Random, shares: dict[Kind, int], accounts: int, instruments: list[int]
) -> Iterator[Request]:
    """The mix without end."""
    kinds = list(shares)
    weights = list(shares.values())
    while True:
        kind = chance.choices(kinds, weights)[0]
        side = chance.choice(_SIDES)
        distance = Decimal(chance.randint(1, SPREAD)) * (-1 if side == "buy" else 1)
        away, stop = (TERMS[kind].away, TERMS[kind].stop) if kind in TERMS else (0, 0)
        yield Request(
            kind=kind,
            account_id=chance.randint(1, accounts),
            instrument_id=chance.choice(instruments),
            side=side,
            quantity=Decimal(chance.randint(1, LARGEST)),
            price=(MIDDLE + away * distance) / 100 if away else None,
            stop_price=(MIDDLE + stop * distance) / 100 if stop else None,
        )
