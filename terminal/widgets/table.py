"""A table of lines: a heading, rows in a fixed order, a cursor, and columns that give way when it gets
narrow."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from textual.events import Click, MouseScrollDown, MouseScrollUp

from terminal.widgets.lines import LineView, Piece, shade
from terminal.widgets.palette import Palette

TONES = ("text", "strong", "muted", "buy", "sell", "own")


@dataclass(frozen=True, slots=True)
class Column:
    """`importance` 0 is never left out; the highest go first. `left` aligns to the left, numbers go to the
    right."""

    title: str
    width: int
    importance: int = 0
    left: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what it stands for, its texts, and their tones (a name of a colour in the palette)."""

    key: Hashable
    texts: tuple[str, ...]
    tones: tuple[str, ...]


class LineTable(LineView, can_focus=True):
    """Subclasses have COLUMNS and call `show_rows`; `cursor_row` is where the cursor stands."""

    COLUMNS: tuple[Column, ...] = ()
    EMPTY = "Nothing here"
    MOST_GAP = 4

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self.rows: tuple[Row, ...] = ()
        self.total: Row | None = None
        self.cursor = 0
        self.top = 0

    def show_rows(self, rows: Sequence[Row], total: Row | None = None) -> None:
        """Show these rows; the cursor stays with its key, or where it was when that is gone."""
        at = self.cursor_row.key if self.cursor_row else None
        self.rows, self.total = tuple(rows), total
        keys = [row.key for row in self.rows]
        self.cursor = keys.index(at) if at in keys else min(self.cursor, max(0, len(keys) - 1))
        self._keep_in_view()
        self.update_lines()

    @property
    def cursor_row(self) -> Row | None:
        """The row with the cursor, if there are rows."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    @property
    def _room(self) -> int:
        return max(1, self.content_size.height - 1 - (self.total is not None))

    def line(self, y: int) -> Hashable:
        """Heading, row, total or nothing."""
        if y == 0:
            return ("heading",)
        if self.total is not None and y == min(len(self.rows) - self.top, self._room) + 1:
            return ("row", self.total, "")
        index = self.top + y - 1
        if index < len(self.rows) and y <= self._room:
            marked = index == self.cursor
            return (
                "row",
                self.rows[index],
                ("cursor" if self.has_focus else "cursor_idle") if marked else "",
            )
        return ("empty", self.EMPTY if not self.rows and y == 2 else "")

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Cells side by side, numbers to the right."""
        colours = self.colours
        if not isinstance(line, tuple):
            return []
        if line[0] == "heading":
            return self._cells([(column.title, "muted") for column in self.COLUMNS], width, colours)
        if line[0] == "empty":
            return [(line[1].center(width), colours.muted)]
        row: Row = line[1]
        pieces = self._cells(list(zip(row.texts, row.tones, strict=True)), width, colours)
        return shade(pieces, getattr(colours, line[2])) if line[2] else pieces

    def shown_columns(self, width: int) -> list[int]:
        """Indexes of the columns that there is room for."""
        shown = list(range(len(self.COLUMNS)))
        while sum(self.COLUMNS[index].width + 1 for index in shown) + 1 > width:
            least = max(shown, key=lambda index: (self.COLUMNS[index].importance, index))
            if self.COLUMNS[least].importance == 0:
                break
            shown.remove(least)
        return shown

    def column_at(self, x: int) -> str | None:
        """The title of the column that a cell of the content belongs to."""
        width = self.content_size.width
        shown = self.shown_columns(width)
        end = 1
        for place, index in enumerate(shown):
            end += self.COLUMNS[index].width + self._gap(shown, width) * (place > 0)
            if x < end:
                return self.COLUMNS[index].title
        return None

    def _gap(self, shown: list[int], width: int) -> int:
        spare = width - 2 - sum(self.COLUMNS[index].width for index in shown)
        return max(1, min(self.MOST_GAP, spare // max(1, len(shown) - 1)))

    def _cells(self, cells: list[tuple[str, str]], width: int, colours: Palette) -> list[Piece]:
        shown = self.shown_columns(width)
        gap = self._gap(shown, width)
        pieces: list[Piece] = [(" ", colours.text)]
        for place, index in enumerate(shown):
            column, (text, tone) = self.COLUMNS[index], cells[index]
            text = _fit(text, column.width, number=not column.left)
            text = text.ljust(column.width) if column.left else text.rjust(column.width)
            pieces.append((" " * gap * (place > 0) + text, getattr(colours, tone)))
        used = sum(len(text) for text, _ in pieces)
        pieces.append((" " * max(0, width - used), colours.text))
        return pieces

    def _keep_in_view(self) -> None:
        self.top = min(self.top, self.cursor, max(0, len(self.rows) - self._room))
        self.top = max(self.top, self.cursor - self._room + 1, 0)

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor = min(max(0, self.cursor + rows), max(0, len(self.rows) - 1))
        self._keep_in_view()
        self.update_lines()

    def action_choose(self) -> None:
        """Enter or a double click on a row; subclasses say what that does."""

    def on_focus(self) -> None:
        """The cursor shows where the keys go."""
        self.update_lines()

    def on_blur(self) -> None:
        """The cursor shows where the keys go."""
        self.update_lines()

    def on_click(self, event: Click) -> None:
        """The cursor goes to the row; twice chooses it."""
        offset = event.get_content_offset(self)
        if offset is None or not 1 <= offset.y <= self._room or self.top + offset.y - 1 >= len(self.rows):
            return
        self.cursor = self.top + offset.y - 1
        self.update_lines()
        self.row_clicked(offset.x, event.chain)

    def row_clicked(self, _x: int, times: int) -> None:
        """A click on the row that now has the cursor, `_x` cells from the left."""
        if times == 2:
            self.action_choose()

    def on_mouse_scroll_down(self, _event: MouseScrollDown) -> None:
        """The wheel moves the cursor."""
        self.action_move(1)

    def on_mouse_scroll_up(self, _event: MouseScrollUp) -> None:
        """The wheel moves the cursor."""
        self.action_move(-1)


def _fit(text: str, width: int, *, number: bool) -> str:
    """A text that is too long is cut visibly; a number gives up its decimals before that."""
    if len(text) <= width:
        return text
    whole = text.partition(".")[0] + ("%" if text.endswith("%") else "")
    return whole if number and "." in text and len(whole) <= width else text[: width - 1] + "…"
