"""Who sits at the terminal, and which account they begin with."""

from __future__ import annotations

from collections.abc import Iterable

from db import accounts, users
from db.accounts import Account
from db.database import Database
from db.errors import LoginError, RequestError
from db.translation import DISABLED
from db.users import Identity

DEMO_USER = "demo"
READER = "support"
WITHOUT_TERMINAL = ("market_data", "backup")
"""Roles of programs: what a terminal shows is nothing that they may see."""


async def arrive(db: Database) -> Identity:
    """Who this is, with a line in the audit trail.

    Raises LoginError for a log-in that is no active user's, and for a user who has no terminal.
    """
    identity = await users.whoami(db)
    if identity.role is None and not identity.may_administer:
        raise LoginError(f"{identity.username} is no active user of {db.where}", reason=DISABLED)
    if identity.role in WITHOUT_TERMINAL:
        words = f"{identity.username} is a user for programs ({identity.role}), and has no terminal"
        raise LoginError(words, reason=words)
    await users.record_login(db)
    return identity


def require_let_in(error: RequestError, identity: Identity | None) -> None:
    """Raise LoginError for an error that says, to anybody but an administrator, that they are no active user
    any more: they were disabled a moment ago, and their sessions are about to end."""
    if error.field == "username" and identity is not None and not identity.may_administer:
        raise LoginError(str(error), reason=DISABLED) from error


async def first_account(
    db: Database, identity: Identity, number: str | None, known: Iterable[Account]
) -> Account:
    """The account of that number, else the demo trader's, else the first active one of those known.

    Raises RequestError where there is none.
    """
    if number is not None:
        return await accounts.by_number(db, number)
    active = [one for one in known if one.status == "active"]
    if found := [one for one in active if one.username == DEMO_USER] or active:
        return found[0]
    if not identity.may_administer:
        raise RequestError(
            "account",
            None,
            f"{identity.username} has none to trade with",
            "Ask your administrator to open one.",
        )
    raise RequestError(
        "account",
        None,
        "the database has no account to trade with",
        "Open one (trade account open), or set a demo market up (trade demo).",
    )


async def note_view(db: Database, identity: Identity | None, account: Account) -> None:
    """Who supports leaves a line in the audit trail for each account that they look into."""
    if identity is not None and identity.role == READER:
        await users.record_view(db, account.account_id, "terminal")
