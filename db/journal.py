"""The past: an account and a book as they stood at any moment, and what happened in between.

Everything here is rebuilt from the journal (docs/rules.md); nothing changes anything. Times are UTC without
a zone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from db.accounts import Position, Summary
from db.database import ANSWER_TIMEOUT, Database, Record
from db.errors import RequestError
from db.market import Book, Level
from db.orders import Order
from db.values import utc

FIRST_READING = 600.0
"""Seconds that a state may take. The first look at a long history writes its checkpoints; after that it is
milliseconds."""

PAGE = 1000
"""Events in a page of `all_events`."""

FIGURES = tuple(Summary.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account. `kind` and `detail` are the journal's; what has decimals in
    `detail` is Decimal."""

    event_id: int
    at: datetime
    kind: str
    order_id: int | None
    instrument_id: int | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """An account as it stood at `at`, after `event_id` (None: before its first event).

    The same values as those of the present, so that what shows one can show the other: `summary` and
    `positions` are marked at the prices of that moment, `orders` are those that were working. `transactions`
    is how many there had been.
    """

    account_id: int
    at: datetime
    event_id: int | None
    account_number: str | None
    account_type: str | None
    currency: str | None
    status: str | None
    summary: Summary
    positions: tuple[Position, ...]
    orders: tuple[Order, ...]
    transactions: int


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last event of an account; None for an account to which nothing happened."""

    first_event: int | None
    first_at: datetime | None
    last_event: int | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """An account that a search found; `found_by` is `number`, `user`, `order` or `client order id`."""

    account_id: int
    account_number: str
    username: str | None
    found_by: str


async def state(
    db: Database, account_id: int, at: datetime | None = None, *, event_id: int | None = None
) -> State:
    """The account at a moment (None: now), or after an event. Raises RequestError for an unknown account, and
    for an event before its first."""
    return parse_state(await state_text(db, account_id, at, event_id=event_id))


async def state_text(
    db: Database, account_id: int, at: datetime | None = None, *, event_id: int | None = None
) -> str:
    """The same as the JSON of `account_state`, for programs. Raises as `state` does."""
    query = "select account_state($1)"
    arguments: tuple[object, ...] = (account_id,)
    if event_id is not None:
        query, arguments = "select account_state($1, p_event_id => $2)", (account_id, event_id)
    elif at is not None:
        query, arguments = "select account_state($1, $2)", (account_id, utc("at", at))
    text: str = await db.fetchval(query, *arguments, within=FIRST_READING)
    return text


def parse_state(text: str) -> State:
    """A `State` from the JSON of `account_state`."""
    said: dict[str, Any] = json.loads(text, parse_float=Decimal)
    account_id = said["account_id"]
    figures: dict[str, Any] = {
        name: said[name] if isinstance(said[name], bool) else Decimal(said[name]) for name in FIGURES
    }
    return State(
        account_id,
        _moment(said["at"]),
        said["event_id"],
        said["account_number"],
        said["account_type"],
        said["currency"],
        said["status"],
        Summary(**figures),
        tuple(_position(account_id, each) for each in said["positions"]),
        tuple(_order(account_id, each) for each in said["orders"]),
        said["transactions"],
    )


async def book(
    db: Database,
    instrument_id: int,
    at: datetime | None = None,
    *,
    event_id: int | None = None,
    depth: int = 20,
) -> Book:
    """The book as it stood at a moment (None: now) or after an event, `depth` levels a side. Raises
    RequestError for an unknown instrument."""
    columns = "select side, price, quantity, orders from book_state"
    if event_id is not None:
        rows = await db.fetch(
            f"{columns}($1, p_depth => $2, p_event_id => $3)",
            instrument_id,
            depth,
            event_id,
            within=FIRST_READING,
        )
    elif at is not None:
        rows = await db.fetch(
            f"{columns}($1, $2, $3)", instrument_id, utc("at", at), depth, within=FIRST_READING
        )
    else:
        rows = await db.fetch(f"{columns}($1, p_depth => $2)", instrument_id, depth, within=FIRST_READING)
    sides: dict[str, list[Level]] = {"buy": [], "sell": []}
    for row in rows:
        sides[row["side"]].append(Level(row["price"], row["quantity"], row["orders"]))
    return Book(instrument_id, tuple(sides["buy"]), tuple(sides["sell"]))


async def events(
    db: Database,
    account_id: int,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    kinds: Sequence[str] | None = None,
    instrument_id: int | None = None,
    order_id: int | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> list[Event]:
    """A page of what happened from `start` to `end`, both included, in order; the next one is `after` the
    last event of this. Raises RequestError for an unknown account."""
    rows = await db.fetch(
        "select * from account_events($1, $2, $3, $4, $5, $6, $7, $8)",
        account_id,
        None if start is None else utc("start", start),
        None if end is None else utc("end", end),
        None if kinds is None else list(kinds),
        instrument_id,
        order_id,
        after,
        limit,
        within=ANSWER_TIMEOUT,
    )
    return [_event(row) for row in rows]


async def all_events(
    db: Database,
    account_id: int,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    kinds: Sequence[str] | None = None,
    instrument_id: int | None = None,
) -> AsyncIterator[Event]:
    """What `events` gives, page after page."""
    after = None
    while page := await events(
        db, account_id, start, end, kinds=kinds, instrument_id=instrument_id, after=after
    ):
        for event in page:
            yield event
        if len(page) < PAGE:
            return
        after = page[-1].event_id


async def events_back(
    db: Database,
    account_id: int,
    before: int | None = None,
    *,
    kinds: Sequence[str] | None = None,
    instrument_id: int | None = None,
    limit: int = PAGE,
) -> list[Event]:
    """A page of what happened before an event (None: to the end), latest first."""
    rows = await db.fetch(
        "select * from account_events_back($1, $2, $3, $4, $5)",
        account_id,
        before,
        None if kinds is None else list(kinds),
        instrument_id,
        limit,
        within=ANSWER_TIMEOUT,
    )
    return [_event(row) for row in rows]


async def next_event(
    db: Database,
    account_id: int,
    event_id: int | None,
    *,
    kinds: Sequence[str] | None = None,
    instrument_id: int | None = None,
) -> Event | None:
    """The event after that one (None: the first), of these kinds where they are given; None at the end."""
    found = await events(db, account_id, kinds=kinds, instrument_id=instrument_id, after=event_id, limit=1)
    return found[0] if found else None


async def previous_event(
    db: Database,
    account_id: int,
    event_id: int | None,
    *,
    kinds: Sequence[str] | None = None,
    instrument_id: int | None = None,
) -> Event | None:
    """The event before that one (None: the last), of these kinds where they are given; None at the
    beginning."""
    found = await events_back(db, account_id, event_id, kinds=kinds, instrument_id=instrument_id, limit=1)
    return found[0] if found else None


async def span(db: Database, account_id: int) -> Span:
    """Since when and until when there is anything to replay. Raises RequestError for an unknown account."""
    row = await db.fetchrow("select * from account_span($1)", account_id, within=ANSWER_TIMEOUT)
    return Span(None, None, None, None) if row is None else Span(**row)


async def density(
    db: Database, account_id: int, start: datetime, end: datetime, buckets: int = 100
) -> list[tuple[datetime, int]]:
    """How many events there were in each of so many equal parts of the time, by the beginning of each."""
    rows = await db.fetch(
        "select at, events from account_density($1, $2, $3, $4)",
        account_id,
        utc("start", start),
        utc("end", end),
        buckets,
        within=FIRST_READING,
    )
    return [(row["at"], row["events"]) for row in rows]


async def find(db: Database, text: str) -> list[Found]:
    """The accounts that a number, a user's name, an order id or a client order id stands for."""
    rows = await db.fetch("select * from find_accounts($1)", text, within=ANSWER_TIMEOUT)
    return [Found(**row) for row in rows]


