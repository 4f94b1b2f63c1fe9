"""Rules 8 to 12 where a stop is in play: when it triggers, in which order, and what it may do then."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.db.stage import Stage


async def test_a_bar_of_the_past_is_no_trade(stage: Stage) -> None:
    """Rule 11: with no trade yet none triggers, whatever the history says."""
    await stage.connection.execute(
        "insert into market_data values ('2020-01-02', $1, 100, 100, 100, 100, 1)", stage.instrument
    )
    assert await stage.status(await stage.buy(await stage.margin(), 1, stop="90")) == ("pending", 0)


async def test_a_waiting_stop_is_not_in_the_book(stage: Stage) -> None:
    """Rule 3: accepted, not yet working."""
    account = await stage.margin()
    await stage.buy(account, 5, "106", stop="105")
    await stage.sell(account, 5, "94", stop="95")
    assert (await stage.bids(), await stage.asks()) == ([], [])


@pytest.mark.parametrize("tif", ["IOC", "FOK"])
async def test_a_triggered_stop_limit_keeps_its_time_in_force(stage: Stage, tif: str) -> None:
    """Rules 8 and 9: it takes what it can, or all or nothing, and never rests."""
    a, b = await stage.margin(), await stage.margin()
    order = await stage.buy(a, 5, "106", stop="105", tif=tif)
    await stage.sell(b, 3, "106")
    await stage.print_at("105")
    assert await stage.status(order) == ("cancelled", 3 if tif == "IOC" else 0)
    assert await stage.bids() == []


async def test_a_post_only_stop_limit_is_rejected_when_it_would_take(stage: Stage) -> None:
    """Rule 10: on arrival it waits; when its stop triggers it would take, and it says so."""
    a, b = await stage.margin(), await stage.margin()
    order = await stage.buy(a, 5, "106", stop="105", post_only=True)
    rests = await stage.buy(a, 5, "105", stop="105", post_only=True)
    await stage.sell(b, 5, "106")
    assert await stage.status(order) == ("pending", 0)
    await stage.print_at("105")
    assert await stage.status(order) == ("rejected", 0)
    assert "post-only" in await stage.reason(order)
    assert await stage.status(rests) == ("open", 0)


async def test_a_print_sets_off_stops_in_the_order_in_which_they_were_entered(stage: Stage) -> None:
    """Rules 11 and 12: a replaced stop gives its turn away, one that only becomes smaller keeps it."""
    a, b, c, maker = [await stage.margin() for _ in range(4)]
    smaller = await stage.buy(a, 2, stop="100")
    moved = await stage.buy(b, 1, stop="100")
    last = await stage.buy(c, 1, stop="100")
    assert await stage.replace(smaller, 1)
    assert await stage.replace(moved, stop="101")
    assert await stage.replace(moved, stop="100")
    for price in ("110", "111", "112"):
        await stage.sell(maker, 1, price)
    await stage.print_at("100")
    assert [t for _, t, _, _ in await stage.trades()][1:] == [smaller, last, moved]


async def test_each_print_of_a_sweep_sets_off_its_own_stops_first(stage: Stage) -> None:
    """Rule 11: those of the first print run before those of the second, whoever was entered earlier."""
    a, b, maker, taker = [await stage.margin() for _ in range(4)]
    second = await stage.buy(a, 1, stop="101")
    first = await stage.buy(b, 1, stop="100")
    for price in ("100", "101", "102", "103"):
        await stage.sell(maker, 1, price)
    sweep = await stage.buy(taker, 2, "101")
    assert [t for _, t, _, _ in await stage.trades()] == [sweep, sweep, first, second]


async def test_a_triggered_stop_limit_takes_a_new_place_in_time(stage: Stage) -> None:
    """Rule 11: it was entered first, and stands behind what rested while it waited."""
    a, b, taker = [await stage.margin() for _ in range(3)]
    stop = await stage.buy(a, 5, "104", stop="105")
    rested = await stage.buy(b, 5, "104")
    await stage.print_at("105")
    order = await stage.sell(taker, 5, "104")
    assert (await stage.trades())[-1][:2] == (rested, order)
    assert await stage.status(stop) == ("open", 0)


async def test_margin_is_not_asked_for_again_when_a_stop_triggers(stage: Stage) -> None:
    """Rule 11: on placing it had enough, and then the market moved away."""
    account, maker = await stage.margin("1000"), await stage.margin()
    order = await stage.buy(account, 20, stop="100")
    await stage.sell(maker, 20, "150")
    await stage.print_at("100")
    assert await stage.status(order) == ("filled", 20)
    assert (await stage.summary(account))["available"] < 0


async def test_a_stop_cannot_move_once_it_has_triggered_and_nothing_changes(stage: Stage) -> None:
    """Rule 12: its place included."""
    a, b, taker = [await stage.margin() for _ in range(3)]
    order = await stage.buy(a, 5, "104", stop="105")
    await stage.print_at("105")
    behind = await stage.buy(b, 5, "104")
    assert not await stage.replace(order, 4, "104", "106")
    await stage.sell(taker, 6, "104")
    assert await stage.status(order) == ("filled", 5)
    assert await stage.status(behind) == ("partially_filled", 1)


async def test_a_replaced_stop_limit_that_had_triggered_does_not_trigger_again(stage: Stage) -> None:
    """Rules 11 and 12: the journal tells one trigger, however often the order is replaced after it."""
    order = await stage.buy(await stage.margin(), 5, "106", stop="105")
    await stage.print_at("105")
    assert await stage.replace(order, None, "107")
    assert await stage.replace(order, 7)
    assert (await stage.journal(order)).count("triggered") == 1


async def test_a_waiting_stop_limit_reserves_at_its_limit_and_a_stop_at_its_stop_price(stage: Stage) -> None:
    """Rule 21."""
    account = await stage.cash("10000")
    await stage.buy(account, 10, "110", stop="100")
    assert (await stage.summary(account))["reserved"] == 1100
    stop = await stage.buy(account, 10, stop="105")
    assert (await stage.summary(account))["reserved"] == 2150
    await stage.cancel(stop)
    assert (await stage.summary(account))["available"] == 8900


async def test_a_stop_that_is_through_on_arrival_spends_no_more_than_there_is(stage: Stage) -> None:
    """Rules 11 and 21: whole lots as far as the money goes, commission included; then the reason."""
    await stage.fees("cash", "0", "0.01")
    maker, buyer = await stage.margin(), await stage.cash("1010")
    await stage.print_at("100")
    await stage.sell(maker, 10, "120")
    order = await stage.buy(buyer, 10, stop="100")
    assert await stage.status(order) == ("cancelled", 8)
    assert "insufficient funds" in await stage.reason(order)
    assert await stage.balance(buyer) == 1010 - 960 - Decimal("9.60")
