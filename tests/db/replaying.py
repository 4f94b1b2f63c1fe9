"""The journal, played one event after another through the reference model (rule 15).

Ids are taken while the locks are held, so the journal tells an order of all requests in which each could have
come alone. Requests are told apart from what follows of them by their events alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from db.database import Connection
from tests.db.crowd import HOLDERS, LISTINGS, RATES_OF_MARGIN, TYPES, Crowd
from tests.reference import risk
from tests.reference.exchange import Exchange
from tests.reference.ledger import Account, Rates
from tests.reference.numbers import exact, rounded
from tests.reference.reasons import reason_class
from tests.reference.terms import Instrument, Order, Terms

ON_REQUEST = ("cancelled on request", "cancelled with all others")
TERMS = ("order_type", "side", "time_in_force", "post_only", "self_trade")


class Replay:
    """The model, and which of its orders is which in the database."""

    def __init__(self, crowd: Crowd) -> None:
        self.model = Exchange(
            [
                Instrument(i, tick=exact(listing.tick), lot=exact(listing.lot))
                for i, listing in zip(crowd.instruments, LISTINGS, strict=True)
            ],
            [
                Account(a, _rates(holder.account_type), currency=holder.currency)
                for a, holder in zip(crowd.accounts, HOLDERS, strict=True)
            ],
        )
        self.numbers: dict[int, int] = {}  # in the database → in the model
        self.never_accepted: set[int] = set()  # rows put into the table that were ended before match_pending
        self.requests = 0

    def play(self, events: Iterable[Any]) -> None:
        """All of them; each request has the outcome that its event says."""
        for event in events:
            detail = json.loads(event["detail"], parse_float=Decimal, parse_int=Decimal)
            self.requests += self._play(event, event["kind"], detail)

    def _play(self, event: Any, kind: str, detail: dict[str, Any]) -> bool:
        """Whether the event is a request's own, and not one that follows from it."""
        order_id, model = event["order_id"], self.model
        known = self.numbers.get(order_id)
        what = f"event {event['event_id']}: {kind} {detail}"
        if kind in ("accepted", "rejected") and known is None:
            number = self.numbers[order_id] = model.place(_terms(event, detail))
            assert (model.orders[number].status == "rejected") == (kind == "rejected"), what
        elif kind in ("deposit", "withdrawal"):
            move = model.deposit if kind == "deposit" else model.withdraw
            move(event["account_id"], detail["amount"])
        elif kind in ("cancelled", "expired", "replace_refused") and known is None:
            self.never_accepted.add(order_id)
        elif kind == "cancelled" and detail["reason"] in ON_REQUEST:
            assert model.cancel(self.numbers[order_id]), what
        elif kind == "expired":
            assert model.expire_day_orders(lambda order: order.order_id == known) == 1, what
        # Self-trade prevention reduces too, and then says no more than the quantity.
        elif kind in ("replaced", "replace_refused") or (kind == "reduced" and "order_type" in detail):
            new = (detail.get("quantity"), detail.get("price"), detail.get("stop_price"))
            assert model.replace(self.numbers[order_id], *new) == (kind != "replace_refused"), what
        else:
            return False
        return True

    async def differences(self, connection: Connection, accounts: list[int]) -> list[str]:
        """Between the model and the tables: trades, orders, positions, balances, the rows of the ledger."""
        found: list[str] = []
        tables: dict[str, tuple[dict[Any, Any], dict[Any, Any]]] = {
            "trades in": (self._trades(), await _trades(connection, accounts)),
            "order": (self._orders(), await _orders(connection, accounts, self.never_accepted)),
            "position": (self._positions(), await _positions(connection, accounts)),
            "ledger of": (self._ledger(), await _ledger(connection, accounts)),
        }
        for what, (expected, got) in tables.items():
            assert got, f"there is something to compare: {what}"
            found += [
                f"{what} {key}: one by one {expected.get(key)}, in the database {got.get(key)}"
                for key in sorted({*expected, *got})
                if expected.get(key) != got.get(key)
            ]
        return found

    def _trades(self) -> dict[Any, Any]:
        ids = {number: order_id for order_id, number in self.numbers.items()}
        trades = defaultdict(list)
        for t in self.model.ledger.trades:
            trades[t.instrument_id].append(
                (ids[t.order_id], t.account_id, t.side, t.quantity, t.price, t.commission, t.liquidity)
            )
        return dict(trades)

    def _orders(self) -> dict[Any, Any]:
        return {order_id: self._order(self.model.orders[number]) for order_id, number in self.numbers.items()}

    def _order(self, o: Order) -> tuple[Any, ...]:
        reserved = risk.reserve_for(self.model.ledger.accounts[o.account_id], o) if o.is_working else 0
        return (
            o.account_id, o.instrument_id, o.status, o.reason, o.quantity, o.filled, o.price, o.stop_price,
            o.triggered, reserved,
        )  # fmt: skip

    def _positions(self) -> dict[Any, Any]:
        return {
            key: (p.quantity, rounded(p.average, 8), rounded(p.realized), rounded(p.cost, 12))
            for key, p in self.model.ledger.positions.items()
        }

    def _ledger(self) -> dict[Any, Any]:
        rows = defaultdict(list)
        for t in self.model.ledger.transactions:
            rows[t.account_id].append((t.kind, t.amount, t.balance_after))
        return {
            account.account_id: (account.balance, rows[account.account_id])
            for account in self.model.ledger.accounts.values()
            if account.account_id in rows
        }


