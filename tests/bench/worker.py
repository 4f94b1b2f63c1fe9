"""One client in Python, a process of its own: `python -m tests.bench.worker`.

It gets what it needs as one line of JSON on stdin, says `ready` when it is connected, sends requests from the
line `go` on, and tells as a line of JSON how many and in which time.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

from db.database import Connection, connect
from tests.bench import flow
from tests.bench.flow import Request
from tests.bench.python_venue import PythonVenue

SHARES: dict[flow.Kind, int] = {
    kind: share for kind, share in flow.SHARES.items() if kind not in ("stop", "stop_limit")
}
"""Stops are left out: the client in Python knows none."""

_PLACE = "select place_order($1, $2, $3, $4, $5, $6, p_time_in_force => $7)"
_CANCEL = """
select cancel_order(w.order_id)
from (
    select o.order_id from orders o
    where o.account_id = $1 and o.status in ('pending', 'open', 'partially_filled')
    order by o.order_id + 0 limit 1
) w"""


class EngineVenue:
    """The same requests to the functions of the database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, request: Request) -> None:
        """Do what a request asks for, in one transaction."""
        if request.kind == "cancel":
            await self._connection.execute(_CANCEL, request.account_id)
        else:
            await self._connection.execute(
                _PLACE, request.account_id, request.instrument_id, request.terms.order_type, request.side,
                request.quantity, request.price, request.terms.time_in_force,
            )  # fmt: skip


VENUES: dict[str, type[EngineVenue] | type[PythonVenue]] = {"engine": EngineVenue, "python": PythonVenue}


async def work(task: dict[str, Any]) -> dict[str, float]:
    """Send requests for so many seconds, or so many of them; the first `warm_up` of either do not count."""
    connection = await connect(task["url"])
    try:
        venue = VENUES[task["venue"]](connection)
        requests = flow.requests(
            random.Random(task["seed"]), SHARES, task["accounts"], list(range(1, task["instruments"] + 1))
        )
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        for length, number in (
            (task["warm_up"], task["requests"]),
            (task["seconds"], task["requests"]),
        ):
            count, started = 0, time.perf_counter()
            while count < number if number else time.perf_counter() - started < length:
                await venue.send(next(requests))
                count += 1
            elapsed = time.perf_counter() - started
        return {"count": count, "seconds": elapsed}
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(work(json.loads(sys.stdin.readline())))) + "\n")
