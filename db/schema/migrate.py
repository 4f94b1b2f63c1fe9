"""Brings a database's schema up to this program.

`versions/NNNN_name.sql` are applied once, in order, and never edited afterwards; `functions/NN_name.sql` are
applied again when their text, or that of a file before them, has changed. Each file runs in one transaction
with its record, all of them under one advisory lock, so that of two processes that start at once one works
and the other finds it done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from db.database import Record, connect, translated
from db.errors import SchemaError
from db.schema.scripts import Script, read_scripts
from db.urls import describe

VERSIONS = Path(__file__).parent / "versions"
FUNCTIONS = Path(__file__).parent / "functions"

LOCK = 0x7069_7473_6964_6500  # "pitside", for pg_advisory_lock
LOCK_WAIT = 120.0  # seconds for which another process may be at it
DATABASE_SETTINGS = {
    "timezone": "UTC",  # every timestamp column means UTC
    "jit": "off",  # compiling costs many short statements more than it gains
}

_RECORDS = """
    create schema if not exists internal;
    create table if not exists internal.schema_versions (
        version     integer primary key,
        name        text not null,
        checksum    text not null,
        applied_at  timestamp not null default (clock_timestamp() at time zone 'UTC')
    );
    create table if not exists internal.schema_functions (
        name        text primary key,
        checksum    text not null,
        applied_at  timestamp not null default (clock_timestamp() at time zone 'UTC')
    )"""
_RECORD_VERSION = "insert into internal.schema_versions (version, name, checksum) values ($1, $2, $3)"
_RECORD_FUNCTION = """
    insert into internal.schema_functions (name, checksum) values ($1, $2)
    on conflict (name) do update set checksum = excluded.checksum, applied_at = excluded.applied_at"""
_STATE = """
    select 'version' as kind, version, name, checksum, applied_at from internal.schema_versions
    union all
    select 'function', null, name, checksum, applied_at from internal.schema_functions
    union all
    select 'setting', null, split_part(setting, '=', 1), split_part(setting, '=', 2), null
    from pg_db_role_setting, unnest(setconfig) setting
    where setrole = 0 and setdatabase = (select oid from pg_database where datname = current_database())
    union all
    select 'open', null, datname, null, null from pg_database
    where datname = current_database() and has_database_privilege('public', oid, 'connect')
    order by 1, 2, 3"""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a run of `migrate` did: the names of the versions and function files that it applied, in order."""

    versions: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was applied."""
        return bool(self.versions or self.functions)


@dataclass(frozen=True, slots=True)
class AppliedVersion:
    """A version that the database has; `applied_at` is UTC."""

    number: int
    name: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How a database stands to this program: versions applied, versions and function files still to be
    applied."""

    applied: tuple[AppliedVersion, ...]
    pending: tuple[str, ...]
    pending_functions: tuple[str, ...]

    @property
    def current(self) -> bool:
        """Whether `migrate` would find nothing to do."""
        return not (self.pending or self.pending_functions)


async def migrate(
    url: str,
    *,
    versions: Path = VERSIONS,
    functions: Path = FUNCTIONS,
    on_step: Callable[[str], None] = lambda _name: None,
) -> MigrationReport:
    """Apply what the database at `url` lacks; `on_step` is called with the name of each file before it is
    applied.

    Raises SchemaError (nothing of the file that failed is left behind), ConnectionLostError, ServerError.
    """
    plan = _Plan(read_scripts(versions, versions=True), read_scripts(functions, versions=False))
    async with _connection(url) as connection:
        with _needs_owner(url):
            state = await _read_state(connection)
        if plan.is_done(state):
            return MigrationReport()
        async with _lock(connection):
            with _needs_owner(url):
                await connection.execute(_RECORDS)
                await _set_up_database(connection)
            # Another process may have done it while we waited for the lock.
            state = await _read_state(connection)
            pending = plan.pending_versions(state)
            for script in pending:
                on_step(script.name)
                await _apply(
                    connection,
                    script,
                    _RECORD_VERSION,
                    (script.number, script.name, script.checksum),
                )
            changed = plan.pending_functions(state)
            for script in changed:
                on_step(script.name)
                await _apply(
                    connection,
                    script,
                    _RECORD_FUNCTION,
                    (script.name, script.checksum),
                )
            await connection.execute(
                "delete from internal.schema_functions where name <> all($1::text[])",
                [script.name for script in plan.functions],
            )
    return MigrationReport(tuple(s.name for s in pending), tuple(s.name for s in changed))


async def status(url: str, *, versions: Path = VERSIONS, functions: Path = FUNCTIONS) -> SchemaStatus:
    """Compare the database at `url` with this program, changing nothing. Raises as `migrate` does."""
    plan = _Plan(read_scripts(versions, versions=True), read_scripts(functions, versions=False))
    async with _connection(url) as connection:
        with _needs_owner(url):
            state = await _read_state(connection)
    return SchemaStatus(
        tuple(AppliedVersion(row["version"], row["name"], row["applied_at"]) for row in state.versions),
        tuple(script.name for script in plan.pending_versions(state)),
        tuple(script.name for script in plan.pending_functions(state)),
    )


