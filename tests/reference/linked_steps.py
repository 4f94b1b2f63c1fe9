"""The requests of a story that place linked orders (docs/rules.md, L1 to L3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from db.database import Connection
from tests.reference.exchange import Exchange
from tests.reference.linked_terms import BracketTerms, OcoTerms, TrailingTerms
from tests.reference.steps import Cast, Place, Step, number


@dataclass(frozen=True, repr=False)
class PlaceOco(Step):
    """`place_oco`; `label` names the limit, and with "-stop" behind it the stop, if there is one."""

    label: str
    account: str
    instrument: str
    side: str
    quantity: str
    limit_price: str | None
    stop_price: str | None
    stop_limit_price: str | None = None
    time_in_force: str = "GTC"
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    in_parts = True
    answers_ids = True

    def terms(self, cast: Cast) -> OcoTerms:
        """With ids for names and numbers for text."""
        return OcoTerms(
            cast.world.account(self.account),
            cast.world.instrument(self.instrument),
            self.side,
            Decimal(self.quantity),
            number(self.limit_price),
            number(self.stop_price),
            number(self.stop_limit_price),
            self.time_in_force,
            self.self_trade,
            self.client_order_id,
        )

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        numbers = model.place_oco(self.terms(cast))
        cast.in_model.update(zip((self.label, f"{self.label}-stop"), numbers, strict=False))
        return numbers

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        row = await connection.fetchrow(
            "select * from place_oco($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *vars(self.terms(cast)).values(),
        )
        assert row is not None
        cast.in_database[self.label] = row["limit_order_id"]
        if row["stop_order_id"] is not None:
            cast.in_database[f"{self.label}-stop"] = row["stop_order_id"]
        return list(row)


@dataclass(frozen=True, repr=False)
class PlaceBracket(Step):
    """`place_bracket` with this entry; its exits are named after it, with ".1" and so on behind."""

    entry: Place
    take_profit: str | None
    stop_loss: str | None

    answers_ids = True

    def terms(self, cast: Cast) -> BracketTerms:
        """With ids for names and numbers for text."""
        return BracketTerms(self.entry.terms(cast), number(self.take_profit), number(self.stop_loss))

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        order = model.place_bracket(self.terms(cast))
        cast.in_model[self.entry.label] = order
        return order

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        terms = self.terms(cast)
        entry = terms.entry
        order_id = await connection.fetchval(
            "select place_bracket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            entry.account_id,
            entry.instrument_id,
            entry.order_type,
            entry.side,
            entry.quantity,
            entry.price,
            terms.take_profit,
            terms.stop_loss,
            entry.stop_price,
            entry.time_in_force,
            entry.self_trade,
            entry.client_order_id,
        )
        cast.in_database[self.entry.label] = order_id
        return order_id


@dataclass(frozen=True, repr=False)
class PlaceTrailing(Step):
    """`place_trailing_stop`; `label` names the order."""

    label: str
    account: str
    instrument: str
    side: str
    quantity: str
    trail_amount: str | None = None
    trail_percent: str | None = None
    stop_price: str | None = None
    time_in_force: str = "GTC"
    self_trade: str = "cancel_newest"
    client_order_id: str | None = None

    answers_ids = True

    def terms(self, cast: Cast) -> TrailingTerms:
        """With ids for names and numbers for text."""
        return TrailingTerms(
            cast.world.account(self.account),
            cast.world.instrument(self.instrument),
            self.side,
            Decimal(self.quantity),
            number(self.trail_amount),
            number(self.trail_percent),
            number(self.stop_price),
            self.time_in_force,
            self.self_trade,
            self.client_order_id,
        )

    def ask_model(self, model: Exchange, cast: Cast) -> object:
        order = model.place_trailing_stop(self.terms(cast))
        cast.in_model[self.label] = order
        return order

    async def ask_database(self, connection: Connection, cast: Cast) -> object:
        order_id = await connection.fetchval(
            "select place_trailing_stop($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *vars(self.terms(cast)).values(),
        )
        cast.in_database[self.label] = order_id
        return order_id
