"""The palette: every action of the trading screen and every account, found by typing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from textual.command import DiscoveryHit, Hit, Hits, Provider

from terminal.actions import ACTIONS, key_names
from terminal.screens.trading import TradingScreen

Command = tuple[str, str, Callable[[], Awaitable[object]]]
"""What it is called, what more there is to say, and what it does."""


class Commands(Provider):
    """What can be done on the trading screen."""

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for words, more, run in self._commands():
            yield DiscoveryHit(words, run, help=more)

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for words, more, run in self._commands():
            if (score := matcher.match(words)) > 0:
                yield Hit(score, matcher.highlight(words), run, help=more)

    def _commands(self) -> Iterator[Command]:
        screen = self.screen
        if not isinstance(screen, TradingScreen):
            return
        state = screen.desk.state
        for account in state.accounts:
            if state.account is None or account.account_id != state.account.account_id:
                kind = f"{account.kind} account in {account.currency}"
                yield f"Account {account.number}", kind, self._switch(screen, account.account_id)
        for action in ACTIONS:
            if action.context in ("trading", "app") and action.id != "app.palette":
                yield action.words, key_names(action.keys), self._action(screen, action.context, action.call)

    def _switch(self, screen: TradingScreen, account_id: int) -> Callable[[], Awaitable[object]]:
        return lambda: screen.desk.switch_account(account_id)

    def _action(self, screen: TradingScreen, context: str, call: str) -> Callable[[], Awaitable[object]]:
        return lambda: (self.app if context == "app" else screen).run_action(call)
