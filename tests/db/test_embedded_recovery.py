"""The embedded server: coming up again after a crash, and on data that it cannot use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from db.embedded import cluster as cluster_module
from db.embedded import osuser, postmaster, sharing
from db.embedded.cluster import Cluster
from db.errors import ServerError
from db.settings import DatabaseSettings
from tests.db.embedded_servers import (
    ROOT,
    ask,
    data_dir,
    is_up,
    open_folder,
    template,
    used_data_dir,
    wait_until,
    watched,
)

__all__ = ["data_dir", "template", "used_data_dir"]

START = """
import sys
from pathlib import Path
from db.embedded.cluster import Cluster
Cluster(Path(sys.argv[1])).start()
"""
OTHER_MAJOR = Path("/usr/lib/postgresql/15/bin/initdb")


@pytest.fixture
def server(used_data_dir: Path) -> Iterator[Cluster]:
    cluster = Cluster(used_data_dir)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def unrelated(server: Cluster) -> Iterator[int]:
    """The pid of a program that has nothing to do with us, of the very user that the server runs as."""
    user = osuser.server_user(server.path, server.data.path)
    process = subprocess.Popen(["/bin/sleep", "60"], cwd="/", **osuser.becoming(user))
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def kill(server: Cluster) -> None:
    """End the server as the kernel does when memory runs out."""
    process = server.process()
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: server.process() is None)


async def test_a_server_that_was_killed_comes_up_again_with_all_that_was_committed(server: Cluster) -> None:
    await ask(server.owner_url(), "create table kept as select 42 as answer")
    kill(server)
    assert (server.path / "postmaster.pid").exists(), "its traces are there"
    server.start()
    assert await ask(server.owner_url(), "select answer from kept") == 42


async def test_the_traces_of_a_killed_server_may_name_another_program_by_now(
    server: Cluster, unrelated: int
) -> None:
    process = server.process()
    assert process is not None
    kill(server)
    wait_until(lambda: not is_up(server.data.path))
    pid_file = server.path / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(process.pid), str(unrelated), 1))
    lock_file = process.socket_folder / f".s.PGSQL.{process.port}.lock"
    lock_file.write_text(lock_file.read_text().replace(str(process.pid), str(unrelated), 1))
    assert not server.is_running()
    server.start()
    assert await ask(server.owner_url(), "select 1") == 1
    os.kill(unrelated, 0)  # and that program lives on


async def test_a_statement_that_outlives_its_killed_server_is_ended(
    server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "LEFTOVER_GRACE", 0.2)
    connection = await asyncpg.connect(server.owner_url())
    busy = asyncio.create_task(connection.fetchval("select count(*) from generate_series(1, 10000000000)"))
    await asyncio.sleep(0.2)
    kill(server)
    assert is_up(server.data.path), "the statement computes on and has not noticed"
    await asyncio.to_thread(server.start)
    with contextlib.suppress(asyncpg.PostgresConnectionError, OSError):
        await busy
    assert await ask(server.owner_url(), "select 1") == 1


def test_a_server_that_still_works_on_data_moved_away_is_named(used_data_dir: Path) -> None:
    first = Cluster(used_data_dir)
    first.start()
    process = first.process()
    assert process is not None
    (used_data_dir / "cluster").rename(used_data_dir / "lost")
    try:
        with pytest.raises(ServerError, match="Processes of an earlier server still work"):
            _start_impatiently(Cluster(used_data_dir))
    finally:
        os.kill(process.pid, signal.SIGQUIT)
    wait_until(lambda: not postmaster.processes_in(used_data_dir / "lost"))


def _start_impatiently(cluster: Cluster) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "LEFTOVER_GRACE", 0.1)
        patch.setattr(cluster_module, "LEFTOVER_TIMEOUT", 0.1)
        cluster.start()


def test_a_cluster_whose_making_was_cut_off_is_swept_up(data_dir: Path) -> None:
    making = subprocess.Popen(
        [sys.executable, "-c", START, data_dir], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    wait_until(lambda: bool(list(data_dir.glob("cluster.new-*/base"))))
    making.kill()
    making.wait()
    assert list(data_dir.glob("cluster.new-*"))
    assert not (data_dir / "cluster").exists()
    cluster = Cluster(data_dir)
    cluster.start()
    cluster.stop()
    assert not list(data_dir.glob("cluster.new-*"))


def test_a_start_that_was_cut_off_leaves_a_server_that_others_can_use(used_data_dir: Path) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-c", START, used_data_dir], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    wait_until(lambda: postmaster.recorded(used_data_dir / "cluster") is not None)
    starting.kill()
    starting.wait()
    cluster = Cluster(used_data_dir)
    cluster.start()
    assert cluster.is_running()
    cluster.stop()
    assert not is_up(used_data_dir)


@pytest.mark.skipif(not OTHER_MAJOR.exists(), reason="PostgreSQL 15 is not on this machine")
def test_data_of_another_major_version_are_left_alone_and_the_error_says_what_to_do() -> None:
    with open_folder() as place, watched(place / "pitside") as data_dir:
        folder = data_dir / "cluster"
        folder.mkdir(parents=True, mode=0o700)
        user = osuser.server_user(data_dir)
        os.chown(folder, user.uid, user.gid)
        command: list[str | Path] = [OTHER_MAJOR, "-D", folder, "--auth=peer", "--no-sync"]
        subprocess.run(command, cwd="/", check=True, capture_output=True, **osuser.becoming(user))
        before = sorted(folder.iterdir())
        with pytest.raises(ServerError, match=r"written by PostgreSQL 15.*brings PostgreSQL 18") as error:
            Cluster(data_dir).start()
        for way_out in ("pg_dump", "database.data_dir", "trade db reset"):
            assert way_out in str(error.value)
        assert sorted(folder.iterdir()) == before
        assert sharing.reset(DatabaseSettings(data_dir=data_dir))
        assert not folder.exists()


async def test_removing_leaves_a_folder_in_which_all_begins_anew(server: Cluster) -> None:
    with pytest.raises(ServerError, match="runs: stop it first"):
        _remove_impatiently(server)
    await ask(server.owner_url(), "create table gone ()")
    server.stop()
    server.remove()
    assert not server.path.exists()
    server.start()
    assert await ask(server.owner_url(), "select to_regclass('gone') is null")


def _remove_impatiently(server: Cluster) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "LEFTOVER_TIMEOUT", 0.1)
        server.remove()


def test_a_long_log_is_set_aside(used_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.embedded.folders.LOG_LIMIT", 100)
    cluster = Cluster(used_data_dir)
    for _ in range(2):
        cluster.start()
        cluster.stop()
    assert sorted(file.name for file in cluster.log.parent.glob("server.log*")) == [
        "server.log",
        "server.log.1",
    ]
