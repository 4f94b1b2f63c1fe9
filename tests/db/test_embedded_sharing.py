"""The embedded server shared by several terminals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from db.embedded import keeper, sharing
from db.embedded.cluster import Cluster
from db.embedded.folders import DataDir
from db.embedded.sharing import Stopped, join
from db.errors import ServerError
from db.settings import DatabaseSettings
from tests.db.embedded_servers import (
    ask,
    data_dir,
    is_up,
    keepers_of,
    template,
    terminals,
    used_data_dir,
    wait_until,
)

__all__ = ["data_dir", "template", "used_data_dir"]


@pytest.fixture
def new(data_dir: Path) -> Iterator[DatabaseSettings]:
    """Settings for a data folder that does not exist yet."""
    settings = DatabaseSettings(data_dir=data_dir)
    yield settings
    sharing.stop(settings, force=True)


@pytest.fixture
def settings(new: DatabaseSettings, used_data_dir: Path) -> DatabaseSettings:
    """Settings for a data folder that has been used before."""
    assert new.data_dir == used_data_dir
    return new


def pid(settings: DatabaseSettings) -> int:
    found = sharing.status(settings).pid
    assert found is not None
    return found


async def test_the_first_starts_the_server_and_the_last_to_leave_stops_it(settings: DatabaseSettings) -> None:
    first = join(settings)
    server = pid(settings)
    second = join(settings)
    assert pid(settings) == server
    first.leave()
    assert await ask(second.url, "select 1") == 1
    second.leave()
    assert not is_up(sharing.cluster_of(settings).data.path), "it is down when the last has left"
    second.leave()  # again: nothing


def test_joining_takes_milliseconds(settings: DatabaseSettings) -> None:
    with join(settings):
        began = time.perf_counter()
        for _ in range(10):
            join(settings).leave()
        assert (time.perf_counter() - began) / 10 < 0.1  # 1–2 ms, on a machine that does nothing else


def test_a_lease_is_left_when_its_block_ends_in_an_error(settings: DatabaseSettings) -> None:
    with pytest.raises(ZeroDivisionError), join(settings):
        _ = 1 / 0
    assert not sharing.status(settings).running


def test_terminals_that_start_at_once_get_one_server(used_data_dir: Path) -> None:
    with terminals(used_data_dir, 4) as opened:
        assert len({terminal.url() for terminal in opened}) == 1
        # One postmaster, whose children are all the others.
        cluster = Cluster(used_data_dir)
        assert cluster.is_running()
        assert cluster.log.read_text().count("starting PostgreSQL") == 1
        for terminal in opened:
            terminal.quit()
        assert not is_up(used_data_dir)


async def test_a_killed_terminal_does_not_take_the_server_away(used_data_dir: Path) -> None:
    with terminals(used_data_dir, 1) as (first,):
        url = first.url()
        with terminals(used_data_dir, 1) as (second,):
            second.url()
            first.kill()
            assert await ask(url, "select 1") == 1
            second.quit()
            assert not is_up(used_data_dir)


def test_a_killed_terminal_does_not_keep_the_server_alive(used_data_dir: Path) -> None:
    with terminals(used_data_dir, 2) as (first, second):
        first.url()
        second.url()
        first.kill()
        assert is_up(used_data_dir)
        second.kill()
        wait_until(lambda: not is_up(used_data_dir))


def test_a_terminal_killed_while_it_starts_the_server_leaves_none(data_dir: Path) -> None:
    with terminals(data_dir, 1) as (first,):
        wait_until(lambda: bool(list(data_dir.glob("cluster*"))))
        first.kill()
    wait_until(lambda: not is_up(data_dir) and not keepers_of(data_dir, within=0))
    with join(DatabaseSettings(data_dir=data_dir)):
        assert is_up(data_dir)
    assert not is_up(data_dir)


def test_a_killed_keeper_is_replaced_by_the_next_to_join(settings: DatabaseSettings, data_dir: Path) -> None:
    with terminals(data_dir, 1) as (first,):
        first.url()
        (old,) = keepers_of(data_dir, within=0)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: not keeper.is_there(DataDir(data_dir)))
        with terminals(data_dir, 1) as (second,):
            second.url()
            assert keeper.is_there(DataDir(data_dir))
            first.kill()
            second.kill()
    wait_until(lambda: not is_up(data_dir))


def test_the_last_to_leave_needs_no_keeper(settings: DatabaseSettings, data_dir: Path) -> None:
    lease = join(settings)
    for watching in keepers_of(data_dir, within=0):
        os.kill(watching, signal.SIGKILL)
    lease.leave()
    assert not is_up(data_dir)


def test_terminals_that_come_and_go_at_once_always_have_a_server(settings: DatabaseSettings) -> None:
    began = time.monotonic()
    together = threading.Barrier(4)

    def come_and_go(_: int) -> int:
        rounds = 0
        together.wait()
        while time.monotonic() < began + 1.5:
            with join(settings):
                assert sharing.cluster_of(settings).is_running()
                rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(come_and_go, range(4))) > 1
    assert not is_up(sharing.cluster_of(settings).data.path)


def test_a_server_that_was_killed_is_started_again_by_the_next_to_join(settings: DatabaseSettings) -> None:
    first = join(settings)
    os.kill(pid(settings), signal.SIGKILL)
    wait_until(lambda: not sharing.status(settings).running)
    second = join(settings)
    assert second.url == first.url
    second.leave()
    assert sharing.status(settings).running, "the first still uses it"
    first.leave()
    assert not sharing.status(settings).running


def test_a_port_that_the_running_server_does_not_have_yet_is_told(settings: DatabaseSettings) -> None:
    said: list[str] = []
    with join(settings):
        join(settings.model_copy(update={"port": 54321}), progress=said.append).leave()
        assert said == ["The server runs already; database.port 54321 will hold from its next start."]


# Kept servers


def test_a_kept_server_stays_until_it_is_told_to_stop(settings: DatabaseSettings, data_dir: Path) -> None:
    with join(settings) as lease:
        lease.keep()
    status = sharing.status(settings)
    assert status.running
    assert status.kept
    assert not status.in_use
    assert not keepers_of(data_dir), "nobody watches over it"
    with join(settings):
        assert sharing.status(settings).in_use
        assert pid(settings) == status.pid
    with terminals(data_dir, 1) as (killed,):
        killed.url()
        killed.kill()
    assert pid(settings) == status.pid
    assert sharing.stop(settings) is Stopped.STOPPED
    assert not is_up(data_dir)
    assert sharing.stop(settings) is Stopped.WAS_NOT_RUNNING


def test_a_kept_server_in_use_goes_with_its_last_terminal_once_it_is_told_to_stop(
    settings: DatabaseSettings, data_dir: Path
) -> None:
    with join(settings) as lease:
        lease.keep()
    with terminals(data_dir, 1) as (terminal,):
        terminal.url()
        assert sharing.stop(settings) is Stopped.IN_USE
        assert not sharing.status(settings).kept
        assert is_up(data_dir)
        terminal.kill()
    wait_until(lambda: not is_up(data_dir))


def test_force_stops_it_under_its_terminals(settings: DatabaseSettings, data_dir: Path) -> None:
    with join(settings):
        assert sharing.stop(settings, force=True) is Stopped.STOPPED
        assert not is_up(data_dir)


def test_to_keep_a_server_does_not_outlive_it(settings: DatabaseSettings) -> None:
    with join(settings) as lease:
        lease.keep()
    os.kill(pid(settings), signal.SIGKILL)
    wait_until(lambda: not sharing.status(settings).running)
    with join(settings):
        assert not sharing.status(settings).kept
    assert not sharing.status(settings).running


def test_a_server_that_has_ended_cannot_be_kept(settings: DatabaseSettings) -> None:
    with join(settings) as lease:
        sharing.stop(settings, force=True)
        with pytest.raises(ServerError, match=r"has ended: .*server\.log says why"):
            lease.keep()


# Reset, status, another server


async def test_reset_deletes_the_data_but_not_under_a_terminal(new: DatabaseSettings) -> None:
    assert not sharing.reset(new), "there is nothing yet"
    with join(new) as lease:
        await ask(lease.url, "create table gone ()")
        with pytest.raises(ServerError, match="Terminals use the data"):
            sharing.reset(new)
        lease.keep()
    assert sharing.reset(new)
    assert not sharing.status(new).running
    with join(new) as lease:
        assert await ask(lease.url, "select to_regclass('gone') is null")


def test_status_looks_and_touches_nothing(new: DatabaseSettings, data_dir: Path) -> None:
    before = sharing.status(new)
    assert not data_dir.exists()
    assert (before.running, before.pid, before.size, before.kept, before.in_use) == (
        False,
        None,
        0,
        False,
        False,
    )
    with join(new) as lease:
        during = sharing.status(new)
        assert during.running
        assert during.url == lease.url == before.url
        assert during.size > 1_000_000
        assert during.data_dir == data_dir
        assert abs((during.started or 0) - time.time()) < 30
    assert not sharing.status(new).running


def test_another_server_is_used_as_it_is(data_dir: Path) -> None:
    url = "postgresql://me@db.example/trading"
    with join(DatabaseSettings(url=SecretStr(url), data_dir=data_dir)) as lease:
        assert lease.url == url
        assert not lease.is_embedded
    assert not data_dir.exists()


def test_one_that_cannot_start_the_server_holds_nobody_up(new: DatabaseSettings, data_dir: Path) -> None:
    (data_dir / "cluster").mkdir(parents=True)
    (data_dir / "cluster" / "notes.txt").write_text("mine")
    with pytest.raises(ServerError, match="not a PostgreSQL data folder"):
        join(new)
    assert not keepers_of(data_dir)
    assert not sharing.status(new).in_use
