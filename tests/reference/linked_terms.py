"""What can be asked for as one-cancels-other, bracket or trailing stop (docs/rules.md, "Linked orders")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.reference.numbers import exact, is_multiple
from tests.reference.terms import Instrument, Terms, is_sound, wrong_fields


@dataclass(frozen=True)
class OcoTerms:
    """A limit and a stop, or stop-limit, of one side that share one quantity (L1)."""

    account_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    stop_limit_price: Decimal | None = None
    time_in_force: str = "GTC"
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    @property
    def limit(self) -> Terms:
        """The one that comes first."""
        return Terms(
            self.account_id,
            self.instrument_id,
            "limit",
            self.side,
            self.quantity,
            self.limit_price,
            time_in_force=self.time_in_force,
            self_trade=self.self_trade,
        )

    def stop(self, quantity: Decimal | Fraction) -> Terms:
        """The other, for what the first has left."""
        return Terms(
            self.account_id,
            self.instrument_id,
            "stop" if self.stop_limit_price is None else "stop_limit",
            self.side,
            quantity,
            self.stop_limit_price,
            self.stop_price,
            self.time_in_force,
            self_trade=self.self_trade,
        )

    def wrong_fields(self, instrument: Instrument) -> Iterator[str]:
        """The fields that make no sense."""
        if self.time_in_force not in ("GTC", "DAY"):
            yield "time_in_force"
        yield from wrong_fields(self.limit, instrument)
        yield from wrong_fields(self.stop(self.quantity), instrument)
        if self.limit_price is None or self.stop_price is None:
            return
        beyond = self.limit_price - self.stop_price
        if self.side in ("buy", "sell") and (beyond <= 0 if self.side == "sell" else beyond >= 0):
            yield "stop_price"


@dataclass(frozen=True)
class BracketTerms:
    """An entry, and where what it fills is to be sold or bought back (L2)."""

    entry: Terms
    take_profit: Decimal | None
    stop_loss: Decimal | None

    def wrong_fields(self, instrument: Instrument) -> Iterator[str]:
        """The fields that make no sense: the profit lies beyond the entry, the loss before it."""
        yield from wrong_fields(self.entry, instrument)
        profit, loss = exact(self.take_profit), exact(self.stop_loss)
        for field, value in (("take_profit", profit), ("stop_loss", loss)):
            if not is_sound(value, instrument.tick):
                yield field
        if profit is None or loss is None or self.entry.side not in ("buy", "sell"):
            return
        sign = 1 if self.entry.side == "buy" else -1
        start = exact(self.entry.price if self.entry.price is not None else self.entry.stop_price)
        if sign * loss >= sign * profit or (start is not None and sign * loss >= sign * start):
            yield "stop_loss"
        if start is not None and sign * profit <= sign * start:
            yield "take_profit"


@dataclass(frozen=True)
class TrailingTerms:
    """A stop that follows the last trade (L3)."""

    account_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = "GTC"
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    def stop(self, stop_price: Decimal | Fraction | None) -> Terms:
        """As it stands at first."""
        return Terms(
            self.account_id,
            self.instrument_id,
            "stop",
            self.side,
            self.quantity,
            stop_price=stop_price,
            time_in_force=self.time_in_force,
            self_trade=self.self_trade,
        )

    def wrong_fields(self, instrument: Instrument) -> Iterator[str]:
        """Those of the trail; the rest is looked at when it is known where the stop starts."""
        amount, percent = exact(self.trail_amount), exact(self.trail_percent)
        if (amount is None) == (percent is None) or (
            amount is not None and not is_sound(amount, instrument.tick)
        ):
            yield "trail_amount"
        if percent is not None and not (0 < percent < 100 and is_multiple(percent, Fraction(1, 10_000))):
            yield "trail_percent"
        if self.stop_price is not None:
            yield from wrong_fields(self.stop(self.stop_price), instrument)


Request = Terms | OcoTerms | BracketTerms | TrailingTerms
