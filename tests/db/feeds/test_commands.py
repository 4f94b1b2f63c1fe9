"""`trade demo`, `trade simulate` and `trade tape`, as a person calls them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from db import instruments, market
from db.database import Database
from tests.db.feeds.watching import until
from tests.db.people import People
from tests.factories import make_instrument

ROOT = Path(__file__).parents[3]

TAPE = "1,1,1,100,5856000,-1\n1,4,1,40,5856000,-1\n1,4,9,40,5856000,-1\n60,3,1,60,5856000,-1\n"
"""The last message comes a minute after the others."""


def trade(url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "terminal", "--database-url", url, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("TRADE_")},
    )


def done(url: str, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a call."""
    process = trade(url, *words)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def test_demo_then_simulate_then_tape(database_url: str, tmp_path: Path) -> None:
    code, out, _ = done(database_url, "demo", "--json")
    assert (code, json.loads(out)["set_up"], len(json.loads(out)["instruments"])) == (0, True, 12)
    code, out, _ = done(database_url, "demo")
    assert (code, out) == (0, "The database has instruments already: nothing was changed.\n")

    code, out, err = done(
        database_url, "simulate", "--duration", "1", "--pace", "5", "--seed", "1", "--symbols", "aapl,SPY"
    )
    assert (code, err) == (0, "")
    assert out.startswith("Stopped; all orders are cancelled. 2 instruments · 0 orders resting · ")

    tape = tmp_path / "day.csv"
    tape.write_text(TAPE)
    code, out, err = done(database_url, "tape", str(tape), "--symbol", "AAPL", "--speed", "max", "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert (report["messages"], report["executions"], report["filled_named"], report["unknown"]) == (
        4,
        2,
        1,
        1,
    )


async def test_ctrl_c_stops_a_tape_and_its_report_is_given(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await make_instrument(database, "ACME")
    tape = tmp_path / "day.csv"
    tape.write_text(TAPE)
    process = trade(database_url, "tape", str(tape), "--symbol", "acme")

    async def executed() -> bool:
        return bool(await database.fetchval("select count(*) from trades"))

    await until(executed)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, timeout=20)
    assert (process.returncode, err) == (130, "")
    assert "of 4 messages in " in out
    assert "         1 filled the very order that the tape names\n" in out
    book = await market.book(database, (await instruments.by_symbol(database, "ACME")).instrument_id)
    assert book.asks == ()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("tape", "none.csv", "--symbol", "AAPL"), 1, "trade: none.csv cannot be read: No such file"),
        (("tape", "pyproject.toml", "--symbol", "AAPL"), 1, "trade: pyproject.toml, line 1: "),
        (("tape", "x", "--symbol", "AAPL", "--speed", "0"), 2, "'0' is neither a number above 0 nor max"),
        (("simulate", "--pace", "0"), 1, "trade: --pace is '0'"),
        (("simulate",), 1, "there are no active instruments"),
    ],
)
def test_what_cannot_be_done_is_said(database_url: str, words: tuple[str, ...], code: int, told: str) -> None:
    got, out, err = done(database_url, *words)
    assert (got, out) == (code, "")
    assert told in err


async def test_the_market_is_the_owners_to_make(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await make_instrument(database, "AAPL")
    jo = await People(database, database_url).add()
    (tmp_path / "day.csv").write_text(TAPE)
    for words in (("simulate", "--duration", "1"), ("tape", str(tmp_path / "day.csv"), "--symbol", "AAPL")):
        code, out, err = await asyncio.to_thread(done, jo.url, *words)
        assert (code, out) == (1, "")
        assert err.startswith(f"trade: trade {words[0]} is for the owner of test_")
