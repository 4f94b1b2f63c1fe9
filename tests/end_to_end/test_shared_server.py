"""`trade db` from the outside: one server for every process on the data folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.embedded import binaries
from db.embedded.sharing import stop
from db.settings import DatabaseSettings
from tests.db.embedded_servers import (
    data_dir,
    is_up,
    keepers_of,
    template,
    terminals,
    used_data_dir,
    wait_until,
)

__all__ = ["data_dir", "template", "used_data_dir"]

TRADE = Path(sys.executable).with_name("trade")


class Trade:
    """The command `trade`, on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *arguments: str, answer: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TRADE, *arguments],
            input=answer,
            env={**os.environ, "TRADE_DATABASE__DATA_DIR": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def output(self, *arguments: str) -> str:
        """What it prints on stdout, when all is well."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.output("db", "status", "--json"))
        return report


@pytest.fixture
def new(data_dir: Path) -> Iterator[Trade]:
    """`trade` on a data folder that does not exist yet."""
    command = Trade(data_dir)
    yield command
    stop(DatabaseSettings(data_dir=data_dir), force=True)


@pytest.fixture
def trade(new: Trade, used_data_dir: Path) -> Trade:
    """`trade` on a data folder that has been used before."""
    assert new.folder == used_data_dir
    return new


def psql(url: str, query: str) -> str:
    return subprocess.run(
        [binaries.installed().program("psql"), "-XAt", url, "-c", query],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_start_brings_up_the_server_and_the_schema_and_nothing_else_until_stop(new: Trade) -> None:
    started = new("db", "start")
    assert started.returncode == 0, started.stderr
    url = started.stdout.removesuffix("\n")
    assert "\n" not in url, "the URL is all there is on stdout"
    assert psql(url, "select current_user") == "pitside"
    assert int(psql(url, "select count(*) from internal.schema_versions")) > 0
    assert psql(url, "select count(*) from instruments") == "0"
    assert not keepers_of(new.folder)

    status = new.status()
    assert (status["running"], status["kept"], status["in_use"]) == (True, True, False)
    assert status["url"] == url == new.output("db", "url").strip()
    assert status["data_dir"] == str(new.folder)
    assert status["schema"]["pending"] == []
    assert status["version"].startswith("18.")
    assert new.output("db", "start").strip() == url, "a second start finds it there"
    assert new.status()["pid"] == status["pid"]

    assert new.output("db", "stop") == ""
    assert not is_up(new.folder)
    assert new.status()["running"] is False


def test_status_for_people_says_the_same(trade: Trade) -> None:
    assert "not running" in trade.output("db", "status")
    trade("db", "start")
    told = trade.output("db", "status")
    for word in ("running since", "stays until `trade db stop`", str(trade.folder), "up to date", "MB"):
        assert word in told


def test_stop_waits_for_the_terminals(trade: Trade) -> None:
    trade("db", "start")
    with terminals(trade.folder, 1) as (terminal,):
        terminal.url()
        stopped = trade("db", "stop")
        assert stopped.returncode == 0
        assert "stops when the last of them is closed" in stopped.stderr
        assert is_up(trade.folder)
        terminal.quit()
        assert not is_up(trade.folder)


def test_a_forced_stop_does_not_wait(trade: Trade) -> None:
    with terminals(trade.folder, 1) as (terminal,):
        terminal.url()
        assert "is stopped" in trade("db", "stop", "--force").stderr
        assert not is_up(trade.folder)


def test_migrate_needs_no_server_and_leaves_none(trade: Trade) -> None:
    assert "Applying 0001" in trade("db", "migrate").stderr
    assert not is_up(trade.folder)
    assert "up to date" in trade("db", "migrate").stderr


def test_reset_asks_first(trade: Trade) -> None:
    url = trade.output("db", "start").strip()
    psql(url, "create table precious ()")
    refused = trade("db", "reset", answer="n\n")
    assert refused.returncode == 1
    assert "cannot be undone" in refused.stderr
    assert psql(url, "select 'precious'::regclass") == "precious"
    assert trade("db", "reset", answer="y\n").returncode == 0
    assert not is_up(trade.folder)
    assert not (trade.folder / "cluster").exists()
    assert "There is no database" in trade("db", "reset", "--yes").stderr


def test_a_server_of_ones_own_is_not_started_stopped_or_reset(trade: Trade) -> None:
    url = trade.output("db", "start").strip()
    elsewhere = Trade(trade.folder / "elsewhere")
    for command in ("start", "stop"):
        done = elsewhere("db", command, TRADE_DATABASE__URL=url)
        assert done.returncode == 0
        assert "database.url is set" in done.stderr
        assert done.stdout == ""
    refused = elsewhere("db", "reset", "--yes", TRADE_DATABASE__URL=url)
    assert refused.returncode == 1
    assert "reset is for the embedded server" in refused.stderr
    assert elsewhere("db", "url", TRADE_DATABASE__URL=url).stdout.strip() == url
    assert "up to date" in elsewhere("db", "migrate", TRADE_DATABASE__URL=url).stderr
    status = json.loads(elsewhere("db", "status", "--json", TRADE_DATABASE__URL=url).stdout)
    assert (status["embedded"], status["running"], status["schema"]["pending"]) == (False, True, [])
    assert not (trade.folder / "elsewhere").exists()


def test_trouble_is_told_without_a_traceback(new: Trade) -> None:
    new.folder.parent.mkdir(exist_ok=True)
    new.folder.write_text("a file")
    done = new("db", "start")
    assert done.returncode == 1
    assert done.stderr.startswith(f"trade: {new.folder} should be a folder")
    assert "Traceback" not in done.stderr


def test_interrupting_a_start_leaves_nothing_behind(new: Trade) -> None:
    process = subprocess.Popen(
        [TRADE, "db", "start"],
        env={**os.environ, "TRADE_DATABASE__DATA_DIR": str(new.folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()  # at once: a start does not take long
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert first.startswith("Setting up the database server")
    assert process.returncode == 130, said
    assert "Traceback" not in said
    wait_until(lambda: not is_up(new.folder) and not keepers_of(new.folder, within=0))
    assert new.output("db", "start").startswith("postgresql://")
