"""The desk on the real exchange: what it shows, what it asks, and how it comes through a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from db import orders
from db.database import Database
from db.errors import RequestError, ServerError
from db.orders import OrderRequest
from terminal.desk import Desk
from terminal.state import Side
from tests.factories import make_account, make_instrument, make_user
from tests.terminal.desks import NAME, D, Market, running


async def test_it_begins_with_everything(market: Market) -> None:
    await market.quote("sell", "50", "10.10")
    await market.quote("buy", "30", "9.90")
    async with running(market.url, account="MINE") as run:
        state = run.desk.state
        assert state.account is not None
        assert (state.account.number, state.account.balance) == ("MINE", D("10000.00"))
        assert state.instrument is not None
        assert (state.instrument.symbol, state.instrument.tick, state.instrument.lot) == (
            "ACME",
            D("0.01"),
            D(1),
        )
        assert state.book is not None
        assert [(level.price, level.quantity) for level in state.book.asks] == [(D("10.10"), D(50))]
        assert [(level.price, level.quantity) for level in state.book.bids] == [(D("9.90"), D(30))]
        assert state.quote is not None
        assert (state.quote.bid, state.quote.ask) == (D("9.90"), D("10.10"))
        assert not state.demo


async def test_a_resting_order_is_listed_and_marked_in_the_book(market: Market) -> None:
    await market.quote("buy", "30", "9.90")
    async with running(market.url, account="MINE") as run:
        answer = await run.desk.place(run.entry("buy", "20", "9.90"))
        assert answer.outcome == "accepted"
        assert answer.text.endswith("rests: buy 20 ACME @ 9.90")
        state = await run.until(
            lambda s: s.orders and (s.book.bids[0].quantity, s.book.bids[0].own) == (50, 20)
        )
        assert [(order.side, order.remaining, order.price) for order in state.orders] == [
            ("buy", D(20), D("9.90"))
        ]
        state = await run.until(lambda s: s.account and s.account.reserved)
        assert state.account is not None
        assert (state.account.reserved, state.account.available) == (D("198.00"), D("9802.00"))


async def test_a_crossing_order_trades_and_everything_follows(market: Market) -> None:
    await market.quote("sell", "30", "10.00")
    await market.quote("sell", "30", "10.10")
    async with running(market.url, account="MINE") as run:
        answer = await run.desk.place(run.entry("buy", "40", "10.10"))
        assert (answer.outcome, answer.text) == ("filled", "Bought 40 ACME @ 10.0250 on average")
        state = await run.until(lambda s: s.positions and s.account.balance < 10000)
        assert state.account is not None
        assert state.account.balance == D("9599.00")  # 30 × 10.00 + 10 × 10.10
        (position,) = state.positions
        assert (position.quantity, position.average) == (D(40), D("10.025"))
        await run.until(lambda _: run.notices)
        assert run.notices[0].kind == "buy"
        assert run.notices[0].text.startswith("Bought 40 ACME @ 10.0250 on average")


async def test_a_resting_order_that_fills_later_is_told(market: Market) -> None:
    async with running(market.url, account="MINE") as run:
        await run.desk.place(run.entry("buy", "40", "9.50"))
        await run.until(lambda s: s.orders)
        assert run.notices == []
        await market.quote("sell", "15", "9.50")
        state = await run.until(lambda s: run.notices and s.orders[0].filled)
        assert run.notices[0].text.startswith("Bought 15 ACME @ 9.50 · order")
        assert state.orders[0].remaining == D(25)


@pytest.mark.parametrize(
    ("side", "quantity", "price", "tif", "outcome", "words"),
    [
        ("buy", "50", "10.00", "GTC", "partial", "Bought 30 ACME @ 10.00; 20 of 50 rest @ 10.00"),
        ("buy", "50", "10.00", "IOC", "partial", "Bought 30 ACME @ 10.00; 20 of 50 cancelled"),
        ("buy", "50", "9.00", "IOC", "rejected", "Nothing traded, cancelled"),
        ("buy", "9999", "10.00", "GTC", "rejected", "Rejected: "),  # beyond the money
        ("sell", "1", "10.00", "GTC", "rejected", "Rejected: "),  # nothing held
        ("buy", "50", "10.005", "GTC", "error", "price 10.005"),  # off the tick
        ("buy", "1.5", "10.00", "GTC", "error", "quantity 1.5"),  # off the lot
    ],
)
async def test_every_outcome_has_its_words(
    market: Market, side: Side, quantity: str, price: str, tif: str, outcome: str, words: str
) -> None:
    await market.quote("sell", "30", "10.00")
    async with running(market.url, account="MINE") as run:
        answer = await run.desk.place(run.entry(side, quantity, price, tif))
        assert answer.outcome == outcome
        assert answer.text.startswith(words)
        assert len(answer.text) > len("Rejected: ")
        if outcome == "error":
            assert answer.field == words.split()[0]


async def test_a_market_order_beyond_the_book_says_what_became_of_the_rest(market: Market) -> None:
    await market.quote("sell", "30", "10.00")
    async with running(market.url, account="MINE") as run:
        answer = await run.desk.place(run.entry("buy", "50", None, "IOC"))
        assert answer.outcome == "partial"
        assert answer.text.startswith("Bought 30 ACME @ 10.00; 20 of 50 cancelled")


async def test_cancel_reduce_and_cancel_all(market: Market) -> None:
    async with running(market.url, account="MINE") as run:
        for price in ("9.10", "9.20", "9.30"):
            await run.desk.place(run.entry("buy", "10", price))
        state = await run.until(lambda s: len(s.orders) == 3)
        first, second, _ = (order.order_id for order in state.orders)

        assert (await run.desk.reduce(first, D(4))).outcome == "accepted"
        await run.until(lambda s: s.orders[0].quantity == 4)
        assert (await run.desk.cancel(second)).outcome == "cancelled"
        await run.until(lambda s: len(s.orders) == 2)
        again = await run.desk.cancel(second)
        assert again.outcome == "rejected"
        assert "done already" in again.text
        assert (await run.desk.reduce(second, D(1))).outcome == "rejected"
        assert (await run.desk.cancel(999_999)).outcome == "error"
        assert (await run.desk.cancel_all()).text == "2 orders cancelled"
        await run.until(lambda s: not s.orders)


async def test_what_others_do_is_seen(market: Market) -> None:
    async with running(market.url, account="MINE") as run:
        await market.quote("sell", "50", "10.10")
        state = await run.until(lambda s: s.book and s.book.asks)
        assert state.book is not None
        assert state.book.asks[0].quantity == D(50)
        await run.until(lambda s: s.quote and s.quote.ask == D("10.10"))


async def test_a_position_is_marked_again_when_the_market_moves(market: Market) -> None:
    await market.quote("sell", "30", "10.00")
    async with running(market.url, account="MINE") as run:
        await run.desk.place(run.entry("buy", "30", "10.00"))
        await run.until(lambda s: s.positions)
        await market.quote("buy", "5", "10.50")
        await market.quote("sell", "5", "10.70")
        state = await run.until(lambda s: s.positions[0].mark == D("10.60"))
        assert state.positions[0].unrealized == D("18.00")
        await run.until(lambda s: s.account and s.account.unrealized == D("18.00"))


async def test_another_instrument_comes_with_its_book_at_one_stroke(market: Market) -> None:
    beta = await make_instrument(market.database, "BETA")
    await market.quote("sell", "50", "10.10")
    async with running(market.url, account="MINE") as run:
        await asyncio.gather(run.desk.look_at(beta), run.desk.look_at(market.acme), run.desk.look_at(beta))
        state = run.desk.state
        assert state.instrument is not None
        assert state.instrument.symbol == "BETA"  # the last wish wins
        for state in run.states:
            if state.instrument and state.book and state.candles:
                shown = state.instrument.instrument_id
                assert state.book.instrument_id == state.candles.instrument_id == shown


async def test_an_instrument_listed_meanwhile_appears(market: Market) -> None:
    async with running(market.url, account="MINE") as run:
        beta = await make_instrument(market.database, "BETA")
        await orders.place(market.database, OrderRequest(market.other, beta, "limit", "buy", D(1), D("5.00")))
        state = await run.until(lambda s: len(s.instruments) == 2)
        assert [instrument.symbol for instrument in state.instruments] == ["ACME", "BETA"]


async def test_candles_of_every_timeframe_and_their_growth(market: Market) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    bars = [
        (now - timedelta(minutes=minute), market.acme, D(10), D(12), D(9), D(11), D(100))
        for minute in range(1, 200)
    ]
    await market.database.executemany(
        """insert into market_data (time, instrument_id, open, high, low, close, volume)
        values ($1, $2, $3, $4, $5, $6, $7)""",
        bars,
    )
    async with running(market.url, account="MINE") as run:
        candles = run.desk.state.candles
        assert candles is not None
        assert (candles.timeframe, len(candles.candles)) == ("1m", 199)
        assert candles.candles[-1].time.tzinfo is UTC

        await market.quote("sell", "7", "10.00")
        await run.desk.place(run.entry("buy", "7", "10.00"))
        await run.until(lambda s: len(s.candles.candles) == 200)
        assert run.desk.state.candles is not None
        assert run.desk.state.candles.candles[-1].volume == 7

        await run.desk.set_timeframe("1h")
        hours = run.desk.state.candles
        assert hours is not None
        assert hours.timeframe == "1h"
        assert 4 <= len(hours.candles) <= 5
        assert sum(candle.volume for candle in hours.candles) == 199 * 100 + 7


async def test_the_demo_traders_account_comes_first(market: Market) -> None:
    trader = await make_user(market.database, "demo")
    await make_account(market.database, user_id=trader, account_number="ZZZ")
    async with running(market.url) as run:
        assert run.desk.state.account is not None
        assert run.desk.state.account.number == "ZZZ"
        assert run.desk.state.demo


async def test_without_one_the_first_account_is_taken(market: Market) -> None:
    async with running(market.url) as run:
        assert run.desk.state.account is not None
        assert run.desk.state.account.number == "MINE"


async def test_an_unknown_account_is_named_with_the_way_out(market: Market) -> None:
    async with running(market.url, account="MIEN", wait=False) as run:
        with pytest.raises(RequestError, match=r"account MIEN: .*MINE"):
            await run.task


@pytest.mark.parametrize("missing", ["account", "instruments"])
async def test_an_empty_database_says_what_to_do(database: Database, database_url: str, missing: str) -> None:
    if missing == "instruments":
        await make_account(database)
    async with running(database_url, wait=False) as run:
        with pytest.raises(RequestError, match=rf"{missing}: .*trade demo"):
            await run.task


async def test_what_is_prepared_first_shows_its_progress(market: Market) -> None:
    async def prepare(progress: Callable[[str], None]) -> None:
        progress("Setting up the demo market: history")

    async with running(market.url, prepare=prepare) as run:
        assert "Setting up the demo market: history" in [state.connection.message for state in run.states]


async def test_what_cannot_be_prepared_ends_it(market: Market) -> None:
    async def prepare(_progress: Callable[[str], None]) -> None:
        raise ServerError("no space left")

    async with running(market.url, prepare=prepare, wait=False) as run:
        with pytest.raises(ServerError, match="no space left"):
            await run.task


async def test_before_it_runs_requests_are_answered_too(market: Market) -> None:
    desk = Desk(lambda: Database.open(market.url))
    assert (await desk.cancel(1)).outcome == "error"
    await desk.look_at(market.acme)
    assert desk.state.instrument is None


async def test_a_lost_connection_is_said_and_everything_is_read_again(market: Market) -> None:
    await market.quote("sell", "50", "10.10")
    async with running(market.url, account="MINE") as run:
        following = (
            "select count(*) from pg_stat_activity where application_name = $1 and query like '%live_vers%'"
        )
        while not await market.database.fetchval(following, NAME):  # noqa: ASYNC110 - the server knows
            await asyncio.sleep(0.01)
        await market.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            f" where datname = current_database() and application_name = '{NAME}'"
        )
        await market.quote("sell", "70", "10.05")
        await run.until(lambda _: any(state.connection.status == "lost" for state in run.states))
        state = await run.until(lambda s: s.connection.status == "live")
        assert state.book is not None
        assert state.book.asks[0].quantity == D(70)  # live again means true again
        answer = await run.desk.place(run.entry("buy", "10", "9.00"))
        assert answer.outcome == "accepted"


async def test_the_data_are_never_older_than_a_beat_while_all_is_well(market: Market) -> None:
    async with running(market.url, account="MINE") as run:
        before = run.desk.state.connection.heard_at
        assert before is not None
        await run.until(lambda s: s.connection.heard_at > before + 0.5)  # although nothing has changed
