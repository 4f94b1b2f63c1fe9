"""verify_ledger: each invariant, and a corruption that it finds.

The books are those of a short day of trading; each test changes one thing in a copy, as somebody with the owner's rights and the
triggers off could, and names the invariants that must notice.
"""

from __future__ import annotations

import pytest

from db.database import Database
from tests.db.stage import Stage
from tests.factories import make_instrument

# What is done to the books, and at least one invariant that must say so.
CORRUPTIONS = {
    "filled quantity is the sum of the trades": "update orders set filled_quantity = filled_quantity - 1, quantity = quantity - 1 where order_id = {filled}",
    "status fits the fills": "update orders set status = 'open' where order_id = {part}",
    "status fits the fills ": "update orders set filled_at = created_at where order_id = {resting}",
    "status fits the fills  ": "update orders set quantity = filled_quantity - 1 where order_id = {filled}",
    "filled_at is the time of the last fill": "update orders set filled_at = filled_at + interval '1 second' where order_id = {filled}",
    "order words": "update orders set side = 'bid' where order_id = {resting}",
    "order words ": "update orders set status = 'done' where order_id = {resting}",
    "order terms": "update orders set price = 100.005 where order_id = {resting}",
    "order terms ": "update orders set quantity = 10.5 where order_id = {resting}",
    "what works has its place": "update orders set priority = null where order_id = {resting}",
    "what never rests does not rest": "update orders set time_in_force = 'IOC' where order_id = {resting}",
    "what never rests does not rest ": "update orders set order_type = 'market', price = null where order_id = {resting}",
    "fill or kill": "update orders set time_in_force = 'FOK' where order_id = {part}",
    "every end has its reason": "update orders set reason = null where order_id = {cancelled}",
    "the book is not crossed": "update orders set price = 200 where order_id = {resting}",
    "the top of the book is the best of the orders": "update internal.books set bid_price = bid_price - 1 where instrument_id = {instrument}",
    "waiting stops are counted ": "update internal.books set buy_stop = null where instrument_id = {instrument}",
    "waiting stops are counted": "update internal.books set waiting_stops = 0 where instrument_id = {instrument}",
    "linked orders are counted": "update internal.books set linked_orders = 0 where instrument_id = {instrument}",
    "the last price is the last trade's": "update internal.books set last_price = last_price + 1 where instrument_id = {instrument}",
    "the book is its instrument's": "update internal.books set is_active = false where instrument_id = {instrument}",
    "the top of the book is the best of the orders ": "update internal.books set ask_size = ask_size + 1 where instrument_id = {instrument}",
    "a pair shares one quantity": "update orders set quantity = quantity + 1 where order_id = {pair}",
    "a pair shares one quantity ": "update orders set status = 'cancelled', reason = 'gone' where order_id = {pair}",
    "what an entry fills has its exits": "update orders set covered_quantity = 0 where order_id = {entry}",
    "who and what is named exists": "delete from accounts where account_id = {buyer}",
    "who and what is named exists ": "delete from instruments where instrument_id = {instrument}",
    "a match has two sides": "delete from trades where trade_id = {trade}",
    "a match has two sides ": "update trades set price = price + 1 where trade_id = {trade}",
    "a match has two sides  ": "update trades set match_id = null where trade_id = {trade}",
    "a trade is its order's": "update trades set side = case side when 'buy' then 'sell' else 'buy' end where trade_id = {trade}",
    "a trade is its order's ": "update trades set account_id = account_id + 1 where trade_id = {trade}",
    "limits are respected": "update trades set price = price + 1 where match_id = (select match_id from trades where trade_id = {trade})",
    "trades are numbered as they happened": "update trades set executed_at = executed_at + interval '1 hour' where trade_id = {trade}",
    "a trade is its order's  ": "update trades set order_id = null where trade_id = {trade}",
    "each balance follows from the one before": "update transactions set balance_after = balance_after + 1 where transaction_id = {transaction}",
    "each balance follows from the one before ": "update transactions set amount = amount - 1 where transaction_id = {transaction}",
    "each balance follows from the one before  ": "update transactions set created_at = null where transaction_id = {transaction}",
    "the balance is the sum of the transactions": "update accounts set balance = balance + 0.01 where account_id = {buyer}",
    "the balance is the sum of the transactions ": "delete from transactions where transaction_id = {transaction}",
    "the balance is the sum of the transactions  ": "update accounts set commissions = commissions + 0.01 where account_id = {buyer}",
    "a transaction has its type's sign": "update transactions set transaction_type = 'withdrawal' where transaction_type = 'deposit' and account_id = {buyer}",
    "a trade is paid for exactly once": "update trades set commission = commission + 0.01 where trade_id = {trade}",
    "a trade is paid for exactly once ": "update trades set quantity = quantity + 1 where trade_id = {trade}",
    "a payment for a trade has its trade": "update transactions set trade_id = null where trade_id = {trade}",
    "a payment for a trade has its trade ": "update transactions set created_at = created_at + interval '1 microsecond' where transaction_id = {transaction}",
    "trading makes and loses no cash": "update transactions set amount = amount + 1 where transaction_id = {transaction}",
    "positions follow from the trades": "update positions set quantity = quantity + 1 where account_id = {buyer}",
    "positions follow from the trades ": "update positions set average_price = average_price + 0.00000001 where account_id = {buyer}",
    "positions follow from the trades  ": "update positions set cost = cost + 0.01 where account_id = {buyer}",
    "positions follow from the trades   ": "update positions set realized_pnl = realized_pnl + 0.01 where account_id = {buyer}",
    "positions follow from the trades    ": "delete from positions where account_id = {buyer}",
    "positions follow from the trades     ": "update positions set realized_pnl = null where account_id = {buyer}",
    "positions follow from the trades      ": "update positions set opened_at = opened_at + interval '1 second' where account_id = {buyer}",
    "positions net to zero": "update positions set quantity = quantity - 1 where account_id = {buyer}",
    "a cash account is never short": "update positions set quantity = -1 where account_id = {buyer}",
    "a cash account is never short ": "update orders set side = 'sell', reserved = 0, quantity = 1000 where order_id = {resting}",
    "a cash account is never overdrawn": "update accounts set balance = -1 where account_id = {buyer}",
    "reserved is the sum of the orders": "update accounts set reserved = reserved + 1 where account_id = {buyer}",
    "an open buy reserves its cost": "update orders set reserved = 0 where order_id = {resting}",
    "an open buy reserves its cost ": "update orders set reserved = 1 where order_id = {filled}",
    "equity is what came in and what was made": "update transactions set transaction_type = 'trade_sell' where transaction_type = 'deposit' and account_id = {buyer}",
    "events are numbered as they happened": "update journal set at = at + interval '1 hour' where event_id = {event}",
    "every trade is in the journal": "delete from journal where kind = 'filled' and account_id = {buyer}",
    "every trade is in the journal ": "update journal set detail = detail || '{{\"quantity\": 1}}' where kind = 'filled' and account_id = {buyer}",
    "every trade is in the journal  ": "insert into journal select (jsonb_populate_record(j, '{{\"event_id\": 100000}}')).* from journal j where event_id = (select max(event_id) from journal where kind = 'filled')",
    "every deposit, withdrawal and adjustment is in the journal": "delete from journal where kind = 'deposit' and account_id = {buyer}",
    "every deposit, withdrawal and adjustment is in the journal ": "with a as (update accounts set balance = balance + 5 where account_id = {buyer} returning balance) insert into transactions (account_id, transaction_type, amount, balance_after) select {buyer}, 'adjustment', 5, balance from a",
    "an account is what the journal says": "update accounts set currency = 'EUR' where account_id = {buyer}",
    "an account is what the journal says ": "delete from journal where account_id = {buyer} and kind = 'opened'",
    "an event is its order's": "update journal set account_id = {buyer} where order_id = {part} and kind = 'accepted'",
    "an event is its order's ": "update journal set instrument_id = instrument_id + 1 where event_id = {accepted}",
    "an event is its order's  ": "update orders set self_trade = 'decrement' where order_id = {resting}",
    "an event is its order's   ": "update orders set client_order_id = 'mine' where order_id = {resting}",
    "nothing is told twice": "insert into journal select (jsonb_populate_record(j, '{{\"event_id\": 100000}}')).* from journal j where kind = 'reduced'",
    "an order enters first and ends last, once each": "delete from journal where event_id = {accepted}",
    "an order enters first and ends last, once each ": "delete from orders where order_id = {cancelled}",
    "an order enters first and ends last, once each  ": "insert into orders (account_id, instrument_id, order_type, side, quantity, price, status, reason) select account_id, instrument_id, order_type, side, quantity, price, status, reason from orders where order_id = {cancelled}",
    "an order is what the journal says": "update orders set price = price - 1 where order_id = {cancelled}",
    "an order is what the journal says ": "update orders set quantity = quantity + 1 where order_id = {cancelled}",
    "an order is what the journal says  ": "update orders set priority = priority + 1000 where order_id = {resting}",
    "the terms of a request are those it entered with": "update orders set terms = jsonb_set(terms, '{{3}}', '7') where order_id = {filled}",
    "the journal's last word on an order is its status": "delete from journal where kind = 'cancelled'",
    "the journal's last word on an order is its status ": "update orders set status = 'pending' where order_id = {cancelled}",
    "the journal's last word on an order is its status  ": "update orders set reason = 'no reason' where order_id = {cancelled}",
}


