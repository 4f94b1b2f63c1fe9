"""What lies where in the data folder, and how folders and files in it are made.

    DATA_DIR/
      cluster/       the PostgreSQL data folder, and nothing else: a restore swaps it as a whole
      cluster.new-*  one that is being made; swept up at the next start
      log/           server.log, keeper.log
      socket/        the server's socket, 0700 (elsewhere where the path is too long, see `socket_folder`)
      lock/          lock files and the mark of a kept server; they stay

Everything belongs to the owner of the data folder, except `cluster` and `socket`, which belong to the
server's user. Folders that exist are never loosened: where the server's user cannot pass through them, the
server is started from inside (see `cluster`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from db.embedded import trouble
from db.embedded.locks import FileLock
from db.embedded.osuser import LINUX, OsUser, is_root
from db.errors import ServerError

APPLICATION = "pitside"
SOCKET_PATH_LIMIT = 107 if LINUX else 103  # bytes, without the closing zero
LOG_LIMIT = (
    10_000_000  # bytes; a longer log is set aside at the next start, and the one set aside before is dropped
)


def system_folder() -> Path:
    """Root's own place: root's home is closed to the user that the server runs as."""
    if LINUX:
        return Path("/var/lib") / APPLICATION
    return platformdirs.site_data_path(APPLICATION, appauthor=False)


def default_data_dir() -> Path:
    """The platform's folder for user data; as root `system_folder()`."""
    return system_folder() if is_root() else platformdirs.user_data_path(APPLICATION, appauthor=False)


@dataclass(frozen=True, slots=True)
class DataDir:
    """The data folder, which is ours: absolute, may not exist yet."""

    path: Path

    @property
    def cluster(self) -> Path:
        return self.path / "cluster"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def locks(self) -> Path:
        return self.path / "lock"

    def make(self) -> None:
        """Make the folder and its parts where they are missing. Raises ServerError."""
        with trouble.explained(self.path):
            if (self.path / "PG_VERSION").exists():
                raise ServerError(
                    f"{self.path} is itself the data folder of a PostgreSQL server, and not ours: "
                    f"{trouble.ELSEWHERE}."
                )
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Root's may be passed through by the server's user; an ordinary user's is nobody else's
                # business.
                self.path.mkdir(mode=0o700, exist_ok=True)
                if is_root():
                    self.path.chmod(0o755)
            if not self.path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(self.path))
            for part in (self.log, self.locks):
                if not part.is_dir():
                    part.mkdir(mode=0o700, exist_ok=True)
                    self._give_to_owner(part)

    def lock(self, name: str) -> FileLock:
        """The lock file of that name, opened, not locked."""
        with trouble.explained(self.path):
            return FileLock(self._open(self.locks / name, os.O_RDWR))

    def open_log(self, name: str) -> int:
        """A descriptor to append to the log of that name; the caller closes it."""
        with trouble.explained(self.path):
            file = self.log / name
            if file.exists() and file.stat().st_size > LOG_LIMIT:
                file.replace(file.with_name(f"{name}.1"))
            return self._open(file, os.O_WRONLY | os.O_APPEND)

    def write(self, name: str, text: str) -> None:
        """Put a small file beside the locks, in one step."""
        part = self.locks / f"{name}.part"
        with os.fdopen(self._open(part, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(self.locks / name)

    def _open(self, file: Path, flags: int) -> int:
        descriptor = os.open(file, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if is_root() and (status := os.fstat(descriptor)).st_uid == 0 and status.st_nlink == 1:
            owner = self.path.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    def _give_to_owner(self, folder: Path) -> None:
        if is_root():
            owner = self.path.stat()
            os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)


def socket_folder(data: DataDir, user: OsUser) -> Path:
    """The folder for the server's socket: beside the data where that can be, else a short one.

    It cannot be where its path is longer than a socket's may be, has characters that PostgreSQL's lists give
    a meaning, or where the server's user cannot pass. The short one lies in /run for root, else in
    XDG_RUNTIME_DIR, else in /tmp, and its name is made from the data folder's, so that it is always the same.
    """
    beside = data.path / "socket"
    if _fits(beside) and (not is_root() or user.can_enter(data.path)):
        return beside
    name = f"{APPLICATION}-{hashlib.sha256(os.fsencode(data.path.resolve())).hexdigest()[:12]}"
    for parent in _runtime_folders():
        if parent.is_absolute() and parent.is_dir() and os.access(parent, os.W_OK) and _fits(parent / name):
            return parent / name
    raise ServerError(
        f"There is no place for the server's socket: {beside} is too long a path for one, and "
        f"{_runtime_folders()[-1]} cannot be written to. Set database.data_dir (TRADE_DATABASE__DATA_DIR) to "
        "a folder with a shorter path."
    )


def make_private(folder: Path, user: OsUser) -> None:
    """Make a folder that only this user can enter, or see that it is one. Raises ServerError.

    A folder or link that somebody else put there (in /tmp, anyone could) is refused.
    """
    with trouble.explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ServerError(
                f"{folder} should be a folder of ours and is not ({error.strerror}): remove it."
            ) from error
        try:
            status = os.fstat(descriptor)
            if status.st_uid not in (os.geteuid(), user.uid):
                raise ServerError(
                    f"{folder} should be ours and belongs to the user with the number {status.st_uid}. "
                    "Find out who made it, and have it removed."
                )
            if status.st_uid != user.uid:
                _give(descriptor, folder, user)
            if stat.S_IMODE(status.st_mode) != 0o700:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)


def _give(descriptor: int, folder: Path, user: OsUser) -> None:
    try:
        os.fchown(descriptor, user.uid, user.gid)
    except OSError as error:  # a root of sorts: in a sandbox, or on a disk that knows no owners
        raise ServerError(
            f"PostgreSQL does not run as root, and this root may not give {folder} to {user.name} "
            f"({error.strerror}): run the program as an ordinary user, or {trouble.ELSEWHERE}."
        ) from error


def _runtime_folders() -> list[Path]:
    temporary = Path("/tmp")  # noqa: S108 – `make_private` sees to the safety
    if is_root():
        return [Path("/run"), temporary]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return [Path(runtime), temporary]
    return [temporary]


def _fits(folder: Path) -> bool:
    path = os.fspath(folder / ".s.PGSQL.65535")
    return (
        len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and path.isprintable() and not set(path) & set(",'\"\\")
    )
