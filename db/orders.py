"""Orders: placing, changing, cancelling and reading them."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from db.database import ANSWER_TIMEOUT, FIRST_PAUSE, Database, Record
from db.errors import ConnectionLostError, DatabaseError, RequestError
from db.values import exact, exact_or_none

WORKING = ("pending", "open", "partially_filled")
RETURN_WAIT = 30.0  # seconds to wait for the server, to learn what became of an order that was on its way

# A request that gave way to another instead of waiting (docs/rules.md): nothing was done, send it again.
GAVE_WAY = ("55P03", "40001", "40P01")
ATTEMPTS = 10

_COLUMNS = """
    o.order_id, o.account_id, o.instrument_id, i.symbol, o.order_type, o.side, o.quantity, o.filled_quantity,
    o.price, o.stop_price, o.status, o.time_in_force, o.post_only, o.self_trade, o.client_order_id, o.reason,
    o.created_at, o.updated_at, o.filled_at"""
_SELECT = f"select {_COLUMNS} from orders o join instruments i using (instrument_id)"  # noqa: S608
_PLACE = f"""
    with placed as materialized (
        select place_order(
            p_account_id => $1, p_instrument_id => $2, p_order_type => $3, p_side => $4, p_quantity => $5,
            p_price => $6, p_stop_price => $7, p_time_in_force => $8, p_post_only => $9, p_self_trade => $10,
            p_client_order_id => $11
        ) as order_id
    )
    select {_COLUMNS}
    from placed cross join lateral read_order(placed.order_id) o join instruments i using (instrument_id)"""  # noqa: S608

# A server that was only frozen may still have a request before it. Once the process that handles it has
# ended, what is there is final. It is that process if it is older than the request: a new one can have the
# same number.
_END_PROCESS = """
    select coalesce(bool_and(pg_terminate_backend(pid, 5000)), true)
    from pg_stat_activity
    where pid = $1 and pid <> pg_backend_pid() and usename = current_user and datname = current_database()
        and backend_start < clock_timestamp() - make_interval(secs => $2)"""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What to place; words and rules are those of docs/rules.md, prices in the instrument's currency.

    `client_order_id` makes a request repeatable: the same id with the same terms returns the first order
    (rule 5). Without one, `place` makes one up.
    """

    account_id: int
    instrument_id: int
    order_type: str
    side: str
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = "GTC"
    post_only: bool = False
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    def __post_init__(self) -> None:
        exact("quantity", self.quantity)
        exact_or_none("price", self.price)
        exact_or_none("stop_price", self.stop_price)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the database has it. Times are UTC; `reason` says why it was rejected, cancelled or
    expired."""

    order_id: int
    account_id: int
    instrument_id: int
    symbol: str
    order_type: str
    side: str
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: str
    time_in_force: str
    post_only: bool
    self_trade: str
    client_order_id: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    filled_at: datetime | None

    @property
    def remaining(self) -> Decimal:
        """The quantity that has not been filled."""
        return self.quantity - self.filled_quantity

    @property
    def is_working(self) -> bool:
        """Whether it can still fill, or trigger."""
        return self.status in WORKING


@dataclass(frozen=True, slots=True)
class Fill:
    """One match of an order of the account's. `executed_at` is UTC, `liquidity` is `maker` or `taker`."""

    trade_id: int
    order_id: int
    instrument_id: int
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal
    liquidity: str | None
    executed_at: datetime


async def place(db: Database, request: OrderRequest) -> Order:
    """Place an order and return it as it is then: filled, resting, or `rejected` with its reason.

    Raises RequestError for a request that makes no sense. When the connection is lost while the request is on
    its way, waits for the server to come back and finds out: the order is returned if it was placed;
    otherwise ConnectionLostError says that it was not, or that this is unknown. Placing it again with the
    same `client_order_id` can never double it.
    """
    request = with_changes(request, client_order_id=request.client_order_id or str(uuid.uuid4()))
    return await _until_done(lambda: _place_once(db, request))


async def _place_once(db: Database, request: OrderRequest) -> Order:
    sent: tuple[int, float] | None = None  # by which of the server's processes it is handled, and since when
    try:
        async with db.answering(ANSWER_TIMEOUT) as connection:
            sent = connection.get_server_pid(), time.monotonic()
            row = await connection.fetchrow(
                _PLACE,
                request.account_id,
                request.instrument_id,
                request.order_type,
                request.side,
                request.quantity,
                request.price,
                request.stop_price,
                request.time_in_force,
                request.post_only,
                request.self_trade,
                request.client_order_id,
            )
    except ConnectionLostError as loss:
        if sent is None:
            raise
        return await _find_out(db, request, *sent, loss)
    if row is None:
        raise RequestError("order_id", None, "the order was placed, but is not to be seen with this log-in")
    return Order(**row)


async def cancel(db: Database, order_id: int) -> bool:
    """True: it was working and is cancelled now; False: it was final already. Raises RequestError for an
    unknown one."""
    cancelled: bool = await db.fetchval("select cancel_order($1)", order_id, within=ANSWER_TIMEOUT)
    return cancelled


