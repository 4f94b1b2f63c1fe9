"""The program's name, as it stands above the log-in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from terminal.widgets.lines import LineView, Piece

NAME = "P I T S I D E"
LADDER = ("▁▂▃▅", "▅▃▂▁")
"""Depth on both sides of a price: bids to the left, asks to the right."""


class Wordmark(LineView):
    """One line, centred."""

    DEFAULT_CSS = """
    Wordmark { height: 1; }
    """

    def line(self, y: int) -> Hashable:
        """It never changes."""
        return NAME if y == 0 else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The name between bids and asks."""
        if not isinstance(line, str):
            return
        bids, asks = LADDER
        colours = self.colours
        yield " " * ((width - len(line) - len(bids) - len(asks) - 4) // 2), colours.text
        yield bids, colours.buy
        yield f"  {line}  ", colours.strong
        yield asks, colours.sell
