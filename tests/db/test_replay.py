"""The past as the journal has it: what was seen then is what is rebuilt now.

Stories are played (see tests.reference), and after each step what everybody would have seen is written down.
Afterwards the journal says the same of each of those moments, by time and by event.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack

import asyncpg
import pytest

from db.database import Database, connect
from tests.db.stage import Stage, refused
from tests.db.test_exchange_concurrent import ask_all, story_of_one
from tests.db.watcher import Watcher, exact
from tests.factories import make_account, make_instrument
from tests.reference.arena import Arena
from tests.reference.kept import KEPT
from tests.reference.steps import Step
from tests.reference.stories import Storyteller, opening
from tests.reference.world import LISTINGS, set_up

FIRST_SEED = int(os.environ.get("PITSIDE_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("PITSIDE_SEEDS", "3"))
STEPS = int(os.environ.get("PITSIDE_STEPS", "120"))
MOMENTS = 300
"""Of each story, so many moments are rebuilt, and always the last ones."""


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
async def test_every_moment_of_a_random_story_is_rebuilt(database_url: str, seed: int) -> None:
    connection = await connect(database_url)
    try:
        arena = await Arena.open(connection)
        watcher = Watcher(connection)
        for step in Storyteller(seed, arena.model, arena.cast).tell(STEPS):
            await arena.play([step], verify_every=0)
            await watcher.look()
        await watcher.compare_some(random.Random(seed), MOMENTS)
        assert await connection.fetch("select * from audit_journal()") == []
    finally:
        await connection.close()


@pytest.mark.parametrize("story", KEPT.values(), ids=list(KEPT))
async def test_every_moment_of_a_kept_story_is_rebuilt(database_url: str, story: list[Step]) -> None:
    connection = await connect(database_url)
    try:
        arena = await Arena.open(connection)
        watcher = Watcher(connection)
        for step in story:
            await arena.play([step], verify_every=0)
            await watcher.look()
        await watcher.compare_some(random.Random(0), MOMENTS)
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
async def test_linked_orders_are_rebuilt(database: Database, database_url: str, seed: int) -> None:
    """Pairs, brackets and trailing stops among prints that move them, and part fills."""
    dice = random.Random(seed)
    stage = await Stage.open(database, database_url)
    accounts = [await stage.holder(500, "100"), await stage.margin("100000"), await stage.margin("30000")]
    watcher = Watcher(stage.connection)
    for _ in range(60):
        account, price = dice.choice(accounts), 100 + dice.randint(-8, 8)
        side, other = dice.choice((("buy", 1), ("sell", -1)))
        quantity, market = dice.randint(1, 9), stage.instrument
        request = dice.choice(
            (
                ("place_oco($1, $2, $3, $4, $5, $6)", price - 2 * other, price + 3 * other),
                (
                    "place_bracket($1, $2, 'limit', $3, $4, $5, $6, $7)",
                    price,
                    price + 3 * other,
                    price - 2 * other,
                ),
                ("place_trailing_stop($1, $2, $3, $4, $5)", 2),
                ("place_order($1, $2, 'limit', $3, $4, $5, p_self_trade => 'decrement')", price),
                ("place_order($1, $2, 'limit', $3, $4, $5, p_time_in_force => 'DAY')", price),
                ("place_order($1, $2, 'market', $3, $4)",),
                ("expire_day_orders()",),
                ("replace_order($1, $2)",),
            )
        )
        query, *prices = request
        arguments: tuple[object, ...] = (account, market, side, quantity, *prices)
        if query.startswith("replace"):
            working = "select order_id from orders where status in ('open', 'pending', 'partially_filled')"
            arguments = (
                await stage.connection.fetchval(f"{working} order by random() limit 1") or 1,
                dice.randint(1, 12),
            )
        try:
            await stage.connection.execute(
                f"select {query}", *(() if query.startswith("expire") else arguments)
            )
        except asyncpg.PostgresError as error:
            assert error.sqlstate == "PS001"  # noqa: PT017  a pair whose prices are the wrong way round
        await watcher.look()
    await watcher.compare_some(dice, MOMENTS)
    assert await stage.connection.fetch("select * from audit_journal()") == []
    await stage.close()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + 2))
async def test_an_independent_reader_beside_many_clients(database_url: str, seed: int) -> None:
    """Whoever holds the instruments and accounts still for a moment has seen one that comes back."""
    async with AsyncExitStack() as stack:
        connections = await asyncio.gather(*(connect(database_url) for _ in range(4)))
        for connection in connections:
            stack.push_async_callback(connection.close)
        reader, *others = connections
        world = await set_up(reader)
        await ask_all(reader, world, opening())
        stories = [story_of_one(seed, world, client, list(LISTINGS), 40) for client in range(len(others))]
        writing = asyncio.gather(
            *(ask_all(connection, world, story) for connection, story in zip(others, stories, strict=True))
        )
        watcher = Watcher(reader)
        while not writing.done():
            async with reader.transaction():
                await reader.execute("select from internal.books order by instrument_id for share")
                await reader.execute("select from accounts order by account_id for share")
                await watcher.look()
            # The audit is right about a market that moves.
            assert await reader.fetch("select * from audit_journal()") == []
        await writing
        await watcher.look()
        await watcher.compare_some(random.Random(seed), MOMENTS)
        assert await reader.fetch("select * from audit_journal()") == []


async def test_an_old_snapshot_does_not_fork_the_chain(database: Database, database_url: str) -> None:
    """Of two that would follow the same link one gives way, also where neither changes what is set aside."""
    stage = await Stage.open(database, database_url)
    account, elsewhere = await stage.margin(), await make_instrument(database)
    other = await connect(database_url)
    transaction = other.transaction(isolation="repeatable_read")
    await transaction.start()
    await other.fetchval("select count(*) from journal")
    await stage.sell(account, 1, "120")
    with pytest.raises(asyncpg.SerializationError):
        await other.execute("select place_order($1, $2, 'limit', 'sell', 1, 121)", account, elsewhere)
    await transaction.rollback()
    await other.close()
    assert await stage.connection.fetch("select * from audit_journal()") == []
    await stage.close()


async def test_checkpoints_can_be_thrown_away(database: Database, database_url: str) -> None:
    """With them, without them, and where nothing may be written: the same."""
    stage = await Stage.open(database, database_url)
    account = await stage.margin()
    for n in range(450):
        await stage.buy(account, 1, 50 + n % 7)
        if n % 3 == 0:
            await stage.connection.execute(
                "select cancel_all_orders($1, $2, 'buy')", account, stage.instrument
            )
    span = await stage.connection.fetchrow("select * from account_span($1)", account)
    assert span is not None
    asked = "select account_state($1, p_event_id => $2)"
    numbers = [span["first_event"] + n for n in range(0, span["last_event"] - span["first_event"], 37)]
    book = "select * from book_state($1, p_event_id => $2, p_depth => 50)"

    async with stage.connection.transaction(readonly=True):
        without = [await stage.connection.fetchval(asked, account, number) for number in numbers]
        books = [await stage.connection.fetch(book, stage.instrument, number) for number in numbers]
    assert await stage.connection.fetchval("select count(*) from internal.account_checkpoints") == 0
    assert [await stage.connection.fetchval(asked, account, number) for number in numbers] == without
    assert [await stage.connection.fetch(book, stage.instrument, number) for number in numbers] == books
    assert await stage.connection.fetchval("select count(*) from internal.account_checkpoints") > 0
    made = await stage.connection.fetchval("select rebuild_checkpoints()")
    assert made > 4
    assert await stage.connection.fetchval("select keep_checkpoints()") == 0
    assert [await stage.connection.fetchval(asked, account, number) for number in numbers] == without
    assert [await stage.connection.fetch(book, stage.instrument, number) for number in numbers] == books
    assert await stage.connection.fetch("select * from audit_journal()") == []
    await stage.close()


async def test_the_book_comes_back(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        arena = await Arena.open(connection)
        seen = []
        for step in Storyteller(5, arena.model, arena.cast).tell(STEPS):
            await arena.play([step], verify_every=0)
            at = await connection.fetchval("select clock_timestamp() at time zone 'UTC'")
            seen += [
                (each, at, await connection.fetch("select * from order_book($1, 4)", each))
                for each in arena.cast.world.instruments.values()
            ]
        for instrument, at, rows in seen:
            assert await connection.fetch("select * from book_state($1, $2, 4)", instrument, at) == rows
    finally:
        await connection.close()


async def test_rates_are_those_of_the_moment(database: Database, database_url: str) -> None:
    """A margin account's requirement then is reckoned with the rates, and the type, that it had then."""
    stage = await Stage.open(database, database_url)
    account, other = await stage.margin("10000"), await stage.margin()
    await stage.sell(other, 10, "100")
    await stage.buy(account, 10, "100")
    watcher = Watcher(stage.connection)
    await watcher.look()
    await stage.connection.execute(
        "update margin_schedule set initial_rate = 0.75, maintenance_long_rate = 0.6"
    )
    await watcher.look()
    await stage.connection.execute("update accounts set account_type = 'cash' where account_id = $1", account)
    await watcher.look()
    required = {exact(m["seen"])["initial_margin"] for m in watcher.moments if m["account_id"] == account}
    assert required == {500, 750, 0}
    await watcher.compare(watcher.moments)
    await stage.connection.execute("delete from margin_schedule")
    assert await stage.connection.fetch("select * from audit_journal()") == []
    await stage.connection.execute("insert into margin_schedule values ('margin', 0.50, 0.25, 0.30)")
    await stage.connection.execute(
        "update accounts set account_type = 'margin' where account_id = $1", account
    )
    await stage.close()


