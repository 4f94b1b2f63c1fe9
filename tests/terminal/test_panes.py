"""Positions, working orders, watchlist, chart and account bar."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from terminal.state import Candles, Connection, DeskState, OrderEntry
from terminal.widgets.number_field import NumberField
from tests.terminal.fakes import AAPL, BTCUSD, MSFT, ORDERS, POSITIONS, FakeDesk, sample_state
from tests.terminal.screen import (
    MEDIUM,
    SMALL,
    chart_drawn,
    click_line,
    focused,
    lines,
    recorded,
    settle,
    terminal,
    text,
)

D = Decimal


async def test_positions_show_what_is_held_and_made() -> None:
    async with terminal() as pilot:
        shown = lines(pilot, "#positions")
        assert [line.split()[0] for line in shown[1:5]] == ["AAPL", "BTCUSD", "EURUSD", "Total"]
        assert shown[1].split() == [
            "AAPL",
            "120",
            "178.44",
            "185.21",
            "22,225.20",
            "+812.00",
            "+3.79%",
            "0.00",
        ]
        assert shown[4].split() == ["Total", "50,130.13", "+1,320.13", "−245.75"]


async def test_flat_positions_that_made_nothing_are_not_shown() -> None:
    flat = replace(POSITIONS[0], quantity=D(0), realized=D(0))
    earned = replace(POSITIONS[1], quantity=D(0), realized=D("12.50"), unrealized=D(0), market_value=D(0))
    async with terminal(FakeDesk(replace(sample_state(), positions=(flat, earned)))) as pilot:
        shown = text(pilot, "#positions")
        assert "AAPL" not in shown
        assert "+12.50" in shown


async def test_enter_on_a_position_shows_its_instrument() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "4", "down", "enter")
        await pilot.pause()
        assert desk.asked == [("look_at", BTCUSD.instrument_id)]


async def test_x_on_a_position_fills_the_ticket_with_the_closing_order() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "4", "j", "x")
        await settle(pilot)
        assert "Sell 0.2500 BTCUSD at market" in text(pilot, "#send")
        assert [ask[0] for ask in desk.asked] == ["look_at"]  # nothing is sent by that
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert desk.asked[-1] == ("place", OrderEntry(BTCUSD, "sell", "market", D("0.2500"), None, "IOC"))


async def test_working_orders_newest_first() -> None:
    async with terminal() as pilot:
        shown = lines(pilot, "#orders")
        assert shown[1].split()[:5] == ["AAPL", "sell", "50", "20", "185.25"]
        assert shown[2].split()[:5] == ["AAPL", "buy", "100", "–", "185.10"]
        assert pilot.app.screen.query_one("#orders").border_title == "5 Orders (2)"


@pytest.mark.parametrize("key", ["x", "delete"])
async def test_an_order_is_cancelled_by_key(key: str) -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "5", "down", key)
        await settle(pilot)
        assert desk.asked == [("cancel", 101)]
        assert [line.split()[0] for line in lines(pilot, "#orders")[1:] if line] == ["AAPL"]


async def test_an_order_is_cancelled_by_its_cross() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await click_line(pilot, "#orders", 1, x=lines(pilot, "#orders")[1].index("✗"))
        await pilot.pause()
        assert desk.asked == [("cancel", 102)]


async def test_an_order_is_reduced() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "5", "down", "r")
        await pilot.pause()
        assert pilot.app.screen.query_one(NumberField).value == 100
        await pilot.press("1", "0", "0", "enter")
        assert "must be above what has filled (0)" in text(pilot, "#problem")
        await pilot.press("6", "0", "up", "down", "down", "enter")
        await settle(pilot)
        assert desk.asked == [("reduce", 101, D(59))]


async def test_a_reduction_below_what_has_filled_is_refused_by_name() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "5", "r")
        await pilot.pause()
        await pilot.press("2", "0", "enter")
        assert "✗ quantity 20: must be above what has filled (20)" in text(pilot, "#problem").replace(
            "\n", " "
        )
        await pilot.press("escape")
        assert desk.asked == []


async def test_all_orders_are_cancelled_after_a_question() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("X")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert desk.asked == []
        await pilot.press("X")
        await pilot.pause()
        await pilot.press("enter")
        await settle(pilot)
        assert desk.asked == [("cancel_all",)]
        assert "No working orders" in text(pilot, "#orders")


async def test_the_cursor_stays_with_its_order() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "5", "down")  # on 101
        desk.set(orders=(*ORDERS, replace(ORDERS[0], order_id=103)))
        await settle(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert desk.asked == [("cancel", 101)]


async def test_the_watchlist_shows_all_and_marks_the_one_shown() -> None:
    async with terminal() as pilot:
        shown = lines(pilot, "#watchlist")
        assert shown[1].split() == ["▸", "AAPL", "185.21", "+0.71%"]
        assert shown[2].split() == ["MSFT", "402.56", "−0.38%"]
        assert len([line for line in shown if line]) == 13


@pytest.mark.parametrize("size", [MEDIUM, SMALL])
async def test_the_watchlist_fits(size: tuple[int, int]) -> None:
    async with terminal(size=size) as pilot:
        await pilot.press("escape", "6")
        await pilot.pause()
        assert "+0.71%" in lines(pilot, "#watchlist")[1]


async def test_an_instrument_is_picked_by_key_and_by_click() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "6", "down", "enter")
        await settle(pilot)
        assert desk.asked == [("look_at", MSFT.instrument_id)]
        assert lines(pilot, "#watchlist")[2].startswith(" ▸")
        await click_line(pilot, "#watchlist", 1)
        await settle(pilot)
        assert desk.asked[-1] == ("look_at", AAPL.instrument_id)


async def test_the_wheel_moves_the_cursor_and_long_lists_scroll() -> None:
    many = tuple(replace(ORDERS[0], order_id=number) for number in range(200, 260))
    desk = FakeDesk(replace(sample_state(), orders=many))
    async with terminal(desk) as pilot:
        await pilot.press("escape", "5", *["down"] * 30, "x")
        await pilot.pause()
        assert desk.asked == [("cancel", 259 - 30)]


async def test_the_chart_draws_and_names_its_timeframe() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await chart_drawn(pilot)
        shown = text(pilot, "#chart")
        assert "AAPL  185.21 +0.71%" in shown
        assert "┃" in shown
        assert "█" in shown  # volume
        await pilot.press("t")
        await chart_drawn(pilot)
        assert desk.asked == [("set_timeframe", "5m")]
        assert text(pilot, "#chart") != shown


@pytest.mark.parametrize(
    ("keys", "asked"),
    [(["T"], "1M"), (["escape", "3", "right"], "5m"), (["t", "t", "T"], "5m")],
)
async def test_timeframes_by_key(keys: list[str], asked: str) -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        assert desk.asked[-1] == ("set_timeframe", asked)


async def test_a_timeframe_by_click() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await click_line(pilot, "#chart", 0, x=lines(pilot, "#chart")[0].index("1h"))
        await pilot.pause()
        assert desk.asked == [("set_timeframe", "1h")]


async def test_no_candles_is_said() -> None:
    desk = FakeDesk(replace(sample_state(), candles=Candles(AAPL.instrument_id, "1m")))
    async with terminal(desk) as pilot:
        await chart_drawn(pilot)
        assert "No candles in this timeframe yet" in text(pilot, "#chart")


async def test_the_chart_is_drawn_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from terminal import charts

    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await chart_drawn(pilot)
        drawn: list[float] = []
        monkeypatch.setattr(charts, "draw", recorded(drawn, charts.draw, lambda _: time.monotonic()))
        assert desk.state.candles is not None
        for step in range(12):
            candles = desk.state.candles.candles
            moved = replace(candles[-1], volume=candles[-1].volume + step + 1)
            desk.set(candles=replace(desk.state.candles, candles=(*candles[:-1], moved)))
            await pilot.pause(0.1)
        await chart_drawn(pilot)
        assert 2 <= len(drawn) < 12
        assert all(later - earlier >= 0.45 for earlier, later in pairwise(drawn))


async def test_the_account_bar_by_width() -> None:
    for size, expected in (
        (
            (200, 50),
            ["DEMO", "D-10001", "Balance 100,000.00", "Equity 143,234.55", "Commissions 37.12 USD", "● live"],
        ),
        ((80, 24), ["DEMO", "Bal 100,000.00", "Eq 143,234.55", "Avl 81,490.00", "P&L +1,320.10", "● live"]),
    ):
        async with terminal(size=size) as pilot:
            shown = text(pilot, "#account_bar")
            assert [words for words in expected if words not in shown] == []


async def test_demo_is_said_only_of_a_demo() -> None:
    async with terminal(FakeDesk(replace(sample_state(), demo=False))) as pilot:
        assert "DEMO" not in text(pilot, "#account_bar")


async def test_a_margin_call_is_unmistakable() -> None:
    state = sample_state()
    assert state.account is not None
    async with terminal(FakeDesk(replace(state, account=replace(state.account, margin_call=True)))) as pilot:
        assert "MARGIN CALL" in text(pilot, "#account_bar")


async def test_old_data_say_how_old_they_are() -> None:
    heard = time.monotonic() - 42
    async with terminal(FakeDesk(replace(sample_state(), connection=Connection("live", "", heard)))) as pilot:
        shown = re.search(r"● (\d+) s old", text(pilot, "#account_bar"))
        assert shown
        assert 42 <= int(shown[1]) <= round(time.monotonic() - heard)


async def test_a_lost_connection_takes_the_bar_and_greys_the_panes() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        heard = time.monotonic() - 7
        desk.set(connection=Connection("lost", "reconnecting", heard))
        await settle(pilot)
        words = r"NO CONNECTION: reconnecting, everything shown is (\d+) s old"
        shown = re.search(words, text(pilot, "#account_bar"))
        assert shown
        assert 7 <= int(shown[1]) <= round(time.monotonic() - heard)
        assert pilot.app.screen.query_one("#book").styles.opacity < 0.5
        desk.set(connection=Connection("live"))
        await settle(pilot)
        assert "NO CONNECTION" not in text(pilot, "#account_bar")
        assert pilot.app.screen.query_one("#book").styles.opacity == 1


async def test_before_there_is_anything_every_pane_stands() -> None:
    async with terminal(FakeDesk(DeskState())) as pilot:
        assert "◌ Connecting" in text(pilot, "#account_bar")
        assert "No instruments yet" in text(pilot, "#watchlist")
        await pilot.press("escape", "2", "down", "enter", "1", "5", "enter", "i", "escape", "X", "]", "t")
        assert focused(pilot) is not None
