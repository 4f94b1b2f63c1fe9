"""The SQL interface as a client that knows nothing but its text uses it: by the names of the parameters.

Names, defaults and types of the signatures are held in test_contract.py, and what the functions mean here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from tests.db.stage import Stage, refused
from tests.factories import make_instrument


async def test_place_order_takes_its_parameters_by_name_and_has_its_defaults(
    stage: Stage,
) -> None:
    """place_order: bigint; the columns that orders has besides."""
    account = await stage.cash()
    order = await stage.connection.fetchval(
        """select place_order(p_side => 'buy', p_order_type => 'limit', p_quantity => 3, p_price => 99.5,
                              p_instrument_id => $2, p_account_id => $1)""",
        account,
        stage.instrument,
    )
    row = await stage.order(order)
    expected = {
        "order_type": "limit", "side": "buy", "quantity": 3, "price": D("99.5"), "stop_price": None,
        "time_in_force": "GTC", "post_only": False, "self_trade": "cancel_newest", "client_order_id": None,
        "filled_quantity": 0, "reason": None, "triggered_at": None,
    }  # fmt: skip
    assert {word: row[word] for word in expected} == expected


async def test_place_orders_says_what_became_of_each(stage: Stage) -> None:
    """place_orders: one row an element, counted from 1, as they are when the batch is done."""
    account, other = await stage.cash("1000"), await stage.margin()
    euro = await make_instrument(stage.database, currency="EUR")

    def element(who: int, side: str, quantity: int, price: Any, **terms: Any) -> dict[str, Any]:
        return {
            "account_id": who, "instrument_id": stage.instrument, "order_type": "limit", "side": side,
            "quantity": quantity, "price": price,
        } | terms  # fmt: skip

    rows = await stage.connection.fetch(
        "select * from place_orders(p_orders => $1::jsonb)",
        json.dumps(
            [
                element(account, "buy", 5, 100),
                element(other, "sell", 2, "99.50", client_order_id="c", time_in_force="IOC"),
                element(account, "buy", 1, "100.001"),
                element(account, "buy", 1, 1, instrument_id=euro),
                element(other, "sell", 2, "99.5", client_order_id="c", time_in_force="IOC"),
                element(account, "buy", 1, None, order_type="market"),
                element(other, "sell", 1, None, order_type="stop", stop_price=90),
            ]
        ),
    )
    assert [tuple(row.keys()) for row in rows] == [("ordinal", "order_id", "status", "reason")] * 7
    assert [(row["ordinal"], row["status"]) for row in rows] == [
        (1, "partially_filled"), (2, "filled"), (3, "error"), (4, "rejected"), (5, "filled"),
        (6, "cancelled"), (7, "pending"),
    ]  # fmt: skip
    assert rows[2]["order_id"] is None
    assert rows[2]["reason"].startswith("price 100.001: ")
    assert "EUR" in rows[3]["reason"]
    assert rows[4]["order_id"] == rows[1]["order_id"]
    for row in rows:
        if row["order_id"] is not None:
            stored = await stage.order(row["order_id"])
            assert (stored["status"], stored["reason"]) == (row["status"], row["reason"])


async def test_replace_order_leaves_what_is_null(stage: Stage) -> None:
    """replace_order: boolean; the order keeps its id; each term by its name alone."""
    order = await stage.buy(await stage.cash(), 5, "106", stop="105")
    value = stage.connection.fetchval
    assert await value("select replace_order(p_order_id => $1)", order) is True
    assert await value("select replace_order($1, p_stop_price => 104)", order) is True
    assert await value("select replace_order($1, p_price => 107)", order) is True
    assert await value("select replace_order($1, p_quantity => 4)", order) is True
    row = await stage.order(order)
    assert (row["order_id"], row["quantity"], row["price"], row["stop_price"]) == (order, 4, 107, 104)
    assert await value("select replace_order($1, p_quantity => 4.5)", order) is False


async def test_cancel_order_and_cancel_all_orders(stage: Stage) -> None:
    """True, then false; how many, narrowed by name."""
    account = await stage.margin()
    order = await stage.buy(account, 1, "90")
    value = stage.connection.fetchval
    assert await value("select cancel_order(p_order_id => $1)", order) is True
    assert await value("select cancel_order(p_order_id => $1)", order) is False
    for side, price in (("buy", "90"), ("sell", "110"), ("sell", "111")):
        await stage.place(account, side, 1, price)
    assert await value("select cancel_all_orders($1, p_side => 'sell')", account) == 2
    assert await value("select cancel_all_orders($1, p_instrument_id => $2)", account, stage.instrument) == 1


async def test_deposit_and_withdraw_return_the_transaction(stage: Stage) -> None:
    """bigint; the description is optional; one row of the ledger each."""
    account = await stage.cash("0")
    value = stage.connection.fetchval
    first = await value("select deposit(p_account_id => $1, p_amount => 12.34)", account)
    second = await value("select withdraw($1, 2.34, p_description => 'out')", account)
    rows = await stage.connection.fetch(
        "select * from transactions where account_id = $1 order by transaction_id", account
    )
    assert [(r["transaction_id"], r["transaction_type"], r["amount"], r["description"]) for r in rows] == [
        (first, "deposit", D("12.34"), None),
        (second, "withdrawal", D("-2.34"), "out"),
    ]
    before = await stage.counts()
    for amount in ("10.01", "0.001", "-1", "0"):
        with refused("amount", amount):
            await value("select withdraw($1, $2)", account, D(amount))
    assert await stage.counts() == before


async def test_adjust_corrects_a_balance_and_says_why(stage: Stage) -> None:
    """adjust: bigint; signed; in ledger and journal like a deposit; equity and verify_ledger count it."""
    account = await stage.holder(10, "10", money="1000")
    value = stage.connection.fetchval
    first = await value(
        "select adjust(p_account_id => $1, p_amount => 5.55, p_description => 'interest')", account
    )
    second = await value("select adjust($1, -905.55, 'a deposit booked twice')", account)
    rows = await stage.connection.fetch(
        "select * from transactions where transaction_id in ($1, $2) order by transaction_id", first, second
    )
    assert [(r["transaction_type"], r["amount"], r["balance_after"], r["description"]) for r in rows] == [
        ("adjustment", D("5.55"), D("905.55"), "interest"),
        ("adjustment", D("-905.55"), 0, "a deposit booked twice"),
    ]
    told = await stage.connection.fetch(
        "select at, detail from journal where kind = 'adjustment' and account_id = $1 order by event_id",
        account,
    )
    assert [(r["at"], json.loads(r["detail"])) for r in told] == [
        (
            r["created_at"],
            {
                "transaction_id": r["transaction_id"], "amount": float(r["amount"]),
                "balance": float(r["balance_after"]), "description": r["description"],
            },
        )
        for r in rows
    ]  # fmt: skip
    assert (await stage.summary(account))["equity"] == 100


async def test_adjust_refuses_what_withdraw_would(stage: Stage) -> None:
    """A cash account keeps what it has set aside; a margin account may owe what it was given by mistake."""
    cash, margin = await stage.cash("100"), await stage.margin("100")
    await stage.buy(cash, 1, "60")
    adjust = "select adjust($1, $2, $3)"
    before = await stage.counts()
    for amount in ("-40.01", "0", "NaN", "0.001", "1e18", "-1e18", None):
        with refused("amount", amount and f"{D(amount):f}"):
            await stage.connection.fetchval(adjust, cash, amount and D(amount), "why")
    for description in (None, "", "  ", "x" * 256):
        with refused("description"):
            await stage.connection.fetchval(adjust, cash, D(1), description)
    with refused("account_id", "4711", code="PS002"):
        await stage.connection.fetchval(adjust, 4711, D(1), "why")
    assert await stage.counts() == before
    await stage.connection.execute("update accounts set status = 'closed' where account_id = $1", cash)
    with refused("account_id", str(cash)):
        await stage.connection.fetchval(adjust, cash, D(1), "why")
    await stage.connection.fetchval(adjust, margin, D("-130"), "was paid in for somebody else")
    assert await stage.balance(margin) == -30


async def test_match_pending_leaves_stops_aside_and_goes_by_id(stage: Stage) -> None:
    """match_pending: those inserted as pending, with nothing but what a row needs."""
    seller, buyer = await stage.margin(), await stage.cash()
    insert = """insert into orders (account_id, instrument_id, order_type, side, quantity, price, stop_price)
                values ($1, $2, $3, $4, $5, $6, $7) returning order_id"""
    value = stage.connection.fetchval
    first = await value(insert, seller, stage.instrument, "limit", "sell", D(1), D(100), None)
    second = await value(insert, seller, stage.instrument, "limit", "sell", D(1), D(100), None)
    buy = await value(insert, buyer, stage.instrument, "limit", "buy", D(1), D(100), None)
    stop = await value(insert, buyer, stage.instrument, "stop", "buy", D(1), None, D(1))
    assert await value("select match_pending()") == 3
    assert await stage.trades() == [(first, buy, 1, 100)]
    assert await stage.status(second) == ("open", 0)
    assert await stage.status(stop) == ("pending", 0)
    assert await value("select match_pending()") == 0
    assert await stage.cancel(stop)


@pytest.mark.parametrize(
    ("column", "value"),
    [("side", "BUY"), ("order_type", "iceberg"), ("time_in_force", "ever"), ("quantity", 0), ("price", -5)],
)
async def test_an_inserted_row_that_makes_no_sense_is_rejected_and_breaks_no_books(
    stage: Stage, column: str, value: Any
) -> None:
    """match_pending: there is nobody to tell but the row itself; verify_ledger is empty afterwards."""
    row = {
        "account_id": await stage.cash(), "instrument_id": stage.instrument, "order_type": "limit",
        "side": "buy", "quantity": 1, "price": 100,
    } | {column: value}  # fmt: skip
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    order = await stage.connection.fetchval(
        f"insert into orders ({', '.join(row)}) values ({places}) returning order_id", *row.values()
    )
    assert await stage.connection.fetchval("select match_pending()") == 1
    assert (await stage.status(order))[0] == "rejected"
    assert (await stage.reason(order)).startswith(f"{column} {value}")
    assert await stage.journal(order) == ["rejected"]
    assert await stage.connection.fetch("select * from verify_ledger()") == []


async def test_order_book_is_best_first_and_twenty_deep_unless_asked_otherwise(stage: Stage) -> None:
    """order_book: levels with their quantity and number of orders; waiting stops are not in it."""
    account = await stage.margin("100000000")
    for n in range(25):
        await stage.buy(account, 2, D(90) - n)
        await stage.sell(account, 1, D(110) + n)
    await stage.buy(account, 3, "90")
    await stage.buy(account, 7, stop="120")
    rows = await stage.connection.fetch("select * from order_book(p_instrument_id => $1)", stage.instrument)
    assert tuple(rows[0].keys()) == ("side", "price", "quantity", "orders")
    bids = [tuple(row)[1:] for row in rows if row["side"] == "buy"]
    asks = [tuple(row)[1:] for row in rows if row["side"] == "sell"]
    assert bids == [(90, 5, 2), *[(90 - n, 2, 1) for n in range(1, 20)]]
    assert asks == [(110 + n, 1, 1) for n in range(20)]
    deep = await stage.connection.fetch("select * from order_book($1, p_depth => 100)", stage.instrument)
    assert len(deep) == 50


async def test_account_summary_is_marked_at_read(stage: Stage) -> None:
    """account_summary: one row, now; nobody has to refresh anything before."""
    holder = await stage.holder(10, "100", money="2000")
    await stage.buy(holder, 2, "50")
    await stage.print_at("103")
    assert (await stage.position(holder))["unrealized_pnl"] == 0
    summary = dict(await stage.summary(holder))
    assert summary == {
        "balance": 1000, "reserved": 100, "available": 900, "equity": 2030, "realized_pnl": 0,
        "unrealized_pnl": 30, "commissions": 0, "initial_margin": 0, "maintenance_margin": 0,
        "buying_power": 900, "margin_call": False,
    }  # fmt: skip


async def test_refresh_pnl_marks_one_account_or_all_and_counts_what_changed(stage: Stage) -> None:
    """refresh_pnl: at the mark of rule 20."""
    holder = await stage.holder(10, "100")
    other = await stage.holder(4, "100")
    await stage.print_at("103")
    value = stage.connection.fetchval
    assert await value("select refresh_pnl(p_account_id => $1)", holder) == 1
    assert (await stage.position(holder))["unrealized_pnl"] == 30
    assert (await stage.position(other))["unrealized_pnl"] == 0
    assert await value("select refresh_pnl()") == 3  # the other, and the two who sold to them
    assert (await stage.position(other))["unrealized_pnl"] == 12
    assert await value("select refresh_pnl()") == 0


async def test_candles_from_the_bars_kept(stage: Stage) -> None:
    """candles: any interval, months and weeks too, UTC, from inclusive to exclusive."""
    monday = datetime(2026, 1, 5, tzinfo=UTC).replace(tzinfo=None)
    for minutes, o, h, low, c, volume in (
        (0, 100, 105, 99, 101, 5),
        (59, 101, 110, 98, 109, 7),
        (60, 109, 109, 90, 91, 1),
        (7 * 24 * 60 - 1, 91, 95, 91, 95, 2),
        (7 * 24 * 60, 95, 96, 94, 94, 3),
    ):
        await stage.connection.execute(
            "insert into market_data values ($1, $2, $3, $4, $5, $6, $7)",
            monday + timedelta(minutes=minutes),
            stage.instrument,
            *(D(each) for each in (o, h, low, c, volume)),
        )

    async def candles(interval: str, days: float = 40) -> list[tuple[Any, ...]]:
        rows = await stage.connection.fetch(
            f"""select * from candles(p_instrument_id => $1, p_interval => interval '{interval}',
                                      p_from => $2, p_to => $3)""",
            stage.instrument,
            monday,
            monday + timedelta(days=days),
        )
        return [tuple(row) for row in rows]

    week = timedelta(days=7)
    assert (await candles("1 hour"))[:2] == [
        (monday, 100, 110, 98, 109, 12),
        (monday + timedelta(hours=1), 109, 109, 90, 91, 1),
    ]
    assert await candles("1 week") == [
        (monday, 100, 110, 90, 95, 15),
        (monday + week, 95, 96, 94, 94, 3),
    ]
    assert await candles("1 month") == [(monday.replace(day=1), 100, 110, 90, 94, 18)]
    assert await candles("1 year") == [(monday.replace(day=1), 100, 110, 90, 94, 18)]
    assert [row[0] for row in await candles("1 minute", days=7)] == [
        monday + timedelta(minutes=n) for n in (0, 59, 60, 7 * 24 * 60 - 1)
    ]


async def test_verify_ledger_of_one_account_finds_what_is_wrong_with_it_alone(stage: Stage) -> None:
    """verify_ledger: invariant, subject, detail; p_account_id narrows it."""
    first, second = await stage.cash("100"), await stage.cash("100")
    transaction = stage.connection.transaction()
    await transaction.start()
    await stage.connection.execute("update accounts set balance = 101 where account_id = $1", first)
    rows = await stage.connection.fetch("select * from verify_ledger(p_account_id => $1)", first)
    assert [(row["invariant"], row["subject"]) for row in rows] == [
        ("the balance is the sum of the transactions", f"account {first}")
    ]
    assert json.loads(rows[0]["detail"])["balance"] == 101
    assert await stage.connection.fetch("select * from verify_ledger($1)", second) == []
    assert len(await stage.connection.fetch("select * from verify_ledger()")) == 1
    await transaction.rollback()


@pytest.mark.parametrize(
    ("status", "terms"),
    [
        ("rejected", {"quantity": 1000, "price": "100"}),
        ("cancelled", {"quantity": 1, "price": "100", "tif": "IOC"}),
    ],
)
async def test_a_final_status_that_is_taken_back_is_noticed(
    stage: Stage, status: str, terms: dict[str, Any]
) -> None:
    """Rule 3 and verify_ledger: also of an order that never stood in the book."""
    order = await stage.buy(await stage.cash("1000"), **terms)
    assert (await stage.status(order))[0] == status
    for other in ("pending", "open", "partially_filled", "filled", "cancelled", "rejected", "expired"):
        transaction = stage.connection.transaction()
        await transaction.start()
        await stage.connection.execute("update orders set status = $2 where order_id = $1", order, other)
        found = await stage.connection.fetch("select * from verify_ledger()")
        assert bool(found) == (other != status), f"{status} → {other}"
        await transaction.rollback()


async def test_the_bar_and_the_quote_of_a_trade_come_with_it(stage: Stage) -> None:
    """place_order: quote and bar in the same transaction; size 0 stands for an empty side; UTC minutes."""
    seller, buyer = await stage.margin(), await stage.cash()
    await stage.sell(seller, 3, "100")
    await stage.buy(buyer, 3, "100")
    quote = await stage.connection.fetchrow("select * from quotes order by quote_id desc limit 1")
    bar = await stage.connection.fetchrow("select * from market_data")
    trade = await stage.connection.fetchrow("select * from trades limit 1")
    assert quote is not None
    assert bar is not None
    assert trade is not None
    assert (quote["bid_price"], quote["bid_size"], quote["ask_price"], quote["ask_size"]) == (0, 0, 0, 0)
    assert bar["time"] == trade["executed_at"].replace(second=0, microsecond=0)
    assert (bar["open"], bar["close"], bar["volume"]) == (100, 100, 3)
    assert await stage.connection.fetchval("show timezone") == "UTC"
