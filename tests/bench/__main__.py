"""`python -m tests.bench [NAME …]`, see `make bench`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
from collections.abc import Sequence

import click

from db.errors import PitsideError
from tests.bench import report, runner, stage
from tests.bench.batches import Batches
from tests.bench.depth import Depth
from tests.bench.journalling import Journalling
from tests.bench.load import LoadError
from tests.bench.mixed import HOT, MIXED
from tests.bench.python_client import PythonClient
from tests.bench.replay import Audit, Replay
from tests.bench.resting import Resting
from tests.bench.runner import Bench, Result
from tests.bench.scale import FULL, QUICK, Scale

BENCHES: dict[str, Bench] = {
    bench.name: bench
    for bench in (
        Resting(),
        MIXED,
        HOT,
        Batches(),
        PythonClient(),
        Depth(),
        Replay(),
        Audit(),
        Journalling(),
    )
}


def _say(step: str) -> None:
    click.echo(f"bench: {step}", err=True)


async def _run(scale: Scale, benches: Sequence[Bench]) -> list[Result]:
    async with stage.opened(scale, _say) as opened:
        return await runner.run(opened, benches)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="One tiny round: whether it runs, not how fast.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds; the medians count.  [default: 5]")
@click.option("--seconds", type=click.IntRange(min=1), help="Length of one measurement.  [default: 6]")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON, for programs.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a target is missed.")
def main(
    names: Sequence[str], quick: bool, rounds: int | None, seconds: int | None, as_json: bool, strict: bool
) -> None:
    """Measure the exchange beside pgbench's TPC-B on a temporary embedded server.

    NAME: resting, mixed, hot, batches, python, depth, replay, audit, journal; all of them where none is
    named.
    A bench whose ledger is not right afterwards fails.
    """
    # As with Ctrl-C: a run that is told to end takes its server with it, in the background too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    scale = QUICK if quick else FULL
    if rounds is not None:
        scale = dataclasses.replace(scale, rounds=rounds)
    if seconds is not None:
        scale = dataclasses.replace(scale, seconds=seconds, requests=None)
    try:
        results = asyncio.run(_run(scale, [BENCHES[name] for name in names or BENCHES]))
    except (LoadError, stage.LedgerError, PitsideError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_json(results), indent=2))
    else:
        report.table(results, scale)
    if strict and not all(result.met for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
