"""The exchange: what can be asked of it (rules 4, 5, 9, 12, 18, 24; L1 to L3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from tests.reference import risk
from tests.reference.ledger import Account, is_money
from tests.reference.linked_terms import BracketTerms, OcoTerms, Request, TrailingTerms
from tests.reference.links import Linking
from tests.reference.numbers import exact
from tests.reference.terms import (
    Instrument,
    Order,
    SenselessError,
    Terms,
    replacement_is_sound,
    wrong_fields,
)

T = TypeVar("T", Terms, OcoTerms, TrailingTerms)


class Exchange(Linking):
    """Everything there is. A request is a method call; it is done, whole, when the call returns."""

    def __init__(self, instruments: Iterable[Instrument], accounts: Iterable[Account]) -> None:
        super().__init__(instruments, accounts)
        self._requests: dict[tuple[int, str], tuple[Request, list[int]]] = {}

    # Requests --------------------------------------------------------------------------------------------

    def place(self, terms: Terms) -> int:
        """`place_order`: the order's id. Raises SenselessError."""
        self._check(terms, wrong_fields)
        known = self._known(terms, terms.account_id, terms.client_order_id)
        if known:
            return known[0]
        order = self._new_order(terms)
        self._remember(terms, terms.account_id, terms.client_order_id, order)
        self._check_and_enter(order)
        self._complete()
        return order.order_id

    def place_oco(self, terms: OcoTerms) -> list[int]:
        """`place_oco` (L1): the ids of the limit and, where it leaves something, of the stop."""
        self._check(terms, OcoTerms.wrong_fields)
        known = self._known(terms, terms.account_id, terms.client_order_id)
        if known:
            return known
        pair = next(self._pair_numbers)
        limit = self._new_order(terms.limit, pair)
        self._remember(terms, terms.account_id, terms.client_order_id, limit)
        self._check_and_enter(limit)
        self._complete()
        if limit.is_resting:
            stop = self._new_order(terms.stop(limit.remaining), pair)
            self._remember(terms, terms.account_id, terms.client_order_id, limit, stop)
            self._check_and_enter(stop)
            self._complete()
        return [order.order_id for order in self._pairs[pair]]

    def place_bracket(self, terms: BracketTerms) -> int:
        """`place_bracket` (L2): the entry's id."""
        entry = terms.entry
        self._check(entry, lambda _, instrument: terms.wrong_fields(instrument))
        known = self._known(terms, entry.account_id, entry.client_order_id)
        if known:
            return known[0]
        order = self._new_order(entry)
        order.take_profit, order.stop_loss = exact(terms.take_profit), exact(terms.stop_loss)
        self._remember(terms, entry.account_id, entry.client_order_id, order)
        self._check_and_enter(order)
        self._complete()
        return order.order_id

    def place_trailing_stop(self, terms: TrailingTerms) -> int:
        """`place_trailing_stop` (L3): the order's id."""
        self._check(terms, TrailingTerms.wrong_fields)
        trail = (exact(terms.trail_amount), exact(terms.trail_percent))
        start, last = exact(terms.stop_price), self.last_price.get(terms.instrument_id)
        if start is None and last is not None:
            start = self.trailed(terms.instrument_id, terms.side, trail, last)
        stop = terms.stop(start)
        self._check(stop, wrong_fields)
        known = self._known(terms, terms.account_id, terms.client_order_id)
        if known:
            return known[0]
        order = self._new_order(stop)
        order.trail_amount, order.trail_percent = trail
        self._remember(terms, terms.account_id, terms.client_order_id, order)
        self._check_and_enter(order)
        self._complete()
        return order.order_id

    def cancel(self, order_id: int) -> bool:
        """`cancel_order`."""
        if order_id not in self.orders:
            raise SenselessError("order_id")
        order = self.orders[order_id]
        if not order.is_working:
            return False
        other = self.other_of_pair(order)
        for each in (order, other):
            if each is not None and each.is_working:
                self._finish(each, "cancelled", "request")
        self._complete()
        return True

    def cancel_all(self, account_id: int, instrument_id: int | None = None, side: str | None = None) -> int:
        """`cancel_all_orders`."""
        if account_id not in self.ledger.accounts:
            raise SenselessError("account_id")
        chosen = [
            order
            for order in self.working(account_id)
            if instrument_id in (None, order.instrument_id) and side in (None, order.side)
        ]
        for order in chosen:
            self._finish(order, "cancelled", "request")
        self._complete()
        return len(chosen)

    def expire_day_orders(self, entered_before: Callable[[Order], bool] = lambda _: True) -> int:
        """`expire_day_orders` (rule 9)."""
        chosen = [o for o in self.unfinished() if o.time_in_force == "DAY" and entered_before(o)]
        for order in chosen:
            self._finish(order, "expired", "day")
        self._complete()
        return len(chosen)

    def deposit(self, account_id: int, amount: Decimal) -> None:
        """`deposit`."""
        account, value = self._payment(account_id, amount)
        self.ledger.book(account, "deposit", value)

    def withdraw(self, account_id: int, amount: Decimal) -> None:
        """`withdraw`."""
        account, value = self._payment(account_id, amount)
        if value > risk.available(self, account):
            raise SenselessError("amount")
        self.ledger.book(account, "withdrawal", -value)

    def refresh_pnl(self, account_id: int | None = None) -> int:
        """`refresh_pnl` (rule 20): how many positions it has marked otherwise than they were."""
        changed = 0
        for (owner, instrument_id), position in self.ledger.positions.items():
            if account_id in (None, owner):
                marked = risk.unrealized(self, self.ledger.accounts[owner], instrument_id)
                changed += marked != position.unrealized
                position.unrealized = marked
        return changed

    def replace(
        self,
        order_id: int,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> bool:
        """`replace_order` (rule 12): False where it is refused, and then nothing has changed."""
        if order_id not in self.orders:
            raise SenselessError("order_id")
        order = self.orders[order_id]
        changed = copy.copy(order)
        changed.quantity = order.quantity if quantity is None else Fraction(quantity)
        changed.price = order.price if price is None else exact(price)
        changed.stop_price = order.stop_price if stop_price is None else exact(stop_price)
        same_prices = (changed.price, changed.stop_price) == (order.price, order.stop_price)
        if (
            not order.is_working
            or not self.ledger.accounts[order.account_id].is_active
            or order.instrument_id in self.inactive
            or not replacement_is_sound(changed, self.instruments[order.instrument_id])
            or changed.quantity <= order.filled
            or (order.triggered and changed.stop_price != order.stop_price)
            or (order.pair is not None and changed.quantity != order.quantity)  # L1
        ):
            return False
        if same_prices and changed.quantity <= order.quantity:
            order.quantity = changed.quantity
            self._complete()
            return True
        if risk.refusal(self, changed, instead_of=order):
            return False
        works_at_once = not order.is_waiting_stop or self._is_set_off(changed)
        if changed.post_only and works_at_once and self._would_take(changed):
            return False
        order.quantity, order.price, order.stop_price = changed.quantity, changed.price, changed.stop_price
        self._enter(order)
        self._complete()
        return True

    # What they have in common ----------------------------------------------------------------------------

    def _check(self, terms: T, wrong_fields: Callable[[T, Instrument], Iterable[str]]) -> None:
        """Refuse a request that makes no sense (rule 4)."""
        if terms.instrument_id not in self.instruments:
            raise SenselessError("instrument_id")
        wrong = set(wrong_fields(terms, self.instruments[terms.instrument_id]))
        if terms.account_id not in self.ledger.accounts:
            wrong.add("account_id")
        if wrong:
            raise SenselessError(*wrong)

    def _known(self, terms: Request, account_id: int, client_order_id: str | None) -> list[int] | None:
        """What the same request placed before (rule 5); numbers are compared by value, as Decimal does."""
        first = self._requests.get((account_id, client_order_id or ""))
        if first is None:
            return None
        if first[0] != terms:
            raise SenselessError("client_order_id")
        return first[1]

    def _remember(self, terms: Request, account_id: int, client_order_id: str | None, *orders: Order) -> None:
        if client_order_id is not None:
            self._requests[account_id, client_order_id] = (terms, [order.order_id for order in orders])

    def _payment(self, account_id: int, amount: Decimal) -> tuple[Account, Fraction]:
        account = self.ledger.accounts.get(account_id)
        value = Fraction(amount)
        wrong = [] if account and account.is_active else ["account_id"]
        if not is_money(value):
            wrong.append("amount")
        if account is None or wrong:
            raise SenselessError(*wrong)
        return account, value
