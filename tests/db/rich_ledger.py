"""A small ledger with everything in it: each type of order and way to end, linked orders, money, fixes."""

from __future__ import annotations

from db.database import Database
from tests.db.stage import Stage
from tests.factories import make_instrument


async def a_rich_day(database: Database, url: str) -> Stage:
    """Two instruments, two cash and two margin accounts, some forty orders; the books are right."""
    stage = await Stage.open(database, url)
    await stage.fees("cash", "0.001", "0.002")
    ann, ben = await stage.cash("20000"), await stage.cash("5000")
    mia, max_ = await stage.margin("50000"), await stage.margin("40000")
    other = await make_instrument(database)
    await _money(stage, ann, mia)
    await _trades(stage, ann, ben, mia, max_, other)
    await _ends(stage, ann, mia)
    await _changes(stage, ann, ben, mia)
    await _linked(stage, ann, ben, mia, max_)
    await _inserted(stage, ben)
    return stage


async def _money(stage: Stage, ann: int, mia: int) -> None:
    ask = stage.connection.execute
    await ask("select withdraw($1, 250.25, 'rent')", ann)
    await ask("select deposit($1, 100)", ann)
    await ask("select adjust($1, -12.34, 'commission of a day of testing')", ann)
    await ask("select adjust($1, 0.01, 'a cent that was lost')", mia)
    for status in ("frozen", "active"):
        await ask("update accounts set status = $2 where account_id = $1", mia, status)


async def _trades(stage: Stage, ann: int, ben: int, mia: int, max_: int, other: int) -> None:
    # A part of one, two at once, a position that is closed and one that turns.
    await stage.sell(mia, 10, "100", client="first")
    await stage.buy(ann, 6, "100", client="whole", tif="FOK")
    await stage.sell(max_, 4, "100.5")
    await stage.buy(ben, 7, "101")
    await stage.sell(ben, 3, tif="IOC")  # nobody buys
    await stage.buy(max_, 6, "99")
    await stage.sell(ann, 2, "99")
    await stage.sell(ben, 3)
    await stage.sell(mia, 2, "50", on=other)
    await stage.buy(max_, 2, "50", on=other)
    await stage.sell(max_, 2, "50", on=other)
    await stage.buy(mia, 2, on=other)  # both flat, with nothing made


async def _ends(stage: Stage, ann: int, mia: int) -> None:
    await stage.buy(ann, 1, "80", tif="IOC")
    await stage.buy(ann, 1, "80", tif="FOK")
    await stage.buy(ann, 100, "500")  # no money for it
    await stage.cancel(await stage.buy(ann, 1, "81"))
    await stage.buy(ann, 1, "82", tif="DAY")
    await stage.connection.execute("select expire_day_orders()")
    await stage.buy(ann, 1, "101", post_only=True)  # would take
    # With an order of its own: the new one goes; the smaller one goes, the new one and then the other.
    rests = await stage.sell(mia, 4, "103")
    await stage.buy(mia, 2, "103")
    await stage.buy(mia, 2, "103", self_trade="decrement")
    await stage.buy(mia, 3, self_trade="decrement")
    assert await stage.status(rests) == ("cancelled", 0)


async def _changes(stage: Stage, ann: int, ben: int, mia: int) -> None:
    order = await stage.buy(ann, 5, "90", client="changed")
    await stage.replace(order, 4)
    await stage.replace(order, 6, "91")
    await stage.replace(order, price="91.001")  # refused: no tick
    await stage.sell(mia, 3, "91")
    # Stops: one waits, one is replaced, one goes off on arrival, one is set off, trades a part and rests.
    await stage.buy(ben, 1, stop="130")
    await stage.replace(await stage.buy(mia, 2, "120", stop="115"), stop="116")
    await stage.buy(mia, 1, stop="90")
    stop = await stage.sell(mia, 3, "90", stop="90.5")
    await stage.buy(ann, 2, "90")
    await stage.sell(mia, 5, "90")
    assert await stage.status(stop) == ("partially_filled", 1)
    await stage.buy(ann, 2, "90")


async def _linked(stage: Stage, ann: int, ben: int, mia: int, max_: int) -> None:
    pair = "select limit_order_id from place_oco($1, $2, 'sell', 2, 115, 70, p_client_order_id => $3)"
    bracket = "select place_bracket($1, $2, 'limit', 'buy', $3, 100, 120, 60)"
    trail = "select place_trailing_stop($1, $2, 'sell', 1, {}, p_client_order_id => $3)"
    ask = stage.connection.fetchval
    await ask(pair, ann, stage.instrument, "pair")
    entry = await ask(bracket, mia, stage.instrument, 3)
    await stage.sell(max_, 2, "100")
    await ask(trail.format("p_trail_amount => 5"), ann, stage.instrument, "trail")
    await ask(trail.format("p_trail_percent => 10"), mia, stage.instrument, None)
    await stage.buy(mia, 1, "104")
    await stage.sell(max_, 1, "104")  # the two follow
    await stage.sell(max_, 1, "100")
    assert await stage.status(entry) == ("filled", 3)  # and its exits have grown
    await stage.sell(max_, 3, "110")
    await stage.buy(ben, 1, "110")


async def _inserted(stage: Stage, ben: int) -> None:
    insert = """insert into orders (account_id, instrument_id, order_type, side, quantity, price)
                values ($1, $2, $3, 'buy', 1, 50)"""
    for order_type in ("limit", "iceberg"):
        await stage.connection.execute(insert, ben, stage.instrument, order_type)
    assert await stage.connection.fetchval("select match_pending()") == 2


async def holds_everything(stage: Stage) -> bool:
    """Whether there is an order of each status, a transaction of each type and an event of each kind."""
    read = stage.connection.fetchval
    return (
        len(await read("select array_agg(distinct status) from orders")) == 7
        and len(await read("select array_agg(distinct transaction_type) from transactions")) == 6
        and len(await read("select array_agg(distinct kind) from journal")) == 18
    )
