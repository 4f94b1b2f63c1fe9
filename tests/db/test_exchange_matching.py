"""Rules 6 to 15: who trades with whom, at what price, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from db.database import connect
from tests.db.stage import Stage, refused
from tests.factories import make_instrument


async def test_the_best_price_trades_first_then_the_first_to_come(stage: Stage) -> None:
    """Rules 6 and 7: and each match prints at the resting order's price."""
    a, b, c, taker = [await stage.margin() for _ in range(4)]
    worse = await stage.sell(a, 5, "100.10")
    first = await stage.sell(b, 5, "100.00")
    second = await stage.sell(c, 5, "100.00")
    order = await stage.buy(taker, 12, "100.10")
    assert await stage.trades() == [
        (first, order, 5, 100),
        (second, order, 5, 100),
        (worse, order, 2, Decimal("100.1")),
    ]
    assert await stage.status(order) == ("filled", 12)
    assert await stage.status(worse) == ("partially_filled", 2)
    assert await stage.asks() == [("100.10", 3)]


async def test_a_match_writes_two_trades(stage: Stage) -> None:
    """Rule 7."""
    seller, buyer = await stage.margin(), await stage.margin()
    sell = await stage.sell(seller, 10, "100")
    buy = await stage.buy(buyer, 4, "101")
    rows = await stage.connection.fetch("select * from trades order by trade_id")
    assert [(r["order_id"], r["side"], r["liquidity"]) for r in rows] == [
        (sell, "sell", "maker"),
        (buy, "buy", "taker"),
    ]
    assert {(r["quantity"], r["price"], r["match_id"], r["executed_at"]) for r in rows} == {
        (4, 100, rows[0]["match_id"], rows[0]["executed_at"])
    }


async def test_what_is_left_of_a_limit_order_rests(stage: Stage) -> None:
    """Rules 8 and 13: at its own price, and the book is not crossed."""
    seller, buyer = await stage.margin(), await stage.margin()
    await stage.sell(seller, 4, "100")
    order = await stage.buy(buyer, 10, "101")
    assert await stage.status(order) == ("partially_filled", 4)
    assert (await stage.bids(), await stage.asks()) == ([("101.00", 6)], [])


async def test_a_market_order_never_rests(stage: Stage) -> None:
    """Rule 8."""
    seller, buyer = await stage.margin(), await stage.margin()
    await stage.sell(seller, 4, "100")
    order = await stage.buy(buyer, 10)
    assert await stage.status(order) == ("cancelled", 4)
    assert await stage.reason(order) == "nothing more in the book"
    assert await stage.bids() == []
    assert await stage.status(await stage.buy(buyer, 1)) == ("cancelled", 0)


async def test_immediate_or_cancel_takes_what_there_is(stage: Stage) -> None:
    """Rule 9."""
    seller, buyer = await stage.margin(), await stage.margin()
    await stage.sell(seller, 4, "100")
    await stage.sell(seller, 4, "102")
    order = await stage.buy(buyer, 10, "101", tif="IOC")
    assert await stage.status(order) == ("cancelled", 4)
    assert await stage.asks() == [("102.00", 4)]
    assert await stage.bids() == []


async def test_fill_or_kill_is_whole_or_nothing(stage: Stage) -> None:
    """Rule 9."""
    seller, buyer = await stage.margin(), await stage.margin()
    await stage.sell(seller, 4, "100")
    await stage.sell(seller, 4, "101")
    killed = await stage.buy(buyer, 9, "101", tif="FOK")
    assert await stage.status(killed) == ("cancelled", 0)
    assert await stage.status(await stage.buy(buyer, 8, "101", tif="FOK")) == ("filled", 8)
    assert len(await stage.trades()) == 2


async def test_day_orders_expire_at_the_end_of_the_day(stage: Stage) -> None:
    """Rule 9: waiting stops included, and fills are kept."""
    seller, buyer = await stage.margin(), await stage.cash()
    day = await stage.buy(buyer, 10, "100", tif="DAY")
    stop = await stage.buy(buyer, 10, stop="120", tif="DAY")
    kept = await stage.buy(buyer, 10, "99")
    await stage.sell(seller, 4, "100")
    assert await stage.connection.fetchval("select expire_day_orders('2000-01-01')") == 0
    assert await stage.connection.fetchval("select expire_day_orders()") == 2
    assert await stage.status(day) == ("expired", 4)
    assert await stage.status(stop) == ("expired", 0)
    assert await stage.status(kept) == ("open", 0)
    assert (await stage.summary(buyer))["reserved"] == 990


