"""What `trade` does without a sub-command: a server, a schema, a market, and the terminal on it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from db.errors import PitsideError

if TYPE_CHECKING:
    from db.database import Database
    from db.embedded.sharing import Lease
    from terminal.desk import Desk
    from terminal.settings import Settings

SETTLED = 3.0
"""Seconds after which the program has made what it keeps for good."""

DRIVER_WATCH = 2.0
"""Seconds between two looks whether the simulated participants are well."""


def run(settings: Settings) -> None:
    """Open the terminal and stay until it is closed. Raises PitsideError.

    On the embedded server the market is alive while the terminal is open. Whatever happens, the server is
    left, and the last terminal to leave stops it.
    """
    from db.embedded import sharing

    _require_terminal()
    lease = sharing.join(settings.database, progress=_say)
    try:
        asyncio.run(_session(settings, lease))
    finally:
        lease.leave()


async def _session(settings: Settings, lease: Lease) -> None:
    from db.schema.migrate import migrate

    report = await migrate(lease.url)
    if report.changed:
        _say("The schema is set up")

    from terminal.app import PitsideApp
    from terminal.desk import Desk

    async with AsyncExitStack() as market:
        desk = Desk(
            lambda: _open(settings, lease),
            account=settings.terminal.account,
            timeframe=settings.terminal.timeframe,
            depth=settings.terminal.depth,
            poll_interval=settings.database.poll_interval,
            heartbeat=settings.database.heartbeat,
            demo=lease.is_embedded,
            prepare=(lambda progress: _open_market(settings, lease, market, desk, progress))
            if lease.is_embedded
            else None,
        )
        app = PitsideApp(
            desk,
            theme=settings.terminal.theme,
            confirm=settings.terminal.confirm_orders,
            timeframe=settings.terminal.timeframe,
        )
        # What is there by then stays: the collector need not look through it again, 0.1 s at a time.
        asyncio.get_running_loop().call_later(SETTLED, gc.freeze)
        await app.run_async()
        if lease.is_embedded:
            _say("Closing the market")
    if app.failure is not None:
        raise app.failure


async def _open(settings: Settings, lease: Lease) -> Database:
    from db.database import Database

    database = settings.database
    return await Database.open(
        lease.url,
        application_name="pitside terminal",
        pool_min=database.pool_min,
        pool_max=database.pool_max,
        connect_timeout=database.connect_timeout,
    )


async def _open_market(
    settings: Settings, lease: Lease, market: AsyncExitStack, desk: Desk, progress: Callable[[str], None]
) -> None:
    """Set the demo up where there is nothing yet, and let the simulated participants come."""
    from db.feeds.driver import Driver

    loop = asyncio.get_running_loop()

    def tell(step: str) -> None:
        loop.call_soon_threadsafe(progress, f"Setting up the demo market: {step}")

    # In a thread with a loop of its own: making months of history takes seconds, and the screen is up
    # already.
    await asyncio.to_thread(lambda: asyncio.run(_ensure_demo(settings, lease, tell)))
    driver = await market.enter_async_context(Driver(lease.url, settings.simulation))
    watch = asyncio.create_task(_watch(lambda: driver.problem, desk))
    market.callback(watch.cancel)


async def _ensure_demo(settings: Settings, lease: Lease, tell: Callable[[str], None]) -> None:
    from db.feeds import demo

    async with await _open(settings, lease) as database:
        await demo.ensure(database, settings.simulation, tell)


async def _watch(problem: Callable[[], str | None], desk: Desk) -> None:
    """Tell the trader when the simulated participants have trouble: a market that stands still looks like a
    calm one."""
    from terminal.state import Notice

    told: str | None = None
    while True:
        await asyncio.sleep(DRIVER_WATCH)
        now = problem()
        if now is not None and now != told:
            desk.tell(Notice(now, "problem"))
        told = now


def _require_terminal() -> None:
    """Textual draws on stderr and reads keys from stdin; without both there is nothing to open."""
    import sys

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PitsideError("the terminal needs a screen: run trade in a terminal window, or see trade --help")


def _say(words: str) -> None:
    click.echo(words, err=True)
