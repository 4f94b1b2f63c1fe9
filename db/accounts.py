"""Users, their accounts, the money in them and what they hold."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from decimal import Decimal

from db.database import ANSWER_TIMEOUT, Database
from db.errors import RequestError
from db.values import exact

NO_PASSWORD = "!"  # noqa: S105
"""The `password_hash` of a user who has no password, and so cannot log in."""

_SELECT = """
    select a.account_id, a.user_id, u.username, a.account_type, a.account_number, a.balance, a.currency,
        a.status
    from accounts a left join users u using (user_id)"""


@dataclass(frozen=True, slots=True)
class Account:
    """An account; `account_type` is `cash` or `margin`, `status` `active` or a word for why it is not."""

    account_id: int
    user_id: int | None
    username: str | None
    account_type: str
    account_number: str
    balance: Decimal
    currency: str
    status: str


@dataclass(frozen=True, slots=True)
class Summary:
    """An account's money now, positions marked at read (rules 20–22); all in the account's currency."""

    balance: Decimal
    reserved: Decimal
    available: Decimal
    equity: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    commissions: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    buying_power: Decimal
    margin_call: bool


@dataclass(frozen=True, slots=True)
class Position:
    """What an account holds of an instrument, marked at read (rules 19 and 20); a short quantity is
    negative."""

    account_id: int
    instrument_id: int
    symbol: str
    quantity: Decimal
    average_price: Decimal
    cost: Decimal
    mark: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    realized_pnl: Decimal


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Commission as a share of the traded value (rule 17)."""

    maker: Decimal
    taker: Decimal


async def fee_rates(db: Database, account_type: str) -> FeeRates:
    """What accounts of that type pay; 0 where no row says otherwise."""
    row = await db.fetchrow(
        "select maker_rate as maker, taker_rate as taker from fee_schedule where account_type = $1",
        account_type,
        within=ANSWER_TIMEOUT,
    )
    return FeeRates(Decimal(0), Decimal(0)) if row is None else FeeRates(**row)


async def list_all(db: Database, *, active_only: bool = False) -> list[Account]:
    """All accounts, in the order in which they were opened."""
    rows = await db.fetch(
        f"{_SELECT} where a.status = 'active' or not $1 order by a.account_id",
        active_only,
        within=ANSWER_TIMEOUT,
    )
    return [Account(**row) for row in rows]


async def by_number(db: Database, account_number: str) -> Account:
    """The account of that number. Raises RequestError with what is near when there is none."""
    row = await db.fetchrow(f"{_SELECT} where a.account_number = $1", account_number, within=ANSWER_TIMEOUT)
    if row is not None:
        return Account(**row)
    rows = await db.fetch(
        "select account_number from accounts order by account_id limit 1000", within=ANSWER_TIMEOUT
    )
    numbers = [row["account_number"] for row in rows]
    near = difflib.get_close_matches(account_number, numbers) or numbers[:5]
    hint = (
        f"Did you mean {' or '.join(near)}?" if near else "There are no accounts yet: trade demo sets one up."
    )
    raise RequestError("account", account_number, "there is no account of that number", hint)


async def summary(db: Database, account_id: int) -> Summary:
    """The account's money now. Raises RequestError for an unknown account."""
    row = await db.fetchrow(
        """
        select balance, reserved, available, equity, realized_pnl, unrealized_pnl, commissions,
        initial_margin,
            maintenance_margin, buying_power, margin_call
        from account_summary($1)""",
        account_id,
        within=ANSWER_TIMEOUT,
    )
    if row is None:
        raise RequestError("account_id", account_id, "there is no such account")
    return Summary(**row)


async def positions(db: Database, account_id: int, *, open_only: bool = False) -> list[Position]:
    """The account's positions by symbol, those that are flat by now too unless `open_only`."""
    rows = await db.fetch(
        """
        select $1::bigint as account_id, instrument_id, symbol, quantity, average_price, cost, mark,
        market_value,
            unrealized_pnl, realized_pnl
        from position_report($1) where quantity <> 0 or not $2 order by symbol""",
        account_id,
        open_only,
        within=ANSWER_TIMEOUT,
    )
    return [Position(**row) for row in rows]


async def deposit(db: Database, account_id: int, amount: Decimal, description: str | None = None) -> int:
    """Pay money in; returns the transaction's id. Raises RequestError for an amount that will not do."""
    return await _move(db, "select deposit($1, $2, $3)", account_id, amount, description)


async def withdraw(db: Database, account_id: int, amount: Decimal, description: str | None = None) -> int:
    """Pay money out; returns the transaction's id. Raises RequestError, also beyond what is available."""
    return await _move(db, "select withdraw($1, $2, $3)", account_id, amount, description)


async def adjust(db: Database, account_id: int, amount: Decimal, description: str) -> int:
    """Correct the balance by a signed amount, as the owner, saying why; returns the transaction's id.

    Raises RequestError for an amount that will not do, without a description, and where a cash account has
    less available than is taken from it.
    """
    return await _move(db, "select adjust($1, $2, $3)", account_id, amount, description)


async def open_account(
    db: Database, *, user_id: int, account_number: str, account_type: str = "cash", currency: str = "USD"
) -> Account:
    """Open an account with no money in it. Raises RequestError for a number that is taken, an unknown user,
    type or currency."""
    username = await db.fetchval(
        "select username from users where user_id = $1", user_id, within=ANSWER_TIMEOUT
    )
    if username is None:
        raise RequestError("user_id", user_id, "there is no such user", "Add the user first.")
    await db.execute(
        "select account_open($1, $2, $3, $4)",
        username,
        account_type,
        currency,
        account_number,
        within=ANSWER_TIMEOUT,
    )
    return await by_number(db, account_number)


async def open_for(
    db: Database,
    username: str,
    *,
    account_type: str = "cash",
    currency: str = "USD",
    account_number: str | None = None,
) -> Account:
    """Open an account for a user, as the owner; without a number the database makes one up.

    Raises RequestError for an unknown user, type or currency, and for a number that is taken.
    """
    account_id = await db.fetchval(
        "select account_open($1, $2, $3, $4)",
        username,
        account_type,
        currency,
        account_number,
        within=ANSWER_TIMEOUT,
    )
    row = await db.fetchrow(f"{_SELECT} where a.account_id = $1", account_id, within=ANSWER_TIMEOUT)
    assert row is not None  # noqa: S101 (it was opened just now)
    return Account(**row)


async def close(db: Database, account_id: int) -> None:
    """Close an account for good, as the owner. Raises RequestError while it holds positions, working orders
    or cash."""
    await db.execute("select account_close($1)", account_id, within=ANSWER_TIMEOUT)


async def _move(db: Database, call: str, account_id: int, amount: Decimal, description: str | None) -> int:
    transaction_id: int = await db.fetchval(
        call, account_id, exact("amount", amount), description, within=ANSWER_TIMEOUT
    )
    return transaction_id
