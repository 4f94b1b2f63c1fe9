"""The button that sends the order: it says what it would do, in the colour of the side."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from rich.style import Style
from textual.events import Click
from textual.message import Message

from terminal.widgets.lines import LineView, Piece


class SendButton(LineView, can_focus=True):
    """One line. A double click counts once, so that it cannot review and send at one stroke."""

    DEFAULT_CSS = """
    SendButton { height: 1; }
    """

    class Pressed(Message):
        """It was clicked."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.words, self.tone, self.armed = "", "faint", False

    def show(self, words: str, tone: str, *, armed: bool = False) -> None:
        """Say this. `armed`: the next stroke sends."""
        self.words, self.tone, self.armed = words, tone, armed
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """Words, tone and focus."""
        return (self.words, self.tone, self.armed, self.has_focus) if y == 0 else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Filled when it can be pressed, marked when the next stroke sends."""
        if not isinstance(line, tuple):
            return
        words, tone, armed, focus = line
        style = getattr(self.colours, tone)
        if tone == "faint":
            yield words.center(width), self.colours.muted + self.colours.cursor_idle
            return
        text = f"▶ {words} ◀" if armed else words
        if len(text) > width:
            text = text[: width - 1] + "…"
        yield text.center(width), style + Style(reverse=True, bold=True, underline=focus)

    def on_click(self, event: Click) -> None:
        """Pressed."""
        if event.chain == 1:
            self.post_message(self.Pressed())

    def on_focus(self) -> None:
        """Show it."""
        self.update_lines()

    def on_blur(self) -> None:
        """Show it."""
        self.update_lines()
