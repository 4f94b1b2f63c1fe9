"""Chooses the account to trade with: one's own, or whichever one may look into."""

from __future__ import annotations

from collections.abc import Sequence

from terminal.format import money
from terminal.screens.finder import FinderScreen, Matches
from terminal.state import AccountChoice
from terminal.widgets.table import Column, Row


class Accounts(Matches):
    """The accounts that match."""

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


class AccountsScreen(FinderScreen):
    """Dismissed with the account's id, or None."""

    HEADING = "Accounts"
    HINT = "↑↓ choose · ⏎ trade with it · Esc leave"
    PLACEHOLDER = "number, user or type"
    TABLE = Accounts

    def __init__(self, accounts: tuple[AccountChoice, ...], current: int | None) -> None:
        super().__init__()
        self._accounts, self._current = accounts, current

    def rows(self, text: str) -> Sequence[Row]:
        """The accounts that match."""
        return [self._row(account) for account in found(self._accounts, text)]

    def first(self, rows: Sequence[Row]) -> int:
        """At the account that is looked at."""
        return next((at for at, row in enumerate(rows) if row.key == self._current), 0)

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


def found(accounts: tuple[AccountChoice, ...], text: str) -> list[AccountChoice]:
    """Those whose number, user or type has the text in it; numbers that begin with it first."""
    wanted = text.strip().casefold()
    matching = [
        account
        for account in accounts
        if any(wanted in part.casefold() for part in (account.number, account.owner or "", account.kind))
    ]
    return sorted(matching, key=lambda account: not account.number.casefold().startswith(wanted))
