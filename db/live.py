"""What changed, as a stream.

    async with subscribe(db, [account_id]) as stream:
        async for event in stream:
            match event:
                case Changes(): ...  # read again what the ids name
                case ConnectionState(): ...  # the server is gone, or back

Nothing is sent by the database: versions are polled, which costs writers nothing (NOTIFY would halve their
throughput) and coalesces by itself: however much happened since the last look, and however long the reader
took, it is one `Changes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import asyncpg

from db.database import (
    CLOSE_TIMEOUT,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    ConnectionState,
    Database,
    Record,
    translated,
)
from db.errors import ConnectionLostError, LoginError, ServerError

_QUERY = "select kind, id, version from live_versions($1)"


@dataclass(frozen=True, slots=True)
class Changes:
    """The ids of the instruments and accounts that changed since the last one; `at` is UTC.

    The first of a stream, and the first after a lost connection, name everything there is.
    """

    instruments: frozenset[int]
    accounts: frozenset[int]
    at: datetime


class Stream(AsyncIterator[Changes | ConnectionState]):
    """Made by `subscribe`. One reader at a time; waiting for the next event may be cancelled without losing
    any."""

    def __init__(
        self, db: Database, account_ids: Iterable[int], poll_interval: float, heartbeat: float
    ) -> None:
        self._db = db
        self._account_ids = sorted(set(account_ids))
        self._poll_interval = poll_interval
        self._heartbeat = heartbeat
        self._connection: asyncpg.Connection[Record] | None = None
        self._events: deque[ConnectionState] = deque()
        self._seen: dict[tuple[str, int], int] = {}
        self._next_look = 0.0
        self._lost = False
        self._pause = FIRST_PAUSE
        self.heard_at: float | None = None
        """`time.monotonic()` of the last answer of the server, also of one that told of no change."""

    def watch(self, account_ids: Iterable[int]) -> None:
        """Follow these accounts instead; one that was not followed before counts as changed."""
        self._account_ids = sorted(set(account_ids))

    async def aclose(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                await connection.close(timeout=CLOSE_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Changes | ConnectionState:
        while True:
            if self._events:
                return self._events.popleft()
            try:
                connection = self._connection or await self._connect()
                if self._events:
                    continue
                await self._wait_for_turn()
                versions = await self._look(connection)
            except ConnectionLostError:
                await self._lose()
                continue
            changed = [key for key, version in versions.items() if self._seen.get(key) != version]
            self._seen = versions
            if changed:
                return Changes(
                    frozenset(number for kind, number in changed if kind == "instrument"),
                    frozenset(number for kind, number in changed if kind == "account"),
                    datetime.now(UTC).replace(tzinfo=None),
                )

    async def _connect(self) -> asyncpg.Connection[Record]:
        """A connection of the stream's own, so that no long statement of the pool holds it up."""
        try:
            self._connection = await self._db.dedicated()
        except LoginError:  # the user was disabled, or has another password now: waiting does not help
            raise
        except ServerError:
            if not self._lost:  # never been connected: not a server on its way back, but one that refuses us
                raise
            raise ConnectionLostError(f"{self._db.where} is not back yet") from None
        self._pause = FIRST_PAUSE
        if self._lost:
            self._lost = False
            self._seen = {}  # whatever happened meanwhile, everything is read again
            self._events.append(ConnectionState.CONNECTED)
        return self._connection

    async def _wait_for_turn(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_look - loop.time()))
        self._next_look = loop.time() + self._poll_interval

    async def _look(self, connection: asyncpg.Connection[Record]) -> dict[tuple[str, int], int]:
        try:
            async with asyncio.timeout(self._heartbeat):
                with translated(connection, self._db.where):
                    rows = await connection.fetch(_QUERY, self._account_ids)
        except TimeoutError:
            raise ConnectionLostError(
                f"{self._db.where} has not answered for {self._heartbeat:g} seconds"
            ) from None
        self.heard_at = time.monotonic()
        return {(row["kind"], row["id"]): row["version"] for row in rows}

    async def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        if not self._lost:
            self._lost = True
            self._events.append(ConnectionState.RECONNECTING)
            self._db.report_loss()
        else:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


def subscribe(
    db: Database, account_ids: Iterable[int] = (), poll_interval: float = 0.05, *, heartbeat: float = 2.0
) -> Stream:
    """Follow all instruments and these accounts. Use it with `async with`, iterate over it with `async for`.

    `poll_interval` is the time in seconds between two looks; a look that takes more than `heartbeat` seconds
    means a lost connection. Iterating raises DatabaseError where the database refuses the look itself, and
    LoginError where a server that is back lets this user in no more.
    """
    return Stream(db, account_ids, poll_interval, heartbeat)
