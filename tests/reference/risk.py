"""What an account may do (rules 20 to 24). Reads the exchange, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from tests.reference.ledger import Account, cost_of
from tests.reference.numbers import ZERO, rounded
from tests.reference.terms import Order

if TYPE_CHECKING:
    from tests.reference.matching import Matching


@dataclass(frozen=True)
class Summary:
    """The columns of `account_summary`."""

    balance: Fraction
    reserved: Fraction
    available: Fraction
    equity: Fraction
    realized_pnl: Fraction
    unrealized_pnl: Fraction
    commissions: Fraction
    initial_margin: Fraction
    maintenance_margin: Fraction
    buying_power: Fraction
    margin_call: bool


def reserve_for(account: Account, order: Order) -> Fraction:
    """What this order sets aside while it works (rule 21)."""
    if account.rates.is_margin or order.side == "sell" or order.worst_price is None:
        return ZERO
    rate = max(account.rates.maker, account.rates.taker)
    return cost_of(order.remaining, order.worst_price, rate)


def reserved(exchange: Matching, account: Account, besides: Order | None = None) -> Fraction:
    """Cash set aside by the account's working orders, `besides` not counted."""
    return sum(
        (
            reserve_for(account, order)
            for order in exchange.working(account.account_id)
            if order is not besides
        ),
        ZERO,
    )


def spendable(exchange: Matching, order: Order) -> Fraction:
    """What a cash account can pay for this order: all that no other order has set aside."""
    account = exchange.ledger.accounts[order.account_id]
    return account.balance - reserved(exchange, account, besides=order)


def mark(exchange: Matching, account: Account, instrument_id: int) -> Fraction:
    """Rule 20."""
    bid = exchange.best(instrument_id, "buy")
    ask = exchange.best(instrument_id, "sell")
    if bid and ask:
        return (bid.limit + ask.limit) / 2
    for known in (exchange.last_price, exchange.last_close):
        if instrument_id in known:
            return known[instrument_id]
    position = exchange.ledger.positions.get((account.account_id, instrument_id))
    return position.average if position else ZERO


def equity(exchange: Matching, account: Account) -> Fraction:
    """Balance and all positions at their marks, exact."""
    return account.balance + sum(
        (
            position.quantity * mark(exchange, account, instrument_id)
            for (account_id, instrument_id), position in exchange.ledger.positions.items()
            if account_id == account.account_id
        ),
        ZERO,
    )


def initial_margin(
    exchange: Matching, account: Account, with_order: Order | None = None, *, besides: Order | None = None
) -> Fraction:
    """Rule 22: per instrument the worse of all buys and all sells done, valued at what the orders say."""
    if account.rates.initial is None:
        return ZERO
    orders = [order for order in exchange.working(account.account_id) if order is not besides]
    if with_order is not None:
        orders.append(with_order)
    held = {i for (a, i), _ in exchange.ledger.positions.items() if a == account.account_id}
    total = ZERO
    for instrument_id in held | {order.instrument_id for order in orders}:
        at_mark = mark(exchange, account, instrument_id)

        def worth(order: Order, at_mark: Fraction = at_mark) -> Fraction:
            return order.remaining * (order.worst_price or at_mark or _best_to_meet(exchange, order))

        value = exchange.ledger.held(account.account_id, instrument_id) * at_mark
        outcomes = []
        for side in ("buy", "sell"):
            there = [o for o in orders if (o.instrument_id, o.side) == (instrument_id, side)]
            change = _together(there, worth)
            outcomes.append(abs(value + change if side == "buy" else value - change))
        total += max(outcomes)
    return total * account.rates.initial


def _together(orders: Iterable[Order], value: Callable[[Order], Fraction]) -> Fraction:
    """What orders come to; the two of a one-cancels-other pair count once, at the one that is worth more."""
    worth: dict[object, Fraction] = {}
    for order in orders:
        key = ("pair", order.pair) if order.pair is not None else order.order_id
        worth[key] = max(worth.get(key, ZERO), value(order))
    return sum(worth.values(), ZERO)


