"""A market as it is: orders that rest, orders that trade, cancels and stops."""

from __future__ import annotations

from tests.bench import flow, flowing
from tests.bench.runner import Round
from tests.bench.stage import Stage


class Mixed:
    """The mix of `flow` over all instruments, or on one hot one."""

    unit = "requests/s"
    reference = "TPC-B"
    at_most = False

    def __init__(self, name: str, title: str, target: float, *, hot: bool) -> None:
        self.name = name
        self.title = title
        self.target = target
        self.about = f"8 clients {'on one instrument' if hot else 'over 20 instruments'}: {flow.SAID}"
        self._hot = hot

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        instruments = 1 if self._hot else stage.scale.instruments
        return await flowing.measure(
            stage, flow.scripts(flow.SHARES), instruments, reference_first=reference_first
        )


MIXED = Mixed("mixed", "mixed flow, 20 instruments", 0.5, hot=False)
HOT = Mixed("hot", "mixed flow, one instrument", 0.3, hot=True)
