"""Finds one of many by typing: a text, and below it the rows that match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from terminal.widgets.table import LineTable, Row


class Matches(LineTable):
    """The rows that match; their keys are ids."""

    can_focus = False

    class Chosen(Message):
        """A row was clicked."""

    def row_clicked(self, _x: int, times: int) -> None:
        """One click is enough."""
        self.post_message(self.Chosen())


class FinderScreen(ModalScreen[int | None]):
    """Dismissed with the id of what was chosen, or None. Subclasses say what is found (`rows`), in which
    table, and in which words."""

    HEADING = ""
    HINT = ""
    PLACEHOLDER = ""
    TABLE: type[Matches] = Matches

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
    ]
    DEFAULT_CSS = """
    FinderScreen {
        align: center middle;
        background: $background 60%;
        #box {
            width: 76; max-width: 96%;
            height: 20; max-height: 90%;
            border: round $primary;
            border-title-color: $text;
            border-subtitle-color: $text-muted;
            background: $surface;
        }
        Input { margin: 0 0 1 0; }
        Matches { height: 1fr; }
    }
    """

    def rows(self, text: str) -> Sequence[Row]:
        """What matches the text, the best first."""
        raise NotImplementedError

    def first(self, _rows: Sequence[Row]) -> int:
        """Where the cursor begins, before anything is typed."""
        return 0

    def compose(self) -> ComposeResult:
        """The text and the list."""
        box = Vertical(id="box")
        box.border_title = self.HEADING
        box.border_subtitle = self.HINT
        with box:
            yield Input(placeholder=self.PLACEHOLDER, compact=True)
            yield self.TABLE()

    def on_mount(self) -> None:
        """All of them, to begin with."""
        self.call_after_refresh(self._show, "")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer or more match."""
        self._show(event.value)

    def _show(self, text: str) -> None:
        matches, rows = self.query_one(Matches), self.rows(text)
        matches.cursor = 0
        matches.show_rows([])
        matches.show_rows(rows)
        if not text:
            matches.action_move(self.first(rows))

    def on_input_submitted(self) -> None:
        """Enter takes the row under the cursor."""
        self._accept()

    def on_matches_chosen(self) -> None:
        """So does a click."""
        self._accept()

    def _accept(self) -> None:
        row = self.query_one(Matches).cursor_row
        if row is not None and isinstance(row.key, int):
            self.dismiss(row.key)

    def action_move(self, rows: int) -> None:
        """Move the cursor while typing goes on."""
        self.query_one(Matches).action_move(rows)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)
