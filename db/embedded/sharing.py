"""Several terminals, one server: the first starts it, the others join, the last to leave stops it.

Every terminal holds a shared lock on the file `terminals`, its lease, from before it looks for the server
until it leaves. Whoever stops the server holds that lock exclusively, and therefore knows that nobody uses
the server, starts it, or can come in. A terminal that is killed loses its lease by the kernel's hand; the
keeper waits for that.

The other lock files: `start` – one starts at a time; `stop` – one decides about stopping at a time; `keeper`
– held by the keeper while it lives; `server` – held by the server's processes (see `cluster`). They are taken
in the order terminals, or stop and terminals; then start; then keeper or server.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from db.embedded import keeper, kept
from db.embedded.cluster import START_TIMEOUT, STOP_TIMEOUT, Cluster, Progress, quiet
from db.embedded.folders import default_data_dir
from db.embedded.locks import FileLock
from db.errors import ServerError

if TYPE_CHECKING:
    from db.settings import DatabaseSettings

WAIT = STOP_TIMEOUT + 30.0  # seconds that somebody else may take to stop the server
KEEPER_GLANCE = 0.25  # seconds that a keeper may take to see that the server is kept, and be gone


class Lease:
    """The use of the server by one terminal, until it leaves or dies.

    `url` is the owner's. On a server that is not ours (database.url) there is nothing to hold and leaving
    does nothing.
    """

    def __init__(self, url: str, cluster: Cluster | None = None, lock: FileLock | None = None) -> None:
        self.url = url
        self._cluster = cluster
        self._lock = lock

    @property
    def is_embedded(self) -> bool:
        return self._cluster is not None

    def keep(self) -> None:
        """Let the server stay when the last terminal leaves, until `stop`."""
        if self._cluster is not None:
            kept.mark(self._cluster)

    def leave(self) -> None:
        """Leave the server. Who was the last to use it has stopped it when this returns. Again: nothing."""
        lease, self._lock = self._lock, None
        if self._cluster is None or lease is None:
            return
        with lease, self._cluster.data.lock("stop") as turn:
            _wait_for(turn.exclusive(WAIT), self._cluster)
            if kept.is_kept(self._cluster):
                return
            if lease.try_exclusive():
                self._cluster.stop()
            elif not lease.try_shared():
                # Not other terminals, then, but the keeper, which was faster: let it finish.
                _wait_for(lease.shared(WAIT), self._cluster)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def join(settings: DatabaseSettings, progress: Progress = quiet) -> Lease:
    """Use the server: start it, on new data if need be, or join it. With database.url set, that one.

    `progress` is told what takes long. Raises ServerError.
    """
    if (url := settings.server_url) is not None:
        return Lease(url)
    cluster = cluster_of(settings, progress)
    cluster.data.make()
    lock = cluster.data.lock("terminals")
    try:
        _wait_for(lock.shared(WAIT), cluster)
        if not (cluster.is_running() and (keeper.is_there(cluster.data) or kept.is_kept(cluster))):
            with cluster.data.lock("start") as turn:
                _wait_for(turn.exclusive(START_TIMEOUT + WAIT), cluster)
                keeper.provide(cluster.data)  # first: should we be killed while the server starts
                cluster.start()
        server = cluster.process()
        if settings.port and server and server.port != settings.port:
            progress(f"The server runs already; database.port {settings.port} will hold from its next start.")
        return Lease(cluster.owner_url(), cluster, lock)
    except BaseException:
        lock.close()
        raise


class Stopped(enum.Enum):
    """What became of a wish to stop the server."""

    WAS_NOT_RUNNING = enum.auto()
    STOPPED = enum.auto()
    IN_USE = enum.auto()
    """Terminals use it: it is no longer kept, and the last of them to leave stops it."""


def stop(settings: DatabaseSettings, *, force: bool = False) -> Stopped:
    """End the keeping of the server, and stop it unless terminals use it; with `force`, even then."""
    cluster = cluster_of(settings)
    if not cluster.data.locks.is_dir():
        return Stopped.WAS_NOT_RUNNING
    with cluster.data.lock("stop") as turn, cluster.data.lock("terminals") as terminals:
        _wait_for(turn.exclusive(WAIT), cluster)
        ran = cluster.process() is not None
        kept.unmark(cluster)
        if not terminals.try_exclusive():
            if terminals.try_shared() and not force:
                with cluster.data.lock("start") as start:
                    _wait_for(start.exclusive(START_TIMEOUT + WAIT), cluster)
                    keeper.provide(cluster.data)  # a kept server may have had none
                return Stopped.IN_USE
            if not force:
                _wait_for(terminals.exclusive(WAIT), cluster)  # the keeper is about to stop it
        cluster.stop()
        return Stopped.STOPPED if ran else Stopped.WAS_NOT_RUNNING


def reset(settings: DatabaseSettings) -> bool:
    """Stop the server and delete its data; whether there were any. Refuses while terminals use it."""
    cluster = cluster_of(settings)
    if not cluster.path.exists():
        return False
    cluster.data.make()
    with cluster.data.lock("stop") as turn, cluster.data.lock("terminals") as terminals:
        _wait_for(turn.exclusive(WAIT), cluster)
        if not terminals.try_exclusive():
            if terminals.try_shared():
                raise ServerError(f"Terminals use the data in {cluster.data.path}: quit them first.")
            _wait_for(terminals.exclusive(WAIT), cluster)
        cluster.stop()
        kept.unmark(cluster)
        cluster.remove()
        return True


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The embedded server now. `size` is in bytes, `started` a Unix time; it and `pid` None when down."""

    running: bool
    version: str
    data_dir: Path
    log: Path
    url: str
    size: int
    pid: int | None
    started: int | None
    kept: bool
    in_use: bool


def status(settings: DatabaseSettings) -> ServerStatus:
    """Look at the embedded server without touching it. Raises ServerError."""
    cluster = cluster_of(settings)
    process = cluster.process()
    return ServerStatus(
        running=cluster.is_running(),
        version=cluster.version,
        data_dir=cluster.data.path,
        log=cluster.log,
        url=cluster.owner_url(),
        size=cluster.size(),
        pid=process.pid if process else None,
        started=process.started if process else None,
        kept=kept.is_kept(cluster),
        in_use=_in_use(cluster),
    )


def cluster_of(settings: DatabaseSettings, progress: Progress = quiet) -> Cluster:
    """The cluster that the settings speak of: in data_dir, else in the platform's folder."""
    return Cluster(settings.data_dir or default_data_dir(), port=settings.port, progress=progress)


def _in_use(cluster: Cluster) -> bool:
    if not cluster.data.locks.is_dir():
        return False
    with cluster.data.lock("stop") as turn, cluster.data.lock("terminals") as terminals:
        # Nobody else decides meanwhile, so nobody takes our look at the lock for a terminal.
        _wait_for(turn.exclusive(WAIT), cluster)
        # A keeper on its way out has the lock to itself for a moment; a terminal keeps sharing it.
        _wait_for(terminals.shared(WAIT), cluster)
        terminals.unlock()
        return not terminals.exclusive(KEEPER_GLANCE)


def _wait_for(got: bool, cluster: Cluster) -> None:
    if not got:
        raise ServerError(
            f"Another process has been starting or stopping the server on {cluster.data.path} for too long: "
            f"see {cluster.log}, and `trade db stop --force`."
        )
