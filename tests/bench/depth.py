"""The top of a long book."""

from __future__ import annotations

import statistics
import time

from db.database import Connection
from tests.bench.market import MIDDLE
from tests.bench.runner import Round
from tests.bench.stage import Stage

LEVELS = 20
ORDERS_A_LEVEL = 50

# Only margin accounts, which reserve nothing; what place_order would have written, at once.
_FILL = """
with placed as (
    insert into orders (account_id, instrument_id, order_type, side, quantity, price, status, time_in_force,
        created_at, updated_at, filled_quantity, priority)
    select 2 * (1 + n % ({accounts} / 2)), 1, 'limit', s.side, 1 + n % 10,
           ({middle} + s.sign * (1 + n % ({book} / 2 / {orders_a_level})))::numeric / 100, 'open', 'GTC',
           t.at, t.at, 0, nextval('internal.priority_seq')
    from generate_series(1, {book} / 2) n
    cross join (values ('buy', -1), ('sell', 1)) s (side, sign)
    cross join (select clock_timestamp() at time zone 'UTC' as at) t
    returning *
),
journalled as (
    insert into journal (at, account_id, kind, order_id, instrument_id, detail)
    select p.created_at, p.account_id, 'accepted', p.order_id, 1,
           internal.order_detail(jsonb_populate_record(null::orders, to_jsonb(p)))
    from placed p
),
levels as (
    select p.side, p.price, sum(p.quantity) as size from placed p group by p.side, p.price
)
update internal.books b
set (bid_price, bid_size) = (
        select l.price, l.size from levels l where l.side = 'buy' order by 1 desc limit 1),
    (ask_price, ask_size) = (
        select l.price, l.size from levels l where l.side = 'sell' order by 1 limit 1),
    updated_at = clock_timestamp() at time zone 'UTC', version = version + 1
where b.instrument_id = 1
"""
_BOOK = "select side, price, quantity, orders from order_book(1, {levels})"
# What anybody would write: the planner finds its way, a side at a time, and may stop at the last level.
_SUMMED = """
(select side, price, sum(quantity - filled_quantity), count(*) from orders
 where instrument_id = 1 and side = 'buy' and status in ('open', 'partially_filled')
 group by side, price order by price desc limit {levels})
union all
(select side, price, sum(quantity - filled_quantity), count(*) from orders
 where instrument_id = 1 and side = 'sell' and status in ('open', 'partially_filled')
 group by side, price order by price limit {levels})
"""
# Every order of the book is looked at.
_SUMMED_WHOLE = """
select side, price, quantity, orders from (
    select side, price, sum(quantity - filled_quantity) as quantity, count(*) as orders,
           row_number() over (
               partition by side order by case side when 'buy' then -price else price end) as n
    from orders
    where instrument_id = 1 and status in ('open', 'partially_filled')
    group by side, price) l
where n <= {levels}
"""


class Depth:
    """`order_book(i, 20)` against summing the orders of the levels."""

    name = "depth"
    title = "depth 20 of a long book"
    unit = "ms"
    reference = "summing the orders"
    target = 0.1
    at_most = True
    about = (
        "a book of 100,000 orders, 50 a level; the reference sums the orders of the 20 best levels a side in "
        "plain SQL, `whole book ms` those of all levels"
    )

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        scale = stage.scale
        async with stage.market() as (_, database), database.connection() as connection:
            fill = _FILL.format(
                accounts=scale.accounts, book=scale.book, middle=MIDDLE * 10, orders_a_level=ORDERS_A_LEVEL
            )
            await connection.execute("select cancel_all_orders(account_id) from accounts")
            await connection.execute(fill)
            await connection.execute("vacuum analyze orders")
            queries = {
                name: text.format(levels=LEVELS)
                for name, text in (("summed", _SUMMED), ("book", _BOOK), ("whole", _SUMMED_WHOLE))
            }
            answers = [sorted(map(tuple, await connection.fetch(query))) for query in queries.values()]
            if not answers[0] == answers[1] == answers[2]:
                raise RuntimeError("order_book says something else than the orders")
            names = list(queries) if reference_first else list(reversed(queries))
            times = {name: await _median_ms(connection, queries[name], scale.readings) for name in names}
        return Round(
            times["book"],
            times["summed"],
            times["book"] / times["summed"],
            {"whole book ms": times["whole"]},
        )


async def _median_ms(connection: Connection, query: str, readings: int) -> float:
    statement = await connection.prepare(query)
    times = []
    for _ in range(readings):
        started = time.perf_counter()
        await statement.fetch()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
