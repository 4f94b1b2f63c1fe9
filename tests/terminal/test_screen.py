"""The screen as a whole: views, finding, keys, notices, themes, the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.errors import ServerError, SettingsError
from terminal.app import PitsideApp
from terminal.panes.book import BookPane
from terminal.screens.instruments import InstrumentsScreen, found
from terminal.screens.keys import KeysScreen
from terminal.state import Notice
from tests.terminal.fakes import EURUSD, GLD, INSTRUMENTS, MSFT, SPY, FakeDesk
from tests.terminal.screen import MEDIUM, SMALL, click_line, focused, lines, recorded, settle, terminal, text

PANES = ("ticket", "book", "chart", "positions", "orders", "watchlist")


def visible(pilot: object) -> set[str]:
    screen = pilot.app.screen  # type: ignore[attr-defined]
    return {name for name in PANES if screen.query_one(f"#{name}").region.area}


async def test_everything_at_once_where_there_is_room() -> None:
    async with terminal() as pilot:
        assert visible(pilot) == set(PANES)
        assert not pilot.app.screen.query_one("#tabs").region.area


async def test_number_keys_go_to_the_panes() -> None:
    async with terminal() as pilot:
        for key, view in zip("123456", ["quantity", *PANES[1:]], strict=True):
            await pilot.press("escape", key)
            assert focused(pilot) == view


async def test_on_a_medium_screen_positions_and_orders_share_a_place() -> None:
    async with terminal(size=MEDIUM) as pilot:
        assert visible(pilot) == set(PANES) - {"orders"}
        await pilot.press("escape", "5")
        await pilot.pause()
        assert visible(pilot) == set(PANES) - {"positions"}
        assert pilot.app.screen.query_one("#orders").border_title == "5 Orders (2) · 4 Positions"
        await pilot.click("#orders", offset=(5, 0))  # its title
        await pilot.pause()
        assert visible(pilot) == set(PANES) - {"orders"}


async def test_on_a_small_screen_the_numbers_turn_pages() -> None:
    pages = [{"ticket", "book"}] * 2 + [{"chart"}] + [{"positions", "orders"}] * 2 + [{"watchlist"}]
    async with terminal(size=SMALL) as pilot:
        for key, shown in zip("123456", pages, strict=True):
            await pilot.press("escape", key)
            await pilot.pause()
            assert visible(pilot) == shown


async def test_tabs_by_mouse_on_a_small_screen() -> None:
    async with terminal(size=SMALL) as pilot:
        await pilot.click("#tabs", offset=(lines(pilot, "#tabs")[0].index("3 Chart"), 0))
        await pilot.pause()
        assert visible(pilot) == {"chart"}


async def test_a_wide_but_flat_screen_has_pages_too() -> None:
    async with terminal(size=(200, 24)) as pilot:
        assert visible(pilot) == {"ticket", "book"}


async def test_growing_and_shrinking_keeps_everything_in_place() -> None:
    async with terminal(size=SMALL) as pilot:
        await pilot.press("5")
        for size, shown in (((200, 50), set(PANES)), (SMALL, {"ticket", "book"})):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            assert visible(pilot) == shown
        assert "5" in text(pilot, "#quantity")


async def test_an_instrument_is_found_by_typing() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(pilot.app.screen, InstrumentsScreen)
        await pilot.press(*"micro")
        await pilot.pause()
        await pilot.press("enter")
        await settle(pilot)
        assert desk.asked == [("look_at", MSFT.instrument_id)]


async def test_an_instrument_is_found_by_mouse() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("i", *"sp")
        await pilot.pause()
        await pilot.click("Matches", offset=(4, 2))
        await settle(pilot)
        assert desk.asked == [("look_at", GLD.instrument_id)]  # SPY is first, the SPDR Gold Shares second


async def test_looking_for_nothing_changes_nothing() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("i", *"zzz", "enter")
        assert isinstance(pilot.app.screen, InstrumentsScreen)
        await pilot.press("escape")
        assert desk.asked == []


@pytest.mark.parametrize(
    ("typed", "first"),
    [("spy", SPY), ("eur", EURUSD), ("gold", GLD), ("US DOLLAR", EURUSD), (" msft ", MSFT)],
)
def test_symbols_come_before_names(typed: str, first: object) -> None:
    assert found(INSTRUMENTS, typed)[0] == first


async def test_brackets_go_round_the_instruments() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "[")
        await pilot.pause()
        await pilot.press("]")
        await pilot.pause()
        assert desk.asked == [("look_at", 12), ("look_at", 1)]


async def test_question_mark_shows_every_action() -> None:
    async with terminal() as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, KeysScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, KeysScreen)


async def test_hints_name_a_key_once_also_where_nothing_has_the_focus() -> None:
    async with terminal() as pilot:
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.focused is None
        assert text(pilot, "#hints").count("b Buy") == 1


async def test_hints_follow_the_focus_and_can_be_clicked() -> None:
    async with terminal() as pilot:
        assert "⏎ Send" in text(pilot, "#hints")
        await pilot.press("escape", "2")
        await pilot.pause()
        hints = lines(pilot, "#hints")[0]
        assert "⏎ Take price" in hints
        await pilot.click("#hints", offset=(hints.index("Keys"), 0))
        await pilot.pause()
        assert isinstance(pilot.app.screen, KeysScreen)


async def test_a_fill_is_told() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        desk.tell(Notice("Bought 50 AAPL @ 185.10 [order 101]", "buy"))
        await pilot.pause()
        (notice,) = pilot.app._notifications
        assert notice.message == "Bought 50 AAPL @ 185.10 [order 101]"


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_quitting_also_while_typing(key: str) -> None:
    async with terminal() as pilot:
        await pilot.press("1", key)
        await pilot.pause()
        assert pilot.app.return_code == 0
        assert not pilot.app.is_running


async def test_q_is_a_letter_where_text_is_typed_and_ctrl_q_quits_all_the_same() -> None:
    async with terminal() as pilot:
        await pilot.press("i", "q")
        await pilot.pause()
        assert isinstance(pilot.app.screen, InstrumentsScreen)
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert not pilot.app.is_running


async def test_a_desk_that_cannot_go_on_ends_the_program_with_its_error() -> None:
    desk = FakeDesk()
    desk.failure = ServerError("the database has no account")
    app = PitsideApp(desk, theme="pitside-dark", confirm=True, timeframe="1m")
    async with app.run_test():
        pass
    assert app.failure is desk.failure
    assert app.return_code == 1


def test_an_unknown_theme_is_refused_by_name() -> None:
    with pytest.raises(
        SettingsError, match=r"terminal\.theme is 'pitside-drak'.*did you mean pitside-dark\?"
    ):
        PitsideApp(FakeDesk(), theme="pitside-drak", confirm=True, timeframe="1m")


async def test_another_theme_recolours_what_is_drawn() -> None:
    async with terminal() as pilot:
        pane = pilot.app.screen.query_one(BookPane)
        before = [segment.style for segment in pane.render_line(1)]
        pilot.app.theme = "pitside-light"
        await settle(pilot)
        assert [segment.style for segment in pane.render_line(1)] != before


async def test_states_are_shown_at_a_tick_and_the_last_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        shown: list[object] = []
        pane = pilot.app.screen.query_one(BookPane)
        monkeypatch.setattr(pane, "show_book", recorded(shown, pane.show_book, lambda args: args[1]))
        book = desk.state.book
        assert book is not None
        for _ in range(100):  # a burst that no one could follow
            book = replace(book, bids=(replace(book.bids[0], orders=book.bids[0].orders + 1), *book.bids[1:]))
            desk.set(book=book)
        await settle(pilot)
        assert 1 <= len(shown) < 10  # however slow the machine is: by the tick, not by the state
        assert shown[-1] is book


async def test_a_click_on_a_pane_gives_it_the_focus() -> None:
    async with terminal() as pilot:
        await click_line(pilot, "#watchlist", 3)
        assert focused(pilot) == "watchlist"
