"""verify_ledger against every single change: each cell of each row, and each row deleted or doubled.

Somebody with the owner's rights and the triggers off could do it. What nobody can notice is listed in
`UNHELD`, with the reason. The list is exact: an invariant that is lost shows as a cell too many, one that is
won as a cell too few.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import asyncpg
import pytest

from db.database import Connection, Database
from tests.db.rich_ledger import a_rich_day, holds_everything
from tests.db.stage import Stage

# The tables of the books, with their keys.
TABLES = {
    "accounts": "account_id",
    "orders": "order_id",
    "trades": "trade_id",
    "transactions": "transaction_id",
    "positions": "position_id",
    "journal": "event_id",
    "internal.books": "instrument_id",
}

# What stands in a cell instead, by its type: something from elsewhere in its column {c} of the table {t},
# or nowhere; a small step up and down. And nothing, wherever a column takes that.
CHANGES = {
    "int8": ("coalesce((select min(x.{c}) from {t} x where x.{c} <> {t}.{c}), coalesce({c}, 0) + 1000000)",),
    "int4": ("coalesce({c}, 0) + 1",),
    "numeric": ("coalesce({c}, 0) + 1",),
    "bool": ("not coalesce({c}, false)",),
    "timestamp": ("coalesce({c}, localtimestamp) + interval '1 second'", "{c} - interval '1 second'"),
    "date": ("coalesce({c}, current_date) + 1",),
    "varchar": ("'x'",),
    "text": ("'x'",),
    "jsonb": ("'[]'",),
    "bytea": ("'x'",),
}
# Words that mean something.
WORDS = {
    "orders.status": ("pending", "open", "partially_filled", "filled", "cancelled", "rejected", "expired"),
    "orders.side": ("buy", "sell"),
    "orders.order_type": ("market", "limit", "stop", "stop_limit"),
    "orders.time_in_force": ("GTC", "DAY", "IOC", "FOK"),
    "trades.side": ("buy", "sell"),
    "trades.liquidity": ("maker", "taker"),
    "transactions.transaction_type": ("deposit", "trade_buy", "trade_sell", "commission", "adjustment"),
    "journal.kind": ("accepted", "rested", "filled", "cancelled", "deposit", "adjustment"),
}

_NUMBER = "numbers have gaps, and nothing else names this one"
_SEEN = "when it was looked at last, not when something became of it"
_MARKET = "market data, not the books: what is shown, counted up as it comes"
_DEFAULT = "in a rejected row nothing stands for the default: somebody may have inserted it so"
# Of the journal nothing can be changed that its chain of hashes does not show: see trade audit. What is left
# here is what no table says besides.
_LATER = "a later event says it anew, and what was between them is in the journal alone: the chain"
_TOLD = "said to whoever asks why; the books do not follow from it: the chain"
_QUOTED = "what the market was, and no table of the books says: the chain"
UNHELD = {
    "accounts.created_at": "when it was put into the table; nothing follows from it",
    "accounts.updated_at": _SEEN,
    "orders.time_in_force": _DEFAULT,
    "orders.post_only": _DEFAULT,
    "orders.self_trade": _DEFAULT,
    "orders.created_at": "earlier than it was accepted: it may have been inserted before",
    "orders.updated_at": _SEEN,
    "orders.terms": "without a client_order_id nobody compares them",
    "orders.covered_quantity": "of a rejected order: it has no exits",
    "transactions.transaction_id": _NUMBER,
    "transactions.description": "of a trade: words for people",
    "positions.position_id": _NUMBER,
    "positions.unrealized_pnl": "at a mark of some moment, or of a caller's: see calculate_position_pnl",
    "positions.updated_at": _SEEN,
    "journal.event_id": _NUMBER,
    "journal.at": "before the first event of all: the chain",
    "journal.instrument_id": _QUOTED,
    "journal.detail": _LATER,
    "journal.mark": _QUOTED,
    "journal.hash": "the chain itself: see trade audit",
    "books.last_at": _MARKET,
    "books.session_date": _MARKET,
    "books.session_volume": _MARKET,
    "books.previous_close": _MARKET,
    "books.version": _MARKET,
    "books.updated_at": _SEEN,
    "books.linked_orders": "one too many costs a look, and is put right by it; too few are noticed",
    "opened: balance": _TOLD,
    "opened: account_number": _LATER,
    "opened: account_type": _LATER,
    "opened: currency": _LATER,
    "opened: initial_rate": _LATER,
    "opened: maintenance_long_rate": _LATER,
    "opened: maintenance_short_rate": _LATER,
    "opened: status": _LATER,
    "opened: user_id": _LATER,
    "terms: account_number": _LATER,
    "terms: account_type": _LATER,
    "terms: currency": _LATER,
    "terms: initial_rate": _LATER,
    "terms: maintenance_long_rate": _LATER,
    "terms: maintenance_short_rate": _LATER,
    "terms: status": _LATER,
    "terms: user_id": _LATER,
    "quoted: bid": _QUOTED,
    "quoted: ask": _QUOTED,
    "quoted: last": _QUOTED,
    **{
        f"{kind}: created_at": "when a row was inserted that waited to be accepted: the chain holds it"
        for kind in ("accepted", "replaced", "resized", "trailed")
    },
    "accepted: quantity": _LATER,
    "accepted: price": _LATER,
    "accepted: stop_price": _LATER,
    "accepted: priority": _LATER,
    "accepted: status": _LATER,
    "accepted: reserved": _LATER,
    "rested: price": _LATER,
    "rested: quantity": _LATER,
    "rested: priority": _LATER,
    "rested: reserved": _LATER,
    "filled: reserved": _LATER,
    "reduced: quantity": _LATER,
    "reduced: price": _LATER,
    "reduced: priority": _LATER,
    "reduced: status": _LATER,
    "reduced: reserved": _LATER,
    "reduced: filled_quantity": _LATER,
    "reduced: reason": _TOLD,
    "replaced: status": _LATER,
    "replaced: reserved": _LATER,
    "replaced: filled_quantity": _LATER,
    "trailed: quantity": _LATER,
    "trailed: stop_price": _LATER,
    "trailed: priority": _LATER,
    "trailed: status": _LATER,
    "trailed: reserved": _LATER,
    "trailed: filled_quantity": _LATER,
    "trailed: reason": _TOLD,
    "resized: reason": _TOLD,
    "triggered: last_price": _TOLD,
    "replace_refused: quantity": _TOLD,
    "replace_refused: price": _TOLD,
    "replace_refused: stop_price": _TOLD,
    "replace_refused: reason": _TOLD,
    "journal terms deleted": _LATER,
    "journal quoted deleted": _QUOTED,
    "journal quoted doubled": _QUOTED,
    "journal reduced deleted": _LATER,
    "journal rested deleted": _LATER,
    "journal trailed deleted": _LATER,
    "journal replace_refused deleted": _TOLD,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One statement, and the cell (or what is done to a whole row) that it is about."""

    cell: str
    statement: str


