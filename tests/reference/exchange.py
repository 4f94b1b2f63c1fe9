"""The exchange: requests, matching, stops (rules 5 to 15)."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction

from tests.reference import risk
from tests.reference.ledger import Account, Ledger, cost_of, is_money
from tests.reference.numbers import exact
from tests.reference.terms import (
    Instrument,
    Order,
    SenselessError,
    Terms,
    replacement_is_sound,
    wrong_fields,
)


class Exchange:
    """Everything there is. A request is a method call; it is done, whole, when the call returns."""

    def __init__(self, instruments: Iterable[Instrument], accounts: Iterable[Account]) -> None:
        self.instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self.ledger = Ledger({account.account_id: account for account in accounts})
        self.orders: dict[int, Order] = {}
        self.inactive: set[int] = set()  # instruments
        self.last_price: dict[int, Fraction] = {}
        self.last_close: dict[int, Fraction] = {}  # of bars that were there before
        self._terms: dict[tuple[int, str], tuple[Terms, int]] = {}
        self._places = itertools.count(1)
        self._triggered: deque[Order] = deque()

    # What stands where -----------------------------------------------------------------------------------

    def working(self, account_id: int) -> list[Order]:
        """The account's orders that are not final and not being matched right now."""
        return [o for o in self.orders.values() if o.account_id == account_id and o.is_working]

    def side_of_book(self, instrument_id: int, side: str) -> list[Order]:
        """The resting orders in the order in which they trade (rule 6)."""
        resting = [
            o
            for o in self.orders.values()
            if o.instrument_id == instrument_id and o.side == side and o.is_resting
        ]
        return sorted(resting, key=lambda o: (-o.sign * o.limit, o.place))

    def best(self, instrument_id: int, side: str) -> Order | None:
        """The order that trades next."""
        return next(iter(self.side_of_book(instrument_id, side)), None)

    def order_book(self, instrument_id: int) -> dict[str, list[tuple[Fraction, Fraction, int]]]:
        """Per side the levels, best first: price, quantity, number of orders."""
        book = {}
        for side in ("buy", "sell"):
            levels = itertools.groupby(self.side_of_book(instrument_id, side), key=lambda o: o.limit)
            book[side] = [
                (price, sum((o.remaining for o in orders), Fraction(0)), len(orders))
                for price, orders in ((price, list(group)) for price, group in levels)
            ]
        return book

    # Requests --------------------------------------------------------------------------------------------

    def place(self, terms: Terms) -> int:
        """`place_order`: the order's id. Raises SenselessError."""
        if terms.account_id not in self.ledger.accounts:
            raise SenselessError("account_id")
        if terms.instrument_id not in self.instruments:
            raise SenselessError("instrument_id")
        wrong = set(wrong_fields(terms, self.instruments[terms.instrument_id]))
        if wrong:
            raise SenselessError(*wrong)
        if terms.client_order_id is not None:
            first = self._terms.get((terms.account_id, terms.client_order_id))
            if first and first[0].same_as(terms):
                return first[1]
            if first:
                raise SenselessError("client_order_id")
        order = self._new_order(terms)
        if terms.client_order_id is not None:
            self._terms[terms.account_id, terms.client_order_id] = (terms, order.order_id)
        refused = risk.refusal(self, order)
        if refused:
            self._finish(order, "rejected", refused)
        else:
            self._enter(order)
            self._run_triggered()
        return order.order_id

    def cancel(self, order_id: int) -> bool:
        """`cancel_order`."""
        if order_id not in self.orders:
            raise SenselessError("order_id")
        order = self.orders[order_id]
        if not order.is_working:
            return False
        self._finish(order, "cancelled", "request")
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
        return len(chosen)

    def expire_day_orders(self, entered_before: Callable[[Order], bool] = lambda _: True) -> int:
        """`expire_day_orders` (rule 9)."""
        chosen = [
            o for o in self.orders.values() if o.is_working and o.time_in_force == "DAY" and entered_before(o)
        ]
        for order in chosen:
            self._finish(order, "expired", "day")
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
        ):
            return False
        if same_prices and changed.quantity <= order.quantity:
            order.quantity = changed.quantity
            return True
        if risk.refusal(self, changed, instead_of=order):
            return False
        works_at_once = not order.is_waiting_stop or self._is_set_off(changed)
        if changed.post_only and works_at_once and self._would_take(changed):
            return False
        order.quantity, order.price, order.stop_price = changed.quantity, changed.price, changed.stop_price
        self._enter(order)
        self._run_triggered()
        return True

    # Matching --------------------------------------------------------------------------------------------

    def _new_order(self, terms: Terms) -> Order:
        order = Order(
            order_id=len(self.orders) + 1,
            account_id=terms.account_id,
            instrument_id=terms.instrument_id,
            order_type=terms.order_type,
            side=terms.side,
            quantity=Fraction(terms.quantity),
            price=exact(terms.price),
            stop_price=exact(terms.stop_price),
            time_in_force=terms.time_in_force,
            post_only=terms.post_only,
            self_trade=terms.self_trade,
        )
        self.orders[order.order_id] = order
        return order

    def _payment(self, account_id: int, amount: Decimal) -> tuple[Account, Fraction]:
        account = self.ledger.accounts.get(account_id)
        value = Fraction(amount)
        wrong = [] if account and account.is_active else ["account_id"]
        if not is_money(value):
            wrong.append("amount")
        if account is None or wrong:
            raise SenselessError(*wrong)
        return account, value

    def _is_margin(self, order: Order) -> bool:
        return self.ledger.accounts[order.account_id].rates.is_margin

    @staticmethod
    def _finish(order: Order, status: str, reason: str | None) -> None:
        order.status, order.reason = status, reason

    def _enter(self, order: Order) -> None:
        """Give an order a new place; a stop waits there unless it is set off on arrival."""
        order.place = next(self._places)
        if order.stop_price is not None and not order.triggered:
            if not self._is_set_off(order):
                order.status = "pending"
                return
            if order.post_only and self._would_take(order):  # refused on arrival, so nothing was set off
                self._finish(order, "rejected", "post_only")
                return
            order.triggered = True
        self._work(order)

    def _is_set_off(self, order: Order, price: Fraction | None = None) -> bool:
        """Rule 11: the last trade at or beyond the stop price."""
        last = self.last_price.get(order.instrument_id) if price is None else price
        if last is None or order.stop_price is None:
            return False
        return last >= order.stop_price if order.side == "buy" else last <= order.stop_price

    def _run_triggered(self) -> None:
        """First in, first out; what they print can set off more (rule 11)."""
        while self._triggered:
            order = self._triggered.popleft()
            order.place = next(self._places)
            self._work(order)

    def _would_take(self, order: Order) -> bool:
        """An own resting order counts as well (rule 10)."""
        best = self.best(order.instrument_id, _opposite(order))
        return best is not None and order.accepts(best.limit)

    def _work(self, order: Order) -> None:
        """Match an order and settle what becomes of its rest (rules 8 to 10)."""
        if order.post_only and self._would_take(order):
            self._finish(order, "rejected", "post_only")
            return
        order.status = "matching"
        whole_or_not_at_all = order.time_in_force == "FOK"
        buys_at_market = order.order_type == "market" and order.side == "buy"
        restore = self._checkpoint()
        if whole_or_not_at_all:
            self._match(order, limited=False)
            short = order.remaining > 0
            restore()
            if short:
                self._finish(order, "cancelled", "liquidity")
                return
        if buys_at_market and not self._is_margin(order) and risk.spendable(self, order) < 0:
            # Roundings can leave less than nothing, and then even a cost of nothing exceeds it.
            self._finish(order, "rejected", "funds")
            return
        stopped_by = self._match(order, limited=True)
        if stopped_by == "funds" and (buys_at_market or whole_or_not_at_all):
            restore()
            self._finish(order, "rejected" if buys_at_market else "cancelled", "funds")
        elif order.remaining == 0:
            self._finish(order, "filled", None)
        elif stopped_by:
            self._finish(order, "cancelled", stopped_by)
        elif not order.has_limit or order.time_in_force in ("IOC", "FOK"):
            self._finish(order, "cancelled", "liquidity")
        else:
            order.status = "partially_filled" if order.filled else "open"

    def _match(self, order: Order, *, limited: bool) -> str | None:
        """Trade with the book; what put an end to it before the order or the book did, if anything.

        `limited`: a cash account's buy stops where its money ends.
        """
        while order.remaining > 0:
            resting = self.best(order.instrument_id, _opposite(order))
            if resting is None or not order.accepts(resting.limit):
                return None
            if resting.account_id == order.account_id:
                if self._meet_own(order, resting):
                    return "self_trade"
                continue
            quantity = min(order.remaining, resting.remaining)
            if self._affordable(resting, quantity, resting.limit, "maker") < quantity:
                self._finish(resting, "cancelled", "funds")
                continue
            affordable = self._affordable(order, quantity, resting.limit, "taker") if limited else quantity
            if affordable > 0:
                self._fill(resting, order, affordable)
            if affordable < quantity:
                return "funds"
        return None

    def _meet_own(self, order: Order, resting: Order) -> bool:
        """Rule 14; True where it is the end of the incoming order."""
        way = order.self_trade
        if order.time_in_force == "FOK" and way != "cancel_oldest":
            return True
        if way == "decrement":
            common = min(order.remaining, resting.remaining)
            ends = order.remaining == common
            if resting.remaining == common:
                self._finish(resting, "cancelled", "self_trade")
            else:
                resting.quantity -= common
            if not ends:
                order.quantity -= common
            return ends
        if way in ("cancel_oldest", "cancel_both"):
            self._finish(resting, "cancelled", "self_trade")
        return way != "cancel_oldest"

    def _affordable(self, order: Order, quantity: Fraction, price: Fraction, liquidity: str) -> Fraction:
        """How much of `quantity` a cash account's buy can pay for at that price, in whole lots (rule 21)."""
        if order.side == "sell" or self._is_margin(order):
            return quantity
        rate: Fraction = getattr(self.ledger.accounts[order.account_id].rates, liquidity)
        money_left = risk.spendable(self, order)
        lot = self.instruments[order.instrument_id].smallest_quantity
        enough, too_many = 0, quantity // lot + 1  # the cost grows with the quantity, so halve the interval
        while too_many - enough > 1:
            lots = (enough + too_many) // 2
            if cost_of(lots * lot, price, rate) <= money_left:
                enough = lots
            else:
                too_many = lots
        return enough * lot

    def _fill(self, resting: Order, order: Order, quantity: Fraction) -> None:
        price = resting.limit
        self.ledger.settle(resting, order, quantity, price)
        for each in (resting, order):
            each.filled += quantity
        if resting.remaining == 0:
            self._finish(resting, "filled", None)
        else:
            resting.status = "partially_filled"
        self.last_price[order.instrument_id] = price
        waiting = [
            o
            for o in self.orders.values()
            if o.instrument_id == order.instrument_id and o.is_waiting_stop and self._is_set_off(o, price)
        ]
        for stop in sorted(waiting, key=lambda o: o.place):
            stop.triggered = True
            self._triggered.append(stop)

    def _checkpoint(self) -> Callable[[], None]:
        """A function that puts everything back as it is now: orders, money, positions, prints, the queue."""
        changing: list[object] = [
            *(o for o in self.orders.values() if o.is_working or o.status == "matching")
        ]
        changing += [*self.ledger.accounts.values(), *self.ledger.positions.values()]
        saved = [(thing, dict(vars(thing))) for thing in changing]
        positions = dict(self.ledger.positions)
        lengths = len(self.ledger.transactions), len(self.ledger.trades)
        last_price, triggered = dict(self.last_price), list(self._triggered)

        def restore() -> None:
            for thing, state in saved:
                vars(thing).update(state)
            self.ledger.positions = positions.copy()
            del self.ledger.transactions[lengths[0] :]
            del self.ledger.trades[lengths[1] :]
            self.last_price = last_price.copy()
            self._triggered = deque(triggered)

        return restore


def _opposite(order: Order) -> str:
    return "sell" if order.side == "buy" else "buy"
