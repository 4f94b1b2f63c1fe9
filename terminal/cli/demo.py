"""`trade demo`: the demo market, on any database."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import click

from terminal.cli import Invocation, reach

if TYPE_CHECKING:
    from db.database import Database


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_obj
def demo(invocation: Invocation, as_json: bool) -> None:
    """Set up the demo market: instruments, history, a demo trader.

    A database that has instruments is left as it is.
    """
    from db.feeds import demo as feed
    from db.feeds.catalogue import LISTINGS

    settings = invocation.settings()

    async def work(database: Database, _stop: asyncio.Event) -> bool:
        return await feed.ensure(
            database, settings.simulation, lambda step: reach.say(f"Setting up {step} …")
        )

    started = time.monotonic()
    new = reach.run(settings.database, "trade demo", work, stops=False, as_owner=True)
    if as_json:
        result = {
            "set_up": new,
            "instruments": [listing.symbol for listing in LISTINGS] if new else [],
            "account": feed.ACCOUNT if new else None,
            "seconds": round(time.monotonic() - started, 3),
        }
        click.echo(json.dumps(result))
    elif new:
        click.echo(f"The demo market is there: {len(LISTINGS)} instruments, and the account {feed.ACCOUNT}.")
    else:
        click.echo("The database has instruments already: nothing was changed.")
