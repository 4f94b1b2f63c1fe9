"""The Textual program: screens, themes and keys; nothing else."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.worker import Worker

from db.errors import LoginError, PitsideError, SettingsError
from terminal.actions import bindings
from terminal.commands import Commands
from terminal.login import Entrance
from terminal.pictures import without_hosts
from terminal.screens.login import LoginScreen
from terminal.screens.trading import TradingScreen
from terminal.state import TradingDesk
from terminal.themes import THEMES


class PitsideApp(App[None]):
    """Runs the desk beside the trading screen. `failure` is what ended it, when something did.

    Without a desk it begins with the log-in, and whoever may not stay comes back to it, both where there is
    an `entrance`.
    """

    TITLE = "Pitside"
    COMMANDS = {Commands}  # noqa: RUF012 - so Textual has it
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    DEFAULT_CSS = """
    Toast { width: 44; padding: 0 1; background: $panel; }
    ToastRack { margin: 0 1 1 0; }
    """

    def __init__(
        self,
        desk: TradingDesk | None,
        *,
        theme: str,
        confirm: bool,
        timeframe: str,
        entrance: Entrance | None = None,
    ) -> None:
        super().__init__()
        self.desk = desk
        self.failure: Exception | None = None
        self._entrance = entrance
        self._came_through_login = False
        self._desk_worker: Worker[None] | None = None
        self._confirm, self._timeframe = confirm, timeframe
        for own in THEMES:
            self.register_theme(own)
        if theme not in self.available_themes:
            near = difflib.get_close_matches(theme, self.available_themes, n=1, cutoff=0.5)
            every = ", ".join(sorted(self.available_themes))
            way = f"did you mean {near[0]}?" if near else f"use one of {every}"
            raise SettingsError(f"terminal.theme is {theme!r}, and there is no such theme; {way}")
        self.theme = theme

    async def on_mount(self) -> None:
        """The screen first, then the data."""
        if self.desk is not None:
            await self._trade(self.desk)
        elif self._entrance is not None:
            await self.push_screen(LoginScreen(self._entrance))

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """The screen as SVG."""
        return without_hosts(super().export_screenshot(title=title, simplify=simplify))

    # In and out.

    async def _trade(self, desk: TradingDesk) -> None:
        self.desk = desk
        await self.push_screen(TradingScreen(desk, confirm=self._confirm, timeframe=self._timeframe))
        self._desk_worker = self.run_worker(self._run_desk(desk), name="desk", exit_on_error=False)

    async def _run_desk(self, desk: TradingDesk) -> None:
        try:
            await desk.run()
        except Exception as error:
            if self._entrance is not None and self._is_of_login(error):
                was_in = desk.state.account is not None
                words = error.reason if isinstance(error, LoginError) else str(error)
                await self._show_login(f"You were logged out. {words}" if was_in else words)
            else:  # whatever it is, it is told once the terminal is a shell again
                self.failure = error
                self.exit(return_code=1)

    def _is_of_login(self, error: Exception) -> bool:
        """Whether another user or server may be the way out."""
        return isinstance(error, LoginError) or (self._came_through_login and isinstance(error, PitsideError))

    async def _show_login(self, problem: str = "") -> None:
        if self._entrance is None:
            return
        self.desk = None
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        await self.push_screen(LoginScreen(self._entrance, replace(self._entrance.form, problem=problem)))

    async def on_login_screen_entered(self, message: LoginScreen.Entered) -> None:
        """Somebody is in: to the market."""
        self._came_through_login = True
        await self.pop_screen()
        await self._trade(message.desk)

    async def action_logout(self) -> None:
        """Back to the log-in; the orders stay in the book."""
        if self._entrance is None or self.desk is None:
            return
        if self._desk_worker is not None:
            self._desk_worker.cancel()
        await self._show_login()

    def action_command_palette(self) -> None:
        """Find an action or an account by typing."""
        if isinstance(self.screen, TradingScreen):
            super().action_command_palette()

    def action_keys(self) -> None:
        """All keys."""
        from terminal.screens.keys import KeysScreen  # not needed for the first paint

        if not isinstance(self.screen, (KeysScreen, LoginScreen)):
            self.push_screen(KeysScreen())
