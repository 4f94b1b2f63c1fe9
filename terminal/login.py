"""What a login screen shows and asks for; neither Textual nor the data layer is needed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from terminal.state import TradingDesk

THIS_COMPUTER = "this computer"
"""The embedded server, as it stands in the field of the server."""


@dataclass(frozen=True, slots=True)
class LoginEntry:
    """What was typed. `keep`: the password goes into the keyring once it has proved right."""

    user: str
    password: str = field(repr=False)
    server: str
    keep: bool = False


@dataclass(frozen=True, slots=True)
class LoginForm:
    """What the form starts with; `problem` is why it is shown, when there is a reason."""

    user: str = ""
    server: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Protection:
    """How the password travels to a server: `safe`; `weak`, where somebody in between could read or forge
    what is sent; `none`, where the text names no server."""

    grade: Literal["safe", "weak", "none"]
    words: str


class Entrance(Protocol):
    """What the login screen needs to let somebody in."""

    @property
    def form(self) -> LoginForm:
        """What the form starts with."""

    @property
    def keeps_passwords(self) -> bool:
        """Whether there is a keyring to keep passwords in."""

    def protection(self, server: str) -> Protection:
        """How the connection to a server, as it is typed so far, would be protected."""

    async def has_password(self, user: str, server: str) -> bool:
        """Whether the keyring keeps this user's password for this server."""

    async def enter(self, entry: LoginEntry) -> TradingDesk:
        """Log in. Raises PitsideError: LoginError for user and password, RequestError with the field that
        will not do, anything else for a server that cannot be used."""
