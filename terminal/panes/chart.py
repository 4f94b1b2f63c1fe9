"""Chart: candles and volume of the instrument that is looked at, drawn in a thread at most twice a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Iterable
from datetime import tzinfo
from decimal import Decimal
from functools import partial
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click
from textual.message import Message
from textual.timer import Timer

from terminal import charts
from terminal.actions import bindings
from terminal.format import compact, number, percent
from terminal.state import TIMEFRAMES, Candles, Instrument, Quote
from terminal.widgets.lines import LineView, Piece


class ChartPane(LineView, can_focus=True):
    """A heading (symbol, prices of the last candle, timeframes) and the chart below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chart")]
    DEFAULT_CSS = """
    ChartPane {
        border: round $foreground 18%;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
    }
    ChartPane:focus { border: round $primary; border-title-color: $text; }
    """
    SHORTEST_PAUSE = 0.5

    class TimeframePicked(Message):
        """Show candles of this length."""

        def __init__(self, timeframe: str) -> None:
            super().__init__()
            self.timeframe = timeframe

    def __init__(self, *, zone: tzinfo | None = None, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.border_title = "3 Chart"
        self.instrument: Instrument | None = None
        self.candles: Candles | None = None
        self.quote: Quote | None = None
        self.timeframe = TIMEFRAMES[0]
        self._zone = zone
        self._drawing: tuple[charts.Line, ...] = ()
        self._drawn_for: Hashable = None
        self._busy = False
        self._drawn_at = 0.0
        self._later: Timer | None = None

    def show_candles(
        self, instrument: Instrument | None, candles: Candles | None, quote: Quote | None, timeframe: str
    ) -> None:
        """Show these; the drawing follows when the thread has made it."""
        self.instrument, self.candles, self.quote, self.timeframe = instrument, candles, quote, timeframe
        self.border_subtitle = f"{instrument.kind} · {instrument.currency}" if instrument else ""
        self.update_lines()
        self._ask_for_drawing()

    @property
    def _last(self) -> Decimal | None:
        return self.quote.last if self.quote else None

    def _subject(self) -> Hashable:
        """What a viewer would notice at once when it were another one."""
        candles = self.candles
        return (
            (candles.instrument_id, candles.timeframe, self.content_size, self.app.theme) if candles else None
        )

    def _ask_for_drawing(self) -> None:
        if self._busy or self._later is not None or not self.content_size:
            return  # under way already, or not shown: being shown comes with a size
        wanted = (self._subject(), self.candles, self._last)
        if wanted == self._drawn_for:
            return
        same_subject = isinstance(self._drawn_for, tuple) and self._drawn_for[0] == wanted[0]
        wait = self._drawn_at + self.SHORTEST_PAUSE - time.monotonic() if same_subject else 0
        if wait > 0:
            self._later = self.set_timer(wait, self._after_pause)
        else:
            self._busy = True
            self.run_worker(self._draw(wanted), group="chart", name="draw the chart")

    def _after_pause(self) -> None:
        self._later = None
        self._ask_for_drawing()

    async def _draw(self, wanted: Hashable) -> None:
        try:
            candles, instrument = self.candles, self.instrument
            width, height = self.content_size.width, self.content_size.height - 1
            fits = candles and instrument and candles.instrument_id == instrument.instrument_id
            drawing: tuple[charts.Line, ...] = ()
            if candles and instrument and fits:
                colours = self.colours
                drawing = await asyncio.to_thread(
                    partial(
                        charts.draw,
                        candles.candles,
                        candles.timeframe,
                        width,
                        height,
                        instrument.price_decimals,
                        self._last,
                        charts.Colours(
                            up=colours.buy_rgb,
                            down=colours.sell_rgb,
                            axis=colours.muted_rgb,
                            faint=colours.faint_rgb,
                            last=colours.own_rgb,
                            background=colours.background_rgb,
                        ),
                        self._zone,
                    )
                )
            self._drawing, self._drawn_for, self._drawn_at = drawing, wanted, time.monotonic()
        finally:
            self._busy = False
        self.update_lines()
        self._ask_for_drawing()  # something may have changed meanwhile

    @property
    def settled(self) -> bool:
        """Whether the drawing is of what is to be shown."""
        current = self._drawn_for == (self._subject(), self.candles, self._last)
        return not self._busy and self._later is None and (current or not self.content_size)

    def line(self, y: int) -> Hashable:
        """Heading, a line of the drawing, or nothing."""
        if y == 0:
            return ("heading", self._heading(), self.timeframe)
        if not self._drawing:
            words = "No candles in this timeframe yet" if self.candles is not None else ""
            return ("words", words if y == self.content_size.height // 2 else "")
        return ("drawing", self._drawing[y - 1]) if y - 1 < len(self._drawing) else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Pieces as they come from the thread."""
        if not isinstance(line, tuple):
            return
        colours = self.colours
        if line[0] == "drawing":
            yield from line[1]
        elif line[0] == "words":
            yield line[1].center(width), colours.muted
        else:
            _, heading, timeframe = line
            room = width - self._tabs_width - 1
            used = 0
            for text, tone in heading:
                if used + len(text) > room:
                    break
                yield text, getattr(colours, tone)
                used += len(text)
            yield " " * max(1, width - self._tabs_width - used), colours.text
            for name in TIMEFRAMES:
                chosen = colours.focus + colours.focus.__class__(reverse=True, bold=True)
                yield f" {name} ", chosen if name == timeframe else colours.muted

    @property
    def _tabs_width(self) -> int:
        return sum(len(name) + 2 for name in TIMEFRAMES)

    def _heading(self) -> tuple[tuple[str, str], ...]:
        """Symbol, last price, change, and the last candle: pieces in the order in which they are given up."""
        instrument, quote = self.instrument, self.quote
        if instrument is None:
            return ()
        decimals = instrument.price_decimals
        pieces = [(f" {instrument.symbol}", "strong")]
        if quote is not None:
            tone = "muted" if not quote.change else "buy" if quote.change > 0 else "sell"
            pieces += [(f"  {number(quote.last, decimals)}", "strong"), (f" {percent(quote.change)}", tone)]
        if self.candles and self.candles.candles:
            candle = self.candles.candles[-1]
            named = (("O", candle.open), ("H", candle.high), ("L", candle.low), ("C", candle.close))
            pieces += [(f"  {name} {number(value, decimals)}", "muted") for name, value in named]
            pieces.append((f"  V {compact(candle.volume, instrument.quantity_decimals)}", "muted"))
        pieces.append((f"  {instrument.name}", "muted"))
        return tuple(pieces)

    def action_timeframe(self, steps: int) -> None:
        """A longer or shorter timeframe."""
        index = TIMEFRAMES.index(self.timeframe) + steps
        self.post_message(self.TimeframePicked(TIMEFRAMES[min(max(index, 0), len(TIMEFRAMES) - 1)]))

    def on_click(self, event: Click) -> None:
        """A timeframe's name picks it."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y:
            return
        at = self.content_size.width - self._tabs_width
        for name in TIMEFRAMES:
            if at <= offset.x < at + len(name) + 2:
                self.post_message(self.TimeframePicked(name))
            at += len(name) + 2

    def on_resize(self, event: object) -> None:
        """Another size is another drawing."""
        self.forget_lines()
        self._ask_for_drawing()

    def notify_style_update(self) -> None:
        """Another theme is another drawing."""
        super().notify_style_update()
        if self.is_mounted:
            self._ask_for_drawing()
