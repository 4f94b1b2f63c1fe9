"""What goes wrong around the server, as sentences that say what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.errors import ServerError

ELSEWHERE = "set database.data_dir (TRADE_DATABASE__DATA_DIR, --data-dir) to another folder"
LOG_LINES = 12  # of PostgreSQL's own words, where we have none
NEEDED = 64 * 1024 * 1024  # bytes that a new cluster takes, with its first segments of the write-ahead log


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into a ServerError that names the path."""
    try:
        yield
    except OSError as error:
        raise ServerError(from_os(error, Path(error.filename) if error.filename else path)) from error


def from_os(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} may not be used by {_who()} ({error.strerror}): {_owned(path)}{ELSEWHERE}."
    if error.errno == errno.EROFS:
        return f"{path} lies on a disk that cannot be written to: {ELSEWHERE}."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{path} should be a folder, and it (or what it lies in) is a file: remove it, or {ELSEWHERE}."
    return f"{path}: {error.strerror}. Mend it, or {ELSEWHERE}."


def full(path: Path) -> str:
    return f"The disk of {path} is full ({_free(path)} free): free some space, or {ELSEWHERE}."


def from_postgres(said: str, folder: Path, port: int | None, log: Path | None) -> str:
    """Why a program of PostgreSQL failed: its own words, and the way out where it is known."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        if "shared memory" in said:
            return (
                "The system has too little shared memory for the server (in a container: docker run "
                f"--shm-size=256m). PostgreSQL said:\n{_tail(said)}"
            )
        return full(folder)
    if "Address already in use" in said and port is not None:
        return (
            f"Port {port} on 127.0.0.1 is taken by another program: set database.port "
            "(TRADE_DATABASE__PORT) to another number, or to nothing to do without TCP."
        )
    if "Permission denied" in said and port is not None and port < 1024:
        return f"Port {port} is root's: set database.port (TRADE_DATABASE__PORT) to a number above 1023."
    if free_bytes(folder) == 0:  # then the log could not be written either
        return full(folder)
    where = f" More is in {log}." if log else ""
    return f"PostgreSQL did not start on {folder}. It said:\n{_tail(said) or '(nothing)'}\n{where}".rstrip()


def free_bytes(path: Path) -> int:
    """Free space of the disk that the path lies, or would lie, on."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _free(path: Path) -> str:
    return f"{free_bytes(path) / 1_000_000:.0f} MB"


def _tail(said: str) -> str:
    return "\n".join(f"  {line}" for line in said.strip().splitlines()[-LOG_LINES:])


def _who() -> str:
    return f"the user with the number {os.geteuid()}" if os.geteuid() else "root"


def _owned(path: Path) -> str:
    while not os.path.lexists(path):
        path = path.parent
    try:
        owner = path.owner()
    except (KeyError, OSError):
        return ""
    return f"{path} belongs to {owner}; let them give you the right, or "
