"""Orders that only rest: what most of an exchange's messages come to."""

from __future__ import annotations

from tests.bench import flow, flowing
from tests.bench.runner import Round
from tests.bench.stage import Stage


class Resting:
    """Limit orders that meet nobody, of cash and margin accounts, over all instruments."""

    name = "resting"
    title = "resting orders"
    unit = "orders/s"
    reference = "TPC-B"
    target = 0.9
    at_most = False
    about = "limit orders that meet nobody, 8 clients over 20 instruments, cash and margin accounts"

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        scripts = flow.scripts({"rest": 1})
        return await flowing.measure(stage, scripts, stage.scale.instruments, reference_first=reference_first)
