"""What a screen shows, as plain immutable values, and what it may ask of a desk.

The desk makes these from the database, the panes draw them; neither Textual nor the data layer is needed
here. A part that did not change keeps its identity from one `DeskState` to the next, so a pane finds out with
`is` whether it has to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

Side = Literal["buy", "sell"]
TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d", "1w", "1M")


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that can be traded. `tick` and `lot` are None where the exchange sets none."""

    instrument_id: int
    symbol: str
    name: str
    kind: str
    currency: str
    tick: Decimal | None
    lot: Decimal | None

    @property
    def price_decimals(self) -> int:
        """How many decimals its prices show."""
        return _decimals(self.tick, default=2)

    @property
    def quantity_decimals(self) -> int:
        """How many decimals its quantities show."""
        return _decimals(self.lot, default=0)


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of the book and last trade; None where there is none."""

    instrument_id: int
    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    previous_close: Decimal | None = None
    volume: Decimal | None = None

    @property
    def change(self) -> Decimal | None:
        """Last against the previous close, as a share of it."""
        if self.last is None or not self.previous_close:
            return None
        return self.last / self.previous_close - 1


@dataclass(frozen=True, slots=True)
class Level:
    """One price of the book: everybody's quantity, how many orders, and how much of it is one's own."""

    price: Decimal
    quantity: Decimal
    orders: int
    own: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides of one instrument's book, best first."""

    instrument_id: int
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    @property
    def spread(self) -> Decimal | None:
        """Best ask less best bid."""
        return self.asks[0].price - self.bids[0].price if self.bids and self.asks else None


@dataclass(frozen=True, slots=True)
class Account:
    """The trader's account, marked at read. Rates are shares of the traded value; None: not known."""

    account_id: int
    number: str
    kind: str
    currency: str
    balance: Decimal
    reserved: Decimal
    available: Decimal
    equity: Decimal
    unrealized: Decimal
    realized: Decimal
    commissions: Decimal
    buying_power: Decimal
    margin_call: bool = False
    maker_rate: Decimal | None = None
    taker_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountChoice:
    """An account that may be looked at; `owner` is its user's name, `status` `active` or a word for why it
    takes no orders."""

    account_id: int
    number: str
    owner: str | None
    kind: str
    currency: str
    balance: Decimal
    status: str


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of one instrument, marked at read; a negative quantity is short."""

    instrument: Instrument
    quantity: Decimal
    average: Decimal
    mark: Decimal | None
    market_value: Decimal
    unrealized: Decimal
    realized: Decimal


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that can still fill."""

    order_id: int
    instrument: Instrument
    side: Side
    order_type: str
    quantity: Decimal
    filled: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: str
    time_in_force: str
    created_at: datetime

    @property
    def remaining(self) -> Decimal:
        """What is still to fill."""
        return self.quantity - self.filled


@dataclass(frozen=True, slots=True)
class Candle:
    """Prices and volume from `time` (UTC, aware) on, for one timeframe."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Candles:
    """An instrument's candles, oldest first."""

    instrument_id: int
    timeframe: str
    candles: tuple[Candle, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """How things stand with the database. `heard_at` is `time.monotonic()` of its last answer; None: none
    yet."""

    status: Literal["starting", "live", "lost"] = "starting"
    message: str = "Connecting"
    heard_at: float | None = None


@dataclass(frozen=True, slots=True)
class DeskState:
    """Everything a trading screen shows. `user` is who has logged in, "" until that is known; `accounts` are
    those that they may look at."""

    connection: Connection = field(default_factory=Connection)
    demo: bool = False
    user: str = ""
    accounts: tuple[AccountChoice, ...] = ()
    account: Account | None = None
    instruments: tuple[Instrument, ...] = ()
    instrument: Instrument | None = None
    quotes: Mapping[int, Quote] = field(default_factory=dict)
    book: Book | None = None
    candles: Candles | None = None
    positions: tuple[Position, ...] = ()
    orders: tuple[WorkingOrder, ...] = ()

    @property
    def quote(self) -> Quote | None:
        """The quote of the instrument that is looked at."""
        return self.quotes.get(self.instrument.instrument_id) if self.instrument else None


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An order as the ticket has it, not sent yet.

    `account_id` is the account that it was made out for (None: whichever is looked at when it is sent).
    """

    instrument: Instrument
    side: Side
    order_type: str
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    account_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request. `error`: refused as senseless; `unknown`: the connection broke before the
    answer came."""

    outcome: Literal["accepted", "filled", "partial", "cancelled", "rejected", "error", "unknown"]
    text: str
    field: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether it went as asked."""
        return self.outcome in ("accepted", "filled", "partial", "cancelled")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened without being asked for just now, such as a fill of a resting order."""

    text: str
    kind: Literal["buy", "sell", "info", "problem"] = "info"


class TradingDesk(Protocol):
    """What the screen needs of a desk. All requests answer; none raises for what the database refuses."""

    @property
    def state(self) -> DeskState:
        """How things stand now."""

    def listen(
        self, on_state: Callable[[DeskState], None], on_notice: Callable[[Notice], None]
    ) -> Callable[[], None]:
        """Be told of every new state and notice, on the event loop; call what is returned to stop that."""

    async def run(self) -> None:
        """Keep the state up to date until cancelled. Raises what makes going on impossible."""

    async def look_at(self, instrument_id: int) -> None:
        """Show another instrument."""

    async def set_timeframe(self, timeframe: str) -> None:
        """Show other candles."""

    async def list_accounts(self) -> tuple[AccountChoice, ...]:
        """The accounts that may be looked at, as they are now; the state has them afterwards."""

    async def switch_account(self, account_id: int) -> None:
        """Look at another account: its money, positions and orders come at one stroke."""

    async def place(self, entry: OrderEntry) -> Answer:
        """Send an order."""

    async def cancel(self, order_id: int) -> Answer:
        """Cancel one order."""

    async def cancel_all(self) -> Answer:
        """Cancel every working order of the account."""

    async def reduce(self, order_id: int, quantity: Decimal) -> Answer:
        """Replace an order's total quantity by a smaller one."""


def _decimals(step: Decimal | None, *, default: int) -> int:
    if step is None:
        return default
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else default
