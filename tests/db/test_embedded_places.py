"""The embedded server: where its data may lie, and as whom it runs."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from db.embedded import binaries, folders, osuser
from db.embedded.cluster import Cluster
from db.embedded.folders import DataDir, make_private, socket_folder
from db.errors import ServerError
from tests.db.embedded_servers import (
    ask,
    data_dir,
    only_root,
    open_folder,
    run_as_ordinary_user,
    watched,
)

__all__ = ["data_dir"]

MOUNT, UMOUNT = shutil.which("mount") or "/bin/mount", shutil.which("umount") or "/bin/umount"

# Starts a server on the folder given, or on the default one, and tells its folder and the user it runs as.
SCRIPT = """
import sys
from pathlib import Path
import psutil
from db.embedded.cluster import Cluster
from db.embedded.folders import default_data_dir
from db.errors import ServerError

cluster = Cluster(Path(sys.argv[1]) if len(sys.argv) > 1 else default_data_dir())
try:
    cluster.start()
except ServerError as error:
    sys.exit(f"trade: {error}")
print(cluster.data.path, psutil.Process(cluster.process().pid).username())
cluster.stop()
"""


async def starts(folder: Path) -> None:
    """The server comes up on that folder, answers, and is gone again."""
    with watched(folder):
        cluster = Cluster(folder)
        cluster.start()
        try:
            assert await ask(cluster.owner_url(), "select current_user") == "pitside"
        finally:
            cluster.stop()


@pytest.mark.parametrize("name", ["my data & more", "Börsendaten-取引", """it's "quoted", \\ and 100%"""])
async def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    await starts(tmp_path / name / "pitside")


async def test_a_path_that_is_too_long_for_a_socket_gets_a_short_one_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "pitside"
    await starts(folder)
    sockets = socket_folder(DataDir(folder), osuser.server_user(folder))
    assert folder not in sockets.parents
    assert len(str(sockets / ".s.PGSQL.65535")) <= folders.SOCKET_PATH_LIMIT
    assert not sockets.exists(), "it went with the server"


async def test_each_data_folder_has_its_own_short_socket_folder(tmp_path: Path) -> None:
    user = osuser.server_user(tmp_path)
    long = tmp_path / ("long" * 30)
    assert socket_folder(DataDir(long / "a"), user) != socket_folder(DataDir(long / "b"), user)
    assert socket_folder(DataDir(long / "a"), user) == socket_folder(DataDir(long / "b" / ".." / "a"), user)


def test_a_link_in_the_place_of_the_socket_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / "socket").symlink_to(tmp_path / "theirs")
    with pytest.raises(ServerError, match="should be a folder of ours"):
        make_private(tmp_path / "socket", osuser.server_user(tmp_path))
    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o755


@only_root
def test_somebody_elses_folder_in_the_place_of_the_socket_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir()
    os.chown(tmp_path / "socket", 12345, 12345)
    with pytest.raises(ServerError, match="belongs to the user with the number 12345"):
        make_private(tmp_path / "socket", osuser.server_user(tmp_path))


def test_a_file_in_the_place_of_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something")
    with pytest.raises(ServerError, match=r"file.* should be a folder.*database\.data_dir"):
        Cluster(tmp_path / "file").start()
    with pytest.raises(
        ServerError, match=r"file should be a folder, and it \(or what it lies in\) is a file"
    ):
        Cluster(tmp_path / "file" / "below").start()


def test_another_servers_data_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("18\n")
    with pytest.raises(
        ServerError, match=r"itself the data folder of a PostgreSQL server.*database\.data_dir"
    ):
        Cluster(tmp_path).start()
    assert [file.name for file in tmp_path.iterdir()] == ["PG_VERSION"]


def test_files_of_somebody_else_in_the_clusters_place_are_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "cluster" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(ServerError, match=r"not a PostgreSQL data folder.*database\.data_dir"):
        Cluster(tmp_path).start()
    assert list(notes.parent.iterdir()) == [notes]
    assert notes.read_text() == "mine"


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one cluster and not much more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", "size=100m", "pitside-test", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only, and not in every container")
    try:
        yield folder
    finally:
        subprocess.run([UMOUNT, folder], check=True)


