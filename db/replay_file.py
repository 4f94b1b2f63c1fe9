"""An account's history in a file that speaks for itself: events with their chain, the state before and after.

The file is JSON, a document a line: a header, the state before the first event (where there is one), the
events, the state after the last, and the SHA-256 of all lines before it. `check` needs no database: it
computes the file's hash and every link anew, and builds the state after from the state before and the events,
by rules of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any, TextIO

from db import journal
from db.database import Database, Record
from db.errors import RequestError
from db.values import utc

FORMAT = 1
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  UTC, as all times here
PAGE = 1000
ENDS = ("cancelled", "expired", "rejected")
WHOLE = ("accepted", "replaced", "reduced", "resized", "trailed")
"""Kinds of events whose detail are terms of the order as they are from then on."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: how many events, and the last link of the chain (hex)."""

    events: int
    link: str | None


@dataclass(slots=True)
class Checked:
    """What a file holds. `problems` is empty where all of it is as it was written."""

    account_number: str | None = None
    events: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    link: str | None = None
    problems: list[str] = field(default_factory=list)


async def export(
    db: Database, account_id: int, path: Path, start: datetime | None = None, end: datetime | None = None
) -> Exported:
    """Write what happened from `start` to `end` (both included; None: all) to a new file.

    Raises RequestError for an unknown account, for a time in which nothing happened, and where the file
    cannot be written or is there already.
    """
    bounds = (None if start is None else utc("start", start), None if end is None else utc("end", end))
    page = await _page(db, account_id, bounds, None)
    if not page:
        raise RequestError(
            "from", start, "nothing happened to the account from then on", "Choose another time."
        )
    before = await journal.previous_event(db, account_id, page[0]["event_id"])
    with _new_file(path) as file:
        sealed = _Sealed(file)
        await _header(db, account_id, before, sealed)
        count, link = 0, None
        while page:
            for row in page:
                link = row["link"].hex() if row["link"] is not None else link
                sealed.write({"event": row["event"], "link": row["link"] and row["link"].hex()})
            count += len(page)
            last = page[-1]["event_id"]
            page = await _page(db, account_id, bounds, last) if len(page) == PAGE else []
        sealed.write({"state_after": await _state(db, account_id, last)})
        sealed.close()
    return Exported(count, link)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """The file to write; where that fails half-way, there is none."""
    begun = False
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            begun = True
            yield file
    except BaseException as error:
        if begun:
            path.unlink()
        if isinstance(error, OSError):
            raise RequestError(
                "file", path, f"cannot be written ({error.strerror})", "Name a new file in a folder of yours."
            ) from error
        raise


