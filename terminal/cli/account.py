"""`trade account`: accounts and the money in them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from terminal.cli import Invocation, arguments, output, reach

if TYPE_CHECKING:
    from db.accounts import Account
    from db.database import Database

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@click.group()
def account() -> None:
    """Accounts and the money in them. For the owner; anyone may list their own."""


@account.command("open")
@click.argument("user")
@click.option("--type", "account_type", default="cash", show_default=True, help="cash, margin, or another.")
@click.option("--currency", default="USD", show_default=True)
@click.option("--number", metavar="NUMBER", help="The account's number (else one is made up).")
@json_option
@click.pass_obj
def open_account(
    invocation: Invocation, user: str, account_type: str, currency: str, number: str | None, as_json: bool
) -> None:
    """Open an account for a USER, with no money in it."""
    from db import accounts

    opened = reach.administer(
        invocation,
        "trade account",
        lambda database: accounts.open_for(
            database, user, account_type=account_type, currency=currency, account_number=number
        ),
    )
    if as_json:
        output.as_json(opened)
        return
    click.echo(
        f"Account {opened.account_number} ({opened.account_type}, {opened.currency}) of {user} is open."
    )
    reach.say(f"To pay money in: trade account deposit {opened.account_number} AMOUNT")


@account.command()
@click.argument("number")
@json_option
@click.pass_obj
def close(invocation: Invocation, number: str, as_json: bool) -> None:
    """Close an account for good; it must be empty: no cash, no positions, no working orders."""
    from db import accounts

    async def work(database: Database) -> Account:
        found = await accounts.by_number(database, number)
        await accounts.close(database, found.account_id)
        return await accounts.by_number(database, number)

    closed = reach.administer(invocation, "trade account", work)
    if as_json:
        output.as_json(closed)
    else:
        click.echo(f"Account {closed.account_number} is closed.")


@account.command()
@click.argument("number")
@click.argument("amount", type=arguments.Number())
@click.option("--description", metavar="WORDS", help="What the ledger says about it.")
@json_option
@click.pass_obj
def deposit(
    invocation: Invocation, number: str, amount: Decimal, description: str | None, as_json: bool
) -> None:
    """Pay an AMOUNT into an account."""
    _move(invocation, number, amount, description, as_json, out=False)


@account.command()
@click.argument("number")
@click.argument("amount", type=arguments.Number())
@click.option("--description", metavar="WORDS", help="What the ledger says about it.")
@json_option
@click.pass_obj
def withdraw(
    invocation: Invocation, number: str, amount: Decimal, description: str | None, as_json: bool
) -> None:
    """Pay an AMOUNT out of an account, at most what is available."""
    _move(invocation, number, amount, description, as_json, out=True)


def _move(
    invocation: Invocation,
    number: str,
    amount: Decimal,
    description: str | None,
    as_json: bool,
    *,
    out: bool,
) -> None:
    from db import accounts

    async def work(database: Database) -> tuple[int, Account]:
        found = await accounts.by_number(database, number)
        move = accounts.withdraw if out else accounts.deposit
        transaction_id = await move(database, found.account_id, amount, description)
        return transaction_id, await accounts.by_number(database, number)

    transaction_id, now = reach.administer(invocation, "trade account", work)
    if as_json:
        output.as_json(
            {
                "transaction_id": transaction_id,
                "account_number": now.account_number,
                "amount": -amount if out else amount,
                "balance": now.balance,
                "currency": now.currency,
            }
        )
        return
    done = f"paid {'out of' if out else 'into'} {now.account_number}"
    click.echo(f"{amount:,f} {now.currency} {done}; the balance is {now.balance:,f} {now.currency}.")


@account.command("list")
@click.option("--user", metavar="NAME", help="Only this user's.")
@json_option
@click.pass_obj
def list_accounts(invocation: Invocation, user: str | None, as_json: bool) -> None:
    """Show the accounts: all of them to the owner and to support, to a trader their own."""
    from db import accounts

    async def work(database: Database, _stop: asyncio.Event) -> list[Account]:
        every = await accounts.list_all(database)
        return [one for one in every if user is None or one.username == user]

    found = reach.run(invocation.settings().database, "trade account", work, stops=False)
    if as_json:
        output.as_json(found)
        return
    output.table(
        ("NUMBER", "USER", "TYPE", "STATUS", "BALANCE", "CURRENCY"),
        [
            (one.account_number, one.username, one.account_type, one.status, one.balance, one.currency)
            for one in found
        ],
        empty="There are no accounts." if user is None else f"There are no accounts of {user}.",
    )
