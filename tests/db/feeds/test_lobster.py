"""Reading LOBSTER message files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from db.feeds.lobster import Message, MessageType, TapeFileError, parse, read

GOOD = "34200.004241176,1,16113575,18,5853300,1"


def test_a_line_becomes_a_message() -> None:
    assert list(parse([GOOD], "tape")) == [
        Message(
            line=1,
            seconds=Decimal("34200.004241176"),
            type=MessageType.NEW,
            order_id=16113575,
            size=Decimal(18),
            price=Decimal("585.3300"),
            side="buy",
        )
    ]


def test_sell_orders_halts_and_empty_lines() -> None:
    new, halt = parse(["1.5,1,7,100,5850100,-1\n", "\n", "2,7,0,0,-1,-1\n"], "tape")
    assert (new.side, new.price) == ("sell", Decimal("585.01"))
    assert (halt.line, halt.type) == (3, MessageType.HALT)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("34200,1,1,18,5853300", "5 fields instead of 6 (time, type, order id, size, price, direction)"),
        ("noon,1,1,18,5853300,1", "time 'noon' is not a number of seconds after midnight"),
        ("86401,1,1,18,5853300,1", "time '86401' is not within the 86400 seconds of a day"),
        ("nan,1,1,18,5853300,1", "time 'nan' is not within"),
        ("34200,8,1,18,5853300,1", "type '8' is none of 1 to 7"),
        ("34200,x,1,18,5853300,1", "type 'x' is not a whole number"),
        ("34200,1,1,0,5853300,1", "size '0' is not above zero"),
        ("34200,1,1,18,58.5,1", "price '58.5' is not a whole number"),
        ("34200,4,1,18,-1,1", "price '-1' is not above zero"),
        ("34200,1,1,18,5853300,0", "direction '0' is neither 1 (buy) nor -1 (sell)"),
        ("34199,1,1,18,5853300,1", "time 34199 is before 34200.004241176 of the message above it"),
    ],
)
def test_a_bad_line_is_named_with_its_field_and_value(line: str, told: str) -> None:
    with pytest.raises(TapeFileError) as error:
        list(parse([GOOD, line], "day.csv"))
    assert str(error.value).startswith("day.csv, line 2: ")
    assert told in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapeFileError, match=r"none\.csv cannot be read: No such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(TapeFileError, match=r"empty\.csv is empty"):
        read(tmp_path / "empty.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG")
    with pytest.raises(TapeFileError, match="is not a LOBSTER message file"):
        read(tmp_path / "picture.csv")
    (tmp_path / "good.csv").write_text(f"{GOOD}\n")
    assert len(read(tmp_path / "good.csv")) == 1
