"""What an order would cost, from the book as it is shown; exact once it is sent, never before."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from terminal.state import Account, Book, OrderEntry, Position, Side, WorkingOrder

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Traded value and commission in the account's currency.

    `immediate` is what the book would fill at once, `average` its price (None: nothing would). `notional`
    counts a limit order whole, what rests at its limit; a market order as far as the book shown goes.
    `commission` is None when the rates are not known.
    """

    notional: Decimal
    commission: Decimal | None
    immediate: Decimal
    average: Decimal | None

    def total(self, side: Side) -> Decimal:
        """What leaves the account (buy) or comes in (sell)."""
        fee = self.commission or Decimal(0)
        return self.notional + fee if side == "buy" else self.notional - fee


def estimate(entry: OrderEntry, book: Book | None, account: Account | None) -> Estimate:
    """Walk the book on the other side as far as quantity and limit go; own orders there are passed over (rule
    14)."""
    levels = () if book is None else book.asks if entry.side == "buy" else book.bids
    left, taken_value = entry.quantity, Decimal(0)
    for level in levels:
        if entry.price is not None and (
            level.price > entry.price if entry.side == "buy" else level.price < entry.price
        ):
            break
        quantity = min(left, level.quantity - level.own)
        taken_value += quantity * level.price
        left -= quantity
        if not left:
            break
    immediate = entry.quantity - left
    rests = left if entry.price is not None and entry.time_in_force != "IOC" else Decimal(0)
    resting_value = rests * (entry.price or Decimal(0))
    commission = None
    if account is not None and account.taker_rate is not None and account.maker_rate is not None:
        commission = _cents(taken_value * account.taker_rate) + _cents(resting_value * account.maker_rate)
    return Estimate(
        notional=_cents(taken_value + resting_value),
        commission=commission,
        immediate=immediate,
        average=taken_value / immediate if immediate else None,
    )


def held(instrument_id: int, positions: tuple[Position, ...]) -> Decimal:
    """The signed quantity held of an instrument."""
    return next((p.quantity for p in positions if p.instrument.instrument_id == instrument_id), Decimal(0))


def free_to_sell(
    instrument_id: int, positions: tuple[Position, ...], orders: tuple[WorkingOrder, ...]
) -> Decimal:
    """What is held and not already offered by open sells (rule 21)."""
    offered = sum(
        (o.remaining for o in orders if o.side == "sell" and o.instrument.instrument_id == instrument_id),
        Decimal(0),
    )
    return max(Decimal(0), held(instrument_id, positions) - offered)


def _cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)
