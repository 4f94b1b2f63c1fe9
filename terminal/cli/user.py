"""`trade user`: who may log in, and as what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from terminal.cli import Invocation, arguments, output, reach

if TYPE_CHECKING:
    from db.database import Database
    from db.users import User

# As in db.users, which loads the driver: --help has no need of it. A test compares the two.
ROLES = ("trader", "support", "market_data", "backup")

role_argument = click.Choice(ROLES)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it."
)


@click.group()
def user() -> None:
    """Who may log in, and as what: trader, support, market_data (feeds), backup. For the owner."""


@user.command()
@click.argument("name")
@click.option("--email", required=True, metavar="ADDRESS", help="The user's address.")
@click.option("--role", type=role_argument, default="trader", show_default=True, help="What they may do.")
@click.option("--first-name", metavar="NAME")
@click.option("--last-name", metavar="NAME")
@password_option
@json_option
@click.pass_obj
def add(
    invocation: Invocation,
    name: str,
    email: str,
    role: str,
    first_name: str | None,
    last_name: str | None,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Add a user; their password is asked for, and never leaves this machine as it is."""
    from db import users

    password = arguments.password(name, from_stdin=password_stdin)

    async def work(database: Database) -> User:
        await users.add(
            database,
            username=name,
            email=email,
            role=role,
            password=password,
            first_name=first_name,
            last_name=last_name,
        )
        return await users.by_name(database, name)

    added = reach.administer(invocation, "trade user", work)
    if as_json:
        output.as_json(added)
        return
    click.echo(f"{added.username} may log in as {added.role}.")
    if added.role == "trader":
        reach.say(f"To give them an account: trade account open {added.username}")


@user.command("list")
@json_option
@click.pass_obj
def list_users(invocation: Invocation, as_json: bool) -> None:
    """Show all users."""
    from db import users

    found = reach.administer(invocation, "trade user", users.list_all)
    if as_json:
        output.as_json(found)
        return
    output.table(
        ("USER", "ROLE", "LOG-IN", "NAME", "ADDRESS", "SINCE"),
        [
            (
                one.username,
                one.role,
                "disabled" if not one.is_active else "yes" if one.may_log_in else "no password yet",
                " ".join(part for part in (one.first_name, one.last_name) if part) or None,
                one.email,
                one.created_at.date().isoformat(),
            )
            for one in found
        ],
        empty="There are no users.",
    )


@user.command()
@click.argument("name")
@json_option
@click.pass_obj
def disable(invocation: Invocation, name: str, as_json: bool) -> None:
    """Lock a user out: no log-in, open sessions end. Their resting orders stay until they are cancelled."""
    from db import users

    ended = reach.administer(invocation, "trade user", lambda database: users.disable(database, name))
    if as_json:
        output.as_json({"username": name, "sessions_ended": ended})
    else:
        click.echo(f"{name} is disabled; {ended} open connection{'s' * (ended != 1)} ended.")


@user.command()
@click.argument("name")
@json_option
@click.pass_obj
def enable(invocation: Invocation, name: str, as_json: bool) -> None:
    """Let a disabled user in again, with the password they had."""
    from db import users

    _change(invocation, name, lambda database: users.enable(database, name), "may log in again", as_json)


@user.command()
@click.argument("name", required=False)
@password_option
@json_option
@click.pass_obj
def passwd(invocation: Invocation, name: str | None, password_stdin: bool, as_json: bool) -> None:
    """Give a user another password. Without a NAME: yourself, which needs no owner."""
    from db import users

    password = arguments.password(name or "yours", from_stdin=password_stdin)
    if name is not None:
        _change(
            invocation,
            name,
            lambda database: users.set_password(database, name, password),
            "has another password",
            as_json,
        )
        return

    async def work(database: Database, _stop: asyncio.Event) -> str:
        await users.change_password(database, password)
        return (await users.whoami(database)).username

    own = reach.run(invocation.settings().database, "trade user", work, stops=False)
    if as_json:
        output.as_json({"username": own})
    else:
        click.echo(f"{own} has another password.")


@user.command()
@click.argument("name")
@click.argument("role", type=role_argument)
@json_option
@click.pass_obj
def role(invocation: Invocation, name: str, role: str, as_json: bool) -> None:
    """Make a user a trader, support, market_data or backup."""
    from db import users

    _change(
        invocation, name, lambda database: users.set_role(database, name, role), f"is {role} now", as_json
    )


def _change(
    invocation: Invocation,
    name: str,
    change: Callable[[Database], Awaitable[None]],
    outcome: str,
    as_json: bool,
) -> None:
    """Do it, and show the user as they are then."""
    from db import users

    async def work(database: Database) -> User:
        await change(database)
        return await users.by_name(database, name)

    changed = reach.administer(invocation, "trade user", work)
    if as_json:
        output.as_json(changed)
    else:
        click.echo(f"{changed.username} {outcome}.")
