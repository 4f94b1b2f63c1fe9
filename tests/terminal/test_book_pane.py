"""The order book: what it shows, and how a price gets from it into the ticket."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from terminal.panes.book import BookPane
from terminal.state import Book, Level
from tests.terminal.fakes import AAPL, FakeDesk, book_of, sample_state
from tests.terminal.screen import click_line, focused, lines, recorded, settle, terminal, text

D = Decimal


def middle(shown: list[str]) -> int:
    """Which line the spread stands in."""
    (index,) = [y for y, line in enumerate(shown) if "spread" in line or "book" in line or "no " in line]
    return index


async def test_asks_above_bids_below_best_next_to_the_spread() -> None:
    async with terminal() as pilot:
        shown = lines(pilot, "#book")
        at = middle(shown)
        assert "spread 0.02 · 0.01%" in shown[at]
        assert "185.21" in shown[at]
        assert "185.22" in shown[at - 1]
        assert "185.23" in shown[at - 2]
        assert "185.20" in shown[at + 1]
        assert "185.19" in shown[at + 2]


async def test_own_orders_are_marked() -> None:
    async with terminal() as pilot:
        marked = [line for line in lines(pilot, "#book") if "▸" in line]
        assert len(marked) == 2
        assert "▸30" in marked[0]
        assert "185.25" in marked[0]
        assert "▸100" in marked[1]
        assert "185.10" in marked[1]


async def test_the_spread_stays_in_its_line_whatever_comes() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        at = middle(lines(pilot, "#book"))
        for book in (
            book_of(AAPL, levels=3),
            Book(AAPL.instrument_id, bids=book_of(AAPL).bids),
            Book(AAPL.instrument_id, asks=book_of(AAPL).asks),
            Book(AAPL.instrument_id),
        ):
            desk.set(book=book)
            await settle(pilot)
            assert middle(lines(pilot, "#book")) == at


async def test_only_lines_that_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        drawn: list[object] = []
        pane = pilot.app.screen.query_one(BookPane)
        monkeypatch.setattr(pane, "draw", recorded(drawn, pane.draw, lambda args: args[0]))
        book = desk.state.book
        assert book is not None
        last = book.bids[-1]
        desk.set(book=replace(book, bids=(*book.bids[:-1], replace(last, orders=last.orders + 1))))
        await settle(pilot)
        assert len(drawn) == 1


@pytest.mark.parametrize(
    ("keys", "button"),
    [
        (["enter"], "Buy 10 AAPL @ 185.22"),  # the cursor begins at the best ask, and taking it buys
        (["up", "k", "enter"], "Buy 10 AAPL @ 185.24"),
        (["down", "enter"], "Sell 10 AAPL @ 185.20"),  # the best bid
        (["down", "j", "enter"], "Sell 10 AAPL @ 185.19"),
        (["down", "J"], "Buy 10 AAPL @ 185.20"),  # joining a bid buys
        (["J"], "Sell 10 AAPL @ 185.22"),
        (["up", "up", "home", "enter"], "Buy 10 AAPL @ 185.22"),
        (["home", "space", "enter"], "Buy 10 AAPL @ 185.22"),
    ],
)
async def test_a_price_goes_into_the_ticket_by_keyboard(keys: list[str], button: str) -> None:
    async with terminal() as pilot:
        await pilot.press("escape", "2", *keys)
        assert focused(pilot) == "quantity"
        await pilot.press("1", "0")
        assert button in text(pilot, "#send")


@pytest.mark.parametrize(("away", "button"), [(-3, "Buy 10 AAPL @ 185.24"), (2, "Sell 10 AAPL @ 185.19")])
async def test_a_price_goes_into_the_ticket_by_mouse(away: int, button: str) -> None:
    async with terminal() as pilot:
        await click_line(pilot, "#book", middle(lines(pilot, "#book")) + away)
        await pilot.press("1", "0")
        assert button in text(pilot, "#send")


async def test_a_click_beside_the_levels_changes_nothing() -> None:
    desk = FakeDesk(replace(sample_state(), book=book_of(AAPL, levels=2)))
    async with terminal(desk) as pilot:
        await pilot.press("7")
        for y in (0, 1, middle(lines(pilot, "#book"))):
            await click_line(pilot, "#book", y)
        assert "Buy 7 AAPL @ 185.20" in text(pilot, "#send")


async def test_a_price_from_the_book_turns_a_market_order_into_a_limit_order() -> None:
    async with terminal() as pilot:
        await pilot.press("m", "escape", "2", "enter", "5")
        assert "Buy 5 AAPL @ 185.22" in text(pilot, "#send")


async def test_the_last_price_shows_its_direction() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        for last, arrow in (("185.22", "▲"), ("185.20", "▼")):
            quote = replace(desk.state.quotes[AAPL.instrument_id], last=D(last))
            desk.set(quotes={**desk.state.quotes, AAPL.instrument_id: quote})
            await settle(pilot)
            assert f"{last} {arrow}" in text(pilot, "#book")


async def test_bars_keep_their_scale_while_sizes_move_a_little() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        before = lines(pilot, "#book")
        book = desk.state.book
        assert book is not None
        desk.set(book=replace(book, asks=(replace(book.asks[0], quantity=D(960)), *book.asks[1:])))
        await settle(pilot)
        pane = pilot.app.screen.query_one(BookPane)
        assert pane._scale == 1000
        changed = [y for y, line in enumerate(lines(pilot, "#book")) if line != before[y]]
        assert changed  # the level itself and the totals behind it
        desk.set(book=Book(AAPL.instrument_id, asks=(Level(D("185.30"), D(1200), 1),)))
        await settle(pilot)
        assert pane._scale == 2000
