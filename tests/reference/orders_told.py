"""Random orders of every kind: alone, in batches, linked; most fit the moment, and some make no sense."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.reference.exchange import Exchange
from tests.reference.linked_steps import PlaceBracket, PlaceOco, PlaceTrailing
from tests.reference.numbers import plain
from tests.reference.steps import Cast, InsertAndMatch, Place, PlaceAll
from tests.reference.terms import SELF_TRADE_WAYS, wrong_fields
from tests.reference.world import LISTINGS, PEOPLE

# Elements of place_orders of which no order can be made.
_SOUND = '"account_id": 1, "instrument_id": 1, "order_type": "limit", "side": "buy", "price": 1'
NO_ORDERS = (
    "null",
    "5",
    "[]",
    "{}",
    '"buy"',
    '{"account_id": 1}',
    f"{{{_SOUND}}}",
    f'{{{_SOUND}, "quantity": "many"}}',
    f'{{{_SOUND}, "quantity": "NaN"}}',
    f'{{{_SOUND}, "quantity": 1, "size": 1}}',
    f'{{{_SOUND}, "quantity": 1, "post_only": "so"}}',
    f'{{{_SOUND}, "quantity": 1, "account_id": 1.5}}',
)

Linked = PlaceOco | PlaceBracket | PlaceTrailing


class OrderTeller:
    """Tells orders for one story, each with a look at where the model stands."""

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
        self._people = self._random.sample(list(PEOPLE), self._random.choice((3, 4, 7)))
        self._most_quantities = self._random.choice((3, 99, 99))
        self._largest_batch = self._random.choice((8, 20, 60))
        self._slips = 0.004
        self._linked_before: list[Linked] = []

    def _place(self, people: Sequence[str] = (), symbols: Sequence[str] = ()) -> Place:
        choose = self._random.choice
        label = self._new_label()
        account, symbol = choose(people or self._people), choose(symbols or self._symbols)
        side = choose(("buy", "sell"))
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
        if self._slip():
            field, words = choose(
                (
                    ("account", ("nobody",)),
                    ("instrument", ("NONE",)),
                    ("side", ("long", "")),
                    ("order_type", ("stop_market", "")),
                    ("time_in_force", ("GTD",)),
                    ("self_trade", ("allow",)),
                )
            )
            changes: dict[str, Any] = {field: choose(words)}
            return replace(step, **changes)
        self._requests.append(step)
        return step

    def _new_label(self) -> str:
        self._count += 1
        return f"{self._teller}o{self._count}"

    def _slip(self) -> bool:
        """A slip of the pen, now and then."""
        return self._random.random() < self._slips

    def _price(self, symbol: str) -> str:
        if self._slip():
            return self._random.choice(("0", "-1", "10.003", "0.000000001", "0.1000000001", "1e12"))
        return self._random.choice(LISTINGS[symbol].prices) if symbol in LISTINGS else "1"

    def _quantity(self, account: str, symbol: str, side: str) -> str:
        if self._slip():
            return self._random.choice(("0", "-1", "0.000000001", "1000000000000", "999999999999"))
        held = self._model.ledger.held(*self._ids(account, symbol))
        quantities = LISTINGS[symbol].quantities[: self._most_quantities]
        if held and self._random.random() < 0.15:
            return plain(abs(held))
        if side == "sell" and self._random.random() < 0.7:  # what may be sold without being short
            quantities = tuple(each for each in quantities if Fraction(each) <= held) or quantities
        return self._random.choice(quantities)

    def _ids(self, account: str, symbol: str) -> tuple[int, int]:
        return self._cast.world.accounts[account], self._cast.world.instruments[symbol]

    # Several at once -------------------------------------------------------------------------------------

    def _some_orders(self) -> list[Place]:
        """Of everybody, or of few that soon run out of money or of what they hold, or stand in their own
        way; now and then the same once more."""
        choose, chance = self._random.choice, self._random.random
        people = choose(((), (), self._random.sample(self._people, 2), [choose(self._people)]))
        symbols = choose(((), [choose(self._symbols)]))
        again = choose((0, 0.05, 0.2))
        size = self._random.randint(1, choose((5, 12, self._largest_batch)))
        return [self._again() if chance() < again else self._place(people, symbols) for _ in range(size)]

    def _place_all(self) -> PlaceAll:
        self._slips = self._random.choice((0, 0.004, 0.03))
        elements: list[Place | str] = [*self._some_orders()]
        for _ in range(len(elements)):
            if self._slip():
                elements.insert(self._random.randint(0, len(elements)), self._random.choice(NO_ORDERS))
        self._slips = 0.004
        return PlaceAll(tuple(elements))

    def _insert(self) -> InsertAndMatch | Place:
        sound = []
        for order in self._some_orders():
            if order.order_type not in ("limit", "market") or order.client_order_id is not None:
                continue
            instrument = self._model.instruments.get(self._cast.world.instrument(order.instrument))
            if instrument is not None and not any(wrong_fields(order.terms(self._cast), instrument)):
                sound.append(order)
        sound = [order for order in sound if order.account in PEOPLE]
        return InsertAndMatch(tuple(sound)) if sound else self._place()

    def _again(self) -> Place:
        """The same request a second time, or another under the same client_order_id (rule 5)."""
        named = [step for step in self._requests if step.client_order_id]
        if not named:
            return self._place()
        first = self._random.choice(named[-30:])
        changes: dict[str, Any] = {"label": self._new_label()}
        if self._random.random() < 0.3:
            changes["self_trade"] = self._random.choice(SELF_TRADE_WAYS)
        elif self._random.random() < 0.5:
            changes["quantity"] = first.quantity + ("0" if "." in first.quantity else ".0")
        return replace(first, **changes)

    # Linked ----------------------------------------------------------------------------------------------

    def _linked(self) -> Linked:
        kind = self._random.choice((self._oco, self._oco, self._bracket, self._bracket, self._trailing))
        return self._once_more(kind())

    def _once_more(self, step: Linked) -> Linked:
        """Rarely an earlier one instead, under its client_order_id (rule 5)."""
        if self._linked_before and self._random.random() < 0.05:
            label = self._new_label()
            first = self._random.choice(self._linked_before)
            if isinstance(first, PlaceBracket):
                return replace(first, entry=replace(first.entry, label=label))
            return replace(first, label=label)
        name = step.entry.client_order_id if isinstance(step, PlaceBracket) else step.client_order_id
        if name is not None:
            self._linked_before.append(step)
        return step

    def _oco(self) -> PlaceOco:
        order = self._place()
        low, high = sorted((self._price(order.instrument), self._price(order.instrument)), key=Decimal)
        limit, stop = (high, low) if order.side == "sell" or self._slip() else (low, high)
        return PlaceOco(
            order.label,
            order.account,
            order.instrument,
            order.side,
            order.quantity,
            limit,
            stop,
            self._price(order.instrument) if self._random.random() < 0.3 else None,
            self._random.choice(("GTC", "GTC", "DAY")) if not self._slip() else "IOC",
            order.self_trade,
            order.client_order_id,
        )

    def _bracket(self) -> PlaceBracket:
        entry = replace(self._place(), post_only=False)
        start = Fraction(entry.price or entry.stop_price or self._price(entry.instrument))
        sign = 1 if (entry.side == "buy") != self._slip() else -1
        profit = start + sign * self._distance(entry.instrument)
        loss = start - sign * self._distance(entry.instrument)
        return PlaceBracket(entry, plain(profit), plain(loss))

    def _trailing(self) -> PlaceTrailing:
        order = self._place()
        by_amount = self._random.random() < 0.5
        percent = self._random.choice(("0.05", "0.1", "0.5", "1.25", "5", "33.3333"))
        return PlaceTrailing(
            order.label,
            order.account,
            order.instrument,
            order.side,
            order.quantity,
            plain(self._distance(order.instrument)) if by_amount != self._slip() else None,
            percent if by_amount == self._slip() else None,
            self._price(order.instrument) if self._random.random() < 0.4 else None,
            order.time_in_force,
            order.self_trade,
            order.client_order_id,
        )

    def _distance(self, symbol: str) -> Fraction:
        """A few ticks."""
        listing = LISTINGS.get(symbol)
        return Fraction(listing.tick or "0.004" if listing else "1") * self._random.randint(1, 3)
