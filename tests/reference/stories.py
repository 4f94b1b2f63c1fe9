"""Random stories: requests that fit the moment often enough to go somewhere, and often enough do not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from tests.reference import risk
from tests.reference.exchange import Exchange
from tests.reference.numbers import plain, rounded
from tests.reference.steps import (
    Cancel,
    CancelAll,
    Cast,
    Deposit,
    ExpireDayOrders,
    InsertAndMatch,
    Place,
    PlaceAll,
    Replace,
    SetAccount,
    SetInstrument,
    Step,
    Withdraw,
)
from tests.reference.terms import SELF_TRADE_WAYS, Order, wrong_fields
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


class Storyteller:
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
    ) -> None:
        """`teller` makes the labels and client_order_ids of several stories differ; `named` is the share of
        orders with a client_order_id; `symbols` are those the story is about."""
        self._random = random.Random(seed)
        self._model = model
        self._cast = cast
        self._teller = teller
        self._named = named
        self._count = 0
        self._requests: list[Place] = []
        # Stories differ in what they are about, so that each thing happens often in some of them.
        themes = (["ACME"], ["DUST"], ["BULK"], ["ACME", "DUST"], list(LISTINGS))
        self._symbols = symbols or self._random.choice(themes)
        self._stops = self._random.choice((0.1, 0.3, 0.6))
        self._payments = self._random.choice((1, 3, 20))
        self._people = self._random.sample(list(PEOPLE), self._random.choice((3, 4, 7)))
        self._most_quantities = self._random.choice((3, 99, 99))

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
            self._place: 100,
            self._replace: 22,
            self._cancel: 10,
            self._cancel_all: 2,
            self._expire: 2,
            self._deposit: self._payments,
            self._withdraw: 2 * self._payments,
            self._switch: 2,
            self._again: 3,
            self._place_all: 3,
            self._insert: 3,
        }
        if self._is_closed_somewhere() and self._random.random() < 0.1:
            return self._switch()
        (kind,) = self._random.choices(list(kinds), weights=list(kinds.values()))
        return kind()

    def _is_closed_somewhere(self) -> bool:
        accounts = self._model.ledger.accounts.values()
        return bool(self._model.inactive) or not all(account.is_active for account in accounts)

    def _place_all(self) -> Step:
        return PlaceAll(tuple(self._place() for _ in range(self._random.randint(1, 5))))

    def _insert(self) -> Step:
        orders = [self._place() for _ in range(self._random.randint(1, 5))]
        sound = [
            order
            for order in orders
            if order.order_type in ("limit", "market")
            and order.client_order_id is None
            and not any(
                wrong_fields(
                    order.terms(self._cast),
                    self._model.instruments[self._ids(order.account, order.instrument)[1]],
                )
            )
        ]
        return InsertAndMatch(tuple(sound)) if sound else self._cancel()

    def _place(self) -> Place:
        choose = self._random.choice
        label = self._new_label()
        account, symbol, side = choose(self._people), choose(self._symbols), choose(("buy", "sell"))
        if self._random.random() < 0.9 and PEOPLE[account].currency != LISTINGS[symbol].currency:
            account = "mia"
        if self._random.random() < self._stops:
            order_type = choose(("stop", "stop_limit"))
        else:
            order_type = self._random.choices(("limit", "market"), weights=(4, 1))[0]
        time_in_force = self._random.choices(("GTC", "DAY", "IOC", "FOK"), weights=(5, 2, 2, 2))[0]
        has_limit = order_type in ("limit", "stop_limit")
        may_post = has_limit and time_in_force in ("GTC", "DAY")
        step = Place(
            label,
            account,
            symbol,
            side,
            order_type,
            self._quantity(account, symbol, side),
            self._price(symbol) if has_limit != self._slip() else None,
            self._price(symbol) if (order_type in ("stop", "stop_limit")) != self._slip() else None,
            time_in_force,
            (may_post and self._random.random() < 0.2) or self._slip(),
            choose(SELF_TRADE_WAYS),
            f"c{label}" if self._random.random() < self._named else None,
        )
        self._requests.append(step)
        return step

    def _new_label(self) -> str:
        self._count += 1
        return f"{self._teller}o{self._count}"

    def _slip(self) -> bool:
        """A slip of the pen, now and then."""
        return self._random.random() < 0.004

    def _price(self, symbol: str) -> str:
        if self._slip():
            return self._random.choice(("0", "-1", "10.003", "0.000000001", "0.1000000001", "1e12"))
        return self._random.choice(LISTINGS[symbol].prices)

    def _quantity(self, account: str, symbol: str, side: str) -> str:
        if self._slip():
            return self._random.choice(("0", "-1", "0.000000001", "1e12", "999999999999"))
        held = self._model.ledger.held(*self._ids(account, symbol))
        quantities = LISTINGS[symbol].quantities[: self._most_quantities]
        if held and self._random.random() < 0.15:
            return plain(abs(held))
        if side == "sell" and self._random.random() < 0.7:  # what may be sold without being short
            quantities = tuple(each for each in quantities if Fraction(each) <= held) or quantities
        return self._random.choice(quantities)

    def _ids(self, account: str, symbol: str) -> tuple[int, int]:
        return self._cast.world.accounts[account], self._cast.world.instruments[symbol]

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
        return ExpireDayOrders(self._random.choice((None, *self._cast.in_model)))

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

    def _again(self) -> Step:
        """The same request a second time, or another under the same client_order_id (rule 5)."""
        named = [step for step in self._requests if step.client_order_id]
        if not named:
            return self._place()
        first = self._random.choice(named)
        changes: dict[str, object] = {"label": self._new_label()}
        if self._random.random() < 0.3:
            changes["self_trade"] = self._random.choice(SELF_TRADE_WAYS)
        elif self._random.random() < 0.5:
            changes["quantity"] = first.quantity + ("0" if "." in first.quantity else ".0")
        return Place(**{**vars(first), **changes})
