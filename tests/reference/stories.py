"""Random stories: requests that fit the moment often enough to go somewhere, and often enough do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from tests.reference import risk
from tests.reference.exchange import Exchange
from tests.reference.numbers import plain, rounded
from tests.reference.orders_told import OrderTeller
from tests.reference.steps import (
    Cancel,
    CancelAll,
    Cast,
    Deposit,
    ExpireDayOrders,
    Place,
    RefreshPnl,
    Replace,
    SetAccount,
    SetInstrument,
    Step,
    Withdraw,
)
from tests.reference.terms import Order
from tests.reference.world import LISTINGS, PEOPLE


def opening() -> list[Step]:
    """Everybody pays in, and those who may not be short get something to sell."""
    steps: list[Step] = [Deposit(name, person.cash) for name, person in PEOPLE.items()]
    for symbol, price, quantities in (
        ("ACME", "10", {"ann": "60", "bob": "20"}),
        ("DUST", "0.105", {"cid": "5", "ann": "15", "bob": "2.3"}),
        ("BULK", "100", {"ann": "20"}),
    ):
        steps.append(Place(f"{symbol} offered", "mia", symbol, "sell", "limit", "100", price))
        steps += [
            Place(f"{symbol} for {name}", name, symbol, "buy", "market", quantity)
            for name, quantity in quantities.items()
        ]
        steps.append(Cancel(f"{symbol} offered"))
    return steps


class Storyteller(OrderTeller):
    """Tells one story, each step with a look at where the model stands."""

    def __init__(
        self,
        seed: int,
        model: Exchange,
        cast: Cast,
        *,
        teller: str = "",
        symbols: Sequence[str] = (),
        named: float = 0.2,
        linked: bool = False,
    ) -> None:
        """As OrderTeller; `linked` says whether there are linked orders in it: one of them in an instrument
        sends all that happens there by other ways."""
        super().__init__(seed, model, cast, teller=teller, symbols=symbols, named=named)
        self._payments = self._random.choice((1, 3, 20))
        self._batches = self._random.choice((2, 4, 15))
        self._with_linked = linked
        self._alone: list[str] = []  # the first or only order of its request, so that none has the same time

    def tell(self, steps: int) -> Iterator[Step]:
        """The opening and so many steps; each must have been played before the next is asked for."""
        yield from opening()
        for _ in range(steps):
            yield self._step()

    def place_only(self, steps: int) -> Iterator[Place]:
        """So many orders to place, and nothing else."""
        for _ in range(steps):
            yield self._place()

    def _step(self) -> Step:
        kinds = {
            self._place_one: 100,
            self._replace: 22,
            self._cancel: 10,
            self._cancel_all: 2,
            self._expire: 2,
            self._deposit: self._payments,
            self._withdraw: 2 * self._payments,
            self._switch: 2,
            self._again: 3,
            self._place_all: self._batches,
            self._insert: self._batches // 2,
            self._refresh: 2,
            self._linked: 40 * self._with_linked,
        }
        if self._is_closed_somewhere() and self._random.random() < 0.1:
            return self._switch()
        (kind,) = self._random.choices(list(kinds), weights=list(kinds.values()))
        return kind()

    def _place_one(self) -> Step:
        step = self._place()
        self._alone.append(step.label)
        return step

    def _is_closed_somewhere(self) -> bool:
        accounts = self._model.ledger.accounts.values()
        return bool(self._model.inactive) or not all(account.is_active for account in accounts)

    def _some_order(self) -> str:
        """A working one, as a rule."""
        orders = self._model.orders
        working = [label for label, number in self._cast.in_model.items() if orders[number].is_working]
        if not working or self._random.random() < 0.05:
            working = list(self._cast.in_model)
        return self._random.choice(working)

    def _replace(self) -> Step:
        label = self._some_order()
        order = self._model.orders[self._cast.in_model[label]]
        symbol = next(s for s, i in self._cast.world.instruments.items() if i == order.instrument_id)
        parts = self._random.choice(
            ((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 1, 1))
        )
        return Replace(
            label,
            self._new_quantity(order, symbol) if parts[0] else None,
            self._price(symbol) if parts[1] and order.has_limit != self._slip() else None,
            self._price(symbol) if parts[2] and (order.stop_price is not None) != self._slip() else None,
        )

    def _new_quantity(self, order: Order, symbol: str) -> str:
        lot = Fraction(LISTINGS[symbol].lot or "0.05")
        around = [
            order.quantity,
            order.quantity - lot,
            order.quantity + lot,
            order.filled,
            order.filled + lot,
            Fraction(self._random.choice(LISTINGS[symbol].quantities)),
        ]
        return plain(self._random.choice(around))

    def _cancel(self) -> Step:
        return Cancel(self._some_order())

    def _cancel_all(self) -> Step:
        choose = self._random.choice
        return CancelAll(choose(list(PEOPLE)), choose((None, *LISTINGS)), choose((None, "buy", "sell")))

    def _expire(self) -> Step:
        placed = [label for label in self._alone if label in self._cast.in_model]
        return ExpireDayOrders(self._random.choice((None, *placed)))

    def _refresh(self) -> Step:
        return RefreshPnl(self._random.choice((None, *PEOPLE)))

    def _deposit(self) -> Step:
        return Deposit(
            self._random.choice(self._people),
            self._random.choice(("0.01", "0.2", "1.5", "100", "500", "0", "0.005")),
        )

    def _withdraw(self) -> Step:
        name = self._random.choice(self._people)
        account = self._model.ledger.accounts[self._cast.world.accounts[name]]
        free = rounded(risk.available(self._model, account))
        # Everything, a cent more, most of it; poor accounts are the interesting ones.
        amount = self._random.choice(
            (free, free, free + Fraction(1, 100), rounded(free * Fraction(4, 5)), Fraction(1))
        )
        return Withdraw(name, str(Decimal(plain(amount))))

    def _switch(self) -> Step:
        """Close something, or open it again."""
        world, accounts = self._cast.world, self._model.ledger.accounts
        for name, account_id in world.accounts.items():
            if not accounts[account_id].has_active_status:
                return SetAccount(name, True)
            if not accounts[account_id].user_is_active:
                return SetAccount(name, True, by_user=True)
        for symbol, instrument_id in world.instruments.items():
            if instrument_id in self._model.inactive:
                return SetInstrument(symbol, True)
        if self._random.random() < 0.3:
            return SetInstrument(self._random.choice(self._symbols), False)
        return SetAccount(self._random.choice(list(PEOPLE)), False, by_user=self._random.random() < 0.5)
