"""Watchlist: every instrument with its last price and change; the order never moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from terminal.actions import bindings
from terminal.format import number, percent
from terminal.state import Instrument, Quote
from terminal.widgets.table import Column, LineTable, Row


class WatchlistPane(LineTable):
    """All instruments, as the exchange lists them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("watchlist")]
    DEFAULT_CSS = """
    WatchlistPane { border: round $foreground 18%; border-title-color: $text-muted; }
    WatchlistPane:focus { border: round $primary; border-title-color: $text; }
    """
    COLUMNS = (
        Column("", 1, left=True),
        Column("Symbol", 8, left=True),
        Column("Last", 11),
        Column("Change", 7),
        Column("Bid", 12, 1),
        Column("Ask", 12, 1),
    )
    EMPTY = "No instruments yet"

    class Picked(Message):
        """Look at this instrument."""

        def __init__(self, instrument_id: int) -> None:
            super().__init__()
            self.instrument_id = instrument_id

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.border_title = "6 Watchlist"

    def show_quotes(
        self, instruments: tuple[Instrument, ...], quotes: Mapping[int, Quote], shown: Instrument | None
    ) -> None:
        """Show these, `shown` marked as the one that is looked at."""
        self.show_rows(
            [
                _row(instrument, quotes.get(instrument.instrument_id), instrument == shown)
                for instrument in instruments
            ]
        )

    def action_choose(self) -> None:
        """Look at the instrument."""
        if self.cursor_row is not None and isinstance(self.cursor_row.key, int):
            self.post_message(self.Picked(self.cursor_row.key))

    def row_clicked(self, _x: int, times: int) -> None:
        """One click is enough here."""
        if times == 1:
            self.action_choose()


def _row(instrument: Instrument, quote: Quote | None, shown: bool) -> Row:
    change = quote.change if quote else None
    decimals = instrument.price_decimals
    tone = "muted" if not change else "buy" if change > 0 else "sell"
    return Row(
        key=instrument.instrument_id,
        texts=(
            "▸" if shown else "",
            instrument.symbol,
            number(quote.last if quote else None, decimals),
            percent(change),
            number(quote.bid if quote else None, decimals),
            number(quote.ask if quote else None, decimals),
        ),
        tones=("own", "strong" if shown else "text", "text", tone, "muted", "muted"),
    )
