"""How a command that is no terminal gets at a database that is ready for use."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from db.database import Database
    from db.settings import DatabaseSettings

Result = TypeVar("Result")
Work = Callable[["Database", asyncio.Event], Awaitable[Result]]
"""What to do with a database; the event is set when the person asks for a stop."""


def run(
    settings: DatabaseSettings, application_name: str, work: Work[Result], *, stops: bool = True
) -> Result:
    """Join the server (start it if need be), bring its schema up, do the work, leave.

    The first Ctrl-C (or SIGTERM) asks the work to stop, a second one ends it at once; without `stops` the
    first does.
    """
    from db.embedded import sharing

    with sharing.join(settings, progress=say) as lease:
        return asyncio.run(_work(lease.url, settings, application_name, work, stops))


def say(message: str) -> None:
    """To the person, not to whoever reads the results."""
    click.echo(message, err=True)


async def _work(
    url: str, settings: DatabaseSettings, application_name: str, work: Work[Result], stops: bool
) -> Result:
    from db.database import Database
    from db.schema.migrate import migrate

    await migrate(url)
    stop = asyncio.Event()
    async with await Database.open(
        url,
        application_name=application_name,
        pool_min=1,
        pool_max=min(2, settings.pool_max),
        connect_timeout=settings.connect_timeout,
    ) as database:
        task = asyncio.ensure_future(work(database, stop))
        if stops:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _ask, stop, task)
        try:
            return await task
        except asyncio.CancelledError:
            if stop.is_set():
                raise KeyboardInterrupt from None
            raise


def _ask(stop: asyncio.Event, task: asyncio.Future[Result]) -> None:
    if stop.is_set():
        task.cancel()
    stop.set()
