"""What can go wrong between the program and Postgres, as one small tree.

Every error carries a title (what kind of trouble) and a message that names the thing, its value and the way
out; `str(error)` is the message. Callers outside `db` see these and never an exception of the driver.
"""

from __future__ import annotations


class PitsideError(Exception):
    """The root: catch this to show any expected trouble to a person."""

    title = "Something went wrong"

    @property
    def message(self) -> str:
        """The sentence for the person in front of the screen."""
        return str(self)


class SettingsError(PitsideError):
    """A setting is unknown or wrong; the message names the setting, its value and where it was set."""

    title = "A setting is wrong"


class ServerError(PitsideError):
    """The Postgres server cannot be started or used; the message says what to do about it."""

    title = "The database server cannot be used"


class LoginError(ServerError):
    """The server does not let this user in.

    `reason` is the sentence for the screen where user and password were typed; `sqlstate` is Postgres' code:
    28P01 for a wrong user or password, 28000 for a user who may not log in.
    """

    title = "The log-in is refused"

    def __init__(self, message: str, *, reason: str, sqlstate: str = "") -> None:
        self.reason = reason
        self.sqlstate = sqlstate
        super().__init__(message)


class SchemaError(PitsideError):
    """The schema in the database cannot be brought to what this program needs."""

    title = "The database schema does not fit"


class ConnectionLostError(PitsideError):
    """The server cannot be reached, or the connection broke.

    Raised while a write was on its way, the outcome is unknown: it may have been committed.
    """

    title = "The connection to the database is lost"


class RequestError(PitsideError):
    """The database refused a request that makes no sense, and recorded nothing.

    `field` is the name of the parameter, `value` what was given (as text), `reason` the sentence that says
    what is wrong with it, `hint` the way out (may be empty).
    """

    title = "The request makes no sense"

    def __init__(self, field: str, value: object, reason: str, hint: str = "") -> None:
        self.field = field
        self.value = "" if value is None else str(value)
        self.reason = reason
        self.hint = hint
        named = f"{field} {self.value}".strip()
        super().__init__(f"{named}: {reason}. {hint}" if hint else f"{named}: {reason}")


class DatabaseError(PitsideError):
    """Postgres refused a statement for any other reason; `sqlstate` is its code.

    `__cause__` is the driver's exception, with everything Postgres said.
    """

    title = "The database refused"

    def __init__(self, message: str, sqlstate: str = "") -> None:
        self.sqlstate = sqlstate
        super().__init__(message)
