"""The part of a desk that others see: its state, and telling of every new one. No Textual in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from terminal import reading
from terminal.state import Book, Connection, DeskState, Notice, TradingDesk


class Publishing(TradingDesk):
    """Keeps the newest state, and tells those who listen."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._listeners: list[tuple[Callable[[DeskState], None], Callable[[Notice], None]]] = []
        self._book: Book | None = None  # as read, nobody's orders marked

    @property
    def state(self) -> DeskState:
        """How things stand now."""
        return self._state

    def listen(
        self, on_state: Callable[[DeskState], None], on_notice: Callable[[Notice], None]
    ) -> Callable[[], None]:
        """Be told of every new state and notice; call what is returned to stop that."""
        pair = (on_state, on_notice)
        self._listeners.append(pair)

        def stop() -> None:
            if pair in self._listeners:
                self._listeners.remove(pair)

        return stop

    def tell(self, notice: Notice) -> None:
        """Tell the listeners of something."""
        for _, on_notice in tuple(self._listeners):
            on_notice(notice)

    def _publish(self, **changes: Any) -> None:
        """A new state; the book is marked again when it or the orders are new ones."""
        self._book = changes.get("book", self._book)
        state = replace(self._state, **changes)
        if self._book is not None and ("orders" in changes or "book" in changes):
            state = replace(state, book=reading.with_own(self._book, state.orders))
        if state != self._state:
            self._state = state
            for on_state, _ in tuple(self._listeners):
                on_state(state)

    def _connection(self, status: str, message: str = "", heard_at: float | None = None) -> None:
        heard = heard_at if heard_at is not None else self._state.connection.heard_at
        self._publish(connection=Connection(status, message, heard))  # type: ignore[arg-type]
