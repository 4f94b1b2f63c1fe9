"""Rules 9 and 12 to 14 to the letter: replaces, the end of the day, and orders that meet their own."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from tests.db.stage import Stage, refused


async def test_a_refused_replace_keeps_the_place_in_time(stage: Stage) -> None:
    """Rule 12: refused, with nothing changed, place included."""
    a, b = await stage.margin(), await stage.margin()
    first, second = await stage.sell(a, 5, "100"), await stage.sell(b, 5, "100")
    assert not await stage.replace(first, "5.5")
    assert not await stage.replace(first, None, "100.001")
    assert not await stage.replace(first, None, None, "99")
    assert not await stage.replace(first, 0)
    order = await stage.buy(await stage.margin(), 5, "100")
    assert await stage.trades() == [(first, order, 5, 100)]
    assert await stage.status(second) == ("open", 0)


async def test_the_same_price_and_quantity_by_value_keep_the_place(stage: Stage) -> None:
    """Rule 12 and replace_order: a term that has that value already is left as it is, like null."""
    a, b = await stage.margin(), await stage.margin()
    first = await stage.sell(a, 5, "100")
    await stage.sell(b, 5, "100")
    assert await stage.replace(first, "5.000", "100.0")
    assert await stage.replace(first, "4.00", "100.000")
    order = await stage.buy(await stage.margin(), 4, "100")
    assert await stage.trades() == [(first, order, 4, 100)]


async def test_a_new_total_counts_the_fills(stage: Stage) -> None:
    """Rule 12: at or below what has filled is refused; one lot above leaves one lot to trade."""
    seller, buyer = await stage.margin(), await stage.cash()
    order = await stage.buy(buyer, 10, "100")
    await stage.sell(seller, 4, "100")
    assert not await stage.replace(order, 4)
    assert await stage.replace(order, 5)
    assert await stage.bids() == [("100.00", 1)]
    assert (await stage.summary(buyer))["reserved"] == 100
    await stage.sell(seller, 1, "100")
    assert await stage.status(order) == ("filled", 5)


async def test_a_replace_that_crosses_takes_at_the_resting_price_and_rests_what_is_left(stage: Stage) -> None:
    """Rules 7, 12 and 13: matched again as if new."""
    seller, buyer = await stage.margin(), await stage.cash()
    order = await stage.buy(buyer, 10, "99")
    await stage.sell(seller, 4, "100")
    assert await stage.replace(order, None, "101")
    assert [(quantity, price) for *_, quantity, price in await stage.trades()] == [(4, 100)]
    assert (await stage.bids(), await stage.asks()) == ([("101.00", 6)], [])
    assert (await stage.summary(buyer))["reserved"] == 606


async def test_a_post_only_order_moves_but_never_takes(stage: Stage) -> None:
    """Rules 10 and 12: an own order counts as well."""
    a, b = await stage.margin(), await stage.margin()
    order = await stage.buy(a, 5, "99", post_only=True)
    await stage.sell(b, 5, "101")
    await stage.sell(a, 5, "102")
    assert await stage.replace(order, None, "100.99")
    assert not await stage.replace(order, None, "101")
    assert await stage.replace(order, 6)
    assert await stage.bids() == [("100.99", 6)]


async def test_a_replaced_order_meets_itself_no_more_than_a_new_one(stage: Stage) -> None:
    """Rules 12 and 14: its own way of self-trade prevention decides."""
    own = await stage.margin()
    resting = await stage.sell(own, 5, "101")
    order = await stage.buy(own, 5, "99", self_trade="cancel_oldest")
    assert await stage.replace(order, None, "101")
    assert await stage.status(resting) == ("cancelled", 0)
    assert await stage.status(order) == ("open", 0)
    newest = await stage.sell(own, 5, "102")
    assert await stage.replace(newest, None, "101")
    assert await stage.status(newest) == ("cancelled", 0)
    assert await stage.status(order) == ("open", 0)
    assert await stage.trades() == []


@pytest.mark.parametrize(
    "numbers", [("NaN", None), ("1e12", None), (None, "NaN"), (None, "1e12"), (None, "-1")]
)
async def test_a_replace_with_a_number_that_is_none_is_refused(
    stage: Stage, numbers: tuple[str | None, str | None]
) -> None:
    """Rules 2 and 12: and the journal says why."""
    order = await stage.buy(await stage.cash(), 5, "100")
    before = await stage.order(order)
    assert not await stage.replace(order, *numbers)
    assert await stage.order(order) == before
    assert await stage.journal(order) == ["accepted", "replace_refused"]
    why = await stage.connection.fetchval(
        "select detail ->> 'reason' from journal where order_id = $1 order by event_id desc limit 1", order
    )
    assert why.startswith("quantity" if numbers[0] else "price")


async def test_the_end_of_the_day_is_for_what_was_entered_before_it(stage: Stage) -> None:
    """Rule 9 and expire_day_orders: DAY orders only, and none that came at that very time or later."""
    account = await stage.margin()
    first, second = await stage.buy(account, 1, "90", tif="DAY"), await stage.buy(account, 1, "91", tif="DAY")
    kept = await stage.buy(account, 1, "92")
    expire = "select expire_day_orders((select created_at from orders where order_id = $1))"
    assert await stage.connection.fetchval(expire, first) == 0
    assert await stage.connection.fetchval(expire, second) == 1
    assert await stage.connection.fetchval("select expire_day_orders()") == 1
    assert await stage.status(first) == await stage.status(second) == ("expired", 0)
    assert await stage.status(kept) == ("open", 0)
    assert "day" in await stage.reason(first)


async def test_no_time_is_no_end_of_the_day(stage: Stage) -> None:
    """expire_day_orders(null) names no orders, and least of all those that are good till cancelled."""
    account = await stage.margin()
    kept, day = await stage.buy(account, 1, "90"), await stage.buy(account, 1, "90", tif="DAY")
    with refused("before", "null"):
        await stage.connection.fetchval("select expire_day_orders(null)")
    assert await stage.status(kept) == await stage.status(day) == ("open", 0)


async def test_a_pair_ends_together_at_the_end_of_the_day(stage: Stage) -> None:
    """L1: also where the time falls between its two orders."""
    holder = await stage.holder(5, "100")
    limit, stop = tuple(
        await stage.connection.fetchrow(
            "select * from place_oco($1, $2, 'sell', 5, 120, 80, p_time_in_force => 'DAY')",
            holder,
            stage.instrument,
        )
        or ()
    )
    await stage.connection.execute(
        "select expire_day_orders((select created_at from orders where order_id = $1))", stop
    )
    assert (await stage.status(limit))[0] in ("open", "expired")
    assert ((await stage.status(limit))[0] == "open") == ((await stage.status(stop))[0] == "pending")


async def test_an_exit_that_is_refused_leaves_no_half_pair(stage: Stage) -> None:
    """L1 and L2: the request that places them puts them right; what others do later changes nothing."""
    holder, other = await stage.holder(10, "100", money="1000"), await stage.margin()
    entry = await stage.connection.fetchval(
        "select place_bracket($1, $2, 'limit', 'sell', 3, 100, 90, 110)", holder, stage.instrument
    )
    await stage.buy(other, 3, "100")
    exits = "select order_type, status from orders where parent_id = $1 order by order_id"
    before = [tuple(row) for row in await stage.connection.fetch(exits, entry)]
    assert ("stop", "rejected") in before
    assert await stage.connection.fetch("select * from verify_ledger()") == []
    await stage.print_at("101")
    assert [tuple(row) for row in await stage.connection.fetch(exits, entry)] == before


@pytest.mark.parametrize("tif", ["GTC", "IOC", "FOK"])
async def test_a_market_order_that_is_filled_or_killed(stage: Stage, tif: str) -> None:
    """Rules 8 and 9: it never rests; FOK fills whole at once or not at all."""
    seller, buyer = await stage.margin(), await stage.margin()
    await stage.sell(seller, 4, "100")
    order = await stage.buy(buyer, 5, tif=tif)
    assert await stage.status(order) == ("cancelled", 0 if tif == "FOK" else 4)
    assert await stage.bids() == []


async def test_orders_at_one_price_trade_and_never_lock_the_book(stage: Stage) -> None:
    """Rule 13."""
    a, b = await stage.margin(), await stage.margin()
    await stage.sell(a, 3, "100")
    await stage.buy(b, 5, "100")
    await stage.sell(a, 1, "100.01")
    assert (await stage.bids(), await stage.asks()) == ([("100.00", 2)], [("100.01", 1)])


async def test_time_is_when_an_order_joined_its_level_and_a_fill_does_not_change_it(stage: Stage) -> None:
    """Rule 6, for sells and buys: the higher bid and the lower ask first, then the first that came."""
    a, b, taker = [await stage.margin() for _ in range(3)]
    first, second = await stage.buy(a, 5, "100"), await stage.buy(b, 5, "100")
    best = await stage.buy(b, 1, "100.01")
    await stage.sell(taker, 3, "99")  # best, and 2 of the first
    order = await stage.sell(taker, 4, "100")
    assert [(m, q) for m, _, q, _ in await stage.trades()] == [(best, 1), (first, 2), (first, 3), (second, 1)]
    assert await stage.status(order) == ("filled", 4)
    assert await stage.status(second) == ("partially_filled", 1)


async def test_a_market_buy_costs_what_it_could_trade_with_others(stage: Stage) -> None:
    """Rules 14 and 21: what stands behind an own order that ends it costs nothing."""
    buyer, other = await stage.holder(5, "1", money="405"), await stage.margin()
    await stage.sell(other, 2, "100")
    await stage.sell(buyer, 5, "101")
    await stage.sell(other, 10, "102")
    poor = await stage.buy(buyer, 10, self_trade="cancel_oldest")  # 200 + 8 × 102
    assert (await stage.status(poor))[0] == "rejected"
    order = await stage.buy(buyer, 10, self_trade="cancel_newest")
    assert await stage.status(order) == ("cancelled", 2)
    assert await stage.balance(buyer) == 200


async def test_a_cent_is_neither_made_nor_lost_whatever_the_fraction(fine: Stage) -> None:
    """Rules 16 and 18: over all accounts cash is deposits − withdrawals − commissions."""
    await fine.fees("cash", "0.05", "0.1")
    buyer, seller = await fine.cash("100"), await fine.margin("100")
    for quantity, price in (("0.333", "0.15"), ("1.5", "0.10333333"), ("0.05", "0.1"), ("7", "0.1150001")):
        await fine.sell(seller, quantity, price)
        await fine.buy(buyer, quantity, price)
    fees = await fine.connection.fetchval("select sum(commission) from trades")
    assert await fine.balance(buyer) + await fine.balance(seller) == 200 - fees
    assert fees > 0
    rows = await fine.connection.fetch("select amount from transactions where transaction_type = 'trade_buy'")
    assert [row["amount"] for row in rows] == [D("-0.05"), D("-0.15"), D("-0.01"), D("-0.81")]
