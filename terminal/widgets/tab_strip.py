"""Names of pages with their number keys, where the screen is too small for all panes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from textual.events import Click
from textual.message import Message

from terminal.widgets.lines import LineView, Piece


class TabStrip(LineView):
    """One line of tabs; a click picks one."""

    DEFAULT_CSS = """
    TabStrip { height: 1; }
    """

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, tabs: Sequence[tuple[str, str]], *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.tabs = tuple(tabs)
        self.current = self.tabs[0][0]

    def show_tab(self, tab: str) -> None:
        """Mark this one."""
        self.current = tab
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """Which one is marked."""
        return self.current if y == 0 else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The marked one inverse."""
        for tab, label in self.tabs:
            marked = self.colours.focus + self.colours.focus.__class__(reverse=True, bold=True)
            yield f" {label} ", marked if tab == line else self.colours.muted

    def on_click(self, event: Click) -> None:
        """The tab under the pointer."""
        at = 0
        for tab, label in self.tabs:
            at += len(label) + 2
            if event.x < at:
                self.post_message(self.Picked(tab))
                return
