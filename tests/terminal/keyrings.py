"""Keyrings for tests: the real library with backends of our own."""

from __future__ import annotations

from typing import TypeVar

import keyring
import keyring.backends.fail
import pytest
from keyring.backend import KeyringBackend

Backend = TypeVar("Backend", bound=KeyringBackend)


class Memory(KeyringBackend):
    """Keeps passwords as long as the test lasts."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[(service, username)] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[(service, username)]


class Refusing(Memory):
    """One that its owner does not unlock."""

    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("it is locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.KeyringLocked("it is locked")


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own keyring takes part: the library says that there is none."""
    monkeypatch.setattr(keyring, "get_keyring", keyring.backends.fail.Keyring)


def use(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Let the program find this one."""
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    for function in ("get_password", "set_password"):
        monkeypatch.setattr(keyring, function, getattr(backend, function))
    return backend
