"""A stage for scenarios: one instrument, a few accounts, and the SQL interface in the words of a trader.

    stage = await Stage.open(database)
    alice, bob = await stage.cash("10000"), await stage.margin()
    order = await stage.sell(bob, 10, "100.00")
    assert await stage.asks() == [("100.00", 10)]

It calls the SQL functions themselves, as any client may, and not through db.orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

import asyncpg
import pytest

from db.database import Database, connect
from tests.factories import make_account, make_instrument

Record = asyncpg.Record
Number = int | str | Decimal


class Stage:
    """One instrument and the accounts that trade in it. `on` says in which instrument; by default its own."""

    def __init__(self, database: Database, connection: asyncpg.Connection[Record], instrument: int) -> None:
        self.database = database
        self.connection = connection
        self.instrument = instrument

    @classmethod
    async def open(
        cls, database: Database, url: str, *, tick: str | None = "0.01", lot: str | None = "1"
    ) -> Self:
        return cls(database, await connect(url), await make_instrument(database, tick=tick, lot=lot))

    async def close(self) -> None:
        """Every story ends with its books looked through."""
        broken = await self.connection.fetch("select * from verify_ledger()")
        await self.connection.close()
        assert not broken, [dict(row) for row in broken]

    # Who is there

    async def cash(self, money: str = "1000000") -> int:
        return await make_account(self.database, cash=money)

    async def margin(self, money: str = "1000000") -> int:
        return await make_account(self.database, cash=money, account_type="margin")

    async def holder(self, quantity: Number, price: Number = "1", money: str = "1000000") -> int:
        """A cash account that has bought `quantity` at `price` from somebody else."""
        account, seller = await self.cash(money), await self.margin("100000000")
        await self.sell(seller, quantity, price)
        await self.buy(account, quantity, price)
        return account

    async def fees(self, account_type: str, maker: str, taker: str) -> None:
        await self.connection.execute(
            """insert into fee_schedule values ($1, $2, $3)
               on conflict (account_type) do update set maker_rate = $2, taker_rate = $3""",
            account_type,
            Decimal(maker),
            Decimal(taker),
        )

    # What they do

    async def place(
        self,
        account: int,
        side: str,
        quantity: Number | None,
        price: Number | None = None,
        *,
        stop: Number | None = None,
        kind: str | None = None,
        tif: str | None = "GTC",
        post_only: bool | None = False,
        self_trade: str | None = "cancel_newest",
        client: str | None = None,
        on: int | None = None,
    ) -> int:
        if kind is None:
            kind = (
                ("stop_limit" if stop else "limit") if price is not None else ("stop" if stop else "market")
            )
        order_id: int = await self.connection.fetchval(
            "select place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            account,
            self.instrument if on is None else on,
            kind,
            side,
            number(quantity),
            number(price),
            number(stop),
            tif,
            post_only,
            self_trade,
            client,
        )
        return order_id

    async def buy(
        self, account: int, quantity: Number | None, price: Number | None = None, **terms: Any
    ) -> int:
        return await self.place(account, "buy", quantity, price, **terms)

    async def sell(
        self, account: int, quantity: Number | None, price: Number | None = None, **terms: Any
    ) -> int:
        return await self.place(account, "sell", quantity, price, **terms)

    async def cancel(self, order_id: int) -> bool:
        return bool(await self.connection.fetchval("select cancel_order($1)", order_id))

    async def replace(
        self,
        order_id: int,
        quantity: Number | None = None,
        price: Number | None = None,
        stop: Number | None = None,
    ) -> bool:
        return bool(
            await self.connection.fetchval(
                "select replace_order($1, $2, $3, $4)",
                order_id,
                number(quantity),
                number(price),
                number(stop),
            )
        )

    async def print_at(self, price: Number, quantity: Number = 1) -> None:
        """A trade at this price between two accounts that play no other part."""
        buyer, seller = await self.margin("100000000"), await self.margin("100000000")
        await self.sell(seller, quantity, price)
        await self.buy(buyer, quantity, price)

    # What one sees

    async def order(self, order_id: int) -> Record:
        row = await self.connection.fetchrow("select * from orders where order_id = $1", order_id)
        assert row is not None
        return row

    async def status(self, order_id: int) -> tuple[str, Decimal | int]:
        """Status and filled quantity."""
        row = await self.order(order_id)
        return row["status"], row["filled_quantity"].normalize()

    async def reason(self, order_id: int) -> str:
        return (await self.order(order_id))["reason"] or ""

    async def bids(self) -> list[tuple[str, int | Decimal]]:
        return await self._side("buy")

    async def asks(self) -> list[tuple[str, int | Decimal]]:
        return await self._side("sell")

    async def _side(self, side: str) -> list[tuple[str, int | Decimal]]:
        rows = await self.connection.fetch(
            "select * from order_book($1, 100) where side = $2", self.instrument, side
        )
        return [(f"{row['price']:.2f}", row["quantity"]) for row in rows]

    async def trades(self) -> list[tuple[int, int, Decimal | int, Decimal | int]]:
        """(maker's order, taker's order, quantity, price) of each match, in order."""
        rows = await self.connection.fetch(
            """select m.order_id as maker, t.order_id as taker, t.quantity, t.price
               from trades m join trades t using (match_id)
               where m.liquidity = 'maker' and t.liquidity = 'taker' and m.instrument_id = $1
               order by m.trade_id""",
            self.instrument,
        )
        return [(r["maker"], r["taker"], r["quantity"].normalize(), r["price"].normalize()) for r in rows]

    async def balance(self, account: int) -> Decimal:
        value: Decimal = await self.connection.fetchval(
            "select balance from accounts where account_id = $1", account
        )
        return value

    async def summary(self, account: int) -> Record:
        row = await self.connection.fetchrow("select * from account_summary($1)", account)
        assert row is not None
        return row

    async def position(self, account: int) -> Record:
        row = await self.connection.fetchrow(
            "select * from positions where account_id = $1 and instrument_id = $2", account, self.instrument
        )
        assert row is not None
        return row

    async def journal(self, order_id: int) -> list[str]:
        rows = await self.connection.fetch(
            "select kind from journal where order_id = $1 order by event_id", order_id
        )
        return [row["kind"] for row in rows]

    async def counts(self) -> dict[str, int]:
        """How many rows each table of the engine has: what 'records nothing' is measured by."""
        names = ("orders", "trades", "transactions", "journal", "quotes", "positions", "market_data")
        return {name: await self.connection.fetchval(f"select count(*) from {name}") for name in names}


def number(value: Number | None) -> Decimal | None:
    return None if value is None else Decimal(value)


class refused:  # noqa: N801 - reads as a sentence: with refused("price", "100.001")
    """The request is an error of rule 4 that names this field and value; nothing is recorded."""

    def __init__(self, field: str, value: str | None = None, *, code: str = "PS001") -> None:
        self.field, self.value, self.code = field, value, code

    def __enter__(self) -> None:
        self.raises = pytest.raises(asyncpg.PostgresError)
        self.caught = self.raises.__enter__()

    def __exit__(self, *exc: Any) -> bool:
        handled = bool(self.raises.__exit__(*exc))
        if handled:
            error = self.caught.value
            assert (error.sqlstate, error.column_name) == (self.code, self.field), error
            assert self.value is None or error.detail == self.value, error
            assert error.message.startswith(f"{self.field} ")
            assert error.hint
        return handled
