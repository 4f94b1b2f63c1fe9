"""`trade db`: the embedded server and the schema.

Results go to stdout, and everything else to stderr, so that `psql "$(trade db start)"` works.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from db.errors import ServerError
from db.urls import describe, mask
from terminal.cli import Invocation

if TYPE_CHECKING:
    from pydantic import SecretStr

    from db.embedded.sharing import Lease, ServerStatus
    from db.schema.migrate import MigrationReport
    from db.settings import DatabaseSettings

CLIENTS = """
    select count(*) from pg_stat_activity
    where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()"""


@click.group()
def db() -> None:
    """The embedded server and the schema."""


@db.command()
@click.pass_obj
def start(invocation: Invocation) -> None:
    """Start the server, set up the schema, and keep it running until `trade db stop`.

    Nothing else is set up. The last line printed is the owner's URL.
    """
    from db.embedded import sharing

    settings = invocation.settings().database
    if settings.url is not None:
        _say(f"Nothing to start: {_external(settings.url)}.")
        return
    with sharing.join(settings, progress=_say) as lease:
        _migrate(lease)
        lease.keep()
        _say("The server runs until `trade db stop`.")
        click.echo(lease.url)


@db.command()
@click.option("--force", is_flag=True, help="Stop it although terminals use it; they lose their connection.")
@click.pass_obj
def stop(invocation: Invocation, force: bool) -> None:
    """Stop the server; when terminals use it, once the last of them has left."""
    from db.embedded import sharing

    settings = invocation.settings().database
    if settings.url is not None:
        _say(f"Nothing to stop: {_external(settings.url)}.")
        return
    match sharing.stop(settings, force=force):
        case sharing.Stopped.STOPPED:
            _say("The server is stopped.")
        case sharing.Stopped.WAS_NOT_RUNNING:
            _say("The server is not running.")
        case sharing.Stopped.IN_USE:
            _say(
                "Terminals use the server: it stops when the last of them is closed. "
                "To stop it now, call `trade db stop --force`."
            )


@db.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_obj
def status(invocation: Invocation, as_json: bool) -> None:
    """Show what the server is doing and how its schema stands."""
    settings = invocation.settings().database
    server = settings.server_url
    report = _external_report(server) if server is not None else _embedded_report(settings)
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False))
    else:
        for name, value in _lines(report):
            click.echo(f"{name:<12}{value}")


@db.command()
@click.pass_obj
def url(invocation: Invocation) -> None:
    """Print the owner's URL, for psql and other programs."""
    from db.embedded import sharing

    settings = invocation.settings().database
    if settings.server_url is not None:
        click.echo(settings.server_url)
        return
    server = sharing.status(settings)
    if not server.running:
        _say("The server is not running: call `trade db start` first.")
    click.echo(server.url)


@db.command()
@click.pass_obj
def migrate(invocation: Invocation) -> None:
    """Bring the database's schema up to this program."""
    from db.embedded import sharing

    with sharing.join(invocation.settings().database, progress=_say) as lease:
        report = _migrate(lease)
        if not report.changed:
            _say("The schema is up to date.")


@db.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(invocation: Invocation, yes: bool) -> None:
    """Delete the embedded database with everything in it. Asks first."""
    from db.embedded import sharing

    settings = invocation.settings().database
    if settings.url is not None:
        raise ServerError(
            f"reset is for the embedded server, and {_external(settings.url)}: unset database.url "
            "(TRADE_DATABASE__URL, --database-url), or drop that database with its own server's means."
        )
    folder = sharing.cluster_of(settings).data.path
    if not yes:
        click.confirm(
            f"Delete all accounts, orders and history in {folder}? This cannot be undone.",
            abort=True,
            err=True,
        )
    existed = sharing.reset(settings)
    _say(f"The database in {folder} is deleted." if existed else f"There is no database in {folder}.")


@dataclass(frozen=True, slots=True)
class _Schema:
    version: int | None
    applied: int
    pending: list[str]


@dataclass(frozen=True, slots=True)
class _Report:
    """What `status` shows; None where it is not known, of a server that is down or not ours."""

    embedded: bool
    running: bool
    version: str | None
    url: str
    pid: int | None = None
    started: str | None = None
    kept: bool | None = None
    in_use: bool | None = None
    data_dir: str | None = None
    log: str | None = None
    size: int | None = None
    clients: int | None = None
    schema: _Schema | None = None


def _embedded_report(settings: DatabaseSettings) -> _Report:
    from db.embedded import sharing

    server = sharing.status(settings)
    inside = asyncio.run(_look_inside(server.url)) if server.running else _Inside(None, None, None, None)
    return _Report(
        embedded=True,
        running=server.running,
        version=inside.version or server.version,
        url=server.url,
        pid=server.pid,
        started=_local_time(server),
        kept=server.kept,
        in_use=server.in_use,
        data_dir=str(server.data_dir),
        log=str(server.log),
        size=server.size,
        clients=inside.clients,
        schema=inside.schema,
    )


def _external_report(url: str) -> _Report:
    inside = asyncio.run(_look_inside(url))
    return _Report(
        embedded=False,
        running=True,
        version=inside.version,
        url=mask(url),
        size=inside.size,
        clients=inside.clients,
        schema=inside.schema,
    )


@dataclass(frozen=True, slots=True)
class _Inside:
    """What only a connection can tell. `size` is the database's, in bytes."""

    version: str | None
    clients: int | None
    size: int | None
    schema: _Schema | None


async def _look_inside(url: str) -> _Inside:
    from db.database import Database
    from db.schema import migrate as schema

    state = await schema.status(url)
    async with await Database.open(url, application_name="trade db status", pool_max=1) as database:
        return _Inside(
            version=await database.fetchval("select split_part(current_setting('server_version'), ' ', 1)"),
            clients=await database.fetchval(CLIENTS),
            size=await database.fetchval("select pg_database_size(current_database())"),
            schema=_Schema(
                version=max((version.number for version in state.applied), default=None),
                applied=len(state.applied),
                pending=[*state.pending, *state.pending_functions],
            ),
        )


def _lines(report: _Report) -> list[tuple[str, str]]:
    """The report for people: what is known, a line each."""
    lines = [("server", _server_line(report))]
    if report.data_dir is not None:
        lines.append(("data", f"{report.data_dir} ({_size(report.size or 0)})"))
    elif report.size is not None:
        lines.append(("data", _size(report.size)))
    lines.append(("url", report.url))
    if report.clients is not None:
        lines.append(("clients", str(report.clients)))
    if (schema := report.schema) is not None:
        pending = f"; to be applied: {', '.join(schema.pending)} (trade db migrate)" if schema.pending else ""
        applied = f"version {schema.version}" if schema.version is not None else "none yet"
        lines.append(("schema", applied + (pending or ", up to date")))
    if report.log is not None:
        lines.append(("log", report.log))
    return lines


def _server_line(report: _Report) -> str:
    if not report.embedded:
        return f"PostgreSQL {report.version}, not ours (database.url)"
    if not report.running:
        return f"PostgreSQL {report.version}, " + ("starting" if report.pid else "not running")
    stays = "stays until `trade db stop`" if report.kept else "stops with the last terminal"
    return f"PostgreSQL {report.version}, running since {report.started}, process {report.pid}; {stays}"


def _migrate(lease: Lease) -> MigrationReport:
    from db.schema import migrate as schema

    return asyncio.run(schema.migrate(lease.url, on_step=lambda name: _say(f"Applying {name} …")))


def _external(url: SecretStr) -> str:
    return f"database.url is set, so {describe(url.get_secret_value())} serves"


def _local_time(server: ServerStatus) -> str | None:
    if server.started is None:
        return None
    return datetime.fromtimestamp(server.started).astimezone().isoformat(sep=" ", timespec="seconds")


def _size(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB"


def _say(message: str) -> None:
    click.echo(message, err=True)
