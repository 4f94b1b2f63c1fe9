"""Many clients at once: no deadlock, nothing lost, the effect of some order of their requests (rule 15)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack

import asyncpg
import pytest

from db.database import Connection, connect, translated
from db.errors import RequestError
from tests.db.stage import Stage
from tests.factories import make_instrument
from tests.reference.arena import Arena
from tests.reference.steps import Cast, InsertAndMatch, Place, PlaceAll, Replace, Step
from tests.reference.stories import Storyteller, opening
from tests.reference.terms import SenselessError
from tests.reference.world import LISTINGS, World
from tests.waiting import until

CLIENTS = 8


def story_of_one(seed: int, world: World, client: int, symbols: Sequence[str], steps: int) -> list[Step]:
    """What this client will ask for, as if it were alone; the opening not included."""
    model, cast = world.model(), Cast(world, {}, {})
    story: list[Step] = []
    for step in Storyteller(100 * seed + client, model, cast, teller=f"{client}-", symbols=symbols).tell(
        steps
    ):
        story.append(step)
        try:
            step.ask_model(model, cast)
        except SenselessError:
            continue
    return story[len(opening()) :]


async def ask_all(connection: Connection, world: World, steps: Sequence[Step]) -> dict[str, int]:
    """Send one client's requests, one after another; returns the ids of its orders by label."""
    cast = Cast(world, {}, {})
    for step in steps:
        if not step.possible(cast.in_database):
            continue
        try:
            with translated(connection, "the test's database"):
                await step.ask_database(connection, cast)
        except RequestError:
            continue  # senseless on purpose; a deadlock is no RequestError
    return cast.in_database


async def clients(stack: AsyncExitStack, url: str) -> list[Connection]:
    connections: list[Connection] = []
    for _ in range(CLIENTS):
        connection = await connect(url)
        stack.push_async_callback(connection.close)
        connections.append(connection)
    return connections


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("symbols", [["ACME"], list(LISTINGS)], ids=["one instrument", "four instruments"])
async def test_eight_clients_at_once_leave_the_books_right(
    database_url: str, symbols: list[str], seed: int
) -> None:
    async with AsyncExitStack() as stack:
        connections = await clients(stack, database_url)
        observer = connections[0]
        arena = await Arena.open(observer)
        await arena.play(opening(), verify_every=0)
        world = arena.cast.world
        stories = [story_of_one(seed, world, client, symbols, 60) for client in range(CLIENTS)]

        orders = await asyncio.gather(
            *(ask_all(each, world, story) for each, story in zip(connections, stories, strict=True))
        )

        assert [dict(row) for row in await observer.fetch("select * from verify_ledger()")] == []
        assert (
            await observer.fetch("select from positions group by instrument_id having sum(quantity) <> 0")
            == []
        )
        known = {row["order_id"] for row in await observer.fetch("select order_id from orders")}
        told = {order_id for each in (*orders, arena.cast.in_database) for order_id in each.values()}
        assert known == told, "every order in the table was told to somebody, and every one told is there"
        asked = [step for story in stories for step in story]
        assert any(isinstance(step, InsertAndMatch) for step in asked)
        matches = await observer.fetchval("select count(*) / 2 from trades")
        assert matches > len(arena.model.ledger.trades) // 2, (
            "they were to trade, and not only at the opening"
        )


@pytest.mark.parametrize("seed", range(3))
async def test_orders_sent_at_once_do_what_they_do_one_after_another(database_url: str, seed: int) -> None:
    """Ids are taken under the lock (rule 15), so in one instrument they tell the order to replay."""
    async with AsyncExitStack() as stack:
        connections = await clients(stack, database_url)
        arena = await Arena.open(connections[0])
        await arena.play(opening(), verify_every=0)
        world = arena.cast.world
        stories = [
            list(
                Storyteller(
                    1000 * seed + client,
                    arena.model,
                    arena.cast,
                    teller=f"{client}-",
                    symbols=["ACME"],
                    named=0,
                ).place_only(50)
            )
            for client in range(CLIENTS)
        ]
        steps: dict[str, Place] = {step.label: step for story in stories for step in story}

        placed = await asyncio.gather(
            *(ask_all(each, world, story) for each, story in zip(connections, stories, strict=True))
        )

        in_turn = sorted((order_id, label) for orders in placed for label, order_id in orders.items())
        assert len(in_turn) > CLIENTS * 40
        for order_id, label in in_turn:
            arena.follow(steps[label], order_id)
        await arena.compare()
        await arena.verify()


@pytest.mark.parametrize("request_", ["place", "replace", "batch"])
async def test_accounts_are_locked_in_the_order_of_their_ids(database_url: str, request_: str) -> None:
    """So no two requests wait for each other: who waits for the first account does not hold the second."""
    async with AsyncExitStack() as stack:
        sender, other = (await clients(stack, database_url))[:2]
        arena = await Arena.open(sender)
        await arena.play(opening(), verify_every=0)
        world = arena.cast.world
        first, second = world.accounts["ann"], world.accounts["mia"]
        assert first < second
        await arena.play(
            [
                Place("bid", "ann", "ACME", "buy", "limit", "1", "9.98"),
                Place("ask", "mia", "ACME", "sell", "limit", "1", "10.02"),
            ],
            verify_every=0,
        )
        crossing: Step = {
            "place": Place("hit", "mia", "ACME", "sell", "limit", "1", "9.98"),
            "replace": Replace("ask", price="9.98"),
            "batch": PlaceAll((Place("hit", "mia", "ACME", "sell", "limit", "1", "9.98"),)),
        }[request_]
        await sender.execute("set deadlock_timeout = '10s'")

        async with other.transaction():
            await other.execute("select from accounts where account_id = $1 for no key update", first)
            sent = asyncio.create_task(arena.play([crossing]))
            await until(lambda: waits_for_a_lock(other, sender.get_server_pid()))
            await other.execute("set local lock_timeout = '1s'")
            await other.execute("select from accounts where account_id = $1 for no key update", second)
        await sent


