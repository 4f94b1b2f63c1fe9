"""A market for desks; and a quicker Pilot, which takes the program for idle when it did nothing for 20 ms,
twice a key: these screens need a fifth of that."""

from __future__ import annotations

import pytest

from db.database import Database
from tests.factories import make_account, make_instrument
from tests.terminal.desks import Market


@pytest.fixture(autouse=True)
def _quick_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.004)
    monkeypatch.setattr("textual._wait.SLEEP_IDLE", 0.0004)


@pytest.fixture
async def market(database: Database, database_url: str) -> Market:
    acme = await make_instrument(database, "ACME")
    mine = await make_account(database, "10000", account_number="MINE")
    other = await make_account(database, "100000", account_type="margin")
    return Market(database, database_url, acme, mine, other)
