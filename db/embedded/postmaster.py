"""Who serves a cluster now: postmaster.pid, and whether the process it names is really that server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from db.embedded.osuser import LINUX

PID_FILE = "postmaster.pid"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What postmaster.pid says. `started` is a Unix time; `status` is `ready` once it takes connections."""

    pid: int
    started: int
    port: int
    socket_folder: Path
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def recorded(cluster: Path) -> Postmaster | None:
    """What the file says, perhaps about a server that is gone; None while it is missing or not whole."""
    try:
        lines = (cluster / PID_FILE).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # pid, folder, start, port, socket's folder, address, shared memory, status
        status = lines[7].strip() if len(lines) > 7 else ""
        return Postmaster(int(lines[0]), int(lines[2]), int(lines[3]), Path(lines[4]), status)
    except (IndexError, ValueError):
        return None


def serving(cluster: Path) -> Postmaster | None:
    """The server that runs on this cluster, ready or not; None when the file is stale or there is none."""
    postmaster = recorded(cluster)
    return postmaster if postmaster and works_in(postmaster.pid, cluster) else None


def works_in(pid: int, cluster: Path) -> bool:
    """Whether the process lives and works in that folder, as every process of a server does in its cluster.

    This holds against a pid that another program has got since.
    """
    try:
        return os.path.samestat(_working_folder(pid), cluster.stat())
    except (OSError, psutil.Error):  # gone, or somebody else's: not a server of ours
        return False


def _working_folder(pid: int) -> os.stat_result:
    if LINUX:
        return os.stat(f"/proc/{pid}/cwd")  # noqa: PTH116 – the link itself leads there, its text may not
    return Path(psutil.Process(pid).cwd()).stat()


def processes_in(cluster: Path) -> list[int]:
    """Every process of a server on the cluster, dead or alive (a slow look through all that run)."""
    return [
        process.pid
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "postgres" and works_in(process.pid, cluster)
    ]
