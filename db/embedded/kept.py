"""The mark of a kept server: one that stays although no terminal uses it (`trade db start` … `trade db
stop`).

It names the very server that is kept, so a mark that outlived its server, by a reboot say, means nothing.
"""

from __future__ import annotations

from db.embedded import trouble
from db.embedded.cluster import Cluster
from db.embedded.postmaster import Postmaster
from db.errors import ServerError

NAME = "kept"


def mark(cluster: Cluster) -> None:
    """Keep the server that runs now. Raises ServerError where none does."""
    server = cluster.process()
    if server is None:
        raise ServerError(f"The server on {cluster.data.path} has ended: {cluster.log} says why.")
    with trouble.explained(cluster.data.path):
        cluster.data.write(NAME, _name(server))


def unmark(cluster: Cluster) -> None:
    with trouble.explained(cluster.data.path):
        (cluster.data.locks / NAME).unlink(missing_ok=True)


def is_kept(cluster: Cluster) -> bool:
    """Whether the server that runs now, if any, is kept."""
    server = cluster.process()
    if server is None:
        return False
    try:
        return (cluster.data.locks / NAME).read_text(encoding="ascii") == _name(server)
    except FileNotFoundError:
        return False


def _name(server: Postmaster) -> str:
    return f"{server.pid} {server.started}\n"
