"""What the tests of the embedded server share: data folders that no server may outlive, terminals to kill."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from db.embedded import binaries, osuser
from db.embedded.cluster import Cluster
from db.embedded.folders import DataDir
from db.embedded.postmaster import processes_in

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
ORDINARY = pwd.getpwnam("nobody")
IMPORTS = "import os, encodings.ascii, psutil, db.embedded.cluster; db.embedded.cluster.binaries.installed()"
TERMINAL = """
import sys
from pathlib import Path
from db.embedded.sharing import join
from db.settings import DatabaseSettings

lease = join(DatabaseSettings(data_dir=Path(sys.argv[1])))
print(lease.url, flush=True)
sys.stdin.readline()
lease.leave()
"""

only_root = pytest.mark.skipif(not AS_ROOT, reason="about a program that runs as root")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not exist yet, for one server; the test fails if it leaves a process there."""
    with watched(tmp_path / "pitside") as folder:
        yield folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster as it is after the first start was prepared: the slow part, done once."""
    folder = tmp_path_factory.mktemp("template")
    Cluster(folder).initialise()
    return folder / "cluster"


@pytest.fixture
def used_data_dir(data_dir: Path, template: Path) -> Path:
    """A data folder that has been used before, and so starts faster."""
    data_dir.mkdir()
    # With its owner and permissions, which the standard library does not copy.
    subprocess.run([shutil.which("cp") or "/bin/cp", "-a", template, data_dir / "cluster"], check=True)
    return data_dir


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Path]:
    """Fail if processes are left on the data folder, after having ended them."""
    yield folder
    left = [*processes_in(folder / "cluster"), *keepers_of(folder)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # What a killed server leaves outside of its data folder until it is started again.
    Cluster(folder).stop()
    assert not left, f"the test has left processes {left} on {folder}"


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="pitside-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def keepers_of(folder: Path, within: float = 10.0) -> list[int]:
    """The data folder's keepers that are still there after so many seconds; they end after the server."""
    deadline = time.monotonic() + within
    while True:
        found = [
            process.pid
            for process in psutil.process_iter(["cmdline", "status"])
            if "db.embedded.keeper" in (process.info["cmdline"] or [])
            and str(folder) in process.info["cmdline"]
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def is_up(folder: Path) -> bool:
    """Whether any process of a server works on the data folder."""
    return bool(processes_in(DataDir(folder).cluster))


def wait_until(condition: Callable[[], bool], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} seconds"
        time.sleep(0.01)


async def ask(url: str, query: str) -> object:
    """The answer to one query, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


class Terminal:
    """A process that uses the server as a terminal does."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TERMINAL, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def url(self) -> str:
        """The server's URL, once the terminal is on it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.startswith("postgresql://"), "the terminal did not get in"
        return line

    def quit(self) -> None:
        """Leave as one should, and return when the process has ended."""
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@contextlib.contextmanager
def terminals(folder: Path, count: int) -> Iterator[list[Terminal]]:
    """So many terminals, started at the same moment; those that the test has not ended are killed."""
    opened = [Terminal(folder) for _ in range(count)]
    try:
        yield opened
    finally:
        for terminal in opened:
            if terminal.process.poll() is None:
                terminal.kill()


def run_as_ordinary_user(
    script: str, home: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script on `db.embedded` as a user without rights, who owns `home`; as ourselves if we are one.

    Started by root, it becomes that user only once it has its modules: the user may not be able to read them.
    """
    if AS_ROOT:
        user = osuser.OsUser(ORDINARY.pw_uid, ORDINARY.pw_gid, ORDINARY.pw_name)
        if not user.can_run(binaries.installed().bin / "postgres"):
            pytest.skip(f"{user.name} cannot run the programs in {binaries.installed().bin}")
        os.chown(home, user.uid, user.gid)
        become = f"os.setgroups([]); os.setgid({user.gid}); os.setuid({user.uid})"
    else:
        become = ""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, "-c", f"{IMPORTS}\n{become}\n{script}", *arguments],
        env={**clean, "HOME": str(home), "PYTHONPATH": str(ROOT), **environment},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
