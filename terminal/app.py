"""The Textual program: screens, themes and keys; nothing else."""

from __future__ import annotations

import difflib
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from db.errors import SettingsError
from terminal.actions import bindings
from terminal.pictures import without_hosts
from terminal.screens.trading import TradingScreen
from terminal.state import TradingDesk
from terminal.themes import THEMES


class PitsideApp(App[None]):
    """Runs the desk beside the trading screen. `failure` is what ended it, when something did."""

    TITLE = "Pitside"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    DEFAULT_CSS = """
    Toast { width: 44; padding: 0 1; background: $panel; }
    ToastRack { margin: 0 1 1 0; }
    """

    def __init__(self, desk: TradingDesk, *, theme: str, confirm: bool, timeframe: str) -> None:
        super().__init__()
        self.desk = desk
        self.failure: Exception | None = None
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
        await self.push_screen(TradingScreen(self.desk, confirm=self._confirm, timeframe=self._timeframe))
        self.run_worker(self._run_desk(), name="desk", exit_on_error=False)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """The screen as SVG."""
        return without_hosts(super().export_screenshot(title=title, simplify=simplify))

    async def _run_desk(self) -> None:
        try:
            await self.desk.run()
        except Exception as error:  # whatever it is, it is told once the terminal is a shell again
            self.failure = error
            self.exit(return_code=1)

    def action_keys(self) -> None:
        """All keys."""
        from terminal.screens.keys import KeysScreen  # not needed for the first paint

        if not isinstance(self.screen, KeysScreen):
            self.push_screen(KeysScreen())
