"""The one server of a test run, and the databases on it.

Started by the first test that needs it, in whatever process that runs; all processes of the run find it by
its folder; the process that pytest was started as stops it. A test gets a copy of a template with the whole
schema in it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from db.database import connect
from db.embedded.cluster import Cluster
from db.schema.migrate import migrate

TEMPLATE = "template_pitside"
# Where Linux has memory for files, a database is copied in 15 ms; on a disk that others write to as well it
# took 20 to 350.
MEMORY = Path("/dev/shm")  # noqa: S108
MEMORY_NEEDED = 2 << 30  # bytes
# Nothing in the run survives a crash of the machine, and need not. Copying files is faster than by way of the
# write-ahead log: creating and dropping took 25 ms together, 40 to 60 that way.
OVERRIDES = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "file_copy_method": "clone",
    "max_connections": "200",
    "max_wal_size": "256MB",
}


class TestServer:
    """The server in `folder`."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(folder / "data", overrides=OVERRIDES)

    @classmethod
    def in_new_folder(cls) -> TestServer:
        """For the process that owns the run; the server is not started yet."""
        roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED
        return cls(Path(tempfile.mkdtemp(prefix="pitside-tests-", dir=MEMORY if roomy else None)))

    async def ensure_started(self) -> None:
        """Start the server and make the template, unless another process of the run has done it."""
        ready = self.folder / "ready"
        if ready.exists():
            return
        with (self.folder / "starting").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if ready.exists():
                return
            self.cluster.start()
            await self.create(TEMPLATE, template="template0")
            await migrate(self.cluster.owner_url(TEMPLATE))
            ready.touch()

    async def create(self, name: str = "", *, template: str = TEMPLATE) -> str:
        """A new database; returns its name."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        await self._as_owner(f"create database {name} template {template} strategy file_copy")
        return name

    async def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        await self._as_owner(f"drop database if exists {name} with (force)")

    async def _as_owner(self, statement: str) -> None:
        connection = await connect(self.cluster.owner_url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def end(self) -> None:
        """Stop the server if it runs, and remove everything."""
        self.cluster.stop()
        shutil.rmtree(self.folder)
