"""Whom a crowd of clients trades for, and in what: twenty instruments in three economies.

In the exact one all amounts are whole cents and nobody pays commission; in the rough one fills round, so that
a resting buy can come to cost more than it has set aside; in the linked one pairs, brackets and trailing
stops are traded too. An account trades in its own economy only; a request (a batch, match_pending, the end of
the day) may reach into all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from db.database import Connection

# Account type → maker and taker rate, and whether it trades on margin.
TYPES = {
    "plain": ("0", "0", False),
    "cash": ("0.001", "0.0025", False),
    "rebate": ("0.03", "0.01", False),  # the maker's is the worse one
    "margin": ("0", "0", True),
    "dear margin": ("0.0005", "0.001", True),
}
RATES_OF_MARGIN = ("0.50", "0.25", "0.30")


@dataclass(frozen=True)
class Listing:
    """An instrument, and the prices and quantities that are asked for."""

    economy: str
    tick: str | None
    lot: str | None
    prices: tuple[str, ...]
    quantities: tuple[str, ...]


CENTS = ("0.01", "1", tuple(f"{10 + i / 100:.2f}" for i in range(-4, 5)), ("1", "2", "3", "5", "10", "25"))
DUST = (
    None,
    None,
    ("0.095", "0.1", "0.10333333", "0.11", "0.1150001"),
    ("0.05", "0.15", "0.33333333", "1.5", "4.7"),
)
BULK = ("0.25", "10", ("99.5", "99.75", "100", "100.25", "100.5"), ("10", "20", "30"))
LISTINGS = [
    *[Listing("exact", *CENTS)] * 10,
    *[Listing("rough", *DUST)] * 3,
    *[Listing("rough", *BULK)] * 3,
    *[Listing("linked", *CENTS)] * 4,
]


@dataclass(frozen=True)
class Holder:
    """An account. `only`: it trades in nothing but that instrument of its economy.

    What a margin account may do hangs on the marks of all that it has. Those of other instruments can move
    while it asks, and then no order of requests tells what it saw: so each is rich, or at home in one.
    """

    economy: str
    account_type: str
    cash: str
    currency: str = "USD"
    only: int | None = None


HOLDERS = [
    *[Holder("exact", "plain", cash) for cash in ("6000", "900", "250", "40", "12000")],
    *[Holder("exact", "margin", "100000000")] * 2,
    *[Holder("exact", "margin", "700", only=n) for n in (0, 0, 1, 2)],
    Holder("exact", "plain", "1000", currency="EUR"),
    *[Holder("rough", "cash", cash) for cash in ("6000", "60", "1.50")],
    *[Holder("rough", "rebate", cash) for cash in ("9000", "3.50", "0.12")],
    *[Holder("rough", "dear margin", "100000000")] * 2,
    *[Holder("linked", "plain", cash) for cash in ("6000", "900", "12000")],
    *[Holder("linked", "margin", "100000000")] * 3,
]
# What those begin with who may not be short, bought from the richest of their economy: price and quantity.
HOLDINGS = {"exact": ("10", "20"), "rough": ("0.1", "2.5"), "linked": ("10", "30")}


@dataclass
class Crowd:
    """Who is there, by the ids of the database, in the order of LISTINGS and HOLDERS."""

    instruments: list[int]
    accounts: list[int]

    @classmethod
    async def gather(cls, connection: Connection) -> Crowd:
        """Instruments and accounts; everybody has paid in, and those who may not be short hold something."""
        for name, (maker, taker, is_margin) in TYPES.items():
            await connection.execute(
                "insert into fee_schedule values ($1, $2, $3)", name, Decimal(maker), Decimal(taker)
            )
            if is_margin:
                await connection.execute(
                    "insert into margin_schedule values ($1, $2, $3, $4) on conflict do nothing",
                    name,
                    *(Decimal(rate) for rate in RATES_OF_MARGIN),
                )
        instruments = [
            await connection.fetchval(
                """insert into instruments (symbol, name, instrument_type, tick_size, lot_size)
                   values ($1, $1, 'share', $2, $3) returning instrument_id""",
                f"{listing.economy.upper()}{n}",
                number(listing.tick),
                number(listing.lot),
            )
            for n, listing in enumerate(LISTINGS)
        ]
        accounts = [
            await connection.fetchval(
                """with someone as (
                       insert into users (email, username, password_hash) values ($1, $1, '!')
                       returning user_id
                   )
                   insert into accounts (user_id, account_type, account_number, currency)
                   select user_id, $2, $1, $3 from someone returning account_id""",
                f"{holder.economy}-{n}",
                holder.account_type,
                holder.currency,
            )
            for n, holder in enumerate(HOLDERS)
        ]
        crowd = cls(instruments, accounts)
        await crowd._open(connection)
        return crowd

    async def _open(self, connection: Connection) -> None:
        rich: dict[str, int] = {}
        for account, holder in zip(self.accounts, HOLDERS, strict=True):
            await connection.fetchval("select deposit($1, $2)", account, Decimal(holder.cash))
            if Decimal(holder.cash) > 10**6:
                rich[holder.economy] = account
        place = "select place_order($1, $2, 'limit', $3, $4, $5)"
        for instrument, listing in zip(self.instruments, LISTINGS, strict=True):
            price, quantity = HOLDINGS[listing.economy] if listing.lot != "10" else ("100", "10")
            for account, holder in zip(self.accounts, HOLDERS, strict=True):
                if holder.economy == listing.economy and TYPES[holder.account_type][2] is False:
                    seller = rich[listing.economy]
                    sold = await connection.fetchval(
                        place, seller, instrument, "sell", Decimal(quantity), Decimal(price)
                    )
                    await connection.fetchval(
                        place, account, instrument, "buy", Decimal(quantity), Decimal(price)
                    )
                    await connection.fetchval("select cancel_order($1)", sold)

    def homes(self, n: int) -> list[int]:
        """The numbers of the instruments that holder `n` trades in."""
        holder = HOLDERS[n]
        inside = [i for i, listing in enumerate(LISTINGS) if listing.economy == holder.economy]
        return inside if holder.only is None else [inside[holder.only]]

    def accounts_of(self, *economies: str) -> list[int]:
        """Their ids."""
        pairs = zip(self.accounts, HOLDERS, strict=True)
        return [account for account, holder in pairs if holder.economy in economies]


def number(value: str | None) -> Decimal | None:
    """As the driver wants it."""
    return None if value is None else Decimal(value)
