"""What scenarios of the exchange ask for: a stage, whose books are looked through when the story is over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from db.database import Database
from tests.db.stage import Stage


@pytest.fixture
async def stage(database: Database, database_url: str) -> AsyncIterator[Stage]:
    """An instrument in cents and whole shares."""
    stage = await Stage.open(database, database_url)
    yield stage
    await stage.close()


@pytest.fixture
async def fine(database: Database, database_url: str) -> AsyncIterator[Stage]:
    """An instrument without tick or lot: any value of eight decimals."""
    stage = await Stage.open(database, database_url, tick=None, lot=None)
    yield stage
    await stage.close()
