"""`trade audit`: is the journal whole, and are the tables what it comes to?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from terminal.cli import INTERRUPTED, Invocation, reach

if TYPE_CHECKING:
    from db.audit import Report
    from db.database import Database


@click.command()
@click.argument("account", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="The report, with each account's last link, as JSON for programs."
)
@click.option(
    "--checkpoints", is_flag=True, help="Build each checkpoint anew too, instead of looking at its seal only."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An earlier report (--json): the links that it names must be there still.",
)
@click.pass_obj
def audit(
    invocation: Invocation, account: str | None, as_json: bool, checkpoints: bool, against: Path | None
) -> None:
    """Rebuild every account, or one, from the journal, and compare.

    Checks too that no event was changed, removed or slipped in. Exit status 1 where anything is different. A
    report that is kept elsewhere shows later whether the journal up to it is still the same, even against
    somebody with the owner's rights: trade audit --against FILE.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from db import audit as auditing
    from db import journal

    earlier = None if against is None else auditing.read_links(against)
    console = Console(stderr=True)

    async def work(database: Database, stop: asyncio.Event) -> Report:
        account_id = None if account is None else (await journal.find_one(database, account)).account_id
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        ) as bar:
            task = bar.add_task("events", total=None)
            return await auditing.run(
                database,
                account_id,
                rebuild=checkpoints,
                earlier=earlier,
                stop=stop,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    report = reach.run(invocation.settings().database, "trade audit", work)
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False, default=str))
    else:
        click.echo("\n".join(_lines(report)))
    if report.stopped:
        raise click.exceptions.Exit(INTERRUPTED)
    if report.differences:
        raise click.exceptions.Exit(1)


def _lines(report: Report) -> Iterator[str]:
    """The report for a person."""
    for each in report.differences:
        yield f"{each.where}: {each.difference}: {each.subject} {_short(each.detail)}"
    verdict = "right" if not report.differences else f"{len(report.differences):,} differences"
    yield (
        f"{report.accounts:,} accounts, {report.markets:,} markets, {report.events:,} events"
        f" in {report.seconds:.1f} s ({report.events / max(report.seconds, 0.001):,.0f} a second): {verdict}"
        + (", stopped before the end" if report.stopped else "")
    )


def _short(detail: Any) -> str:
    text = json.dumps(detail, ensure_ascii=False, default=str)
    return text if len(text) <= 400 else f"{text[:400]}…"
