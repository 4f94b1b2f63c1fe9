"""Rules 20 to 24: what margin accounts may do, what everything is worth, and what is closed."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest

from tests.db.stage import Stage, refused
from tests.factories import make_instrument


async def test_equity_is_what_came_in_and_what_was_made(stage: Stage) -> None:
    """Rule 20: deposits − withdrawals + realized + unrealized − commissions, long and short alike."""
    await stage.fees("cash", "0.001", "0.002")
    await stage.fees("margin", "0.0005", "0.001")
    long, short = await stage.cash("10000"), await stage.margin("10000")
    await stage.sell(short, 30, "100.10")
    await stage.buy(long, 30, "100.10")
    await stage.buy(short, 10, "101")
    await stage.sell(long, 10, "101")
    await stage.connection.execute("select withdraw($1, 1000)", long)
    await stage.print_at("103")
    for account, came_in in ((long, 9000), (short, 10000)):
        summary = await stage.summary(account)
        made = summary["realized_pnl"] + summary["unrealized_pnl"] - summary["commissions"]
        assert summary["equity"] == came_in + made
        assert summary["equity"] == summary["balance"] + (await stage.position(account))["quantity"] * 103
    assert (await stage.summary(long))["realized_pnl"] == 9
    assert (await stage.summary(short))["realized_pnl"] == -9


async def test_maintenance_is_a_quarter_of_what_is_long_and_three_tenths_of_what_is_short(
    stage: Stage,
) -> None:
    """Rule 22: an account under it is shown as in a margin call; at it, it is not."""
    long, short = await stage.margin("1000"), await stage.margin("1000")
    await stage.sell(short, 20, "100")
    await stage.buy(long, 20, "100")
    for price, of_long, of_short in (("100", 500, 600), ("110", 550, 660)):
        await stage.print_at(price)
        assert (await stage.summary(long))["maintenance_margin"] == of_long
        assert (await stage.summary(short))["maintenance_margin"] == of_short
    assert (await stage.summary(short))["equity"] == 800
    assert not (await stage.summary(short))["margin_call"]
    await stage.print_at("116")  # equity 680, maintenance 696
    assert (await stage.summary(short))["margin_call"]
    assert not (await stage.summary(long))["margin_call"]


async def test_a_margin_call_takes_orders_that_reduce_and_no_others(stage: Stage) -> None:
    """Rule 22, of a short position."""
    short, other = await stage.margin("1000"), await stage.margin()
    await stage.buy(other, 20, "100")
    await stage.sell(short, 20, "100")
    await stage.print_at("116")
    assert (await stage.status(await stage.sell(short, 1, "116")))[0] == "rejected"
    assert (await stage.status(await stage.buy(short, 21, "116")))[0] == "rejected"  # through zero
    order = await stage.buy(short, 20, "116")
    assert (await stage.status(order))[0] == "open"
    assert not await stage.replace(order, 21)
    assert await stage.replace(order, 19, "117")


async def test_a_margin_call_counts_whatever_the_rates_are(stage: Stage) -> None:
    """Rule 22: rates are settings, and the initial one may be the lower."""
    await stage.connection.execute("insert into margin_schedule values ('brave', 0.1, 0.25, 0.3)")
    account = await stage.connection.fetchval(
        "insert into accounts (account_type, account_number) values ('brave', 'B-1') returning account_id"
    )
    await stage.connection.execute("select deposit($1, 1000)", account)
    await stage.sell(await stage.margin(), 50, "100")
    await stage.buy(account, 50, "100")
    assert (await stage.summary(account))["margin_call"]
    assert (await stage.status(await stage.buy(account, 1, "100")))[0] == "rejected"
    assert (await stage.status(await stage.sell(account, 1, "100")))[0] == "open"


async def test_market_orders_of_a_margin_account_count_at_the_mark(stage: Stage) -> None:
    """Rule 22: 20 at the mark of 100 need 1000, though the book asks for more."""
    account, maker = await stage.margin("1000"), await stage.margin()
    await stage.sell(maker, 30, "110")
    await stage.buy(maker, 1, "90")
    assert "1050.00 required" in await stage.reason(await stage.buy(account, 21))
    assert await stage.status(await stage.buy(account, 20)) == ("filled", 20)


async def test_what_is_available_and_what_it_buys(stage: Stage) -> None:
    """Rule 22: reserved is 0, available = equity − initial requirement, buying power = available ÷ rate."""
    account = await stage.margin("1000")
    await stage.buy(account, 5, "100")
    await stage.buy(account, 2, stop="120")
    summary = await stage.summary(account)
    assert (summary["reserved"], summary["initial_margin"]) == (0, 370)
    assert (summary["available"], summary["buying_power"]) == (630, 1260)
    with refused("amount", "630.01"):
        await stage.connection.execute("select withdraw($1, 630.01)", account)
    await stage.connection.execute("select withdraw($1, 630)", account)


async def test_a_replace_of_a_margin_order_is_refused_by_risk(stage: Stage) -> None:
    """Rules 12 and 22: with the new terms instead of the old ones, not besides them."""
    account = await stage.margin("1000")
    order = await stage.buy(account, 10, "100")
    assert await stage.replace(order, 20)
    assert not await stage.replace(order, 21)
    assert not await stage.replace(order, 20, "100.01")
    assert await stage.bids() == [("100.00", 20)]


async def test_cash_needs_the_instrument_s_currency(stage: Stage) -> None:
    """Rule 23: rejected whatever the side and the type, before anything else is looked at."""
    euro = await make_instrument(stage.database, currency="EUR")
    account = await stage.cash()
    for terms in ({"price": "1"}, {"price": None}, {"price": None, "stop": "5"}):
        order = await stage.buy(account, 1, on=euro, **terms)
        assert (await stage.status(order))[0] == "rejected"
        assert "EUR" in await stage.reason(order)


CLOSED = {
    "account": "update accounts set status = 'closed' where account_id = $1",
    "user": """update users u set is_active = false from accounts a
               where a.user_id = u.user_id and a.account_id = $1""",
    "instrument": "update instruments set is_active = false where instrument_id = $2 and $1 > 0",
}


@pytest.mark.parametrize("what", CLOSED)
async def test_what_is_closed_takes_cancels_and_nothing_else(stage: Stage, what: str) -> None:
    """Rule 24: orders are rejected, replaces refused, money stays; cancels go through."""
    account = await stage.cash("10000")
    first, second, third = [await stage.buy(account, 5, price) for price in ("90", "91", "92")]
    query = CLOSED[what]
    await stage.connection.execute(query, *((account, stage.instrument) if "$2" in query else (account,)))
    assert (await stage.status(await stage.buy(account, 1, "90")))[0] == "rejected"
    element = {
        "account_id": account, "instrument_id": stage.instrument, "order_type": "limit", "side": "buy",
        "quantity": 1, "price": 90,
    }  # fmt: skip
    rows = await stage.connection.fetch("select * from place_orders($1::jsonb)", json.dumps([element]))
    assert [row["status"] for row in rows] == ["rejected"]
    await stage.connection.execute(
        """insert into orders (account_id, instrument_id, order_type, side, quantity, price)
           values ($1, $2, 'limit', 'buy', 1, 90)""",
        account,
        stage.instrument,
    )
    assert await stage.connection.fetchval("select match_pending()") == 1
    assert (
        await stage.connection.fetchval("select status from orders order by order_id desc limit 1")
        == "rejected"
    )
    for terms in ((), (4,), (6,), (None, "89")):
        assert not await stage.replace(first, *terms)
    if what != "instrument":
        for function in ("deposit", "withdraw"):
            with refused("account_id"):
                await stage.connection.fetchval(f"select {function}($1, 1)", account)
    assert await stage.cancel(first)
    assert await stage.connection.fetchval("select cancel_all_orders($1)", account) == 2
    assert await stage.status(second) == await stage.status(third) == ("cancelled", 0)
    assert (await stage.summary(account))["available"] == D("10000")
