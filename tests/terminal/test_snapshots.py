"""Pictures of every screen, looked at by a person before they were kept: `pytest --snapshot-update` makes
them anew."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from db.errors import LoginError, ServerError
from terminal.app import PitsideApp
from terminal.login import THIS_COMPUTER, LoginForm
from terminal.state import Answer, Connection, DeskState
from tests.terminal.fakes import ACCOUNTS, FakeDesk, FakeEntrance, sample_state
from tests.terminal.screen import MEDIUM, SMALL, WIDE, chart_drawn, settle

Compare = Callable[..., bool]
SIZES = {"200x50": WIDE, "120x40": MEDIUM, "80x24": SMALL}


@pytest.fixture(autouse=True)
def _in_zurich(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Times are local: the pictures' place is fixed."""
    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def app(desk: FakeDesk | None = None, theme: str = "pitside-dark") -> PitsideApp:
    return PitsideApp(desk or FakeDesk(), theme=theme, confirm=True, timeframe="1m")


def after(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Press these once everything stands, and let everything come to rest again."""

    async def run(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await settle(pilot)
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False  # on, whenever the picture is taken
        if pilot.app.screen.query("ChartPane"):
            await chart_drawn(pilot)

    return run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["pitside-dark", "pitside-light"])
def test_trading(snap_compare: Compare, size: str, theme: str) -> None:
    assert snap_compare(app(theme=theme), terminal_size=SIZES[size], run_before=after("1", "0", "0"))


@pytest.mark.parametrize("page", ["3", "4", "6"])
def test_pages_of_a_small_screen(snap_compare: Compare, page: str) -> None:
    assert snap_compare(app(), terminal_size=SMALL, run_before=after("escape", page))


def test_an_order_under_review(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=SMALL, run_before=after("s", "9", "0", "enter"))


def test_a_refused_order(snap_compare: Compare) -> None:
    desk = FakeDesk()
    words = "Rejected: the order would cost 1,852,185.20 USD and 81,490.00 USD are available"
    desk.answers = [Answer("rejected", words)]
    keys = after("1", "0", "0", "0", "0", "enter", "enter")
    assert snap_compare(app(desk), terminal_size=SMALL, run_before=keys)


def test_the_book_with_its_cursor(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=MEDIUM, run_before=after("escape", "2", "down", "down"))


def test_orders_on_a_medium_screen(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=MEDIUM, run_before=after("escape", "5"))


def test_without_a_connection(snap_compare: Compare) -> None:
    state = replace(sample_state(), connection=Connection("lost", "reconnecting"))
    assert snap_compare(app(FakeDesk(state)), terminal_size=MEDIUM, run_before=after())


def test_at_the_start(snap_compare: Compare) -> None:
    state = DeskState(connection=Connection("starting", "Setting up the demo market: history"), demo=True)
    assert snap_compare(app(FakeDesk(state)), terminal_size=MEDIUM, run_before=after())


@pytest.mark.parametrize("size", ["120x40", "80x24"])
def test_keys(snap_compare: Compare, size: str) -> None:
    assert snap_compare(app(), terminal_size=SIZES[size], run_before=after("question_mark"))


def test_finding_an_instrument(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=MEDIUM, run_before=after("i", "s", "p"))


def test_reducing_an_order(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=MEDIUM, run_before=after("escape", "5", "r"))


def test_the_question_before_everything_is_cancelled(snap_compare: Compare) -> None:
    assert snap_compare(app(), terminal_size=SMALL, run_before=after("escape", "X"))


def at_the_login(entrance: FakeEntrance, theme: str = "pitside-dark") -> PitsideApp:
    return PitsideApp(None, theme=theme, confirm=True, timeframe="1m", entrance=entrance)


@pytest.mark.parametrize("size", ["200x50", "80x24"])
@pytest.mark.parametrize("theme", ["pitside-dark", "pitside-light"])
def test_the_login(snap_compare: Compare, size: str, theme: str) -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.pitside.example:5433"), keyring=size == "80x24")
    shown = at_the_login(entrance, theme)
    assert snap_compare(shown, terminal_size=SIZES[size], run_before=after(*"secret"))


def test_the_login_of_a_newcomer(snap_compare: Compare) -> None:
    entrance = FakeEntrance(LoginForm("", THIS_COMPUTER))
    assert snap_compare(at_the_login(entrance), terminal_size=SMALL, run_before=after())


@pytest.mark.parametrize("size", ["200x50", "80x24"])
def test_a_refused_login(snap_compare: Compare, size: str) -> None:
    entrance = FakeEntrance(LoginForm("dana", "weak.example"))
    entrance.refusals = [LoginError("no", reason="User or password is wrong", sqlstate="28P01")]
    before = after(*"secret", "enter")
    assert snap_compare(at_the_login(entrance), terminal_size=SIZES[size], run_before=before)


def test_a_login_to_a_server_that_nobody_trusts(snap_compare: Compare) -> None:
    entrance = FakeEntrance(LoginForm("dana", "db.pitside.example"), keyring=True)
    entrance.refusals = [
        ServerError(
            "trading_db on db.pitside.example:5432: the server's certificate is not accepted: nobody trusted "
            "has signed it (self-signed certificate in certificate chain). Name the file with the "
            "certificate of who did in database.sslrootcert"
        )
    ]
    before = after(*"secret", "enter")
    assert snap_compare(at_the_login(entrance), terminal_size=SMALL, run_before=before)


@pytest.mark.parametrize("size", ["120x40", "80x24"])
def test_choosing_an_account(snap_compare: Compare, size: str) -> None:
    desk = FakeDesk(replace(sample_state(), accounts=ACCOUNTS, demo=False))
    before = after("escape", "a", "down")
    assert snap_compare(app(desk), terminal_size=SIZES[size], run_before=before)