async def cancel_all(
    db: Database, account_id: int, instrument_id: int | None = None, side: str | None = None
) -> int:
    """Cancel the account's working orders, all or those of an instrument or side; returns how many."""
    count: int = await db.fetchval(
        "select cancel_all_orders($1, $2, $3)", account_id, instrument_id, side, within=ANSWER_TIMEOUT
    )
    return count


async def replace(
    db: Database,
    order_id: int,
    *,
    quantity: Decimal | None = None,
    price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> bool:
    """Change a working order's terms; None leaves one as it is. `quantity` is the new total, fills included
    (rule 12).

    False: refused, nothing has changed. Raises RequestError for an unknown order or a term that makes no
    sense.
    """
    terms = (
        exact_or_none("quantity", quantity),
        exact_or_none("price", price),
        exact_or_none("stop_price", stop_price),
    )
    replaced: bool = await _until_done(
        lambda: db.fetchval("select replace_order($1, $2, $3, $4)", order_id, *terms, within=ANSWER_TIMEOUT)
    )
    return replaced


async def get(db: Database, order_id: int) -> Order:
    """The order. Raises RequestError for an unknown one."""
    row = await db.fetchrow(f"{_SELECT} where o.order_id = $1", order_id, within=ANSWER_TIMEOUT)
    if row is None:
        raise RequestError("order_id", order_id, "there is no such order")
    return Order(**row)


async def by_client_order_id(db: Database, account_id: int, client_order_id: str) -> Order | None:
    """The account's order of that client order id, or None."""
    row = await db.fetchrow(
        f"{_SELECT} where o.account_id = $1 and o.client_order_id = $2",
        account_id,
        client_order_id,
        within=ANSWER_TIMEOUT,
    )
    return None if row is None else Order(**row)


async def working(db: Database, account_id: int) -> list[Order]:
    """The account's working orders, oldest first."""
    rows = await db.fetch(
        f"""{_SELECT} where o.account_id = $1 and o.status in ('pending', 'open', 'partially_filled')
        order by o.order_id""",
        account_id,
        within=ANSWER_TIMEOUT,
    )
    return _orders(rows)


async def recent(db: Database, account_id: int, limit: int = 50) -> list[Order]:
    """The account's last `limit` orders, newest first."""
    rows = await db.fetch(
        f"{_SELECT} where o.account_id = $1 order by o.order_id desc limit $2",
        account_id,
        limit,
        within=ANSWER_TIMEOUT,
    )
    return _orders(rows)


async def fills(db: Database, account_id: int, limit: int = 50) -> list[Fill]:
    """The account's last `limit` fills, newest first."""
    rows = await db.fetch(
        """
        select t.trade_id, t.order_id, t.instrument_id, i.symbol, t.side, t.quantity, t.price, t.commission,
            t.liquidity, t.executed_at
        from trades t
        join orders o using (order_id)
        join instruments i on i.instrument_id = t.instrument_id
        where o.account_id = $1 order by t.trade_id desc limit $2""",
        account_id,
        limit,
        within=ANSWER_TIMEOUT,
    )
    return [Fill(**row) for row in rows]


_Result = TypeVar("_Result")


async def _until_done(request: Callable[[], Awaitable[_Result]]) -> _Result:
    """Send a request again as long as it gives way to others."""
    for _attempt in range(ATTEMPTS - 1):
        try:
            return await request()
        except DatabaseError as error:
            if error.sqlstate not in GAVE_WAY:
                raise
        await asyncio.sleep(FIRST_PAUSE * random.random())
    return await request()


def _orders(rows: list[Record]) -> list[Order]:
    return [Order(**row) for row in rows]


async def _find_out(
    db: Database, request: OrderRequest, server_pid: int, sent_at: float, loss: ConnectionLostError
) -> Order:
    """What became of a request that was on its way when the connection broke."""
    client_order_id = request.client_order_id or ""
    deadline = time.monotonic() + RETURN_WAIT
    while True:
        try:
            await db.wait_until_connected(within=max(0.0, deadline - time.monotonic()))
            ended = await db.fetchval(
                _END_PROCESS, server_pid, time.monotonic() - sent_at, within=ANSWER_TIMEOUT
            )
            order = await by_client_order_id(db, request.account_id, client_order_id)
        except ConnectionLostError:
            if time.monotonic() < deadline:
                await asyncio.sleep(FIRST_PAUSE)  # it was back and went again, as while a server recovers
                continue
            ended, order = False, None
        if order is not None:
            return order
        what = "the connection was lost while the order was on its way, and"
        if ended:
            raise ConnectionLostError(f"{what} it was not placed: place it again") from loss
        raise ConnectionLostError(
            f"{what} whether it was placed is unknown. Its client order id is {client_order_id}: placing it "
            "again with that id cannot double it"
        ) from loss
