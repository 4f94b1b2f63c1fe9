"""The simulated participants on a real exchange: alive, well-behaved, out of the way when asked, gone when
stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from db import instruments, market, orders
from db.database import Database
from db.errors import RequestError
from db.feeds import locks, participants
from db.feeds.lobster import parse
from db.feeds.simulator import Simulation
from db.feeds.tape import play
from db.orders import OrderRequest
from db.settings import SimulationSettings
from tests.db.feeds.watching import has_both_sides, listed, resting, until
from tests.factories import make_account, make_instrument

SETTINGS = SimulationSettings(seed=3, pace=4.0, levels=5, makers=2, takers=2)


@asynccontextmanager
async def running(database: Database, settings: SimulationSettings = SETTINGS) -> AsyncIterator[Simulation]:
    simulation = Simulation(database, settings)
    task = asyncio.create_task(simulation.run())
    try:
        yield simulation
    finally:
        simulation.stop()
        assert await asyncio.wait_for(task, 10) is True


async def trades(database: Database) -> int:
    count: int = await database.fetchval("select count(*) from trades where liquidity = 'taker'")
    return count


async def test_books_fill_trades_print_and_nothing_is_left_behind(database: Database) -> None:
    share = await listed(database, "ACME", "100.00")
    coin = await listed(database, "COIN", "0.00003", tick=None, lot=None)
    unpriced = await make_instrument(database, "NEW")
    async with running(database) as simulation:
        await until(lambda: has_both_sides(database, share))
        await until(lambda: has_both_sides(database, coin))
        book = await market.book(database, share)
        assert Decimal("99.50") < book.bids[0].price < book.asks[0].price < Decimal("100.50")

        async def traded() -> bool:
            return await trades(database) >= 10

        await until(traded)
        assert simulation.activity.rejected == simulation.activity.errors == 0
        assert await resting(database, unpriced) == 0
        again = Simulation(database, SETTINGS)
        assert await asyncio.wait_for(again.run(), 5) is False  # one at a time
    assert await resting(database) == 0
    assert await database.fetch("select * from verify_ledger()") == []
    assert await database.fetchval("select sum(quantity) from positions") == 0


async def test_a_traders_order_inside_the_spread_is_traded_with(database: Database) -> None:
    share = await listed(database, "ACME", "100.00")
    trader = await make_account(database, cash="100000")
    async with running(database):
        await until(lambda: has_both_sides(database, share))
        ticker = (await market.tickers(database))[share]
        assert ticker.ask is not None
        bid = await orders.place(
            database,
            OrderRequest(trader, share, "limit", "buy", Decimal(5), ticker.ask - Decimal("0.01")),
        )

        async def filled() -> bool:
            return (await orders.get(database, bid.order_id)).status == "filled"

        await until(filled)


async def test_a_restart_carries_on_with_the_orders_it_finds(database: Database) -> None:
    share = await listed(database, "ACME", "100.00")
    async with database.transaction() as connection:
        left, gone = [
            await participants.enrol(connection, role, "USD") for role in participants.makers(3)[1:]
        ]

    async def leave(participant: participants.Participant, price: str) -> int:
        order = await orders.place(
            database,
            OrderRequest(participant.account_id, share, "limit", "buy", Decimal(7), Decimal(price)),
        )
        return order.order_id

    good = await leave(left, "99.97")
    exposed = await leave(left, "100.01")
    orphan = await leave(gone, "99.96")  # of a maker that the settings no longer have
    async with running(database, SETTINGS.model_copy(update={"takers": 0})):
        await until(lambda: has_both_sides(database, share))
        assert (await orders.get(database, good)).is_working
        assert (await orders.get(database, exposed)).status == "cancelled"
        assert (await orders.get(database, orphan)).status == "cancelled"


async def test_a_lost_connection_is_survived(database: Database, database_url: str) -> None:
    share = await listed(database, "ACME", "100.00")
    async with (
        await Database.open(database_url, application_name="to be cut", pool_max=2) as own,
        running(own) as simulation,
    ):
        await until(lambda: has_both_sides(database, share))
        cut = await database.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where application_name = 'to be cut'"
        )
        assert cut >= 2
        before = simulation.activity.requests

        async def back() -> bool:
            return simulation.activity.requests > before + 20

        await until(back)
        assert await locks.held_alone(database, locks.SIMULATION)
    assert await resting(database) == 0


async def test_participants_make_room_for_a_tape_and_come_back_where_it_left(database: Database) -> None:
    share = await listed(database, "ACME", "100.00")
    other = await listed(database, "OTHER", "50.00")
    tape = list(
        parse(["1.0,1,1,100,1500000,-1", "1.5,4,1,40,1500000,-1", "2.0,1,2,10,1500100,-1"], "test.csv")
    )
    async with running(database):
        await until(lambda: has_both_sides(database, share))
        instrument = await instruments.by_symbol(database, "ACME")
        seen: list[int] = []

        async def watch() -> None:
            await until(lambda: _is(database, locks.INSTRUMENT, share))
            for _ in range(6):
                seen.append(await resting(database, share))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        report = await play(database, instrument, tape, name="test.csv", speed=1.0)
        await watching
        assert report.filled_named == 1  # nobody else stood in the book
        assert seen == [0] * 6
        assert await resting(database, other) > 0
        await until(lambda: has_both_sides(database, share))
        book = await market.book(database, share)
        assert Decimal("149") < book.bids[0].price < book.asks[0].price < Decimal("151")


async def _is(database: Database, lock_class: int, key: int) -> bool:
    return key in await locks.held_alone(database, lock_class)


async def test_refused_orders_are_borne(database: Database) -> None:
    share = await listed(database, "ACME", "100.00")
    async with running(database) as simulation:
        await until(lambda: has_both_sides(database, share))
        await database.execute(
            "update accounts set status = 'closed' where account_number like 'SIM-TAKER-%'"
        )

        async def refused() -> bool:
            return simulation.activity.rejected >= 2

        await until(refused)
        assert await has_both_sides(database, share)


async def test_an_unknown_symbol_is_refused(database: Database) -> None:
    await listed(database, "ACME", "100.00")
    with pytest.raises(RequestError, match="ACMY"):
        await Simulation(database, SETTINGS, ["ACMY"]).run()
