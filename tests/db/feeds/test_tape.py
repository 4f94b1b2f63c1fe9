"""Recorded order flow in a book of ours: what the tape tells, and others in the same book."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from db import accounts, instruments, market, orders
from db.database import Database
from db.errors import RequestError
from db.feeds import locks, participants
from db.feeds.lobster import Message, TapeFileError, parse, read
from db.feeds.tape import Report, play
from db.orders import Order, OrderRequest
from tests.factories import make_account, make_instrument

SAMPLE = Path(
    os.environ.get(
        "PITSIDE_TAPE",
        Path(__file__).parents[3].parent / "shared" / "data" / "aapl-2012-06-21-opening.csv",
    )
)

# time, type, order id, size, price × 10,000, direction of the resting order
TAPE = """
1.0,1,11,100,1000000,-1
1.1,1,12,50,1000000,-1
1.2,1,13,70,1000100,-1
1.3,1,21,30,999900,1
1.4,2,11,40,1000000,-1
1.5,4,11,25,1000000,-1
1.6,5,0,10,999950,1
1.7,4,12,10,1000000,-1
1.8,4,11,35,1000000,-1
1.9,4,12,40,1000000,-1
2.0,4,99,5,1000000,-1
2.1,3,98,5,1000000,-1
2.2,3,13,70,1000100,-1
2.3,4,21,30,999900,1
2.4,7,0,0,-1,-1
"""


def messages(text: str) -> list[Message]:
    return list(parse(text.strip().splitlines(), "test.csv"))


async def play_into(
    database: Database, tape: Sequence[Message], symbol: str = "ACME", speed: float | None = None
) -> Report:
    instrument = await instruments.by_symbol(database, symbol)
    return await play(database, instrument, tape, name="test.csv", speed=speed)


async def place(database: Database, account_id: int, side: str, quantity: int, price: str) -> Order:
    acme = await instruments.by_symbol(database, "ACME")
    return await orders.place(
        database,
        OrderRequest(account_id, acme.instrument_id, "limit", side, Decimal(quantity), Decimal(price)),
    )


async def ledger_faults(database: Database) -> list[object]:
    return list(await database.fetch("select * from verify_ledger()"))


@pytest.fixture
async def acme(database: Database) -> int:
    return await make_instrument(database, "ACME", tick="0.01", lot="1")


@pytest.fixture
async def trader(database: Database) -> int:
    return await make_account(database, cash="1000000", account_type="margin")


async def test_every_kind_of_message_and_every_execution_accounted_for(database: Database, acme: int) -> None:
    report = await play_into(database, messages(TAPE))
    # 11 was reduced to 60 and kept its place: 25 and 35 are its; 12's 10 in between was not first.
    assert report == Report(
        symbol="ACME",
        messages=15,
        executions=6,
        filled_named=4,
        deviations=1,
        unknown=1,
        hidden=1,
        halts=1,
        unknown_changes=1,
        seconds=report.seconds,
    )
    trades = await database.fetch(
        "select quantity, price from trades where liquidity = 'maker' order by trade_id"
    )
    assert [(int(row["quantity"]), row["price"]) for row in trades] == [
        (25, Decimal("100.00")),
        (35, Decimal("100.00")),
        (40, Decimal("100.00")),
        (30, Decimal("99.99")),
    ]
    book = await market.book(database, acme)
    assert (book.bids, book.asks) == ((), ())
    assert await ledger_faults(database) == []


async def test_what_the_tape_still_has_resting_is_cancelled_at_its_end(database: Database, acme: int) -> None:
    await play_into(database, messages(TAPE)[:4])
    book = await market.book(database, acme)
    assert (book.bids, book.asks) == ((), ())
    assert await database.fetchval("select count(*) from orders where status = 'cancelled'") == 4


async def test_a_trader_in_front_gets_the_execution_and_the_book_stays_in_step(
    database: Database, acme: int, trader: int
) -> None:
    ask = await place(database, trader, "sell", 10, "99.99")
    tape = messages(
        """
        1.0,1,11,100,1000000,-1
        1.1,4,11,30,1000000,-1
        1.2,4,11,70,1000000,-1
        """
    )
    report = await play_into(database, tape)
    assert (report.executions, report.filled_others, report.filled_named) == (2, 1, 1)
    assert (await orders.get(database, ask.order_id)).status == "filled"
    named = await database.fetchrow(
        "select quantity, filled_quantity, status from orders"
        " where time_in_force = 'GTC' and account_id <> $1",
        trader,
    )
    assert named is not None
    # Of the 100, 10 went to the trader: the tape's order gave them up, as in the record it has none left.
    assert (named["quantity"], named["filled_quantity"], named["status"]) == (90, 90, "filled")
    assert await ledger_faults(database) == []


async def test_what_a_trader_takes_of_a_named_order_cannot_be_executed_again(
    database: Database, acme: int, trader: int
) -> None:
    tape = messages(
        """
        1.0,1,11,100,1000000,-1
        1.0,1,12,100,1000000,-1
        1.5,4,11,100,1000000,-1
        1.5,4,12,100,1000000,-1
        """
    )
    playing = asyncio.create_task(play_into(database, tape, speed=1.0))
    await asyncio.sleep(0.2)
    bought = await place(database, trader, "buy", 60, "100.00")
    report = await playing
    assert bought.status == "filled"
    assert (report.executions, report.taken_before, report.filled_named) == (2, 1, 1)
    assert await ledger_faults(database) == []


async def test_a_new_order_of_the_tape_trades_with_a_trader_that_it_meets(
    database: Database, acme: int, trader: int
) -> None:
    bid = await place(database, trader, "buy", 40, "100.01")
    report = await play_into(database, messages("1.0,1,11,100,1000000,-1"))
    assert report.met_on_arrival == 1
    assert (await orders.get(database, bid.order_id)).status == "filled"


async def test_an_order_of_the_tape_that_a_later_one_crosses_is_stale_and_goes(
    database: Database, acme: int
) -> None:
    tape = messages(
        """
        1.0,1,11,100,1000000,-1
        1.1,1,21,50,1000000,1
        1.2,4,21,50,1000000,1
        """
    )
    report = await play_into(database, tape)
    assert (report.stale, report.filled_named) == (1, 1)
    assert await ledger_faults(database) == []


async def test_time_is_scaled_and_a_stop_ends_the_tape_with_its_report(database: Database, acme: int) -> None:
    acme_instrument = await instruments.by_symbol(database, "ACME")
    stop = asyncio.Event()
    begun = time.monotonic()
    playing = asyncio.create_task(
        play(database, acme_instrument, messages(TAPE), name="test.csv", speed=2.0, stop=stop)
    )
    await asyncio.sleep(0.35)
    stop.set()
    report = await playing
    assert report.stopped
    assert 5 <= report.messages <= 9  # 0.7 of the tape's 1.4 seconds
    assert time.monotonic() - begun < 2
    book = await market.book(database, acme)
    assert (book.bids, book.asks) == ((), ())


async def test_a_tape_that_does_not_fit_is_refused_before_anything_is_sent(database: Database) -> None:
    await make_instrument(database, "COARSE", tick="0.05", lot="1")
    await make_instrument(database, "LOTS", tick="0.01", lot="100")
    await make_instrument(database, "GONE", active=False)
    with pytest.raises(
        TapeFileError, match=r"test\.csv, line 3: price 100.01 is no multiple of COARSE's tick size 0.05"
    ):
        await play_into(database, messages(TAPE), "COARSE")
    with pytest.raises(
        TapeFileError, match=r"test\.csv, line 2: size 50 is no multiple of LOTS's lot size 100"
    ):
        await play_into(database, messages(TAPE), "LOTS")
    with pytest.raises(RequestError, match="GONE"):
        await play_into(database, messages(TAPE), "GONE")
    with pytest.raises(RequestError, match="ACMY"):
        await play_into(database, messages(TAPE), "ACMY")
    await make_instrument(database, "ACME")
    with pytest.raises(TapeFileError, match=r"line 2: order id 11 is in the book already"):
        await play_into(database, messages("1,1,11,5,1000000,1\n1,1,11,5,1000000,1"))
    assert await database.fetchval("select count(*) from orders where status <> 'cancelled'") == 0


async def test_one_tape_at_a_time_and_what_dead_participants_left_is_cleared(
    database: Database, acme: int
) -> None:
    async with database.transaction() as connection:
        dead = await participants.enrol(connection, participants.makers(1)[0], "USD")
    left = await place(database, dead.account_id, "sell", 5, "99.00")
    report = await play_into(database, messages(TAPE))
    assert report.filled_named == 4
    assert (await orders.get(database, left.order_id)).status == "cancelled"
    async with locks.LockSession.open(database) as session:
        assert await session.try_alone(locks.INSTRUMENT, acme)
        with pytest.raises(RequestError, match="a tape is being played into it"):
            await play_into(database, messages(TAPE))


async def test_the_tapes_accounts_are_margin_accounts_with_capital(database: Database, acme: int) -> None:
    await play_into(database, messages(TAPE))
    made = await accounts.list_all(database)
    assert [(account.account_number, account.account_type) for account in made] == [
        ("TAPE-RESTING-USD", "margin"),
        ("TAPE-TAKING-USD", "margin"),
    ]
    assert sum(account.balance for account in made) == 2 * participants.CAPITAL


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the recorded tape is not at {SAMPLE} (PITSIDE_TAPE)")
async def test_the_recorded_opening_of_apple(database: Database) -> None:
    await make_instrument(database, "AAPL", tick="0.01", lot="1")
    report = await play_into(database, read(SAMPLE), "AAPL")
    assert (report.messages, report.executions) == (8000, 570)
    assert (report.filled_named, report.deviations, report.unknown) == (540, 18, 12)
    assert report.filled_others == report.taken_before == report.stale == 0
    assert await ledger_faults(database) == []
