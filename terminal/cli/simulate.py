"""`trade simulate`: the simulated participants, on any database."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import click

from db.errors import RequestError, ServerError
from terminal.cli import Invocation, reach

if TYPE_CHECKING:
    from db.database import Database
    from db.feeds.dealing import Activity
    from db.feeds.simulator import Simulation

OPTIONS = {"simulation.pace": "--pace", "simulation.seed": "--seed"}


@click.command()
@click.option("--pace", metavar="TIMES", help="How fast they act: 1 is normal, 2 twice as fast.")
@click.option("--seed", metavar="NUMBER", help="Seed of the random numbers.")
@click.option("--symbols", metavar="A,B,…", help="Only these instruments (else all that have a price).")
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop after so long (else at Ctrl-C).",
)
@click.pass_obj
def simulate(
    invocation: Invocation, pace: str | None, seed: str | None, symbols: str | None, duration: float | None
) -> None:
    """Run the simulated participants until Ctrl-C. When they stop, their orders are cancelled."""
    from rich.console import Console
    from rich.live import Live
    from rich.logging import RichHandler
    from rich.text import Text

    from db import instruments
    from db.feeds.simulator import Simulation

    given = {"pace": pace, "seed": seed}
    settings = invocation.settings(
        {"simulation": {name: value for name, value in given.items() if value is not None}}, OPTIONS
    )
    console = Console(stderr=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    wanted = [symbol.strip() for symbol in (symbols or "").split(",") if symbol.strip()]
    started = time.monotonic()

    async def work(database: Database, stop: asyncio.Event) -> Activity:
        nonlocal started
        if not await instruments.list_all(database, active_only=True):
            raise RequestError(
                "symbols", symbols, "there are no active instruments", "trade demo sets some up."
            )
        simulation = Simulation(database, settings.simulation, wanted)
        watch = asyncio.create_task(_stop_when(stop, duration, simulation))
        started = time.monotonic()
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            try:
                alone = await simulation.run(
                    lambda activity: live.update(Text(_line(activity, time.monotonic() - started)))
                )
            finally:
                watch.cancel()
        if not alone:
            raise ServerError(
                "The simulated participants of this database are being driven already, by an open terminal "
                "or another trade simulate: stop that one first."
            )
        return simulation.activity

    activity = reach.run(settings.database, "trade simulate", work, as_owner=True)
    click.echo(f"Stopped; all orders are cancelled. {_line(activity, time.monotonic() - started)}")


async def _stop_when(stop: asyncio.Event, duration: float | None, simulation: Simulation) -> None:
    """Stop the simulation when the person asks for it, or the time is over."""
    try:
        await asyncio.wait_for(stop.wait(), duration)
    except TimeoutError:
        pass
    finally:
        simulation.stop()


def _line(activity: Activity, seconds: float) -> str:
    parts = [
        f"{activity.instruments} instruments",
        f"{activity.resting:,} orders resting",
        f"{activity.requests:,} requests ({activity.requests / max(seconds, 1):.0f} a second)",
        f"{activity.takes:,} takers",
    ]
    parts += [f"{activity.rejected:,} refused"] if activity.rejected else []
    parts += [f"{activity.errors:,} errors"] if activity.errors else []
    parts += ["reconnecting …"] if activity.reconnecting else []
    return " · ".join(parts)
