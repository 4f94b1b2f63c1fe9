"""`Database`: the one object through which the program talks to Postgres.

A pool of connections that repairs itself, and a state (connected, reconnecting) that others can follow. Every
exception that leaves it is one of `db.errors`, but for mistakes of the calling code.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import asyncpg

from db import tls, translation
from db.errors import ConnectionLostError, LoginError, ServerError
from db.urls import describe

SUPPORTED = range(15, 19)  # major versions of PostgreSQL
APPLICATION = "pitside"
ANSWER_TIMEOUT = 15.0  # seconds without an answer to a short statement that mean a lost connection
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts to reconnect
CLOSE_TIMEOUT = 3.0

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Record = asyncpg.Record


class ConnectionState(enum.Enum):
    """Whether the server answers."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"


StateListener = Callable[[ConnectionState], None]


async def connect(
    url: str, *, application_name: str = APPLICATION, connect_timeout: float = 10.0
) -> asyncpg.Connection[Record]:
    """One connection outside any pool, with the session settings of all our connections.

    Raises ConnectionLostError (not reachable), LoginError (user or password), or ServerError (refused for
    another reason, or a version that is not supported).
    """
    with _connecting(describe(url)):
        connection = await asyncpg.connect(
            url,
            ssl=tls.for_driver(url),
            timeout=connect_timeout,
            server_settings=_session_settings(application_name),
        )
    try:
        _require_supported(connection, describe(url))
    except ServerError:
        await connection.close(timeout=CLOSE_TIMEOUT)
        raise
    return connection


@contextlib.contextmanager
def translated(connection: Connection, where: str) -> Iterator[None]:
    """Turns what the driver raises on this connection into errors of `db.errors`."""
    try:
        yield
    except Exception as error:
        ours = translation.in_use(error, where, closed=_is_closed(connection))
        if ours is None:
            raise
        raise ours from error


