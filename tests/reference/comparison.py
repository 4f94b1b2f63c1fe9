"""Holds the database against the model: everything that has changed, in either, since they were equal last.

PITSIDE_COMPARE=all compares everything after every step instead.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from db.database import Connection
from tests.reference import risk
from tests.reference.differences import Differences
from tests.reference.exchange import Exchange
from tests.reference.ledger import CENT, Trade
from tests.reference.links import Top
from tests.reference.numbers import is_multiple, rounded
from tests.reference.reasons import reason_class
from tests.reference.state import BARS, STATE
from tests.reference.steps import Cast
from tests.reference.terms import QUANTITY_BOUND, Order

ALWAYS_ALL = os.environ.get("PITSIDE_COMPARE") == "all"


@dataclass
class Bar:
    """What a minute's matches draw, in their order."""

    open: Fraction
    high: Fraction = Fraction(0)
    low: Fraction = QUANTITY_BOUND
    close: Fraction = Fraction(0)
    volume: Fraction = Fraction(0)
    roundings: Fraction = Fraction(0)  # the column has two decimals, and requests add to it

    def add(self, price: Fraction, quantity: Fraction) -> None:
        """One more match."""
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += quantity
        if not is_multiple(quantity, CENT):
            self.roundings += CENT / 2


class Comparison:
    """Remembers what was equal last, and looks at the rest."""

    def __init__(self, connection: Connection, model: Exchange, cast: Cast) -> None:
        self.differences = Differences()
        self._is_prepared = False
        self._connection = connection
        self._model = model
        self._cast = cast
        self._accounts = list(cast.world.accounts.values())
        self._instruments = list(cast.world.instruments.values())
        self._ids: dict[int, int] = {}  # of orders: in the model → in the database
        self._numbers: dict[int, int] = {}  # and back
        self._pairs: dict[int, int] = {}
        self._labels = 0  # so many have been looked at
        self._orders: dict[int, tuple[object, ...]] = {}  # as the unfinished ones were
        self._seen = self._last_trade = self._last_transaction = self._last_quote = 0
        self._trades = self._transactions = self._known_orders = 0
        self._tops: dict[int, tuple[Fraction, ...]] = {}
        self._bars: dict[tuple[int, str], Bar] = {}

    def compare_ids(self) -> None:
        """One label, one order, in both."""
        for label, number in itertools.islice(self._cast.in_model.items(), self._labels, None):
            order_id = self._cast.in_database.get(label)
            if order_id is None:
                self.differences.add(f"order {label}", f"is order {number}", "has none")
            else:
                known = self._ids.setdefault(number, order_id)
                self._numbers[order_id] = number
                self.differences.compare(f"id of order {label}", known, order_id)
        self._labels = len(self._cast.in_model)

    async def compare(self, tops: Sequence[tuple[int, Top]], *, everything: bool, in_parts: bool) -> None:
        """`tops` are those that the model has shown since the last time; of a request with several parts the
        database may leave some out."""
        everything = everything or ALWAYS_ALL
        if not self._is_prepared:
            await self._connection.execute(STATE)
            self._is_prepared = True
        changed = self._changed_orders()
        new_trades = self._model.ledger.trades[self._trades :]
        new_transactions = self._model.ledger.transactions[self._transactions :]
        accounts = {order.account_id for order in changed} | {each.account_id for each in new_transactions}
        instruments = {order.instrument_id for order in changed}
        state = json.loads(
            await self._connection.fetchval(
                "select pg_temp.state($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                self._accounts,
                self._instruments,
                0 if everything else self._seen,
                [self._ids[order.order_id] for order in changed if order.order_id in self._ids],
                self._last_trade,
                self._last_transaction,
                self._last_quote,
                self._accounts if everything else list(accounts),
                self._instruments if everything else list(instruments),
            ),
            parse_float=_number,
        )
        self._seen = state["seen"]
        self._match_new(changed, state["orders"])
        self._compare_orders(self._model.orders.values() if everything else changed, state["orders"])
        self._compare_trades(new_trades, state["trades"])
        self._compare_transactions(state["transactions"])
        self._compare_positions(new_trades, state["positions"], everything=everything)
        self._compare_accounts(state["accounts"], state["summaries"] or {})
        self._compare_books(self._instruments if everything else instruments, state["books"], state["turns"])
        self._compare_quotes(tops, state["quotes"], in_parts=in_parts)
        if everything:
            await self._compare_bars()
        self._trades, self._transactions = (
            len(self._model.ledger.trades),
            len(self._model.ledger.transactions),
        )
        self._known_orders = len(self._model.orders)
        self._orders = {order.order_id: _state_of(order) for order in self._model.unfinished()}

    def _changed_orders(self) -> list[Order]:
        """In the model, since the last time."""
        numbers = {*self._orders, *range(self._known_orders + 1, len(self._model.orders) + 1)}
        orders = [self._model.orders[number] for number in sorted(numbers)]
        return [order for order in orders if self._orders.get(order.order_id) != _state_of(order)]

    def _match_new(self, changed: list[Order], rows: list[dict[str, Any]]) -> None:
        """Orders that nobody placed by name, the exits of brackets: in both they come in one order."""
        in_model = [order for order in changed if order.order_id not in self._ids]
        in_database = [row["order_id"] for row in rows if row["order_id"] not in self._numbers]
        self.differences.compare("number of exits placed", len(in_model), len(in_database))
        for order, order_id in zip(in_model, in_database, strict=False):
            self._ids[order.order_id], self._numbers[order_id] = order_id, order.order_id
            siblings = sum(o.parent == order.parent for o in self._model.orders.values() if o is not order)
            label = f"{self._label(order.parent)}.{siblings + 1}"
            self._cast.in_model[label], self._cast.in_database[label] = order.order_id, order_id
            self._labels += 1

    def _compare_orders(self, changed: Iterable[Order], rows: list[dict[str, Any]]) -> None:
        missing = {order.order_id for order in changed}
        for row in rows:
            number = self._numbers.get(row["order_id"])
            if number is None:
                self.differences.add("orders", "no such order", repr(row))
                continue
            missing.discard(number)
            order = self._model.orders[number]
            account = self._model.ledger.accounts[order.account_id]
            expected = {
                "account_id": order.account_id,
                "instrument_id": order.instrument_id,
                "order_type": order.order_type,
                "side": order.side,
                "time_in_force": order.time_in_force,
                "status": order.status,
                "reason": order.reason,
                "quantity": order.quantity,
                "filled_quantity": order.filled,
                "price": order.price,
                "stop_price": order.stop_price,
                "reserved": risk.reserve_for(account, order) if order.is_working else Fraction(0),
                "triggered": order.triggered,
                "has_filled_at": order.status == "filled",
                "parent_id": None if order.parent is None else self._ids[order.parent],
                "covered_quantity": order.covered if order.take_profit is not None else None,
                "oco_id": None if order.pair is None else self._pairs.setdefault(order.pair, row["oco_id"]),
            }
            what = f"order {self._label(number)}"
            for column, value in expected.items():
                got = reason_class(row["reason"]) if column == "reason" else row[column]
                if value != got and not (column == "reason" and _both_kill(order, got)):
                    self.differences.add(f"{what} {column} ({row['status']}: {row['reason']})", value, got)
        for number in missing:
            self.differences.add(f"order {self._label(number)}", self._model.orders[number].status, "no row")

    def _compare_trades(self, new: list[Trade], rows: list[dict[str, Any]]) -> None:
        columns = ("order_id", "account_id", "side", "quantity", "price", "commission", "liquidity")
        expected, got = defaultdict(list), defaultdict(list)
        for trade in new:
            expected[trade.instrument_id].append(
                (self._ids.get(trade.order_id), *(getattr(trade, column) for column in columns[1:]))
            )
        for row in rows:
            self._last_trade = max(self._last_trade, row["trade_id"])
            got[row["instrument_id"]].append((row["match_id"], [row[column] for column in columns], row))
        for instrument_id in {*expected, *got}:
            what = f"trades of {instrument_id}"
            found = got[instrument_id]
            self.differences.compare(what, expected[instrument_id], [tuple(values) for _, values, _ in found])
            # The two rows of a match lie side by side, and no other has its number.
            pairs = [(first[0], second[0]) for first, second in zip(found[::2], found[1::2], strict=False)]
            numbers = [first for first, _ in pairs]
            if any(first != second for first, second in pairs) or numbers != sorted(set(numbers)):
                self.differences.add(f"match_id of {what}", "two of each, ascending", pairs)
            for _, _, row in found[::2]:
                self._draw(row)

    def _draw(self, row: dict[str, Any]) -> None:
        """The bar of the minute of a match; `row` is one of its two, so the volume has it once."""
        bar = self._bars.setdefault((row["instrument_id"], row["minute"]), Bar(row["price"]))
        bar.add(row["price"], row["quantity"])

    def _compare_transactions(self, rows: list[dict[str, Any]]) -> None:
        expected, got = defaultdict(list), defaultdict(list)
        for each in self._model.ledger.transactions[self._transactions :]:
            expected[each.account_id].append((each.kind, each.amount, each.balance_after))
        for row in rows:
            self._last_transaction = max(self._last_transaction, row["transaction_id"])
            got[row["account_id"]].append((row["transaction_type"], row["amount"], row["balance_after"]))
        for account_id in {*expected, *got}:
            what = f"transactions of {self._name(account_id)}"
            self.differences.compare(what, expected[account_id], got[account_id])

    def _compare_positions(self, new: list[Trade], rows: list[dict[str, Any]], *, everything: bool) -> None:
        prints = defaultdict(set)
        for trade in new:
            prints[trade.instrument_id].add(trade.price)
        traded = {(trade.account_id, trade.instrument_id) for trade in new}
        got = {(row["account_id"], row["instrument_id"]): row for row in rows}
        wanted = set(self._model.ledger.positions) if everything else traded
        if not wanted <= set(got) <= set(self._model.ledger.positions):
            self.differences.add("positions", sorted(wanted), sorted(got))
        for key, row in got.items():
            position = self._model.ledger.positions.get(key)
            if position is None:
                continue
            what = f"position of {self._name(key[0])} in {key[1]}"
            average = rounded(position.average, 8)
            self.differences.compare(f"{what} quantity", position.quantity, row["quantity"])
            self.differences.compare(f"{what} average", average, row["average_price"])
            self.differences.compare(f"{what} realized", rounded(position.realized), row["realized_pnl"])
            # The average of what was bought may have no end, and the column has one.
            if abs(position.cost - Fraction(row["cost"])) > Fraction(1, 10**20):
                self.differences.add(f"{what} cost", position.cost, row["cost"])
            # After a trade it is marked at a price of the request's, until refresh_pnl (rule 20).
            marked = row["unrealized_pnl"]
            if key in traded:
                at_prints = [rounded(position.quantity * (price - average)) for price in prints[key[1]]]
                if marked not in at_prints:
                    self.differences.add(f"{what} unrealized", at_prints, marked)
                position.unrealized = Fraction(marked)
            self.differences.compare(f"{what} unrealized", position.unrealized, marked)

    def _compare_accounts(self, rows: list[dict[str, Any]], summaries: dict[str, dict[str, Any]]) -> None:
        for row in rows:
            account = self._model.ledger.accounts[row["account_id"]]
            name = self._name(account.account_id)
            self.differences.compare(f"accounts.balance of {name}", account.balance, row["balance"])
            self.differences.compare(
                f"accounts.commissions of {name}", account.commissions, row["commissions"]
            )
            reserved = risk.reserved(self._model, account)
            self.differences.compare(f"accounts.reserved of {name}", reserved, row["reserved"])
        for account_id, figures in summaries.items():
            expected, name = risk.summary(self._model, int(account_id)), self._name(int(account_id))
            for column, value in figures.items():
                self.differences.compare(f"{column} of {name}", getattr(expected, column), value)

    def _compare_books(
        self, instruments: Iterable[int], levels: list[list[Any]], turns: list[list[Any]]
    ) -> None:
        shown = defaultdict(list)
        in_turn = defaultdict(list)
        for instrument_id, side, price, quantity, orders in levels:
            shown[instrument_id, side].append((price, quantity, orders))
        for instrument_id, side, order_id in turns:
            in_turn[instrument_id, side].append(order_id)
        for instrument_id in instruments:
            waiting = self._model.waiting_stops(instrument_id)
            for side, expected in self._model.order_book(instrument_id).items():
                what = f"{side} side of {instrument_id}"
                self.differences.compare(what, expected, shown[instrument_id, side])
                there = [
                    *self._model.side_of_book(instrument_id, side),
                    *(stop for stop in waiting if stop.side == side),
                ]
                expected_turns = [self._ids[order.order_id] for order in there]
                self.differences.compare(f"turns on the {what}", expected_turns, in_turn[instrument_id, side])

    def _compare_quotes(
        self, tops: Sequence[tuple[int, Top]], rows: list[dict[str, Any]], *, in_parts: bool
    ) -> None:
        columns = ("bid_price", "bid_size", "ask_price", "ask_size")
        expected, got = defaultdict(list), defaultdict(list)
        for instrument_id, top in tops:
            expected[instrument_id].append(
                tuple(rounded(value, 8 - n % 2 * 6) for n, value in enumerate(top))
            )
        for row in rows:
            self._last_quote = max(self._last_quote, row["quote_id"])
            got[row["instrument_id"]].append(tuple(row[column] for column in columns))
        for instrument_id in {*expected, *got}:
            told, kept = expected[instrument_id], got[instrument_id]
            before = self._tops.get(instrument_id, (Fraction(0),) * 4)
            self._tops[instrument_id] = [before, *told][-1]
            if not (in_parts and _is_part_of(kept, told) and [before, *kept][-1] == [before, *told][-1]):
                self.differences.compare(f"quotes of {instrument_id}", told, kept)

    async def _compare_bars(self) -> None:
        rows = await self._connection.fetch(BARS, self._instruments)
        got = {(row["instrument_id"], row["minute"]): row for row in rows}
        self.differences.compare("minutes with a bar", sorted(self._bars), sorted(got))
        for key, bar in self._bars.items():
            if key not in got:
                continue
            row = got[key]
            prices = [row[column] for column in ("open", "high", "low", "close")]
            self.differences.compare(f"bar {key}", [bar.open, bar.high, bar.low, bar.close], prices)
            if abs(bar.volume - Fraction(row["volume"])) > bar.roundings:
                self.differences.add(f"volume of bar {key}", bar.volume, row["volume"])

    def _label(self, number: int | None) -> str:
        return next((label for label, known in self._cast.in_model.items() if known == number), str(number))

    def _name(self, account_id: int) -> str:
        return next(name for name, known in self._cast.world.accounts.items() if known == account_id)


def _state_of(order: Order) -> tuple[object, ...]:
    return (
        order.status,
        order.reason,
        order.quantity,
        order.filled,
        order.price,
        order.stop_price,
        order.triggered,
        order.place,
        order.covered,
    )


def _both_kill(order: Order, reason: object) -> bool:
    """What killed a fill or kill can be said in two ways: so little could trade, an own order was reached."""
    return order.time_in_force == "FOK" and {order.reason, reason} == {"liquidity", "self_trade"}


def _is_part_of(some: Sequence[object], whole: Iterable[object]) -> bool:
    """Whether they all occur, in that order, perhaps with others between."""
    rest = iter(whole)
    return all(each in rest for each in some)


@functools.lru_cache(maxsize=10_000)
def _number(text: str) -> Fraction:
    return Fraction(text)
