"""An account with a long history, made at once: the journal of a busy participant after some weeks."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from db.database import Connection
from tests.bench.market import MIDDLE

STANDING = 100
"""Orders of its that are working all the while."""

_MAKE = Path(__file__).with_suffix(".sql")


async def make(connection: Connection, events: int, instruments: int) -> int:
    """A new account with about so many events, in all instruments; returns its id."""
    cycle = 4 * instruments
    script = _MAKE.read_text(encoding="utf-8")
    await connection.execute(
        script.format(
            middle=Decimal(MIDDLE), events=events // cycle * cycle, instruments=instruments, standing=STANDING
        )
    )
    account: int = await connection.fetchval("select account_id from accounts where account_number = 'LONG'")
    await connection.execute("vacuum analyze")
    return account
