"""A desk without a database: a small fixed market that a test can change, and that remembers what it was
asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from db.errors import PitsideError
from terminal.login import THIS_COMPUTER, LoginEntry, LoginForm, Protection
from terminal.state import (
    Account,
    AccountChoice,
    Answer,
    Book,
    Candle,
    Candles,
    Connection,
    DeskState,
    Instrument,
    Level,
    Notice,
    OrderEntry,
    Position,
    Quote,
    WorkingOrder,
)

D = Decimal
NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)


def _instrument(number: int, symbol: str, name: str, kind: str, tick: str, lot: str) -> Instrument:
    return Instrument(number, symbol, name, kind, "USD", D(tick), D(lot))


AAPL = _instrument(1, "AAPL", "Apple Inc.", "stock", "0.01", "1")
MSFT = _instrument(2, "MSFT", "Microsoft Corporation", "stock", "0.01", "1")
NVDA = _instrument(3, "NVDA", "NVIDIA Corporation", "stock", "0.01", "1")
TSLA = _instrument(4, "TSLA", "Tesla, Inc.", "stock", "0.01", "1")
SPY = _instrument(5, "SPY", "SPDR S&P 500 ETF Trust", "etf", "0.01", "1")
QQQ = _instrument(6, "QQQ", "Invesco QQQ Trust", "etf", "0.01", "1")
GLD = _instrument(7, "GLD", "SPDR Gold Shares", "etf", "0.01", "1")
EURUSD = _instrument(8, "EURUSD", "Euro / US dollar", "forex", "0.00001", "1000")
GBPUSD = _instrument(9, "GBPUSD", "Pound sterling / US dollar", "forex", "0.00001", "1000")
AUDUSD = _instrument(10, "AUDUSD", "Australian dollar / US dollar", "forex", "0.00001", "1000")
BTCUSD = _instrument(11, "BTCUSD", "Bitcoin / US dollar", "crypto", "0.5", "0.0001")
ETHUSD = _instrument(12, "ETHUSD", "Ether / US dollar", "crypto", "0.05", "0.001")
INSTRUMENTS = (AAPL, MSFT, NVDA, TSLA, SPY, QQQ, GLD, EURUSD, GBPUSD, AUDUSD, BTCUSD, ETHUSD)
LAST = {
    1: ("185.21", "183.90"),
    2: ("402.56", "404.10"),
    3: ("131.38", "128.77"),
    4: ("248.50", "251.44"),
    5: ("511.02", "509.83"),
    6: ("437.65", "436.20"),
    7: ("201.13", "201.13"),
    8: ("1.08423", "1.08297"),
    9: ("1.26514", "1.26822"),
    10: ("0.65218", "0.65190"),
    11: ("68250.5", "66912.0"),
    12: ("3512.35", "3544.90"),
}


def _quote(instrument: Instrument) -> Quote:
    last, close = (D(text) for text in LAST[instrument.instrument_id])
    tick = instrument.tick or D("0.01")
    return Quote(instrument.instrument_id, last - tick, last + tick, last, close, D(1_234_500))


def book_of(instrument: Instrument, levels: int = 14) -> Book:
    """A book around the last price; the sizes differ, but always in the same way."""
    last, tick, lot = (
        D(LAST[instrument.instrument_id][0]),
        instrument.tick or D("0.01"),
        instrument.lot or D(1),
    )

    def side(sign: int) -> tuple[Level, ...]:
        return tuple(
            Level(last + sign * tick * rank, lot * (100 + (rank * 7919 + sign * 131) % 900), 1 + rank * 7 % 5)
            for rank in range(1, levels + 1)
        )

    return Book(instrument.instrument_id, bids=side(-1), asks=side(1))


def candles_of(instrument: Instrument, timeframe: str = "1m", count: int = 240) -> Candles:
    """A walk that ends at the last price and is the same every time."""
    steps = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440, "1w": 10080, "1M": 43200}
    tick = instrument.tick or D("0.01")
    close, made, noise = D(LAST[instrument.instrument_id][0]), [], 12345 + instrument.instrument_id
    for index in range(count):
        noise = (noise * 1103515245 + 12345) % 2**31
        opened = close + tick * ((noise >> 8) % 31 - 15)
        high = max(opened, close) + tick * ((noise >> 14) % 12)
        low = min(opened, close) - tick * ((noise >> 18) % 12)
        time = NOW - timedelta(minutes=steps[timeframe] * index)
        made.append(Candle(time, opened, high, low, close, D(500 + (noise >> 10) % 9000)))
        close = opened
    return Candles(instrument.instrument_id, timeframe, tuple(reversed(made)))


ACCOUNT = Account(
    account_id=1,
    number="D-10001",
    kind="cash",
    currency="USD",
    balance=D("100000.00"),
    reserved=D("18510.00"),
    available=D("81490.00"),
    equity=D("143234.55"),
    unrealized=D("1320.10"),
    realized=D("-245.75"),
    commissions=D("37.12"),
    buying_power=D("81490.00"),
    maker_rate=D("0.0001"),
    taker_rate=D("0.0005"),
)
ACCOUNTS = (
    AccountChoice(1, "D-10001", "dana", "cash", "USD", D("100000.00"), "active"),
    AccountChoice(7, "D-20044", "dana", "margin", "USD", D("52310.75"), "active"),
    AccountChoice(9, "D-30007", "dana", "cash", "EUR", D("0.00"), "closed"),
)
OTHER_ACCOUNT = replace(
    ACCOUNT, account_id=7, number="D-20044", kind="margin", balance=D("52310.75"), available=D("52310.75")
)
POSITIONS = (
    Position(AAPL, D(120), D("178.4433"), D("185.21"), D("22225.20"), D("812.00"), D("0.00")),
    Position(BTCUSD, D("0.2500"), D("66100.0"), D("68250.5"), D("17062.63"), D("537.63"), D("-310.25")),
    Position(EURUSD, D(10000), D("1.08718"), D("1.08423"), D("10842.30"), D("-29.50"), D("64.50")),
)
ORDERS = (
    WorkingOrder(
        101, AAPL, "buy", "limit", D(100), D(0), D("185.10"), None, "open", "GTC", NOW - timedelta(minutes=12)
    ),
    WorkingOrder(
        102,
        AAPL,
        "sell",
        "limit",
        D(50),
        D(20),
        D("185.25"),
        None,
        "partially_filled",
        "GTC",
        NOW - timedelta(minutes=3),
    ),
)


def sample_state(instrument: Instrument = AAPL) -> DeskState:
    """A whole market, live, with positions and orders."""
    state = DeskState(
        connection=Connection("live", ""),
        demo=True,
        user="dana",
        accounts=ACCOUNTS[:1],
        account=ACCOUNT,
        instruments=INSTRUMENTS,
        instrument=instrument,
        quotes={i.instrument_id: _quote(i) for i in INSTRUMENTS},
        book=book_of(instrument),
        candles=candles_of(instrument),
        positions=POSITIONS,
        orders=ORDERS,
    )
    return with_own_orders(state)


def with_own_orders(state: DeskState) -> DeskState:
    """The same with one's own orders marked in the book."""
    assert state.book is not None

    def marked(levels: tuple[Level, ...], side: str) -> tuple[Level, ...]:
        own = {
            o.price: o.remaining for o in state.orders if o.side == side and o.instrument == state.instrument
        }
        return tuple(replace(level, own=own.get(level.price, D(0))) for level in levels)

    book = replace(state.book, bids=marked(state.book.bids, "buy"), asks=marked(state.book.asks, "sell"))
    return replace(state, book=book)


