"""Makes the pictures of the documentation: `make pictures`, or `python -m docs.pictures` in the repository.

The real terminal draws them, on a fixed market instead of a database: the demo's instruments and their
made-up past, seen at one moment. So the same program always makes the same pictures, and a change of the
screen shows in them. What they show adds up as it does in the exchange: equity is cash and positions, and so
on.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import click
from textual.widgets import Input

from db.feeds import demo, history
from db.feeds.catalogue import LISTINGS, Listing
from terminal.app import PitsideApp
from terminal.login import LoginForm
from terminal.state import (
    Account,
    Book,
    Candle,
    Candles,
    Connection,
    DeskState,
    Instrument,
    Level,
    Position,
    Quote,
    Side,
    WorkingOrder,
)
from tests.terminal.fakes import FakeDesk, FakeEntrance, with_own_orders
from tests.terminal.screen import chart_drawn, settle

FOLDER = Path(__file__).parent / "pictures"
NOW = datetime(2026, 3, 2, 19, 45)  # noqa: DTZ001 - the data layer speaks naive UTC
CENT = Decimal("0.01")
NEAREST = 3  # ticks from the last price to the best bid and ask
DEPOSITS = sum(demo.DEPOSITS)
REALIZED = {"AAPL": Decimal("412.60"), "NVDA": Decimal("-87.25")}
HELD = (  # symbol, quantity, average price
    ("AAPL", "100", "583.2140"),
    ("BTC/USD", "0.25", "63810.5"),
    ("EUR/USD", "20000", "1.0862"),
    ("NVDA", "0", "0"),
    ("SPY", "60", "569.95"),
)
WORKING: tuple[
    tuple[int, str, Side, str, str, str, int], ...
] = (  # id, symbol, side, quantity, filled, price, age
    (20418, "AAPL", "buy", "25", "0", "585.37", 14),
    (20391, "AAPL", "sell", "40", "15", "585.91", 31),
    (18754, "KO", "buy", "200", "0", "65.90", 126),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file name, the size of the screen in characters, and the keys that lead to what it shows."""

    name: str
    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    connected: bool = True
    at_login: bool = False


PICTURES = (
    Picture("terminal", (200, 50), ("1", "0")),
    Picture("small", (80, 24), ("1", "0", "enter")),
    Picture("keys", (120, 40), ("question_mark",)),
    Picture("lost", (120, 40), connected=False),
    Picture("login", (80, 24), tuple("secret"), at_login=True),
)


def _instrument(number: int, listing: Listing) -> Instrument:
    return Instrument(
        number,
        listing.symbol,
        listing.name,
        listing.instrument_type,
        listing.currency,
        listing.tick_size,
        listing.lot_size,
    )


INSTRUMENTS = tuple(
    _instrument(number, listing)
    for number, listing in enumerate(sorted(LISTINGS, key=lambda listing: listing.symbol), start=1)
)
BY_SYMBOL = {instrument.symbol: instrument for instrument in INSTRUMENTS}


def market() -> DeskState:
    """Everything that the screen shows, at one moment of the demo market."""
    shown = BY_SYMBOL["AAPL"]
    past = {listing.symbol: _past(listing) for listing in LISTINGS}
    quotes = {
        instrument.instrument_id: _quote(instrument, past[instrument.symbol]) for instrument in INSTRUMENTS
    }
    last = {instrument: past[instrument.symbol][-1].close for instrument in INSTRUMENTS}
    positions = tuple(
        _position(BY_SYMBOL[symbol], last[BY_SYMBOL[symbol]], Decimal(quantity), Decimal(average))
        for symbol, quantity, average in HELD
    )
    orders = tuple(
        WorkingOrder(
            order_id=order_id,
            instrument=BY_SYMBOL[symbol],
            side=side,
            order_type="limit",
            quantity=Decimal(quantity),
            filled=Decimal(filled),
            price=Decimal(price),
            stop_price=None,
            status="partially_filled" if Decimal(filled) else "open",
            time_in_force="GTC",
            created_at=NOW.replace(tzinfo=UTC) - timedelta(minutes=age, seconds=order_id % 60),
        )
        for order_id, symbol, side, quantity, filled, price, age in WORKING
    )
    return with_own_orders(
        DeskState(
            connection=Connection("live", ""),
            demo=True,
            account=_account(positions, orders),
            instruments=INSTRUMENTS,
            instrument=shown,
            quotes=quotes,
            book=_book(shown, last[shown], orders),
            candles=Candles(shown.instrument_id, "1m", past["AAPL"]),
            positions=positions,
            orders=orders,
        )
    )


