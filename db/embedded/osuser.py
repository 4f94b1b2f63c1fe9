"""The operating system's users: who the server runs as, and where they may go.

PostgreSQL refuses to run as root. Started by root, the server runs as the owner of the data where that is an
ordinary user, else as `postgres` where the system has that user, else as `nobody` – and is remembered by the
owner of the data folder from then on.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.errors import ServerError

LINUX: bool = sys.platform.startswith("linux")
SERVER_USERS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class OsUser:
    """A user of the operating system."""

    uid: int
    gid: int
    name: str

    def can_enter(self, folder: Path) -> bool:
        """Whether the permissions let this user into the folder, through all of its parents.

        Those that do not exist yet will be made so that they do.
        """
        folder = folder.resolve()
        return all(self._allowed(each, stat.S_IXOTH) for each in (folder, *folder.parents) if each.exists())

    def can_run(self, program: Path) -> bool:
        """Whether the permissions let this user read and execute the file, and into its folder."""
        return self.can_enter(program.parent) and self._allowed(program, stat.S_IROTH | stat.S_IXOTH)

    def can_read(self, file: Path) -> bool:
        """Whether the permissions let this user read the file, and into its folder."""
        return self.can_enter(file.parent) and self._allowed(file, stat.S_IROTH)

    def _allowed(self, path: Path, bits: int) -> bool:
        """`bits` are those for others; asked of the owner or the group where the user is that."""
        status = path.stat()
        if self.uid in (0, status.st_uid):
            return self.uid == 0 or status.st_mode & (bits << 6) == bits << 6
        if self.gid == status.st_gid:
            return status.st_mode & (bits << 3) == bits << 3
        return status.st_mode & bits == bits


def is_root() -> bool:
    return os.geteuid() == 0


def current() -> OsUser:
    """The user that this process runs as; ServerError where the system does not know their name."""
    return _by_uid(os.geteuid())


def server_user(*owned: Path) -> OsUser:
    """The user that the server runs as.

    An ordinary user runs it as themselves. Root runs it as the ordinary user that owns the first of `owned`
    (the cluster, the data folder) that exists and is not root's, else as one of SERVER_USERS.
    """
    if not is_root():
        return current()
    for path in owned:
        if path.exists() and (uid := path.lstat().st_uid) != 0:
            return _by_uid(uid)
    for name in SERVER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return OsUser(entry.pw_uid, entry.pw_gid, name)
    raise ServerError(
        f"PostgreSQL does not run as root, and this system has none of the users {', '.join(SERVER_USERS)} "
        "to run it as. Start the program as an ordinary user, or add a user postgres."
    )


def becoming(user: OsUser) -> dict[str, Any]:
    """Arguments for `subprocess` that make the child run as that user."""
    if user.uid == os.geteuid():
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def _by_uid(uid: int) -> OsUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise ServerError(
            f"The system has no name for the user with the number {uid}, and PostgreSQL needs one. "
            "Add the user (to /etc/passwd, in a container), or run the program as another one."
        ) from None
    return OsUser(uid, entry.pw_gid, entry.pw_name)
