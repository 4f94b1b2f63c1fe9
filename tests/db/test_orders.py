from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from db import accounts, orders
from db.database import ConnectionState, Database
from db.errors import ConnectionLostError, DatabaseError, RequestError
from db.orders import OrderRequest
from tests.factories import make_account, make_instrument
from tests.proxy import Proxy
from tests.waiting import until


class Market:
    """One instrument, a seller who trades on margin, and a buyer with 10,000 in cash."""

    def __init__(self, db: Database, like: Market | None = None) -> None:
        self.db = db
        self.instrument: int = like.instrument if like else 0
        self.seller: int = like.seller if like else 0
        self.buyer: int = like.buyer if like else 0

    async def place(self, account_id: int, side: str, quantity: str, price: str | None) -> orders.Order:
        return await orders.place(
            self.db,
            OrderRequest(
                account_id,
                self.instrument,
                "market" if price is None else "limit",
                side,
                Decimal(quantity),
                None if price is None else Decimal(price),
                time_in_force="IOC" if price is None else "GTC",
            ),
        )


@pytest.fixture
async def market(database: Database) -> Market:
    made = Market(database)
    made.instrument = await make_instrument(database, "ACME")
    made.seller = await make_account(database, cash="1000000", account_type="margin")
    made.buyer = await make_account(database, cash="10000")
    return made


async def test_an_order_comes_back_as_it_rests(market: Market) -> None:
    order = await market.place(market.buyer, "buy", "10", "99.50")
    assert (order.symbol, order.side, order.status, order.price) == ("ACME", "buy", "open", Decimal("99.50"))
    assert (order.remaining, order.is_working) == (Decimal(10), True)
    assert order.client_order_id
    assert await orders.get(market.db, order.order_id) == order
    assert await orders.working(market.db, market.buyer) == [order]


async def test_an_order_comes_back_with_what_it_has_filled(market: Market) -> None:
    await market.place(market.seller, "sell", "4", "100")
    order = await market.place(market.buyer, "buy", "10", "101")
    assert (order.status, order.filled_quantity, order.remaining) == (
        "partially_filled",
        Decimal(4),
        Decimal(6),
    )

    (fill,) = await orders.fills(market.db, market.buyer)
    assert (fill.order_id, fill.side, fill.quantity, fill.price) == (
        order.order_id,
        "buy",
        Decimal(4),
        Decimal(100),
    )
    assert fill.liquidity == "taker"
    (position,) = await accounts.positions(market.db, market.buyer)
    assert (position.symbol, position.quantity, position.average_price) == ("ACME", Decimal(4), Decimal(100))


async def test_a_refused_order_is_returned_with_its_reason(market: Market) -> None:
    order = await market.place(market.buyer, "buy", "1000", "100")
    assert order.status == "rejected"
    assert order.reason
    assert not order.is_working


@pytest.mark.parametrize(
    ("quantity", "price", "field", "value"),
    [("0", "100", "quantity", "0"), ("1.5", "100", "quantity", "1.5"), ("1", "100.005", "price", "100.005")],
)
async def test_a_senseless_order_is_an_error_that_names_field_and_value(
    market: Market, quantity: str, price: str, field: str, value: str
) -> None:
    with pytest.raises(RequestError) as refused:
        await market.place(market.buyer, "buy", quantity, price)
    assert (refused.value.field, refused.value.value) == (field, value)
    assert str(refused.value).startswith(f"{field} {value}: {refused.value.reason}")
    assert refused.value.hint
    assert await orders.recent(market.db, market.buyer) == []


