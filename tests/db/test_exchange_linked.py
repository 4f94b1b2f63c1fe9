"""Orders that hang together (docs/rules.md, L1 to L3): one-cancels-other, brackets, trailing stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D

import pytest

from db.database import Database
from tests.db.stage import Number, Stage, number, refused


@pytest.fixture
async def stage(database: Database, database_url: str) -> AsyncIterator[Stage]:
    stage = await Stage.open(database, database_url)
    yield stage
    await stage.close()


async def oco(
    stage: Stage,
    account: int,
    side: str,
    quantity: Number,
    limit: Number,
    stop: Number,
    client: str | None = None,
) -> tuple[int, int]:
    row = await stage.connection.fetchrow(
        "select * from place_oco($1, $2, $3, $4, $5, $6, p_client_order_id => $7)",
        account, stage.instrument, side, number(quantity), number(limit), number(stop), client,
    )  # fmt: skip
    assert row is not None
    return row["limit_order_id"], row["stop_order_id"]


async def bracket(
    stage: Stage,
    account: int,
    side: str,
    quantity: Number,
    price: Number | None,
    profit: Number,
    loss: Number,
    client: str | None = None,
) -> int:
    order: int = await stage.connection.fetchval(
        "select place_bracket($1, $2, $3, $4, $5, $6, $7, $8, p_client_order_id => $9)",
        account, stage.instrument, "limit" if price else "market", side,
        number(quantity), number(price), number(profit), number(loss), client,
    )  # fmt: skip
    return order


async def trailing(
    stage: Stage,
    account: int,
    side: str,
    quantity: Number,
    amount: Number | None = None,
    percent: Number | None = None,
    stop: Number | None = None,
) -> int:
    order: int = await stage.connection.fetchval(
        "select place_trailing_stop($1, $2, $3, $4, $5, $6, $7)",
        account, stage.instrument, side, number(quantity), number(amount), number(percent), number(stop),
    )  # fmt: skip
    return order


async def exits(stage: Stage, entry: int) -> list[tuple[str, str, str, D | int]]:
    """(type, side, status, left) of each exit."""
    rows = await stage.connection.fetch("select * from orders where parent_id = $1 order by order_id", entry)
    return [(r["order_type"], r["side"], r["status"], r["quantity"] - r["filled_quantity"]) for r in rows]


async def test_a_pair_shares_one_quantity_and_one_reservation(stage: Stage) -> None:
    """L1: ten shares can stand behind a limit and a stop at once, and behind nothing else."""
    holder = await stage.holder(10, "100")
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    assert (await stage.status(limit))[0] == "open"
    assert (await stage.status(stop))[0] == "pending"
    assert (await stage.status(await stage.sell(holder, 1, "120")))[0] == "rejected"


async def test_what_one_fills_is_taken_off_the_other(stage: Stage) -> None:
    """L1."""
    holder, buyer = await stage.holder(10, "100"), await stage.margin()
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    await stage.buy(buyer, 4, "110")
    assert await stage.status(limit) == ("partially_filled", 4)
    assert (await stage.order(stop))["quantity"] == 6
    await stage.buy(buyer, 6, "110")
    assert (await stage.status(stop))[0] == "cancelled"
    assert f"order {limit} of the pair" in await stage.reason(stop)


async def test_the_stop_takes_the_limit_with_it(stage: Stage) -> None:
    """L1."""
    holder, maker = await stage.holder(10, "100"), await stage.margin()
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    await stage.buy(maker, 10, "89")
    await stage.print_at("90")
    assert await stage.status(stop) == ("filled", 10)
    assert (await stage.status(limit))[0] == "cancelled"


async def test_a_stop_that_finds_nobody_leaves_the_limit_what_is_left(stage: Stage) -> None:
    """L1: the trader asked for a way out, and keeps the one that remains."""
    holder, maker = await stage.holder(10, "100"), await stage.margin()
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    await stage.buy(maker, 3, "89")
    await stage.print_at("90")
    assert await stage.status(stop) == ("cancelled", 3)
    assert await stage.status(limit) == ("open", 0)
    assert (await stage.order(limit))["quantity"] == 7


async def test_cancelling_one_cancels_the_other(stage: Stage) -> None:
    """L1."""
    holder = await stage.holder(10, "100")
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    assert await stage.cancel(stop)
    assert (await stage.status(limit))[0] == "cancelled"
    assert not await stage.cancel(limit)


async def test_a_pair_s_prices_move_and_its_quantity_does_not(stage: Stage) -> None:
    holder = await stage.holder(10, "100")
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    assert await stage.replace(limit, None, "111")
    assert await stage.replace(stop, None, None, "91")
    assert not await stage.replace(limit, 5)
    assert not await stage.replace(stop, 20)


async def test_a_limit_that_fills_at_once_needs_no_stop(stage: Stage) -> None:
    holder, buyer = await stage.holder(10, "100"), await stage.margin()
    await stage.buy(buyer, 10, "112")
    limit, stop = await oco(stage, holder, "sell", 10, "110", "90")
    assert await stage.status(limit) == ("filled", 10)
    assert stop is None


async def test_a_pair_that_makes_no_sense_is_an_error(stage: Stage) -> None:
    holder = await stage.holder(10, "100")
    with refused("stop_price", "110"):
        await oco(stage, holder, "sell", 10, "100", "110")
    with refused("stop_price", "90"):
        await oco(stage, holder, "buy", 10, "100", "90")
    with refused("quantity", "1.5"):
        await oco(stage, holder, "sell", "1.5", "110", "90")
    with refused("account_id", "999", code="PS002"):
        await oco(stage, 999, "sell", 1, "110", "90")


async def test_the_same_pair_asked_for_twice_is_one_pair(stage: Stage) -> None:
    """Rule 5."""
    holder = await stage.holder(10, "100")
    pair = await oco(stage, holder, "sell", 10, "110", "90", client="p")
    assert await oco(stage, holder, "sell", "10.0", "110.0", "90", client="p") == pair
    with refused("client_order_id", "p"):
        await oco(stage, holder, "sell", 10, "110", "91", client="p")


async def test_an_entry_gets_its_exits_as_it_fills(stage: Stage) -> None:
    """L2."""
    trader, maker = await stage.cash("2000"), await stage.margin()
    entry = await bracket(stage, trader, "buy", 10, "100", "110", "95")
    assert await exits(stage, entry) == []
    await stage.sell(maker, 4, "100")
    assert await exits(stage, entry) == [("stop", "sell", "pending", 4), ("limit", "sell", "open", 4)]
    await stage.sell(maker, 6, "100")
    assert await exits(stage, entry) == [("stop", "sell", "pending", 10), ("limit", "sell", "open", 10)]
    await stage.buy(maker, 10, "110")
    assert await exits(stage, entry) == [("stop", "sell", "cancelled", 10), ("limit", "sell", "filled", 0)]
    assert await stage.balance(trader) == 2000 + 100


async def test_a_bracket_that_is_stopped_out(stage: Stage) -> None:
    """L2: a short one, entered at the market."""
    trader, maker = await stage.margin("10000"), await stage.margin()
    await stage.buy(maker, 5, "100")
    entry = await bracket(stage, trader, "sell", 5, None, "90", "105")
    assert await exits(stage, entry) == [("stop", "buy", "pending", 5), ("limit", "buy", "open", 5)]
    await stage.sell(maker, 5, "106")
    await stage.print_at("105")
    assert await exits(stage, entry) == [("stop", "buy", "filled", 0), ("limit", "buy", "cancelled", 5)]
    assert (await stage.position(trader))["realized_pnl"] == -30


async def test_exits_of_later_fills_stand_by_themselves_when_the_first_are_gone(stage: Stage) -> None:
    """L2."""
    trader, maker = await stage.cash("2000"), await stage.margin()
    entry = await bracket(stage, trader, "buy", 10, "100", "101", "95")
    await stage.sell(maker, 4, "100")
    await stage.buy(maker, 4, "101")
    await stage.sell(maker, 6, "100")
    assert [e[2:] for e in await exits(stage, entry)] == [
        ("cancelled", 4),
        ("filled", 0),
        ("pending", 6),
        ("open", 6),
    ]


async def test_a_cancelled_entry_keeps_the_exits_of_what_it_filled(stage: Stage) -> None:
    """L2."""
    trader, maker = await stage.cash("2000"), await stage.margin()
    entry = await bracket(stage, trader, "buy", 10, "100", "110", "95")
    await stage.sell(maker, 4, "100")
    await stage.cancel(entry)
    assert [e[3] for e in await exits(stage, entry)] == [4, 4]


async def test_a_bracket_s_prices_lie_on_the_right_sides(stage: Stage) -> None:
    trader = await stage.cash("2000")
    with refused("stop_loss", "100"):
        await bracket(stage, trader, "buy", 1, "100", "110", "100")
    with refused("take_profit", "100"):
        await bracket(stage, trader, "buy", 1, "100", "100", "90")
    with refused("stop_loss", "99"):
        await bracket(stage, trader, "sell", 1, "100", "90", "99")
    with refused("take_profit", "0.001"):
        await bracket(stage, trader, "buy", 1, "100", "0.001", "90")
    first = await bracket(stage, trader, "buy", 1, "100", "110", "90", client="b")
    assert await bracket(stage, trader, "buy", 1, "100", "110", "90", client="b") == first
    with refused("client_order_id", "b"):
        await bracket(stage, trader, "buy", 1, "100", "111", "90", client="b")


async def test_a_trailing_stop_follows_and_never_goes_back(stage: Stage) -> None:
    """L3."""
    holder, maker = await stage.holder(10, "100"), await stage.margin()
    order = await trailing(stage, holder, "sell", 10, "2")
    assert (await stage.order(order))["stop_price"] == 98
    await stage.print_at("103")
    assert (await stage.order(order))["stop_price"] == 101
    await stage.print_at("101.50")
    assert (await stage.order(order))["stop_price"] == 101
    await stage.buy(maker, 10, "100.90")
    await stage.print_at("101")
    assert await stage.status(order) == ("filled", 10)
    assert await stage.journal(order) == ["accepted", "trailed", "triggered", "filled"]


async def test_a_trailing_buy_by_percent_releases_what_it_no_longer_needs(stage: Stage) -> None:
    """L3, rule 21; the stop is brought to a tick away from the market."""
    buyer = await stage.cash("1100")
    await stage.print_at("100")
    order = await trailing(stage, buyer, "buy", 10, None, "5")
    assert (await stage.summary(buyer))["reserved"] == 1050
    await stage.print_at("90.05")
    assert (await stage.order(order))["stop_price"] == D("94.56")  # 94.5525 and up
    assert (await stage.summary(buyer))["reserved"] == D("945.60")


async def test_one_sweep_can_raise_a_trailing_stop_and_set_it_off(stage: Stage) -> None:
    """L3: each print is looked at with what the ones before it did."""
    holder, taker = await stage.holder(5, "100"), await stage.margin()
    maker = await stage.margin()
    order = await trailing(stage, holder, "sell", 5, "1", stop="95")
    for price in ("104", "103.50", "103", "102"):
        await stage.buy(maker, 1, price)
    await stage.buy(maker, 5, "101")
    await stage.sell(taker, 3, "103")
    assert await stage.status(order) == ("filled", 5)


@pytest.mark.parametrize(
    ("amount", "percent", "field"),
    [
        (None, None, "trail_amount"),
        ("1", "1", "trail_amount"),
        ("0.001", None, "trail_amount"),
        (None, "0", "trail_percent"),
        (None, "100", "trail_percent"),
    ],
)
async def test_a_trail_that_makes_no_sense_is_an_error(
    stage: Stage, amount: str | None, percent: str | None, field: str
) -> None:
    holder = await stage.holder(5, "100")
    with refused(field):
        await trailing(stage, holder, "sell", 5, amount, percent)


async def test_a_trail_without_a_trade_needs_a_start(stage: Stage) -> None:
    account = await stage.margin()
    with refused("stop_price"):
        await trailing(stage, account, "sell", 5, "1")
    assert (await stage.order(await trailing(stage, account, "sell", 5, "1", stop="95")))["stop_price"] == 95
