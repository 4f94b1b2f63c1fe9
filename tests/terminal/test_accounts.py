"""Choosing another account: by key, by mouse, by typing; and what must not happen to an order meanwhile."""

from __future__ import annotations

import re
from dataclasses import replace

from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot

from terminal.app import PitsideApp
from terminal.login import LoginForm
from terminal.screens.accounts import AccountsScreen, found
from terminal.screens.finder import Matches
from terminal.screens.login import LoginScreen
from terminal.state import Connection
from tests.terminal.fakes import ACCOUNT, ACCOUNTS, OTHER_ACCOUNT, FakeDesk, FakeEntrance, sample_state
from tests.terminal.screen import SMALL, focused, lines, settle, terminal, text
from tests.waiting import until


def desk_of(*, demo: bool = False) -> FakeDesk:
    return FakeDesk(replace(sample_state(), accounts=ACCOUNTS, demo=demo))


async def test_a_key_lists_the_accounts_and_enter_takes_one() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "a")
        await until(lambda: isinstance(pilot.app.screen, AccountsScreen))
        await until(lambda: "D-20044" in text(pilot, "Matches"))
        shown = lines(pilot, "Matches")
        assert any(re.search(r"● +D-10001 +dana +cash +100,000\.00 +USD", line) for line in shown)
        assert any("D-30007" in line and line.endswith("closed") for line in shown)
        await pilot.press("down", "enter")
        await until(lambda: ("switch_account", 7) in desk.asked)
        await settle(pilot)
        assert "D-20044" in text(pilot, "#account_bar")
        assert "52,310.75" in text(pilot, "#account_bar")
        assert desk.asked[0] == ("list_accounts",)


async def test_typing_narrows_the_list_and_esc_changes_nothing() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.press("escape", "a", *"marg")
        await until(lambda: "D-20044" in text(pilot, "Matches") and "D-10001" not in text(pilot, "Matches"))
        await pilot.press("escape")
        await settle(pilot)
        assert desk.asked == [("list_accounts",)]


async def test_a_click_on_the_account_bar_and_then_on_an_account() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.click("#account_bar", offset=(12, 0))
        await until(lambda: "D-20044" in text(pilot, "Matches"))
        row = next(y for y, line in enumerate(lines(pilot, "Matches")) if "D-20044" in line)
        await pilot.click(Matches, offset=(6, row))
        await until(lambda: ("switch_account", 7) in desk.asked)


async def test_whose_money_it_is_stands_in_the_bar() -> None:
    async with terminal(desk_of()) as pilot:
        assert text(pilot, "#account_bar").startswith(" PITSIDE  dana · D-10001  Balance 100,000.00")
    async with terminal(desk_of(), SMALL) as pilot:  # with several accounts also where there is little room
        assert "D-10001" in text(pilot, "#account_bar")
        assert "dana" not in text(pilot, "#account_bar")
    async with terminal(FakeDesk(), SMALL) as pilot:
        assert "D-10001" not in text(pilot, "#account_bar")


async def test_an_order_under_review_is_taken_back_when_the_account_changes() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.press("1", "0", "0", "enter")
        assert "▶ Send" in text(pilot, "#send")
        desk.set(account=OTHER_ACCOUNT)
        await until(lambda: "▶" not in text(pilot, "#send"))
        await pilot.press("enter")  # a review anew, not the order
        await until(lambda: "▶ Send" in text(pilot, "#send"))
        assert not [request for request in desk.asked if request[0] == "place"]
        await pilot.press("enter")
        await until(lambda: [request for request in desk.asked if request[0] == "place"])
        assert desk.asked[-1][1].account_id == OTHER_ACCOUNT.account_id


async def test_a_review_outlives_new_figures_of_the_same_account() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.press("1", "0", "0", "enter")
        desk.set(account=replace(ACCOUNT, balance=ACCOUNT.balance + 1), connection=Connection("live", "x"))
        await settle(pilot)
        assert "▶ Send" in text(pilot, "#send")


def test_what_is_found() -> None:
    numbers = [[account.number for account in found(ACCOUNTS, words)] for words in ("", "cash", "200", "d-3")]
    assert numbers == [
        ["D-10001", "D-20044", "D-30007"],
        ["D-10001", "D-30007"],
        ["D-20044"],
        ["D-30007"],
    ]
    assert [account.number for account in found(ACCOUNTS, "DANA")] == ["D-10001", "D-20044", "D-30007"]
    assert found(ACCOUNTS, "zzz") == []


async def found_in_palette(pilot: Pilot[None], count: int) -> None:
    await until(lambda: isinstance(pilot.app.screen, CommandPalette))
    await until(lambda: pilot.app.screen.query_one(CommandList).option_count == count)


async def test_the_palette_finds_accounts_and_actions() -> None:
    desk = desk_of()
    async with terminal(desk) as pilot:
        await pilot.press("ctrl+p", *"20044")
        await found_in_palette(pilot, 1)
        await pilot.press("enter")
        await until(lambda: ("switch_account", 7) in desk.asked)
        await settle(pilot)
        await pilot.press("ctrl+p", *"to the watchlist")
        await found_in_palette(pilot, 1)
        await pilot.press("enter")
        await until(lambda: focused(pilot) == "watchlist")


async def test_the_login_has_no_palette() -> None:
    app = PitsideApp(
        None, theme="pitside-dark", confirm=True, timeframe="1m", entrance=FakeEntrance(LoginForm("", ""))
    )
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(pilot.app.screen, LoginScreen)
