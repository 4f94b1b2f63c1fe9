"""Passwords in the desktop's keyring, where the extra `pitside[keyring]` is installed.

A keyring may ask its owner to unlock it, so everything here can take as long as a person takes: call it in a
thread.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, cast

from db.errors import PitsideError

SERVICE = "pitside"


class KeyringError(PitsideError):
    """The keyring would not give or keep a password."""

    title = "The keyring"


class Keyring:
    """The keyring of this desktop. `is_there`: the package is installed and has found one."""

    def __init__(self) -> None:
        self._library = _library()
        self.is_there = self._library is not None

    def find(self, user: str, server: str) -> str | None:
        """The password of that user for that server; None: none is kept. Raises KeyringError."""
        return cast("str | None", self._call("get_password", SERVICE, _name(user, server)))

    def keep(self, user: str, server: str, password: str) -> None:
        """Keep a password. Raises KeyringError."""
        self._call("set_password", SERVICE, _name(user, server), password)

    def _call(self, function: str, *arguments: str) -> Any:
        if self._library is None:
            return None
        try:
            return getattr(self._library, function)(*arguments)
        except Exception as error:  # its backends raise what they like
            raise KeyringError(f"the keyring refuses: {error or type(error).__name__}") from error


def _library() -> ModuleType | None:
    try:
        library = importlib.import_module("keyring")
        backend = library.get_keyring()
    except Exception:  # not installed, or none of its backends works here
        return None
    # Its stand-ins for "there is none" have no priority.
    return library if getattr(backend, "priority", 0) > 0 else None


def _name(user: str, server: str) -> str:
    return f"{user}@{server}"
