"""Connections cut, backends terminated and statements cancelled in the middle of requests.

Each request is whole or absent, can be looked up by its client_order_id and sent again, and the books are
right.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest

from db.database import Connection, connect, translated
from db.errors import ConnectionLostError, DatabaseError, RequestError
from tests.db.crowd import CENTS, HOLDERS, LISTINGS, Crowd
from tests.reference import world as small
from tests.reference.arena import Arena
from tests.reference.steps import Cast, Place
from tests.reference.stories import Storyteller, opening
from tests.reference.world import World
from tests.waiting import until

CLIENTS = 6
ORDERS = 60  # of each client
INTERRUPTIONS = 80
QUERY_CANCELED = "57014"


class Client:
    """Sends orders, each until it is known to be there, however often that is interrupted."""

    def __init__(self, url: str, world: World, seed: int, client: int, observer: Connection) -> None:
        self.connection: Connection | None = None
        self.interrupted: Counter[str] = Counter()  # by what became of the request
        self.orders: dict[str, int] = {}  # by client_order_id
        self._url = url
        self._cast = Cast(world, {}, {})
        self._observer = observer
        model = world.model()
        teller = Storyteller(
            10 * seed + client, model, self._cast, teller=f"{client}-", symbols=list(small.LISTINGS), named=1
        )
        self._steps = list(teller.place_only(ORDERS))

    async def send_all(self) -> None:
        """All of them."""
        for step in self._steps:
            await self._send(step)
        if self.connection is not None:
            self.connection.terminate()  # it may be dead already, and then there is nobody to say good-bye to
            self.connection = None

    async def _send(self, step: Place) -> None:
        known: int | None = None
        while True:
            connection = self.connection
            if connection is None or connection.is_closed():
                connection = self.connection = await connect(self._url)
            backend = connection.get_server_pid()
            try:
                with translated(connection, "the test's database"):
                    await step.ask_database(connection, self._cast)
            except RequestError:
                assert known is None, "what was accepted once is not refused the second time"
                return
            except ConnectionLostError:
                # It may still be at work, and then nobody can say yet what became of the request.
                await until(functools.partial(gone, self._observer, backend))
            except DatabaseError as error:
                if error.sqlstate != QUERY_CANCELED:
                    raise
            else:
                order_id = self._cast.in_database[step.label]
                assert known in (None, order_id), "the same request again returns the first order's id"
                assert step.client_order_id is not None
                self.orders[step.client_order_id] = order_id
                return
            found = await self._look_up(step)
            assert known in (None, found), "what was there once stays there"
            known = found
            self.interrupted["whole" if known else "absent"] += 1

    async def _look_up(self, step: Place) -> int | None:
        """The order, if the request was carried out; then with all that belongs to it."""
        row = await self._observer.fetchrow(
            """select o.order_id, o.status, o.filled_quantity,
                      coalesce((select sum(t.quantity) from trades t where t.order_id = o.order_id), 0)
                          as traded,
                      exists (select from journal j where j.order_id = o.order_id) as told
               from orders o where o.account_id = $1 and o.client_order_id = $2""",
            self._cast.world.accounts[step.account],
            step.client_order_id,
        )
        if row is None:
            return None
        assert row["status"] is not None
        assert row["told"]
        assert row["filled_quantity"] == row["traded"]
        order_id: int = row["order_id"]
        return order_id


async def interrupt(way: str, connections: list[Connection], by: Connection, choice: random.Random) -> None:
    """End what one of the clients is doing."""
    busy = [connection for connection in connections if not connection.is_closed()]
    if not busy:
        return
    victim = choice.choice(busy)
    if way == "cut":
        victim.terminate()
    else:
        function = {"terminated": "pg_terminate_backend", "cancelled": "pg_cancel_backend"}[way]
        await by.execute(f"select {function}($1)", victim.get_server_pid())


WAYS = ["cut", "terminated", "cancelled"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_that_is_interrupted_is_whole_or_absent(database_url: str, way: str) -> None:
    async with AsyncExitStack() as stack:
        observers = []
        for _ in range(CLIENTS + 1):
            observers.append(await connect(database_url))
            stack.push_async_callback(observers[-1].close)
        arena = await Arena.open(observers[0])
        await arena.play(opening(), verify_every=0)
        world = arena.cast.world
        clients = [Client(database_url, world, 7, number, observers[number + 1]) for number in range(CLIENTS)]
        choice = random.Random(way)

        work = asyncio.gather(*(client.send_all() for client in clients))
        for _ in range(INTERRUPTIONS):
            await asyncio.sleep(choice.uniform(0, 0.03))
            open_now = [client.connection for client in clients if client.connection is not None]
            await interrupt(way, open_now, observers[0], choice)
        await work

        interrupted = sum((client.interrupted for client in clients), Counter[str]())
        assert interrupted.total() >= 10, interrupted
        orders = {key: order_id for client in clients for key, order_id in client.orders.items()}
        rows = await observers[0].fetch(
            "select client_order_id, order_id from orders where client_order_id is not null"
        )
        assert sorted((row["client_order_id"], row["order_id"]) for row in rows) == sorted(orders.items())
        assert [dict(row) for row in await observers[0].fetch("select * from verify_ledger()")] == []
        assert (
            await observers[0].fetch("select from positions group by instrument_id having sum(quantity) <> 0")
            == []
        )


class Clerk:
    """Sends batches, replaces and payments, each until it is known to be carried out, and then no more."""

    def __init__(self, url: str, crowd: Crowd, number: int, observer: Connection) -> None:
        self.connection: Connection | None = None
        self.interrupted: Counter[str] = Counter()  # by what was asked for, and what became of it
        self._url, self._crowd, self._number, self._observer = url, crowd, number, observer
        self._random = random.Random(number)
        self._orders: list[int] = []

    async def work(self, rounds: int) -> None:
        """So many times each."""
        for turn in range(rounds):
            await self._batch(f"{self._number}-{turn}")
            await self._replace(turn)
            await self._pay(f"{self._number}-{turn}")
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None

    async def _carry_out(self, what: str, query: str, *arguments: Any, done: Callable[[], Any]) -> None:
        """`done` looks whether it was carried out, and that it was not carried out by half."""
        while True:
            if self.connection is None or self.connection.is_closed():
                self.connection = await connect(self._url)
            backend = self.connection.get_server_pid()
            try:
                with translated(self.connection, "the test's database"):
                    await self.connection.fetch(query, *arguments)
            except ConnectionLostError:
                await until(functools.partial(gone, self._observer, backend))
            except DatabaseError as error:
                if error.sqlstate != QUERY_CANCELED:
                    raise
            else:
                assert await done(), f"{what}: the answer has come, and so it is done"
                return
            whole = await done()
            self.interrupted[f"{what} {'whole' if whole else 'absent'}"] += 1
            if whole:
                return

    async def _batch(self, name: str) -> None:
        holders = [n for n, holder in enumerate(HOLDERS) if holder.economy == "exact"]
        instruments = [n for n, listing in enumerate(LISTINGS) if listing.economy == "exact"]
        elements = [
            {
                "account_id": self._crowd.accounts[self._random.choice(holders)],
                "instrument_id": self._crowd.instruments[self._random.choice(instruments)],
                "order_type": "limit",
                "side": self._random.choice(("buy", "sell")),
                "quantity": self._random.randint(1, 5),
                "price": self._random.choice(CENTS[2]),
                "client_order_id": f"{name}-{element}",
            }
            for element in range(8)
        ]
        names = [element["client_order_id"] for element in elements]

        async def done() -> bool:
            rows = await self._observer.fetch(
                """select order_id, exists (select from journal j where j.order_id = o.order_id) as told
                   from orders o where client_order_id = any ($1)""",
                names,
            )
            assert len(rows) in (0, len(elements)), "a batch is one transaction"
            assert all(row["told"] for row in rows)
            self._orders += [row["order_id"] for row in rows if row["order_id"] not in self._orders]
            return bool(rows)

        await self._carry_out(
            "batch", "select * from place_orders($1::jsonb)", json.dumps(elements), done=done
        )

    async def _replace(self, turn: int) -> None:
        """To a price that nothing else has, so that the order itself tells."""
        order, price = self._orders[-1 - turn % 8], Decimal("8.00") + Decimal(turn) / 100
        if await self._observer.fetchval("select side from orders where order_id = $1", order) == "sell":
            price += 4
        last = await self._observer.fetchval("select max(event_id) from journal")

        async def done() -> bool:
            row = await self._observer.fetchrow(
                """select o.price, array(select j.kind from journal j where j.order_id = o.order_id
                                         and j.event_id > $2 and j.kind like 'replace%') as told
                   from orders o where order_id = $1""",
                order,
                last,
            )
            assert row is not None
            assert (row["price"] == price) == (row["told"] == ["replaced"])
            assert len(row["told"]) <= 1
            return bool(row["told"])

        await self._carry_out("replace", "select replace_order($1, p_price => $2)", order, price, done=done)

    async def _pay(self, name: str) -> None:
        account = self._crowd.accounts[self._random.randrange(len(HOLDERS))]

        async def done() -> bool:
            paid = await self._observer.fetchval(
                """select count(*) from transactions t
                   where description = $1 and exists (
                       select from journal j
                       where j.account_id = t.account_id and j.detail ->> 'description' = $1)""",
                name,
            )
            assert paid in (0, 1)
            return bool(paid)

        await self._carry_out("payment", "select deposit($1, 0.01, $2)", account, name, done=done)


async def gone(observer: Connection, backend: int) -> bool:
    """Whether a server's process has ended, and with it what it was doing."""
    return not await observer.fetchval("select exists (select from pg_stat_activity where pid = $1)", backend)


@pytest.mark.parametrize("way", WAYS)
async def test_batches_replaces_and_payments_are_whole_or_absent(database_url: str, way: str) -> None:
    async with AsyncExitStack() as stack:
        observers = []
        for _ in range(CLIENTS + 1):
            observers.append(await connect(database_url))
            stack.push_async_callback(observers[-1].close)
        crowd = await Crowd.gather(observers[0])
        clerks = [Clerk(database_url, crowd, number, observers[number + 1]) for number in range(CLIENTS)]
        choice = random.Random(way)

        work = asyncio.gather(*(clerk.work(16) for clerk in clerks))
        while not work.done():
            await asyncio.sleep(choice.uniform(0, 0.03))
            open_now = [clerk.connection for clerk in clerks if clerk.connection is not None]
            await interrupt(way, open_now, observers[0], choice)
            if sum(clerk.interrupted.total() for clerk in clerks) >= INTERRUPTIONS:
                break
        await work

        interrupted = sum((clerk.interrupted for clerk in clerks), Counter[str]())
        assert interrupted.total() >= 10, interrupted
        assert [dict(row) for row in await observers[0].fetch("select * from verify_ledger()")] == []
