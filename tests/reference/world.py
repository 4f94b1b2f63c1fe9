"""The small market in which the stories of `tests.reference.stories` take place.

Few prices, little cash, commissions that round: refusals, own orders in the way, stop chains and part fills
all happen within a few dozen steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from db.database import Connection
from tests.reference.exchange import Exchange
from tests.reference.ledger import Account, Rates
from tests.reference.numbers import exact
from tests.reference.terms import Instrument


@dataclass(frozen=True)
class Listing:
    """An instrument, and the prices and quantities that stories use."""

    tick: str | None
    lot: str | None
    prices: tuple[str, ...]
    quantities: tuple[str, ...]
    currency: str = "USD"
    last_close: str | None = None


LISTINGS = {
    "ACME": Listing(
        "0.01",
        "1",
        tuple(f"{10 + i / 100:.2f}" for i in range(-4, 5)),
        ("1", "2", "3", "5", "10", "25", "60"),
    ),
    # Halves of a cent and less in every fill.
    "DUST": Listing(
        None,
        None,
        ("0.095", "0.1", "0.10333333", "0.11", "0.1150001", "0.12"),
        ("0.05", "0.15", "0.25", "0.33333333", "1", "1.5", "4.7", "20", "0.00000001"),
        last_close="0.105",
    ),
    "BULK": Listing("0.25", "10", ("99.5", "99.75", "100", "100.25", "100.5"), ("10", "20", "30", "50")),
    "EURO": Listing("0.01", "1", ("5", "5.01", "5.02"), ("1", "2", "3"), currency="EUR"),
}
RATES = {
    "cash": Rates(maker=Fraction("0.001"), taker=Fraction("0.0025")),
    "rebate": Rates(maker=Fraction("0.03"), taker=Fraction("0.01")),  # the maker's is the worse one
    "free": Rates(),
    "margin": Rates(
        Fraction("0.0005"), Fraction("0.001"), Fraction("0.5"), Fraction("0.25"), Fraction("0.3")
    ),
}


@dataclass(frozen=True)
class Person:
    """Whose account it is, and what is in it at first."""

    account_type: str
    cash: str
    currency: str = "USD"


PEOPLE = {
    "ann": Person("cash", "6000"),
    "bob": Person("rebate", "900"),
    "cid": Person("free", "3.50"),
    "dee": Person("free", "0.12"),
    "eva": Person("cash", "40", currency="EUR"),
    "max": Person("margin", "2500"),
    "mia": Person("margin", "60000"),
}


NOBODY = 999_999_999_999


@dataclass(frozen=True)
class World:
    """The ids that people and instruments have in the database, and so in the model."""

    accounts: dict[str, int]
    instruments: dict[str, int]

    def account(self, name: str) -> int:
        """Its id, or one that no account has."""
        return self.accounts.get(name, NOBODY)

    def instrument(self, symbol: str) -> int:
        """Its id, or one that no instrument has."""
        return self.instruments.get(symbol, NOBODY)

    def model(self) -> Exchange:
        """The reference, with the same accounts and instruments, before anybody has paid in."""
        exchange = Exchange(
            [
                Instrument(self.instruments[symbol], exact(each.tick), exact(each.lot), each.currency)
                for symbol, each in LISTINGS.items()
            ],
            [
                Account(self.accounts[name], RATES[person.account_type], person.currency)
                for name, person in PEOPLE.items()
            ],
        )
        for symbol, each in LISTINGS.items():
            if each.last_close is not None:
                exchange.last_close[self.instruments[symbol]] = Fraction(each.last_close)
        return exchange


async def set_up(connection: Connection) -> World:
    """New people and instruments; any number of worlds may be in one database."""
    for account_type, rates in RATES.items():
        await connection.execute(
            "insert into fee_schedule values ($1, $2, $3) on conflict do nothing",
            account_type,
            _decimal(rates.maker),
            _decimal(rates.taker),
        )
    number = await connection.fetchval("select count(*) from users")
    accounts, instruments = {}, {}
    for name, person in PEOPLE.items():
        accounts[name] = await connection.fetchval(
            """with someone as (
                   insert into users (email, username, password_hash) values ($1, $1, '!') returning user_id
               )
               insert into accounts (user_id, account_type, account_number, currency)
               select user_id, $2, $1, $3 from someone returning account_id""",
            f"{name}-{number}",
            person.account_type,
            person.currency,
        )
    for symbol, each in LISTINGS.items():
        instruments[symbol] = await connection.fetchval(
            """insert into instruments (symbol, name, instrument_type, currency, tick_size, lot_size)
               values ($1, $1, 'share', $2, $3::text::numeric, $4::text::numeric) returning instrument_id""",
            f"{symbol}-{number}",
            each.currency,
            each.tick,
            each.lot,
        )
        if each.last_close is not None:
            await connection.execute(
                "insert into market_data values ('2020-01-02', $1, $2, $2, $2, $2, 1)",
                instruments[symbol],
                Decimal(each.last_close),
            )
    return World(accounts, instruments)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
