"""Every kind of request at once, by 8 and by 64 connections over 20 instruments (rule 15).

PITSIDE_CROWD_REQUESTS says how many requests each crowd sends (1000 by default), PITSIDE_CROWD_SEEDS how many
times (once by default), PITSIDE_FIRST_SEED with which seed it begins. The seed is in the name of the test.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from contextlib import AsyncExitStack

import asyncpg
import pytest

from db.database import Connection, connect
from tests.db.crowd import Crowd
from tests.db.crowd_client import Client
from tests.db.replaying import Replay
from tests.waiting import until

FIRST_SEED = int(os.environ.get("PITSIDE_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("PITSIDE_CROWD_SEEDS", "1"))
REQUESTS = int(os.environ.get("PITSIDE_CROWD_REQUESTS", "1000"))

# Requests that may meet an order whose owner cannot pay for the next fill, and then give way (docs/rules.md).
MAY_GIVE_WAY = {"place rough", "replace rough", "batch", "match_pending"}


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
@pytest.mark.parametrize("connections", [8, 64])
async def test_a_crowd_has_the_effect_of_one_request_after_another(
    database_url: str, connections: int, seed: int
) -> None:
    async with AsyncExitStack() as stack:
        observer = await connect(database_url)
        stack.push_async_callback(observer.close)
        crowd = await Crowd.gather(observer)
        opening = await observer.fetchval("select max(order_id) from orders")
        clients = [
            Client(await connect(database_url), crowd, f"{n}", random.Random(f"{seed}-{n}"))
            for n in range(connections)
        ]
        for client in clients:
            stack.push_async_callback(client.connection.close)

        try:
            await asyncio.gather(*(client.send(max(REQUESTS // connections, 1)) for client in clients))
        except asyncpg.DeadlockDetectedError as error:
            asking = {client.connection.get_server_pid(): client.asking for client in clients}
            pytest.fail(f"{error.detail}\n" + "\n".join(f"{pid}: {asking[pid]}" for pid in pids_in(error)))
        await observer.fetchval("select match_pending()")

        gave_way = Counter(what for client in clients for what in client.gave_way)
        assert set(gave_way) <= MAY_GIVE_WAY, gave_way
        await no_order_is_lost(observer, clients, opening)
        assert [dict(row) for row in await observer.fetch("select * from verify_ledger()")] == []
        await ids_and_times_agree(observer, {order for client in clients for order in client.inserted})

        replayed = crowd.accounts_of("exact", "rough")
        replay = Replay(crowd)
        replay.play(
            await observer.fetch(
                "select * from journal where account_id = any ($1) order by event_id", replayed
            )
        )
        assert await replay.differences(observer, replayed) == []

        outcomes = sum((client.outcomes for client in clients), Counter[str]())
        print(f"seed {seed}, {connections} connections: {dict(outcomes)}, gave way {dict(gave_way)},")  # noqa: T201
        print(f"{replay.requests} requests replayed, {len(replay.model.ledger.trades) // 2} matches")  # noqa: T201
        assert replay.requests > REQUESTS // 3
        assert len(replay.model.ledger.trades) // 2 > REQUESTS // 10, "they were to trade"

        for client in clients:
            await client.connection.close()
        await nobody_waited_in_a_circle(observer)


def pids_in(error: asyncpg.DeadlockDetectedError) -> list[int]:
    """Who waited for whom, by their servers' processes."""
    return sorted({int(pid) for pid in re.findall(r"[Pp]rocess (\d+)", error.detail or "")})


async def no_order_is_lost(observer: Connection, clients: list[Client], opening: int) -> None:
    """What was acknowledged is there with the terms that were asked for; what is there was acknowledged."""
    rows = {
        row["order_id"]: row
        for row in await observer.fetch("select * from orders where order_id > $1", opening)
    }
    told = [*(order for client in clients for order in {*client.placed, *client.linked})]
    assert len(told) == len(set(told)), "nobody was told another's order"
    exits = {order for order, row in rows.items() if row["parent_id"] is not None}
    assert {*told} == {*rows} - exits
    for client in clients:
        for order, request in client.placed.items():
            words = request.words(client.crowd)
            fixed = ("account_id", "instrument_id", "order_type", "side", "time_in_force", "client_order_id")
            assert {word: rows[order][word] for word in fixed} == {word: words[word] for word in fixed}
    untold = await observer.fetch(
        "select order_id from orders o where not exists (select from journal j where j.order_id = o.order_id)"
    )
    assert untold == []


async def ids_and_times_agree(observer: Connection, inserted: set[int]) -> None:
    """Both are taken while the locks are held, so they tell one order, per instrument and per account.

    A row that somebody inserted has taken its id and its time without any lock.
    """
    for table, number, time, per in (
        ("orders", "order_id", "created_at", "account_id"),
        ("orders", "order_id", "created_at", "instrument_id"),
        ("trades", "trade_id", "executed_at", "account_id"),
        ("trades", "trade_id", "executed_at", "instrument_id"),
        ("transactions", "transaction_id", "created_at", "account_id"),
        ("journal", "event_id", "at", "account_id"),
        ("journal", "event_id", "at", "instrument_id"),
    ):
        wrong = await observer.fetch(
            f"""select * from (
                    select {number} as number, {time} as time, {per} as per,
                           lag({time}) over (partition by {per} order by {number}) as before
                    from {table}
                    where {per} is not null and not ($2 and {number} = any ($1))
                ) s
                where time < before""",
            [*inserted],
            table == "orders",
        )
        assert not wrong, f"{table} per {per}: {[tuple(row) for row in wrong]}"


async def nobody_waited_in_a_circle(observer: Connection) -> None:
    """The server's own count; a client's part of it is known when it has gone."""
    await until(
        lambda: observer.fetchval(
            """select count(*) = 0 from pg_stat_activity
               where datname = current_database() and backend_type = 'client backend'
                   and pid <> pg_backend_pid()"""
        )
    )
    assert (
        await observer.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
        == 0
    )
