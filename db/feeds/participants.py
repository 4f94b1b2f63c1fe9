"""The accounts of those who are in the market without being people: simulated participants and tapes.

They are ordinary users with ordinary margin accounts, made on first use, one account for each currency.
Nobody can log in as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from db.accounts import NO_PASSWORD
from db.database import Connection

CAPITAL = Decimal(1_000_000_000)
"""What such an account starts with, and is brought back to when it has lost half of it."""

SIMULATED = "^SIM-(MAKER|TAKER)-[0-9]+-[A-Z]{3}$"
"""Account numbers of the simulated participants, as a regular expression for Postgres."""

TAPE_RESTING = "TAPE-RESTING"
"""The account whose orders are the book that a tape tells of."""

TAPE_TAKING = "TAPE-TAKING"
"""The account that sends a tape's executions; another one than the resting, so that they never meet as
one's own."""


@dataclass(frozen=True, slots=True)
class Participant:
    """An account that a feed trades with: `role` is its name without the currency (SIM-MAKER-1)."""

    account_id: int
    role: str
    currency: str


def makers(count: int) -> list[str]:
    """The roles of so many simulated market makers."""
    return [f"SIM-MAKER-{number}" for number in range(1, count + 1)]


def takers(count: int) -> list[str]:
    """The roles of so many simulated takers."""
    return [f"SIM-TAKER-{number}" for number in range(1, count + 1)]


async def enrol(connection: Connection, role: str, currency: str) -> Participant:
    """The participant with this role and currency, made where it is new, and with enough capital.

    Runs inside the caller's transaction, if there is one; two at once end with one account.
    """
    user = role.lower()
    await connection.execute(
        "insert into users (email, username, password_hash, first_name) values ($1, $2, $3, $4)"
        " on conflict do nothing",
        f"{user}@pitside.invalid",
        user,
        NO_PASSWORD,
        role.replace("-", " ").title(),
    )
    number = f"{role}-{currency}"
    await connection.execute(
        "insert into accounts (user_id, account_type, account_number, currency)"
        " select user_id, 'margin', $2, $3 from users where username = $1 on conflict do nothing",
        user,
        number,
        currency,
    )
    account_id: int = await connection.fetchval(
        "select account_id from accounts where account_number = $1", number
    )
    await provide(connection, account_id)
    return Participant(account_id, role, currency)


async def provide(connection: Connection, account_id: int) -> bool:
    """Deposit what an account lacks when its equity is below half its capital; whether that was needed."""
    equity: Decimal = await connection.fetchval("select equity from account_summary($1)", account_id)
    if equity >= CAPITAL / 2:
        return False
    await connection.execute("select deposit($1, $2, 'Capital of a feed')", account_id, CAPITAL - equity)
    return True
