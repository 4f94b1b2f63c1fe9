"""Finds an instrument: type a part of its symbol or name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from terminal.format import number, percent
from terminal.screens.finder import FinderScreen, Matches
from terminal.state import Instrument, Quote
from terminal.widgets.table import Column, Row


class Instruments(Matches):
    """The instruments that match."""

    COLUMNS = (
        Column("Symbol", 8, left=True),
        Column("Name", 26, left=True),
        Column("Kind", 8, 2, left=True),
        Column("Last", 12, 1),
        Column("Change", 8, 1),
    )
    EMPTY = "No instrument matches"


class InstrumentsScreen(FinderScreen):
    """Dismissed with the instrument's id, or None."""

    HEADING = "Find an instrument"
    HINT = "↑↓ choose · ⏎ show · Esc leave"
    PLACEHOLDER = "symbol or name"
    TABLE = Instruments

    def __init__(self, instruments: tuple[Instrument, ...], quotes: Mapping[int, Quote]) -> None:
        super().__init__()
        self._instruments, self._quotes = instruments, quotes

    def rows(self, text: str) -> Sequence[Row]:
        """The instruments that match."""
        return [self._row(instrument) for instrument in found(self._instruments, text)]

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