@pytest.mark.parametrize("way", ["batch", "match_pending"])
async def test_a_batch_locks_everyone_whom_a_linked_order_can_meet(stage: Stage, way: str) -> None:
    """In the order of their ids: no stop waits here, but an entry does, and what it fills gets its exits."""
    far, entry, seller = [await stage.margin() for _ in range(3)]
    assert far < entry < seller
    await stage.buy(far, 1, "50")
    await stage.connection.execute(
        "select place_bracket($1, $2, 'limit', 'buy', 1, 100, 120, 60)", entry, stage.instrument
    )
    order = {
        "account_id": seller, "instrument_id": stage.instrument, "order_type": "limit", "side": "sell",
        "quantity": 1, "price": 100,
    }  # fmt: skip
    if way == "match_pending":
        columns = ", ".join(order)
        await stage.connection.execute(
            f"insert into orders ({columns}) values ($1, $2, $3, $4, $5, $6)", *order.values()
        )
    await stage.connection.execute("set deadlock_timeout = '10s'")
    async with stage.database.connection() as other:
        async with other.transaction():
            await other.execute("select from accounts where account_id = $1 for no key update", far)
            sent = asyncio.create_task(
                stage.connection.fetch("select * from place_orders($1::jsonb)", json.dumps([order]))
                if way == "batch"
                else stage.connection.fetch("select match_pending()")
            )
            await until(lambda: waits_for_a_lock(other, stage.connection.get_server_pid()))
            await other.execute("set local lock_timeout = '1s'")
            await other.execute("select from accounts where account_id = $1 for no key update", seller)
        await sent


async def test_a_row_that_is_inserted_meanwhile_takes_no_part(stage: Stage) -> None:
    """Nobody has accepted it: a bracket that has chosen whom to lock does not lock its account as well."""
    inserted, buyer, seller, linked = [await stage.margin() for _ in range(4)]
    assert inserted < buyer < seller
    await stage.sell(seller, 1, "100")
    await stage.connection.execute(
        "select place_trailing_stop($1, $2, 'sell', 1, 5, null, 50)", linked, stage.instrument
    )
    await stage.connection.execute("set deadlock_timeout = '10s'")
    async with stage.database.connection() as holder, holder.transaction():
        await holder.execute("select from accounts where account_id = $1 for no key update", inserted)
        async with stage.database.connection() as other, other.transaction():
            await other.execute("select from accounts where account_id = $1 for no key update", seller)
            sent = asyncio.create_task(
                stage.connection.fetchval(
                    "select place_bracket($1, $2, 'limit', 'buy', 1, 100, 120, 60)", buyer, stage.instrument
                )
            )
            await until(lambda: waits_for_a_lock(other, stage.connection.get_server_pid()))
            await stage.database.execute(
                """insert into orders (account_id, instrument_id, order_type, side, quantity, price)
                   values ($1, $2, 'limit', 'buy', 1, 40)""",
                inserted,
                stage.instrument,
            )
        await until(sent.done)
    assert (await stage.status(await sent))[0] == "filled"
    await stage.connection.execute("select match_pending()")


async def test_who_waits_for_an_instrument_that_is_halted_meanwhile_is_rejected(stage: Stage) -> None:
    """Rules 15 and 24: what counts is how things stand when the lock is had."""
    account, other = await stage.margin(), await stage.margin()
    async with stage.database.connection() as busy, busy.transaction():
        await busy.fetchval("select place_order($1, $2, 'limit', 'buy', 1, 50)", other, stage.instrument)
        sent = asyncio.create_task(stage.buy(account, 1, "60"))
        await until(lambda: waits_for_a_lock(busy, stage.connection.get_server_pid()))
        await busy.execute(
            "update instruments set is_active = false where instrument_id = $1", stage.instrument
        )
    assert (await stage.status(await sent))[0] == "rejected"


async def test_an_old_snapshot_commits_no_margin_twice(stage: Stage) -> None:
    """Rule 22: a transaction that looked before another's order is rejected, or has to begin again."""
    account, elsewhere = await stage.margin("1000"), await make_instrument(stage.database)
    place = "select place_order($1, $2, 'limit', 'buy', 20, 100)"
    with contextlib.suppress(asyncpg.SerializationError):
        async with stage.connection.transaction(isolation="repeatable_read"):
            await stage.connection.fetchval("select count(*) from accounts")
            await stage.database.fetchval(place, account, stage.instrument)
            await stage.connection.fetchval(place, account, elsewhere)
    assert (await stage.summary(account))["available"] == 0


async def waits_for_a_lock(connection: Connection, backend: int) -> bool:
    found: bool = await connection.fetchval("select cardinality(pg_blocking_pids($1)) > 0", backend)
    return found
