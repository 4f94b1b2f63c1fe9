"""The last line: what the keys do where the focus is. A click on a hint does it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from textual.events import Click

from terminal.actions import ACTIONS, Action, key_names
from terminal.widgets.lines import LineView, Piece


class KeyHints(LineView):
    """Hints of the focused context first, then of the contexts around it."""

    DEFAULT_CSS = """
    KeyHints { height: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.context = ""

    def show_context(self, context: str) -> None:
        """The focus is in this context now."""
        self.context = context
        self.update_lines()

    def _hints(self, width: int) -> list[Action]:
        hinted = [action for action in ACTIONS if action.hint]
        last = [action for action in hinted if action.context == "app"]
        room = width - sum(_cells(action) for action in last)
        shown = []
        for context in dict.fromkeys((self.context, "trading")):  # nothing in focus: the screen itself
            for action in hinted:
                if action.context == context and _cells(action) <= room:
                    shown.append(action)
                    room -= _cells(action)
        return [*shown, *last]

    def line(self, y: int) -> Hashable:
        """The hints that there is room for."""
        return tuple((a.keys, a.hint) for a in self._hints(self.content_size.width)) if y == 0 else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Keys in colour, words muted."""
        if isinstance(line, tuple):
            for keys, hint in line:
                yield f" {_key(keys)}", self.colours.focus
                yield f" {hint} ", self.colours.muted

    def on_click(self, event: Click) -> None:
        """Do what the hint under the pointer says."""
        at = 0
        for action in self._hints(self.content_size.width):
            at += _cells(action)
            if event.x < at:
                self.app.simulate_key(action.keys.split(",")[0])
                return


def _key(keys: str) -> str:
    return key_names(keys.split(",")[0])


def _cells(action: Action) -> int:
    return len(_key(action.keys)) + len(action.hint or "") + 3
