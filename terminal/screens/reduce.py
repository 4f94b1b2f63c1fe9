"""Asks for the smaller quantity of a working order."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from terminal.checks import quantity_problem
from terminal.format import exact
from terminal.state import Answer, WorkingOrder
from terminal.widgets.answer import AnswerLines
from terminal.widgets.number_field import NumberField


class ReduceScreen(ModalScreen[Decimal | None]):
    """Dismissed with the new total quantity, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Reduce", show=False),
        Binding("escape", "leave", "Leave it", show=False),
        Binding("up", "step(1)", "One lot more", show=False),
        Binding("down", "step(-1)", "One lot less", show=False),
    ]
    DEFAULT_CSS = """
    ReduceScreen { align: center middle; background: $background 60%;
        #box { width: 56; height: auto; border: round $primary; background: $surface; padding: 1 2; }
        #what { margin-bottom: 1; }
        .row { height: 1; }
        .row > Label { width: 16; color: $text-muted; }
        AnswerLines { height: 2; margin-top: 1; }
        #buttons { height: auto; align-horizontal: right; }
        Button { margin-left: 2; min-width: 14; }
    }
    """

    def __init__(self, order: WorkingOrder) -> None:
        super().__init__()
        self._order = order

    def compose(self) -> ComposeResult:
        """The order, the field, what is wrong with it, two buttons."""
        order = self._order
        decimals = order.instrument.quantity_decimals
        price = exact(order.price, order.instrument.price_decimals)
        what = (
            f"{order.side.capitalize()} {exact(order.quantity, decimals)} {order.instrument.symbol} @ {price}"
        )
        with Vertical(id="box"):
            yield Label(f"{what}, {exact(order.filled, decimals)} filled", id="what")
            with Horizontal(classes="row"):
                yield Label("New quantity")
                yield NumberField(id="quantity")
            yield AnswerLines(id="problem")
            with Horizontal(id="buttons"):
                yield Button("Leave it (Esc)", id="no", compact=True)
                yield Button("Reduce (⏎)", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Start with what it is now."""
        field = self.query_one(NumberField)
        instrument = self._order.instrument
        field.decimals = instrument.quantity_decimals
        field.step = instrument.lot if instrument.lot is not None else Decimal(1).scaleb(-field.decimals)
        field.set_value(self._order.quantity)
        field.focus()
        self.query_one(AnswerLines).show_hint("A smaller total, fills included; the order keeps its place.")

    def action_step(self, steps: int) -> None:
        """A lot more or less."""
        self.query_one(NumberField).step_by(steps)

    def action_accept(self) -> None:
        """Check, and be done."""
        field, order = self.query_one(NumberField), self._order
        decimals = order.instrument.quantity_decimals
        problem = quantity_problem(field.text, order.instrument)
        value = field.value
        if problem is None and value is not None and not order.filled < value < order.quantity:
            problem = Answer(
                "error",
                f"quantity {field.text}: must be above what has filled ({exact(order.filled, decimals)}) "
                f"and below what it is ({exact(order.quantity, decimals)})",
            )
        if problem is not None:
            self.query_one(AnswerLines).show_answer(problem)
            field.select_all()
            return
        self.dismiss(value)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter on a button."""
        if event.button.id == "yes":
            self.action_accept()
        else:
            self.dismiss(None)
