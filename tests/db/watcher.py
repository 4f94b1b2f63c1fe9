"""Writes down what everybody sees of their accounts, and asks the journal about it later."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import asyncpg

# What an account is now, in the words of account_state, by the live tables.
LIVE = """
select a.account_id, (clock_timestamp() at time zone 'UTC')::text as at,
       (select max(event_id) from journal j where j.account_id = a.account_id) as event_id,
       jsonb_build_object(
           'balance', s.balance, 'reserved', s.reserved, 'available', s.available, 'equity', s.equity,
           'realized_pnl', s.realized_pnl, 'unrealized_pnl', s.unrealized_pnl, 'commissions',
           s.commissions, 'initial_margin', s.initial_margin, 'maintenance_margin', s.maintenance_margin,
           'buying_power', s.buying_power, 'margin_call', s.margin_call,
           'transactions', (select count(*) from transactions t where t.account_id = a.account_id),
           'positions', (
               select coalesce(jsonb_object_agg(p.instrument_id, jsonb_build_object(
                   'symbol', p.symbol, 'quantity', p.quantity, 'average_price', p.average_price, 'cost',
                   p.cost, 'mark', p.mark, 'market_value', p.market_value, 'realized_pnl',
                   p.realized_pnl, 'unrealized_pnl', p.unrealized_pnl)), '{}')
               from position_report(a.account_id) p),
           'orders', (
               select coalesce(jsonb_object_agg(o.order_id, jsonb_build_object(
                   'symbol', i.symbol,
                   'instrument_id', o.instrument_id, 'order_type', o.order_type, 'side', o.side,
                   'quantity', o.quantity, 'filled_quantity', o.filled_quantity, 'price', o.price,
                   'stop_price', o.stop_price, 'status', o.status, 'time_in_force', o.time_in_force,
                   'post_only', o.post_only, 'self_trade', o.self_trade, 'client_order_id',
                   o.client_order_id, 'reserved', o.reserved, 'created_at', o.created_at, 'updated_at',
                   o.updated_at, 'oco_id', o.oco_id, 'parent_id', o.parent_id, 'take_profit',
                   o.take_profit, 'stop_loss', o.stop_loss, 'trail_amount', o.trail_amount,
                   'trail_percent', o.trail_percent)), '{}')
               from orders o join instruments i using (instrument_id)
               where o.account_id = a.account_id and o.status in ('pending', 'open', 'partially_filled')
                   -- One that somebody inserted, and that the engine has not seen yet, is in no journal.
                   and o.priority is not null)) as seen
from accounts a cross join lateral account_summary(a.account_id) s
order by a.account_id"""


def exact(text: str) -> Any:
    """JSON with its numbers by value."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def by_key(state: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """What account_state says, as far as the live tables have a word for it."""
    said = {name: state[name] for name in seen}
    for name, key in (("positions", "instrument_id"), ("orders", "order_id")):
        said[name] = {str(each[key]): {k: v for k, v in each.items() if k != key} for each in state[name]}
    return said


def without_marks(seen: dict[str, Any]) -> dict[str, Any]:
    """What no price of the market has a part in."""
    kept = ("balance", "commissions", "transactions", "orders", "realized_pnl")
    positions = {
        key: {name: each[name] for name in ("quantity", "average_price", "cost", "realized_pnl")}
        for key, each in seen["positions"].items()
    }
    return {"positions": positions, **{name: seen[name] for name in kept}}


def differences(said: Any, seen: Any) -> dict[str, Any]:
    """What the journal says and what was seen, where the two part."""
    if not isinstance(said, dict) or not isinstance(seen, dict):
        return {} if said == seen else {"journal": said, "seen": seen}
    found = {key: differences(said.get(key), seen.get(key)) for key in {*said, *seen}}
    return {key: value for key, value in found.items() if value}


class Watcher:
    """Writes down what everybody sees, and asks the journal about it later."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection
        self.moments: list[asyncpg.Record] = []

    async def look(self) -> None:
        """All accounts as they are now."""
        self.moments += await self.connection.fetch(LIVE)

    async def compare(self, moments: list[asyncpg.Record]) -> None:
        """The journal says of each of them what was seen, by its time and by the account's last event."""
        for moment in moments:
            seen = exact(moment["seen"])
            state = exact(
                await self.connection.fetchval(
                    "select account_state($1, $2::text::timestamp)", moment["account_id"], moment["at"]
                )
            )
            said = by_key(state, seen)
            found = differences(said, seen)
            assert not found, f"{found} account {moment['account_id']} at {moment['at']}"
            assert state["event_id"] == moment["event_id"]
            # After the same event, at the prices of that event.
            state = exact(
                await self.connection.fetchval(
                    "select account_state(p_account_id => $1, p_event_id => $2)",
                    moment["account_id"],
                    moment["event_id"],
                )
            )
            said = by_key(state, seen)
            found = differences(without_marks(said), without_marks(seen))
            assert not found, f"{found} after event {moment['event_id']}"

    async def compare_some(self, dice: random.Random, count: int) -> None:
        """The last moments and some of the others."""
        last = self.moments[-8:]
        await self.compare(last + dice.sample(self.moments, min(count, len(self.moments))))
