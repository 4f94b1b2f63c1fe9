"""Charts: each candle in its column, prices and times where they belong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from terminal import charts
from terminal.state import Candle
from tests.terminal.fakes import AAPL, candles_of

D = Decimal
COLOURS = charts.Colours(
    up=(0, 200, 0),
    down=(200, 0, 0),
    axis=(90, 90, 90),
    faint=(40, 40, 40),
    last=(255, 200, 0),
    background=(0, 0, 0),
)
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


def candle(minute: int, opened: str, high: str, low: str, close: str, volume: str = "100") -> Candle:
    return Candle(START + timedelta(minutes=minute), D(opened), D(high), D(low), D(close), D(volume))


def draw(
    candles: tuple[Candle, ...], width: int = 60, height: int = 20, last: str | None = None
) -> list[str]:
    drawn = charts.draw(candles, "1m", width, height, 2, D(last) if last else None, COLOURS, UTC)
    return ["".join(text for text, _ in line) for line in drawn]


@pytest.mark.parametrize(("width", "height"), [(30, 8), (78, 18), (116, 30), (159, 27), (240, 60)])
def test_a_chart_has_exactly_its_size(width: int, height: int) -> None:
    lines = draw(candles_of(AAPL, count=300).candles, width, height, last="185.21")
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width


def test_a_rising_candle_has_a_body_and_wicks() -> None:
    # The second one sets the scale from 10 to 20: the first has its wicks at a quarter and its body around
    # the middle.
    lines = draw(
        (candle(0, "14", "18", "12", "16"), candle(1, "10", "20", "10", "20")), height=9
    )  # no volume rows
    column = "".join(line[0] for line in lines[:7])
    assert column.strip()[0] in "╷│"
    assert "┃" in column
    assert column.strip()[-1] in "╵│"


def test_colours_tell_rise_from_fall() -> None:
    drawn = charts.draw(
        (candle(0, "10", "20", "10", "20"), candle(1, "20", "20", "10", "10")),
        "1m",
        40,
        9,
        2,
        None,
        COLOURS,
        UTC,
    )
    styles = {style.color.triplet for line in drawn for text, style in line if "┃" in text and style.color}
    assert {(0, 200, 0), (200, 0, 0)} == {tuple(triplet) for triplet in styles if triplet}


def test_the_last_price_is_marked_on_its_row() -> None:
    lines = draw(candles_of(AAPL).candles, last="185.21")
    marked = [line for line in lines if line.rstrip().endswith("185.21")]
    assert len(marked) == 1
    assert "╌" in marked[0]


def test_only_the_candles_that_fit_are_shown_the_newest_last() -> None:
    many = tuple(candle(minute, "10", "11", "9", "10") for minute in range(500))
    spike = candle(500, "10", "30", "10", "30")
    lines = draw((*many, spike), width=40)
    last_column = charts.columns(40, 2, D(30)) - 1
    assert lines[0][last_column] in "╻┃╷│"


def test_time_labels_are_local_and_round() -> None:
    labels = charts.time_labels(
        [candle(m, "1", "1", "1", "1") for m in range(60)], "1m", ZoneInfo("Europe/Zurich")
    )
    assert labels  # 14:00 UTC is 15:00 in Zurich
    assert set(labels.values()) <= {"15:10", "15:20", "15:30", "15:40", "15:50"}
    assert labels[20] == "15:20"


def test_a_new_day_is_named() -> None:
    late = [
        Candle(datetime(2026, 3, 2, 23, 40, tzinfo=UTC) + timedelta(minutes=m), D(1), D(1), D(1), D(1), D(1))
        for m in range(40)
    ]
    assert "03 Mar" in charts.time_labels(late, "1m", UTC).values()


def test_months_are_named_on_daily_candles() -> None:
    days = [
        Candle(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=d), D(1), D(1), D(1), D(1), D(1))
        for d in range(90)
    ]
    assert list(charts.time_labels(days, "1d", UTC).values()) == ["Feb", "Mar"]


@pytest.mark.parametrize("candles", [(), (candle(0, "10", "10", "10", "10", "0"),)])
def test_nothing_and_a_flat_line_can_be_drawn(candles: tuple[Candle, ...]) -> None:
    lines = draw(candles, last="10")
    assert len(lines) == (20 if candles else 0)


def test_no_room_no_chart() -> None:
    assert draw(candles_of(AAPL).candles, width=12) == []


def test_tiny_prices_keep_their_digits() -> None:
    flat = tuple(candle(m, "0.00000100", "0.00000140", "0.00000090", "0.00000120") for m in range(20))
    drawn = charts.draw(flat, "1m", 60, 20, 8, D("0.00000120"), COLOURS, UTC)
    assert any("0.00000120" in text for line in drawn for text, _ in line)
