"""Stories in which the database and the rules once parted, or that chance finds too seldom."""

from __future__ import annotations

from tests.reference.steps import Cancel, Deposit, Place, Replace, SetAccount, SetInstrument, Step, Withdraw

# At 0.1 half a tenth of DUST is worth half a cent, and costs one: an order filled in such parts runs out of
# the money that it set aside.
_BUYER_RUNS_DRY: list[Step] = [
    Deposit("dee", "0.02"),
    Deposit("mia", "1000"),
    Place("dry", "dee", "DUST", "buy", "limit", "0.15", "0.1"),
    Place("first", "mia", "DUST", "sell", "market", "0.05"),
    Place("second", "mia", "DUST", "sell", "market", "0.05"),
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
}
