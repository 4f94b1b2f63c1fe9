"""Brings states to the screen at a tick: the newest one, and a part of the panes each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from textual.screen import Screen
from textual.timer import Timer

from terminal.state import DeskState

TICK = 0.1
"""Seconds between two states on the screen. The first after a pause is shown at once."""
FRAME = 1 / 60


class Pacer:
    """Each of `frames` draws the panes that are repainted together. A frame paints the box around all that
    changed in it, so panes that lie apart are cheaper one after another."""

    def __init__(self, screen: Screen[None], frames: Sequence[Callable[[DeskState], None]]) -> None:
        self._screen = screen
        self._frames = tuple(frames)
        self._latest: DeskState | None = None
        self._begun_with: DeskState | None = None
        self._started_at = 0.0
        self._timer: Timer | None = None

    def take(self, state: DeskState) -> None:
        """There is a new state."""
        self._latest = state
        if self._timer is None:
            wait = self._started_at + TICK - monotonic()
            if wait > 0:
                self._timer = self._screen.set_timer(wait, self._start)
            else:
                self._start()

    @property
    def settled(self) -> bool:
        """Whether the newest state is on the screen."""
        return self._timer is None and self._latest is self._begun_with

    def stop(self) -> None:
        """Draw nothing any more."""
        self._latest = None
        if self._timer is not None:
            self._timer.stop()

    def _start(self) -> None:
        self._started_at, self._begun_with = monotonic(), self._latest
        self._frame(0)

    def _frame(self, index: int) -> None:
        """Draw one frame's panes with the newest state, then let the next frame come."""
        self._timer = None
        if self._latest is None:
            return
        self._frames[index](self._latest)
        if index + 1 < len(self._frames):
            self._timer = self._screen.set_timer(FRAME, lambda: self._frame(index + 1))
        elif self._latest is not self._begun_with:  # the first frames have not seen the newest state
            self._timer = self._screen.set_timer(
                max(0.001, self._started_at + TICK - monotonic()), self._start
            )
