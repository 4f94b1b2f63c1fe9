"""Who trades and what there is to trade."""

from __future__ import annotations

from decimal import Decimal

from db.database import Database
from tests.bench.scale import Scale

MIDDLE = 10_000
"""The price around which all trade, in ticks of a cent."""

RESTING = 20
"""Orders on each side of each book at the start."""

HOLDING = 10_000
"""Of each instrument in each cash account at the start: with orders of at most ten, none runs out."""

_PARTICIPANTS = """
insert into fee_schedule (account_type, maker_rate, taker_rate)
values ('cash', 0, 0.0005), ('margin', 0, 0.0005);
insert into users (email, username, password_hash)
select format('t%s@example.com', n), format('t%s', n), '!' from generate_series(0, {accounts}) n;
-- Account n has the id n; the odd ones are cash accounts, but for the last, which brings the shares.
insert into accounts (account_id, user_id, account_type, account_number)
select u.n, u.user_id, case when u.n % 2 = 1 and u.n < {founder} then 'cash' else 'margin' end,
       format('T-%s', u.n)
from (select user_id, row_number() over (order by user_id) as n from users) u;
insert into instruments (instrument_id, symbol, name, instrument_type, tick_size, lot_size)
select n, format('I%s', n), format('Instrument %s', n), 'share', 0.01, 1
from generate_series(1, {instruments}) n;
select count(deposit(account_id, case when account_id = {founder} then 1000000000000 else 1000000000 end))
from accounts;
"""
# What rests when the clients come: statistics of empty books would make plans for them.
_BOOKS = """
select count(o.order_id)
from generate_series(1, {instruments}) i
cross join lateral place_orders((
    select jsonb_agg(jsonb_build_object(
        'account_id', 1 + (n * 7 + i) % {accounts}, 'instrument_id', i, 'order_type', 'limit', 'side', s.side,
        'quantity', 1 + n % 10, 'price', ({middle} + s.sign * (1 + n % {spread})) / 100.0))
    from generate_series(1, {resting}) n
    cross join (values ('buy', -1), ('sell', 1)) as s (side, sign))) o
"""
_OFFER = "select place_order($1, $2, 'limit', 'sell', $3, $4)"
_TAKE = "select place_order($1, i, 'limit', 'buy', $2, $3) from generate_series(1, $4) i"


async def open_for_trading(database: Database, scale: Scale) -> None:
    """Accounts 1 to `scale.accounts`, half of them cash and half margin, with more cash than they need;
    instruments 1 to `scale.instruments`; and shares in the cash accounts, bought from one more account."""
    founder = scale.accounts + 1
    await database.execute(
        _PARTICIPANTS.format(accounts=scale.accounts, instruments=scale.instruments, founder=founder)
    )
    cash = range(1, scale.accounts + 1, 2)
    price = Decimal(MIDDLE) / 100
    for instrument_id in range(1, scale.instruments + 1):
        await database.execute(_OFFER, founder, instrument_id, HOLDING * len(cash), price)
    for account_id in cash:
        await database.execute(_TAKE, account_id, HOLDING, price, scale.instruments)
    await database.execute(
        _BOOKS.format(
            instruments=scale.instruments,
            accounts=scale.accounts,
            middle=MIDDLE,
            spread=RESTING,
            resting=RESTING,
        )
    )
    await database.execute("vacuum analyze")