async def a_day(database: Database, url: str) -> tuple[Stage, dict[str, int]]:
    stage = await Stage.open(database, url)
    await stage.fees("cash", "0.001", "0.002")
    buyer, seller = await stage.cash("10000"), await stage.margin("10000")
    one = {"buyer": buyer, "instrument": stage.instrument}
    one["part"] = await stage.sell(seller, 10, "100")
    one["filled"] = await stage.buy(buyer, 6, "100", client="six")
    one["resting"] = await stage.buy(buyer, 10, "90")
    one["cancelled"] = await stage.buy(buyer, 1, "80")
    await stage.cancel(one["cancelled"])
    await stage.replace(await stage.buy(buyer, 2, stop="150"), 1)
    await stage.sell(buyer, 2, "110")
    one["pair"] = await stage.connection.fetchval(
        "select limit_order_id from place_oco($1, $2, 'sell', 2, 115, 70)", buyer, stage.instrument
    )
    one["entry"] = await stage.connection.fetchval(
        "select place_bracket($1, $2, 'limit', 'buy', 1, 100, 120, 60)", buyer, stage.instrument
    )
    # Another instrument has the later trades, so that a moved first trade is out of order only within its own.
    await stage.print_at("100")
    await make_instrument(database)
    value = stage.connection.fetchval
    one["trade"] = await value("select min(trade_id) from trades where order_id = $1", one["filled"])
    one["transaction"] = await value(
        "select transaction_id from transactions where trade_id = $1 and amount <= -100", one["trade"]
    )
    one["accepted"] = await value("select min(event_id) from journal where order_id = $1", one["resting"])
    one["event"] = await value("select min(event_id) from journal where account_id = $1", buyer)
    return stage, one


