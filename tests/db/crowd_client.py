"""A client in a crowd: one connection that sends random requests of every kind, one after another."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg

from db.database import Connection
from tests.db.crowd import CENTS, HOLDERS, LISTINGS, TYPES, Crowd, Listing, number

GAVE_WAY = "55P03"
SENSELESS = ("PS001", "PS002")


@dataclass
class Request:
    """An order as it was asked for."""

    holder: int
    instrument: int
    order_type: str
    side: str
    quantity: str
    price: str | None
    stop_price: str | None
    time_in_force: str
    post_only: bool
    self_trade: str
    client_order_id: str | None

    def words(self, crowd: Crowd) -> dict[str, Any]:
        """In the words of the SQL interface."""
        words = dict(vars(self))
        words["account_id"] = crowd.accounts[words.pop("holder")]
        words["instrument_id"] = crowd.instruments[words.pop("instrument")]
        return words


@dataclass
class Client:
    """One connection and what it asks for, one request after another."""

    connection: Connection
    crowd: Crowd
    name: str
    random: random.Random
    placed: dict[int, Request] = field(default_factory=dict)  # what was acknowledged
    inserted: set[int] = field(default_factory=set)  # those of them that were put into the table
    linked: set[int] = field(default_factory=set)  # what was acknowledged of orders that hang together
    outcomes: Counter[str] = field(default_factory=Counter)
    gave_way: list[str] = field(default_factory=list)  # what was asked for when a request gave way
    asking: str = ""  # the request that is under way, or was the last
    _count: int = 0

    async def send(self, requests: int) -> None:
        """So many."""
        kinds = {
            self._place: 50,
            self._place_again: 4,
            self._replace: 14,
            self._cancel: 8,
            self._cancel_all: 2,
            self._batch: 6,
            self._insert_and_match: 5,
            self._expire: 1,
            self._deposit: 2,
            self._withdraw: 3,
            self._link: 8,
            self._read: 8,
        }
        for _ in range(requests):
            (kind,) = self.random.choices(list(kinds), weights=list(kinds.values()))
            await kind()

    async def _ask(self, what: str, query: str, *arguments: Any) -> Any:
        """The answer's rows, or None where the request made no sense. One that gives way is sent again."""
        self.asking = f"{query} {arguments}"
        while True:
            try:
                rows = await self.connection.fetch(query, *arguments)
            except asyncpg.PostgresError as error:
                if error.sqlstate == GAVE_WAY:
                    self.gave_way.append(what)
                    continue
                if error.sqlstate not in SENSELESS:
                    raise
                self.outcomes["senseless"] += 1
                return None
            self.outcomes[what.split()[0]] += 1
            return rows

    # What is asked for ------------------------------------------------------------------------------------

    def _request(self, economies: tuple[str, ...] = ("exact", "rough", "linked")) -> Request:
        choose = self.random.choice
        holder = choose([n for n, each in enumerate(HOLDERS) if each.economy in economies])
        homes = self.crowd.homes(holder)
        # Some are hot.
        (instrument,) = self.random.choices(homes, weights=[6, 3, *[1] * len(homes)][: len(homes)])
        listing = LISTINGS[instrument]
        (kind,) = self.random.choices(("limit", "market", "stop", "stop_limit"), weights=(10, 3, 2, 2))
        (time_in_force,) = self.random.choices(("GTC", "DAY", "IOC", "FOK"), weights=(6, 2, 2, 2))
        has_limit = kind in ("limit", "stop_limit")
        self._count += 1
        return Request(
            holder,
            instrument,
            kind,
            choose(("buy", "sell")),
            "0" if self.random.random() < 0.01 else choose(listing.quantities),
            choose(listing.prices) if has_limit else None,
            choose(listing.prices) if kind in ("stop", "stop_limit") else None,
            time_in_force,
            has_limit and time_in_force in ("GTC", "DAY") and self.random.random() < 0.15,
            choose(("cancel_newest", "cancel_oldest", "cancel_both", "decrement")),
            f"{self.name}-{self._count}" if self.random.random() < 0.3 else None,
        )

    async def _place_this(self, request: Request) -> int | None:
        words = request.words(self.crowd)
        named = ", ".join(f"p_{word} => ${n}" for n, word in enumerate(words, 1))
        values = [
            number(value) if word in ("quantity", "price", "stop_price") else value
            for word, value in words.items()
        ]
        rows = await self._ask(
            f"place {LISTINGS[request.instrument].economy}", f"select place_order({named}) as id", *values
        )
        return rows[0]["id"] if rows else None

    async def _place(self) -> None:
        request = self._request()
        order = await self._place_this(request)
        if order is not None:
            assert order not in self.placed, "a new order has an id of its own"
            self.placed[order] = request

    async def _place_again(self) -> None:
        """Rule 5: the same request is the same order, however many trade meanwhile."""
        named = [
            (order, request)
            for order, request in self.placed.items()
            if request.client_order_id and order not in self.inserted
        ]
        if named:
            order, request = self.random.choice(named)
            assert await self._place_this(request) == order

    def _some(self) -> int | None:
        """One of its orders, one of the last as a rule."""
        mine = [*self.placed, *self.linked]
        return self.random.choice(mine[-12:]) if mine else None

    async def _replace(self) -> None:
        order = self._some()
        if order is None:
            return
        request = self.placed.get(order)
        listing = LISTINGS[request.instrument] if request else Listing("linked", *CENTS)
        choose = self.random.choice
        parts = choose(((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)))
        await self._ask(
            f"replace {listing.economy}",
            "select replace_order($1, $2, $3, $4)",
            order,
            number(choose(listing.quantities)) if parts[0] else None,
            number(choose(listing.prices)) if parts[1] else None,
            number(choose(listing.prices)) if parts[2] else None,
        )

    async def _cancel(self) -> None:
        order = self._some()
        if order is not None:
            rows = await self._ask("cancel exact", "select cancel_order($1)", order)
            assert rows, "its own order is known"

    async def _cancel_all(self) -> None:
        n = self.random.randrange(len(HOLDERS))
        instrument = self.random.choice([None, *(self.crowd.instruments[i] for i in self.crowd.homes(n))])
        side = self.random.choice((None, "buy", "sell"))
        await self._ask(
            "cancel_all exact",
            "select cancel_all_orders($1, $2, $3)",
            self.crowd.accounts[n],
            instrument,
            side,
        )

    async def _batch(self) -> None:
        requests = [self._request() for _ in range(self.random.randint(2, 8))]
        elements = json.dumps([request.words(self.crowd) for request in requests])
        rows = await self._ask("batch", "select * from place_orders($1::jsonb) order by ordinal", elements)
        assert [row["ordinal"] for row in rows] == list(range(1, len(requests) + 1))
        for row, request in zip(rows, requests, strict=True):
            assert (row["order_id"] is None) == (row["status"] == "error")
            if row["order_id"] is not None:
                self.placed[row["order_id"]] = request

    async def _insert_and_match(self) -> None:
        """Rows by plain SQL; whoever calls match_pending first takes them."""
        for _ in range(self.random.randint(1, 4)):
            request = self._request()
            if request.order_type in ("stop", "stop_limit") or request.quantity == "0":
                continue
            words = request.words(self.crowd)
            columns, places = ", ".join(words), ", ".join(f"${n}" for n in range(1, len(words) + 1))
            values = [
                number(value) if word in ("quantity", "price", "stop_price") else value
                for word, value in words.items()
            ]
            order = await self.connection.fetchval(
                f"insert into orders ({columns}) values ({places}) returning order_id", *values
            )
            self.placed[order] = request
            self.inserted.add(order)
        await self._ask("match_pending", "select match_pending()")

    async def _expire(self) -> None:
        await self._ask("expire exact", "select expire_day_orders()")

    async def _deposit(self) -> None:
        amount = Decimal(self.random.choice(("0.01", "0.2", "1.50", "100", "0.005")))
        await self._ask(
            "deposit exact", "select deposit($1, $2)", self.random.choice(self.crowd.accounts), amount
        )

    async def _withdraw(self) -> None:
        """From a cash account: what a margin account may take out hangs on marks that move meanwhile."""
        cash = [a for a, h in zip(self.crowd.accounts, HOLDERS, strict=True) if not TYPES[h.account_type][2]]
        amount = Decimal(self.random.choice(("0.10", "1", "35", "400")))
        await self._ask("withdraw exact", "select withdraw($1, $2)", self.random.choice(cash), amount)

    async def _link(self) -> None:
        """A pair, a bracket or a trailing stop."""
        request = self._request(("linked",))
        who = (self.crowd.accounts[request.holder], self.crowd.instruments[request.instrument], request.side)
        quantity, up = Decimal(request.quantity), 1 if request.side == "buy" else -1
        price = Decimal(self.random.choice(CENTS[2]))
        away = Decimal(self.random.choice(("0.01", "0.02", "0.05"))) * up
        way = self.random.choice(("oco", "bracket", "trailing"))
        if way == "oco":
            query = "select * from place_oco($1, $2, $3, $4, $5, $6)"
            rows = await self._ask("link linked", query, *who, quantity, price, price + away)
        elif way == "bracket":
            query = "select place_bracket($1, $2, 'limit', $3, $4, $5, $6, $7)"
            rows = await self._ask("link linked", query, *who, quantity, price, price + away, price - away)
        else:
            query = "select place_trailing_stop($1, $2, $3, $4, $5)"
            rows = await self._ask("link linked", query, *who, quantity, abs(away))
        for row in rows or []:
            self.linked.update(order for order in row.values() if order is not None)

    async def _read(self) -> None:
        """What is read meanwhile is never half a request."""
        instrument = self.random.choice(self.crowd.instruments)
        account = self.random.randrange(len(HOLDERS))
        what = self.random.choice(("book", "summary", "refresh", "positions", "ledger"))
        if what == "book":
            rows = await self._ask("read", "select * from order_book($1)", instrument)
            bids = [row["price"] for row in rows if row["side"] == "buy"]
            asks = [row["price"] for row in rows if row["side"] == "sell"]
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert not (bids and asks) or bids[0] < asks[0], "rule 13: never crossed or locked"
        elif what == "summary":
            (row,) = await self._ask(
                "read", "select * from account_summary($1)", self.crowd.accounts[account]
            )
            if not TYPES[HOLDERS[account].account_type][2]:
                assert row["balance"] >= 0, "rule 21"
                assert row["available"] == row["balance"] - row["reserved"]
        elif what == "refresh":
            await self._ask(
                "read", "select refresh_pnl($1)", self.random.choice([None, *self.crowd.accounts])
            )
        elif what == "positions":
            await self._ask("read", "select * from position_report($1)", self.crowd.accounts[account])
        else:
            rows = await self._ask("read", "select * from verify_ledger()")
            assert not rows, f"right at every moment, not only at the end: {[dict(row) for row in rows]}"
