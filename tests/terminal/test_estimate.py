"""What an order would cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from terminal.estimate import estimate, free_to_sell, held
from terminal.state import Book, Level, OrderEntry, Side
from tests.terminal.fakes import AAPL, ACCOUNT, MSFT, ORDERS, POSITIONS

D = Decimal
BOOK = Book(
    AAPL.instrument_id,
    bids=(Level(D("9.90"), D(100), 1), Level(D("9.80"), D(50), 1)),
    asks=(Level(D("10.00"), D(100), 1), Level(D("10.10"), D(50), 2)),
)


def entry(side: Side, quantity: str, price: str | None = None, tif: str = "GTC") -> OrderEntry:
    return OrderEntry(
        AAPL, side, "limit" if price else "market", D(quantity), D(price) if price else None, tif
    )


def test_a_market_buy_walks_the_asks() -> None:
    told = estimate(entry("buy", "120", tif="IOC"), BOOK, ACCOUNT)
    assert told.notional == D("1202.00")  # 100 × 10.00 + 20 × 10.10
    assert told.immediate == 120
    assert told.commission == D("0.60")
    assert told.total("buy") == D("1202.60")


def test_a_market_order_beyond_the_book_counts_what_is_there() -> None:
    told = estimate(entry("sell", "500", tif="IOC"), BOOK, ACCOUNT)
    assert (told.immediate, told.notional) == (D(150), D("1480.00"))
    assert told.total("sell") == D("1480.00") - D("0.74")


def test_a_limit_order_rests_beyond_its_limit() -> None:
    told = estimate(entry("buy", "120", "10.00"), BOOK, ACCOUNT)
    assert told.immediate == 100
    assert told.notional == D("1200.00")
    assert told.commission == D("0.50") + D("0.02")  # 100 taken at 0.05 %, 20 resting at 0.01 %


def test_an_ioc_order_does_not_rest() -> None:
    assert estimate(entry("buy", "120", "10.00", "IOC"), BOOK, ACCOUNT).notional == D("1000.00")


def test_own_orders_are_passed_over() -> None:
    mine = replace(BOOK, asks=(replace(BOOK.asks[0], own=D(100)), BOOK.asks[1]))
    told = estimate(entry("buy", "10", tif="IOC"), mine, ACCOUNT)
    assert told.average == D("10.10")


def test_without_a_book_nothing_fills() -> None:
    told = estimate(entry("buy", "10", "10.00"), None, ACCOUNT)
    assert (told.immediate, told.average, told.notional) == (D(0), None, D("100.00"))


def test_unknown_rates_are_not_zero() -> None:
    account = replace(ACCOUNT, taker_rate=None)
    assert estimate(entry("buy", "10", "10.00"), BOOK, account).commission is None


def test_open_sells_are_not_free_to_sell() -> None:
    assert held(AAPL.instrument_id, POSITIONS) == 120
    assert free_to_sell(AAPL.instrument_id, POSITIONS, ORDERS) == 90  # 30 of 50 are still offered
    assert free_to_sell(MSFT.instrument_id, POSITIONS, ORDERS) == 0
