"""What a trader asks of the exchange, and what is answered; nothing that the database refuses is raised."""

from __future__ import annotations

from collections.abc import Awaitable
from decimal import Decimal

from db import orders
from db.accounts import Account
from db.database import Database
from db.errors import ConnectionLostError, PitsideError, RequestError
from terminal import answers
from terminal.state import Answer, OrderEntry

FILLS_READ = 100
"""How many of the account's last fills are looked through for those of an order."""


async def answered(request: Awaitable[Answer]) -> Answer:
    """The answer of a request, its failure included."""
    try:
        return await request
    except RequestError as error:
        return Answer("error", str(error), error.field)
    except ConnectionLostError as error:
        return Answer("unknown", str(error))
    except PitsideError as error:
        return Answer("error", str(error))


async def place(db: Database, account: Account, entry: OrderEntry) -> Answer:
    """Place an order."""
    order = await orders.place(
        db,
        orders.OrderRequest(
            account_id=account.account_id,
            instrument_id=entry.instrument.instrument_id,
            order_type=entry.order_type,
            side=entry.side,
            quantity=entry.quantity,
            price=entry.price,
            time_in_force=entry.time_in_force,
        ),
    )
    fills: list[orders.Fill] = []
    if order.filled_quantity:
        try:
            recent = await orders.fills(db, account.account_id, FILLS_READ)
        except ConnectionLostError:
            recent = []  # the order is known; its average price is told when the fills are read again
        fills = [fill for fill in recent if fill.order_id == order.order_id]
    return answers.of_order(order, fills, entry.instrument)


async def cancel(db: Database, order_id: int) -> Answer:
    """Cancel one order."""
    if await orders.cancel(db, order_id):
        return Answer("cancelled", f"Order {order_id} is cancelled")
    return Answer("rejected", f"Order {order_id} was done already, there was nothing left to cancel")


async def cancel_all(db: Database, account: Account) -> Answer:
    """Cancel every working order of the account."""
    count = await orders.cancel_all(db, account.account_id)
    return Answer("cancelled", f"{count} order{'s' * (count != 1)} cancelled")


async def reduce(db: Database, order_id: int, quantity: Decimal) -> Answer:
    """Give an order a smaller total quantity."""
    if await orders.replace(db, order_id, quantity=quantity):
        return Answer("accepted", f"Order {order_id} is reduced to {quantity.normalize():f}")
    return Answer("rejected", f"Order {order_id} was not changed: it has filled that far, or is done")
