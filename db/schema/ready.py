"""Whether a database is ready for this program, asked by somebody who may not change its schema."""

from __future__ import annotations

from db.database import ANSWER_TIMEOUT, Database
from db.errors import DatabaseError, SchemaError
from db.schema.migrate import VERSIONS, migrate
from db.schema.scripts import read_scripts

_UNDEFINED_FUNCTION = "42883"
_OWNS = """
    select pg_has_role(d.datdba, 'usage') from pg_database d where d.datname = current_database()"""


async def make_ready(url: str) -> bool:
    """Bring the schema up where the user of `url` owns the database, else see that it fits this program;
    returns whether anything was applied.

    Raises SchemaError (also where only the owner can do something about it), LoginError, ConnectionLostError,
    ServerError.
    """
    async with await Database.open(url, application_name="pitside schema", pool_max=1) as database:
        owns = await database.fetchval(_OWNS, within=ANSWER_TIMEOUT)
        if not owns:
            await require_fitting(database)
            return False
    return (await migrate(url)).changed


async def require_fitting(db: Database) -> None:
    """Raise SchemaError unless the database has the versions that this program has."""
    ours = max(script.number for script in read_scripts(VERSIONS, versions=True))
    try:
        theirs: int | None = await db.fetchval("select schema_version()", within=ANSWER_TIMEOUT)
    except DatabaseError as error:
        if error.sqlstate != _UNDEFINED_FUNCTION:
            raise
        theirs = None
    if theirs is None:
        raise SchemaError(
            f"{db.where} is not set up for this program yet: its owner has to call trade db migrate"
        )
    if theirs < ours:
        raise SchemaError(
            f"{db.where} has version {theirs} of the schema, and this program needs {ours}: its owner has to "
            "call trade db migrate"
        )
    if theirs > ours:
        raise SchemaError(
            f"{db.where} has version {theirs} of the schema, and this program knows {ours}: "
            "update the program"
        )
