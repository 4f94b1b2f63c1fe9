"""Who may log in, and as what. Passwords are turned into verifiers here: the server never sees one.

Everything but `whoami`, `change_password`, `record_login` and (for support) `list_all`, `by_name` and
`record_view` is the owner's; for others Postgres refuses it (DatabaseError with SQLSTATE 42501).
"""

from __future__ import annotations

import difflib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from db import scram
from db.database import ANSWER_TIMEOUT, Database
from db.errors import RequestError

Role = Literal["trader", "support", "market_data", "backup"]
"""What a user may do: trade with their own accounts; read everything and write nothing; write bars; copy the
cluster."""

ROLES: tuple[Role, ...] = get_args(Role)

_SELECT = """
    select u.user_id, u.username, u.email, u.first_name, u.last_name, u.role, u.is_active, u.created_at,
        exists (
            select from pg_roles r
            where r.rolname = u.username and r.rolcanlogin
                and has_database_privilege(r.oid, current_database(), 'connect')) as may_log_in
    from users u"""


@dataclass(frozen=True, slots=True)
class User:
    """A user; `may_log_in` is whether a login role of that name gets into this database, `created_at` is
    UTC."""

    user_id: int
    username: str
    email: str
    first_name: str | None
    last_name: str | None
    role: str
    is_active: bool
    created_at: datetime
    may_log_in: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a session is: `role` is `owner`, one of `ROLES`, or None for a login that is no user's."""

    username: str
    user_id: int | None
    role: str | None
    may_administer: bool


async def whoami(db: Database) -> Identity:
    """Who this session is to the database."""
    row = await db.fetchrow(
        "select username, user_id, role, may_administer from whoami()", within=ANSWER_TIMEOUT
    )
    assert row is not None  # noqa: S101 (the function returns one row)
    return Identity(**row)


async def list_all(db: Database) -> list[User]:
    """All users by name."""
    rows = await db.fetch(f"{_SELECT} order by u.username", within=ANSWER_TIMEOUT)
    return [User(**row) for row in rows]


async def by_name(db: Database, username: str) -> User:
    """The user of that name. Raises RequestError with what is near when there is none."""
    row = await db.fetchrow(f"{_SELECT} where u.username = $1", username, within=ANSWER_TIMEOUT)
    if row is not None:
        return User(**row)
    names = [
        row["username"]
        for row in await db.fetch(
            "select username from users order by user_id limit 1000", within=ANSWER_TIMEOUT
        )
    ]
    near = difflib.get_close_matches(username, names)
    raise RequestError(
        "username",
        username,
        "there is no such user",
        f"Did you mean {' or '.join(near)}?" if near else "The table users lists them.",
    )


async def add(
    db: Database,
    *,
    username: str,
    email: str,
    role: str = "trader",
    password: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
) -> int:
    """Add a user and, with a password, the role that they log in as; returns the user's id.

    Without a password nobody can log in as that user until `set_password`. Raises RequestError for a name
    that is taken, reserved or no name for a role, an address that is taken, an unknown role, a password that
    will not do.
    """
    user_id: int = await db.fetchval(
        "select user_add($1, $2, $3, $4, $5, $6)",
        username,
        email,
        role,
        None if password is None else scram.verifier(password),
        first_name,
        last_name,
        within=ANSWER_TIMEOUT,
    )
    return user_id


async def set_password(db: Database, username: str, password: str) -> None:
    """Give a user another password, or the first one: then the role is made that they log in as.

    Open sessions stay. Raises RequestError for an unknown user, and as `add` does.
    """
    await db.execute(
        "select user_password($1, $2)", username, scram.verifier(password), within=ANSWER_TIMEOUT
    )


async def ensure_login(db: Database, username: str) -> None:
    """See that a user has a role to log in as, for where the server knows them without a password.

    Where there is none yet it gets a random password that nobody learns. Raises RequestError for an unknown
    user.
    """
    if not (await by_name(db, username)).may_log_in:
        await set_password(db, username, secrets.token_urlsafe(32))


async def change_password(db: Database, password: str) -> None:
    """Change the password of whoever this session is. Raises RequestError where it is no user's."""
    await db.execute("select change_password($1)", scram.verifier(password), within=ANSWER_TIMEOUT)


async def set_role(db: Database, username: str, role: str) -> None:
    """Make a user a trader, support, market_data or backup; their open sessions at once have the new rights.

    Raises RequestError for an unknown user or role.
    """
    await db.execute("select user_role($1, $2)", username, role, within=ANSWER_TIMEOUT)


async def disable(db: Database, username: str) -> int:
    """Lock a user out: no log-in any more, no request accepted; returns how many open sessions were ended.

    Their working orders stay until they are cancelled (rule 24). Raises RequestError for an unknown user.
    """
    ended: int = await db.fetchval("select user_disable($1)", username, within=ANSWER_TIMEOUT)
    # A session that came in while the first statement was on its way to its commit.
    ended += await db.fetchval("select user_end_sessions($1)", username, within=ANSWER_TIMEOUT)
    return ended


async def enable(db: Database, username: str) -> None:
    """Let a user in again, with the password they had. Raises RequestError for an unknown user."""
    await db.execute("select user_enable($1)", username, within=ANSWER_TIMEOUT)


async def record_login(db: Database) -> None:
    """Write the line `login` of the audit trail, unless the server has written one for this connection.

    To be called once, when a person has logged in.
    """
    await db.execute("select record_login()", within=ANSWER_TIMEOUT)


async def record_view(db: Database, account_id: int, what: str, detail: dict[str, Any] | None = None) -> None:
    """Note in the audit trail that somebody who supports looks into an account.

    `what` is a short text such as `orders`, `detail` anything that JSON can say. Raises RequestError for an
    unknown account.
    """
    await db.execute(
        "select record_view($1, $2, $3::jsonb)",
        account_id,
        what,
        None if detail is None else json.dumps(detail),
        within=ANSWER_TIMEOUT,
    )
