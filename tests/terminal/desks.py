"""A desk on the real exchange, with a small market to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from db import orders
from db.database import Database
from db.orders import OrderRequest
from terminal.desk import Desk
from terminal.state import DeskState, Notice, OrderEntry, Side

D = Decimal
PATIENCE = 10.0
NAME = "pitside desk under test"


@dataclass
class Market:
    """One instrument, the trader's account and somebody else's, both with shares and cash."""

    database: Database
    url: str
    acme: int
    mine: int
    other: int

    async def quote(self, side: Side, quantity: str, price: str) -> int:
        """The other one's resting order."""
        placed = await orders.place(
            self.database, OrderRequest(self.other, self.acme, "limit", side, D(quantity), D(price))
        )
        assert placed.status in ("open", "filled", "partially_filled")
        return placed.order_id


@dataclass
class Running:
    """A desk that runs, and what it has told."""

    desk: Desk
    task: asyncio.Task[None]
    notices: list[Notice] = field(default_factory=list)
    states: list[DeskState] = field(default_factory=list)

    async def until(self, holds: Callable[[Any], Any]) -> DeskState:
        """Wait for a state of which that holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds(self.desk.state):
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.01)
        return self.desk.state

    def entry(self, side: Side, quantity: str, price: str | None, tif: str = "GTC") -> OrderEntry:
        """An order for what is looked at."""
        assert self.desk.state.instrument is not None
        kind = "limit" if price else "market"
        limit = D(price) if price else None
        return OrderEntry(self.desk.state.instrument, side, kind, D(quantity), limit, tif)


@asynccontextmanager
async def running(url: str, *, wait: bool = True, **options: Any) -> AsyncIterator[Running]:
    """A desk on that database."""
    desk = Desk(lambda: Database.open(url, application_name=NAME), poll_interval=0.02, **options)
    run = Running(desk, asyncio.create_task(desk.run()))
    desk.listen(run.states.append, run.notices.append)
    try:
        if wait:
            await run.until(lambda state: state.connection.status == "live")
        yield run
    finally:
        if not run.task.done():
            run.task.cancel()
            with suppress(asyncio.CancelledError):
                await run.task
