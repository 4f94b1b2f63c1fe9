"""Orders that hang together: what follows when one of them moves (rules L1 to L3 of docs/rules.md), and when
the stops that an order has set off run (rule 11).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction

from tests.reference import risk
from tests.reference.ledger import Account
from tests.reference.matching import Matching
from tests.reference.numbers import ZERO
from tests.reference.terms import Instrument, Order, Terms

Top = tuple[Fraction, Fraction, Fraction, Fraction]  # bid, its size, ask, its size


class Linking(Matching):
    """Completes what one order began."""

    def __init__(self, instruments: Iterable[Instrument], accounts: Iterable[Account]) -> None:
        super().__init__(instruments, accounts)
        self.tops: list[tuple[int, Top]] = []  # each that was to be seen when a request was done
        self._tops: dict[int, Top] = {}
        self._pair_numbers = itertools.count(1)

    def _complete(self) -> None:
        """What is linked follows; then the stops that were set off run, first in, first out, each with all
        that follows from it. What they print can set off more."""
        self._follow()
        while self._triggered:
            order = self._triggered.popleft()
            if order.is_working:
                order.place = next(self._places)
                self._work(order)
                self._follow()
        self._show_tops()
        self._unfinished = {number: o for number, o in self._unfinished.items() if o.is_working}

    def _show_tops(self) -> None:
        for instrument_id in sorted({order.instrument_id for order in self._unfinished.values()}):
            bid, ask = self._best_level(instrument_id, "buy"), self._best_level(instrument_id, "sell")
            if self._tops.get(instrument_id, (ZERO,) * 4) != (*bid, *ask):
                self._tops[instrument_id] = (*bid, *ask)
                self.tops.append((instrument_id, (*bid, *ask)))

    def _best_level(self, instrument_id: int, side: str) -> tuple[Fraction, Fraction]:
        """Price and quantity; zeros for an empty side."""
        best = self.best(instrument_id, side)
        if best is None:
            return ZERO, ZERO
        level = (order for order in self._resting(instrument_id, side) if order.limit == best.limit)
        return best.limit, sum((order.remaining for order in level), ZERO)

    def _follow(self) -> None:
        """Until nothing moves any more."""
        self._follow_pairs()
        while self._place_exits():
            self._follow_pairs()

    # L1 --------------------------------------------------------------------------------------------------

    def _follow_pairs(self) -> None:
        for leg in self.unfinished():
            other = self.other_of_pair(leg)
            if other is None:
                continue
            found_nobody = other.triggered and other.status == "cancelled" and other.reason == "liquidity"
            if other.is_working or found_nobody:
                self._share(leg, other)
            else:
                self._finish(leg, "cancelled", "pair")

    # L2 --------------------------------------------------------------------------------------------------

    def _place_exits(self) -> bool:
        """Whether an entry had filled more than its exits cover."""
        entries = [o for o in self._unfinished.values() if o.take_profit is not None and o.filled > o.covered]
        for entry in entries:
            more = entry.filled - entry.covered
            entry.covered = entry.filled
            standing = self._standing_pair(entry)
            for leg in standing:
                leg.quantity += more
                leg.place = next(self._places)
            if not standing:
                self._place_pair_of_exits(entry, more)
        return bool(entries)

    def _standing_pair(self, entry: Order) -> list[Order]:
        """The two exits that both still work, if there are such."""
        exits = [order for order in self.unfinished() if order.parent == entry.order_id]
        both = [order for order in exits if any(self.other_of_pair(order) is other for other in exits)]
        assert len(both) in (0, 2)
        return both

    def _place_pair_of_exits(self, entry: Order, quantity: Fraction) -> None:
        pair = next(self._pair_numbers)
        stop = self._new_exit(entry, quantity, pair, stop_price=entry.stop_loss)
        left = stop.remaining if stop.is_working or stop.reason == "liquidity" else ZERO
        if left:
            self._new_exit(entry, left, pair, price=entry.take_profit)

    def _new_exit(
        self,
        entry: Order,
        quantity: Fraction,
        pair: int,
        *,
        price: Fraction | None = None,
        stop_price: Fraction | None = None,
    ) -> Order:
        terms = Terms(
            entry.account_id,
            entry.instrument_id,
            "limit" if stop_price is None else "stop",
            "sell" if entry.side == "buy" else "buy",
            quantity,
            price,
            stop_price,
            self_trade=entry.self_trade,
        )
        order = self._new_order(terms, pair)
        order.parent = entry.order_id
        self._check_and_enter(order)
        return order

    def _check_and_enter(self, order: Order) -> None:
        """Refuse a new order (rules 21 to 24), or let it do what it can."""
        refused = risk.refusal(self, order)
        if refused:
            self._finish(order, "rejected", refused)
        else:
            self._enter(order)
