"""Plays a story in the model and in the database at once, and compares after every step."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from db.database import Connection, translated
from db.errors import PitsideError, RequestError
from tests.reference import risk
from tests.reference.numbers import plain, rounded
from tests.reference.reasons import reason_class
from tests.reference.steps import Cast, Place, Step
from tests.reference.terms import SenselessError
from tests.reference.world import World, set_up

# Everything of this world that may have changed, in one round trip.
STATE = """
select jsonb_build_object(
    'orders', (select coalesce(jsonb_agg(to_jsonb(o) order by order_id), '[]') from orders o
               where account_id = any($1) and (order_id > $3 or order_id = any($4))),
    'trades', (select coalesce(jsonb_agg(to_jsonb(t) order by trade_id), '[]') from trades t
               where trade_id > $5 and instrument_id = any($2)),
    'transactions', (select coalesce(jsonb_agg(to_jsonb(t) order by transaction_id), '[]') from transactions t
                     where transaction_id > $6 and account_id = any($1)),
    'positions', (select coalesce(jsonb_agg(to_jsonb(p)), '[]') from positions p where account_id = any($1)),
    'accounts', (select jsonb_agg(to_jsonb(a)) from accounts a where account_id = any($1)),
    'summaries', (select jsonb_object_agg(a, to_jsonb(s)) from unnest($1::bigint[]) a, account_summary(a) s),
    'books', (select coalesce(jsonb_agg(to_jsonb(b) || jsonb_build_object('instrument_id', i)), '[]')
              from unnest($2::bigint[]) i, order_book(i, 1000) b))
"""


class Difference(AssertionError):  # noqa: N818  what it is called in the field
    """The database did not do what the model says."""


class LedgerDifference(Difference):
    """The database's own check of its books finds something."""


