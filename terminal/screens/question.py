"""A question with yes and no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label


class QuestionScreen(ModalScreen[bool]):
    """Enter or y says yes; Esc or n says no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n,escape", "answer(False)", "No", show=False),
    ]
    DEFAULT_CSS = """
    QuestionScreen { align: center middle; background: $background 60%;
        #box { width: 52; height: auto; border: round $primary; background: $surface; padding: 1 2; }
        #buttons { height: auto; margin-top: 1; align-horizontal: right; }
        Button { margin-left: 2; min-width: 14; }
    }
    """

    def __init__(self, question: str, *, yes: str) -> None:
        super().__init__()
        self._question, self._yes = question, yes

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(id="box"):
            yield Label(self._question)
            with Horizontal(id="buttons"):
                yield Button("Keep (Esc)", id="no", compact=True)
                yield Button(f"{self._yes} (⏎)", id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        """Enter says yes."""
        self.query_one("#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter on a button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """A key."""
        self.dismiss(answer)
