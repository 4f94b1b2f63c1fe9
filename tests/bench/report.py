"""The figures, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.runner import Result
from tests.bench.scale import Scale


def table(results: Sequence[Result], scale: Scale) -> None:
    """Print the results to stdout, with what was measured below."""
    console = Console(width=max(Console().width, 110))
    shown = Table(
        title=f"Medians of {scale.rounds} rounds, {scale.clients} clients, full durability",
        title_justify="left",
    )
    for heading in ("bench", "measured", "beside it", "ratio", "rounds", "target", ""):
        shown.add_column(heading, justify="left" if heading in ("bench", "") else "right")
    for result in results:
        bench = result.bench
        ratios = [each.ratio for each in result.rounds]
        shown.add_row(
            bench.title,
            f"{_number(result.value)} {bench.unit}",
            f"{_number(result.reference)} {bench.reference}",
            f"{result.ratio:.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{'≤' if bench.at_most else '≥'} {bench.target:g}",
            "[green]met[/]" if result.met else "[red]missed[/]",
        )
    console.print(shown)
    for result in results:
        console.print(f"[bold]{result.bench.name}[/]: {result.bench.about}.")
        notes = [f"{name} {_number(value)}" for name, value in result.notes.items()]
        if notes:
            console.print("  " + ", ".join(notes), style="dim")


def as_json(results: Sequence[Result]) -> list[dict[str, object]]:
    """The results as plain values."""
    return [
        {
            "bench": result.bench.name,
            "about": result.bench.about,
            "unit": result.bench.unit,
            "value": result.value,
            "reference": result.reference,
            "ratio": result.ratio,
            "ratios": [each.ratio for each in result.rounds],
            "target": result.bench.target,
            "at_most": result.bench.at_most,
            "met": result.met,
            "notes": result.notes,
        }
        for result in results
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}" if value < 10 else f"{value:,.1f}"
