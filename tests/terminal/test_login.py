"""The log-in screen: what it asks, what it says, how one comes in and is put out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from db.errors import ConnectionLostError, LoginError, RequestError, ServerError
from terminal.app import PitsideApp
from terminal.login import LoginEntry, LoginForm
from terminal.screens.login import LoginScreen
from terminal.screens.trading import TradingScreen
from terminal.widgets.choice import Choice
from tests.terminal.fakes import FakeDesk, FakeEntrance
from tests.terminal.screen import SMALL, focused, lines, settle, text
from tests.waiting import until

WRONG = LoginError("no", reason="User or password is wrong", sqlstate="28P01")
DISABLED = LoginError("no", reason="This user is disabled", sqlstate="28000")


@asynccontextmanager
async def login(entrance: FakeEntrance, desk: FakeDesk | None = None) -> AsyncIterator[Pilot[None]]:
    """The program with that entrance; without a desk it begins at the log-in."""
    app = PitsideApp(desk, theme="pitside-dark", confirm=True, timeframe="1m", entrance=entrance)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        yield pilot


def value(pilot: Pilot[Any], field: str) -> str:
    return pilot.app.screen.query_one(f"#{field}", Input).value


async def answer(pilot: Pilot[Any]) -> str:
    """What the screen says of the last attempt."""
    shown = await until(lambda: text(pilot, "#answer").strip())
    return " ".join(shown.split())


async def arrived(pilot: Pilot[Any]) -> None:
    await until(lambda: isinstance(pilot.app.screen, TradingScreen))
    await settle(pilot)


async def test_user_and_password_lead_to_the_market() -> None:
    entrance = FakeEntrance()
    async with login(entrance) as pilot:
        assert focused(pilot) == "user"
        await pilot.press(*"dana", "enter")
        assert focused(pilot) == "password"
        await pilot.press(*"secret", "enter")
        await arrived(pilot)
        assert entrance.asked == [LoginEntry("dana", "secret", "db.example")]
        assert pilot.app.screen_stack[0] is not pilot.app.screen
        assert len(pilot.app.screen_stack) == 2  # nothing of the log-in is left below


async def test_who_was_here_last_types_only_the_password() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example:5433"))
    async with login(entrance) as pilot:
        assert (value(pilot, "user"), value(pilot, "server")) == ("dana", "db.example:5433")
        assert focused(pilot) == "password"
        assert lines(pilot, "#enter")[0].strip() == "Log in as dana"
        await pilot.press(*"pw", "enter")
        await arrived(pilot)
    assert entrance.asked == [LoginEntry("dana", "pw", "db.example:5433")]


async def test_the_password_is_never_on_the_screen() -> None:
    async with login(FakeEntrance(LoginForm("dana", "db.example"))) as pilot:
        await pilot.press(*"hunter2")
        assert "hunter2" not in pilot.app.export_screenshot()
        assert "•••••••" in pilot.app.export_screenshot()
    assert "hunter2" not in repr(LoginEntry("dana", "hunter2", "db.example"))


@pytest.mark.parametrize("between", ["tab", "enter", "down"])
async def test_keys_that_come_faster_than_the_focus_moves_go_to_the_right_field(between: str) -> None:
    entrance = FakeEntrance()
    async with login(entrance) as pilot:
        for key in (*"dana", between, *"secret", "enter"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else None))
        await arrived(pilot)
    assert entrance.asked == [LoginEntry("dana", "secret", "db.example")]


async def test_a_wrong_password_is_told_and_typed_anew() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"))
    entrance.refusals = [WRONG]
    async with login(entrance) as pilot:
        await pilot.press(*"nope", "enter")
        assert await answer(pilot) == "✗ User or password is wrong"
        await until(lambda: value(pilot, "password") == "" and focused(pilot) == "password")
        assert lines(pilot, "#enter")[0].strip() == "Log in as dana"
        await pilot.press(*"secret", "enter")
        await arrived(pilot)
    assert [entry.password for entry in entrance.asked] == ["nope", "secret"]


@pytest.mark.parametrize(
    ("error", "shown", "field"),
    [
        (DISABLED, "✗ This user is disabled", "password"),
        (RequestError("server", "a b", "has a space in it"), "✗ server a b: has a space in it", "server"),
        (ConnectionLostError("x on h:5432 cannot be reached"), "✗ x on h:5432 cannot be reached", "server"),
        (ServerError("x on h:5432 offers no encrypted connection (TLS)"), "✗ x on h:5432 offers", "server"),
    ],
)
async def test_what_goes_wrong_is_told_where_it_can_be_mended(
    error: Exception, shown: str, field: str
) -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"))
    entrance.refusals = [error]  # type: ignore[list-item]
    async with login(entrance) as pilot:
        await pilot.press(*"secret", "enter")
        assert (await answer(pilot)).startswith(shown)
        assert focused(pilot) == field
        assert isinstance(pilot.app.screen, LoginScreen)


async def test_nothing_is_sent_without_user_or_server() -> None:
    entrance = FakeEntrance(LoginForm("", ""))
    async with login(entrance) as pilot:
        assert lines(pilot, "#enter")[0].strip() == "Enter a user"
        await pilot.press("tab", "enter")
        assert await answer(pilot) == "✗ Enter a user"
        assert focused(pilot) == "user"
        await pilot.press(*"dana", "tab", "enter")
        await until(lambda: "Enter a server" in text(pilot, "#answer"))
        assert focused(pilot) == "server"
    assert entrance.asked == []


async def test_the_line_under_the_server_says_how_the_password_travels() -> None:
    async with login(FakeEntrance(LoginForm("dana", ""))) as pilot:
        assert text(pilot, "#protection").strip() == ""
        await pilot.press("tab", *"db.example")
        await until(lambda: "● Encrypted; the server must prove who it is" in text(pilot, "#protection"))
        await pilot.press("home", *"weak")
        await until(lambda: "▲ Encrypted only where offered" in text(pilot, "#protection"))


async def test_waiting_for_a_server_can_be_given_up() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"))
    entrance.gate = asyncio.Event()
    async with login(entrance) as pilot:
        await pilot.press(*"secret", "enter")
        await until(lambda: "Connecting" in text(pilot, "#enter"))
        await pilot.press("enter")  # it is asked only once
        await pilot.press("escape")
        assert await answer(pilot) == "✗ Stopped: nobody is logged in"
        await until(lambda: "Log in as dana" in text(pilot, "#enter"))
        assert len(entrance.asked) == 1
        assert isinstance(pilot.app.screen, LoginScreen)


async def test_a_click_on_the_button_logs_in() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"))
    async with login(entrance) as pilot:
        await pilot.press(*"secret")
        await pilot.click("#enter")
        await arrived(pilot)
    assert len(entrance.asked) == 1


async def test_arrows_go_through_the_fields_and_letters_are_typed() -> None:
    async with login(FakeEntrance(LoginForm("", ""))) as pilot:
        await pilot.press(*"q?L", "down", "down", *"q?", "up", "up")
        assert focused(pilot) == "user"
        assert (value(pilot, "user"), value(pilot, "server")) == ("q?L", "q?")


async def test_a_password_in_the_keyring_need_not_be_typed() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"), keyring=True)
    entrance.kept = {("dana", "db.example")}
    async with login(entrance) as pilot:
        password = pilot.app.screen.query_one("#password", Input)
        await until(lambda: password.placeholder == "from the keyring")
        await pilot.press("shift+tab", *"x")
        await until(lambda: password.placeholder == "")
        await pilot.press("backspace", *"dana")
        await until(lambda: password.placeholder == "from the keyring")
        await pilot.press("enter", "enter")
        await arrived(pilot)
    assert entrance.asked == [LoginEntry("dana", "", "db.example", keep=False)]


async def test_keeping_the_password_is_a_choice() -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.example"), keyring=True)
    async with login(entrance) as pilot:
        await pilot.press(*"secret", "down", "down", "right")
        assert focused(pilot) == "keep"
        assert pilot.app.screen.query_one("#keep", Choice).value == "yes"
        await pilot.press("enter")
        await arrived(pilot)
    assert entrance.asked == [LoginEntry("dana", "secret", "db.example", keep=True)]


async def test_without_a_keyring_there_is_no_such_choice() -> None:
    async with login(FakeEntrance()) as pilot:
        assert not pilot.app.screen.query("#keep")


# Out again


class Ending(FakeDesk):
    """A desk whose `run` goes on until it is told how to end."""

    def __init__(self) -> None:
        super().__init__()
        self.end: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    async def run(self) -> None:
        try:
            raise await self.end
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_a_disabled_user_is_put_out_whatever_is_open_and_told() -> None:
    desk = Ending()
    entrance = FakeEntrance(LoginForm("dana", "db.example"), desk=desk)
    async with login(entrance, desk) as pilot:
        await pilot.press("escape", "X")  # a question is open
        await until(lambda: len(pilot.app.screen_stack) == 3)
        desk.end.set_result(DISABLED)
        await until(lambda: isinstance(pilot.app.screen, LoginScreen))
        assert await answer(pilot) == "✗ You were logged out. This user is disabled"
        assert (value(pilot, "user"), focused(pilot)) == ("dana", "password")
        assert len(pilot.app.screen_stack) == 2
        assert pilot.app.is_running


async def test_who_has_no_account_is_told_at_the_login() -> None:
    desk = Ending()
    desk.set(account=None)
    entrance = FakeEntrance(LoginForm("dana", "db.example"), desk=desk)
    async with login(entrance) as pilot:
        await pilot.press(*"secret", "enter")
        await arrived(pilot)
        desk.end.set_result(RequestError("account", None, "dana has none to trade with"))
        await until(lambda: isinstance(pilot.app.screen, LoginScreen))
        assert await answer(pilot) == "✗ account: dana has none to trade with"


async def test_without_an_entrance_a_refusal_ends_the_program() -> None:
    desk = FakeDesk()
    desk.failure = DISABLED
    app = PitsideApp(desk, theme="pitside-dark", confirm=True, timeframe="1m")
    async with app.run_test(size=SMALL) as pilot:
        await until(lambda: not pilot.app.is_running or app.failure)
    assert app.failure is DISABLED


async def test_logging_out_leads_to_the_login_and_ends_the_desk() -> None:
    desk = Ending()
    entrance = FakeEntrance(LoginForm("dana", "db.example"), desk=desk)
    async with login(entrance, desk) as pilot:
        await pilot.press("escape", "L")
        await until(lambda: isinstance(pilot.app.screen, LoginScreen))
        await until(lambda: desk.was_cancelled)
        assert text(pilot, "#answer").strip() == ""
        entrance.desk = FakeDesk()
        await pilot.press(*"secret", "enter")
        await arrived(pilot)
