"""Users, accounts and instruments in one line, for tests of what is done with them.

acme = await make_instrument(database, symbol="ACME", tick="0.01", lot="1")
alice = await make_account(database, cash="10000")
"""

from __future__ import annotations

import itertools
from decimal import Decimal

from db import accounts, instruments, users
from db.database import Database

_serial = itertools.count(1)


async def make_instrument(
    db: Database,
    symbol: str = "",
    *,
    tick: str | None = "0.01",
    lot: str | None = "1",
    currency: str = "USD",
    instrument_type: str = "share",
    active: bool = True,
) -> int:
    """A new instrument; returns its id. `tick` and `lot` None: any price and quantity of 8 decimals (rule
    2)."""
    symbol = symbol or f"SYM{next(_serial)}"
    instrument = await instruments.add(
        db,
        symbol=symbol,
        name=f"{symbol} Inc.",
        instrument_type=instrument_type,
        exchange="XTST",
        currency=currency,
        tick_size=None if tick is None else Decimal(tick),
        lot_size=None if lot is None else Decimal(lot),
    )
    if not active:
        await db.execute(
            "update instruments set is_active = false where instrument_id = $1", instrument.instrument_id
        )
    return instrument.instrument_id


async def make_user(db: Database, username: str = "", *, active: bool = True) -> int:
    """A new user, who cannot log in; returns the id."""
    username = username or f"user{next(_serial)}"
    user_id = await users.add(db, username=username, email=f"{username}@example.com")
    if not active:
        await db.execute("update users set is_active = false where user_id = $1", user_id)
    return user_id


async def make_account(
    db: Database,
    cash: str = "10000",
    *,
    account_type: str = "cash",
    currency: str = "USD",
    status: str = "active",
    user_id: int | None = None,
    account_number: str = "",
) -> int:
    """A new account with a deposit of `cash` (none for "0"), of a new user unless one is given; returns its
    id."""
    account = await accounts.open_account(
        db,
        user_id=user_id or await make_user(db),
        account_number=account_number or f"T-{next(_serial):06}",
        account_type=account_type,
        currency=currency,
    )
    if Decimal(cash):
        await accounts.deposit(db, account.account_id, Decimal(cash))
    if status != "active":  # only now: such an account takes no deposit
        await db.execute("update accounts set status = $2 where account_id = $1", account.account_id, status)
    return account.account_id
