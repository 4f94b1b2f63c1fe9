"""Working orders: what can still fill, and the way to take it back."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from terminal.actions import bindings
from terminal.format import clock, exact
from terminal.state import WorkingOrder
from terminal.widgets.table import Column, LineTable, Row


class OrdersPane(LineTable):
    """Working orders, the newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("orders")]
    DEFAULT_CSS = """
    OrdersPane { border: round $foreground 18%; border-title-color: $text-muted; }
    OrdersPane:focus { border: round $primary; border-title-color: $text; }
    """
    COLUMNS = (
        Column("Symbol", 8, left=True),
        Column("Side", 4, left=True),
        Column("Quantity", 9),
        Column("Filled", 8, 1),
        Column("Price", 11),
        Column("Type", 10, 5, left=True),
        Column("TIF", 3, 3, left=True),
        Column("Time", 8, 4),
        Column("", 2),
    )
    EMPTY = "No working orders"

    class Picked(Message):
        """Look at this instrument."""

        def __init__(self, instrument_id: int) -> None:
            super().__init__()
            self.instrument_id = instrument_id

    class CancelWanted(Message):
        """Cancel this order."""

        def __init__(self, order: WorkingOrder) -> None:
            super().__init__()
            self.order = order

    class ReduceWanted(Message):
        """Ask for a smaller quantity for this order."""

        def __init__(self, order: WorkingOrder) -> None:
            super().__init__()
            self.order = order

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.orders: tuple[WorkingOrder, ...] = ()

    def show_orders(self, orders: tuple[WorkingOrder, ...]) -> None:
        """Show these."""
        self.orders = tuple(sorted(orders, key=lambda order: order.order_id, reverse=True))
        self.show_rows([_row(order) for order in self.orders])

    @property
    def heading(self) -> str:
        """Its name, with how many orders there are."""
        return f"5 Orders ({len(self.orders)})" if self.orders else "5 Orders"

    @property
    def _order(self) -> WorkingOrder | None:
        return self.orders[self.cursor] if self.cursor_row is not None else None

    def action_choose(self) -> None:
        """Look at the instrument."""
        if (order := self._order) is not None:
            self.post_message(self.Picked(order.instrument.instrument_id))

    def action_cancel(self) -> None:
        """Cancel the order under the cursor."""
        if (order := self._order) is not None:
            self.post_message(self.CancelWanted(order))

    def action_reduce(self) -> None:
        """Make the order under the cursor smaller."""
        if (order := self._order) is not None:
            self.post_message(self.ReduceWanted(order))

    def row_clicked(self, x: int, times: int) -> None:
        """The cross at the end of a row cancels; the quantity, clicked twice, is reduced; else the instrument
        is shown."""
        title = self.column_at(x)
        if title == "":
            self.action_cancel()
        elif times == 2 and title == "Quantity":
            self.action_reduce()
        elif times == 2:
            self.action_choose()


def _row(order: WorkingOrder) -> Row:
    instrument = order.instrument
    decimals = instrument.quantity_decimals
    price = order.price if order.price is not None else order.stop_price
    return Row(
        key=order.order_id,
        texts=(
            instrument.symbol,
            order.side,
            exact(order.quantity, decimals),
            exact(order.filled, decimals) if order.filled else "–",
            exact(price, instrument.price_decimals),
            order.order_type,
            order.time_in_force,
            clock(order.created_at),
            "✗ ",
        ),
        tones=(
            "strong",
            order.side,
            "text",
            "text" if order.filled else "muted",
            "text",
            "muted",
            "muted",
            "muted",
            "muted",
        ),
    )
