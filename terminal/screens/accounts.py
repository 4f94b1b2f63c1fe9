"""Chooses the account to trade with: one's own, or whichever one may look into."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from terminal.format import money
from terminal.state import AccountChoice
from terminal.widgets.table import Column, LineTable, Row


class Choices(LineTable):
    """The accounts that match."""

    can_focus = False
    COLUMNS = (
        Column("", 1, left=True),
        Column("Number", 16, left=True),
        Column("User", 12, 2, left=True),
        Column("Type", 8, 1, left=True),
        Column("Balance", 16),
        Column("", 3, left=True),
        Column("", 10, 1, left=True),
    )
    EMPTY = "No account matches"

    class Chosen(Message):
        """A row was clicked."""

    def row_clicked(self, _x: int, times: int) -> None:
        """One click is enough."""
        self.post_message(self.Chosen())


class AccountsScreen(ModalScreen[int | None]):
    """Dismissed with the account's id, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
    ]
    DEFAULT_CSS = """
    AccountsScreen {
        align: center middle;
        background: $background 60%;
        #box {
            width: 76; max-width: 96%;
            height: 16; max-height: 90%;
            border: round $primary;
            border-title-color: $text;
            border-subtitle-color: $text-muted;
            background: $surface;
        }
        Input { margin: 0 0 1 0; }
        Choices { height: 1fr; }
    }
    """

    def __init__(self, accounts: tuple[AccountChoice, ...], current: int | None) -> None:
        super().__init__()
        self._accounts, self._current = accounts, current

    def compose(self) -> ComposeResult:
        """The text and the list."""
        box = Vertical(id="box")
        box.border_title = "Accounts"
        box.border_subtitle = "↑↓ choose · ⏎ trade with it · Esc leave"
        with box:
            yield Input(placeholder="number, user or type", compact=True)
            yield Choices()

    def on_mount(self) -> None:
        """All of them, to begin with."""
        self.call_after_refresh(self._show, "")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer or more match."""
        self._show(event.value)

    def _show(self, text: str) -> None:
        choices = self.query_one(Choices)
        rows = [self._row(account) for account in found(self._accounts, text)]
        choices.cursor = 0
        choices.show_rows([])
        choices.show_rows(rows)
        if not text:  # the cursor begins at the account that is looked at
            choices.action_move(next((at for at, row in enumerate(rows) if row.key == self._current), 0))

    def _row(self, account: AccountChoice) -> Row:
        is_active = account.status == "active"
        plain, strong = ("text", "strong") if is_active else ("muted", "muted")
        return Row(
            key=account.account_id,
            texts=(
                "●" if account.account_id == self._current else "",
                account.number,
                account.owner or "",
                account.kind,
                money(account.balance),
                account.currency,
                "" if is_active else account.status,
            ),
            tones=("focus", strong, "muted", "muted", plain, "muted", "own"),
        )

    def on_input_submitted(self) -> None:
        """Enter takes the row under the cursor."""
        self._accept()

    def on_choices_chosen(self) -> None:
        """So does a click."""
        self._accept()

    def _accept(self) -> None:
        row = self.query_one(Choices).cursor_row
        if row is not None and isinstance(row.key, int):
            self.dismiss(row.key)

    def action_move(self, rows: int) -> None:
        """Move the cursor while typing goes on."""
        self.query_one(Choices).action_move(rows)

    def action_leave(self) -> None:
        """Stay with the account."""
        self.dismiss(None)


def found(accounts: tuple[AccountChoice, ...], text: str) -> list[AccountChoice]:
    """Those whose number, user or type has the text in it; numbers that begin with it first."""
    wanted = text.strip().casefold()
    matching = [
        account
        for account in accounts
        if any(wanted in part.casefold() for part in (account.number, account.owner or "", account.kind))
    ]
    return sorted(matching, key=lambda account: not account.number.casefold().startswith(wanted))