class _State:
    """What the database says of itself."""

    def __init__(self, rows: Sequence[Record]) -> None:
        self.versions = [row for row in rows if row["kind"] == "version"]
        self.functions = {row["name"]: row["checksum"] for row in rows if row["kind"] == "function"}
        settings = {row["name"].lower(): row["checksum"] for row in rows if row["kind"] == "setting"}
        is_open = any(row["kind"] == "open" for row in rows)
        self.is_set_up = settings.items() >= DATABASE_SETTINGS.items() and not is_open


@dataclass(frozen=True, slots=True)
class _Plan:
    """What this program brings."""

    versions: list[Script]
    functions: list[Script]

    def pending_versions(self, state: _State) -> list[Script]:
        """The versions still to be applied. Raises SchemaError where the database's history is another."""
        ours = {script.number: script for script in self.versions}
        newest = 0
        for row in state.versions:
            newest = row["version"]
            script = ours.get(newest)
            if script is None:
                raise SchemaError(
                    f"this database was set up by a newer Pitside: it has version {newest} ({row['name']}), "
                    f"this program knows versions up to {max(ours, default=0)}. Update the program"
                )
            if script.checksum != row["checksum"]:
                raise SchemaError(
                    f"{script.path.name} has changed since it was applied to this database on "
                    f"{row['applied_at']:%Y-%m-%d %H:%M} UTC. Put its text back and write the change as a "
                    "new version"
                )
        applied = {row["version"] for row in state.versions}
        pending = [script for script in self.versions if script.number not in applied]
        for script in pending:
            if script.number < newest:
                raise SchemaError(
                    f"{script.path.name} was added before version {newest}, which this database already has. "
                    "Give it a higher number"
                )
        return pending

    def pending_functions(self, state: _State) -> list[Script]:
        """The first file that changed and all after it, which may build on it."""
        for index, script in enumerate(self.functions):
            if state.functions.get(script.name) != script.checksum:
                return self.functions[index:]
        return []

    def is_done(self, state: _State) -> bool:
        """Whether nothing is to be done."""
        names = {script.name for script in self.functions}
        complete = state.is_set_up and state.functions.keys() == names
        return not self.pending_versions(state) and not self.pending_functions(state) and complete


@contextlib.asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection[Record]]:
    connection = await connect(url, application_name="pitside schema")
    try:
        with translated(connection, describe(url)):
            yield connection
    finally:
        await connection.close(timeout=5)


async def _read_state(connection: asyncpg.Connection[Record]) -> _State:
    try:
        return _State(await connection.fetch(_STATE))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return _State([])


@contextlib.asynccontextmanager
async def _lock(connection: asyncpg.Connection[Record]) -> AsyncIterator[None]:
    """Be the only one at it. The lock ends with the connection at the latest, so a killed process holds
    nobody up."""
    try:
        async with asyncio.timeout(LOCK_WAIT):
            await connection.execute(f"set statement_timeout = 0; select pg_advisory_lock({LOCK})")
    except TimeoutError:
        raise SchemaError(
            f"another process has been setting up the schema for {LOCK_WAIT:g} seconds; look for a session "
            "named 'pitside schema' in pg_stat_activity"
        ) from None
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(f"select pg_advisory_unlock({LOCK})")


async def _set_up_database(connection: asyncpg.Connection[Record]) -> None:
    name = await connection.fetchval("select quote_ident(current_database())")
    for setting, value in DATABASE_SETTINGS.items():
        await connection.execute(f"alter database {name} set {setting} = '{value}'")
    # Each user's role is let in by itself (functions/93_logins.sql): a role of another database stays out.
    await connection.execute(f"revoke all on database {name} from public")


@contextlib.contextmanager
def _needs_owner(url: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaError(
            f"the schema of {describe(url)} can only be set up and looked into by its owner: "
            f"{error.message}. Log in as the role that owns the database"
        ) from error


async def _apply(
    connection: asyncpg.Connection[Record], script: Script, record: str, values: tuple[object, ...]
) -> None:
    """Run one file and write its record, both or neither."""
    try:
        async with connection.transaction():
            await connection.execute("set local search_path = public")
            await connection.execute(script.text)
            await connection.execute(record, *values)
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        line = await _line_of(connection, script, error)
        where = f"{script.path}, line {line}" if line else f"{script.path}"
        text = "; ".join(part for part in (error.message, error.detail, error.hint) if part)
        raise SchemaError(f"{where}: {text}. Nothing of this file was applied") from error


async def _line_of(
    connection: asyncpg.Connection[Record], script: Script, error: asyncpg.PostgresError
) -> int | None:
    """The line of the statement that failed.

    Postgres tells the position of a mistake in the text, but not which statement of several failed on the
    data or on what is there already. So those are run again, one by one, up to the one that fails the same
    way, and rolled back.
    """
    if error.position is not None:
        return script.line_of(int(error.position))
    trial = connection.transaction()
    await trial.start()
    try:
        await connection.execute("set local search_path = public")
        for line, statement in script.statements():
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as again:
                return line if again.sqlstate == error.sqlstate and again.position is None else None
        return None
    finally:
        await trial.rollback()
