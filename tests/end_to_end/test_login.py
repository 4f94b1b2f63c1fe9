"""A trader logs in with the real program: with a wrong password, with the right one; and is put out again by
the administrator."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.embedded.sharing import stop
from db.settings import DatabaseSettings
from tests.end_to_end.windows import ENDED, TRADE, Terminal, in_tmux

pytestmark = in_tmux

PASSWORD = "correct horse battery"  # noqa: S105


@dataclass
class Office:
    """Where the administrator sits: a server of their own, with a port for traders."""

    folder: Path
    port: int

    @property
    def server(self) -> str:
        """As a trader types it."""
        return f"127.0.0.1:{self.port}"

    def trade(self, *words: str, answer: str = "") -> str:
        """Run a command as the owner; returns what it printed."""
        done = subprocess.run(
            [TRADE, *words],
            input=answer,
            env={
                **os.environ,
                "TRADE_DATABASE__DATA_DIR": str(self.folder),
                "TRADE_DATABASE__PORT": str(self.port),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A market of one instrument, and the trader jo with two accounts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Office(tmp_path / "office", probe.getsockname()[1])
    try:
        made.trade("db", "start")
        made.trade("instrument", "add", "ACME", "--name", "Acme Inc.", "--tick", "0.01", "--lot", "1")
        made.trade("user", "add", "jo", "--email", "jo@example.com", "--password-stdin", answer=PASSWORD)
        for number, kind in (("JO-CASH", "cash"), ("JO-MARGIN", "margin")):
            made.trade("account", "open", "jo", "--number", number, "--type", kind)
            made.trade("account", "deposit", number, "10000")
        yield made
    finally:
        stop(DatabaseSettings(data_dir=made.folder), force=True)


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, 80, 24)
    yield made
    made.end()


def test_a_traders_day_from_the_login_to_being_locked_out(
    office: Office, window: Terminal, tmp_path: Path
) -> None:
    window.start("--database-url", f"postgresql://{office.server}/trading_db")
    form = ("Enter a user", office.server, "Nothing leaves this computer", "Ctrl+Q quit")
    window.wait_for(lambda screen: all(words in screen for words in form))

    window.press(*"jo", "Enter", *"wrong", "Enter")
    shown = window.wait_for("✗ User or password is wrong")
    assert "wrong" not in shown.replace("is wrong", "")

    window.paste(PASSWORD)
    window.press("Enter")
    window.wait_for(lambda screen: "● live" in screen and "JO-CASH" in screen and "10,000.00" in screen)

    # Their accounts, and nobody else's.
    window.press("a")
    window.wait_for(lambda screen: "JO-MARGIN" in screen and "Esc leave" in screen)
    window.press("Down", "Enter")
    window.wait_for(lambda screen: "JO-MARGIN" in screen and "Esc leave" not in screen)

    # An order rests; then the administrator locks the trader out.
    window.press("b", "3")
    window.wait_for(lambda screen: re.search(r"Quantity +3", screen))
    window.press("Tab", "9", ".", "5")
    window.wait_for("Buy 3 ACME @ 9.50")
    window.press("Enter")
    window.wait_for("▶ Send buy 3 ACME @ 9.50 ◀")
    window.press("Enter")
    window.wait_for("rests: buy 3 ACME")
    assert "jo is disabled" in office.trade("user", "disable", "jo")
    told = ("You were logged out. This user is disabled", "Log in as jo", "Ctrl+Q quit")
    shown = window.wait_for(lambda screen: all(words in screen for words in told))
    assert "JO-MARGIN" not in shown

    window.paste(PASSWORD)
    window.press("Enter")
    window.wait_for(lambda screen: "✗ This user is disabled" in screen)
    office.trade("user", "enable", "jo")
    window.paste(PASSWORD)
    window.press("Enter")
    shown = window.wait_for(lambda screen: "● live" in screen and "5 Orders" in screen)
    tabs = shown.splitlines()[1]
    window.click(tabs.index("5 Orders") + 2, 2)
    window.wait_for("No working orders")  # it rests in the other account
    window.press("L")
    window.wait_for(lambda screen: "Log in as jo" in screen and "Ctrl+Q quit" in screen)
    window.press("C-q")
    window.wait_for(f"{ENDED} 0")

    # User and server are remembered, the password is nowhere.
    state = tmp_path / ".local" / "state" / "pitside" / "login.json"
    assert office.server in state.read_text()
    assert not [
        file for file in tmp_path.rglob("*") if file.is_file() and PASSWORD.encode() in _content(file)
    ]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # a server at work makes and removes files
        return b""


def test_a_server_that_is_away_is_told_before_anything_else(window: Terminal) -> None:
    window.start("--database-url", "postgresql://127.0.0.1:9/trading_db", "--user", "jo")
    window.wait_for(lambda screen: "Log in as jo" in screen and "Ctrl+Q quit" in screen)
    window.paste(PASSWORD)
    window.press("Enter")
    told = ("trading_db on 127.0.0.1:9", "cannot be reached")
    window.wait_for(lambda screen: all(words in screen for words in told))
    window.press("C-q")
    window.wait_for(f"{ENDED} 0")
