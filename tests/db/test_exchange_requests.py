"""Rules 1 to 5: what an order is, what makes no sense, what is refused, and asking twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.database import Database
from tests.db.stage import Stage, refused
from tests.factories import make_instrument


@pytest.fixture
async def stage(database: Database, database_url: str) -> AsyncIterator[Stage]:
    stage = await Stage.open(database, database_url)
    yield stage
    await stage.close()


NONSENSE: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "iceberg"}, "order_type", "iceberg"),
    ({"side": "Buy"}, "side", "Buy"),
    ({"tif": "gtc"}, "time_in_force", "gtc"),
    ({"tif": None}, "time_in_force", "null"),
    ({"self_trade": "allow"}, "self_trade", "allow"),
    ({"post_only": None}, "post_only", "null"),
    ({"quantity": None}, "quantity", "null"),
    ({"quantity": "0"}, "quantity", "0"),
    ({"quantity": "-1"}, "quantity", "-1"),
    ({"quantity": "NaN"}, "quantity", "NaN"),
    ({"quantity": "Infinity"}, "quantity", "Infinity"),
    ({"quantity": "1.5"}, "quantity", "1.5"),
    ({"quantity": "1000000000000"}, "quantity", "1000000000000"),
    ({"price": "0"}, "price", "0"),
    ({"price": "100.001"}, "price", "100.001"),
    ({"price": "NaN"}, "price", "NaN"),
    ({"price": None, "kind": "limit"}, "price", "null"),
    ({"kind": "market"}, "price", "100.00"),
    ({"kind": "stop", "stop": "99"}, "price", "100.00"),
    ({"stop": "99", "kind": "limit"}, "stop_price", "99"),
    ({"kind": "stop_limit"}, "stop_price", "null"),
    ({"kind": "stop_limit", "stop": "99.999"}, "stop_price", "99.999"),
    ({"kind": "market", "price": None, "post_only": True}, "post_only", "true"),
    ({"tif": "IOC", "post_only": True}, "post_only", "true"),
    ({"quantity": "900000000000", "price": "900000000000"}, "quantity", "900000000000"),
]


@pytest.mark.parametrize(
    ("terms", "field", "value"), NONSENSE, ids=[f"{f}={v}-{i}" for i, (_, f, v) in enumerate(NONSENSE)]
)
async def test_what_makes_no_sense_is_an_error_and_leaves_nothing(
    stage: Stage, terms: dict[str, Any], field: str, value: str
) -> None:
    """Rules 1, 2 and 4."""
    account = await stage.cash()
    before = await stage.counts()
    with refused(field, value):
        await stage.place(account, **({"side": "buy", "quantity": "1", "price": "100.00"} | terms))
    assert await stage.counts() == before


async def test_unknown_accounts_and_instruments_are_errors(stage: Stage) -> None:
    """Rule 4."""
    account = await stage.cash()
    before = await stage.counts()
    with refused("account_id", "999", code="PS002"):
        await stage.buy(999, 1, "100")
    with refused("instrument_id", "999", code="PS002"):
        await stage.buy(account, 1, "100", on=999)
    with refused("order_id", "999", code="PS002"):
        await stage.cancel(999)
    with refused("order_id", "999", code="PS002"):
        await stage.replace(999, 1)
    assert await stage.counts() == before


@pytest.mark.parametrize(
    ("tick", "lot", "quantity", "price", "fits"),
    [
        ("0.25", "10", "30", "100.75", True),
        ("0.25", "10", "35", "100.75", False),
        ("0.25", "10", "30", "100.80", False),
        (None, None, "0.00000001", "0.12345678", True),
        (None, None, "0.000000001", "1", False),
        (None, None, "1", "0.123456789", False),
        ("0.0000", "0.00", "0.5", "0.00000001", True),  # a tick of nothing is no tick
    ],
)
async def test_prices_and_quantities_come_in_ticks_and_lots(
    database: Database,
    database_url: str,
    tick: str | None,
    lot: str | None,
    quantity: str,
    price: str,
    fits: bool,
) -> None:
    """Rule 2: multiples of tick and lot; where there is none, at most 8 decimals."""
    stage = await Stage.open(database, database_url, tick=tick, lot=lot)
    account = await stage.cash()
    if fits:
        assert (await stage.order(await stage.buy(account, quantity, price)))["status"] == "open"
    else:
        with pytest.raises(Exception, match=r"quantity|price"):
            await stage.buy(account, quantity, price)
    await stage.close()


async def test_the_error_names_the_nearest_price(stage: Stage) -> None:
    account = await stage.cash()
    with pytest.raises(Exception, match="is not a multiple of the tick size") as caught:
        await stage.buy(account, 1, "100.018")
    assert getattr(caught.value, "hint", "") == "Nearest: 100.01 or 100.02."


@pytest.mark.parametrize("why", ["account", "user", "instrument", "currency"])
async def test_a_refused_order_is_recorded_with_its_reason(stage: Stage, why: str) -> None:
    """Rules 4, 23 and 24."""
    account, instrument = await stage.cash(), stage.instrument
    if why == "account":
        await stage.connection.execute(
            "update accounts set status = 'suspended' where account_id = $1", account
        )
    elif why == "user":
        await stage.connection.execute(
            """update users u set is_active = false from accounts a
               where a.user_id = u.user_id and account_id = $1""",
            account,
        )
    elif why == "instrument":
        await stage.connection.execute(
            "update instruments set is_active = false where instrument_id = $1", instrument
        )
    else:
        instrument = await make_instrument(stage.database, currency="EUR")
    order = await stage.order(await stage.buy(account, 1, "100", on=instrument))
    assert order["status"] == "rejected"
    assert {
        "account": "suspended",
        "user": "user is not active",
        "instrument": "not open",
        "currency": "EUR",
    }[why] in order["reason"]
    assert await stage.journal(order["order_id"]) == ["rejected"]


async def test_what_is_closed_still_takes_cancels_and_its_orders_still_fill(stage: Stage) -> None:
    """Rule 24: cancels and nothing else, replaces included."""
    seller, buyer = await stage.margin(), await stage.cash()
    first, second = await stage.sell(seller, 5, "100"), await stage.sell(seller, 5, "101")
    await stage.connection.execute("update accounts set status = 'suspended' where account_id = $1", seller)
    assert not await stage.replace(first, 3)
    assert not await stage.replace(second, 5, "102")
    assert await stage.journal(first) == ["accepted", "replace_refused"]
    assert await stage.status(await stage.buy(buyer, 5, "100")) == ("filled", 5)
    assert await stage.cancel(second)


async def test_the_same_request_twice_is_one_order(stage: Stage) -> None:
    """Rule 5: numbers are compared by value, also when the order has changed since."""
    account = await stage.cash()
    first = await stage.buy(account, 10, "100", client="a1")
    assert await stage.replace(first, 5)
    before = await stage.counts()
    assert await stage.buy(account, "10.00", "100.00", client="a1") == first
    assert await stage.counts() == before
    with refused("client_order_id", "a1"):
        await stage.buy(account, 5, "100", client="a1")
    with refused("client_order_id", "a1"):
        await stage.sell(account, 10, "100", client="a1")
    other = await stage.cash()
    assert await stage.buy(other, 10, "100", client="a1") != first


async def test_a_rejected_order_keeps_its_client_id_and_an_error_does_not_take_it(stage: Stage) -> None:
    """Rule 5."""
    account = await stage.cash("10")
    rejected = await stage.buy(account, 10, "100", client="r")
    assert (await stage.status(rejected))[0] == "rejected"
    assert await stage.buy(account, 10, "100", client="r") == rejected
    with refused("price"):
        await stage.buy(account, 1, "0.001", client="e")
    assert (await stage.status(await stage.buy(account, 1, "1", client="e")))[0] == "open"


async def test_cancel_says_whether_the_order_was_working(stage: Stage) -> None:
    account = await stage.cash()
    order = await stage.buy(account, 10, "100")
    assert await stage.cancel(order)
    assert not await stage.cancel(order)
    assert await stage.status(order) == ("cancelled", 0)
    assert await stage.bids() == []
    assert (await stage.summary(account))["reserved"] == 0


async def test_cancel_all_takes_what_was_asked_for(stage: Stage) -> None:
    account, other = await stage.margin(), await stage.margin()
    elsewhere = await make_instrument(stage.database)
    await stage.buy(account, 1, "90")
    await stage.buy(account, 1, "91")
    await stage.sell(account, 1, "110")
    await stage.sell(account, 1, "110", on=elsewhere)
    await stage.buy(account, 1, stop="120")
    await stage.buy(other, 1, "90")
    count = stage.connection.fetchval
    assert await count("select cancel_all_orders($1, $2, 'sell')", account, stage.instrument) == 1
    assert await count("select cancel_all_orders($1, $2)", account, stage.instrument) == 3
    assert await count("select cancel_all_orders($1)", account) == 1
    assert await count("select cancel_all_orders($1)", account) == 0
    assert await stage.bids() == [("90.00", 1)]
    with refused("side", "up"):
        await count("select cancel_all_orders($1, null, 'up')", account)
    with refused("account_id", "999", code="PS002"):
        await count("select cancel_all_orders(999)")
