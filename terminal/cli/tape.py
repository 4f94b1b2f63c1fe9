"""`trade tape`: recorded order flow into an instrument's book."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from terminal.cli import INTERRUPTED, Invocation, reach

if TYPE_CHECKING:
    from db.database import Database
    from db.feeds.tape import Report

MAX = "max"


def _speed(_context: click.Context, _option: click.Parameter, text: str) -> float | None:
    """A speed above zero; None for as fast as it goes."""
    if text.lower() == MAX:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor {MAX}")
    return speed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", required=True, help="The instrument into whose book it is played.")
@click.option(
    "--speed",
    default="1",
    show_default=True,
    callback=_speed,
    help=f"How many times as fast as recorded, or {MAX}: as fast as it goes.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object, for programs.")
@click.pass_obj
def tape(invocation: Invocation, file: Path, symbol: str, speed: float | None, as_json: bool) -> None:
    """Play a recorded LOBSTER message FILE into an instrument's book.

    Orders of others that stand in the book trade with the tape; the simulated participants stay out of the
    instrument meanwhile. Ctrl-C stops it: its orders are cancelled, and the report is given all the same.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from db import instruments
    from db.feeds import lobster
    from db.feeds.tape import play

    settings = invocation.settings()
    messages = lobster.read(file)
    console = Console(stderr=True)

    async def work(database: Database, stop: asyncio.Event) -> Report:
        instrument = await instruments.by_symbol(database, symbol)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        ) as bar:
            task = bar.add_task(instrument.symbol, total=len(messages))
            return await play(
                database,
                instrument,
                messages,
                name=str(file),
                speed=speed,
                stop=stop,
                progress=lambda count: bar.update(task, completed=count),
            )

    report = reach.run(settings.database, "trade tape", work, as_owner=True)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        click.echo("\n".join(_lines(report, len(messages))))
    if report.stopped:
        raise click.exceptions.Exit(INTERRUPTED)


def _lines(report: Report, total: int) -> list[str]:
    """The report for a person."""
    played = f"{report.messages:,} of {total:,}" if report.stopped else f"{report.messages:,}"
    outcomes = [
        (report.filled_named, "filled the very order that the tape names"),
        (report.deviations, "deviations: the named order was not first in the book; taken out, no trade"),
        (report.unknown, "named an order that the file does not hold"),
        (report.filled_others, "filled somebody else's order that stood in front"),
        (report.taken_before, "came too late: somebody else had taken of the named order before"),
    ]
    notes = [
        (report.hidden, "executions of hidden orders, which leave the book alone"),
        (report.crosses, "auctions' trades, which leave the book alone"),
        (report.halts, "halts and resumptions"),
        (report.unknown_changes, "cancellations that name an order which the file does not hold"),
        (report.met_on_arrival, "new orders that traded with somebody else's on arrival"),
        (report.stale, "orders taken out because a later one crossed them"),
    ]
    return [
        f"{report.symbol}: {played} messages in {report.seconds:.1f} s ({report.rate:,.0f} a second)"
        + (", stopped" if report.stopped else ""),
        f"{report.executions:>8,} executions of visible orders",
        *(f"{number:>10,} {text}" for number, text in outcomes if number or text == outcomes[0][1]),
        *(f"{number:>8,} {text}" for number, text in notes if number),
    ]
