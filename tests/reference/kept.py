"""Stories in which the database and the rules once parted, or that chance finds too seldom."""

from __future__ import annotations

from tests.reference.linked_steps import PlaceBracket, PlaceOco, PlaceTrailing
from tests.reference.steps import (
    Cancel,
    Deposit,
    ExpireDayOrders,
    Place,
    Replace,
    SetAccount,
    SetInstrument,
    Step,
    Withdraw,
)

# At 0.1 half a tenth of DUST is worth half a cent, and costs one: an order filled in such parts runs out of
# the money that it set aside.
_BUYER_RUNS_DRY: list[Step] = [
    Deposit("dee", "0.02"),
    Deposit("mia", "1000"),
    Place("dry", "dee", "DUST", "buy", "limit", "0.15", "0.1"),
    Place("first", "mia", "DUST", "sell", "market", "0.05"),
    Place("second", "mia", "DUST", "sell", "market", "0.05"),
]

_ANN_HOLDS_TEN: list[Step] = [
    Deposit("ann", "1000"),
    Deposit("max", "10000"),
    Deposit("mia", "10000"),
    Place("offer", "mia", "ACME", "sell", "limit", "10", "10"),
    Place("holding", "ann", "ACME", "buy", "market", "10"),
]


def _print(price: str, quantity: str = "1") -> list[Step]:
    """A trade at this price between the two that may be short."""
    return [
        Place(f"bid to print {price}", "max", "ACME", "buy", "limit", quantity, price),
        Place(f"print {price}", "mia", "ACME", "sell", "limit", quantity, price),
    ]


