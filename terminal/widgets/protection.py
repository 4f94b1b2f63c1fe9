"""How a password travels to a server: one line under the field of the server."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from terminal.widgets.lines import LineView, Piece

SIGNS = {"safe": ("●", "buy"), "weak": ("▲", "own"), "none": ("○", "muted")}


class ProtectionLine(LineView):
    """A sign in the colour of the grade, and words."""

    DEFAULT_CSS = """
    ProtectionLine { height: 1; width: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.grade, self.words = "none", ""

    def show(self, grade: str, words: str) -> None:
        """Show this."""
        self.grade, self.words = grade, words
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """Grade and words."""
        return (self.grade, self.words) if y == 0 and self.words else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The sign coloured, the words muted."""
        if not isinstance(line, tuple):
            return
        grade, words = line
        sign, tone = SIGNS[grade]
        yield f" {sign} ", getattr(self.colours, tone)
        yield words if len(words) <= width - 3 else f"{words[: width - 4]}…", self.colours.muted
