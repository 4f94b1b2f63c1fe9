"""How numbers look."""

from __future__ import annotations

from decimal import Decimal

import pytest

from terminal import format as words
from terminal.format import parse


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        ("1234.5", 2, "1,234.50"),
        ("-1234567.891", 2, "−1,234,567.89"),
        ("-0.004", 2, "0.00"),
        ("68250.5", 1, "68,250.5"),
        ("0.00000001", 8, "0.00000001"),
        ("1e3", 0, "1,000"),
    ],
)
def test_number(value: str, decimals: int, expected: str) -> None:
    assert words.number(Decimal(value), decimals) == expected


def test_nothing_is_a_dash() -> None:
    assert words.number(None, 2) == words.exact(None, 2) == words.percent(None) == words.compact(None) == "–"


@pytest.mark.parametrize(
    ("value", "expected"), [("185.2", "185.20"), ("185.205", "185.205"), ("100", "100.00")]
)
def test_exact_hides_no_digit(value: str, expected: str) -> None:
    assert words.exact(Decimal(value), 2) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("5", "+5.00"), ("-5", "−5.00"), ("0", "0.00"), ("0.001", "0.00")]
)
def test_signed(value: str, expected: str) -> None:
    assert words.signed(Decimal(value)) == expected


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        ("950", 0, "950"),
        ("999999", 0, "999,999"),
        ("1234567", 0, "1.23M"),
        ("250000000", 0, "250.0M"),
        ("7e12", 0, "7.00T"),
        ("0.2500", 4, "0.2500"),
        ("12345.6789", 4, "12,345.7"),
    ],
)
def test_compact_fits_a_column(value: str, decimals: int, expected: str) -> None:
    assert words.compact(Decimal(value), decimals) == expected


@pytest.mark.parametrize(
    ("typed", "expected"), [("1,000", "1000"), (" 185.20 ", "185.20"), (".5", "0.5"), ("5.", "5")]
)
def test_parse(typed: str, expected: str) -> None:
    assert parse(typed) == Decimal(expected)


@pytest.mark.parametrize("typed", ["", "-1", "1e5", "NaN", "Infinity", "1.2.3", ".", "½", "٣", "ten"])
def test_parse_refuses_what_is_no_plain_number(typed: str) -> None:
    assert parse(typed) is None


@pytest.mark.parametrize(("seconds", "expected"), [(3.4, "3 s"), (150, "2 min"), (7300, "2 h")])
def test_duration(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected
