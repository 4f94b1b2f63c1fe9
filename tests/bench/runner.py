"""Rounds of a bench: each measures the thing and what it is compared with side by side; the medians count."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Round:
    """`value` and `reference` in the bench's unit; `ratio` is what the target is about. `notes` are figures
    by name."""

    value: float
    reference: float
    ratio: float
    notes: dict[str, float] = field(default_factory=dict)


class Bench(Protocol):
    """One thing that is measured. `target` is for the ratio: at least that, or at most where `at_most`."""

    name: str
    title: str
    unit: str
    reference: str
    target: float
    at_most: bool
    about: str

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        """Measure once; raises LedgerError where the books are not right afterwards."""


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of a bench."""

    bench: Bench
    rounds: Sequence[Round]

    @property
    def value(self) -> float:
        return statistics.median(each.value for each in self.rounds)

    @property
    def reference(self) -> float:
        return statistics.median(each.reference for each in self.rounds)

    @property
    def ratio(self) -> float:
        return statistics.median(each.ratio for each in self.rounds)

    @property
    def notes(self) -> dict[str, float]:
        """Medians."""
        names = dict.fromkeys(name for each in self.rounds for name in each.notes)
        return {
            name: statistics.median(each.notes[name] for each in self.rounds if name in each.notes)
            for name in names
        }

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= self.bench.target if self.bench.at_most else self.ratio >= self.bench.target


async def run(stage: Stage, benches: Sequence[Bench]) -> list[Result]:
    """All rounds of all benches, a round of each in turn, so that no bench has the machine's best minutes."""
    rounds: dict[str, list[Round]] = {bench.name: [] for bench in benches}
    for number in range(1, stage.scale.rounds + 1):
        await stage.begin_round()
        for bench in benches:
            measured = await bench.round(stage, reference_first=number % 2 == 1)
            rounds[bench.name].append(measured)
            stage.progress(
                f"round {number} of {stage.scale.rounds}, {bench.name}: {measured.value:,.1f} {bench.unit}, "
                f"{bench.reference} {measured.reference:,.1f}, ratio {measured.ratio:.2f}"
            )
    return [Result(bench, rounds[bench.name]) for bench in benches]