def fill(disk: Path, leaving: int) -> Path:
    """A file that leaves that many bytes."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leaving)
    return filler


def test_a_full_disk_is_named_and_nothing_is_left_on_it(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = fill(small_disk, leaving=20_000_000)
    with pytest.raises(ServerError, match=r"disk of .*disk/pitside is full .*free some space"):
        Cluster(small_disk / "pitside").start()
    # Also when it fills up only while the cluster is being made.
    monkeypatch.setattr("db.embedded.trouble.NEEDED", 0)
    with pytest.raises(ServerError, match=r"disk of .*disk/pitside is full .*free some space"):
        Cluster(small_disk / "pitside").start()
    assert not list((small_disk / "pitside").glob("cluster*"))
    filler.unlink()
    cluster = Cluster(small_disk / "pitside")
    cluster.start()
    cluster.stop()


def test_a_disk_that_has_filled_up_since_is_named(small_disk: Path) -> None:
    cluster = Cluster(small_disk / "pitside")
    cluster.start()
    cluster.stop()
    filler = fill(small_disk, leaving=0)
    with pytest.raises(ServerError, match=r"disk of .* is full .*free some space"):
        cluster.start()
    filler.unlink()
    cluster.start()
    cluster.stop()


# As an ordinary user


def test_an_ordinary_user_has_the_data_in_their_own_folder() -> None:
    with open_folder() as home:
        told = run_as_ordinary_user(SCRIPT, home)
        assert told.returncode == 0, told.stderr
        folder, user = told.stdout.split()
        assert Path(folder) == home / ".local" / "share" / "pitside"
        assert user == pwd.getpwuid(home.stat().st_uid).pw_name
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


def test_a_folder_that_may_not_be_written_to_is_named() -> None:
    with open_folder() as home:
        closed = home / "closed"
        closed.mkdir(mode=0o555)
        told = run_as_ordinary_user(SCRIPT, home, str(closed / "pitside"))
        assert told.returncode == 1
        assert f"{closed}/pitside may not be used by" in told.stderr
        assert "database.data_dir" in told.stderr
        assert "Traceback" not in told.stderr


# As root


@only_root
def test_the_server_of_root_runs_as_an_ordinary_user(data_dir: Path) -> None:
    cluster = Cluster(data_dir)
    cluster.start()
    try:
        process = cluster.process()
        assert process is not None
        assert psutil.Process(process.pid).username() in osuser.SERVER_USERS
        assert psutil.Process(process.pid).gids().effective != 0
    finally:
        cluster.stop()


@only_root
async def test_roots_data_may_lie_where_only_root_can_look(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "pitside").mkdir(mode=0o700)
    before = {folder: folder.stat().st_mode for folder in (closed / "pitside", *closed.parents)}
    await starts(closed / "pitside")
    assert {folder: folder.stat().st_mode for folder in before} == before, "no folder was loosened"


@only_root
async def test_in_a_place_open_to_all_the_socket_lies_beside_the_data() -> None:
    with open_folder() as folder, watched(folder / "pitside") as data:
        cluster = Cluster(data)
        cluster.start()
        try:
            process = cluster.process()
            assert process is not None
            assert process.socket_folder == data / "socket"
            assert await ask(cluster.owner_url(), "show data_directory") == str(data / "cluster")
        finally:
            cluster.stop()


@only_root
def test_programs_where_the_servers_user_cannot_look_are_copied_once(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = binaries.installed()
    site = tmp_path / "site"  # in pytest's folder, which only root can enter
    shutil.copytree(ours.bin.parents[1], site / binaries.PACKAGE)
    shutil.copytree(ours.bin.parents[2] / binaries.LIBRARIES, site / binaries.LIBRARIES)
    hidden = binaries.Binaries(site / binaries.PACKAGE / "pginstall" / "bin", ours.version)
    said: list[str] = []
    with open_folder() as place:
        monkeypatch.setattr(binaries, "installed", lambda: hidden)
        monkeypatch.setattr(binaries, "system_folder", lambda: place / "system")
        cluster = Cluster(data_dir, progress=said.append)
        cluster.start()
        try:
            process = cluster.process()
            assert process is not None
            program = Path(psutil.Process(process.pid).exe())
        finally:
            cluster.stop()
        assert (place / "system") in program.parents
        assert len([message for message in said if "Copying" in message]) == 1
        cluster.start()
        cluster.stop()
        assert len([message for message in said if "Copying" in message]) == 1
        assert [folder.name for folder in (place / "system").iterdir()] == [program.parents[3].name]


@only_root
def test_root_refuses_a_place_for_the_programs_that_others_may_write_to(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osuser.OsUser, "can_run", lambda *_: False)
    with open_folder() as place:
        (place / "system").mkdir()
        (place / "system").chmod(0o777)
        monkeypatch.setattr(binaries, "system_folder", lambda: place / "system")
        with pytest.raises(ServerError, match="only root may write to"):
            Cluster(data_dir).start()


@only_root
def test_a_root_that_may_not_become_another_user_is_told_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, uid: int, _gid: int) -> None:  # as in a sandbox with one user only
        if uid != 0:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(ServerError, match="run the program as an ordinary user"):
        Cluster(data_dir).start()


@only_root
def test_root_and_the_owner_may_take_turns_on_an_ordinary_users_data() -> None:
    with open_folder() as home, watched(home / "pitside") as data:
        told = run_as_ordinary_user(SCRIPT, home, str(data))
        assert told.returncode == 0, told.stderr
        user = told.stdout.split()[1]
        cluster = Cluster(data)
        cluster.start()
        try:
            process = cluster.process()
            assert process is not None
            assert psutil.Process(process.pid).username() == user
        finally:
            cluster.stop()
        told = run_as_ordinary_user(SCRIPT, home, str(data))
        assert told.returncode == 0, told.stderr


@only_root
def test_an_ordinary_user_who_opens_roots_data_is_told_so() -> None:
    with open_folder() as place, watched(place / "pitside") as data:
        cluster = Cluster(data)
        cluster.initialise()
        home = place / "home"
        home.mkdir()
        told = run_as_ordinary_user(SCRIPT, home, str(data))
        assert told.returncode == 1
        assert "belongs to root" in told.stderr
        assert "database.data_dir" in told.stderr