class Arena:
    """One world, in both."""

    def __init__(self, connection: Connection, world: World) -> None:
        self.connection = connection
        self.model = world.model()
        self.cast = Cast(world, {}, {})
        self.story: list[Step] = []
        self._accounts = list(world.accounts.values())
        self._instruments = list(world.instruments.values())
        self._order_ids: dict[int, int] = {}  # in the model → in the database
        self._last_order = self._last_trade = self._last_transaction = 0
        self._known_trades = self._known_transactions = 0
        self._worked: list[int] = []  # in the model, what was working when it was compared last
        self._differences: list[str] = []

    @classmethod
    async def open(cls, connection: Connection) -> Arena:
        """A new world in the database, in which nothing has happened."""
        await connection.fetchval("select expire_day_orders()")  # of worlds before this one
        return cls(connection, await set_up(connection))

    async def play(self, steps: Iterable[Step], *, verify_every: int = 50) -> None:
        """All of a story; raises Difference at the first step where the two part.

        The database checks its own books every so many steps and at the end; never where that is 0.
        """
        for step in steps:
            if step.possible(self.cast.in_model):
                await self._ask(step)
                await self.compare()
                if verify_every and len(self.story) % verify_every == 0:
                    await self.verify()
        if verify_every:
            await self.verify()

    async def verify(self) -> None:
        """The database's own check of its books finds nothing."""
        found = await self.connection.fetch("select * from verify_ledger()")
        if found:
            raise LedgerDifference(
                f"verify_ledger() says {[dict(row) for row in found]} after {self.story[-1]!r}"
            )

    async def _ask(self, step: Step) -> None:
        """Both, and compare what they answer."""
        self.story.append(step)
        expected: object
        try:
            expected = step.ask_model(self.model, self.cast)
        except SenselessError as error:
            expected = error
        got: object
        try:
            with translated(self.connection, "the test's database"):
                got = await step.ask_database(self.connection, self.cast)
        except PitsideError as error:
            got = error
        self._compare_answers(step, expected, got)
        self._raise_differences()

    def follow(self, step: Place, order_id: int) -> None:
        """Play in the model what somebody else has done in the database already."""
        self.story.append(step)
        number = step.ask_model(self.model, self.cast)
        self.cast.in_database[step.label] = order_id
        self._compare_answers(step, number, order_id)
        self._raise_differences()

    def _raise_differences(self) -> None:
        if self._differences:
            raise Difference(f"after {self.story[-1]!r}:\n  " + "\n  ".join(self._differences))

    def _compare_answers(self, step: Step, expected: object, got: object) -> None:
        if isinstance(expected, SenselessError) or isinstance(got, PitsideError):
            fields = expected.fields if isinstance(expected, SenselessError) else {repr(expected)}
            if not isinstance(got, RequestError) or got.field not in fields:
                self._differ("answer", f"an error of {sorted(fields)}", repr(got))
            return
        for label, number in self.cast.in_model.items():
            order_id = self.cast.in_database.get(label)
            if order_id is None:
                self._differ(f"order {label}", f"is order {number}", "has none")
            else:
                self._same(f"id of order {label}", self._order_ids.setdefault(number, order_id), order_id)
        if not isinstance(step, Place):
            self._same("answer", expected, got)

    async def compare(self) -> None:
        """Everything that can have changed since it was compared last; raises Difference."""
        state = json.loads(
            await self.connection.fetchval(
                STATE,
                self._accounts,
                self._instruments,
                self._last_order,
                [self._order_ids[number] for number in self._worked],
                self._last_trade,
                self._last_transaction,
            ),
            parse_float=Decimal,
        )
        self._compare_orders(state["orders"])
        self._compare_trades(state["trades"])
        self._compare_transactions(state["transactions"])
        self._compare_positions(state["positions"])
        self._compare_accounts(state["accounts"], state["summaries"])
        self._compare_books(state["books"])
        self._raise_differences()
        ledger = self.model.ledger
        self._known_trades, self._known_transactions = len(ledger.trades), len(ledger.transactions)
        self._worked = [number for number, order in self.model.orders.items() if order.is_working]

    def _compare_orders(self, rows: list[dict[str, Any]]) -> None:
        numbers = {in_database: number for number, in_database in self._order_ids.items()}
        changed = {
            *self._worked,
            *(n for n, in_database in self._order_ids.items() if in_database > self._last_order),
        }
        self._same("orders", sorted(self._order_ids[n] for n in changed), [row["order_id"] for row in rows])
        for row in rows:
            self._last_order = max(self._last_order, row["order_id"])
            if row["order_id"] not in numbers:
                continue
            order = self.model.orders[numbers[row["order_id"]]]
            account = self.model.ledger.accounts[order.account_id]
            what = f"order {self._label(order.order_id)}"
            self._same(f"{what} status ({row['reason']}; {order.reason})", order.status, row["status"])
            self._same(f"{what} reason {row['reason']!r}", order.reason, reason_class(row["reason"]))
            self._same(f"{what} quantity", order.quantity, row["quantity"])
            self._same(f"{what} filled", order.filled, row["filled_quantity"])
            self._same(f"{what} price", order.price, row["price"])
            self._same(f"{what} stop_price", order.stop_price, row["stop_price"])
            reserved = risk.reserve_for(account, order) if order.is_working else 0
            self._same(f"{what} reserved", reserved, row["reserved"])
            self._same(f"{what} is triggered", order.triggered, row["triggered_at"] is not None)
            self._same(f"{what} has filled_at", order.status == "filled", row["filled_at"] is not None)

    def _compare_trades(self, rows: list[dict[str, Any]]) -> None:
        columns = (
            "order_id",
            "account_id",
            "instrument_id",
            "side",
            "quantity",
            "price",
            "commission",
            "liquidity",
        )
        matches = defaultdict(list)
        for row in rows:
            self._last_trade = max(self._last_trade, row["trade_id"])
            matches[row["match_id"]].append(tuple(row[column] for column in columns))
        expected = []
        new = self.model.ledger.trades[self._known_trades :]
        for maker, taker in zip(new[::2], new[1::2], strict=True):
            pair = [tuple(getattr(each, column) for column in columns) for each in (maker, taker)]
            expected.append(sorted((self._order_ids[each[0]], *each[1:]) for each in pair))
        self._same("trades", expected, [sorted(pair) for _, pair in sorted(matches.items())])

    def _compare_transactions(self, rows: list[dict[str, Any]]) -> None:
        expected, got = defaultdict(list), defaultdict(list)
        for each in self.model.ledger.transactions[self._known_transactions :]:
            expected[each.account_id].append((each.kind, each.amount, each.balance_after))
        for row in rows:
            self._last_transaction = max(self._last_transaction, row["transaction_id"])
            got[row["account_id"]].append((row["transaction_type"], row["amount"], row["balance_after"]))
        for account_id in {*expected, *got}:
            self._same(f"transactions of {self._name(account_id)}", expected[account_id], got[account_id])

    def _compare_positions(self, rows: list[dict[str, Any]]) -> None:
        got = {(row["account_id"], row["instrument_id"]): row for row in rows}
        self._same("positions", sorted(self.model.ledger.positions), sorted(got))
        for key, position in self.model.ledger.positions.items():
            row, what = got.get(key), f"position of {self._name(key[0])} in {key[1]}"
            if row is None:
                continue
            self._same(f"{what} quantity", position.quantity, row["quantity"])
            self._same(f"{what} average", rounded(position.average, 8), row["average_price"])
            self._same(f"{what} realized", rounded(position.realized), row["realized_pnl"])
            # The average of what was bought may have no end, and numeric has one.
            self._same(f"{what} cost", rounded(position.cost, 12), rounded(Fraction(row["cost"]), 12))

    def _compare_accounts(self, rows: list[dict[str, Any]], summaries: dict[str, dict[str, Any]]) -> None:
        for row in rows:
            account_id = row["account_id"]
            expected, name = risk.summary(self.model, account_id), self._name(account_id)
            self._same(f"accounts.balance of {name}", expected.balance, row["balance"])
            self._same(f"accounts.reserved of {name}", expected.reserved, row["reserved"])
            for column, value in summaries[str(account_id)].items():
                self._same(f"{column} of {name}", getattr(expected, column), value)

    def _compare_books(self, rows: list[dict[str, Any]]) -> None:
        for instrument_id in self._instruments:
            for side, expected in self.model.order_book(instrument_id).items():
                got = [
                    (row["price"], row["quantity"], row["orders"])
                    for row in rows
                    if row["instrument_id"] == instrument_id and row["side"] == side
                ]
                self._same(f"{side} side of {instrument_id}", expected, got)

    def _same(self, what: str, expected: object, got: object) -> None:
        if expected != got:
            self._differ(what, _readable(expected), _readable(got))

    def _differ(self, what: str, expected: str, got: str) -> None:
        self._differences.append(f"{what}: the rules say {expected}, the database {got}")

    def _label(self, number: int) -> str:
        return next((label for label, known in self.cast.in_model.items() if known == number), str(number))

    def _name(self, account_id: int) -> str:
        return next(name for name, known in self.cast.world.accounts.items() if known == account_id)


def _readable(value: object) -> str:
    if isinstance(value, Fraction | Decimal):
        return plain(Fraction(value))
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_readable(each) for each in value) + "]"
    return repr(value)


async def shortest(
    connection: Connection, story: Sequence[Step], difference: Difference
) -> tuple[list[Step], Difference]:
    """A story with the same kind of difference and as few steps as can be had by leaving steps out."""
    verify_every = 1 if isinstance(difference, LedgerDifference) else 0
    best, size = list(story), max(len(story) // 2, 1)
    while size:
        start = 0
        while start < len(best):
            arena = await Arena.open(connection)
            try:
                await arena.play(best[:start] + best[start + size :], verify_every=verify_every)
            except Difference as found:
                best, difference = arena.story, found
            else:
                start += size
        size //= 2
    return best, difference
