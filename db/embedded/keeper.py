"""The keeper: a small process that stops the server when the terminals are gone that could not do it
themselves.

A terminal that leaves stops the server if it was the last. One that is killed cannot, but the kernel drops
its lock, and this process has waited for that. Started with the server, in a session of its own, away from
any Ctrl-C.

    python -m db.embedded.keeper DATA_DIR DESCRIPTOR
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from db.embedded import kept, trouble
from db.embedded.cluster import Cluster
from db.embedded.folders import DataDir
from db.embedded.locks import FileLock

PACKAGES = Path(__file__).resolve().parents[2]

_started: list[
    subprocess.Popen[bytes]
] = []  # so that Python does not ask after a child that lives on without us


def is_there(data: DataDir) -> bool:
    """Whether a keeper watches over this data folder."""
    with data.lock("keeper") as lock:
        return not lock.try_shared()


def provide(data: DataDir) -> None:
    """Start a keeper unless there is one; to be called under the lock `start`.

    It inherits its lock, locked: there is no moment in which it lives and nobody can see it.
    """
    with data.lock("keeper") as lock:
        # Others only ever look (`is_there`), for an instant; a keeper never lets go while it lives.
        if not lock.try_shared() or not lock.exclusive(timeout=1.0):
            return
        log = data.open_log("keeper.log")
        try:
            with trouble.explained(Path(sys.executable)):
                process = subprocess.Popen(
                    # -P: nothing in the working folder shall pass for a module of ours
                    [sys.executable, "-P", "-m", "db.embedded.keeper", str(data.path), str(lock.descriptor)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    # wherever this process has its modules from, the keeper finds them too
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join([str(PACKAGES), *filter(None, sys.path)]),
                    },
                    pass_fds=[lock.descriptor],
                    start_new_session=True,
                )
        finally:
            os.close(log)
    _started[:] = [earlier for earlier in _started if earlier.poll() is None] + [process]


def keep_watch(cluster: Cluster, own: FileLock) -> None:
    """Wait until no terminal holds its lock, stop the server unless it is kept, and be gone."""
    with cluster.data.lock("terminals") as terminals:
        terminals.wait_exclusive()
        try:
            if not kept.is_kept(cluster):
                cluster.stop()
        finally:
            # Before the terminals' lock: who gets that one next must see that there is no keeper any more.
            own.close()


if __name__ == "__main__":
    keep_watch(Cluster(Path(sys.argv[1])), FileLock(int(sys.argv[2])))