class _Sealed:
    """Lines of JSON, and the hash of them all."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, document: dict[str, Any]) -> None:
        line = f"{json.dumps(document, ensure_ascii=False)}\n"
        self._hash.update(line.encode())
        self._file.write(line)

    def close(self) -> None:
        self._file.write(f"{json.dumps({'sha256': self._hash.hexdigest()})}\n")


async def _page(
    db: Database, account_id: int, bounds: tuple[datetime | None, datetime | None], after: int | None
) -> list[Record]:
    return await db.fetch(
        "select event_id, event, link from journal_texts($1, $2, $3, $4, $5)",
        account_id,
        *bounds,
        after,
        PAGE,
        within=journal.FIRST_READING,
    )


async def _header(db: Database, account_id: int, before: journal.Event | None, sealed: _Sealed) -> None:
    link = None
    if before is not None:
        link = await db.fetchval(
            "select journal_link($1, $2)", account_id, before.event_id, within=journal.FIRST_READING
        )
    number = (await journal.state(db, account_id)).account_number
    sealed.write(
        {
            "pitside_replay": FORMAT,
            "account_id": account_id,
            "account_number": number,
            "link_before": link and link.hex(),
        }
    )
    if before is not None:
        sealed.write({"state_before": await _state(db, account_id, before.event_id)})


async def _state(db: Database, account_id: int, event_id: int) -> dict[str, Any]:
    # Numbers as text: exact for whoever reads it.
    state: dict[str, Any] = json.loads(
        await journal.state_text(db, account_id, event_id=event_id), parse_float=str
    )
    return state


def check(path: Path) -> Checked:
    """Whether a file is as it was written, and right in itself. Raises RequestError for a file that is none
    of `export`."""
    checking = _Checking()
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file):
                document = json.loads(line)
                if number == 0 and document.get("pitside_replay") != FORMAT:
                    raise ValueError("it is no replay of this format")
                checking.take(document, line)
        return checking.finish()
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ArithmeticError) as error:
        raise RequestError(
            "file", path, f"cannot be read as a replay ({error})", "Name a file of trade replay export."
        ) from error


class _Checking:
    """Takes a file line by line."""

    def __init__(self) -> None:
        self.checked = Checked()
        self._hash = hashlib.sha256()
        self._sealed: str | None = None
        self._link = b""
        self._digests = b""
        self._balance = Decimal(0)
        self._orders: dict[int, dict[str, Any]] = {}
        self._positions: dict[int, tuple[Decimal, Decimal, Decimal]] = {}
        self._after: dict[str, Any] | None = None

    def take(self, document: dict[str, Any], line: str) -> None:
        if "sha256" in document:
            self._sealed = document["sha256"]
            return
        self._hash.update(line.encode())
        if "event" in document:
            self._chain(document["event"], document["link"])
            self._apply(document["event"])
        elif "state_before" in document:
            state = document["state_before"]
            self._balance = Decimal(state["balance"])
            self._orders = {each["order_id"]: dict(each) for each in state["orders"]}
            self._positions = _positions(state)
        elif "state_after" in document:
            self._after = document["state_after"]
        else:
            self.checked.account_number = document["account_number"]
            self._link = bytes.fromhex(document["link_before"] or "")

    def _chain(self, event: str, link: str | None) -> None:
        event_id, seconds = event.split("|", 2)[:2]
        self.checked.events += 1
        self.checked.last_at = EPOCH + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))
        self.checked.first_at = self.checked.first_at or self.checked.last_at
        self._digests += hashlib.sha256(event.encode()).digest()
        if link is None:
            return
        if hashlib.sha256(self._link + self._digests).hexdigest() != link:
            self.checked.problems.append(
                f"event {event_id} and those since the link before do not fit their link"
            )
        self._link, self._digests = bytes.fromhex(link), b""
        self.checked.link = link

    def _apply(self, event: str) -> None:
        _, _, _, kind, order, instrument, _, detail = event.split("|", 7)
        said = json.loads(detail, parse_float=Decimal)
        if "balance" in said:
            self._balance = Decimal(said["balance"])
        if kind == "filled":
            self._positions[int(instrument)] = (
                Decimal(said["position"]),
                Decimal(said["cost"]),
                _cents(Decimal(said["realized"])),
            )
        if order:
            _move(self._orders, int(order), kind, said)

    def finish(self) -> Checked:
        """The verdict, once all lines are taken."""
        problems = self.checked.problems
        if self._sealed != self._hash.hexdigest():
            problems.append("the file's hash is not that of its lines: it was changed or cut off")
        if self._digests:
            problems.append("the last events have no link")
        if self._after is None:
            problems.append("the state after the last event is missing")
        else:
            problems += self._differences(self._after)
        return self.checked

    def _differences(self, said: dict[str, Any]) -> Iterator[str]:
        if self._balance != Decimal(said["balance"]):
            yield f"the events come to a balance of {self._balance}, the state after says {said['balance']}"
        positions = _positions(said)
        for instrument_id in sorted({*positions, *self._positions}):
            if positions.get(instrument_id) != self._positions.get(instrument_id):
                yield f"the position in instrument {instrument_id} is not what the events come to"
        orders = {each["order_id"]: each for each in said["orders"]}
        for order_id in sorted({*orders, *self._orders}):
            if _terms(orders.get(order_id)) != _terms(self._orders.get(order_id)):
                yield f"order {order_id} is not what the events come to"


def _positions(state: dict[str, Any]) -> dict[int, tuple[Decimal, Decimal, Decimal]]:
    return {
        each["instrument_id"]: (
            Decimal(each["quantity"]),
            Decimal(each["cost"]),
            Decimal(each["realized_pnl"]),
        )
        for each in state["positions"]
    }


def _move(orders: dict[int, dict[str, Any]], order_id: int, kind: str, said: dict[str, Any]) -> None:
    order = orders.setdefault(order_id, {})
    if kind in WHOLE:
        order.update(said)
    elif kind == "filled":
        order.update(filled_quantity=said["filled_quantity"], reserved=said["reserved"])
    elif kind == "rested":
        order.update(reserved=said["reserved"], status="open")
    elif kind == "triggered":
        order["status"] = "open"
    final = kind in ENDS or Decimal(order.get("filled_quantity", 0)) >= Decimal(order.get("quantity", 0))
    if final:
        del orders[order_id]


def _cents(value: Decimal) -> Decimal:
    with localcontext(prec=100):
        exact = value.quantize(Decimal("1e-16"), ROUND_HALF_UP)
        return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _terms(order: dict[str, Any] | None) -> tuple[object, ...] | None:
    if order is None:
        return None
    numbers = ("quantity", "filled_quantity", "price", "stop_price", "reserved")
    return (
        *(None if order.get(name) is None else Decimal(order[name]) for name in numbers),
        *(order.get(name) for name in ("order_type", "side", "time_in_force", "client_order_id")),
        order.get("status") == "pending",
    )
