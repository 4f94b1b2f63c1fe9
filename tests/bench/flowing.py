"""A mix of requests on a new market, against TPC-B: what `resting`, `mixed` and `batches` have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal

from db.database import Database
from tests.bench import load
from tests.bench.load import Script
from tests.bench.runner import Round
from tests.bench.scale import Scale
from tests.bench.stage import Stage

WARM_UP = 3
"""Seconds (or a part of `requests`) before the clock runs: the books fill, every plan is made."""

_STATE = """
select pg_current_wal_lsn() - '0/0' as wal,
       (select coalesce(max(event_id), 0) from journal) as event,
       (select count(*) from orders
        where status in ('pending', 'open', 'partially_filled') and priority is not null) as working
"""
_EVENTS = """
select case
           when kind = 'filled' then 'fills'
           when kind = 'cancelled' and detail ->> 'reason' not like 'cancelled %' then 'not filled'
           else kind
       end as what,
       count(*) / case when kind = 'filled' then 2.0 else 1.0 end as times
from journal
where event_id > $1 and kind in ('accepted', 'filled', 'cancelled', 'rejected', 'triggered')
group by 1, kind
"""


async def measure(
    stage: Stage,
    scripts: Sequence[Script],
    instruments: int,
    *,
    reference_first: bool,
    orders: int = 1,
    prepare: str | None = None,
) -> Round:
    """One round: TPC-B, and the scripts on a new market. `orders` is how many a transaction places; `prepare`
    is run on the market first."""
    scale = stage.scale
    reference = await stage.tpcb() if reference_first else 0.0
    async with stage.market() as (url, database):
        if prepare is not None:
            await database.execute(prepare)
        chosen = {"accounts": scale.accounts, "instruments": instruments, "batches": scale.batches}
        await load.run(url, _shorter(scale), scripts, **chosen)
        before = await database.fetchrow(_STATE)
        measured = await load.run(url, scale, scripts, **chosen)
        after = await database.fetchrow(_STATE)
        assert before is not None
        assert after is not None
        requests = measured.transactions * orders
        notes = {
            "WAL bytes a request": float(after["wal"] - before["wal"]) / requests,
            "working orders before": float(before["working"]),
            "working orders after": float(after["working"]),
            **await _events(database, before["event"], requests),
            **_latencies(measured),
        }
    if not reference_first:
        reference = await stage.tpcb()
    rate = measured.rate * orders
    return Round(rate, reference, rate / reference, notes)


async def _events(database: Database, since: int, requests: int) -> dict[str, float]:
    """What came of a hundred requests, by the journal."""
    rows = await database.fetch(_EVENTS, since)
    return {f"{row['what']} of 100": float(Decimal(row["times"]) * 100 / requests) for row in rows}


def _latencies(measured: load.Load) -> dict[str, float]:
    if len(measured.scripts) < 2:
        return {}
    spent: dict[str, tuple[int, float]] = {}
    for name, (count, latency) in measured.scripts.items():
        kind = name.removesuffix("_buy").removesuffix("_sell")
        times, total = spent.get(kind, (0, 0.0))
        spent[kind] = (times + count, total + count * latency)
    return {f"{kind} ms": total / times for kind, (times, total) in spent.items() if times}


def _shorter(scale: Scale) -> Scale:
    return dataclasses.replace(
        scale, seconds=WARM_UP, requests=None if scale.requests is None else max(1, scale.requests // 2)
    )
