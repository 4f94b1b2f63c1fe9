"""People who log in with a password, as traders and support do: over the socket, with SCRAM.

people = People(database, database_url)
ann = await people.add("trader", cash="10000")
async with ann.connected() as connection: ...
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from db import users
from db.database import Database
from tests.factories import make_account

PASSWORD = "correct horse battery"  # noqa: S105


async def tuples(
    connection: asyncpg.Connection[asyncpg.Record] | Database, query: str, *args: object
) -> list[tuple[Any, ...]]:
    """All rows, to be compared with what they should be."""
    return [tuple(row) for row in await connection.fetch(query, *args)]


def login_url(owner_url: str, username: str, password: str = PASSWORD) -> str:
    """The URL with which that user gets in where the owner's leads."""
    scheme, _, rest = owner_url.partition("://")
    return f"{scheme}://{username}:{password.replace(' ', '%20')}@{rest.partition('@')[2]}"


@dataclass(frozen=True, slots=True)
class Person:
    """A user who can log in; `account` is the id of their account, 0 where they have none."""

    username: str
    user_id: int
    account: int
    url: str

    @contextlib.asynccontextmanager
    async def connected(self, **settings: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection of the driver's own, so that tests see what Postgres says."""
        connection = await asyncpg.connect(self.url, server_settings=settings)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """The same through the data layer."""
        async with await Database.open(self.url, pool_max=2) as database:
            yield database


class People:
    """The users of a test's database. Roles belong to the whole server, so nobody's name comes twice."""

    def __init__(self, owner: Database, owner_url: str) -> None:
        self.owner = owner
        self._owner_url = owner_url

    async def add(self, role: str = "trader", *, cash: str | None = None, **account: Any) -> Person:
        """A user of that role; a trader gets an account, with `cash` in it if any."""
        name = f"{role[0]}_{uuid.uuid4().hex[:10]}"
        user_id = await users.add(
            self.owner, username=name, email=f"{name}@example.com", role=role, password=PASSWORD
        )
        account_id = 0
        if role == "trader":
            account_id = await make_account(self.owner, cash or "0", user_id=user_id, **account)
        return Person(name, user_id, account_id, login_url(self._owner_url, name))
