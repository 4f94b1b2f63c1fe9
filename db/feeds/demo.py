"""The demo market: instruments with a past, a demo trader with cash and a few positions, and those who
trade against them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal

from db.accounts import NO_PASSWORD
from db.database import Connection, Database
from db.feeds import history, locks, participants
from db.feeds.catalogue import LISTINGS, Listing
from db.settings import SimulationSettings

ACCOUNT = "DEMO"
"""Number of the demo trader's account."""

DEPOSITS = (Decimal("200000.00"), Decimal("50000.00"))

HOLDINGS = (
    ("AAPL", Decimal(100)),
    ("SPY", Decimal(60)),
    ("EUR/USD", Decimal(20_000)),
    ("BTC/USD", Decimal("0.25")),
)
"""What the demo trader has bought, of the first simulated maker, at the last price."""

SEED = 1
"""Of the history, where the settings name none: everybody's demo looks the same."""

_COLUMNS = ("time", "instrument_id", "open", "high", "low", "close", "volume")


async def ensure(
    database: Database, settings: SimulationSettings, progress: Callable[[str], None] = lambda _step: None
) -> bool:
    """Set the demo up in a database that has no instruments; whether there was anything to do.

    All of it is one transaction, so two processes at once end with one demo, and one that is killed leaves
    nothing. `progress` is told what is being done, in words.
    """
    if await database.fetchval("select exists (select from instruments)"):
        return False
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1, 0)", locks.DEMO)
        if await connection.fetchval("select exists (select from instruments)"):
            return False
        progress("instruments")
        listed = [(listing, await _list(connection, listing)) for listing in LISTINGS]
        progress("history")
        await _write_history(connection, listed, settings.seed if settings.seed is not None else SEED)
        progress("the demo trader")
        account_id = await _open_demo_account(connection)
        await _buy_holdings(connection, account_id, {listing.symbol: key for listing, key in listed})
    return True


async def _list(connection: Connection, listing: Listing) -> int:
    instrument_id: int = await connection.fetchval(
        "insert into instruments (symbol, name, instrument_type, exchange, currency, tick_size, lot_size)"
        " values ($1, $2, $3, $4, $5, $6, $7) returning instrument_id",
        listing.symbol,
        listing.name,
        listing.instrument_type,
        listing.exchange,
        listing.currency,
        listing.tick_size,
        listing.lot_size,
    )
    return instrument_id


async def _write_history(connection: Connection, listed: list[tuple[Listing, int]], seed: int) -> None:
    """Bars of all instruments, in order of time, as the table grows in life."""
    now = datetime.now(UTC).replace(tzinfo=None)
    await connection.execute(
        "select internal.ensure_bar_partitions($1, $2)",
        datetime.combine(history.first_day(now), time.min),
        now,
    )
    bars = [bar for listing, key in listed for bar in history.bars(listing, key, str(seed), now)]
    bars.sort(key=lambda bar: (bar[0], bar[1]))
    await connection.copy_records_to_table("market_data", records=bars, columns=_COLUMNS)


async def _open_demo_account(connection: Connection) -> int:
    """The demo trader's cash account. It is opened before any other, so that it is the terminal's default."""
    account_id: int = await connection.fetchval(
        "with trader as ("
        " insert into users (email, username, password_hash, first_name, last_name)"
        " values ('demo@pitside.invalid', 'demo', $1, 'Demo', 'Trader') returning user_id)"
        " insert into accounts (user_id, account_type, account_number)"
        " select user_id, 'cash', $2 from trader returning account_id",
        NO_PASSWORD,
        ACCOUNT,
    )
    for amount in DEPOSITS:
        await connection.execute("select deposit($1, $2, 'Demo deposit')", account_id, amount)
    return account_id


async def _buy_holdings(connection: Connection, account_id: int, keys: dict[str, int]) -> None:
    """Buy the demo trader's positions, of a simulated maker: for every share held there is one that was
    sold."""
    prices = {listing.symbol: listing.price for listing in LISTINGS}
    maker = await participants.enrol(connection, participants.makers(1)[0], "USD")
    for symbol, quantity in HOLDINGS:
        for account, side in ((maker.account_id, "sell"), (account_id, "buy")):
            await connection.execute(
                "select place_order($1, $2, 'limit', $3, $4, $5)",
                account,
                keys[symbol],
                side,
                quantity,
                prices[symbol],
            )
