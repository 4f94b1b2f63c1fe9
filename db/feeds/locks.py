"""Who drives what: session advisory locks, so that nothing stays claimed by a process that has died.

A lock is a class and a key, both int4. The classes stand here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg

from db.database import ANSWER_TIMEOUT, Database, Record, translated
from db.errors import ConnectionLostError, DatabaseError

SIMULATION = 0x5053_0001
"""Held (key 0) by the one process that drives the simulated participants of a database."""

INSTRUMENT = 0x5053_0002
"""Shared by the simulated participants for each instrument (the key) that they are in, and held alone by a
tape that plays into it: the tape waits for them to leave, and they see it wait."""

DEMO = 0x5053_0003
"""Held (key 0), for a transaction, while the demo market is set up."""

CLOSE_TIMEOUT = 2.0
_LOCK_NOT_AVAILABLE = "55P03"

_KEYS = """
    select objid::bigint from pg_locks
    where locktype = 'advisory' and objsubid = 2 and classid = $1::bigint::oid and granted = $2
      and (mode = 'ExclusiveLock' or not $2)
      and database = (select oid from pg_database where datname = current_database())
"""


class LockSession:
    """A connection of its own, with which the locks that it has taken end."""

    def __init__(self, connection: asyncpg.Connection[Record], where: str) -> None:
        self._connection = connection
        self._where = where

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> AsyncIterator[Self]:
        """A session for as long as the block runs. Raises ConnectionLostError, ServerError."""
        connection = await database.dedicated()
        try:
            yield cls(connection, database.where)
        finally:
            # The locks end with the connection, however it ends.
            with contextlib.suppress(OSError, ConnectionLostError), translated(connection, database.where):
                await connection.close(timeout=CLOSE_TIMEOUT)
            connection.terminate()

    def require(self) -> None:
        """Raise ConnectionLostError when the connection has ended: somebody else may hold our locks by
        now."""
        if self._connection.is_closed():
            raise ConnectionLostError(f"the connection to {self._where} that holds our locks broke")

    async def try_alone(self, lock_class: int, key: int = 0) -> bool:
        """Take a lock that nobody shares; False: somebody has it."""
        return await self._take("select pg_try_advisory_lock($1, $2)", lock_class, key)

    async def wait_alone(self, lock_class: int, key: int, within: float) -> bool:
        """The same, but wait up to `within` seconds for those who have it."""
        with translated(self._connection, self._where):
            await self._connection.execute(f"set lock_timeout = {round(within * 1000)}")
        try:
            with translated(self._connection, self._where):
                await self._connection.execute("select pg_advisory_lock($1, $2)", lock_class, key)
        except DatabaseError as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE:
                raise
            return False
        return True

    async def try_shared(self, lock_class: int, key: int) -> bool:
        """Take a share in a lock; False: somebody has it alone, or waits to."""
        return await self._take("select pg_try_advisory_lock_shared($1, $2)", lock_class, key)

    async def leave_shared(self, lock_class: int, key: int) -> None:
        """Give a share back."""
        await self._take("select pg_advisory_unlock_shared($1, $2)", lock_class, key)

    async def _take(self, statement: str, lock_class: int, key: int) -> bool:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                with translated(self._connection, self._where):
                    taken: bool = await self._connection.fetchval(statement, lock_class, key)
        except TimeoutError:
            self._connection.terminate()
            raise ConnectionLostError(
                f"{self._where} has not answered for {ANSWER_TIMEOUT:g} seconds"
            ) from None
        return taken


async def held_alone(database: Database, lock_class: int) -> frozenset[int]:
    """The keys of the locks of a class that somebody holds alone in this database."""
    return frozenset(row[0] for row in await database.fetch(_KEYS, lock_class, True, within=ANSWER_TIMEOUT))


async def awaited(database: Database, lock_class: int) -> frozenset[int]:
    """The keys of the locks of a class for which somebody is waiting."""
    return frozenset(row[0] for row in await database.fetch(_KEYS, lock_class, False, within=ANSWER_TIMEOUT))