async def find_one(db: Database, text: str) -> Found:
    """The one account that the text stands for; its number wins. Raises RequestError for none and for
    several."""
    found = await find(db, text)
    exact = [each for each in found if each.found_by == "number"] or found
    if len(exact) == 1:
        return exact[0]
    if not exact:
        raise RequestError(
            "account",
            text,
            "is no account's number, user, order or client order id",
            "The table accounts lists them.",
        )
    numbers = ", ".join(each.account_number for each in exact)
    raise RequestError("account", text, "stands for several accounts", f"Name one of {numbers}.")


async def keep_checkpoints(db: Database) -> int:
    """Write the checkpoints that are missing, so that no reader has to wait for them; returns how many. For
    whoever looks after the database, now and then."""
    made: int = await db.fetchval("select keep_checkpoints()", within=FIRST_READING)
    return made


def _event(row: Record) -> Event:
    return Event(
        row["event_id"],
        row["at"],
        row["kind"],
        row["order_id"],
        row["instrument_id"],
        json.loads(row["detail"], parse_float=Decimal),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _position(account_id: int, said: dict[str, Any]) -> Position:
    return Position(
        account_id=account_id,
        instrument_id=said["instrument_id"],
        symbol=said["symbol"],
        quantity=Decimal(said["quantity"]),
        average_price=Decimal(said["average_price"]),
        cost=Decimal(said["cost"]),
        mark=Decimal(said["mark"]),
        market_value=Decimal(said["market_value"]),
        unrealized_pnl=Decimal(said["unrealized_pnl"]),
        realized_pnl=Decimal(said["realized_pnl"]),
    )


def _order(account_id: int, said: dict[str, Any]) -> Order:
    return Order(
        order_id=said["order_id"],
        account_id=account_id,
        instrument_id=said["instrument_id"],
        symbol=said["symbol"],
        order_type=said["order_type"],
        side=said["side"],
        quantity=Decimal(said["quantity"]),
        filled_quantity=Decimal(said["filled_quantity"]),
        price=_decimal(said["price"]),
        stop_price=_decimal(said["stop_price"]),
        status=said["status"],
        time_in_force=said["time_in_force"],
        post_only=said["post_only"],
        self_trade=said["self_trade"],
        client_order_id=said["client_order_id"],
        reason=None,
        created_at=_moment(said["created_at"]),
        updated_at=_moment(said["updated_at"]),
        filled_at=None,
    )
