"""Many orders in one transaction: place_orders, with the outcome of one by one, and match_pending, for rows
that somebody inserted."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from db.database import Database, connect
from tests.db.stage import Stage
from tests.factories import make_account, make_instrument

Element = dict[str, Any]
NUMBERS = ("quantity", "price", "stop_price")


@pytest.fixture
async def stage(database: Database, database_url: str) -> AsyncIterator[Stage]:
    stage = await Stage.open(database, database_url)
    yield stage
    await stage.close()


async def batch(stage: Stage, elements: Any) -> list[tuple[int, int | None, str, str | None]]:
    rows = await stage.connection.fetch("select * from place_orders($1::jsonb)", json.dumps(elements))
    return [tuple(row) for row in rows]


async def one(stage: Stage, element: Element) -> None:
    """The same by place_order; what makes no sense is an error there."""
    terms = {word: Decimal(str(value)) if word in NUMBERS else value for word, value in element.items()}
    words = ", ".join(f"p_{word} => ${number}" for number, word in enumerate(terms, 1))
    try:
        await stage.connection.fetchval(f"select place_order({words})", *terms.values())
    except asyncpg.PostgresError as error:
        if error.sqlstate != "PS001":
            raise


def limit(account: int, instrument: int, side: str, quantity: Any, price: Any, **terms: Any) -> Element:
    return {
        "account_id": account,
        "instrument_id": instrument,
        "order_type": "limit",
        "side": side,
        "quantity": quantity,
        "price": price,
    } | terms


async def test_a_batch_is_placed_in_array_order(stage: Stage) -> None:
    """The rows show the orders as they are when the batch is done."""
    seller, buyer = await stage.margin(), await stage.cash("1000")
    rows = await batch(
        stage,
        [
            limit(seller, stage.instrument, "sell", 5, "100.00"),
            limit(buyer, stage.instrument, "buy", "3", 100),
            limit(buyer, stage.instrument, "buy", 100, 100),
        ],
    )
    assert [(row[0], row[2]) for row in rows] == [(1, "partially_filled"), (2, "filled"), (3, "rejected")]
    assert rows[2][3] == "insufficient funds: 10000.00 needed, 700.00 available"
    assert await stage.asks() == [("100.00", 2)]


async def test_a_senseless_element_is_told_and_spoils_no_other(stage: Stage) -> None:
    account = await stage.margin()
    good = limit(account, stage.instrument, "buy", 1, 100)
    bad: list[tuple[Any, str]] = [
        (1, "order 1: is no object"),
        (good | {"iceberg": True}, "iceberg true: is no term of an order"),
        (good | {"account_id": "x"}, "account_id x: is not of its type"),
        (good | {"account_id": 999}, "account_id 999: there is no such account"),
        ({k: v for k, v in good.items() if k != "account_id"}, "account_id null: there is no such account"),
        (good | {"instrument_id": 999}, "instrument_id 999: there is no such instrument"),
        (good | {"price": "1.001"}, "price 1.001: is not a multiple of the tick size 0.01"),
        (good | {"quantity": "many"}, "quantity many: is not of its type"),
        (good | {"post_only": "perhaps"}, "post_only perhaps: is not of its type"),
        (good | {"side": "a very long side indeed"}, "side a very long side indeed: is too long"),
        (good | {"order_type": "iceberg"}, "order_type iceberg: is no order type"),
    ]
    rows = await batch(stage, [element for wrong, _ in bad for element in (wrong, good)])
    assert [(row[1], row[2], row[3]) for row in rows[::2]] == [(None, "error", reason) for _, reason in bad]
    assert {row[2] for row in rows[1::2]} == {"open"}
    assert await stage.bids() == [("100.00", len(bad))]


@pytest.mark.parametrize("what", [None, {}, 5, "x"])
async def test_what_is_no_array_is_an_error(stage: Stage, what: Any) -> None:
    with pytest.raises(Exception, match="is no array"):
        await batch(stage, what)
    assert await batch(stage, []) == []


async def test_ids_are_idempotent_within_and_across_batches(stage: Stage) -> None:
    """Rule 5."""
    account = await stage.margin()
    one = limit(account, stage.instrument, "buy", 1, 100, client_order_id="a")
    rows = await batch(
        stage, [one, one, one | {"price": 101}, limit(account, stage.instrument, "buy", 1, 99)]
    )
    assert rows[0][1] == rows[1][1]
    assert (rows[2][1], rows[2][2]) == (None, "error")
    assert "with other terms" in (rows[2][3] or "")
    assert rows[3][2] == "open"
    assert (await batch(stage, [one]))[0][1] == rows[0][1]


def random_orders(rng: random.Random, count: int, accounts: int, instruments: int) -> list[Element]:
    """Orders of all types around one price; accounts and instruments by their number from 0."""
    orders = []
    for _ in range(count):
        kind = rng.choices(["limit", "market", "stop", "stop_limit"], [12, 3, 2, 2])[0]
        order: Element = {
            "account_id": rng.randrange(accounts),
            "instrument_id": rng.randrange(instruments),
            "order_type": kind,
            "side": rng.choice(["buy", "sell"]),
            "quantity": rng.randint(1, 20),
            "self_trade": rng.choice(["cancel_newest", "cancel_oldest", "cancel_both", "decrement"]),
            "time_in_force": rng.choices(["GTC", "DAY", "IOC", "FOK"], [8, 2, 2, 1])[0],
        }
        if kind in ("limit", "stop_limit"):
            order["price"] = f"{100 + rng.randint(-8, 8) / 4:.2f}"
            order["post_only"] = order["time_in_force"] in ("GTC", "DAY") and rng.random() < 0.1
        if kind in ("stop", "stop_limit"):
            order["stop_price"] = f"{100 + rng.randint(-8, 8) / 4:.2f}"
        if rng.random() < 0.03:
            order["quantity"] = rng.choice(["1.5", 0, -3])
        orders.append(order)
    return orders


class World:
    """Instruments and accounts that start alike wherever they are made."""

    def __init__(self, instruments: list[int], accounts: list[int]) -> None:
        self.instruments, self.accounts = instruments, accounts

    @classmethod
    async def make(cls, database: Database) -> World:
        instruments = [await make_instrument(database) for _ in range(3)]
        kinds = [
            ("cash", "5000"),
            ("cash", "50000"),
            ("margin", "2000"),
            ("margin", "1000000"),
            ("margin", "500000"),
        ]
        return cls(
            instruments, [await make_account(database, cash, account_type=kind) for kind, cash in kinds]
        )

    def ours(self, order: Element) -> Element:
        return order | {
            "account_id": self.accounts[order["account_id"]],
            "instrument_id": self.instruments[order["instrument_id"]],
        }

    async def seen(self, stage: Stage) -> list[list[tuple[Any, ...]]]:
        """Everything that came of it, without the ids and times that differ between two worlds."""
        queries = [
            """select array_position($2, account_id), array_position($1, instrument_id), order_type, side,
                      quantity, filled_quantity, price, stop_price, status, reason, reserved
               from orders where account_id = any ($2) order by order_id""",
            """select array_position($2, t.account_id), t.side, t.quantity, t.price, t.commission, t.liquidity
               from trades t where t.instrument_id = any ($1) order by t.trade_id""",
            """select array_position($2, account_id), array_position($1, instrument_id), quantity, cost,
                      realized_pnl, average_price
               from positions where account_id = any ($2) order by 1, 2""",
            """select array_position($2, account_id), balance, reserved, commissions from accounts
               where account_id = any ($2) order by 1""",
        ]
        tables = [
            await stage.connection.fetch(query, self.instruments, self.accounts) for query in queries[:3]
        ]
        tables.append(await stage.connection.fetch(queries[3].replace("$2", "$1"), self.accounts))
        return [
            [
                tuple(re.sub(r"order \d+|SYM\d+", "…", v) if isinstance(v, str) else v for v in row)
                for row in table
            ]
            for table in tables
        ]


@pytest.mark.parametrize("seed", range(int(os.environ.get("PITSIDE_BATCH_SEEDS", "8"))))
async def test_a_batch_has_the_outcome_of_one_by_one(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    await stage.fees("cash", "0.001", "0.002")
    together, apart = await World.make(stage.database), await World.make(stage.database)
    for _ in range(4):
        orders = random_orders(rng, rng.choice([1, 10, 60]), 5, 3)
        await batch(stage, [together.ours(order) for order in orders])
        for order in orders:
            await one(stage, apart.ours(order))
        assert await together.seen(stage) == await apart.seen(stage), f"seed {seed}"


async def test_batches_of_many_clients_leave_the_books_right(stage: Stage, database_url: str) -> None:
    """No deadlock, and no order is lost: all locks are taken in one order."""
    world = await World.make(stage.database)

    async def client(seed: int) -> int:
        rng = random.Random(seed)
        connection = await connect(database_url)
        placed = 0
        for _ in range(6):
            orders = [world.ours(order) for order in random_orders(rng, 20, 5, 3)]
            rows = await connection.fetch("select * from place_orders($1::jsonb)", json.dumps(orders))
            placed += sum(row["order_id"] is not None for row in rows)
        await connection.close()
        return placed

    placed = sum(await asyncio.gather(*(client(seed) for seed in range(8))))
    assert await stage.connection.fetchval("select count(*) from orders") == placed


async def insert(
    stage: Stage, account: int | None, side: str, quantity: str, price: str | None, kind: str = "limit"
) -> int:
    order: int = await stage.connection.fetchval(
        "insert into orders (account_id, instrument_id, order_type, side, quantity, price) values ($1, $2, $3, $4, $5::text::numeric, $6::text::numeric) returning order_id",  # noqa: E501
        account,
        stage.instrument,
        kind,
        side,
        quantity,
        price,
    )
    return order


async def test_rows_inserted_as_pending_are_matched_in_id_order(stage: Stage) -> None:
    seller, buyer = await stage.margin(), await stage.cash("1000")
    sell = await insert(stage, seller, "sell", "5", "100")
    buy = await insert(stage, buyer, "buy", "3", "101")
    market = await insert(stage, buyer, "buy", "1", None, "market")
    assert await stage.asks() == []
    assert await stage.connection.fetchval("select match_pending()") == 3
    assert await stage.status(sell) == ("partially_filled", 4)
    assert await stage.status(buy) == ("filled", 3)
    assert await stage.status(market) == ("filled", 1)
    assert await stage.connection.fetchval("select match_pending()") == 0


async def test_inserted_rows_are_held_by_the_same_rules(stage: Stage) -> None:
    poor = await stage.cash("10")
    broke = await insert(stage, poor, "buy", "1", "100")
    odd = await insert(stage, poor, "buy", "1", "0.001")
    nobody = await insert(stage, None, "buy", "1", "1")
    stop = await stage.connection.fetchval(
        """insert into orders (account_id, instrument_id, order_type, side, quantity, stop_price)
           values ($1, $2, 'stop', 'buy', 1, 5) returning order_id""",
        poor,
        stage.instrument,
    )
    assert await stage.connection.fetchval("select match_pending()") == 3
    assert "insufficient funds" in await stage.reason(broke)
    assert await stage.reason(odd) == "price 0.001: is not a multiple of the tick size 0.01"
    assert await stage.reason(nobody) == "account_id null: is missing"
    assert await stage.status(stop) == ("pending", 0)
    await stage.connection.execute("delete from orders where order_id = $1", stop)