async def test_post_only_never_takes(stage: Stage) -> None:
    """Rule 10: an own order counts as liquidity."""
    a, b = await stage.margin(), await stage.margin()
    await stage.sell(a, 5, "100")
    assert (await stage.status(await stage.buy(b, 5, "100", post_only=True)))[0] == "rejected"
    assert (await stage.status(await stage.buy(a, 5, "100", post_only=True)))[0] == "rejected"
    assert (await stage.status(await stage.buy(b, 5, "99.99", post_only=True)))[0] == "open"
    assert await stage.trades() == []


async def test_a_stop_waits_for_its_price(stage: Stage) -> None:
    """Rule 11: with no trade yet none triggers; a buy at or above, a sell at or below."""
    a, b = await stage.margin(), await stage.margin()
    buy, sell = await stage.buy(a, 1, stop="105"), await stage.sell(a, 1, stop="95")
    assert await stage.status(buy) == ("pending", 0)
    await stage.print_at("104.99")
    await stage.print_at("95.01")
    assert await stage.status(buy) == await stage.status(sell) == ("pending", 0)
    await stage.sell(b, 1, "106")
    await stage.buy(b, 1, "94")
    await stage.print_at("105")
    assert await stage.status(buy) == ("filled", 1)
    await stage.print_at("95")
    assert await stage.status(sell) == ("filled", 1)
    assert await stage.journal(buy) == ["accepted", "triggered", "filled"]


async def test_a_stop_that_is_already_through_triggers_on_arrival(stage: Stage) -> None:
    """Rule 11."""
    a, b = await stage.margin(), await stage.margin()
    await stage.print_at("100")
    await stage.sell(b, 1, "101")
    order = await stage.buy(a, 1, stop="100")
    assert await stage.status(order) == ("filled", 1)
    assert (await stage.order(order))["triggered_at"] is not None


async def test_every_print_of_a_sweep_is_looked_at(stage: Stage) -> None:
    """Rule 11: a price that was only passed through triggers too."""
    a, b, c = [await stage.margin() for _ in range(3)]
    await stage.print_at("100")
    low = await stage.sell(a, 1, "97", stop="98")
    for price in ("99", "98", "99.50"):
        await stage.buy(b, 1, price)
    await stage.sell(c, 3, "90")
    assert (await stage.order(low))["triggered_at"] is not None
    assert await stage.asks() == [("97.00", 1)]


async def test_stops_run_when_the_order_that_set_them_off_is_done(stage: Stage) -> None:
    """Rule 11: its remainder rests first, so a stop can trade with it; then first in, first out."""
    a, b, c, d = [await stage.margin() for _ in range(4)]
    first, second = await stage.sell(a, 3, stop="100"), await stage.sell(b, 3, stop="100")
    await stage.sell(c, 2, "100")
    taker = await stage.buy(d, 6, "100")
    assert await stage.status(taker) == ("filled", 6)
    assert [(m, t, int(q)) for m, t, q, _ in await stage.trades()][1:] == [
        (taker, first, 3),
        (taker, second, 1),
    ]
    assert await stage.status(second) == ("cancelled", 1)


async def test_the_prints_of_a_triggered_stop_trigger_more_breadth_first(stage: Stage) -> None:
    """Rule 11: what the first print set off runs before what its own prints set off."""
    maker, a, b, c, taker = [await stage.margin() for _ in range(5)]
    for price in ("100", "101", "102", "103"):
        await stage.sell(maker, 1, price)
    deep = await stage.buy(c, 1, stop="101")
    first, second = await stage.buy(a, 1, stop="100"), await stage.buy(b, 1, stop="100")
    await stage.buy(taker, 1, "100")
    assert [int(t) for _, t, _, _ in await stage.trades()][1:] == [first, second, deep]
    assert [int(p) for *_, p in await stage.trades()] == [100, 101, 102, 103]


async def test_a_triggered_stop_limit_rests_at_its_limit(stage: Stage) -> None:
    """Rules 8 and 11."""
    a = await stage.margin()
    order = await stage.buy(a, 5, "106", stop="105")
    await stage.print_at("105")
    assert await stage.status(order) == ("open", 0)
    assert await stage.bids() == [("106.00", 5)]