def test_a_float_is_neither_quantity_nor_price() -> None:
    with pytest.raises(TypeError, match=r"quantity is 1\.5: pass a Decimal"):
        OrderRequest(1, 1, "limit", "buy", 1.5, Decimal(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="price"):
        OrderRequest(1, 1, "limit", "buy", Decimal(1), 99.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="quantity is True"):
        OrderRequest(1, 1, "limit", "buy", True, Decimal(1))  # type: ignore[arg-type]


async def test_the_same_client_order_id_places_once(market: Market) -> None:
    request = OrderRequest(
        market.buyer, market.instrument, "limit", "buy", Decimal(1), Decimal(90), client_order_id="mine-1"
    )
    first = await orders.place(market.db, request)
    again = await orders.place(market.db, request)
    assert again == first
    assert await orders.by_client_order_id(market.db, market.buyer, "mine-1") == first
    assert await orders.by_client_order_id(market.db, market.seller, "mine-1") is None


async def test_cancel_says_whether_there_was_anything_to_cancel(market: Market) -> None:
    order = await market.place(market.buyer, "buy", "10", "99")
    assert await orders.cancel(market.db, order.order_id) is True
    assert await orders.cancel(market.db, order.order_id) is False
    assert (await orders.get(market.db, order.order_id)).status == "cancelled"
    with pytest.raises(RequestError, match="order_id 4711"):
        await orders.cancel(market.db, 4711)


async def test_cancel_all_may_be_narrowed_to_a_side(market: Market) -> None:
    for price in ("98", "99"):
        await market.place(market.buyer, "buy", "1", price)
    await market.place(market.seller, "sell", "1", "110")
    assert await orders.cancel_all(market.db, market.buyer, market.instrument, "sell") == 0
    assert await orders.cancel_all(market.db, market.buyer) == 2
    assert len(await orders.working(market.db, market.seller)) == 1


async def test_replace_with_a_smaller_quantity(market: Market) -> None:
    order = await market.place(market.buyer, "buy", "10", "99")
    assert await orders.replace(market.db, order.order_id, quantity=Decimal(6)) is True
    changed = await orders.get(market.db, order.order_id)
    assert (changed.quantity, changed.price) == (Decimal(6), Decimal(99))
    with pytest.raises(TypeError, match="price"):
        await orders.replace(market.db, order.order_id, price=98.5)  # type: ignore[arg-type]


async def test_recent_orders_newest_first(market: Market) -> None:
    placed = [await market.place(market.buyer, "buy", "1", str(90 + n)) for n in range(3)]
    assert [order.order_id for order in await orders.recent(market.db, market.buyer, 2)] == [
        placed[2].order_id,
        placed[1].order_id,
    ]


# Outcome unknown


async def test_an_order_whose_connection_broke_before_it_was_done_is_known_not_to_be_placed(
    market: Market,
) -> None:
    async with market.db.transaction() as blocker:
        await blocker.execute(
            "select from internal.books where instrument_id = $1 for update", market.instrument
        )
        placing = asyncio.create_task(market.place(market.buyer, "buy", "1", "99"))
        await market.db.fetchval("select pg_terminate_backend($1)", await _waiting_process(market.db))
        with pytest.raises(ConnectionLostError, match="was not placed: place it again"):
            await placing
    assert await orders.recent(market.db, market.buyer) == []


async def test_an_order_that_was_placed_and_whose_answer_was_lost_is_found(
    market: Market, proxy: Proxy
) -> None:
    async with await Database.open(proxy.url, pool_max=2) as db:
        through_proxy = Market(db, market)
        first = await through_proxy.place(
            market.buyer, "buy", "1", "98"
        )  # the statement is prepared from here on
        proxy.lose_next_answer()
        second = await through_proxy.place(market.buyer, "buy", "1", "99")
    assert (second.status, second.price) == ("open", Decimal(99))
    assert await orders.working(market.db, market.buyer) == [first, second]


async def test_an_order_sent_to_a_frozen_server_is_looked_up_when_it_is_back(
    market: Market, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was still before the server when we gave up must not be placed behind our back."""
    monkeypatch.setattr(orders, "ANSWER_TIMEOUT", 0.2)
    async with await Database.open(proxy.url, pool_max=2) as db:
        through_proxy = Market(db, market)
        await through_proxy.place(market.buyer, "buy", "1", "98")
        proxy.freeze()
        placing = asyncio.create_task(through_proxy.place(market.buyer, "buy", "1", "99"))
        await asyncio.sleep(0.4)
        proxy.thaw()
        (outcome,) = await asyncio.gather(placing, return_exceptions=True)
    placed = [order.price for order in await orders.working(market.db, market.buyer)]
    if isinstance(outcome, orders.Order):
        assert placed == [Decimal(98), Decimal(99)]
    else:
        assert isinstance(outcome, ConnectionLostError)
        assert "was not placed" in str(outcome)
        assert placed == [Decimal(98)]


async def test_when_the_server_stays_away_the_message_tells_the_client_order_id(
    market: Market, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "RETURN_WAIT", 0.3)
    async with await Database.open(proxy.url, pool_max=2) as db:
        request = OrderRequest(
            market.buyer, market.instrument, "limit", "buy", Decimal(1), Decimal(99), client_order_id="mine-1"
        )
        async with market.db.transaction() as blocker:
            await blocker.execute(
                "select from internal.books where instrument_id = $1 for update", market.instrument
            )
            placing = asyncio.create_task(orders.place(db, request))
            await _waiting_process(market.db)
            await proxy.refuse()
            with pytest.raises(
                ConnectionLostError, match=r"unknown.*client order id is mine-1.*cannot double it"
            ):
                await placing
    # The server had it all along. Placing it again does as the message says.
    await until(lambda: orders.by_client_order_id(market.db, market.buyer, "mine-1"))
    again = await orders.place(market.db, request)
    assert await orders.recent(market.db, market.buyer) == [again]


async def test_an_order_that_was_never_sent_is_no_mystery(market: Market, proxy: Proxy) -> None:
    async with await Database.open(proxy.url) as db:
        await proxy.refuse()
        await until(lambda: db.state is ConnectionState.RECONNECTING)
        with pytest.raises(ConnectionLostError, match="cannot be reached"):
            await Market(db, market).place(market.buyer, "buy", "1", "99")


async def _waiting_process(db: Database) -> int:
    """The server's process that waits for a lock."""
    query = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return int(await until(lambda: db.fetchval(query)))


async def test_a_request_that_gave_way_is_sent_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, account = await make_instrument(database), await make_account(database)
    request = orders.OrderRequest(account, instrument, "limit", "buy", Decimal(1), Decimal(100))
    real, refusals = orders._place_once, [DatabaseError("could not obtain lock", "55P03")] * 2

    async def gives_way_twice(db: Database, request: orders.OrderRequest) -> orders.Order:
        if refusals:
            raise refusals.pop()
        return await real(db, request)

    monkeypatch.setattr(orders, "_place_once", gives_way_twice)
    assert (await orders.place(database, request)).status == "open"
    assert not refusals
    refusals.append(DatabaseError("no room", "53100"))
    with pytest.raises(DatabaseError, match="no room"):
        await orders.place(database, request)
