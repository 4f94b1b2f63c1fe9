"""Bad quantities and prices name the field, the value and the way out."""

from __future__ import annotations

import pytest

from terminal.checks import price_problem, quantity_problem
from terminal.terms import order_type
from tests.terminal.fakes import AAPL, BTCUSD

LIMIT, MARKET = order_type("limit"), order_type("market")


@pytest.mark.parametrize("text", ["1", "100", "1,000"])
def test_good_quantities(text: str) -> None:
    assert quantity_problem(text, AAPL) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "quantity: nothing entered"),
        ("0", "quantity 0: must be above zero"),
        ("1.5", "quantity 1.5: not a multiple of the lot 1; try 1 or 2"),
        ("0.5", "quantity 0.5: not a multiple of the lot 1; try 1"),
        ("..", "quantity '..': not a number"),
    ],
)
def test_bad_quantities(text: str, words: str) -> None:
    problem = quantity_problem(text, AAPL)
    assert problem is not None
    assert (problem.text, problem.field) == (words, "quantity")


def test_a_price_off_the_tick_is_told_its_neighbours() -> None:
    problem = price_problem("185.205", AAPL, LIMIT)
    assert problem is not None
    assert problem.text == "price 185.205: not a multiple of the tick 0.01; try 185.20 or 185.21"


def test_ticks_that_are_no_power_of_ten() -> None:
    assert price_problem("68250.5", BTCUSD, LIMIT) is None
    problem = price_problem("68250.7", BTCUSD, LIMIT)
    assert problem is not None
    assert "68,250.5 or 68,251.0" in problem.text


def test_a_market_order_needs_no_price() -> None:
    assert price_problem("", AAPL, MARKET) is None
    assert price_problem("", AAPL, LIMIT) is not None