async def cells(connection: Connection, table: str) -> list[Change]:
    key = TABLES[table]
    columns = await connection.fetch(
        """select a.attname as name, t.typname as type, not a.attnotnull as nullable
           from pg_attribute a join pg_type t on t.oid = a.atttypid
           where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum""",
        table,
    )
    rows = [row[0] for row in await connection.fetch(f"select {key} from {table} order by 1")]
    found = []
    for column in columns:
        name = column["name"]
        cell = f"{table.removeprefix('internal.')}.{name}"
        values = [f"'{word}'" for word in WORDS.get(cell, ())]
        values = values or [value.format(c=name, t=table) for value in CHANGES[column["type"]]]
        values = [f"{name} + 1000000"] if name == key else values
        values += ["null"] if column["nullable"] else []
        found += [
            Change(
                cell, f"update {table} set {name} = {v} where {key} = {row} and {name} is distinct from {v}"
            )
            for row in rows
            for v in values
        ]
    return found


async def details(connection: Connection) -> list[Change]:
    """What the events say: each word changed, and once for each kind of event left out."""
    words = await connection.fetch(
        """select j.event_id, d.key, j.kind,
               row_number() over (partition by j.kind, d.key order by j.event_id) as nth,
               case jsonb_typeof(d.value)
                   when 'number' then to_jsonb((d.value #>> '{}')::numeric + 1)
                   when 'boolean' then to_jsonb(d.value = 'false')
                   else '"x"' end as other
           from journal j cross join lateral jsonb_each(j.detail) d order by 1, 2"""
    )
    found = []
    for word in words:
        others = [f"jsonb_set(detail, '{{{word['key']}}}', '{word['other']}')"]
        others += [f"detail - '{word['key']}'"] if word["nth"] == 1 else []
        found += [
            Change(
                f"{word['kind']}: {word['key']}",
                f"update journal set detail = {other} where event_id = {word['event_id']}",
            )
            for other in others
        ]
    return found