@pytest.mark.parametrize(
    ("way", "incoming", "resting", "asks"),
    [
        ("cancel_newest", ("cancelled", 2), ("open", 0), [("101.00", 5), ("102.00", 9)]),
        ("cancel_oldest", ("filled", 8), ("cancelled", 0), [("102.00", 3)]),
        ("cancel_both", ("cancelled", 2), ("cancelled", 0), [("102.00", 9)]),
        ("decrement", ("filled", 3), ("cancelled", 0), [("102.00", 8)]),
    ],
)
async def test_an_order_never_trades_with_its_own_account(
    stage: Stage, way: str, incoming: tuple[str, int], resting: tuple[str, int], asks: list[tuple[str, int]]
) -> None:
    """Rule 14: others' 2 at 100, own 5 at 101, others' 9 at 102; 8 come in."""
    own, other = await stage.margin(), await stage.margin()
    await stage.sell(other, 2, "100")
    mine = await stage.sell(own, 5, "101")
    await stage.sell(other, 9, "102")
    order = await stage.buy(own, 8, "102", self_trade=way)
    assert await stage.status(order) == incoming
    assert await stage.status(mine) == resting
    assert await stage.asks() == asks
    assert (await stage.order(order))["quantity"] == (3 if way == "decrement" else 8)


async def test_decrement_reduces_the_larger_and_keeps_its_place(stage: Stage) -> None:
    """Rule 14."""
    own, other, taker = [await stage.margin() for _ in range(3)]
    mine = await stage.sell(own, 10, "100")
    theirs = await stage.sell(other, 10, "100")
    small = await stage.buy(own, 4, "100", self_trade="decrement")
    assert await stage.status(small) == ("cancelled", 0)
    assert (await stage.order(small))["quantity"] == 4
    assert (await stage.order(mine))["quantity"] == 6
    await stage.buy(taker, 7, "100")
    assert await stage.status(mine) == ("filled", 6)
    assert await stage.status(theirs) == ("partially_filled", 1)
    equal = await stage.buy(other, 9, "100", self_trade="decrement")
    assert await stage.status(equal) == ("cancelled", 0)
    assert await stage.status(theirs) == ("cancelled", 1)


async def test_fill_or_kill_looks_past_own_orders_only_where_they_would_go(stage: Stage) -> None:
    """Rule 14."""
    own, other = await stage.margin(), await stage.margin()
    mine = await stage.sell(own, 5, "100")
    await stage.sell(other, 5, "101")
    for way in ("cancel_newest", "cancel_both", "decrement"):
        assert await stage.status(await stage.buy(own, 5, "101", tif="FOK", self_trade=way)) == (
            "cancelled",
            0,
        )
        assert await stage.status(mine) == ("open", 0)
    assert await stage.status(await stage.buy(own, 5, "101", tif="FOK", self_trade="cancel_oldest")) == (
        "filled",
        5,
    )
    assert await stage.status(mine) == ("cancelled", 0)


async def test_a_smaller_quantity_keeps_its_place_a_larger_one_or_another_price_does_not(
    stage: Stage,
) -> None:
    """Rule 12."""
    a, b, c = [await stage.margin() for _ in range(3)]
    smaller, larger, moved = (
        await stage.sell(a, 10, "100"),
        await stage.sell(b, 10, "100"),
        await stage.sell(c, 10, "100"),
    )
    assert await stage.replace(larger, 11)
    assert await stage.replace(moved, None, "101")
    assert await stage.replace(moved, None, "100")
    assert await stage.replace(smaller, 5)
    order = await stage.buy(await stage.margin(), 26, "100")
    assert [m for m, *_ in await stage.trades()] == [smaller, larger, moved]
    assert await stage.status(order) == ("filled", 26)


async def test_a_replaced_order_is_matched_as_if_new(stage: Stage) -> None:
    """Rule 12: the total includes what has filled."""
    seller, buyer = await stage.margin(), await stage.cash("1000")
    order = await stage.buy(buyer, 6, "100")
    await stage.sell(seller, 2, "100")
    await stage.sell(seller, 10, "101")
    assert await stage.replace(order, 7, "101")
    assert await stage.status(order) == ("filled", 7)
    assert await stage.balance(buyer) == 1000 - 200 - 505


@pytest.mark.parametrize(
    "terms", [(4, None), (3, None), ("4.5", None), (None, "100.001"), (None, "102"), (11, None)]
)
async def test_a_refused_replace_changes_nothing(
    stage: Stage, terms: tuple[int | str | None, str | None]
) -> None:
    """Rule 12: at or below what has filled, off lot or tick, a post-only that would take, risk."""
    buyer, seller = await stage.cash("1000"), await stage.margin()
    order = await stage.buy(buyer, 10, "100", post_only=True)
    await stage.sell(seller, 4, "100")
    await stage.sell(seller, 4, "102")
    before = await stage.order(order)
    assert not await stage.replace(order, *terms)
    assert await stage.order(order) == before
    assert (await stage.journal(order))[-1] == "replace_refused"


