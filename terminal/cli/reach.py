"""How a command that is no terminal gets at a database that is ready for use."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from db.errors import PitsideError

if TYPE_CHECKING:
    from db.database import Database
    from db.settings import DatabaseSettings
    from terminal.cli import Invocation

Result = TypeVar("Result")
Work = Callable[["Database", asyncio.Event], Awaitable[Result]]
"""What to do with a database; the event is set when the person asks for a stop."""


def run(
    settings: DatabaseSettings,
    application_name: str,
    work: Work[Result],
    *,
    stops: bool = True,
    as_owner: bool = False,
) -> Result:
    """Join the server (start it if need be), bring its schema up as its owner, else see that it fits; do the
    work, leave.

    The first Ctrl-C (or SIGTERM) asks the work to stop, a second one ends it at once; without `stops` the
    first does. With `as_owner` nobody else than the owner of the database gets as far as the work. Raises
    PitsideError.
    """
    from db.embedded import sharing

    with sharing.join(settings, progress=say) as lease:
        guarded = _for_the_owner(application_name, work) if as_owner else work
        return asyncio.run(_work(lease.url, settings, application_name, guarded, stops))


def administer(invocation: Invocation, command: str, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Run work that only the owner of the database may do. Raises PitsideError for anybody else."""

    async def unstopped(database: Database, _stop: asyncio.Event) -> Result:
        return await work(database)

    return run(invocation.settings().database, command, unstopped, stops=False, as_owner=True)


def _for_the_owner(command: str, work: Work[Result]) -> Work[Result]:
    from db import users

    async def guarded(database: Database, stop: asyncio.Event) -> Result:
        identity = await users.whoami(database)
        if not identity.may_administer:
            role = f"is {identity.role} there" if identity.role else "is no user of it"
            raise PitsideError(
                f"{command} is for the owner of {database.where}, and {identity.username} {role}: "
                "log in as the owner (database.url, --database-url)"
            )
        return await work(database, stop)

    return guarded


def say(message: str) -> None:
    """To the person, not to whoever reads the results."""
    click.echo(message, err=True)


async def _work(
    url: str, settings: DatabaseSettings, application_name: str, work: Work[Result], stops: bool
) -> Result:
    from db.database import Database
    from db.schema.ready import make_ready

    await make_ready(url)
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
