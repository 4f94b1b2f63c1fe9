"""What came of a request, as a few wrapped lines in the colour of its outcome."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterable

from terminal.state import Answer
from terminal.widgets.lines import LineView, Piece

SIGNS = {
    "accepted": "✓",
    "filled": "✓",
    "partial": "✓",
    "cancelled": "✓",
    "rejected": "✗",
    "error": "✗",
    "unknown": "?",
}


class AnswerLines(LineView):
    """An answer, or a hint, or nothing."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.text = ""
        self.tone = "text"

    def show_answer(self, answer: Answer | None) -> None:
        """Show an answer; None empties the lines."""
        if answer is None:
            self._show("", "text")
            return
        tone = "buy" if answer.is_good else "own" if answer.outcome == "unknown" else "sell"
        self._show(f"{SIGNS[answer.outcome]} {answer.text}", tone)

    def show_hint(self, text: str) -> None:
        """Show a hint."""
        self._show(text, "text")

    def _show(self, text: str, tone: str) -> None:
        self.text, self.tone = text, tone
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """One wrapped line."""
        width = max(8, self.content_size.width)
        lines = [part for line in self.text.splitlines() for part in textwrap.wrap(line, width)]
        room = self.content_size.height
        if len(lines) > room > 0:
            lines = [*lines[: room - 1], lines[room - 1][: width - 1] + "…"]
        return (lines[y], self.tone) if y < len(lines) else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The words in their tone."""
        if isinstance(line, tuple):
            yield line[0], getattr(self.colours, line[1])