async def test_before_and_after_everything(database: Database) -> None:
    account = await make_account(database, cash="12.34")
    before = exact(await database.fetchval("select account_state($1, '2001-01-01')", account))
    assert (before["balance"], before["event_id"], before["orders"]) == (0, None, [])
    after = exact(await database.fetchval("select account_state($1, 'infinity')", account))
    assert (after["balance"], after["transactions"]) == (exact("12.34"), 1)
    kinds = await database.fetch("select kind from account_events($1)", account)
    assert [row["kind"] for row in kinds] == ["opened", "deposit"]


async def test_what_makes_no_sense_is_named(database: Database, database_url: str) -> None:
    stage = await Stage.open(database, database_url)
    account = await stage.cash()
    ask = stage.connection.fetch
    with refused("account_id", "999", code="PS002"):
        await ask("select account_state(999)")
    with refused("account_id", "999", code="PS002"):
        await ask("select * from account_events(999)")
    with refused("at", "null"):
        await ask("select account_state($1, null)", account)
    with refused("event_id", "0", code="PS002"):
        await ask("select account_state($1, p_event_id => 0)", account)
    with refused("limit", "0"):
        await ask("select * from account_events($1, p_limit => 0)", account)
    with refused("instrument_id", "999", code="PS002"):
        await ask("select * from book_state(999)")
    with refused("depth", "0"):
        await ask("select * from book_state($1, p_depth => 0)", stage.instrument)
    with refused("to", "2001-01-01 00:00:00"):
        await ask("select * from account_density($1, '2001-01-01', '2001-01-01')", account)
    with refused("part", "half"):
        await ask("select * from audit_journal($1, p_part => 'half')", account)
    await stage.close()
