"""Positions: what is held, what it is worth, and what it has made."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from terminal.actions import bindings
from terminal.format import exact, money, number, signed
from terminal.state import Position
from terminal.widgets.table import Column, LineTable, Row


class PositionsPane(LineTable):
    """Open positions by symbol, and what was closed but made or lost something."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("positions")]
    DEFAULT_CSS = """
    PositionsPane { border: round $foreground 18%; border-title-color: $text-muted; }
    PositionsPane:focus { border: round $primary; border-title-color: $text; }
    """
    COLUMNS = (
        Column("Symbol", 8, left=True),
        Column("Quantity", 10),
        Column("Average", 10, 1),
        Column("Mark", 10),
        Column("Value", 11, 2),
        Column("Unrealized", 11),
        Column("%", 7, 4),
        Column("Realized", 10, 3),
    )
    EMPTY = "No positions yet: fill in the ticket (1) or take a price from the book (2)"

    class Picked(Message):
        """Look at this instrument."""

        def __init__(self, instrument_id: int) -> None:
            super().__init__()
            self.instrument_id = instrument_id

    class CloseWanted(Message):
        """Fill the ticket with the order that closes this position."""

        def __init__(self, position: Position) -> None:
            super().__init__()
            self.position = position

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.positions: tuple[Position, ...] = ()

    @property
    def heading(self) -> str:
        """Its name."""
        return "4 Positions"

    def show_positions(self, positions: tuple[Position, ...]) -> None:
        """Show these."""
        shown = [position for position in positions if position.quantity or position.realized]
        self.positions = tuple(sorted(shown, key=lambda position: position.instrument.symbol))
        self.show_rows([_row(position) for position in self.positions], _total(self.positions))

    def action_choose(self) -> None:
        """Look at the instrument."""
        if self.cursor_row is not None:
            self.post_message(self.Picked(self.positions[self.cursor].instrument.instrument_id))

    def action_close(self) -> None:
        """Prepare the closing order."""
        if self.cursor_row is not None and self.positions[self.cursor].quantity:
            self.post_message(self.CloseWanted(self.positions[self.cursor]))


def _tone(value: Decimal) -> str:
    return "buy" if value > 0 else "sell" if value < 0 else "muted"


def _row(position: Position) -> Row:
    instrument = position.instrument
    decimals = instrument.price_decimals
    cost = abs(position.quantity * position.average)
    share = f"{signed(position.unrealized / cost * 100)}%" if cost else ""
    flat = not position.quantity
    return Row(
        key=instrument.instrument_id,
        texts=(
            instrument.symbol,
            exact(position.quantity, instrument.quantity_decimals),
            "" if flat else number(position.average, decimals),
            number(position.mark, decimals),
            "" if flat else money(position.market_value),
            "" if flat else signed(position.unrealized),
            share,
            signed(position.realized),
        ),
        tones=(
            "strong",
            "muted" if flat else "text" if position.quantity > 0 else "sell",
            "text",
            "text",
            "text",
            _tone(position.unrealized),
            _tone(position.unrealized),
            _tone(position.realized),
        ),
    )


def _total(positions: tuple[Position, ...]) -> Row | None:
    """Sums, when they can be added up: one currency."""
    if not positions or len({position.instrument.currency for position in positions}) > 1:
        return None
    value, unrealized, realized = (
        sum((getattr(position, name) for position in positions), Decimal(0))
        for name in ("market_value", "unrealized", "realized")
    )
    return Row(
        key="total",
        texts=("Total", "", "", "", money(value), signed(unrealized), "", signed(realized)),
        tones=("muted", "text", "text", "text", "strong", _tone(unrealized), "text", _tone(realized)),
    )
