"""A widget made of whole lines that repaints only those that changed (Textual's Line API)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from terminal.widgets.palette import Palette, palette

Piece = tuple[str, Style]
"""Some text and its style; a line is a row of them, one cell a character."""


class LineView(Widget):
    """Subclasses say what stands in line `y` as a plain value (`line`), and how such a value is drawn
    (`draw`).

    Call `update_lines` after any change: lines whose value is another one than what is on the screen are
    drawn again.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._line_values: dict[int, Hashable] = {}
        self._line_strips: dict[int, Strip] = {}

    def line(self, y: int) -> Hashable:
        """Everything that decides how line `y` looks, the width aside."""
        raise NotImplementedError

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The pieces of a line; what is short of `width` is filled up, what is longer is cut."""
        raise NotImplementedError

    @property
    def colours(self) -> Palette:
        """The colours of the theme."""
        return palette(self.app)

    def update_lines(self) -> None:
        """Draw again what looks different now."""
        if not self.is_mounted:
            return
        width, changed = self.content_size.width, []
        for y in range(self.content_size.height):
            line = self.line(y)
            if y not in self._line_values or self._line_values[y] != line:
                self._line_values[y] = line
                self._line_strips.pop(y, None)
                changed.append(y)
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """A line of the content, drawn when it is not at hand."""
        strip = self._line_strips.get(y)
        if strip is None:
            if y not in self._line_values:
                self._line_values[y] = self.line(y)
            width = self.content_size.width
            segments = [
                Segment(text, style) for text, style in self.draw(self._line_values[y], width) if text
            ]
            strip = Strip(segments).adjust_cell_length(width, self.colours.background)
            self._line_strips[y] = strip
        return strip

    def forget_lines(self) -> None:
        """Draw everything again (other size, other colours)."""
        self._line_values.clear()
        self._line_strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        """Textual tells that styles changed, with the theme for example."""
        super().notify_style_update()
        self._line_strips.clear()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The focus came or went: handlers of the event itself run before that is so."""
        super().watch_has_focus(has_focus)
        self.update_lines()

    def on_resize(self, _event: Resize) -> None:
        """Another width: every line is another one."""
        self.forget_lines()


def shade(pieces: Iterable[Piece], style: Style) -> list[Piece]:
    """The same pieces with something laid over them, a cursor's background for example."""
    return [(text, own + style) for text, own in pieces]


def bar(pieces: Iterable[Piece], cells: int, style: Style) -> list[Piece]:
    """Lay a style over the last `cells` cells of what the pieces cover."""
    row = list(pieces)
    start = sum(len(text) for text, _ in row) - cells
    shaded: list[Piece] = []
    at = 0
    for text, own in row:
        cut = min(max(start - at, 0), len(text))
        if cut:
            shaded.append((text[:cut], own))
        if cut < len(text):
            shaded.append((text[cut:], own + style))
        at += len(text)
    return shaded
