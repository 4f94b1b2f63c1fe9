"""Candles drawn with plotext, off the UI's thread.

Each candle is one column of characters. The characters know half cells (╽ is a wick above a body), so that
plotext, given one marker and colour a cell, draws in a few milliseconds what its own `candlestick` takes 50
for. x is the column's number and y the row's: date axes would shift with the time zone.
"""

from __future__ import annotations

import importlib
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from types import ModuleType

from rich.color import Color
from rich.style import Style

from terminal.format import number
from terminal.state import Candle

Rgb = tuple[int, int, int]
Piece = tuple[str, Style]
Line = tuple[Piece, ...]

VOLUME_BARS = " ▁▂▃▄▅▆▇█"
# What is in the upper and the lower half of a cell: nothing, wick, body.
GLYPHS = {
    (0, 1): "╷",
    (1, 0): "╵",
    (1, 1): "│",
    (0, 2): "╻",
    (2, 0): "╹",
    (2, 2): "┃",
    (1, 2): "╽",
    (2, 1): "╿",
}
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240}
LABEL_STEPS = (5, 10, 15, 30, 60, 120, 240, 480, 1440)
_one_at_a_time = threading.Lock()  # plotext has one figure for the whole process


@dataclass(frozen=True, slots=True)
class Colours:
    """What a chart is painted with."""

    up: Rgb
    down: Rgb
    axis: Rgb
    faint: Rgb
    last: Rgb
    background: Rgb


def columns(width: int, decimals: int, highest: Decimal) -> int:
    """How many candles a chart of that width shows beside its price labels."""
    return max(1, width - len(number(highest, decimals)) - 2)


