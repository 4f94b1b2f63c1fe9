"""What the simulated makers and takers decide, without a database."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import count

import pytest

from db.feeds.fair_value import FairValue
from db.feeds.grid import grid
from db.feeds.quoting import Action, Cancel, Place, Quoting, Reduce, Resting
from db.feeds.taking import take, wait

TERMS = Quoting(levels=8, step=5, usual=100, limit=2_000)


class Maker:
    """One maker with its resting orders, on which its decisions are carried out as the exchange would."""

    def __init__(self, terms: Quoting = TERMS, seed: int = 1) -> None:
        self.terms = terms
        self.rng = random.Random(seed)
        self.orders: dict[int, Resting] = {}
        self.position = 0
        self._ids = count(1)

    def turn(self, fair: float, others: list[Resting] | None = None, most: int = 4) -> list[Action]:
        actions = self.terms.turn(
            fair, self.position, list(self.orders.values()), others or [], self.rng, most
        )
        for action in actions:
            match action:
                case Place(side, ticks, lots):
                    order_id = next(self._ids)
                    self.orders[order_id] = Resting(order_id, side, ticks, lots)
                case Cancel(order_id):
                    del self.orders[order_id]
                case Reduce(order_id, total):
                    old = self.orders[order_id]
                    assert old.filled < total < old.filled + old.lots
                    self.orders[order_id] = Resting(order_id, old.side, old.ticks, total - old.filled)
        return actions

    def settle(self, fair: float) -> None:
        for _ in range(20):
            self.turn(fair)

    def prices(self, side: str) -> list[int]:
        return sorted(
            (order.ticks for order in self.orders.values() if order.side == side), reverse=side == "buy"
        )


def test_a_ladder_stands_on_both_sides_and_thins_out() -> None:
    maker = Maker()
    maker.settle(10_000)
    bids, asks = maker.prices("buy"), maker.prices("sell")
    assert len(bids) >= TERMS.levels - 1
    assert len(asks) >= TERMS.levels - 1
    assert bids[0] < 10_000 < asks[0]
    assert asks[0] - bids[0] <= 4 * TERMS.step
    inner, outer = asks[3] - asks[0], asks[-1] - asks[-4]
    assert outer > inner
    sizes = [TERMS.size(level, maker.rng) for level in range(8) for _ in range(300)]
    assert sum(sizes[:300]) > 1.5 * sum(sizes[-300:])


def test_a_standing_book_is_calm() -> None:
    maker = Maker()
    maker.settle(10_000)
    actions = [action for _ in range(200) for action in maker.turn(10_000)]
    assert 10 < len(actions) < 120  # it fidgets, and mends what it took away, but most turns do nothing
    assert any(isinstance(action, Reduce) for action in actions)


def test_the_ladder_follows_the_fair_value_and_is_never_crossed() -> None:
    maker = Maker()
    maker.settle(10_000)
    for fair in range(10_000, 10_200, 2):
        maker.turn(fair)
        assert maker.prices("buy")[0] < maker.prices("sell")[0]
        assert maker.prices("sell")[0] > fair
    maker.settle(10_200)
    assert maker.prices("buy")[0] > 10_200 - 4 * TERMS.step


def test_an_order_that_could_be_picked_off_goes_first_however_little_may_be_done() -> None:
    maker = Maker()
    maker.settle(10_000)
    exposed = {
        order.order_id for order in maker.orders.values() if order.side == "sell" and order.ticks < 10_030
    }
    assert exposed
    actions = maker.turn(10_030, most=0)
    assert exposed <= {action.order_id for action in actions if isinstance(action, Cancel)}
    assert maker.prices("sell")[0] > 10_030
    assert len(maker.prices("sell")) >= 3


def test_a_maker_does_not_trade_with_its_own_kind() -> None:
    maker = Maker()
    stale = Resting(999, "sell", 9_960, 100)  # another maker's, left behind by the fair value
    for _ in range(20):
        maker.turn(10_000, [stale])
    assert maker.prices("buy")[0] < 9_960


@pytest.mark.parametrize(
    ("position", "stopped", "going_on"), [(2_000, "buy", "sell"), (-2_500, "sell", "buy")]
)
def test_a_maker_that_holds_too_much_only_trades_back(position: int, stopped: str, going_on: str) -> None:
    maker = Maker()
    maker.settle(10_000)
    maker.position = position
    for _ in range(20):
        maker.turn(10_000)
    assert maker.prices(stopped) == []
    assert len(maker.prices(going_on)) >= TERMS.levels - 1


def test_a_position_makes_a_maker_lean() -> None:
    assert TERMS.lean(0) == 0
    assert TERMS.lean(1_000) < 0 < TERMS.lean(-500)
    assert TERMS.lean(10**9) == TERMS.lean(2_000)


def test_takers_pull_their_positions_back_to_zero() -> None:
    rng = random.Random(3)
    position, reached = 0, 0
    for _ in range(3_000):
        order = take(10_000, 5, 100, 1_500, position, rng)
        assert order.lots >= 1
        position += order.lots if order.side == "buy" else -order.lots
        reached = max(reached, abs(position))
        if order.ticks is not None:
            assert order.ticks > 10_000 if order.side == "buy" else order.ticks < 10_000
    assert reached < 2_000
    assert all(take(10_000, 5, 100, 1_500, 1_500, rng).side == "sell" for _ in range(50))


def test_takers_come_as_often_as_they_should() -> None:
    rng = random.Random(4)
    waits = [wait(2.0, rng) for _ in range(4_000)]
    assert sum(waits) / len(waits) == pytest.approx(0.5, rel=0.1)


def test_the_fair_value_wanders_and_comes_back_the_same_way_for_the_same_seed() -> None:
    def path(seed: int) -> list[float]:
        value = FairValue(100.0, 0.3, random.Random(seed))
        made = []
        for _ in range(20_000):
            value.advance(10)
            made.append(value.price)
        return made

    one = path(7)
    assert one == path(7)
    assert one != path(8)
    assert 0.9 < min(one) < 99.9
    assert 100.1 < max(one) < 110
    assert sum(one) / len(one) == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(
    ("tick", "lot", "price", "step_value"),
    [
        ("0.01", "1", "585.60", "0.06"),
        ("0.0001", "1000", "1.0850", "0.0001"),
        ("0.5", None, "64250", "6.5"),
        (None, None, "0.00003", "0.00000001"),
        (None, "0.01", "3150", "0.3"),
    ],
)
def test_ticks_lots_and_usual_sizes_suit_the_instrument(
    tick: str | None, lot: str | None, price: str, step_value: str
) -> None:
    made = grid(Decimal(tick) if tick else None, Decimal(lot) if lot else None, Decimal(price))
    assert made.price(made.step) == Decimal(step_value)
    usual_value = made.quantity(made.usual) * Decimal(price)
    assert Decimal(15_000) < usual_value < Decimal(25_000)
    assert made.ticks(made.price(7)) == 7
    assert made.lots(made.quantity(7)) == 7
    for exact in (made.tick, made.lot):
        assert exact == round(exact, 8)
