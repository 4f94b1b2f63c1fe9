"""Names on the left, values on the right."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from terminal.widgets.lines import LineView, Piece

Fact = tuple[str, str, str]
"""Name, value, and the tone of the value (a name in the palette)."""


class Facts(LineView):
    """A few facts, one a line."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.facts: tuple[Fact, ...] = ()

    def show_facts(self, facts: tuple[Fact, ...]) -> None:
        """Show these."""
        self.facts = facts
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """One fact."""
        return self.facts[y] if y < len(self.facts) else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The name muted, the value to the right."""
        if isinstance(line, tuple):
            name, value, tone = line
            yield name, self.colours.muted
            yield value.rjust(width - len(name)), getattr(self.colours, tone)
