"""What stands in the book, and what becomes of an order that meets it (rules 6 to 11, 13, 14)."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from tests.reference import risk
from tests.reference.ledger import Account, Ledger, cost_of
from tests.reference.numbers import SMALLEST, exact
from tests.reference.terms import Instrument, Order, Terms


class Matching:
    """Everything there is, and one order at a time that is worked."""

    def __init__(self, instruments: Iterable[Instrument], accounts: Iterable[Account]) -> None:
        self.instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self.ledger = Ledger({account.account_id: account for account in accounts})
        self.orders: dict[int, Order] = {}
        self.inactive: set[int] = set()  # instruments
        self.last_price: dict[int, Fraction] = {}
        self.last_close: dict[int, Fraction] = {}  # of bars that were there before
        self._unfinished: dict[int, Order] = {}  # all that may still change; what is final leaves it in time
        self._pairs: dict[int, list[Order]] = {}
        self._places = itertools.count(1)
        self._triggered: deque[Order] = deque()

    # What stands where -----------------------------------------------------------------------------------

    def unfinished(self) -> list[Order]:
        """The working orders of everybody, in the order of their numbers."""
        return [order for order in self._unfinished.values() if order.is_working]

    def working(self, account_id: int) -> list[Order]:
        """The account's orders that are not final and not being matched right now."""
        return [o for o in self._unfinished.values() if o.account_id == account_id and o.is_working]

    def _resting(self, instrument_id: int, side: str) -> Iterator[Order]:
        for order in self._unfinished.values():
            if order.instrument_id == instrument_id and order.side == side and order.is_resting:
                yield order

    def side_of_book(self, instrument_id: int, side: str) -> list[Order]:
        """The resting orders in the order in which they trade (rule 6)."""
        return sorted(self._resting(instrument_id, side), key=_turn)

    def best(self, instrument_id: int, side: str) -> Order | None:
        """The order that trades next."""
        return min(self._resting(instrument_id, side), key=_turn, default=None)

    def waiting_stops(self, instrument_id: int) -> list[Order]:
        """Those that nothing has set off yet, in their order of entry."""
        waiting = (
            o for o in self._unfinished.values() if o.instrument_id == instrument_id and o.is_waiting_stop
        )
        return sorted(waiting, key=lambda o: o.place)

    def other_of_pair(self, order: Order) -> Order | None:
        """The other of a one-cancels-other pair, whatever has become of it; None for any other order."""
        if order.pair is None:
            return None
        return next((other for other in self._pairs[order.pair] if other is not order), None)

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

    # One order -------------------------------------------------------------------------------------------

    def _new_order(self, terms: Terms, pair: int | None = None) -> Order:
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
            pair=pair,
        )
        self.orders[order.order_id] = self._unfinished[order.order_id] = order
        if pair is not None:
            self._pairs.setdefault(pair, []).append(order)
        return order

    def _is_margin(self, order: Order) -> bool:
        return self.ledger.accounts[order.account_id].rates.is_margin

    def _finish(self, order: Order, status: str, reason: str | None) -> None:
        order.status, order.reason = status, reason
        if any(waiting is order for waiting in self._triggered):
            order.triggered = False  # its turn never came

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
        restore = self._checkpoint() if whole_or_not_at_all or buys_at_market else None
        if whole_or_not_at_all and restore:
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
        if stopped_by == "funds" and restore:
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
        if cost_of(quantity, price, rate) <= money_left:
            return quantity
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
        self._take_off_resting_other(resting)
        self._print(order.instrument_id, price)

    def _take_off_resting_other(self, filled: Order) -> None:
        """L1, where both of a pair rest and one order could meet both: together they never trade more than
        their quantity. What cannot be met waits until the order that is worked is done.
        """
        other = self.other_of_pair(filled)
        if other is not None and other.is_resting:
            self._share(other, filled)

    def _share(self, leg: Order, other: Order) -> None:
        """L1: bring down a leg to what the other has left."""
        if other.remaining == 0:
            self._finish(leg, "cancelled", "pair")
        elif other.remaining < leg.remaining:
            leg.quantity = leg.filled + other.remaining

    def _print(self, instrument_id: int, price: Fraction) -> None:
        """The last trade sets off stops (rule 11), and the others that trail follow it (L3)."""
        self.last_price[instrument_id] = price
        for stop in self.waiting_stops(instrument_id):
            if self._is_set_off(stop, price):
                stop.triggered = True
                self._triggered.append(stop)
            elif stop.is_trailing and stop.stop_price is not None:
                trail = (stop.trail_amount, stop.trail_percent)
                follows = self.trailed(instrument_id, stop.side, trail, price)
                stop.stop_price = (max if stop.side == "sell" else min)(stop.stop_price, follows)

    def trailed(
        self, instrument_id: int, side: str, trail: tuple[Fraction | None, Fraction | None], price: Fraction
    ) -> Fraction:
        """Where a stop that trails by an amount or a percentage stands when the last trade is at `price`
        (L3): rounded to a tick away from the market."""
        amount, percent = trail
        distance = amount if percent is None else price * percent / 100
        assert distance is not None
        tick = self.instruments[instrument_id].tick or SMALLEST
        if side == "sell":
            return (price - distance) // tick * tick
        return -(-(price + distance) // tick) * tick

    def _checkpoint(self) -> Callable[[], None]:
        """A function that puts everything back as it is now: orders, money, positions, prints, the queue."""
        changing: list[object] = [*self._unfinished.values()]
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


def _turn(order: Order) -> tuple[Fraction, int]:
    return (order.limit if order.side == "sell" else -order.limit), order.place


def _opposite(order: Order) -> str:
    return "sell" if order.side == "buy" else "buy"
