"""Runs the terminal on a fake desk, and reads what stands on the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot
from textual.widget import Widget

from terminal.app import PitsideApp
from terminal.panes.chart import ChartPane
from terminal.screens.trading import TradingScreen
from terminal.state import TradingDesk
from terminal.widgets.lines import LineView
from tests.terminal.fakes import FakeDesk

WIDE, MEDIUM, SMALL = (200, 50), (120, 40), (80, 24)


@asynccontextmanager
async def terminal(
    desk: TradingDesk | None = None,
    size: tuple[int, int] = WIDE,
    *,
    confirm: bool = True,
    theme: str = "pitside-dark",
) -> AsyncIterator[Pilot[None]]:
    """The terminal with everything drawn."""
    app = PitsideApp(desk or FakeDesk(), theme=theme, confirm=confirm, timeframe="1m")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until the newest state is on the screen."""
    await pilot.pause()
    for _ in range(400):
        screen = pilot.app.screen_stack[-1] if len(pilot.app.screen_stack) < 2 else pilot.app.screen_stack[1]
        if not isinstance(screen, TradingScreen) or screen.settled:
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError("the screen did not come to rest within four seconds")


async def chart_drawn(pilot: Pilot[Any]) -> None:
    """Wait until the chart shows what it is to show."""
    chart = pilot.app.screen.query_one(ChartPane)
    for _ in range(200):
        if chart.settled:
            await pilot.pause()
            return
        await pilot.pause(0.02)
    raise AssertionError("the chart was not drawn within four seconds")


def lines(pilot: Pilot[Any], selector: str) -> list[str]:
    """The lines of a drawn widget."""
    widget = pilot.app.screen.query_one(selector, LineView)
    return [widget.render_line(y).text.rstrip() for y in range(widget.content_size.height)]


def text(pilot: Pilot[Any], selector: str) -> str:
    """All lines of a drawn widget in one."""
    return "\n".join(lines(pilot, selector))


def focused(pilot: Pilot[Any]) -> str | None:
    """The id of the widget with the focus."""
    widget: Widget | None = pilot.app.screen.focused
    return widget.id if widget else None


async def click_line(pilot: Pilot[Any], selector: str, y: int, x: int = 4, times: int = 1) -> None:
    """Click into the content of a pane with a border, `y` lines from its top."""
    await pilot.click(selector, offset=(x + 1, y + 1), times=times)
    await pilot.pause()


def recorded(
    calls: list[Any], function: Callable[..., Any], what: Callable[[Any], Any]
) -> Callable[..., Any]:
    """The function, but `what` of the arguments of each call goes into `calls`."""

    def call(*args: Any) -> Any:
        calls.append(what(args))
        return function(*args)

    return call
