"""A trader's first minutes with the real program, in a real terminal: from nothing to a trade, and out
again."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from db.embedded.sharing import status
from db.settings import DatabaseSettings
from tests.end_to_end.windows import ENDED, TRADE, Terminal, in_tmux

pytestmark = in_tmux


SEND = "⏎ Send"
"""In the last line while the ticket has the focus. A key right behind Escape would be one with Alt."""


def held(screen: str, symbol: str) -> int | None:
    """The quantity that the positions show."""
    found = re.search(rf"│ {symbol} +([\d,]+) ", screen)
    return int(found[1].replace(",", "")) if found else None


def levels(screen: str) -> list[str]:
    """The lines of the book that have a price."""
    return re.findall(r"\d+\.\d\d +[\d,]+ +[\d,]+ +\d+ +│$", screen, re.MULTILINE)


def test_from_nothing_to_a_trade_and_out_again(terminal: Terminal, tmp_path: Path) -> None:
    # Without takers, so that nobody takes the resting order before it is cancelled.
    terminal.start(TRADE_SIMULATION__TAKERS="0")
    shown = terminal.wait_for(
        lambda screen: "● live" in screen and "spread" in screen and held(screen, "AAPL")
    )
    assert "DEMO" in shown
    before = held(shown, "AAPL")
    assert before

    # A limit order some levels down joins the book, is marked there and listed.
    terminal.wait_for(lambda screen: len(levels(screen)) >= 20)  # the makers have come
    terminal.press("Escape")
    terminal.wait_for(lambda screen: SEND not in screen)
    terminal.press("2")
    terminal.wait_for("J Join")
    terminal.press(*["Down"] * 8, "J")
    terminal.wait_for(SEND)
    terminal.press("3")
    terminal.wait_for(lambda screen: re.search(r"Buy 3 AAPL @ [\d.]+", screen))
    terminal.press("Enter")
    terminal.wait_for(lambda screen: re.search(r"▶ Send buy 3 AAPL", screen))
    terminal.press("Enter")
    terminal.wait_for(lambda screen: "▸3" in screen and "rests: buy 3" in screen and "Orders (1)" in screen)

    # It is cancelled from the list.
    terminal.press("Escape")
    terminal.wait_for(lambda screen: SEND not in screen)
    terminal.press("5")
    terminal.wait_for("x Cancel")
    terminal.press("x")
    terminal.wait_for(lambda screen: "is cancelled" in screen and "No working orders" in screen)

    # A market order trades at once; position and a notice follow.
    terminal.press("m", "b")
    terminal.wait_for(SEND)
    terminal.press("5", "Enter")
    terminal.wait_for("▶ Send buy 5 AAPL at market ◀")
    terminal.press("Enter")
    terminal.wait_for(lambda screen: "✓ Bought 5 AAPL" in screen and held(screen, "AAPL") == before + 5)
    terminal.wait_for(lambda screen: re.search(r"Bought 5 AAPL @ [\d.,a-z ]+ · order", screen))

    # A price off the tick and an order beyond the money are refused in the ticket, with the reason.
    terminal.press("m")
    terminal.wait_for(lambda screen: "at market − +" not in screen and "IOC" in screen and "GTC" in screen)
    terminal.press("Tab")
    terminal.wait_for(lambda screen: re.search(r"│ Price +[\d.]*▏", screen))
    terminal.press("1", ".", "0", "0", "5", "Enter")
    terminal.wait_for("✗ price 1.005: not a multiple of")
    terminal.press(*"500", "BTab")
    terminal.wait_for(lambda screen: re.search(r"│ Quantity +[\d,]*▏", screen))
    terminal.press(*"99999", "Enter")
    terminal.wait_for("▶ Send buy 99,999 AAPL @ 500.00 ◀")
    terminal.press("Enter")
    terminal.wait_for("✗ Rejected: ")

    # By mouse: a click on the best ask puts it into the ticket.
    lines = terminal.wait_for(lambda screen: len(levels(screen)) >= 20).splitlines()
    above = next(y for y, line in enumerate(lines) if "spread" in line)  # counted from 1: the line above it
    terminal.click(lines[above - 1].rindex(".") - 1, above)
    terminal.wait_for(lambda screen: re.search(r"Buy 99,999 AAPL @ (?!500\.00)[\d.]+", screen))

    terminal.press("?")
    terminal.wait_for("Cancel all working orders")
    terminal.press("Escape")
    terminal.wait_for(lambda screen: "Cancel all working orders" not in screen)
    terminal.press("q")
    terminal.wait_for(f"{ENDED} 0")
    assert not status(DatabaseSettings(data_dir=tmp_path / "data")).running


def test_an_account_that_is_not_there_is_named_and_the_server_left(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.start("--account", "NOBODY")
    shown = terminal.wait_for(f"{ENDED} 1")
    assert "trade: account NOBODY: there is no account of that number" in shown
    assert "Traceback" not in shown
    assert not status(DatabaseSettings(data_dir=tmp_path / "data")).running


def test_without_a_screen_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [TRADE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRADE_DATABASE__DATA_DIR": str(tmp_path / "data")},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("trade: the terminal needs a screen")
    assert not (tmp_path / "data").exists()
