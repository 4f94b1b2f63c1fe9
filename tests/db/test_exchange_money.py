"""Rules 16 to 22: cash, commission, positions, marks, and what an account may do."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from tests.db.stage import Stage, refused


async def test_cash_of_a_fill_is_the_same_for_both_sides(fine: Stage) -> None:
    """Rule 16: 0.333 × 0.15 = 0.04995 is 0.05 for both."""
    seller, buyer = await fine.margin("10"), await fine.cash("1")
    await fine.sell(seller, "0.333", "0.15")
    await fine.buy(buyer, "0.333", "0.15")
    assert await fine.balance(seller) == D("10.05")
    assert await fine.balance(buyer) == D("0.95")


async def test_commission_is_charged_by_role_and_stays_out_of_the_average(stage: Stage) -> None:
    """Rule 17."""
    await stage.fees("cash", "0.001", "0.002")
    await stage.fees("margin", "0.0005", "0.003")
    seller, buyer = await stage.margin(), await stage.cash("10000")
    await stage.sell(seller, 10, "100.55")
    await stage.buy(buyer, 10, "100.55")
    assert await stage.balance(buyer) == D("10000") - D("1005.50") - D("2.01")
    assert await stage.balance(seller) == D("1000000") + D("1005.50") - D("0.50")
    assert (await stage.position(buyer))["average_price"] == D("100.55")
    rows = await stage.connection.fetch("select side, commission from trades order by trade_id")
    assert [(r["side"], r["commission"]) for r in rows] == [("sell", D("0.50")), ("buy", D("2.01"))]
    assert (await stage.summary(buyer))["commissions"] == D("2.01")


async def test_commission_is_a_share_of_the_cash_rounded_to_the_cent(stage: Stage) -> None:
    """Rule 17: half a cent is a cent, less is none; and where no row says otherwise there is none."""
    await stage.fees("cash", "0.0005", "0.0005")
    seller, buyer = await stage.margin(), await stage.cash("10000")
    for price, commission in (("9.99", "0"), ("10.00", "0.01"), ("29.99", "0.01"), ("30.00", "0.02")):
        await stage.sell(seller, 1, price)
        order = await stage.buy(buyer, 1, price)
        rows = await stage.connection.fetch(
            "select o.order_id = $1 as is_buyer, t.commission from trades t join orders o using (order_id)"
            " order by trade_id desc limit 2",
            order,
        )
        assert {row["is_buyer"]: row["commission"] for row in rows} == {True: D(commission), False: D(0)}
    kinds = await stage.connection.fetch(
        "select amount from transactions where transaction_type = 'commission' order by transaction_id"
    )
    assert [row["amount"] for row in kinds] == [D("-0.01"), D("-0.01"), D("-0.02")]
    assert (await stage.position(buyer))["cost"] == D("79.98")


async def test_every_limit_buy_needs_its_price_and_the_worst_commission_on_arrival(stage: Stage) -> None:
    """Rule 21: IOC and FOK included; one that would fill at a better price needs it too."""
    await stage.fees("cash", "0.01", "0.002")
    seller, buyer = await stage.margin(), await stage.cash("1009.99")
    await stage.sell(seller, 10, "90")
    for tif in ("GTC", "DAY", "IOC", "FOK"):
        order = await stage.buy(buyer, 10, "100", tif=tif)
        assert await stage.reason(order) == "insufficient funds: 1010.00 needed, 1009.99 available"
    await stage.connection.execute("select deposit($1, 0.01)", buyer)
    assert await stage.status(await stage.buy(buyer, 10, "100", tif="FOK")) == ("filled", 10)
    assert await stage.balance(buyer) == 1010 - 900 - D("1.80")


async def test_every_change_of_a_balance_is_a_row_of_the_ledger(stage: Stage) -> None:
    """Rule 18."""
    await stage.fees("cash", "0", "0.001")
    seller, buyer = await stage.margin(), await stage.cash("1000")
    await stage.sell(seller, 2, "100")
    await stage.buy(buyer, 2, "100")
    await stage.connection.execute("select withdraw($1, 99.80, 'rent')", buyer)
    rows = await stage.connection.fetch(
        "select * from transactions where account_id = $1 order by transaction_id", buyer
    )
    assert [(r["transaction_type"], r["amount"], r["balance_after"]) for r in rows] == [
        ("deposit", 1000, 1000),
        ("trade_buy", -200, 800),
        ("commission", D("-0.20"), D("799.80")),
        ("withdrawal", D("-99.80"), 700),
    ]
    assert rows[-1]["description"] == "rent"


@pytest.mark.parametrize("table", ["transactions", "trades", "journal"])
@pytest.mark.parametrize(
    "statement", ["update {} set account_id = account_id", "delete from {}", "truncate {} cascade"]
)
async def test_history_is_append_only_for_the_owner_too(stage: Stage, table: str, statement: str) -> None:
    """Rule 18."""
    await stage.print_at("100")
    with pytest.raises(Exception, match="append-only"):
        await stage.connection.execute(statement.format(table))


async def test_adding_averages_reducing_realizes_and_flat_forgets_the_average(stage: Stage) -> None:
    """Rule 19: the specification's own example ends at exactly −1.00."""
    buyer, other = await stage.cash(), await stage.margin()
    for price in ("100", "100", "101"):
        await stage.sell(other, 1, price)
        await stage.buy(buyer, 1, price)
    position = await stage.position(buyer)
    assert (position["quantity"], position["cost"], position["average_price"]) == (3, 301, D("100.33333333"))
    await stage.buy(other, 3, "100")
    await stage.sell(buyer, 1, "100")
    assert (await stage.position(buyer))["realized_pnl"] == D("-0.33")
    assert (await stage.position(buyer))["average_price"] == D("100.33333333")
    await stage.sell(buyer, 2, "100")
    position = await stage.position(buyer)
    assert (position["quantity"], position["cost"], position["average_price"]) == (0, 0, 0)
    assert position["realized_pnl"] == D("-1.00")
    assert (await stage.position(other))["realized_pnl"] == D("1.00")


