"""One server and its data, made, started and stopped; who shares it is `sharing`'s matter."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from db.embedded import binaries, configuration, creation, osuser, postmaster, trouble
from db.embedded.configuration import DEFAULT_PORT, OWNER
from db.embedded.creation import DATABASE
from db.embedded.folders import DataDir, make_private, socket_folder
from db.embedded.locks import FileLock
from db.embedded.running import data_argument, environment
from db.errors import ServerError

Progress = Callable[[str], None]

START_TIMEOUT = 300.0  # seconds; after a crash the server first replays what was not yet written
STOP_TIMEOUT = (
    60.0  # seconds until a server that does not end its work is cut off (it recovers at the next start)
)
LEFTOVER_GRACE = 5.0  # seconds for processes of a server that was killed to notice it and go
LEFTOVER_TIMEOUT = 10.0  # seconds for them to go when told
POLL = 0.002
SAY_AFTER = 1.0  # seconds after which somebody who waits wants to know why


def quiet(_message: str) -> None:
    """Progress for nobody."""


class Cluster:
    """A PostgreSQL server on the data in `data_dir`, a folder of ours; see `folders` for what lies there.

    `port` None: the server listens on a Unix socket only; a number: also on 127.0.0.1, for users with
    passwords. `overrides` are settings for postgresql.conf. `progress` is told what takes long. Every method
    may raise ServerError, and several processes may use the same folder at once.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        overrides: Mapping[str, str] | None = None,
        progress: Progress = quiet,
    ) -> None:
        self.data = DataDir(data_dir.expanduser().absolute())
        self._port = port
        self._overrides = dict(overrides or {})
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def path(self) -> Path:
        """PostgreSQL's data folder."""
        return self.data.cluster

    @property
    def version(self) -> str:
        """Version of the server that this program brings, such as 18.6."""
        return binaries.installed().version

    @property
    def log(self) -> Path:
        return self.data.log / "server.log"

    def initialise(self) -> None:
        """Make the cluster and the database when the folder is new; else see that it fits this program."""
        with self._server_lock() as lock:
            if lock is not None:
                self._initialise(lock)

    def start(self) -> None:
        """Start the server, on a new cluster if need be; return when it takes connections."""
        with self._server_lock() as lock:
            if lock is not None:
                self._initialise(lock)
                self._launch(lock)
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server, ending whatever is connected, and return when its last process is gone."""
        if not self.data.locks.is_dir():
            return
        with self.data.lock("server") as lock:
            self._stop(lock)
            self._remove_traces()
            self._forget_short_socket_folder()

    def is_running(self) -> bool:
        """Whether the server takes connections."""
        running = postmaster.serving(self.path)
        return running is not None and running.is_ready

    def process(self) -> postmaster.Postmaster | None:
        """The server that runs now, if any, ready or not."""
        return postmaster.serving(self.path)

    def owner_url(self, database: str = DATABASE) -> str:
        """The URL with which the owner gets in, for asyncpg, psql and all that uses libpq; no password."""
        running = postmaster.serving(self.path)
        if running and running.is_ready:
            folder, port = running.socket_folder, running.port
        else:
            folder, port = socket_folder(self.data, self._user()), self._port or DEFAULT_PORT
        # The port stands there so that PGPORT in somebody's environment does not lead elsewhere.
        host = quote(os.fspath(folder), safe="")
        return f"postgresql://{OWNER}@/{quote(database, safe='')}?host={host}&port={port}"

    def size(self) -> int:
        """Bytes that the cluster's files take."""
        if not self.path.is_dir():
            return 0
        with trouble.explained(self.path):
            return _size(self.path)

    def remove(self) -> None:
        """Delete the cluster and the logs; the server must be stopped."""
        if not self.data.locks.is_dir():
            return
        with self.data.lock("server") as lock:
            if not lock.exclusive(LEFTOVER_TIMEOUT) or postmaster.serving(self.path):
                raise ServerError(f"The server on {self.data.path} runs: stop it first (trade db stop).")
            creation.sweep(self.data)
            with trouble.explained(self.data.path):
                for folder in (self.path, self.data.path / "socket"):
                    if folder.is_symlink():
                        folder.unlink()
                    elif folder.exists():
                        shutil.rmtree(folder)
                for file in self.data.log.glob("*.log*"):
                    file.unlink()

    # Starting

    @contextlib.contextmanager
    def _server_lock(self) -> Iterator[FileLock | None]:
        """The lock of whoever works on the cluster folder; None when a server runs there already.

        The server's processes inherit it, so it is free when the last of them is gone, whatever their end
        was.
        """
        self.data.make()
        with self.data.lock("server") as lock:
            gone = lock.try_exclusive() or self._leftovers_gone(lock)
            yield lock if gone and not postmaster.serving(self.path) else None

    def _leftovers_gone(self, lock: FileLock) -> bool:
        """Wait for what is left of a server that was killed; False when a server runs after all."""
        grace = time.monotonic() + LEFTOVER_GRACE
        deadline = grace + LEFTOVER_TIMEOUT
        while not lock.try_exclusive():
            if postmaster.serving(self.path):
                return False
            if time.monotonic() > deadline:
                raise ServerError(self._leftovers())
            if time.monotonic() > grace:
                # Their server is dead, so nothing that they still do can be of use: they only notice it late.
                for pid in postmaster.processes_in(self.path):
                    self._signal(pid, signal.SIGQUIT)
                grace = deadline
            time.sleep(POLL)
        return True

    def _leftovers(self) -> str:
        pids = ", ".join(map(str, postmaster.processes_in(self.path))) or "unknown number"
        return (
            f"Processes of an earlier server still work on {self.data.path} and do not end ({pids}): "
            "end them, or restart the machine, and start again."
        )

    def _initialise(self, lock: FileLock) -> None:
        creation.sweep(self.data)
        with trouble.explained(self.path):
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
            if os.path.lexists(self.path):
                self._check()
                return
        user = self._user()
        programs = binaries.usable_by(user, self._progress)
        self._progress(f"Setting up the database server in {self.data.path} …")
        creation.create(self.data, user, programs, lock)

    def _check(self) -> None:
        """That the cluster is one that this program's server can serve."""
        if self.path.is_symlink():
            raise ServerError(
                f"{self.path} is a link, which the server does not follow: move the data back there, or set "
                "database.data_dir (TRADE_DATABASE__DATA_DIR) to where they are, without the last /cluster."
            )
        try:
            written_by = (self.path / "PG_VERSION").read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            raise ServerError(
                f"{self.path} is there and is not a PostgreSQL data folder: move it away, "
                f"or {trouble.ELSEWHERE}."
            ) from None
        ours = binaries.installed().major
        if written_by != str(ours):
            raise ServerError(
                f"The data in {self.path} was written by PostgreSQL {written_by}, and this program brings "
                f"PostgreSQL {ours}, which cannot read it. To keep the data, dump them with PostgreSQL "
                f"{written_by} (pg_dump) and restore them into a new folder; to leave them alone, "
                f"{trouble.ELSEWHERE}; to do without them, call `trade db reset`."
            )
        owner = self.path.stat().st_uid
        if owner != self._user().uid:
            raise ServerError(
                f"{self.path} belongs to the user with the number {owner}, and the server would run as "
                f"{self._user().name}: give it to them (chown -R {self._user().name}), run the program as "
                f"its owner, or {trouble.ELSEWHERE}."
            )

    def _launch(self, lock: FileLock) -> None:
        user = self._user()
        programs = binaries.usable_by(user, self._progress)
        sockets = socket_folder(self.data, user)
        make_private(sockets, user)
        with trouble.explained(self.path):
            self._remove_traces()
            configuration.write(self.path, user, sockets, self._port, self._overrides)
            descriptor = self.data.open_log("server.log")
            try:
                self._log_start = os.fstat(descriptor).st_size
                self._process = subprocess.Popen(
                    [programs.program("postgres"), "-D", data_argument(self.path, user)],
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    cwd=self.path,
                    env=environment(),
                    umask=0o077,
                    pass_fds=[lock.descriptor],
                    start_new_session=True,
                    **osuser.becoming(user),
                )
            finally:
                os.close(descriptor)

    def _remove_traces(self) -> None:
        """Of a server that was killed. The lock must be held, so nobody serves.

        PostgreSQL goes by the process number in them, which may be another program's by now.
        """
        with trouble.explained(self.path):
            sockets = socket_folder(self.data, self._user())
            for stale in (self.path / postmaster.PID_FILE, *sockets.glob(".s.PGSQL.*")):
                stale.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        began = time.monotonic()
        said = False
        while not ((running := postmaster.serving(self.path)) and running.is_ready):
            waited = time.monotonic() - began
            ended = (
                self._process.poll() is not None if self._process else running is None and waited > POLL * 10
            )
            if ended:
                self._process = None
                self._forget_short_socket_folder()
                raise ServerError(trouble.from_postgres(self._said(), self.data.path, self._port, self.log))
            if waited > START_TIMEOUT:
                raise ServerError(
                    f"The server on {self.data.path} does not take connections after {START_TIMEOUT:.0f} "
                    f"seconds; {self.log} says what it does. Wait and start again, or stop it "
                    "(trade db stop --force)."
                )
            if waited > SAY_AFTER and not said:
                self._progress("Waiting for the database server …")
                said = True
            time.sleep(POLL)

    def _said(self) -> str:
        """What the server has written to its log since we started it."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    # Stopping

    def _stop(self, lock: FileLock) -> None:
        began = time.monotonic()
        asked: int | None = None
        while (running := postmaster.serving(self.path)) or not lock.try_exclusive():
            waited = time.monotonic() - began
            if running and running.pid != asked:
                self._signal(running.pid, signal.SIGINT)
                asked = running.pid
            elif not running and waited > LEFTOVER_GRACE and not self._leftovers_gone(lock):
                continue  # a new one has been started meanwhile
            elif running and waited > STOP_TIMEOUT:
                self._signal(running.pid, signal.SIGQUIT)  # what was committed is replayed at the next start
            if waited > STOP_TIMEOUT + LEFTOVER_TIMEOUT:
                raise ServerError(self._leftovers())
            if self._process:
                self._process.poll()  # ours to bury
            time.sleep(POLL)
        if self._process:
            self._process.wait()
            self._process = None

    def _forget_short_socket_folder(self) -> None:
        """Nothing of ours stays outside of the data folder while no server runs."""
        with contextlib.suppress(
            OSError, ServerError
        ):  # it is not there, in use, or there is no place for one
            folder = socket_folder(self.data, self._user())
            if folder.parent != self.data.path:
                folder.rmdir()

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise ServerError(
                f"The server on {self.data.path} (process {pid}) was started by another user: "
                "let them stop it."
            ) from None

    def _user(self) -> osuser.OsUser:
        return osuser.server_user(self.path, self.data.path)


def _size(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # a server at work makes and removes files
                total += (Path(parent) / file).lstat().st_blocks * 512
    return total