async def whole_rows(connection: Connection) -> list[Change]:
    found = []
    for table, key in TABLES.items():
        name = table.removeprefix("internal.")
        kind = "kind" if table == "journal" else "''"
        for row in await connection.fetch(f"select {key} as id, {kind} as kind from {table} order by 1"):
            which = f"{name} {row['kind']}".strip()
            copy = f"to_jsonb(r) || jsonb_build_object('{key}', (select max({key}) + 1 from {table}))"
            found += [
                Change(f"{which} deleted", f"delete from {table} where {key} = {row['id']}"),
                Change(
                    f"{which} doubled",
                    f"insert into {table} select (jsonb_populate_record(null::{table}, {copy})).*"
                    f" from {table} r where {key} = {row['id']}",
                ),
            ]
    return found


async def unnoticed(connection: Connection, changes: Iterable[Change]) -> dict[str, str]:
    """The cells in which verify_ledger missed a change, each with one that it missed."""
    missed: dict[str, str] = {}
    for change in changes:
        try:
            done = await connection.execute(f"begin; {change.statement}")
            # The first thing that is found will do: the rest is not looked at.
            if done[-2:] != " 0" and await connection.fetchrow("select verify_ledger() limit 1") is None:
                missed.setdefault(change.cell, change.statement)
        except asyncpg.IntegrityConstraintViolationError:
            pass  # a table refuses it, whoever asks
        finally:
            await connection.execute("rollback")
    return missed


@pytest.fixture
async def books(database: Database, database_url: str) -> AsyncIterator[Stage]:
    stage = await a_rich_day(database, database_url)
    assert await holds_everything(stage)
    assert await stage.connection.fetch("select * from verify_ledger()") == []
    # Thousands of times the same small books: planning each time would take most of it.
    await stage.connection.execute("alter function verify_ledger set plan_cache_mode = force_generic_plan")
    await stage.connection.execute("set session_replication_role = replica")
    yield stage
    await stage.close()  # and everything is as it was


@pytest.mark.parametrize("table", TABLES)
async def test_no_cell_is_changed_unnoticed(books: Stage, table: str) -> None:
    changes = await cells(books.connection, table)
    missed = await unnoticed(books.connection, changes)
    assert missed.keys() == {change.cell for change in changes} & UNHELD.keys(), missed


async def test_no_word_of_an_event_is_changed_unnoticed(books: Stage) -> None:
    changes = await details(books.connection)
    missed = await unnoticed(books.connection, changes)
    assert missed.keys() == {change.cell for change in changes} & UNHELD.keys(), missed


async def test_no_row_is_deleted_or_doubled_unnoticed(books: Stage) -> None:
    changes = await whole_rows(books.connection)
    missed = await unnoticed(books.connection, changes)
    assert missed.keys() == {change.cell for change in changes} & UNHELD.keys(), missed


async def test_what_is_not_held_is_there(books: Stage) -> None:
    """The list names nothing that the books do not have."""
    known = {change.cell for table in TABLES for change in await cells(books.connection, table)}
    known |= {change.cell for change in await details(books.connection)}
    known |= {change.cell for change in await whole_rows(books.connection)}
    assert UNHELD.keys() <= known