async def test_a_fill_through_zero_closes_at_the_old_average_and_opens_at_the_fill(stage: Stage) -> None:
    """Rule 19."""
    a, b = await stage.margin(), await stage.margin()
    await stage.sell(b, 10, "100")
    await stage.buy(a, 10, "100")
    await stage.buy(b, 15, "110")
    await stage.sell(a, 15, "110")
    position = await stage.position(a)
    assert (position["quantity"], position["average_price"], position["cost"], position["realized_pnl"]) == (
        -5,
        110,
        -550,
        100,
    )
    mirror = await stage.position(b)
    assert (mirror["quantity"], mirror["average_price"], mirror["cost"], mirror["realized_pnl"]) == (
        5,
        110,
        550,
        -100,
    )


async def test_realized_is_an_exact_total_rounded_once(fine: Stage) -> None:
    """Rule 19: three times a third of a cent is a cent."""
    a, b = await fine.margin(), await fine.margin()
    await fine.sell(b, 3, "1")
    await fine.buy(a, 3, "1")
    for _ in range(3):
        await fine.buy(b, 1, "1.00333333")
        await fine.sell(a, 1, "1.00333333")
    assert (await fine.position(a))["realized_pnl"] == D("0.01")


async def test_the_mark_is_the_middle_else_the_last_trade_else_the_last_bar_else_the_average(
    stage: Stage,
) -> None:
    """Rule 20."""
    holder = await stage.holder(10, "100")
    maker = await stage.margin()

    async def mark() -> D:
        value: D = await stage.connection.fetchval("select mark from position_report($1)", holder)
        return value

    assert await mark() == 100  # the last trade
    bid = await stage.buy(maker, 1, "104")
    assert await mark() == 100  # one side is no middle
    ask = await stage.sell(maker, 1, "105")
    assert await mark() == D("104.5")
    summary = await stage.summary(holder)
    assert summary["unrealized_pnl"] == 45
    assert summary["equity"] == 1_000_000 - 1000 + 1045
    await stage.cancel(bid)
    await stage.cancel(ask)
    await stage.connection.execute("update internal.books set last_price = null")
    assert await mark() == 100  # the last bar
    await stage.connection.execute("update market_data set close = 103")
    assert await mark() == 103
    await stage.connection.execute("delete from market_data")
    assert await mark() == 100  # the average
    await stage.connection.execute("update internal.books set last_price = 100")


async def test_refresh_marks_positions_in_one_statement(stage: Stage) -> None:
    """Rule 20."""
    holder, maker = await stage.holder(10, "100"), await stage.margin()
    await stage.buy(maker, 1, "101")
    await stage.sell(maker, 1, "102")
    assert await stage.connection.fetchval("select refresh_pnl($1)", holder) == 1
    assert (await stage.position(holder))["unrealized_pnl"] == 15
    assert await stage.connection.fetchval("select refresh_pnl($1)", holder) == 0
    assert await stage.connection.fetchval("select refresh_pnl()") == 1  # the one who sold it short
    assert await stage.connection.fetchval("select sum(unrealized_pnl) from positions") == 0


