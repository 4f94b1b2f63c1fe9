"""place_orders: a hundred orders in one transaction."""

from __future__ import annotations

import json
import random

from tests.bench import flow, flowing
from tests.bench.load import Script
from tests.bench.runner import Round
from tests.bench.scale import Scale
from tests.bench.stage import Stage

SIZE = 100
INSTRUMENTS = 4
"""Of one batch: a client deals in a few."""

SHARES: dict[flow.Kind, int] = {kind: share for kind, share in flow.SHARES.items() if kind != "cancel"}

# What is left of the batches is taken out again, in a transaction of its own whose time counts.
_SCRIPT = r"""
\set b random(1, :batches)
\set a random(1, :accounts)
select count(order_id)
from place_orders((select b.orders from bench_batches b where b.batch_id = :b::integer));
select cancel_all_orders(:a::bigint);
"""


class Batches:
    """The mix of `flow` without cancels, in batches of a hundred over a few instruments each."""

    name = "batches"
    title = "place_orders, batches of 100"
    unit = "orders/s"
    reference = "TPC-B"
    target = 1.5
    at_most = False
    about = (
        "8 clients, each batch over 4 of 20 instruments and all accounts, the mix without cancels; after "
        "each batch the client cancels all orders of one account, which is in the time but not counted"
    )

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        return await flowing.measure(
            stage,
            [Script("batch", 1, _SCRIPT)],
            stage.scale.instruments,
            reference_first=reference_first,
            orders=SIZE,
            prepare=_written(stage.scale),
        )


def _written(scale: Scale) -> str:
    """SQL that keeps the batches in a table, so that none is made while the clock runs."""
    chance = random.Random(1)
    rows = []
    for number in range(1, scale.batches + 1):
        instruments = chance.sample(range(1, scale.instruments + 1), min(INSTRUMENTS, scale.instruments))
        requests = flow.requests(chance, SHARES, scale.accounts, instruments)
        orders = [next(requests).as_json() for _ in range(SIZE)]
        rows.append(f"({number}, '{json.dumps(orders)}')")
    return (
        "create table bench_batches (batch_id integer primary key, orders jsonb not null);"
        f"insert into bench_batches values {','.join(rows)};"
    )
