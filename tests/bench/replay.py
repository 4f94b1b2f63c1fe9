"""How long the past takes: any moment of an account with a million events, a step, and the audit of it."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from db import audit
from db.database import Database
from tests.bench import long_account
from tests.bench.runner import Round
from tests.bench.stage import Stage

MOMENTS = 200
STEPS = 200
WITHIN = 100.0
"""Milliseconds that a moment may take, at the 95th percentile."""
A_STEP = 20.0
"""Milliseconds that a step may take, at the 95th percentile."""
AUDITED = 50_000.0
"""Events a second that an audit goes through."""


class Replay:
    """The state of an account at any moment."""

    name = "replay"
    title = "any moment, p95"
    unit = "ms"
    reference = "ms allowed"
    target = 1.0
    at_most = True
    about = (
        "account_state of an account with a million events (a few thousand when quick), at moments at random"
    )

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        """Measure once; the first look, which writes the checkpoints, apart."""
        async with stage.market(ledger=False) as (_, database):
            async with database.connection() as connection:
                account = await long_account.make(connection, stage.scale.history, stage.scale.instruments)
            first = await _timed(database, "select account_state($1)", account)
            begin, end = await _span(database, account)
            moments = [
                await _timed(
                    database, "select account_state($1, $2)", account, begin + (end - begin) * random.random()
                )
                for _ in range(MOMENTS)
            ]
            steps = await self._steps(database, account)
            sizes = await database.fetchrow(
                """select pg_total_relation_size('internal.account_checkpoints')::float8
                          / pg_total_relation_size('journal') as share,
                          (select count(*)::float8 from journal where account_id = $1) as events""",
                account,
            )
        assert sizes is not None
        value = _p95(moments)
        return Round(
            value,
            WITHIN,
            value / WITHIN,
            {
                "events": sizes["events"],
                "median ms": statistics.median(moments),
                "step p95 ms": _p95(steps),
                "first look s": first / 1000,
                "checkpoints % of the journal": 100 * sizes["share"],
            },
        )

    async def _steps(self, database: Database, account: int) -> list[float]:
        """From event to event, as somebody does who holds the key down."""
        rows = await database.fetch(
            """select event_id from journal where account_id = $1
               and event_id > (select avg(event_id) from journal where account_id = $1)
               order by event_id limit $2""",
            account,
            STEPS,
        )
        return [
            await _timed(database, "select account_state($1, p_event_id => $2)", account, row["event_id"])
            for row in rows
        ]


class Audit:
    """`trade audit` of the same account."""

    name = "audit"
    title = "audit"
    unit = "events/s"
    reference = "events/s wanted"
    target = 1.0
    at_most = False
    about = "chain, tables and checkpoints' seals of an account with a million events (quick: a few thousand)"

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        """Measure once. Raises LedgerError where the audit finds anything."""
        async with stage.market(ledger=False) as (_, database):
            async with database.connection() as connection:
                account = await long_account.make(connection, stage.scale.history, stage.scale.instruments)
            await database.execute("select keep_checkpoints()")
            report = await audit.run(database, account)
        if report.differences:
            raise RuntimeError(f"the audit finds {report.differences[0]}")
        rate = report.events / report.seconds
        return Round(rate, AUDITED, rate / AUDITED, {"events": float(report.events)})


async def _timed(database: Database, query: str, *arguments: object) -> float:
    """Milliseconds until it is answered."""
    begun = time.perf_counter()
    await database.fetchval(query, *arguments)
    return (time.perf_counter() - begun) * 1000


async def _span(database: Database, account: int) -> tuple[Any, Any]:
    row = await database.fetchrow("select first_at, last_at from account_span($1)", account)
    assert row is not None
    return row["first_at"], row["last_at"]


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
