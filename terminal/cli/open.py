"""What `trade` does without a sub-command: a server, a schema, a market, and the terminal on it."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import click

from db.errors import PitsideError

if TYPE_CHECKING:
    from db.embedded.sharing import Lease
    from terminal.settings import Settings

SETTLED = 3.0
"""Seconds after which the program has made what it keeps for good."""


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
    if lease.is_embedded:
        from db.schema.migrate import migrate

        if (await migrate(lease.url)).changed:
            _say("The schema is set up")

    from terminal.app import PitsideApp
    from terminal.cli.entrance import TradeEntrance
    from terminal.cli.market import Market

    async with Market(settings, lease) as market:
        entrance = TradeEntrance(settings, lease, market)
        app = PitsideApp(
            await entrance.at_once(),
            theme=settings.terminal.theme,
            confirm=settings.terminal.confirm_orders,
            timeframe=settings.terminal.timeframe,
            entrance=entrance,
        )
        # What is there by then stays: the collector need not look through it again, 0.1 s at a time.
        asyncio.get_running_loop().call_later(SETTLED, gc.freeze)
        await app.run_async()
        if market.is_open:
            _say("Closing the market")
    if app.failure is not None:
        raise app.failure


def _require_terminal() -> None:
    """Textual draws on stderr and reads keys from stdin; without both there is nothing to open."""
    import sys

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PitsideError("the terminal needs a screen: run trade in a terminal window, or see trade --help")


def _say(words: str) -> None:
    click.echo(words, err=True)
