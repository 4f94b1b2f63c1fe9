"""The driver's exceptions in the program's words.

Only the data layer knows asyncpg; what leaves it is an error of `db.errors` with the driver's exception as
its cause.
"""

from __future__ import annotations

import asyncpg

from db import tls
from db.errors import (
    ConnectionLostError,
    DatabaseError,
    LoginError,
    PitsideError,
    RequestError,
    ServerError,
)

# Raised by the engine: MESSAGE is the sentence, COLUMN the field, DETAIL the value, HINT the way out.
SENSELESS = "PS001"
UNKNOWN = "PS002"  # the same, for an object that does not exist or is another's

# Postgres says that it goes away, or that the session does: class 08 and the operator's interventions.
_GONE = ("08", "57P01", "57P02", "57P03", "57P04", "57P05")
_NO_ROOM = "53300"
WRONG_PASSWORD = "28P01"  # noqa: S105
DISABLED = "This user is disabled. If that surprises you, ask your administrator"


def when_connecting(error: Exception, where: str) -> PitsideError | None:
    """What to raise for an exception while a connection was made; None if it is not ours to explain.

    `where` says where the connection was to lead, without any password.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith(_GONE):
            return ConnectionLostError(f"{where}: the server takes no connections now ({_text(error)})")
        if state == _NO_ROOM:
            return ConnectionLostError(
                f"{where}: {_text(error)}. Close other terminals, or have the limit of connections raised"
            )
        if state.startswith("28"):
            return LoginError(
                f"{where} refuses the log-in: {_text(error)}. Check user and password",
                reason=_why_refused(error),
                sqlstate=state,
            )
        if state == "3D000":
            return ServerError(f"{where}: {_text(error)}. Create it, or name another one in database.url")
        return ServerError(f"{where} refuses the connection: {_text(error)}")
    if (insecure := tls.explain(error, where)) is not None:
        return insecure
    if isinstance(error, TimeoutError):
        return ConnectionLostError(f"{where} did not answer in time; is the server running and reachable?")
    if isinstance(error, OSError):
        return ConnectionLostError(
            f"{where} cannot be reached: {error.strerror or error}; is the server running?"
        )
    if isinstance(error, (asyncpg.InterfaceError, ValueError)):
        return ServerError(f"{where}: {error}. Check database.url")
    return None


def in_use(error: Exception, where: str, *, closed: bool) -> PitsideError | None:
    """What to raise for an exception on a connection in use; None if it is not ours to explain.

    `closed` says whether the connection is closed now: the driver reports that and a mistake of the caller by
    the same exception.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state in (SENSELESS, UNKNOWN):
            field, value = error.column_name or "request", error.detail or ""
            # The message is whole for those who read it elsewhere, in psql for one; here the parts are kept
            # apart.
            reason = (error.message or str(error)).removeprefix(f"{field} {value}: ")
            return RequestError(field, value, reason, error.hint or "")
        if state.startswith(_GONE):
            return ConnectionLostError(f"{where} broke the connection off: {_text(error)}")
        return DatabaseError(_text(error), state)
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)) and closed:
        return ConnectionLostError(f"the connection to {where} is closed")
    if isinstance(error, ConnectionError) and closed:
        return ConnectionLostError(f"the connection to {where} broke: {error.strerror or error}")
    return None


def _why_refused(error: asyncpg.PostgresError) -> str:
    """For the screen where the user and password were typed."""
    if error.sqlstate == WRONG_PASSWORD:
        return "User or password is wrong"  # which of them, the server does not say, and rightly so
    if "not permitted to log in" in (error.message or ""):
        return DISABLED
    return f"The server refuses this user: {_text(error)}"


def _text(error: asyncpg.PostgresError) -> str:
    """What Postgres says, on one line, with its detail and hint."""
    parts = (error.message or str(error), error.detail, error.hint)
    return "; ".join(part.strip().rstrip(".").replace("\n", " ") for part in parts if part)
