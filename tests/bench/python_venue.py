"""The exchange as a client in Python would do it: matching in the client, inside a transaction.

Written as a good engineer would without functions in the database, and fairly: prepared statements, one lock
on the instrument, pages of the book by key, accounts locked in id order, ids fetched in one go, rows written
with executemany, the margin check left to the database. It writes the records that the engine writes, and
`verify_ledger` must find them right. It knows what `python_client` sends: no stops, post-only or FOK.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext

from db.database import Connection, Record
from tests.bench import python_statements as sql
from tests.bench.flow import Request
from tests.bench.python_records import (
    CENT,
    ZERO,
    Account,
    Position,
    Taker,
    Trade,
    Writes,
    as_json,
    event,
    order_detail,
    reserve,
    terms,
)

PAGE = 20
"""Orders of the book that are read at a time."""

DIGITS = 60
"""Of intermediate results: a part of a cost has 24 decimals (rule 19)."""


class PythonVenue:
    """Places and cancels orders over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, request: Request) -> None:
        """Do what a request asks for, in one transaction."""
        with localcontext(prec=DIGITS, rounding=ROUND_HALF_UP):  # as Postgres rounds
            async with self._connection.transaction():
                if request.kind == "cancel":
                    await self._cancel(request.account_id)
                else:
                    await self._place(request)

    async def _place(self, request: Request) -> None:
        connection = self._connection
        book = await connection.fetchrow(sql.LOCK_BOOK, request.instrument_id)
        assert book is not None
        makers = await self._makers(request)
        ids = sorted({request.account_id, *(maker["account_id"] for maker in makers)})
        rows = await connection.fetch(sql.LOCK_ACCOUNTS, ids)
        accounts = {row["account_id"]: Account(*list(row)[1:6]) for row in rows}
        held = await connection.fetch(sql.POSITIONS, ids, request.instrument_id)
        positions = {row["account_id"]: Position(*list(row)[1:]) for row in held}
        matches = sum(maker["account_id"] != request.account_id for maker in makers)
        numbers = await connection.fetchrow(sql.NUMBERS, matches)
        assert numbers is not None
        at = max(
            datetime.now(UTC).replace(tzinfo=None), book["updated_at"], *(row["updated_at"] for row in rows)
        )
        taker = Taker(numbers["order_id"], request, at)
        writes = Writes()
        taker.reason = await self._refusal(taker, book, rows, accounts, positions)
        if taker.reason is not None:
            await self._write_order(taker, "rejected", None)
            await connection.execute(
                sql.INSERT_EVENT, *event(taker, "rejected", order_detail(taker, "rejected"))
            )
            return

        own = accounts[request.account_id]
        own.reserved += taker.reserved
        before = taker.reserved
        rests = request.kind in ("rest", "cross")
        priority = numbers["priority"] if rests else None
        writes.journal.append(
            event(taker, "accepted", order_detail(taker, "open", None if makers else priority))
        )
        self._match(taker, makers, accounts, positions, numbers, writes)
        status = self._finish(taker, rests, bool(makers), own, priority, writes)
        own.reserved += taker.reserved - before

        resting = status in ("open", "partially_filled")
        await self._write_order(taker, status, priority if resting else None)
        await self._write(taker, writes, accounts, positions)
        await self._publish(request.instrument_id, book, taker.at, writes.prints, writes.volume)

    async def _makers(self, request: Request) -> list[Record]:
        """The other side of the book as far as the order can reach."""
        page = sql.ASKS if request.side == "buy" else sql.BIDS
        limit = (
            request.price if request.price is not None else Decimal("1e12" if request.side == "buy" else 0)
        )
        after_price = Decimal(0 if request.side == "buy" else "1e12")
        after_priority = 0
        found: list[Record] = []
        reach = ZERO
        while True:
            rows = await self._connection.fetch(
                page, request.instrument_id, limit, after_price, after_priority, PAGE
            )
            for row in rows:
                found.append(row)
                if row["account_id"] != request.account_id:
                    reach += row["quantity"] - row["filled_quantity"]
                if reach >= request.quantity:
                    return found
            if len(rows) < PAGE:
                return found
            after_price, after_priority = rows[-1]["price"], rows[-1]["priority"]

    async def _refusal(
        self,
        taker: Taker,
        book: Record,
        rows: Sequence[Record],
        accounts: dict[int, Account],
        positions: dict[int, Position],
    ) -> str | None:
        """Why the order may not stand, if so (rules 21 to 24); sets what it reserves."""
        request = taker.request
        own = accounts[request.account_id]
        row = next(row for row in rows if row["account_id"] == request.account_id)
        if not book["is_active"]:
            return "the instrument is not open for trading"
        if row["status"] != "active" or not row["user_active"]:
            return "the account is not active"
        if row["currency"] != book["currency"]:
            return f"the account is in {row['currency']}"
        if own.is_margin:
            order = as_json({**terms(request), "account_id": request.account_id, "filled_quantity": ZERO})
            refusal: str | None = await self._connection.fetchval(sql.MARGIN_REFUSAL, order, own.balance)
            return refusal
        if request.side == "buy":
            if request.price is None:
                return None
            taker.reserved = reserve(request.quantity, request.price, own)
            available = own.balance - own.reserved
            return f"insufficient funds: {available} available" if taker.reserved > available else None
        selling = await self._connection.fetchval(sql.OPEN_SELLS, request.account_id, request.instrument_id)
        held = positions.get(request.account_id, Position()).quantity
        return f"insufficient position: {held} held" if selling + request.quantity > held else None

    def _match(
        self,
        taker: Taker,
        makers: Sequence[Record],
        accounts: dict[int, Account],
        positions: dict[int, Position],
        numbers: Record,
        writes: Writes,
    ) -> None:
        request = taker.request
        trade_ids = iter(numbers["trade_ids"])
        match_ids = iter(numbers["match_ids"])
        sign = 1 if request.side == "buy" else -1
        for maker in makers:
            if maker["account_id"] == request.account_id:
                taker.reason = (
                    f"self-trade prevention: own order {maker['order_id']} rests at {maker['price']}"
                )
                return
            open_quantity = maker["quantity"] - maker["filled_quantity"]
            quantity, price = min(taker.remaining, open_quantity), maker["price"]
            cash = (quantity * price).quantize(CENT)
            own = accounts[request.account_id]
            fee = (cash * own.taker_rate).quantize(CENT)
            if sign > 0 and not own.is_margin and cash + fee > own.balance - own.reserved + taker.reserved:
                taker.reason = f"insufficient funds for the rest at {price}"
                return
            taker.filled += quantity
            writes.prints.append(price)
            writes.volume += quantity
            match_id = next(match_ids)
            for liquidity, account_id, order_id, signed in (
                ("maker", maker["account_id"], maker["order_id"], -sign * quantity),
                ("taker", request.account_id, taker.order_id, sign * quantity),
            ):
                account = accounts[account_id]
                position = positions.setdefault(account_id, Position())
                rate = account.maker_rate if liquidity == "maker" else account.taker_rate
                fee = (cash * rate).quantize(CENT)
                trade_id = next(trade_ids)
                side = "buy" if signed > 0 else "sell"
                writes.trades.append(
                    Trade(
                        trade_id, order_id, request.instrument_id, side, quantity, price, fee, taker.at,
                        match_id, liquidity, account_id,
                    )
                )  # fmt: skip
                text = f"{request.instrument_id} {quantity} @ {price}"
                moves = [(f"trade_{side}", -cash if signed > 0 else cash)]
                if fee:
                    moves.append(("commission", -fee))
                for kind, amount in moves:
                    account.balance += amount
                    writes.transactions.append(
                        (account_id, kind, amount, account.balance, text, taker.at, trade_id)
                    )
                account.paid += fee
                position.fill(signed, price)
            filled = maker["filled_quantity"] + quantity
            done = filled == maker["quantity"]
            reserved = maker["reserved"]
            if reserved:
                owner = accounts[maker["account_id"]]
                left = ZERO if done else min(reserved, reserve(maker["quantity"] - filled, price, owner))
                owner.reserved += left - reserved
                reserved = left
            status = "filled" if done else "partially_filled"
            writes.makers.append(
                (maker["order_id"], filled, status, taker.at if done else None, reserved, taker.at)
            )
            for trade, filled_quantity, left in (
                (writes.trades[-2], filled, reserved),
                (writes.trades[-1], taker.filled, taker.reserved if taker.remaining else ZERO),
            ):
                account, position = accounts[trade.account_id], positions[trade.account_id]
                detail = {
                    "trade_id": trade.trade_id, "match_id": match_id, "side": trade.side,
                    "quantity": quantity, "price": price, "liquidity": trade.liquidity, "cash": cash,
                    "commission": trade.commission, "filled_quantity": filled_quantity, "reserved": left,
                    "balance": account.balance, "position": position.quantity, "cost": position.cost,
                    "realized": position.realized,
                }  # fmt: skip
                writes.journal.append(
                    (
                        taker.at, trade.account_id, "filled", trade.order_id, trade.instrument_id,
                        as_json(detail),
                    )
                )  # fmt: skip
            if not taker.remaining:
                return

    def _finish(
        self, taker: Taker, rests: bool, met: bool, own: Account, priority: int | None, writes: Writes
    ) -> str:
        """What becomes of the rest of it (rules 8, 9)."""
        if not taker.remaining:
            taker.reserved = ZERO
            return "filled"
        if rests and taker.reason is None:
            assert taker.request.price is not None
            if taker.reserved:
                taker.reserved = min(taker.reserved, reserve(taker.remaining, taker.request.price, own))
            if met:
                detail = {
                    "price": taker.request.price,
                    "quantity": taker.remaining,
                    "reserved": taker.reserved,
                    "priority": priority,
                }
                writes.journal.append(event(taker, "rested", detail))
            return "partially_filled" if taker.filled else "open"
        taker.reserved = ZERO
        taker.reason = taker.reason or "nothing more in the book"
        ended = {"reason": taker.reason, "filled_quantity": taker.filled}
        writes.journal.append(event(taker, "cancelled", ended))
        return "cancelled"

    async def _write_order(self, taker: Taker, status: str, priority: int | None) -> None:
        request = taker.request
        await self._connection.execute(
            sql.INSERT_ORDER, taker.order_id, request.account_id, request.instrument_id,
            request.terms.order_type, request.side, request.quantity, request.price, status,
            request.terms.time_in_force, taker.at, taker.at if status == "filled" else None, taker.filled,
            taker.reason, priority, taker.reserved,
        )  # fmt: skip

    async def _write(
        self, taker: Taker, writes: Writes, accounts: dict[int, Account], positions: dict[int, Position]
    ) -> None:
        connection = self._connection
        if writes.trades:
            price = writes.prints[-1]
            traded = {trade.account_id for trade in writes.trades}
            await connection.executemany(sql.UPDATE_MAKER, writes.makers)
            await connection.executemany(sql.INSERT_TRADE, writes.trades)
            await connection.executemany(
                sql.UPSERT_POSITION,
                [
                    (
                        account_id, taker.request.instrument_id, p.quantity, p.average_price,
                        p.realized.quantize(CENT), (p.quantity * (price - p.average_price)).quantize(CENT),
                        taker.at, p.cost, p.realized,
                    )
                    for account_id, p in positions.items()
                    if account_id in traded
                ],
            )  # fmt: skip
            await connection.executemany(sql.INSERT_TRANSACTION, writes.transactions)
        if writes.trades or taker.reserved:
            await connection.executemany(
                sql.UPDATE_ACCOUNT,
                [(account_id, a.balance, a.reserved, a.paid, taker.at) for account_id, a in accounts.items()],
            )
        await connection.executemany(sql.INSERT_EVENT, writes.journal)

    async def _publish(
        self, instrument_id: int, book: Record, at: datetime, prints: Sequence[Decimal], volume: Decimal
    ) -> None:
        """Show the top of the book and the bar."""
        connection = self._connection
        top = await connection.fetchrow(sql.TOP, instrument_id)
        assert top is not None
        if tuple(top) != (book["bid_price"], book["bid_size"], book["ask_price"], book["ask_size"]):
            await connection.execute(sql.INSERT_QUOTE, instrument_id, *(value or ZERO for value in top), at)
        if prints:
            minute = at.replace(second=0, microsecond=0)
            await connection.execute(
                sql.UPSERT_BAR, minute, instrument_id, prints[0], max(prints), min(prints), prints[-1], volume
            )
        await connection.execute(
            sql.UPDATE_BOOK, instrument_id, *top, prints[-1] if prints else None, volume, at
        )

    async def _cancel(self, account_id: int) -> None:
        """End the account's oldest working order."""
        connection = self._connection
        found = await connection.fetchrow(sql.OLDEST, account_id)
        if found is None:
            return
        book = await connection.fetchrow(sql.LOCK_BOOK, found["instrument_id"])
        rows = await connection.fetch(sql.LOCK_ACCOUNTS, [account_id])
        order = await connection.fetchrow(sql.WORKING, found["order_id"])
        if order is None:
            return
        assert book is not None
        at = max(datetime.now(UTC).replace(tzinfo=None), book["updated_at"], rows[0]["updated_at"])
        await connection.execute(sql.CANCEL_ORDER, found["order_id"], at)
        if order["reserved"]:
            account = rows[0]
            await connection.execute(
                sql.UPDATE_ACCOUNT,
                account_id,
                account["balance"],
                account["reserved"] - order["reserved"],
                ZERO,
                at,
            )
        detail = {"reason": "cancelled on request", "filled_quantity": order["filled_quantity"]}
        await connection.execute(
            sql.INSERT_EVENT,
            at,
            account_id,
            "cancelled",
            found["order_id"],
            found["instrument_id"],
            as_json(detail),
        )
        await self._publish(found["instrument_id"], book, at, [], ZERO)
