"""A line to the server that a test can cut, freeze, or make lose an answer.

It stands between the driver and the server as a Unix socket of its own, so that all that happens on a bad
network or with a frozen server can happen on purpose, and at the moment that matters.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


class Proxy:
    """Forwards connections to the server of `url`; `Proxy.url` leads through it."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        port = query.get("port", ["5432"])[0]
        self._target = f"{query['host'][0]}/.s.PGSQL.{port}"
        self._socket = folder / ".s.PGSQL.5432"
        self.url = f"postgresql://pitside@{parts.path}?host={quote(str(folder), safe='')}&port=5432"
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loses_answer = False

    async def accept(self) -> None:
        """Take connections, as at the start, or again after `refuse`."""
        self._server = await asyncio.start_unix_server(self._line, self._socket)

    async def refuse(self) -> None:
        """Cut all connections and take no more: the server is down."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        """Break the connections there are."""
        for end in tuple(self._ends):
            end.transport.abort()

    def freeze(self) -> None:
        """Let nothing through and close nothing: the server hangs."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through that has waited."""
        self._flowing.set()

    def lose_next_answer(self) -> None:
        """Break the next connection on which the server answers, before the answer gets through."""
        self._loses_answer = True

    async def _line(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._target)
        ends = {to_client, to_server}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(from_client, to_server, answers=False))
                both.create_task(self._forward(from_server, to_client, answers=True))
        except* (_BrokenError, OSError):
            pass
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await source.read(65536):
            await self._flowing.wait()
            if answers and self._loses_answer:
                self._loses_answer = False
                raise _BrokenError
            target.write(data)
            await target.drain()
        raise _BrokenError  # the end of one direction is the end of both


class _BrokenError(Exception):
    """Ends both directions of a line."""


@contextlib.asynccontextmanager
async def proxy_to(url: str, folder: Path) -> AsyncIterator[Proxy]:
    """A proxy in `folder`, whose path must be short enough for a socket."""
    proxy = Proxy(url, folder)
    await proxy.accept()
    try:
        yield proxy
    finally:
        proxy.thaw()
        await proxy.refuse()