async def test_calculate_position_pnl_marks_one_position_at_a_given_price(stage: Stage) -> None:
    """Rule 20."""
    holder = await stage.holder(10, "100")
    position = await stage.position(holder)
    assert (
        await stage.connection.fetchval("select calculate_position_pnl($1, 101.5)", position["position_id"])
        == 15
    )
    assert (await stage.position(holder))["unrealized_pnl"] == 15
    row = await stage.connection.fetchrow("select * from portfolio_view where account_id = $1", holder)
    assert row is not None
    assert (row["quantity"], row["average_price"], row["unrealized_pnl"], row["position_value"]) == (
        10,
        100,
        15,
        1000,
    )


@pytest.mark.parametrize("amount", ["0", "-5", "0.001", "NaN", "1000000000000000000"])
async def test_a_senseless_amount_of_money_is_an_error(stage: Stage, amount: str) -> None:
    """Rule 4: not positive, finer than a cent, or beyond numeric(20,2)."""
    account = await stage.cash()
    for function in ("deposit", "withdraw"):
        with refused("amount", amount):
            await stage.connection.fetchval(f"select {function}($1, $2)", account, D(amount))


async def test_a_withdrawal_beyond_what_is_available_is_an_error(stage: Stage) -> None:
    """Rule 21."""
    account = await stage.cash("1000")
    await stage.buy(account, 6, "100")
    with refused("amount", "400.01"):
        await stage.connection.execute("select withdraw($1, 400.01)", account)
    await stage.connection.execute("select withdraw($1, 400)", account)
    assert (await stage.summary(account))["available"] == 0
    with refused("account_id", "999", code="PS002"):
        await stage.connection.execute("select deposit(999, 1)")


# Cash accounts (rule 21)


async def test_an_open_buy_reserves_its_price_and_the_worst_commission(stage: Stage) -> None:
    """Rule 21: and a cancel gives it back."""
    await stage.fees("cash", "0.001", "0.002")
    account = await stage.cash("1002")
    order = await stage.buy(account, 10, "100")
    summary = await stage.summary(account)
    assert (summary["reserved"], summary["available"], summary["balance"]) == (1002, 0, 1002)
    assert (await stage.status(await stage.buy(account, 1, "0.01")))[0] == "rejected"
    await stage.cancel(order)
    assert (await stage.summary(account))["available"] == 1002
    refused_order = await stage.buy(account, 11, "100")
    assert await stage.reason(refused_order) == "insufficient funds: 1102.20 needed, 1002.00 available"


async def test_a_better_price_gives_the_difference_back(stage: Stage) -> None:
    """Rule 21."""
    seller, buyer = await stage.margin(), await stage.cash("1000")
    await stage.sell(seller, 5, "90")
    order = await stage.buy(buyer, 10, "100")
    assert await stage.status(order) == ("partially_filled", 5)
    summary = await stage.summary(buyer)
    assert (summary["balance"], summary["reserved"], summary["available"]) == (550, 500, 50)


async def test_a_market_buy_is_paid_as_a_whole_or_refused_as_a_whole(stage: Stage) -> None:
    """Rule 21: against the book, commission included."""
    seller, buyer = await stage.margin(), await stage.cash("1000")
    await stage.sell(seller, 5, "100")
    await stage.sell(seller, 5, "110")
    assert (await stage.status(await stage.buy(buyer, 10)))[0] == "rejected"
    assert await stage.status(await stage.buy(buyer, 9)) == ("filled", 9)
    # What it cannot trade costs nothing.
    assert await stage.status(await stage.buy(await stage.cash("110"), 500)) == ("cancelled", 1)


async def test_open_sells_cannot_exceed_the_position(stage: Stage) -> None:
    """Rule 21. Waiting stops included."""
    holder = await stage.holder(10, "100")
    first = await stage.sell(holder, 4, "110")
    stop = await stage.sell(holder, 4, stop="90")
    for terms in ({"price": "120"}, {"price": None}, {"price": None, "stop": "80"}):
        order = await stage.sell(holder, 3, **terms)
        assert "insufficient position" in await stage.reason(order)
    assert (await stage.status(await stage.sell(holder, 2, "120")))[0] == "open"
    await stage.cancel(first)
    await stage.cancel(stop)
    assert await stage.status(await stage.sell(holder, 8, "111")) == ("open", 0)
    assert (await stage.status(await stage.sell(await stage.cash(), 1, "100")))[0] == "rejected"


