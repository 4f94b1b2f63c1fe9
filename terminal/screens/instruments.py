"""Finds an instrument: type a part of its symbol or name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from terminal.format import number, percent
from terminal.state import Instrument, Quote
from terminal.widgets.table import Column, LineTable, Row


class Matches(LineTable):
    """The instruments that match."""

    can_focus = False
    COLUMNS = (
        Column("Symbol", 8, left=True),
        Column("Name", 26, left=True),
        Column("Kind", 8, 2, left=True),
        Column("Last", 12, 1),
        Column("Change", 8, 1),
    )
    EMPTY = "No instrument matches"

    class Chosen(Message):
        """A row was clicked."""

    def row_clicked(self, _x: int, times: int) -> None:
        """One click is enough."""
        self.post_message(self.Chosen())


class InstrumentsScreen(ModalScreen[int | None]):
    """Dismissed with the instrument's id, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
    ]
    DEFAULT_CSS = """
    InstrumentsScreen {
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

    def __init__(self, instruments: tuple[Instrument, ...], quotes: Mapping[int, Quote]) -> None:
        super().__init__()
        self._instruments, self._quotes = instruments, quotes

    def compose(self) -> ComposeResult:
        """The text and the list."""
        box = Vertical(id="box")
        box.border_title = "Find an instrument"
        box.border_subtitle = "↑↓ choose · ⏎ show · Esc leave"
        with box:
            yield Input(placeholder="symbol or name", compact=True)
            yield Matches()

    def on_mount(self) -> None:
        """All of them, to begin with."""
        self.call_after_refresh(self._show, "")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer or more match."""
        self._show(event.value)

    def _show(self, text: str) -> None:
        matches = self.query_one(Matches)
        matches.cursor = 0
        matches.show_rows([])
        matches.show_rows([self._row(instrument) for instrument in found(self._instruments, text)])

    def _row(self, instrument: Instrument) -> Row:
        quote = self._quotes.get(instrument.instrument_id)
        change = quote.change if quote else None
        return Row(
            key=instrument.instrument_id,
            texts=(
                instrument.symbol,
                instrument.name,
                instrument.kind,
                number(quote.last if quote else None, instrument.price_decimals),
                percent(change),
            ),
            tones=(
                "strong",
                "text",
                "muted",
                "text",
                "muted" if not change else "buy" if change > 0 else "sell",
            ),
        )

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


def found(instruments: tuple[Instrument, ...], text: str) -> list[Instrument]:
    """Those whose symbol or name has the text in it: symbols that begin with it first."""
    wanted = text.strip().casefold()

    def rank(instrument: Instrument) -> int | None:
        symbol, name = instrument.symbol.casefold(), instrument.name.casefold()
        if symbol == wanted:
            return 0
        if symbol.startswith(wanted):
            return 1
        return 2 if wanted in symbol else 3 if wanted in name else None

    ranked = [(place, instrument) for instrument in instruments if (place := rank(instrument)) is not None]
    return (
        [instrument for _, instrument in sorted(ranked, key=lambda pair: pair[0])]
        if wanted
        else [*instruments]
    )
