"""LOBSTER message files: what happened in one instrument's book, one message per line, no header.

Columns: seconds after midnight, type, order id, size, price × 10,000, direction of the resting order (1
buy, −1 sell).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from pathlib import Path

from db.errors import PitsideError

PRICE_SCALE = -4  # a price of 5853300 is 585.33
COLUMNS = ("time", "type", "order id", "size", "price", "direction")


class MessageType(IntEnum):
    """What a message tells."""

    NEW = 1
    """A new limit order."""
    REDUCED = 2
    """A part of an order is cancelled; the size is what goes."""
    DELETED = 3
    """The whole rest of an order is cancelled."""
    EXECUTED = 4
    """An execution of a visible order."""
    HIDDEN = 5
    """An execution of a hidden order: the visible book does not change."""
    CROSS = 6
    """An auction's trade: the visible book does not change."""
    HALT = 7
    """Trading halts or resumes."""


ON_THE_BOOK = (MessageType.NEW, MessageType.REDUCED, MessageType.DELETED, MessageType.EXECUTED)


@dataclass(frozen=True, slots=True)
class Message:
    """One line: `seconds` after midnight on the exchange's clock, `side` and `price` of the resting order.

    `order_id` is the exchange's; it says nothing about the ids in our database. `side` and `price` are
    those of an order only where `type` is one of ON_THE_BOOK.
    """

    line: int
    seconds: Decimal
    type: MessageType
    order_id: int
    size: Decimal
    price: Decimal
    side: str


class TapeFileError(PitsideError):
    """A message file cannot be read; the message names file, line, field and value."""

    title = "The tape cannot be read"


def read(path: Path) -> list[Message]:
    """All messages of a file, in order. Raises TapeFileError; an empty file is one too."""
    try:
        with path.open(encoding="ascii", newline="") as lines:
            messages = list(parse(lines, str(path)))
    except OSError as error:
        raise TapeFileError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TapeFileError(f"{path} is not a LOBSTER message file: byte {error.start} is not text") from None
    if not messages:
        raise TapeFileError(f"{path} is empty: a LOBSTER message file has one message per line")
    return messages


def parse(lines: Iterable[str], name: str) -> Iterator[Message]:
    """The messages of some lines; `name` stands for the file in errors. Raises TapeFileError at the
    first bad line."""
    before = Decimal(0)
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        message = _Line(name, number, text).message()
        if message.seconds < before:
            raise TapeFileError(
                f"{name}, line {number}: time {message.seconds} is before {before} of the message above it; "
                "a tape is in order of time"
            )
        before = message.seconds
        yield message


class _Line:
    """One line on its way to a message; knows where it stands for the sake of errors."""

    def __init__(self, name: str, number: int, text: str) -> None:
        self._place = f"{name}, line {number}"
        self._number = number
        fields = text.strip().split(",")
        if len(fields) != len(COLUMNS):
            raise TapeFileError(
                f"{self._place}: {len(fields)} fields instead of {len(COLUMNS)} "
                f"({', '.join(COLUMNS)}): {text.strip()[:80]!r}"
            )
        self._fields = dict(zip(COLUMNS, fields, strict=True))

    def message(self) -> Message:
        kind = self._type()
        visible = kind in ON_THE_BOOK
        direction = self._integer("direction")
        if visible and direction not in (1, -1):
            raise self._wrong("direction", "is neither 1 (buy) nor -1 (sell)")
        return Message(
            self._number,
            self._seconds(),
            kind,
            self._integer("order id"),
            Decimal(self._integer("size", positive=visible)),
            Decimal(self._integer("price", positive=visible)).scaleb(PRICE_SCALE),
            "buy" if direction == 1 else "sell",
        )

    def _type(self) -> MessageType:
        try:
            return MessageType(self._integer("type"))
        except ValueError:
            raise self._wrong("type", "is none of 1 to 7") from None

    def _seconds(self) -> Decimal:
        try:
            seconds = Decimal(self._fields["time"])
        except InvalidOperation:
            raise self._wrong("time", "is not a number of seconds after midnight") from None
        if not (seconds.is_finite() and 0 <= seconds <= 86_400):
            raise self._wrong("time", "is not within the 86400 seconds of a day")
        return seconds

    def _integer(self, field: str, *, positive: bool = False) -> int:
        try:
            value = int(self._fields[field])
        except ValueError:
            raise self._wrong(field, "is not a whole number") from None
        if positive and value <= 0:
            raise self._wrong(field, "is not above zero")
        return value

    def _wrong(self, field: str, reason: str) -> TapeFileError:
        return TapeFileError(f"{self._place}: {field} {self._fields[field].strip()!r} {reason}")
