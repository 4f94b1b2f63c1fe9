"""Order book: asks above, bids below, the spread always in the middle row."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import Decimal
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from terminal.actions import bindings
from terminal.format import compact, number, percent
from terminal.state import Book, Instrument, Level, Quote, Side
from terminal.widgets.lines import LineView, Piece, bar, shade

# What stands beside the price, in the order in which it is left out when it gets narrow.
OWN, ORDERS, TOTAL = 8, 5, 10
PRICE, SIZE = 11, 10


class BookPane(LineView, can_focus=True):
    """The book of one instrument. The cursor stands on a rank: 1 is the best ask, −1 the best bid."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("book")]
    DEFAULT_CSS = """
    BookPane {
        border: round $foreground 18%;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
    }
    BookPane:focus { border: round $primary; border-title-color: $text; }
    """

    class LevelTaken(Message):
        """A level's price shall go into the ticket. `join`: to stand there too, rather than to trade with
        it."""

        def __init__(self, side: Side, price: Decimal) -> None:
            super().__init__()
            self.side = side
            self.price = price

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.border_title = "2 Book"
        self.book: Book | None = None
        self.instrument: Instrument | None = None
        self.quote: Quote | None = None
        self.cursor = 0
        self._scale = Decimal(1)
        self._totals: tuple[tuple[Decimal, ...], tuple[Decimal, ...]] = ((), ())
        self._tick_up: bool | None = None

    def show_book(self, instrument: Instrument | None, book: Book | None, quote: Quote | None) -> None:
        """Show this book."""
        same = (
            self.instrument is not None
            and instrument is not None
            and self.instrument.symbol == instrument.symbol
        )
        if not same:
            self.cursor, self._tick_up = 0, None
        elif self.quote and quote and self.quote.last and quote.last and quote.last != self.quote.last:
            self._tick_up = quote.last > self.quote.last
        self.instrument, self.book, self.quote = instrument, book, quote
        self.border_subtitle = instrument.symbol if instrument else ""
        self._measure()
        self.update_lines()

    def _measure(self) -> None:
        """Totals from the best level on, and the quantity that fills a whole bar: a round number, so it
        rarely changes."""
        book = self.book
        if book is None:
            return
        rows = self._side_rows
        self._totals = (_running(book.asks), _running(book.bids))
        most = max(
            (level.quantity for side in (book.asks, book.bids) for level in side[:rows]), default=Decimal(1)
        )
        scale = Decimal(1).scaleb(most.adjusted())
        self._scale = next(scale * step for step in (1, 2, 5, 10) if scale * step >= most)

    @property
    def _middle(self) -> int:
        return 1 + (self.content_size.height - 1) // 2

    @property
    def _side_rows(self) -> int:
        return max(1, self._middle - 1)

    def _rank(self, y: int) -> int:
        """Which level stands in line `y`: positive asks, negative bids, 0 the spread."""
        return self._middle - y

    def _level(self, rank: int) -> Level | None:
        if self.book is None or rank == 0:
            return None
        side = self.book.asks if rank > 0 else self.book.bids
        return side[abs(rank) - 1] if abs(rank) <= len(side) else None

    def line(self, y: int) -> Hashable:
        """Heading, level, spread, or nothing."""
        if y == 0:
            return ("heading",)
        rank = self._rank(y)
        if rank == 0:
            return ("spread", *self._spread_texts())
        level = self._level(rank)
        marked = rank == self.cursor
        cursor = ("cursor" if self.has_focus else "cursor_idle") if marked else ""
        if level is None or self.instrument is None:
            return ("empty", cursor)
        total = self._totals[0 if rank > 0 else 1][abs(rank) - 1]
        decimals = self.instrument.quantity_decimals
        width = self.content_size.width
        return (
            "level",
            rank > 0,
            number(level.price, self.instrument.price_decimals),
            compact(level.quantity, decimals),
            compact(total, decimals),
            str(level.orders),
            f"▸{compact(level.own, decimals)}" if level.own else "",
            max(1, min(width, int(level.quantity / self._scale * width))),
            cursor,
        )

    def _spread_texts(self) -> tuple[str, str, str]:
        """Last price, its tone, and the spread in words."""
        book, quote, instrument = self.book, self.quote, self.instrument
        if book is None or instrument is None:
            return ("", "muted", "")
        arrow = {True: " ▲", False: " ▼", None: "  "}[self._tick_up]
        tone = {True: "buy", False: "sell", None: "strong"}[self._tick_up]
        last = (
            number(quote.last, instrument.price_decimals) + arrow if quote and quote.last is not None else ""
        )
        if book.spread is None:
            missing = "no asks" if book.bids else "no bids" if book.asks else "empty book"
            return (last, tone, missing)
        share = book.spread / book.asks[0].price if book.asks[0].price else Decimal(0)
        return (
            last,
            tone,
            f"spread {number(book.spread, instrument.price_decimals)} · {percent(share).lstrip('+')}",
        )

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Own quantity, price, size, total, number of orders; the bar lies behind, from the right."""
        colours = self.colours
        if not isinstance(line, tuple):
            return []
        if line[0] == "heading":
            return [(self._columns(width, "Mine", "Price", "Size", "Total", "Ord"), colours.muted)]
        if line[0] == "empty":
            return shade([(" " * width, colours.text)], getattr(colours, line[1])) if line[1] else []
        if line[0] == "spread":
            _, last, tone, words = line
            left = f"{'':{self._own_cells(width)}}{last:>{PRICE + 2}}"
            if len(left) + len(words) + 2 > width:
                words = words.partition(" · ")[0]
            return [
                (left, getattr(colours, tone) + colours.cursor_idle),
                (words.rjust(width - len(left) - 1) + " ", colours.muted + colours.cursor_idle),
            ]
        _, is_ask, price, size, total, orders, own, cells, cursor = line
        side = colours.sell if is_ask else colours.buy
        text = self._columns(width, own, price, size, total, orders)
        before = self._own_cells(width)
        pieces = [
            (text[:before], colours.own),
            (text[before : before + PRICE], side),
            (text[before + PRICE : before + PRICE + SIZE], colours.text),
            (text[before + PRICE + SIZE :], colours.muted),
        ]
        pieces = bar(pieces, cells, colours.sell_bar if is_ask else colours.buy_bar)
        return shade(pieces, getattr(colours, cursor)) if cursor == "cursor" else pieces

    def _own_cells(self, width: int) -> int:
        return OWN if width >= OWN + PRICE + SIZE else 1

    def _columns(self, width: int, own: str, price: str, size: str, total: str, orders: str) -> str:
        """One text of exactly `width` cells."""
        own_cells = self._own_cells(width)
        text = (f" {own}" if own_cells > 1 else "▸" if own.startswith("▸") else "").ljust(own_cells)[
            :own_cells
        ]
        text += price.rjust(PRICE) + size.rjust(SIZE)
        spare = width - len(text) - 1
        if spare >= TOTAL:
            text += total.rjust(TOTAL)
            spare -= TOTAL
            if spare >= ORDERS:
                text += orders.rjust(ORDERS)
        return text.ljust(width)[:width]

    def action_move(self, rows: int) -> None:
        """Move the cursor; from nowhere to the best level of the side it goes to."""
        most = self._side_rows
        rank = self.cursor - rows
        if rank == 0 or self.cursor == 0:
            rank = -1 if rows > 0 else 1
        self.cursor = min(max(rank, -most), most)
        self.update_lines()

    def action_best(self) -> None:
        """To the best ask; from there to the best bid."""
        self.cursor = -1 if self.cursor == 1 else 1
        self.update_lines()

    def action_take(self) -> None:
        """Take the liquidity under the cursor."""
        self._send(self.cursor, join=False)

    def action_join(self) -> None:
        """Stand in line under the cursor."""
        self._send(self.cursor, join=True)

    def _send(self, rank: int, *, join: bool) -> None:
        level = self._level(rank)
        if level is not None:
            buys = (rank > 0) != join
            self.post_message(self.LevelTaken("buy" if buys else "sell", level.price))

    def on_click(self, event: Click) -> None:
        """An ask buys, a bid sells; with shift or the right button: join that side."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0 or self._level(self._rank(offset.y)) is None:
            return
        self.cursor = self._rank(offset.y)
        self.update_lines()
        self._send(self.cursor, join=event.shift or event.button == 3)

    def on_mouse_scroll_up(self, _event: MouseScrollUp) -> None:
        """The wheel moves the cursor."""
        self.action_move(-1)

    def on_mouse_scroll_down(self, _event: MouseScrollDown) -> None:
        """The wheel moves the cursor."""
        self.action_move(1)

    def on_focus(self) -> None:
        """The cursor shows where the keys go; it starts at the best ask."""
        self.cursor = self.cursor or 1
        self.update_lines()

    def on_blur(self) -> None:
        """The cursor shows where the keys go."""
        self.update_lines()


def _running(levels: tuple[Level, ...]) -> tuple[Decimal, ...]:
    totals: list[Decimal] = []
    for level in levels:
        totals.append(level.quantity + (totals[-1] if totals else Decimal(0)))
    return tuple(totals)
