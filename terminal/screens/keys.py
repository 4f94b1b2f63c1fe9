"""All keys, from the table of actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from terminal.actions import ACTIONS, CONTEXTS, key_names
from terminal.widgets.palette import palette

KEY_CELLS = 12


class KeysScreen(ModalScreen[None]):
    """Every context with its keys, in two columns where there is room."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "leave", "Back", show=False)
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (118, "-wide")]  # noqa: RUF012 - so Textual has it
    DEFAULT_CSS = """
    KeysScreen {
        align: center middle;
        background: $background 60%;
        #box {
            width: 116; max-width: 98%;
            height: auto; max-height: 96%;
            padding: 0 2;
            border: round $primary;
            border-title-color: $text;
            border-subtitle-color: $text-muted;
            background: $surface;
            scrollbar-size-vertical: 1;
        }
        #columns { height: auto; }
        Static { width: 1fr; height: auto; }
        &.-narrow {
            #box { width: 66; }
            #columns { layout: vertical; }
            Static { margin-bottom: 1; }
        }
    }
    """

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        box = VerticalScroll(id="box")
        box.border_title = "Keys"
        box.border_subtitle = "Esc closes"
        with box, Horizontal(id="columns"):
            yield Static(self._page(LEFT))
            yield Static(
                self._page(tuple(context for context in CONTEXTS if context not in LEFT), mouse=True)
            )

    def _page(self, contexts: tuple[str, ...], *, mouse: bool = False) -> Text:
        colours = palette(self.app)
        page = Text()

        def paragraph(title: str, lines: Iterable[tuple[str, str]]) -> None:
            page.append(f"{title}\n", colours.strong)
            for key, words in lines:
                page.append(f"  {key:<{KEY_CELLS}}", colours.focus)
                page.append(f"{words}\n", colours.text)
            page.append("\n")

        for context in contexts:
            lines = [
                (key_names(action.keys), action.words) for action in ACTIONS if action.context == context
            ]
            paragraph(CONTEXTS[context], lines)
        if mouse:
            paragraph("By mouse", MOUSE)
        page.rstrip()
        return page

    def action_leave(self) -> None:
        """Back."""
        self.dismiss(None)


LEFT = ("ticket", "book", "chart", "positions", "orders", "watchlist")
MOUSE = (
    ("Book", "a click on an ask buys, on a bid sells"),
    ("", "with ⇧: joins that side"),
    ("Fields", "− and + step, and so does the wheel"),
    ("Orders", "✗ cancels; twice on quantity: reduces"),
    ("Watchlist", "a click shows the instrument"),
    ("Account bar", "a click: another account"),
)
