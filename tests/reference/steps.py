"""The requests of a story: each can be sent to the model and to the database.

A story is a list of steps. Orders go by a label given when they are placed, so a step can be left out of a
story and the others keep their meaning; one whose order was left out does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal

from db.database import Connection
from tests.reference.exchange import Exchange
from tests.reference.terms import Order, SenselessError, Terms
from tests.reference.world import World


@dataclass
class Cast:
    """Who is who in a story: the world, and the orders by label, in the model and in the database."""

    world: World
    in_model: dict[str, int]
    in_database: dict[str, int]


class Step:
    """One request. Both give the same answer, but for the ids of orders, which the cast keeps."""

    in_parts = False  # several requests in one, and the top of the book may be shown after each of them
    answers_ids = False

    def possible(self, orders: Mapping[str, int]) -> bool:
        """Whether the order that it speaks of is among these."""
        label = getattr(self, "order", None)
        return label is None or label in orders

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        """What the model answers; raises SenselessError."""
        raise NotImplementedError

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        """The same request in SQL; raises what the driver raises."""
        raise NotImplementedError

    def without(self, first: int, count: int) -> Step | None:
        """The same step with so many of its parts left out; None where it has not so many."""
        return None

    def __repr__(self) -> str:
        """As one would write it: only what differs from the defaults."""
        parts: list[str] = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value != field.default:
                plain = str(value) if isinstance(value, Decimal) else value
                parts.append(
                    f"{plain!r}" if len(parts) == _position(self, field.name) else f"{field.name}={plain!r}"
                )
        return f"{type(self).__name__}({', '.join(parts)})"


def _position(step: Step, name: str) -> int:
    return [field.name for field in fields(step)].index(name)  # type: ignore[arg-type]


def number(value: str | None) -> Decimal | None:
    """What the text says."""
    return None if value is None else Decimal(value)


@dataclass(frozen=True, repr=False)
class Place(Step):
    """`place_order`; `label` names the order."""

    label: str
    account: str
    instrument: str
    side: str
    order_type: str
    quantity: str
    price: str | None = None
    stop_price: str | None = None
    time_in_force: str = "GTC"
    post_only: bool = False
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    answers_ids = True

    def terms(self, cast: Cast) -> Terms:
        """With ids for names and numbers for text."""
        return Terms(
            cast.world.account(self.account),
            cast.world.instrument(self.instrument),
            self.order_type,
            self.side,
            Decimal(self.quantity),
            number(self.price),
            number(self.stop_price),
            self.time_in_force,
            self.post_only,
            self.self_trade,
            self.client_order_id,
        )

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        number = model.place(self.terms(cast))
        cast.in_model[self.label] = number
        return number

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        order_id = await connection.fetchval(
            "select place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            *vars(self.terms(cast)).values(),
        )
        cast.in_database[self.label] = order_id
        return order_id


@dataclass(frozen=True, repr=False)
class PlaceAll(Step):
    """`place_orders`: several in one request. The answer is each one's status. An element that is text
    instead is JSON of which no order can be made, sent as it is."""

    orders: tuple[Place | str, ...]

    in_parts = True

    def without(self, first: int, count: int) -> Step | None:
        rest = self.orders[:first] + self.orders[first + count :]
        return PlaceAll(rest) if rest and len(rest) < len(self.orders) else None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        numbers: list[int | None] = []
        for order in self.orders:
            try:
                if isinstance(order, str):
                    raise SenselessError("order")
                numbers.append(model.place(order.terms(cast)))
                cast.in_model[order.label] = numbers[-1] or 0
            except SenselessError:
                numbers.append(None)
        return [model.orders[number].status if number else "error" for number in numbers]

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        rows = await connection.fetch(
            "select * from place_orders($1::jsonb) order by ordinal",
            f"[{', '.join(each if isinstance(each, str) else _json(each, cast) for each in self.orders)}]",
        )
        for order, row in zip(self.orders, rows, strict=True):
            if row["order_id"] is not None and isinstance(order, Place):
                cast.in_database[order.label] = row["order_id"]
        return [
            row["status"] if (row["order_id"] is None) == (row["status"] == "error") else row for row in rows
        ]


def _json(order: Place, cast: Cast) -> str:
    terms = vars(order.terms(cast)).items()
    return json.dumps({word: str(value) if isinstance(value, Decimal) else value for word, value in terms})


@dataclass(frozen=True, repr=False)
class InsertAndMatch(Step):
    """Sound market and limit orders put straight into the table, then `match_pending`."""

    orders: tuple[Place, ...]

    in_parts = True

    def without(self, first: int, count: int) -> Step | None:
        rest = self.orders[:first] + self.orders[first + count :]
        return InsertAndMatch(rest) if rest and len(rest) < len(self.orders) else None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        for order in self.orders:
            order.ask_model(model, cast)
        return len(self.orders)

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        for order in self.orders:
            terms = vars(order.terms(cast))
            columns, places = ", ".join(terms), ", ".join(f"${n}" for n in range(1, len(terms) + 1))
            cast.in_database[order.label] = await connection.fetchval(
                f"insert into orders ({columns}) values ({places}) returning order_id", *terms.values()
            )
        return await connection.fetchval("select match_pending()")


@dataclass(frozen=True, repr=False)
class Replace(Step):
    """`replace_order`."""

    order: str
    quantity: str | None = None
    price: str | None = None
    stop_price: str | None = None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        new = (number(self.quantity), number(self.price), number(self.stop_price))
        return model.replace(cast.in_model[self.order], *new)

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        new = (number(self.quantity), number(self.price), number(self.stop_price))
        return await connection.fetchval(
            "select replace_order($1, $2, $3, $4)", cast.in_database[self.order], *new
        )


@dataclass(frozen=True, repr=False)
class Cancel(Step):
    """`cancel_order`."""

    order: str

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        return model.cancel(cast.in_model[self.order])

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        return await connection.fetchval("select cancel_order($1)", cast.in_database[self.order])


@dataclass(frozen=True, repr=False)
class CancelAll(Step):
    """`cancel_all_orders`."""

    account: str
    instrument: str | None = None
    side: str | None = None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        instrument_id = None if self.instrument is None else cast.world.instruments[self.instrument]
        return model.cancel_all(cast.world.accounts[self.account], instrument_id, self.side)

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        instrument_id = None if self.instrument is None else cast.world.instruments[self.instrument]
        return await connection.fetchval(
            "select cancel_all_orders($1, $2, $3)",
            cast.world.accounts[self.account],
            instrument_id,
            self.side,
        )


@dataclass(frozen=True, repr=False)
class ExpireDayOrders(Step):
    """`expire_day_orders`: those entered before `order`, or all."""

    order: str | None = None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        if self.order is None:
            return model.expire_day_orders()
        first_kept = cast.in_model[self.order]

        def entered_before(order: Order) -> bool:
            return order.order_id < first_kept

        return model.expire_day_orders(entered_before)

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        if self.order is None:
            return await connection.fetchval("select expire_day_orders()")
        return await connection.fetchval(
            "select expire_day_orders((select created_at from orders where order_id = $1))",
            cast.in_database[self.order],
        )


@dataclass(frozen=True, repr=False)
class Deposit(Step):
    """`deposit`."""

    account: str
    amount: str

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        model.deposit(cast.world.accounts[self.account], Decimal(self.amount))
        return None

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        account_id = cast.world.accounts[self.account]
        await connection.fetchval("select deposit($1, $2)", account_id, Decimal(self.amount))
        return None


@dataclass(frozen=True, repr=False)
class Withdraw(Step):
    """`withdraw`."""

    account: str
    amount: str

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        model.withdraw(cast.world.accounts[self.account], Decimal(self.amount))
        return None

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        account_id = cast.world.accounts[self.account]
        await connection.fetchval("select withdraw($1, $2)", account_id, Decimal(self.amount))
        return None


@dataclass(frozen=True, repr=False)
class RefreshPnl(Step):
    """`refresh_pnl`, of one account or of all."""

    account: str | None = None

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        return model.refresh_pnl(None if self.account is None else cast.world.accounts[self.account])

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        account_id = None if self.account is None else cast.world.accounts[self.account]
        return await connection.fetchval("select refresh_pnl($1)", account_id)


@dataclass(frozen=True, repr=False)
class SetAccount(Step):
    """An administrator closes or opens an account, or its user."""

    account: str
    active: bool
    by_user: bool = False

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        account = model.ledger.accounts[cast.world.accounts[self.account]]
        if self.by_user:
            account.user_is_active = self.active
        else:
            account.has_active_status = self.active
        return None

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        account_id = cast.world.accounts[self.account]
        if self.by_user:
            await connection.execute(
                "update users set is_active = $2"
                " where user_id = (select user_id from accounts where account_id = $1)",
                account_id,
                self.active,
            )
        else:
            status = "active" if self.active else "suspended"
            await connection.execute(
                "update accounts set status = $2 where account_id = $1", account_id, status
            )
        return None


@dataclass(frozen=True, repr=False)
class SetInstrument(Step):
    """An administrator halts an instrument, or lets it trade again."""

    instrument: str
    active: bool

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        instrument_id = cast.world.instruments[self.instrument]
        (model.inactive.discard if self.active else model.inactive.add)(instrument_id)
        return None

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        await connection.execute(
            "update instruments set is_active = $2 where instrument_id = $1",
            cast.world.instruments[self.instrument],
            self.active,
        )
        return None