def draw(
    candles: Sequence[Candle],
    timeframe: str,
    width: int,
    height: int,
    decimals: int,
    last: Decimal | None,
    colours: Colours,
    zone: tzinfo | None = None,
) -> tuple[Line, ...]:
    """The lines of a chart, `height` of them, none longer than `width`; times in the local zone (or `zone`).

    Takes some milliseconds: call it in a thread. Empty when there is nothing or no room to draw.
    """
    if not candles or width < 20 or height < 6:
        return ()
    highest = max(max(candle.high for candle in candles), last or Decimal(0))
    cols = columns(width, decimals, highest)
    shown = candles[-cols:]
    rows = height - 2  # the axis and its labels
    volume_rows = max(2, rows // 6) if rows >= 10 else 0
    scale = _Scale.of(shown, last, volume_rows + bool(volume_rows), rows)
    xs: list[int] = []
    ys: list[int] = []
    marks: list[str] = []
    paint: list[Rgb] = []
    last_row = scale.row(last) if last is not None else None
    taken = set()
    for x, candle in enumerate(shown):
        colour = colours.up if candle.close >= candle.open else colours.down
        for row, glyph in scale.cells(candle):
            taken.add((x, row))
            xs.append(x)
            ys.append(row)
            marks.append(glyph)
            paint.append(colour)
    if last_row is not None:
        for x in range(cols):
            if (x, last_row) not in taken:
                xs.append(x)
                ys.append(last_row)
                marks.append("╌")
                paint.append(colours.faint)
    if volume_rows:
        for x, row, glyph, up in _volume(shown, volume_rows):
            xs.append(x)
            ys.append(row)
            marks.append(glyph)
            paint.append(_mix(colours.up if up else colours.down, colours.background, 0.45))
    labels = scale.labels(decimals)
    with _one_at_a_time:
        text = _plot(
            width, height, cols, rows, (xs, ys, marks, paint), labels, time_labels(shown, timeframe, zone)
        )
    return _finish(text, width, rows, last_row, number(last, decimals) if last is not None else "", colours)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Prices to rows: row `bottom` and up to `rows - 1` lie between `low` and `high`."""

    low: float
    high: float
    bottom: int
    rows: int

    @classmethod
    def of(cls, candles: Sequence[Candle], last: Decimal | None, bottom: int, rows: int) -> _Scale:
        low = float(min(candle.low for candle in candles))
        high = float(max(candle.high for candle in candles))
        if last is not None:
            low, high = min(low, float(last)), max(high, float(last))
        if low == high:
            low, high = low - (abs(low) * 0.001 or 1), high + (abs(high) * 0.001 or 1)
        return cls(low, high, bottom, rows)

    def halves(self, price: float) -> int:
        """Half cells above the bottom of the canvas."""
        span = 2 * (self.rows - self.bottom) - 1
        return 2 * self.bottom + round((price - self.low) / (self.high - self.low) * span)

    def row(self, price: Decimal) -> int:
        return self.halves(float(price)) // 2

    def cells(self, candle: Candle) -> list[tuple[int, str]]:
        """Rows and characters of one candle."""
        top, floor = self.halves(float(candle.high)), self.halves(float(candle.low))
        opened, closed = self.halves(float(candle.open)), self.halves(float(candle.close))
        body_floor, body_top = min(opened, closed), max(opened, closed)

        def what(half: int) -> int:
            return 2 if body_floor <= half <= body_top else 1 if floor <= half <= top else 0

        return [
            (row, GLYPHS[what(2 * row + 1), what(2 * row)])
            for row in range(floor // 2, top // 2 + 1)
            if what(2 * row + 1) or what(2 * row)
        ]

    def labels(self, decimals: int) -> dict[int, str]:
        """Round prices for the axis, at least three rows apart."""
        room = max(1, (self.rows - self.bottom) // 4)
        raw = max((self.high - self.low) / room, 10.0**-decimals)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
        if decimals == 0 or step >= 10.0**-decimals:
            step = max(step, 10.0**-decimals)
        first, count = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return {
            self.halves(index * step) // 2: number(Decimal(str(round(index * step, 10))), decimals)
            for index in range(first, count + 1)
        }


def _volume(candles: Sequence[Candle], rows: int) -> list[tuple[int, int, str, bool]]:
    """Column, row, character and direction of the volume bars."""
    most = max(candle.volume for candle in candles)
    cells: list[tuple[int, int, str, bool]] = []
    if not most:
        return cells
    for x, candle in enumerate(candles):
        eighths = math.ceil(candle.volume / most * rows * 8)
        for row in range(math.ceil(eighths / 8)):
            glyph = VOLUME_BARS[min(8, eighths - 8 * row)]
            cells.append((x, row, glyph, candle.close >= candle.open))
    return cells


def time_labels(candles: Sequence[Candle], timeframe: str, zone: tzinfo | None) -> dict[int, str]:
    """Columns and words of the time axis: round local times, days where a day begins."""
    times = [candle.time.astimezone(zone) for candle in candles]
    labels: dict[int, str] = {}
    if timeframe in MINUTES:
        step = next((s for s in LABEL_STEPS if s >= 10 * MINUTES[timeframe]), 1440)
        for x in range(1, len(times)):
            new_day = times[x].date() != times[x - 1].date()
            if new_day or _slot(times[x], step) != _slot(times[x - 1], step):
                labels[x] = times[x].strftime("%d %b" if new_day else "%H:%M")
    else:
        pattern = "%b" if timeframe in ("1d", "1w") else "%Y"
        for x in range(1, len(times)):
            if times[x].strftime(pattern) != times[x - 1].strftime(pattern):
                labels[x] = times[x].strftime(
                    "%b %Y" if times[x].month == 1 or timeframe == "1M" else pattern
                )
    return _apart(labels, len(times))


def _slot(at: datetime, minutes: int) -> int:
    return (at.hour * 60 + at.minute) // minutes


def _apart(labels: dict[int, str], count: int) -> dict[int, str]:
    """Those that have room: plotext centres a label on its column; the newest matter most."""
    kept: dict[int, str] = {}
    limit = count + 2
    for x in sorted(labels, reverse=True):
        half = (len(labels[x]) + 1) // 2
        if x + half <= limit and x - half >= 0:
            kept[x] = labels[x]
            limit = x - half - 2
    return dict(sorted(kept.items()))


def _plot(
    width: int,
    height: int,
    cols: int,
    rows: int,
    points: tuple[list[int], list[int], list[str], list[Rgb]],
    prices: dict[int, str],
    times: dict[int, str],
) -> str:
    plt = _plotext()
    xs, ys, marks, paint = points
    plt.clear_figure()
    plt.theme("clear")
    plt.limitsize(False, False)  # not the size of whatever terminal this runs in
    plt.plotsize(width, height)
    plt.xlim(0, cols - 1)
    plt.ylim(0, rows - 1)
    plt.xaxes(True, False)
    plt.yaxes(False, True)
    label_width = width - cols - 1
    # One label at least, always as wide: the canvas between must have exactly `cols` columns.
    ticks = {row: f" {label}".ljust(label_width) for row, label in prices.items()} or {0: " " * label_width}
    plt.yticks(list(ticks), list(ticks.values()), yside="right")
    plt.xticks(list(times) or [0], list(times.values()) or [" "])
    plt.scatter(xs, ys, marker=marks, color=paint, yside="right")
    return str(plt.build())


def _plotext() -> ModuleType:
    return importlib.import_module("plotext")  # late: not needed for the first paint


_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")


def _finish(
    text: str, width: int, rows: int, last_row: int | None, label: str, colours: Colours
) -> tuple[Line, ...]:
    """plotext's text as styled pieces, the last price marked on the axis."""
    background = _rgb(colours.background)
    axis = Style(color=_rgb(colours.axis), bgcolor=background)
    lines: list[Line] = []
    for y, raw in enumerate(text.rstrip("\n").split("\n")):
        style, pieces, cells = axis, [], 0
        parts = _COLOUR.split(raw)
        for index, part in enumerate(parts):
            if index % 2:
                code = part.split(";")
                if code[:2] == ["38", "2"]:
                    style = Style(color=_rgb((int(code[2]), int(code[3]), int(code[4]))), bgcolor=background)
                else:
                    style = axis
            elif part:
                part = part[: width - cells]
                pieces.append((part, style))
                cells += len(part)
        if last_row is not None and y == rows - 1 - last_row:
            pieces = _cut(pieces, width - len(label) - 1)
            tag = Style(color=background, bgcolor=_rgb(colours.last), bold=True)
            pieces.append((f"{label} "[:width], tag))
        lines.append(tuple(pieces))
    return tuple(lines)


def _cut(pieces: list[Piece], cells: int) -> list[Piece]:
    cut: list[Piece] = []
    for text, style in pieces:
        if cells <= 0:
            break
        cut.append((text[:cells], style))
        cells -= len(text)
    return cut


def _mix(colour: Rgb, background: Rgb, share: float) -> Rgb:
    red, green, blue = (round(c * share + b * (1 - share)) for c, b in zip(colour, background, strict=True))
    return red, green, blue


def _rgb(colour: Rgb) -> Color:
    return Color.from_rgb(*colour)


def span(timeframe: str, count: int) -> timedelta:
    """How far back to read for so many candles; generous, since markets close at night and at weekends."""
    minutes = {"1d": 1440, "1w": 7 * 1440, "1M": 31 * 1440}.get(timeframe) or MINUTES[timeframe]
    closed = 4 if minutes < 1440 else 1.6 if minutes == 1440 else 1.1
    return timedelta(minutes=minutes * count * closed)
