"""The instruments of the demo market. Names are real so that they are easy to remember; the market is made
up.

Everything settles in US dollars, so that one account can trade all of it (an account's currency must be the
instrument's).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument to be: `price` is about where it trades, `volume` what it turns over on a usual
    day, in units."""

    symbol: str
    name: str
    instrument_type: str
    exchange: str
    tick_size: Decimal | None
    lot_size: Decimal | None
    price: Decimal
    volume: int
    currency: str = "USD"


def _listing(
    symbol: str,
    name: str,
    kind: str,
    exchange: str,
    tick: str | None,
    lot: str | None,
    price: str,
    volume: int,
) -> Listing:
    return Listing(
        symbol,
        name,
        kind,
        exchange,
        None if tick is None else Decimal(tick),
        None if lot is None else Decimal(lot),
        Decimal(price),
        volume,
    )


# AAPL stands where the recorded tapes of 2012 begin, so that a tape carries its chart on.
LISTINGS = (
    _listing("AAPL", "Apple Inc.", "share", "NASDAQ", "0.01", "1", "585.60", 14_000_000),
    _listing("MSFT", "Microsoft Corporation", "share", "NASDAQ", "0.01", "1", "428.35", 20_000_000),
    _listing("NVDA", "NVIDIA Corporation", "share", "NASDAQ", "0.01", "1", "131.40", 210_000_000),
    _listing("JPM", "JPMorgan Chase & Co.", "share", "NYSE", "0.01", "1", "214.90", 9_000_000),
    _listing("KO", "The Coca-Cola Company", "share", "NYSE", "0.01", "1", "66.15", 13_000_000),
    _listing("SPY", "SPDR S&P 500 ETF Trust", "etf", "ARCA", "0.01", "1", "571.20", 48_000_000),
    _listing("QQQ", "Invesco QQQ Trust", "etf", "NASDAQ", "0.01", "1", "487.75", 34_000_000),
    _listing("TLT", "iShares 20+ Year Treasury Bond ETF", "etf", "NASDAQ", "0.01", "1", "96.45", 32_000_000),
    _listing("EUR/USD", "Euro / US dollar", "currency_pair", "FX", "0.0001", "1000", "1.0850", 900_000_000),
    _listing(
        "GBP/USD",
        "Pound sterling / US dollar",
        "currency_pair",
        "FX",
        "0.0001",
        "1000",
        "1.2740",
        500_000_000,
    ),
    _listing("BTC/USD", "Bitcoin / US dollar", "crypto", "CRYPTO", "0.5", None, "64250.00", 24_000),
    _listing("ETH/USD", "Ether / US dollar", "crypto", "CRYPTO", "0.01", "0.01", "3150.00", 310_000),
)

YEARLY_VOLATILITY = {"share": 0.28, "etf": 0.16, "currency_pair": 0.08, "crypto": 0.55}
"""Standard deviation of a year's return, by instrument type."""

USUAL_VOLATILITY = 0.25
"""For instrument types that are not in the table."""


def volatility(instrument_type: str) -> float:
    """The yearly volatility that suits an instrument of this type."""
    return YEARLY_VOLATILITY.get(instrument_type, USUAL_VOLATILITY)