def _best_to_meet(exchange: Matching, order: Order) -> Fraction:
    """What a market order counts at where the instrument has no mark at all."""
    best = exchange.best(order.instrument_id, "sell" if order.side == "buy" else "buy")
    return best.limit if best else ZERO


def maintenance_margin(exchange: Matching, account: Account) -> Fraction:
    """Rule 22: 25 % of long, 30 % of short positions."""
    total = ZERO
    for (account_id, instrument_id), position in exchange.ledger.positions.items():
        if account_id == account.account_id:
            rates = account.rates
            rate = rates.maintenance_long if position.quantity > 0 else rates.maintenance_short
            total += abs(position.quantity) * mark(exchange, account, instrument_id) * rate
    return total


def margin_call(exchange: Matching, account: Account) -> bool:
    """Equity under maintenance."""
    return account.rates.is_margin and equity(exchange, account) < maintenance_margin(exchange, account)


def available(exchange: Matching, account: Account) -> Fraction:
    """What may be withdrawn: the difference of two sums of money, each of them in cents."""
    if account.rates.is_margin:
        return rounded(equity(exchange, account)) - rounded(initial_margin(exchange, account))
    return account.balance - reserved(exchange, account)


def _in_all(exchange: Matching, order: Order, instead_of: Order | None) -> Fraction:
    """What the account would buy or sell there with this order besides, or instead of that one."""
    others = [
        other
        for other in exchange.working(order.account_id)
        if other is not order
        and other is not instead_of
        and (other.instrument_id, other.side) == (order.instrument_id, order.side)
    ]
    return _together([*others, order], lambda o: o.remaining)


def refusal(exchange: Matching, order: Order, instead_of: Order | None = None) -> str | None:
    """Why this order may not be placed, or not take the place of that one; None where it may.

    The cost of a cash account's market buy is known only when it is matched, so not looked at here.
    """
    account = exchange.ledger.accounts[order.account_id]
    if not account.is_active:
        return "account"
    if order.instrument_id in exchange.inactive:
        return "instrument"
    if account.currency != exchange.instruments[order.instrument_id].currency:
        return "currency"
    if account.rates.is_margin:
        return _margin_refusal(exchange, account, order, instead_of)
    if order.side == "buy":
        free = account.balance - reserved(exchange, account, besides=instead_of)
        return "funds" if order.worst_price is not None and reserve_for(account, order) > free else None
    held = exchange.ledger.held(order.account_id, order.instrument_id)
    return "position" if _in_all(exchange, order, instead_of) > held else None


def _margin_refusal(
    exchange: Matching, account: Account, order: Order, instead_of: Order | None
) -> str | None:
    held = exchange.ledger.held(order.account_id, order.instrument_id)
    if -held * order.sign >= _in_all(exchange, order, instead_of):
        return None
    if margin_call(exchange, account):
        return "margin"
    required = initial_margin(exchange, account, order, besides=instead_of)
    return "margin" if required > equity(exchange, account) else None


def summary(exchange: Matching, account_id: int) -> Summary:
    """`account_summary`, rounded to cents."""
    account = exchange.ledger.accounts[account_id]
    positions = [(i, p) for (a, i), p in exchange.ledger.positions.items() if a == account_id]
    free = available(exchange, account)
    return Summary(
        balance=account.balance,
        reserved=reserved(exchange, account),
        available=free,
        equity=rounded(equity(exchange, account)),
        realized_pnl=sum((rounded(p.realized) for _, p in positions), ZERO),
        unrealized_pnl=sum((unrealized(exchange, account, i) for i, _ in positions), ZERO),
        commissions=account.commissions,
        initial_margin=rounded(initial_margin(exchange, account)),
        maintenance_margin=rounded(maintenance_margin(exchange, account))
        if account.rates.is_margin
        else ZERO,
        buying_power=rounded(free / (account.rates.initial or 1)),
        margin_call=margin_call(exchange, account),
    )


def unrealized(exchange: Matching, account: Account, instrument_id: int) -> Fraction:
    """Rule 20, of one position; from the average as it is kept and shown, with 8 decimals."""
    position = exchange.ledger.positions[account.account_id, instrument_id]
    return rounded(
        position.quantity * (mark(exchange, account, instrument_id) - rounded(position.average, 8))
    )