async def test_a_replace_that_says_what_is_already_so_is_granted_and_does_nothing(stage: Stage) -> None:
    order = await stage.buy(await stage.cash(), 10, "100")
    before = await stage.order(order)
    assert await stage.replace(order)
    assert await stage.replace(order, "10.0", "100.00")
    assert await stage.order(order) == before


async def test_a_stop_moves_until_it_has_triggered(stage: Stage) -> None:
    """Rule 12."""
    a = await stage.margin()
    order = await stage.buy(a, 5, "106", stop="105")
    assert await stage.replace(order, stop="104")
    await stage.print_at("104")
    assert (await stage.status(order))[0] == "open"
    assert not await stage.replace(order, stop="103")
    assert await stage.replace(order, None, "107")
    waiting = await stage.buy(a, 5, "110", stop="109")
    assert await stage.replace(waiting, stop="100")  # through the last price: triggers
    assert (await stage.status(waiting))[0] == "open"


async def test_a_final_order_is_not_replaced(stage: Stage) -> None:
    order = await stage.buy(await stage.cash(), 1, "100")
    await stage.cancel(order)
    assert not await stage.replace(order, None, "101")


async def test_times_and_ids_are_taken_under_the_lock(stage: Stage) -> None:
    """Rule 15: never the transaction's start."""
    a, b = await stage.margin(), await stage.margin()
    async with stage.connection.transaction():
        start = await stage.connection.fetchval("select current_timestamp at time zone 'UTC'")
        await asyncio.sleep(0.01)
        sell = await stage.sell(a, 5, "100")
        buy = await stage.buy(b, 5, "100")
    first, second = await stage.order(sell), await stage.order(buy)
    assert start < first["created_at"] < second["created_at"]
    assert first["filled_at"] == second["filled_at"] == second["created_at"]
    assert (await stage.order(await stage.buy(b, 5, "90")))["filled_at"] is None


async def test_a_quote_is_written_when_the_top_of_the_book_changes(stage: Stage) -> None:
    """An empty side is price and size 0."""
    a = await stage.margin()
    await stage.buy(a, 5, "100")
    await stage.buy(a, 5, "99")
    order = await stage.sell(a, 7, "101")
    await stage.buy(a, 1, "100")
    await stage.cancel(order)
    rows = await stage.connection.fetch("select * from quotes order by quote_id")
    assert [(r["bid_price"], r["bid_size"], r["ask_price"], r["ask_size"]) for r in rows] == [
        (100, 5, 0, 0),
        (100, 5, 101, 7),
        (100, 6, 101, 7),
        (100, 6, 0, 0),
    ]


async def test_a_bar_counts_each_match_once(stage: Stage) -> None:
    await stage.print_at("100", 5)
    await stage.print_at("102", 3)
    await stage.print_at("99", 2)
    await stage.print_at("101", 1)
    start = "date_trunc('minute', now() at time zone 'UTC') - interval '1 hour'"
    rows = await stage.connection.fetch(
        f"select * from candles($1, '1 month', {start} - interval '40 days', 'infinity')", stage.instrument
    )
    bars = [(r["open"], r["high"], r["low"], r["close"], r["volume"]) for r in rows]
    assert bars == [(100, 102, 99, 101, 11)]


async def test_a_depth_of_nothing_is_an_error(stage: Stage) -> None:
    with refused("depth", "0"):
        await stage.connection.fetch("select * from order_book($1, 0)", stage.instrument)


async def test_the_time_is_taken_when_the_lock_is_had_and_not_when_it_was_asked_for(
    stage: Stage, database_url: str
) -> None:
    """Rule 15: an account's events in two instruments are numbered as they happened."""
    account, other = await stage.margin(), await make_instrument(stage.database)
    second = await connect(database_url)
    async with stage.connection.transaction():
        await stage.buy(account, 1, "99")
        waiting = asyncio.create_task(
            second.fetchval("select place_order($1, $2, 'limit', 'buy', 1, 99)", account, other)
        )
        await asyncio.sleep(0.1)
        await stage.buy(account, 1, "98")
    await waiting
    await second.close()
    times = await stage.connection.fetch(
        "select at from journal where account_id = $1 order by event_id", account
    )
    assert [row["at"] for row in times] == sorted(row["at"] for row in times)
