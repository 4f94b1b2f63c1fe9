"""Rules 1 to 5: what an order is, what makes no sense, what is refused, and asking twice."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from db.database import Database, connect
from tests.db.stage import Stage, refused
from tests.factories import make_instrument

NONSENSE: list[tuple[dict[str, Any], str, str | None]] = [
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
    ({"quantity": "0.99999999"}, "quantity", "0.99999999"),
    ({"price": "0"}, "price", "0"),
    ({"price": "-100.00"}, "price", "-100.00"),
    ({"price": "Infinity"}, "price", "Infinity"),
    ({"price": "1000000000000"}, "price", "1000000000000"),
    ({"price": "100.001"}, "price", "100.001"),
    ({"price": "NaN"}, "price", "NaN"),
    ({"price": None, "kind": "limit"}, "price", "null"),
    ({"kind": "market"}, "price", "100.00"),
    ({"kind": "stop", "stop": "99"}, "price", "100.00"),
    ({"stop": "99", "kind": "limit"}, "stop_price", "99"),
    ({"stop": "99", "kind": "market", "price": None}, "stop_price", "99"),
    ({"kind": "stop", "price": None}, "stop_price", "null"),
    ({"kind": "stop", "price": None, "stop": "0"}, "stop_price", "0"),
    ({"kind": "stop", "price": None, "stop": "-1"}, "stop_price", "-1"),
    ({"kind": "stop_limit", "price": None, "stop": "99"}, "price", "null"),
    ({"kind": "stop_limit"}, "stop_price", "null"),
    ({"kind": "stop_limit", "stop": "99.999"}, "stop_price", "99.999"),
    ({"kind": "market", "price": None, "post_only": True}, "post_only", "true"),
    ({"kind": "stop", "price": None, "stop": "99", "post_only": True}, "post_only", "true"),
    ({"tif": "IOC", "post_only": True}, "post_only", "true"),
    ({"kind": "stop_limit", "stop": "99", "tif": "FOK", "post_only": True}, "post_only", "true"),
    ({"quantity": "900000000000", "price": "900000000000"}, "quantity", "900000000000"),
    ({"quantity": "900000000000", "price": None, "kind": "stop", "stop": "900000000000"}, "quantity", None),
    ({"client": "x" * 101}, "client_order_id", "x" * 101),
]


@pytest.mark.parametrize(
    ("terms", "field", "value"), NONSENSE, ids=[f"{f}-{i}" for i, (_, f, _) in enumerate(NONSENSE)]
)
async def test_what_makes_no_sense_is_an_error_and_leaves_nothing(
    stage: Stage, terms: dict[str, Any], field: str, value: str | None
) -> None:
    """Rules 1, 2 and 4."""
    account = await stage.cash()
    before = await stage.counts()
    with refused(field, value):
        await stage.place(account, **({"side": "buy", "quantity": "1", "price": "100.00"} | terms))
    assert await stage.counts() == before


@pytest.mark.parametrize("tif", ["GTC", "DAY", "IOC", "FOK"])
@pytest.mark.parametrize("kind", ["market", "limit", "stop", "stop_limit"])
async def test_every_type_goes_with_every_time_in_force_on_both_sides(
    stage: Stage, kind: str, tif: str
) -> None:
    """Rule 1; and post-only with a limit that may rest."""
    account = await stage.margin()
    has_limit = kind in ("limit", "stop_limit")
    for side, price, stop in (("buy", "90", "110"), ("sell", "110", "90")):
        post_only = has_limit and tif in ("GTC", "DAY")
        order = await stage.place(
            account,
            side,
            1,
            price if has_limit else None,
            stop=stop if kind in ("stop", "stop_limit") else None,
            kind=kind,
            tif=tif,
            post_only=post_only,
        )
        row = await stage.order(order)
        assert (row["order_type"], row["side"], row["time_in_force"], row["post_only"]) == (
            kind,
            side,
            tif,
            post_only,
        )
        waits, rests = kind in ("stop", "stop_limit"), kind == "limit" and tif in ("GTC", "DAY")
        assert row["status"] == ("pending" if waits else "open" if rests else "cancelled")


async def test_the_last_four_statuses_are_final(stage: Stage) -> None:
    """Rule 3: nothing that is asked for moves them again."""
    account, other = await stage.cash("1000"), await stage.margin()
    filled = await stage.buy(account, 2, "100")
    await stage.sell(other, 2, "100")
    cancelled = await stage.buy(account, 1, "90")
    await stage.cancel(cancelled)
    rejected = await stage.buy(account, 100, "100")
    expired = await stage.buy(account, 1, "90", tif="DAY")
    await stage.connection.execute("select expire_day_orders()")
    before = await stage.connection.fetch("select * from orders order by order_id")
    for order, status in (
        (filled, "filled"), (cancelled, "cancelled"), (rejected, "rejected"), (expired, "expired"),
    ):  # fmt: skip
        assert (await stage.status(order))[0] == status
        assert not await stage.cancel(order)
        assert not await stage.replace(order, 3, "95")
        assert (await stage.order(order))["reserved"] == 0
    assert await stage.connection.fetchval("select cancel_all_orders($1)", account) == 0
    assert await stage.connection.fetchval("select expire_day_orders()") == 0
    assert await stage.connection.fetch("select * from orders order by order_id") == before


async def test_a_part_filled_order_that_is_cancelled_keeps_its_fills(stage: Stage) -> None:
    """Rule 3."""
    account, other = await stage.cash(), await stage.margin()
    order = await stage.buy(account, 5, "100")
    await stage.sell(other, 2, "100")
    assert await stage.status(order) == ("partially_filled", 2)
    assert await stage.cancel(order)
    assert await stage.status(order) == ("cancelled", 2)
    assert (await stage.order(order))["filled_at"] is None
    assert (await stage.position(account))["quantity"] == 2
    assert len(await stage.trades()) == 1


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


async def test_the_same_id_sent_at_once_places_one_order(stage: Stage, database_url: str) -> None:
    """Rule 5: all who ask at the same time are told the same order; other terms are an error."""
    account, elsewhere = await stage.margin(), await make_instrument(stage.database)
    connections = [await connect(database_url) for _ in range(8)]
    query = "select place_order($1, $2, 'limit', 'buy', 1, 100, p_client_order_id => 'once')"
    answers = await asyncio.gather(
        *(
            each.fetchval(query, account, elsewhere if n % 2 else stage.instrument)
            for n, each in enumerate(connections)
        ),
        return_exceptions=True,
    )
    for each in connections:
        await each.close()
    placed = await stage.connection.fetch("select order_id from orders")
    assert len(placed) == 1
    told = [answer for answer in answers if isinstance(answer, int)]
    assert told == [placed[0]["order_id"]] * 4
    errors = [answer for answer in answers if isinstance(answer, asyncpg.PostgresError)]
    assert [(error.sqlstate, error.column_name) for error in errors] == [("PS001", "client_order_id")] * 4


@pytest.mark.parametrize("matched", [False, True], ids=["before match_pending", "after it"])
async def test_an_id_of_an_inserted_row_is_known(stage: Stage, matched: bool) -> None:
    """Rule 5: the row is the first order, whether it has been matched yet or not."""
    account = await stage.cash()
    row = await stage.connection.fetchval(
        """insert into orders (account_id, instrument_id, order_type, side, quantity, price, client_order_id)
           values ($1, $2, 'limit', 'buy', 5, 100, 'plain') returning order_id""",
        account,
        stage.instrument,
    )
    if matched:
        await stage.connection.execute("select match_pending()")
    assert await stage.buy(account, "5.0", "100.00", client="plain") == row
    with refused("client_order_id", "plain"):
        await stage.buy(account, 6, "100", client="plain")
    await stage.connection.execute("select match_pending()")
    assert await stage.bids() == [("100.00", 5)]


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