def _rates(account_type: str) -> Rates:
    maker, taker, is_margin = TYPES[account_type]
    initial, long, short = (Fraction(rate) for rate in RATES_OF_MARGIN)
    if is_margin:
        return Rates(Fraction(maker), Fraction(taker), initial, long, short)
    return Rates(Fraction(maker), Fraction(taker))


def _terms(event: Any, detail: dict[str, Any]) -> Terms:
    return Terms(
        account_id=event["account_id"],
        instrument_id=event["instrument_id"],
        quantity=detail["quantity"],
        price=detail.get("price"),
        stop_price=detail.get("stop_price"),
        client_order_id=detail.get("client_order_id"),
        **{word: detail[word] for word in TERMS},
    )


async def _trades(connection: Connection, accounts: list[int]) -> dict[Any, Any]:
    trades = defaultdict(list)
    for t in await connection.fetch(
        "select * from trades where account_id = any ($1) order by trade_id", accounts
    ):
        trades[t["instrument_id"]].append(
            (
                t["order_id"],
                t["account_id"],
                t["side"],
                t["quantity"],
                t["price"],
                t["commission"],
                t["liquidity"],
            )
        )
    return dict(trades)


async def _orders(connection: Connection, accounts: list[int], but: set[int]) -> dict[Any, Any]:
    rows = await connection.fetch(
        "select * from orders where account_id = any ($1) and order_id <> all ($2)", accounts, [*but]
    )
    return {
        o["order_id"]: (
            o["account_id"], o["instrument_id"], o["status"], reason_class(o["reason"]), o["quantity"],
            o["filled_quantity"], o["price"], o["stop_price"], o["triggered_at"] is not None, o["reserved"],
        )
        for o in rows
    }  # fmt: skip


async def _positions(connection: Connection, accounts: list[int]) -> dict[Any, Any]:
    rows = await connection.fetch("select * from positions where account_id = any ($1)", accounts)
    return {
        (p["account_id"], p["instrument_id"]): (
            p["quantity"], p["average_price"], p["realized_pnl"], rounded(Fraction(p["cost"]), 12),
        )
        for p in rows
    }  # fmt: skip


async def _ledger(connection: Connection, accounts: list[int]) -> dict[Any, Any]:
    rows = defaultdict(list)
    for t in await connection.fetch(
        "select * from transactions where account_id = any ($1) order by transaction_id", accounts
    ):
        rows[t["account_id"]].append((t["transaction_type"], t["amount"], t["balance_after"]))
    balances = await connection.fetch(
        "select account_id, balance from accounts where account_id = any ($1)", accounts
    )
    return {a["account_id"]: (a["balance"], rows[a["account_id"]]) for a in balances if rows[a["account_id"]]}
