"""Lets people in: from the log-in screen, or at once where the settings say all that is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from db import tls, urls
from db.database import Database
from db.embedded.configuration import DEMO
from db.errors import LoginError, PitsideError, RequestError
from db.schema.ready import make_ready
from db.translation import WRONG_PASSWORD
from terminal import remembered
from terminal.desk import Desk, Prepare
from terminal.login import THIS_COMPUTER, LoginEntry, LoginForm, Protection
from terminal.passwords import Keyring, KeyringError
from terminal.state import TradingDesk

if TYPE_CHECKING:
    from pathlib import Path

    from db.embedded.sharing import Lease
    from terminal.cli.market import Market
    from terminal.settings import Settings

HERE = Protection("safe", "Nothing leaves this computer")
PROTECTIONS = {
    "verify-full": Protection("safe", "Encrypted; the server must prove who it is"),
    "verify-ca": Protection("safe", "Encrypted; the server's authority is checked"),
    "require": Protection("weak", "Encrypted; the server is not verified"),
    "prefer": Protection("weak", "Encrypted only where offered, unverified"),
    "allow": Protection("weak", "Not encrypted unless the server insists"),
    "disable": Protection("weak", "Not encrypted"),
}


class TradeEntrance:
    """The entrance of `trade`. `lease` is the server of the settings, `market` what lives on the embedded
    one."""

    def __init__(self, settings: Settings, lease: Lease, market: Market, file: Path | None = None) -> None:
        self._settings = settings
        self._lease = lease
        self._market = market
        self._file = file or remembered.default_file()
        self._keyring = Keyring()
        self._form = self._first_form()

    @property
    def form(self) -> LoginForm:
        """What the form starts with."""
        return self._form

    @property
    def keeps_passwords(self) -> bool:
        """Whether there is a keyring."""
        return self._keyring.is_there

    def protection(self, server: str) -> Protection:
        """How the connection to a server would be protected."""
        if self._is_here(server):
            return HERE
        try:
            url = self._settings.database.encrypted(urls.of_server(server))
            if urls.is_local(url):
                return HERE
            return PROTECTIONS[tls.mode(url)]
        except (ValueError, PitsideError):
            return Protection("none", "")

    async def has_password(self, user: str, server: str) -> bool:
        """Whether the keyring keeps this user's password for this server."""
        if not user:
            return False
        try:
            return await asyncio.to_thread(self._keyring.find, user, server) is not None
        except KeyringError:
            return False

    async def at_once(self) -> TradingDesk | None:
        """A desk that needs nobody to type: the demo's, or that of the user in database.url; None where the
        log-in screen has to ask.

        Raises PitsideError for a server or a schema that cannot be used.
        """
        wanted = self._settings.terminal.user
        if self._lease.is_embedded:
            return self._demo_desk() if wanted in (None, DEMO) else None
        user = urls.user_of(self._lease.url)
        if user is None or wanted not in (None, user):
            return None
        try:
            return self._desk(_at_hand(await self._open(self._lease.url)), is_here=False)
        except LoginError as error:
            if urls.has_password(self._lease.url):  # without one there was nothing yet to be wrong
                self._form = replace(self._form, problem=error.reason)
            return None

    async def enter(self, entry: LoginEntry) -> TradingDesk:
        """Log in with what was typed, and remember user and server."""
        is_here = self._is_here(entry.server)
        server = self._server_url(entry.server)
        shown = THIS_COMPUTER if is_here else urls.server_text(urls.of_server(entry.server))
        password, is_kept = entry.password, False
        if not password and self.keeps_passwords:
            found = await asyncio.to_thread(self._keyring.find, entry.user, shown)
            password, is_kept = found or "", found is not None
        try:
            database = await self._open(urls.with_login(server, entry.user, password or None))
        except LoginError as error:
            if is_kept and error.sqlstate == WRONG_PASSWORD:
                error.reason = "The password in the keyring is no longer right: type the new one"
            raise
        if entry.keep and entry.password:
            try:
                await asyncio.to_thread(self._keyring.keep, entry.user, shown, entry.password)
            except KeyringError:
                await database.close()
                raise
        desk = self._desk(_at_hand(database), is_here=is_here)
        remembered.save(self._file, remembered.LastLogin(entry.user, shown))
        self._form = LoginForm(entry.user, shown)
        return desk

    def _first_form(self) -> LoginForm:
        """The settings first, then the last log-in."""
        last = remembered.load(self._file)
        wanted = self._settings.terminal.user
        if self._lease.is_embedded:
            named = wanted is not None or not last.server
            return LoginForm(wanted or last.user, THIS_COMPUTER if named else last.server)
        given = self._settings.database.url  # without what other settings add to it
        server = urls.server_text(given.get_secret_value() if given else self._lease.url)
        return LoginForm(wanted or urls.user_of(self._lease.url) or last.user, server)

    def _is_here(self, server: str) -> bool:
        return self._lease.is_embedded and server.strip().casefold() == THIS_COMPUTER

    def _server_url(self, server: str) -> str:
        """The URL of a server as it was typed. Raises RequestError."""
        if self._is_here(server):
            return self._lease.url
        try:
            return self._settings.database.encrypted(urls.of_server(server))
        except ValueError as error:
            raise RequestError("server", server, str(error)) from None

    async def _open(self, url: str) -> Database:
        await make_ready(url)
        settings = self._settings.database
        return await Database.open(
            url,
            application_name="pitside terminal",
            pool_min=settings.pool_min,
            pool_max=settings.pool_max,
            connect_timeout=settings.connect_timeout,
        )

    def _demo_desk(self) -> Desk:
        return self._desk(self._open_as_demo, is_here=True, prepare=self._market.prepare_for_demo)

    async def _open_as_demo(self) -> Database:
        try:
            return await self._open(urls.with_login(self._lease.url, DEMO))
        except LoginError as error:
            if error.sqlstate == WRONG_PASSWORD:  # our servers ask the demo for none
                error.reason = (
                    "This server was started by an earlier Pitside, which asks the demo for a password: "
                    "end it (trade db stop --force), and start again"
                )
            raise

    def _desk(
        self,
        open_database: Callable[[], Awaitable[Database]],
        *,
        is_here: bool,
        prepare: Prepare | None = None,
    ) -> Desk:
        settings = self._settings
        desk = Desk(
            open_database,
            account=settings.terminal.account,
            timeframe=settings.terminal.timeframe,
            depth=settings.terminal.depth,
            poll_interval=settings.database.poll_interval,
            heartbeat=settings.database.heartbeat,
            demo=is_here,
            prepare=(prepare or self._market.prepare) if is_here else None,
        )
        if is_here:
            self._market.tell = desk.tell
        return desk


def _at_hand(database: Database) -> Callable[[], Awaitable[Database]]:
    async def opened() -> Database:
        return database

    return opened