KEPT: dict[str, list[Step]] = {
    "a resting buy that cannot pay is passed over": [
        *_BUYER_RUNS_DRY,
        Deposit("cid", "5"),
        Place("behind", "cid", "DUST", "buy", "limit", "1", "0.1"),
        Place("sale", "mia", "DUST", "sell", "limit", "1", "0.1", time_in_force="IOC"),
    ],
    "fill or kill, and a resting buy cannot pay": [
        *_BUYER_RUNS_DRY,
        Deposit("cid", "5"),
        Place("ahead", "cid", "DUST", "buy", "limit", "1", "0.11"),
        Place("whole", "mia", "DUST", "sell", "limit", "1.05", "0.1", time_in_force="FOK"),
    ],
    "fill or kill reaches past a resting buy that cannot pay": [
        *_BUYER_RUNS_DRY,
        Deposit("cid", "5"),
        Place("ahead", "cid", "DUST", "buy", "limit", "1", "0.11"),
        Place("behind", "cid", "DUST", "buy", "limit", "1", "0.1"),
        Place("whole", "mia", "DUST", "sell", "limit", "1.05", "0.1", time_in_force="FOK"),
    ],
    "the money of a triggered stop buys all it can": [
        Deposit("cid", "3.50"),
        Deposit("mia", "1000"),
        Deposit("max", "1000"),
        Place("waiting", "cid", "DUST", "buy", "stop", "30", stop_price="0.11"),
        Withdraw("cid", "0.20"),
        Place("offer", "mia", "DUST", "sell", "limit", "1", "0.11"),
        Place("more", "mia", "DUST", "sell", "limit", "50", "0.13333333"),
        Place("print", "max", "DUST", "buy", "market", "1"),
    ],
    "the money of a triggered stop with commission": [
        Deposit("bob", "310"),
        Deposit("mia", "5000"),
        Deposit("max", "5000"),
        Place("waiting", "bob", "ACME", "buy", "stop", "30", stop_price="10"),
        Place("killed", "bob", "ACME", "buy", "limit", "1", "0.9"),
        Place("offer", "mia", "ACME", "sell", "limit", "1", "10"),
        Place("more", "mia", "ACME", "sell", "limit", "50", "11.37"),
        Place("print", "max", "ACME", "buy", "market", "1"),
    ],
    "an account that is closed may only cancel": [
        Deposit("mia", "1000"),
        Place("order", "mia", "ACME", "buy", "limit", "3", "9.98"),
        SetAccount("mia", active=False),
        Replace("order"),
        Replace("order", "2"),
        Deposit("mia", "1"),
        Withdraw("mia", "1"),
        SetAccount("mia", active=True),
        SetAccount("mia", active=False, by_user=True),
        Replace("order", "3"),
        Deposit("mia", "1"),
        Withdraw("mia", "1"),
        SetAccount("mia", active=True, by_user=True),
        SetInstrument("ACME", active=False),
        Replace("order"),
        Cancel("order"),
    ],
    "a replacement with numbers that no order can hold is refused": [
        Deposit("mia", "1000"),
        Place("bid", "mia", "DUST", "buy", "limit", "3", "0.1"),
        Replace("bid", price="0.1000000001"),
        Replace("bid", "3.000000001"),
        Replace("bid", price="1e12"),
        Replace("bid", "1e12"),
        Replace("bid", "999999999999", "999999999999"),
    ],
    "a market order has its margin where nothing has traded yet": [
        Deposit("max", "2500"),
        Deposit("mia", "50"),
        Place("offer", "max", "ACME", "sell", "limit", "100", "10"),
        Place("a share too many", "mia", "ACME", "buy", "market", "11"),
        Place("just enough", "mia", "ACME", "buy", "market", "10"),
    ],
    "a stop that is refused was never set off": [
        Deposit("ann", "100"),
        Deposit("mia", "1000"),
        Deposit("eva", "100"),
        Place("offer", "mia", "ACME", "sell", "limit", "1", "10"),
        Place("print", "ann", "ACME", "buy", "market", "1"),
        Place("refused", "eva", "ACME", "buy", "stop", "1", stop_price="9"),
    ],
    "realized profit is exact until it is rounded": [  # rule 19's own example
        Deposit("ann", "1000"),
        Deposit("mia", "10000"),
        *(
            step
            for number, price in enumerate(("100", "100", "101"))
            for step in (
                Place(f"offer {number}", "mia", "ACME", "sell", "limit", "1", price),
                Place(f"bought {number}", "ann", "ACME", "buy", "market", "1"),
            )
        ),
        Place("bid", "mia", "ACME", "buy", "limit", "3", "100"),
        Place("sold", "ann", "ACME", "sell", "market", "3"),
    ],
    # Linked orders (L1 to L3) ----------------------------------------------------------------------------
    "a pair of which both rest sells no more than its quantity to one order": [
        *_ANN_HOLDS_TEN,
        PlaceOco("pair", "ann", "ACME", "sell", "10", "10.02", "9.99", "10.01"),
        *_print("9.99"),  # the stop-limit rests behind the limit, at 10.01
        Place("sweep", "mia", "ACME", "buy", "limit", "20", "10.02"),
    ],
    "fill or kill counts a pair of which both rest once": [
        *_ANN_HOLDS_TEN,
        PlaceOco("pair", "ann", "ACME", "sell", "10", "10.02", "9.99", "10.01"),
        *_print("9.99"),
        Place("whole", "mia", "ACME", "buy", "limit", "20", "10.02", time_in_force="FOK"),
        Place("as much", "mia", "ACME", "buy", "limit", "10", "10.02", time_in_force="FOK"),
    ],
    "a pair whose stop is refused has no limit either": [
        Deposit("cid", "20"),
        PlaceOco("pair", "cid", "ACME", "buy", "1", "9.98", "10.04"),
        PlaceOco("too much", "cid", "ACME", "buy", "1", "9.98", "10.04"),
    ],
    "a stop that its own account's order ends takes the limit with it": [
        *_ANN_HOLDS_TEN,
        Place("own bid", "ann", "ACME", "buy", "limit", "1", "9.97"),
        PlaceOco("pair", "ann", "ACME", "sell", "10", "10.02", "9.99"),
        *_print("9.99"),
    ],
    "a stop without the money takes the limit with it": [
        Deposit("cid", "20.02"),
        Deposit("mia", "10000"),
        Deposit("max", "10000"),
        PlaceOco("pair", "cid", "ACME", "buy", "1", "9.98", "10.04"),
        Place("dear", "mia", "ACME", "sell", "limit", "1", "20"),
        *_print("10.04"),
    ],
    "the end of the day of one is the end of the other": [
        *_ANN_HOLDS_TEN,
        PlaceOco("pair", "ann", "ACME", "sell", "10", "10.02", "9.99", time_in_force="DAY"),
        ExpireDayOrders("pair-stop"),
    ],
    "the margin of a pair is that of the dearer": [
        Deposit("mia", "1000"),
        PlaceOco("pair", "mia", "ACME", "sell", "10", "10.02", "10", "10.04"),
    ],
    "the margin of a pair is asked for once": [
        Deposit("max", "75"),
        PlaceOco("pair", "max", "ACME", "sell", "10", "10.02", "9.99"),
    ],
    "a buy whose stop found nobody still has its margin": [
        Deposit("max", "1000"),
        Deposit("mia", "1000"),
        Deposit("ann", "1000"),
        PlaceOco("pair", "max", "ACME", "buy", "10", "9.98", "10.01"),
        Place("offer", "mia", "ACME", "sell", "limit", "1", "10.01"),
        Place("print", "ann", "ACME", "buy", "market", "1"),
    ],
    "an entry whose stop-loss is refused gets no take-profit": [
        Deposit("cid", "9.99"),
        Deposit("mia", "1000"),
        Place("offer", "mia", "ACME", "sell", "limit", "1", "9.99"),
        Place("holding", "cid", "ACME", "buy", "market", "1"),
        Place("bid", "mia", "ACME", "buy", "limit", "1", "10"),
        PlaceBracket(Place("entry", "cid", "ACME", "sell", "limit", "1", "10"), "9.97", "10.03"),
    ],
    "an entry whose stop-loss is set off at once gets no take-profit": [
        Deposit("max", "1000"),
        Deposit("mia", "1000"),
        Deposit("ann", "1000"),
        Place("low bid", "ann", "ACME", "buy", "limit", "5", "9.95"),
        Place("offer", "mia", "ACME", "sell", "limit", "1", "10"),
        PlaceBracket(Place("entry", "max", "ACME", "buy", "market", "1"), "10.05", "10.02"),
    ],
    "a trailing stop stands where it was reached": [
        *_ANN_HOLDS_TEN,
        PlaceTrailing("trail", "ann", "ACME", "sell", "10", trail_amount="0.01", stop_price="9.96"),
        Place("bid 1", "max", "ACME", "buy", "limit", "1", "10.04"),
        Place("bid 2", "max", "ACME", "buy", "limit", "1", "10.02"),
        Place("sweep", "mia", "ACME", "sell", "limit", "2", "10.02"),
    ],
    "what an exit fills of another entry has its exits as well": [
        Deposit("ann", "100"),
        Deposit("bob", "1000"),
        Deposit("mia", "1000"),
        Place("offer", "mia", "ACME", "sell", "limit", "10", "10.05"),
        Place("holding", "bob", "ACME", "buy", "market", "5"),
        Cancel("offer"),
        PlaceBracket(Place("first", "mia", "ACME", "sell", "limit", "4", "10.04"), "10.02", "10.06"),
        Replace("first", price="9.99"),
        PlaceBracket(Place("second", "bob", "ACME", "sell", "limit", "5", "9.99"), "9.97", "10.03"),
        Place("hit", "ann", "ACME", "buy", "limit", "6", "9.99"),
    ],
    "an exit that is enlarged sets money aside though it needed none before": [
        Deposit("bob", "10"),
        Deposit("mia", "1000"),
        Place("offer", "mia", "DUST", "sell", "limit", "1", "0.09"),
        Place("holding", "bob", "DUST", "buy", "market", "1"),
        PlaceBracket(Place("entry", "bob", "DUST", "sell", "limit", "1", "0.095"), "0.087", "0.107"),
        Place("hit 1", "mia", "DUST", "buy", "limit", "0.05", "0.095"),
        Place("hit 2", "mia", "DUST", "buy", "limit", "0.15", "0.095"),
    ],
    "the margin of an exit is looked at with the book as its entry has left it": [
        Deposit("max", "100"),
        Deposit("mia", "10000"),
        Place("bid", "mia", "ACME", "buy", "limit", "1", "9.90"),
        Place("near offer", "mia", "ACME", "sell", "limit", "1", "10"),
        Place("far offer", "mia", "ACME", "sell", "limit", "1", "12"),
        Place("own offer", "max", "ACME", "sell", "limit", "9", "22"),
        PlaceBracket(Place("entry", "max", "ACME", "buy", "market", "1"), "13", "9.80"),
    ],
}
