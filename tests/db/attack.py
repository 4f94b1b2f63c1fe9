"""The scene of an attack: Mallory, a trader with a password, psql and bad intentions, and Victor, another
trader with money, a position and an order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from db.database import Connection, Database
from db.schema.migrate import migrate
from tests.db.people import People, Person
from tests.db.stage import Stage

SECRET = "victor-client-order"  # noqa: S105
DENIED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidGrantOperationError,
    asyncpg.InvalidRoleSpecificationError,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is there, and what there is to steal: `order` is Victor's, its client order id `SECRET`."""

    mallory: Person
    victor: Person
    instrument: int
    order: int
    owner: str


@contextlib.asynccontextmanager
async def scene_of(database: Database, database_url: str) -> AsyncIterator[Scene]:
    """Mallory has 100 in cash. At the end the books are right and what is Victor's is as it was."""
    await migrate(database_url)  # a copy of the template has not its database's own privileges
    people = People(database, database_url)
    mallory, victor = await people.add(cash="100"), await people.add(cash="100000")
    stage = await Stage.open(database, database_url)
    await stage.sell(await stage.margin(), 10, "100")
    await stage.buy(victor.account, 10, "100")
    order = await stage.buy(victor.account, 5, "99", client=SECRET)
    owner = await database.fetchval("select current_user")
    before = await possessions(database, victor)
    yield Scene(mallory, victor, stage.instrument, order, owner)
    assert await possessions(database, victor) == before
    left = "select balance from accounts where account_id = $1"
    assert await database.fetchval(left, mallory.account) == 100
    await stage.close()


async def possessions(database: Database, one: Person) -> list[str]:
    rows = await database.fetch(
        """select to_jsonb(a)::text from accounts a where a.account_id = $1
           union all select to_jsonb(u)::text from users u where u.user_id = $2
           union all select to_jsonb(o)::text from orders o where o.account_id = $1
           union all select to_jsonb(p)::text from positions p where p.account_id = $1
           union all select to_jsonb(t)::text from transactions t where t.account_id = $1""",
        one.account,
        one.user_id,
    )
    return sorted(row[0] for row in rows)


async def denied(connection: Connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement)
        assert isinstance(refused.value, DENIED), (statement, repr(refused.value))
