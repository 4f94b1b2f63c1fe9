"""What `python_venue` has in its hands while a request runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from tests.bench.flow import Request

CENT = Decimal("0.01")
ZERO = Decimal(0)


@dataclass(slots=True)
class Account:
    """What an account has while a request runs."""

    balance: Decimal
    reserved: Decimal
    maker_rate: Decimal
    taker_rate: Decimal
    is_margin: bool
    paid: Decimal = ZERO


@dataclass(slots=True)
class Position:
    """A position while a request runs (rule 19)."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    def fill(self, quantity: Decimal, price: Decimal) -> None:
        """Take a signed quantity at a price."""
        held = self.quantity
        if held * quantity >= 0:
            self.cost += quantity * price
        elif abs(quantity) < abs(held):
            closed = (self.cost * abs(quantity) / abs(held)).quantize(Decimal(1).scaleb(-24))
            self.realized -= closed + quantity * price
            self.cost -= closed
        else:
            self.realized += held * price - self.cost
            self.cost = (held + quantity) * price
        self.quantity = held + quantity

    @property
    def average_price(self) -> Decimal:
        return (self.cost / self.quantity).quantize(Decimal(1).scaleb(-8)) if self.quantity else ZERO


class Trade(NamedTuple):
    """A row of trades, in the order of its columns."""

    trade_id: int
    order_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime
    match_id: int
    liquidity: str
    account_id: int


@dataclass(slots=True)
class Writes:
    """The rows that a request writes."""

    makers: list[tuple[object, ...]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    transactions: list[tuple[object, ...]] = field(default_factory=list)
    journal: list[tuple[object, ...]] = field(default_factory=list)
    prints: list[Decimal] = field(default_factory=list)
    volume: Decimal = ZERO


@dataclass(slots=True)
class Taker:
    """The order that came in."""

    order_id: int
    request: Request
    at: datetime
    filled: Decimal = ZERO
    reserved: Decimal = ZERO
    reason: str | None = None

    @property
    def remaining(self) -> Decimal:
        return self.request.quantity - self.filled


def reserve(quantity: Decimal, price: Decimal, account: Account) -> Decimal:
    cash = (quantity * price).quantize(CENT)
    return cash + (cash * max(account.maker_rate, account.taker_rate)).quantize(CENT)


def terms(request: Request) -> dict[str, object]:
    return {
        "instrument_id": request.instrument_id,
        "order_type": request.terms.order_type,
        "side": request.side,
        "quantity": request.quantity,
        "price": request.price,
        "time_in_force": request.terms.time_in_force,
        "post_only": False,
        "self_trade": "cancel_newest",
    }


def order_detail(taker: Taker, status: str, priority: int | None = None) -> dict[str, object]:
    """An order as the journal keeps it."""
    values = {
        **terms(taker.request),
        "status": status,
        "reason": taker.reason,
        "filled_quantity": taker.filled,
        "reserved": taker.reserved,
        "priority": priority,
    }
    del values["instrument_id"]
    return {name: value for name, value in values.items() if value is not None}


def event(taker: Taker, kind: str, detail: Mapping[str, object]) -> tuple[object, ...]:
    request = taker.request
    return (taker.at, request.account_id, kind, taker.order_id, request.instrument_id, as_json(detail))


def as_json(values: Mapping[str, object]) -> str:
    """An object whose numbers keep their decimals."""
    fields = (
        f"{json.dumps(name)}: {value if isinstance(value, Decimal) else json.dumps(value)}"
        for name, value in values.items()
    )
    return "{" + ", ".join(fields) + "}"
