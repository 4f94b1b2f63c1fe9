"""db.journal: the past in the values of the present, and the ways through it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest

from db import accounts, journal, market, orders
from db.database import Database
from db.errors import RequestError
from db.orders import OrderRequest
from tests.factories import make_account, make_instrument


async def moment(database: Database) -> datetime:
    now: datetime = await database.fetchval("select clock_timestamp() at time zone 'UTC'")
    return now


async def order(
    database: Database, account: int, instrument: int, side: str, quantity: int, price: str, **terms: object
) -> orders.Order:
    request = OrderRequest(account, instrument, "limit", side, D(quantity), D(price), **terms)  # type: ignore[arg-type]
    return await orders.place(database, request)


async def test_the_past_in_the_values_of_the_present(database: Database) -> None:
    acme = await make_instrument(database, "ACME")
    seller, buyer = await make_account(database, account_type="margin"), await make_account(database)
    await order(database, seller, acme, "sell", 10, "100", client_order_id="mine")
    await order(database, buyer, acme, "buy", 4, "100")
    resting = await order(database, buyer, acme, "buy", 3, "90.5", time_in_force="DAY")
    for account in (seller, buyer):
        at = await moment(database)
        live = (
            await accounts.summary(database, account),
            tuple(await accounts.positions(database, account)),
            tuple(await orders.working(database, account)),
        )
        book = await market.book(database, acme)
        await orders.cancel_all(database, account)

        then = await journal.state(database, account, at)
        assert (then.summary, then.positions) == live[:2]
        # What the journal does not know of a working order is nothing.
        assert then.orders == live[2]
        assert then.transactions == await database.fetchval(
            "select count(*) from transactions where account_id = $1", account
        )
        assert await journal.book(database, acme, at) == book
        assert then.event_id is not None
        assert (await journal.state(database, account, event_id=then.event_id)).orders == live[2]
        now = await journal.state(database, account)
        assert (now.orders, now.at > at) == ((), True)
    assert await journal.book(database, acme) == await market.book(database, acme)
    assert resting.order_id in {each.order_id for each in await orders.recent(database, buyer)}


async def test_steps_by_kind(database: Database) -> None:
    acme = await make_instrument(database, "ACME")
    seller, buyer = await make_account(database, account_type="margin"), await make_account(database)
    await order(database, seller, acme, "sell", 10, "100")
    for price in ("99", "100", "98", "100"):
        await order(database, buyer, acme, "buy", 1, price)
    everything = await journal.events(database, buyer)
    assert [each.kind for each in everything] == [
        "opened", "deposit", "accepted", "accepted", "filled", "accepted", "accepted", "filled",
    ]  # fmt: skip
    fills = [each for each in everything if each.kind == "filled"]
    assert everything[4].detail["price"] == D(100)
    assert everything[4].instrument_id == acme

    first = await journal.next_event(database, buyer, None, kinds=["filled"])
    assert first == fills[0]
    assert await journal.next_event(database, buyer, fills[0].event_id, kinds=["filled"]) == fills[1]
    assert await journal.next_event(database, buyer, fills[1].event_id, kinds=["filled"]) is None
    assert await journal.previous_event(database, buyer, None) == everything[-1]
    assert await journal.previous_event(database, buyer, fills[1].event_id, kinds=["filled"]) == fills[0]
    assert await journal.previous_event(database, buyer, everything[0].event_id) is None
    assert await journal.events_back(database, buyer, limit=3) == everything[:-4:-1]
    assert await journal.events(database, buyer, limit=2, after=everything[1].event_id) == everything[2:4]
    assert await journal.events(database, buyer, order_id=fills[0].order_id) == everything[3:5]
    assert await journal.events(database, buyer, fills[0].at, fills[0].at) == everything[3:5]
    assert await journal.events(database, buyer, instrument_id=acme + 1) == []


async def test_pages_and_density(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await make_account(database, cash="1000000")
    for _ in range(30):
        await accounts.deposit(database, account, D(1))
    monkeypatch.setattr(journal, "PAGE", 7)
    everything = [each async for each in journal.all_events(database, account)]
    assert [each.kind for each in everything] == ["opened", *["deposit"] * 31]
    span = await journal.span(database, account)
    assert (span.first_event, span.last_event) == (everything[0].event_id, everything[-1].event_id)

    start, end = everything[0].at, everything[-1].at
    counts = await journal.density(database, account, start, end, 5)
    assert counts[0][0] == start
    assert sum(count for _, count in counts) == 32
    part = (end - start) / 5
    for number, (begin, count) in enumerate(counts[:-1]):
        assert abs(begin - (start + part * number)) <= timedelta(microseconds=10)
        assert count == len([each for each in everything if begin <= each.at < counts[number + 1][0]])


async def test_finding_an_account(database: Database) -> None:
    acme = await make_instrument(database, "ACME")
    account = await make_account(database, account_number="A-1")
    other = await make_account(database, account_number="B-2")
    placed = await order(database, account, acme, "buy", 1, "1", client_order_id="B-2x")
    named = "select username from users join accounts using (user_id) where account_id = $1"
    user = await database.fetchval(named, account)
    for text in ("a-1", user, str(placed.order_id), "B-2x"):
        assert (await journal.find_one(database, text)).account_id == account
    await database.execute(
        """update accounts set user_id = (select user_id from accounts where account_id = $1)
           where account_id = $2""",
        account,
        other,
    )
    with pytest.raises(RequestError, match=r"several accounts.*A-1, B-2"):
        await journal.find_one(database, user)
    with pytest.raises(RequestError, match="no account's number"):
        await journal.find_one(database, "999999999999999999999999")


async def test_what_is_not_there(database: Database) -> None:
    account = await make_account(database)
    with pytest.raises(RequestError, match="account_id 999"):
        await journal.state(database, 999)
    with pytest.raises(RequestError, match="account_id 999"):
        await journal.events(database, 999)
    with pytest.raises(RequestError, match="event_id 0"):
        await journal.state(database, account, event_id=0)
    with pytest.raises(RequestError, match="instrument_id 999"):
        await journal.book(database, 999)
    with pytest.raises(TypeError, match="UTC"):
        await journal.state(database, account, datetime.now().astimezone())