async def test_a_triggered_stop_buy_fills_whole_lots_as_far_as_the_money_goes(stage: Stage) -> None:
    """Rule 21."""
    buyer, seller = await stage.cash("1000"), await stage.margin()
    order = await stage.buy(buyer, 10, stop="100")
    assert (await stage.summary(buyer))["reserved"] == 1000
    await stage.sell(seller, 4, "120")
    await stage.sell(seller, 6, "130")
    await stage.print_at("100")
    assert await stage.status(order) == ("cancelled", 8)
    assert "insufficient funds" in await stage.reason(order)
    assert await stage.balance(buyer) == 1000 - 480 - 520
    assert (await stage.summary(buyer))["reserved"] == 0


async def test_roundings_never_overdraw_a_cash_account(fine: Stage) -> None:
    """Rule 21: a hundred fills of 0.015 cost 0.02 each; the order ends when the money does."""
    buyer, seller = await fine.cash("1.50"), await fine.margin()
    order = await fine.buy(buyer, "10", "0.15")
    for _ in range(100):
        await fine.sell(seller, "0.1", "0.15", tif="IOC")
    assert await fine.balance(buyer) >= 0
    assert (await fine.status(order))[0] == "cancelled"
    assert "insufficient funds" in await fine.reason(order)


async def test_a_seller_goes_on_past_an_order_that_cannot_pay(fine: Stage) -> None:
    """Rules 13 and 21: the rest of the book is still there for it, and is not crossed afterwards."""
    poor, rich, seller = await fine.cash("1.50"), await fine.cash("100"), await fine.margin()
    first = await fine.buy(poor, "10", "0.15")
    for _ in range(74):
        await fine.sell(seller, "0.1", "0.15", tif="IOC")
    second = await fine.buy(rich, "10", "0.15")
    order = await fine.sell(seller, "2.45", "0.15")
    assert (await fine.status(first))[0] == "cancelled"
    assert await fine.status(order) == ("filled", D("2.45"))
    assert await fine.status(second) == ("partially_filled", D("2.45"))


# Margin accounts (rule 22)


async def test_a_margin_account_may_be_short_and_needs_half_of_what_it_holds(stage: Stage) -> None:
    """Rule 22."""
    account = await stage.margin("1000")
    assert (await stage.status(await stage.sell(account, 21, "100")))[0] == "rejected"
    assert (await stage.status(await stage.sell(account, 20, "100")))[0] == "open"  # equality passes
    summary = await stage.summary(account)
    assert (summary["initial_margin"], summary["available"], summary["reserved"]) == (1000, 0, 0)
    # The other way counts for itself: per instrument the worse of the two.
    assert (await stage.status(await stage.buy(account, 20, "90")))[0] == "open"
    order = await stage.buy(account, 5, "89")
    assert await stage.reason(order) == "insufficient margin: 1122.50 required, equity 1000.00"


async def test_what_only_reduces_is_never_refused_even_in_a_margin_call(stage: Stage) -> None:
    """Rule 22."""
    account, other = await stage.margin("1000"), await stage.margin()
    await stage.sell(other, 20, "100")
    await stage.buy(account, 20, "100")
    await stage.print_at("60")
    summary = await stage.summary(account)
    assert summary["margin_call"]
    assert (summary["equity"], summary["maintenance_margin"]) == (200, 300)
    assert (await stage.status(await stage.buy(account, 1, "60")))[0] == "rejected"
    assert (await stage.status(await stage.sell(account, 20, "70")))[0] == "open"
    assert (await stage.status(await stage.sell(account, 1, "70")))[
        0
    ] == "rejected"  # together they would open a short


async def test_margin_rates_are_settings_of_the_account_type(stage: Stage) -> None:
    """Rule 22."""
    await stage.connection.execute("insert into margin_schedule values ('pro', 0.1, 0.05, 0.05)")
    account = await stage.connection.fetchval(
        "insert into accounts (account_type, account_number) values ('pro', 'PRO-1') returning account_id"
    )
    await stage.connection.execute("select deposit($1, 1000)", account)
    assert (await stage.status(await stage.buy(account, 100, "100")))[0] == "open"
    assert (await stage.summary(account))["buying_power"] == 0
