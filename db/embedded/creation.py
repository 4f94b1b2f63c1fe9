"""A new cluster: initdb, the database, its extension; made beside its place, moved there when whole."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from db.embedded import trouble
from db.embedded.binaries import Binaries
from db.embedded.configuration import OWNER
from db.embedded.folders import DataDir, make_private
from db.embedded.locks import FileLock
from db.embedded.osuser import OsUser, becoming
from db.embedded.running import data_argument, environment
from db.errors import ServerError

DATABASE = "trading_db"
EXTENSION = "pg_stat_statements"
UNFINISHED = "cluster.new-"


def sweep(data: DataDir) -> None:
    """Remove what a start that was cut off has left behind. The server's lock must be held."""
    for folder in data.path.glob(f"{UNFINISHED}*"):
        with trouble.explained(folder):
            shutil.rmtree(folder)


def create(data: DataDir, user: OsUser, binaries: Binaries, lock: FileLock) -> None:
    """Make `data.cluster`. Raises ServerError, and then leaves nothing behind.

    The children hold the server's lock too: should this process be killed, the next start waits until they
    are gone.
    """
    if trouble.free_bytes(data.path) < trouble.NEEDED:
        raise ServerError(trouble.full(data.path))
    folder = data.path / f"{UNFINISHED}{secrets.token_hex(4)}"
    try:
        make_private(folder, user)
        with trouble.explained(folder):
            _run(folder, user, binaries, lock, ["initdb", *_INITDB])
            single = ["postgres", "--single", "-c", "exit_on_error=on", "-c", "fsync=off"]
            _run(
                folder,
                user,
                binaries,
                lock,
                [*single],
                database="template1",
                sql=f"CREATE DATABASE {DATABASE}",
            )
            _run(
                folder,
                user,
                binaries,
                lock,
                [*single],
                database=DATABASE,
                sql=f"CREATE EXTENSION {EXTENSION}",
            )
            _run(folder, user, binaries, lock, ["initdb", "--sync-only"])
            folder.rename(data.cluster)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


# The built-in provider's C.UTF-8 sorts by code point and knows every letter's case, the same on every system
# and for ever. No password for the owner, and no way in that would need one: our own pg_hba.conf replaces
# initdb's before the first start.
_INITDB = (
    f"--username={OWNER}",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--text-search-config=english",
    "--data-checksums",
    "--auth-local=peer",
    "--auth-host=reject",
    "--no-sync",  # once at the end, over everything
)


def _run(
    folder: Path,
    user: OsUser,
    binaries: Binaries,
    lock: FileLock,
    command: Sequence[str],
    database: str | None = None,
    sql: str | None = None,
) -> None:
    program, *arguments = command
    result = subprocess.run(
        [
            binaries.program(program),
            *arguments,
            "-D",
            data_argument(folder, user),
            *([database] if database else []),
        ],
        input=f"{sql}\n" if sql else None,
        stdin=None if sql else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=folder,
        env=environment(),
        umask=0o077,
        pass_fds=[lock.descriptor],
        start_new_session=True,  # Ctrl-C reaches us alone; what it leaves is swept up
        **becoming(user),
    )
    if result.returncode:
        raise ServerError(trouble.from_postgres(result.stderr or result.stdout, folder.parent, None, None))