class FakeDesk:
    """A TradingDesk whose state is set by the test. `asked` are the requests in order; `answers` what the
    next get."""

    def __init__(self, state: DeskState | None = None) -> None:
        self._state = sample_state() if state is None else state
        self._listeners: list[tuple[Callable[[DeskState], None], Callable[[Notice], None]]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.answers: list[Answer] = []
        self.failure: Exception | None = None

    @property
    def state(self) -> DeskState:
        return self._state

    def listen(
        self, on_state: Callable[[DeskState], None], on_notice: Callable[[Notice], None]
    ) -> Callable[[], None]:
        pair = (on_state, on_notice)
        self._listeners.append(pair)
        return lambda: self._listeners.remove(pair)

    def set(self, **changes: Any) -> None:
        """Change parts of the state and tell the listeners."""
        self._state = replace(self._state, **changes)
        for on_state, _ in self._listeners:
            on_state(self._state)

    def tell(self, notice: Notice) -> None:
        """Tell the listeners of something."""
        for _, on_notice in self._listeners:
            on_notice(notice)

    async def run(self) -> None:
        if self.failure is not None:
            raise self.failure
        await asyncio.Event().wait()

    async def look_at(self, instrument_id: int) -> None:
        self.asked.append(("look_at", instrument_id))
        instrument = next(i for i in INSTRUMENTS if i.instrument_id == instrument_id)
        self.set(instrument=instrument, book=book_of(instrument), candles=candles_of(instrument))

    async def set_timeframe(self, timeframe: str) -> None:
        self.asked.append(("set_timeframe", timeframe))
        if self._state.instrument is not None:
            self.set(candles=candles_of(self._state.instrument, timeframe))

    async def list_accounts(self) -> tuple[AccountChoice, ...]:
        self.asked.append(("list_accounts",))
        return self._state.accounts

    async def switch_account(self, account_id: int) -> None:
        self.asked.append(("switch_account", account_id))
        account = {1: ACCOUNT, 7: OTHER_ACCOUNT}[account_id]
        self.set(account=account, positions=POSITIONS if account is ACCOUNT else (), orders=())

    async def place(self, entry: OrderEntry) -> Answer:
        self.asked.append(("place", entry))
        return self._answer("accepted", "Order 103 rests in the book")

    async def cancel(self, order_id: int) -> Answer:
        self.asked.append(("cancel", order_id))
        self.set(orders=tuple(order for order in self._state.orders if order.order_id != order_id))
        return self._answer("cancelled", f"Order {order_id} is cancelled")

    async def cancel_all(self) -> Answer:
        self.asked.append(("cancel_all",))
        self.set(orders=())
        return self._answer("cancelled", "All orders are cancelled")

    async def reduce(self, order_id: int, quantity: Decimal) -> Answer:
        self.asked.append(("reduce", order_id, quantity))
        return self._answer("accepted", f"Order {order_id} is reduced")

    def _answer(self, outcome: Any, text: str) -> Answer:
        return self.answers.pop(0) if self.answers else Answer(outcome, text)


class FakeEntrance:
    """An Entrance that lets `desk` in, after what the test wants to happen.

    `asked` are the entries in order; `refusals` what the next ones are answered with; `gate`, when there is
    one, is waited for.
    """

    def __init__(
        self, form: LoginForm | None = None, *, desk: FakeDesk | None = None, keyring: bool = False
    ) -> None:
        self.form = form or LoginForm("", "db.example")
        self.desk = desk or FakeDesk()
        self.keeps_passwords = keyring
        self.kept: set[tuple[str, str]] = set()
        self.asked: list[LoginEntry] = []
        self.refusals: list[PitsideError] = []
        self.gate: asyncio.Event | None = None

    def protection(self, server: str) -> Protection:
        if server == THIS_COMPUTER:
            return Protection("safe", "Nothing leaves this computer")
        if server.startswith("weak"):
            return Protection("weak", "Encrypted only where offered, unverified")
        if not server or " " in server:
            return Protection("none", "")
        return Protection("safe", "Encrypted; the server must prove who it is")

    async def has_password(self, user: str, server: str) -> bool:
        return (user, server) in self.kept

    async def enter(self, entry: LoginEntry) -> FakeDesk:
        self.asked.append(entry)
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        self.form = LoginForm(entry.user, entry.server)
        return self.desk
