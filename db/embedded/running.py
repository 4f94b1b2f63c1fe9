"""How PostgreSQL's programs are called: which folder, which environment."""

from __future__ import annotations

import os
from pathlib import Path

from db.embedded.osuser import LINUX, OsUser, is_root
from db.errors import ServerError

KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def environment() -> dict[str, str]:
    """For the server's programs: none of the caller's PG… variables and secrets, no locale but C."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"}


def data_argument(folder: Path, user: OsUser) -> str:
    """What to pass as -D to a program that runs as `user` and is started inside `folder`.

    Where that user cannot pass through the folder's parents (/root, a temporary folder of root's), the path
    is of no use to it and the parents are not ours to open. A process may always enter the folder it was
    started in, though, and Linux has a name for that one. PostgreSQL's processes never leave it.
    """
    if not is_root() or user.can_enter(folder.parent):
        return str(folder)
    if LINUX:
        return "/proc/self/cwd"
    raise ServerError(
        f"The server runs as {user.name}, who cannot enter {folder.parent}: "
        "set database.data_dir (TRADE_DATABASE__DATA_DIR) to a folder under one that everyone may enter."
    )
