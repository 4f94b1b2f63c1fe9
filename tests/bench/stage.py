"""The embedded server that is measured, as the program starts it, on a temporary folder: durable, with the
default configuration."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from db.database import Database, connect
from db.embedded.cluster import Cluster
from db.schema.migrate import migrate
from tests.bench import load, market
from tests.bench.scale import Scale

TEMPLATE = "bench_template"
TPCB = "bench_tpcb"
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")

Progress = Callable[[str], None]


class LedgerError(Exception):
    """A bench has left books that are not right: its figures mean nothing."""


class Stage:
    """A server with pgbench's database, and as many new markets as a bench asks for."""

    def __init__(self, cluster: Cluster, scale: Scale, progress: Progress) -> None:
        self.scale = scale
        self.progress = progress
        self._cluster = cluster
        self._serial = 0
        self._used: list[str] = []

    async def tpcb(self) -> float:
        """TPC-B transactions a second, now."""
        return (await load.tpcb(self._cluster.owner_url(TPCB), self.scale)).rate

    async def begin_round(self) -> None:
        """Remove the markets of the round before, and let TPC-B pay for the checkpoint that this takes: every
        page is written to the WAL in full once after it."""
        for name in self._used:
            await self._as_owner(f"drop database {name} with (force)")
        self._used.clear()
        await self.tpcb()

    @contextlib.asynccontextmanager
    async def market(self, *, ledger: bool = True) -> AsyncIterator[tuple[str, Database]]:
        """A new database with the market in it, by its URL and open; where `ledger`, that must be right at
        the end.

        Raises LedgerError.
        """
        self._serial += 1
        name = f"bench_{self._serial}"
        await self._as_owner(f"create database {name} template {TEMPLATE}")
        self._used.append(name)
        url = self._cluster.owner_url(name)
        async with await Database.open(url, pool_max=2) as database:
            yield url, database
            if ledger:
                await verify(database)

    async def set_up(self) -> None:
        """Make pgbench's database and the market that all others are copies of."""
        await self._require_durable()
        self.progress("pgbench's tables")
        await self._as_owner(f"create database {TPCB}")
        await load.initialise(self._cluster.owner_url(TPCB), self.scale)
        self.progress("the market")
        await self._as_owner(f"create database {TEMPLATE}")
        url = self._cluster.owner_url(TEMPLATE)
        await migrate(url)
        async with await Database.open(url, pool_max=1) as database:
            await market.open_for_trading(database, self.scale)
            await verify(database)

    async def _require_durable(self) -> None:
        connection = await connect(self._cluster.owner_url("postgres"))
        try:
            for name in DURABLE:
                value = await connection.fetchval("select current_setting($1)", name)
                if value != "on":
                    raise RuntimeError(f"{name} is {value}: what is measured must be durable")
        finally:
            await connection.close()

    async def _as_owner(self, statement: str) -> None:
        connection = await connect(self._cluster.owner_url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def opened(scale: Scale, progress: Progress) -> AsyncIterator[Stage]:
    """A stage that is set up, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pitside-bench-"))
    cluster = Cluster(folder / "data")
    try:
        progress("the server")
        await asyncio.to_thread(cluster.start)
        stage = Stage(cluster, scale, progress)
        await stage.set_up()
        yield stage
    finally:
        await asyncio.to_thread(cluster.stop)
        shutil.rmtree(folder)


async def verify(database: Database) -> None:
    """Raises LedgerError where `verify_ledger` finds anything."""
    broken = await database.fetch("select invariant, subject, detail from verify_ledger() limit 5")
    if broken:
        raise LedgerError(
            "\n".join(f"{row['invariant']}: {row['subject']} {row['detail']}" for row in broken)
        )
