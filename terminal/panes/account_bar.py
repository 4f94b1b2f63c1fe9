"""Account bar: whose money it is, how much, and whether what is on the screen is true right now."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable

from textual.events import Click
from textual.message import Message

from terminal.format import duration, money, signed
from terminal.state import Account, Connection
from terminal.widgets.lines import LineView, Piece

SLOW = 3.0
"""Seconds without an answer from the database after which the age of the data is shown."""


class AccountBar(LineView):
    """One line. While there is no connection it turns into the warning that says so: what it shows would be
    stale."""

    DEFAULT_CSS = """
    AccountBar { height: 1; }
    """

    class Picked(Message):
        """It was clicked: another account is wanted."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.user, self.several = "", False
        self.account: Account | None = None
        self.connection = Connection()
        self.demo = False

    def on_mount(self) -> None:
        """The age of the data grows by itself."""
        self.set_interval(1.0, self.update_lines)

    def show_account(
        self,
        account: Account | None,
        connection: Connection,
        demo: bool,
        user: str = "",
        *,
        several: bool = False,
    ) -> None:
        """Show these; `user` is who has logged in, which on the demo goes without saying. With `several`
        accounts the number is always there: it says whose money it is."""
        self.account, self.connection, self.demo = account, connection, demo
        self.user, self.several = "" if demo else user, several
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """All pieces for the width there is."""
        if y:
            return None
        width = self.content_size.width
        if self.connection.status == "lost":
            return ("lost", self._lost_words(), width)
        return ("fine", self._left(width), self._right())

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Figures on the left, the connection on the right; or the warning across."""
        if not isinstance(line, tuple):
            return
        colours = self.colours
        if line[0] == "lost":
            yield line[1].center(width), colours.alarm
            return
        _, left, right = line
        used = 0
        for text, tone in left:
            yield text, getattr(colours, tone)
            used += len(text)
        cells = sum(len(text) for text, _ in right)
        yield " " * max(0, width - used - cells), colours.text
        for text, tone in right:
            yield text, getattr(colours, tone)

    def _age(self) -> float:
        heard = self.connection.heard_at
        return 0.0 if heard is None else time.monotonic() - heard

    def _lost_words(self) -> str:
        age = (
            f", everything shown is {duration(self._age())} old"
            if self.connection.heard_at is not None
            else ""
        )
        demo = "DEMO · " if self.demo else ""
        return f"{demo}NO CONNECTION: {self.connection.message}{age}"

    def _right(self) -> tuple[tuple[str, str], ...]:
        if self.connection.status == "starting":
            return ((f"◌ {self.connection.message} ", "own"),)
        age = self._age()
        return (
            (("● ", "own"), (f"{duration(age)} old ", "own"))
            if age > SLOW
            else (("● ", "buy"), ("live ", "muted"))
        )

    def _left(self, width: int) -> tuple[tuple[str, str], ...]:
        """As many figures as there is room for, with long names where they fit."""
        account = self.account
        head: list[tuple[str, str]] = [(" DEMO ", "demo")] if self.demo else [(" PITSIDE ", "strong")]
        if account is None:
            return tuple(head)
        figures = [  # long name, short name, value, tone, importance (the lowest stays longest)
            ("Balance", "Bal", money(account.balance), "text", 3),
            ("Equity", "Eq", money(account.equity), "strong", 1),
            ("Available", "Avl", money(account.available), "text", 0),
            ("Reserved", "Res", money(account.reserved), "muted", 6),
            ("Unrealized", "P&L", signed(account.unrealized), _tone(account.unrealized), 2),
            ("Realized", "Real", signed(account.realized), _tone(account.realized), 4),
            ("Commissions", "Comm", money(account.commissions), "muted", 7),
        ]
        room = width - sum(len(text) for text, _ in (*head, *self._right())) - 2
        named = account.number != head[0][0].strip()
        whose = [(f" {self.user} ·", "muted")] if self.user else []
        number = [(f" {account.number}", "strong" if self.several else "muted")] if named else []
        for long in (True, False):
            for least in range(8, -1, -1):
                roomy = least > 4 or long
                pieces: list[tuple[str, str]] = [*(whose if roomy else ())]
                pieces += number if roomy or self.several else []
                for name, short, value, tone, importance in figures:
                    if importance < least:
                        pieces += [(f"  {name if long else short} ", "muted"), (value, tone)]
                if account.margin_call:
                    pieces.append(("  MARGIN CALL", "alarm"))
                if sum(len(text) for text, _ in pieces) <= room and (not long or least >= 5):
                    currency = (f" {account.currency}", "muted")
                    fits = sum(len(text) for text, _ in pieces) + len(currency[0]) <= room
                    return (*head, *pieces, *((currency,) if fits else ()))
        return tuple(head)

    def on_click(self, _event: Click) -> None:
        """To the accounts."""
        self.post_message(self.Picked())


def _tone(value: object) -> str:
    return "muted" if not value else "buy" if value > 0 else "sell"  # type: ignore[operator]