class Database:
    """A pool of connections to one database. Made by `Database.open`, ended by `close`, or used with `async
    with`.

    The statements of one `connection()` or `transaction()` run on one connection. A session setting made
    there outlives it, so use `set local`. `within` is in seconds; a statement that is not answered in that
    time counts as a lost connection, as it must on a frozen server, and its outcome is unknown.
    """

    def __init__(self, url: str, *, application_name: str, connect_timeout: float) -> None:
        self.where = describe(url)
        self._url = url
        self._application_name = application_name
        self._connect_timeout = connect_timeout
        self._pool: asyncpg.Pool[Record]
        self._state = ConnectionState.CONNECTED
        self._listeners: list[StateListener] = []
        self._settled = asyncio.Event()  # connected, or refused for good
        self._settled.set()
        self._repair: asyncio.Task[None] | None = None
        self._refused: LoginError | None = None
        self._closing = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        application_name: str = APPLICATION,
        pool_min: int = 1,
        pool_max: int = 8,
        connect_timeout: float = 10.0,
    ) -> Self:
        """Connect to the database at `url`.

        `connect_timeout` is in seconds. Raises ConnectionLostError, LoginError or ServerError.
        """
        database = cls(url, application_name=application_name, connect_timeout=connect_timeout)
        with _connecting(database.where):
            database._pool = await asyncpg.create_pool(
                url,
                ssl=tls.for_driver(url),
                # As many from the start, but no floor that the driver would keep up by itself: it logs every
                # attempt.
                init_size=pool_min,
                min_size=0,
                max_size=pool_max,
                timeout=connect_timeout,
                init=database._adopt,
                reset=_keep_session,
                # A connection that ends is a connection lost: the pool must not retire any by itself.
                max_inactive_connection_lifetime=0,
                max_queries=2**62,
                server_settings=_session_settings(application_name),
            )
        return database

    async def close(self) -> None:
        """Close all connections; statements still under way get a few seconds, then they are cut off."""
        self._closing = True
        if self._repair is not None:
            self._repair.cancel()
            await asyncio.gather(self._repair, return_exceptions=True)
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_TIMEOUT)
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError):  # TimeoutError is an OSError
            self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Statements

    async def fetch(self, query: str, *args: object, within: float | None = None) -> list[Record]:
        """All rows."""
        async with self.answering(within) as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object, within: float | None = None) -> Record | None:
        """The first row, or None."""
        async with self.answering(within) as connection:
            row: Record | None = await connection.fetchrow(query, *args)
            return row

    async def fetchval(self, query: str, *args: object, within: float | None = None) -> Any:
        """The first column of the first row, or None."""
        async with self.answering(within) as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object, within: float | None = None) -> str:
        """Run a statement, or several without arguments; returns Postgres' command tag."""
        async with self.answering(within) as connection:
            tag: str = await connection.execute(query, *args)
            return tag

    async def executemany(
        self, query: str, args: Iterable[Sequence[object]], *, within: float | None = None
    ) -> None:
        """Run a statement once for each row of arguments, all in one transaction."""
        async with self.answering(within) as connection:
            await connection.executemany(query, args)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Record]]:
        """A connection of the pool, for as long as the block runs."""
        connection = await self._acquire()
        try:
            with translated(connection, self.where):
                yield connection
        except ConnectionLostError:
            self.report_loss()
            raise
        finally:
            await self._release(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Record]]:
        """A connection with a transaction around the block: committed at its end, rolled back on an
        exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def answering(
        self, within: float | None
    ) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Record]]:
        """A connection of the pool for a statement that must be answered within so many seconds (None:
        however long).

        Raises ConnectionLostError when it is not; then its outcome is unknown.
        """
        try:
            async with asyncio.timeout(within) as deadline, self.connection() as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    if deadline.expired():
                        # Nothing more is to be had from it: asking it to cancel would only wait again.
                        with contextlib.suppress(asyncpg.InterfaceError):
                            connection.terminate()
                    raise
        except TimeoutError as error:
            if not deadline.expired():
                raise
            self.report_loss()
            raise ConnectionLostError(f"{self.where} has not answered for {within:g} seconds") from error

    async def dedicated(self) -> asyncpg.Connection[Record]:
        """A connection of its own outside the pool; the caller closes it."""
        return await connect(
            self._url, application_name=self._application_name, connect_timeout=self._connect_timeout
        )

    # State

    @property
    def state(self) -> ConnectionState:
        """Whether the server answered last."""
        return self._state

    def add_state_listener(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` with each new state; returns a function that stops that."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    async def wait_until_connected(self, within: float | None = None) -> None:
        """Wait for the state `CONNECTED`; raises ConnectionLostError when that takes more than `within`
        seconds, and LoginError when the server is back but lets this user in no more."""
        try:
            await asyncio.wait_for(self._settled.wait(), within)
        except TimeoutError:
            raise ConnectionLostError(f"{self.where} has not come back within {within:g} seconds") from None
        if self._refused is not None:
            raise self._refused

    def report_loss(self) -> None:
        """Say that the server does not answer: the state becomes `RECONNECTING` until it answers again.

        Where it answers that this user may not log in any more, the state stays, and nobody tries again.
        """
        if self._closing or self._state is ConnectionState.RECONNECTING:
            return
        self._settled.clear()
        self._set_state(ConnectionState.RECONNECTING)
        self._repair = asyncio.get_running_loop().create_task(self._reconnect(), name="database reconnect")

    def _set_state(self, state: ConnectionState) -> None:
        self._state = state
        for listener in tuple(self._listeners):
            listener(state)

    async def _reconnect(self) -> None:
        """Try until the server answers, with growing pauses; until it refuses the user, who was disabled or
        has another password now."""
        pause = FIRST_PAUSE
        while True:
            try:
                # Not from the pool: all of its connections may hang on the server that was.
                connection = await self.dedicated()
                await connection.close(timeout=CLOSE_TIMEOUT)
                break
            except LoginError as error:
                self._refused = error
                self._settled.set()
                return
            except (ConnectionLostError, ServerError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self._settled.set()
        self._set_state(ConnectionState.CONNECTED)

    # Connections

    async def _adopt(self, connection: asyncpg.Connection[Record]) -> None:
        """What is done once with every new connection of the pool."""
        _require_supported(connection, self.where)
        connection.add_termination_listener(lambda _connection: self.report_loss())

    async def _acquire(self) -> asyncpg.pool.PoolConnectionProxy[Record]:
        try:
            with _connecting(self.where):
                return await self._pool.acquire()
        except ConnectionLostError:
            self.report_loss()
            raise

    async def _release(self, connection: asyncpg.pool.PoolConnectionProxy[Record]) -> None:
        # Giving a broken connection back only reports once more what the statement has reported already.
        with contextlib.suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            await self._pool.release(connection, timeout=CLOSE_TIMEOUT)


def _is_closed(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back by itself, which it does with a broken one
        return True


def _session_settings(application_name: str) -> dict[str, str]:
    return {"application_name": application_name, "timezone": "UTC"}


def _require_supported(connection: Connection, where: str) -> None:
    version = connection.get_server_version()
    if version.major not in SUPPORTED:
        raise ServerError(
            f"{where} runs PostgreSQL {version.major}; Pitside needs {SUPPORTED[0]} to {SUPPORTED[-1]}. "
            "Name another server in database.url, or leave it empty for the embedded one"
        )


async def _keep_session(connection: asyncpg.Connection[Record]) -> None:
    """Instead of the driver's reset after each use, which costs a round trip; open transactions end all the
    same."""


@contextlib.contextmanager
def _connecting(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        ours = translation.when_connecting(error, where)
        if ours is None:
            raise
        raise ours from error