async def test_right_books_break_nothing(database: Database, database_url: str) -> None:
    stage, one = await a_day(database, database_url)
    assert await stage.connection.fetch("select * from verify_ledger($1)", one["buyer"]) == []
    await stage.close()


@pytest.mark.parametrize("corruption", CORRUPTIONS)
async def test_each_corruption_is_found(database: Database, database_url: str, corruption: str) -> None:
    stage, one = await a_day(database, database_url)
    await stage.connection.execute("set session_replication_role = replica")
    done = await stage.connection.execute(CORRUPTIONS[corruption].format(**one))
    assert done not in ("UPDATE 0", "DELETE 0"), "the corruption changed nothing"
    found = await stage.connection.fetch("select * from verify_ledger()")
    await stage.connection.close()
    assert corruption.strip() in {row["invariant"] for row in found}
    assert all(row["subject"] and row["detail"] for row in found)


async def test_every_invariant_has_its_corruption(database: Database, database_url: str) -> None:
    """An invariant that is added without one is named here."""
    source = await database.fetchval(
        "select string_agg(prosrc, '') from pg_proc where proname in ('broken_orders', 'broken_money', 'broken_journal')"
    )
    invariants = {
        line.split("'", 1)[1].rsplit("', '", 1)[0].split("', 'all accounts")[0].replace("''", "'")
        for line in source.splitlines()
        if line.startswith("    select '")
    }
    assert len(invariants) > 40
    assert {
        name for name in invariants if not any(name.startswith(known.strip()) for known in CORRUPTIONS)
    } == set()