def _past(listing: Listing) -> tuple[Candle, ...]:
    """The minute candles of the demo, the same as `make run` shows to everybody."""
    bars = history.bars(listing, BY_SYMBOL[listing.symbol].instrument_id, str(demo.SEED), NOW)
    minutes = [bar for bar in bars if bar[0].date() >= NOW.date() - timedelta(days=history.MINUTE_DAYS)]
    return tuple(Candle(bar[0].replace(tzinfo=UTC), *bar[2:]) for bar in minutes)


def _quote(instrument: Instrument, past: Sequence[Candle]) -> Quote:
    today = [candle for candle in past if candle.time.date() == NOW.date()]
    before = next(candle for candle in reversed(past) if candle.time.date() < NOW.date())
    tick, last = instrument.tick or CENT, past[-1].close
    return Quote(
        instrument.instrument_id,
        bid=last - NEAREST * tick,
        ask=last + NEAREST * tick,
        last=last,
        previous_close=before.close,
        volume=sum((candle.volume for candle in today), Decimal(0)),
    )


def _book(instrument: Instrument, last: Decimal, orders: Sequence[WorkingOrder]) -> Book:
    """Levels some ticks apart, more quantity away from the market, and one's own orders among them."""
    rng = random.Random(7)  # the same book every time
    tick = instrument.tick or CENT

    def side(word: Side, best: Decimal, sign: int) -> tuple[Level, ...]:
        levels, price = {}, best
        for rank in range(24):
            levels[price] = Level(price, Decimal(rng.randint(20, 70) + 3 * rank), rng.choice((1, 1, 2, 2, 3)))
            price += sign * tick * rng.randint(1, 6)
        for order in orders:
            if order.instrument == instrument and order.side == word and order.price is not None:
                there = levels.get(order.price, Level(order.price, Decimal(0), 0))
                levels[order.price] = replace(
                    there, quantity=there.quantity + order.remaining, orders=there.orders + 1
                )
        return tuple(sorted(levels.values(), key=lambda level: sign * level.price))

    return Book(
        instrument.instrument_id,
        bids=side("buy", last - NEAREST * tick, -1),
        asks=side("sell", last + NEAREST * tick, 1),
    )


def _position(instrument: Instrument, mark: Decimal, quantity: Decimal, average: Decimal) -> Position:
    return Position(
        instrument,
        quantity=quantity,
        average=average,
        mark=mark,
        market_value=_cents(quantity * mark),
        unrealized=_cents(quantity * (mark - average)),
        realized=REALIZED.get(instrument.symbol, Decimal(0)),
    )


def _account(positions: Sequence[Position], orders: Sequence[WorkingOrder]) -> Account:
    realized = sum((position.realized for position in positions), Decimal(0))
    spent = sum((_cents(position.quantity * position.average) for position in positions), Decimal(0))
    balance = DEPOSITS + realized - spent
    buys = [order for order in orders if order.side == "buy"]
    reserved = sum((_cents(order.remaining * (order.price or 0)) for order in buys), Decimal(0))
    return Account(
        account_id=1,
        number=demo.ACCOUNT,
        kind="cash",
        currency="USD",
        balance=balance,
        reserved=reserved,
        available=balance - reserved,
        equity=balance + sum((position.market_value for position in positions), Decimal(0)),
        unrealized=sum((position.unrealized for position in positions), Decimal(0)),
        realized=realized,
        commissions=Decimal(0),
        buying_power=balance - reserved,
        maker_rate=Decimal(0),
        taker_rate=Decimal(0),
    )


def _cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


async def draw(picture: Picture) -> str:
    """The picture as SVG."""
    state = market()
    if not picture.connected:
        # Minutes, so that it does not count how long the drawing takes.
        state = replace(state, connection=Connection("lost", "reconnecting", time.monotonic() - 180))
    app = PitsideApp(
        None if picture.at_login else FakeDesk(state),
        theme="pitside-dark",
        confirm=True,
        timeframe="1m",
        entrance=FakeEntrance(LoginForm("jo", "db.example"), keyring=True),
    )
    async with app.run_test(size=picture.size) as pilot:
        await settle(pilot)
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause()
        await settle(pilot)
        for field in app.screen.query(Input):
            field.cursor_blink = False
        if app.screen.query("ChartPane"):
            await chart_drawn(pilot)
        return app.export_screenshot(title="Pitside", simplify=True)


def main() -> None:
    """Write all pictures."""
    os.environ["TZ"] = "America/New_York"  # the screen shows local time
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        file = FOLDER / f"{picture.name}.svg"
        file.write_text(asyncio.run(draw(picture)), encoding="utf-8")
        click.echo(f"{file.relative_to(FOLDER.parent.parent)}  {file.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
