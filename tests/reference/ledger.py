"""Money and positions (rules 16 to 19): accounts, the rows of the ledger, what is held and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from tests.reference.numbers import ZERO, is_multiple, rounded
from tests.reference.terms import MONEY_BOUND, Order

CENT = Fraction(1, 100)


@dataclass(frozen=True)
class Rates:
    """Of one account type: commission (rule 17), and margin where the type trades on it (rule 22)."""

    maker: Fraction = ZERO
    taker: Fraction = ZERO
    initial: Fraction | None = None
    maintenance_long: Fraction = ZERO
    maintenance_short: Fraction = ZERO

    @property
    def is_margin(self) -> bool:
        """Whether accounts of the type may be short."""
        return self.initial is not None


@dataclass
class Account:
    """An account of a user."""

    account_id: int
    rates: Rates
    currency: str = "USD"
    has_active_status: bool = True
    user_is_active: bool = True
    balance: Fraction = ZERO
    commissions: Fraction = ZERO

    @property
    def is_active(self) -> bool:
        """Rule 24."""
        return self.has_active_status and self.user_is_active


@dataclass
class Position:
    """What an account holds of an instrument, with exact totals (rule 19)."""

    quantity: Fraction = ZERO
    cost: Fraction = ZERO
    realized: Fraction = ZERO
    unrealized: Fraction = ZERO  # as it was marked last (rule 20)

    @property
    def average(self) -> Fraction:
        """The exact average price; 0 when flat."""
        return self.cost / self.quantity if self.quantity else ZERO

    def apply(self, change: Fraction, price: Fraction) -> None:
        """Buy (positive) or sell (negative) that quantity."""
        if self.quantity * change >= 0:
            self.quantity += change
            self.cost += change * price
            return
        sign = 1 if self.quantity > 0 else -1
        closed = min(abs(change), abs(self.quantity))
        average = self.average
        self.realized += (price - average) * closed * sign
        self.quantity -= closed * sign
        self.cost -= average * closed * sign
        opened = change + closed * sign
        if opened:
            self.quantity = opened
            self.cost = opened * price


@dataclass(frozen=True)
class Transaction:
    """A row of the ledger (rule 18)."""

    account_id: int
    kind: str
    amount: Fraction
    balance_after: Fraction


@dataclass(frozen=True)
class Trade:
    """One of the two rows of a match (rule 7)."""

    match_id: int
    order_id: int
    account_id: int
    instrument_id: int
    side: str
    quantity: Fraction
    price: Fraction
    commission: Fraction
    liquidity: str


@dataclass
class Ledger:
    """All accounts, positions, transactions and trades."""

    accounts: dict[int, Account] = field(default_factory=dict)
    positions: dict[tuple[int, int], Position] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    def book(self, account: Account, kind: str, amount: Fraction) -> None:
        """Change a balance, with its row."""
        account.balance += amount
        self.transactions.append(Transaction(account.account_id, kind, amount, account.balance))

    def held(self, account_id: int, instrument_id: int) -> Fraction:
        """The signed quantity."""
        position = self.positions.get((account_id, instrument_id))
        return position.quantity if position else ZERO

    def settle(self, maker: Order, taker: Order, quantity: Fraction, price: Fraction) -> None:
        """Both sides of one match."""
        match_id = len(self.trades) // 2 + 1
        for order, liquidity in ((maker, "maker"), (taker, "taker")):
            account = self.accounts[order.account_id]
            cash = cash_of(quantity, price)
            commission = rounded(cash * getattr(account.rates, liquidity))
            self.book(account, f"trade_{order.side}", -order.sign * cash)
            if commission:
                self.book(account, "commission", -commission)
                account.commissions += commission
            position = self.positions.setdefault((order.account_id, order.instrument_id), Position())
            position.apply(order.sign * quantity, price)
            self.trades.append(
                Trade(
                    match_id,
                    order.order_id,
                    order.account_id,
                    order.instrument_id,
                    order.side,
                    quantity,
                    price,
                    commission,
                    liquidity,
                )
            )


def cash_of(quantity: Fraction, price: Fraction) -> Fraction:
    """What a fill moves, the same for both sides (rule 16)."""
    return rounded(quantity * price)


def cost_of(quantity: Fraction, price: Fraction, rate: Fraction) -> Fraction:
    """What a buyer pays for a fill, commission included."""
    cash = cash_of(quantity, price)
    return cash + rounded(cash * rate)


def is_money(amount: Fraction) -> bool:
    """Whether that can be paid in or out: more than nothing, whole cents, not too large (rule 4)."""
    return 0 < amount < MONEY_BOUND and is_multiple(amount, CENT)
