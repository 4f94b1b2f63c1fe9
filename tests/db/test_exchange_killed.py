"""Connections cut, backends terminated and statements cancelled in the middle of requests.

Each request is whole or absent, can be looked up by its client_order_id and sent again, and the books are
right.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from db.database import Connection, connect, translated
from db.errors import ConnectionLostError, DatabaseError, RequestError
from tests.reference.arena import Arena
from tests.reference.steps import Cast, Place
from tests.reference.stories import Storyteller, opening
from tests.reference.world import LISTINGS, World
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
            10 * seed + client, model, self._cast, teller=f"{client}-", symbols=list(LISTINGS), named=1
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
                await until(functools.partial(self._is_gone, backend))
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

    async def _is_gone(self, backend: int) -> bool:
        return not await self._observer.fetchval(
            "select exists (select from pg_stat_activity where pid = $1)", backend
        )

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


@pytest.mark.parametrize("way", ["cut", "terminated", "cancelled"])
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
