"""The audit trail: who did what from where, and nobody changes it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db import accounts, scram, users
from db.database import Database
from db.errors import DatabaseError, RequestError
from db.schema.migrate import migrate
from tests.db.people import PASSWORD, People
from tests.db.stage import Stage
from tests.db.tls_server import programs, serving
from tests.factories import make_instrument


@pytest.fixture
def people(database: Database, database_url: str) -> People:
    return People(database, database_url)


async def trail(database: Database, action: str = "%") -> list[tuple[str, str, str | None, Any]]:
    """(who, action, subject, detail), oldest first."""
    rows = await database.fetch(
        "select username, action, subject, detail from audit_log where action like $1 order by audit_id",
        action,
    )
    return [(r["username"], r["action"], r["subject"], json.loads(r["detail"] or "null")) for r in rows]


async def test_administration_is_in_the_trail(database: Database, people: People) -> None:
    owner = await database.fetchval("select current_user")
    ann = await people.add(account_number="ANN-1")
    await users.set_role(database, ann.username, "support")
    await users.disable(database, ann.username)
    await users.enable(database, ann.username)
    await accounts.deposit(database, ann.account, Decimal(5))
    lines = await trail(database)
    assert {line[0] for line in lines} == {owner}
    assert [line[1:] for line in lines[2:]] == [
        ("users update", ann.username, {"role": ["trader", "support"]}),
        ("users update", ann.username, {"is_active": [True, False]}),
        ("users update", ann.username, {"is_active": [False, True]}),
        ("deposit", "ANN-1", {"transaction_id": 1, "amount": 5}),
    ]
    assert [line[1:3] for line in lines[:2]] == [("users insert", ann.username), ("accounts insert", "ANN-1")]


async def test_what_is_done_by_hand_is_in_it_too(database: Database, people: People) -> None:
    ann = await people.add()
    await make_instrument(database, "ACME")
    await database.execute("update users set is_active = false, password_hash = '!'")
    await database.execute("update accounts set status = 'frozen'")
    await database.execute("update accounts set updated_at = now()")  # nothing that the trail is about
    await database.execute("insert into fee_schedule values ('cash', 0.001, 0.002)")
    await database.execute("delete from fee_schedule")
    await database.execute("update margin_schedule set initial_rate = 0.6")
    await database.execute("update instruments set is_active = false")
    await database.execute("update access_limits set connections = 3 where role = 'backup'")
    lines = [line[1:] for line in await trail(database)][3:]
    assert [(action, subject) for action, subject, _detail in lines] == [
        ("users update", ann.username),
        ("accounts update", await database.fetchval("select account_number from accounts")),
        ("fee_schedule insert", "cash"),
        ("fee_schedule delete", "cash"),
        ("margin_schedule update", "margin"),
        ("instruments update", "ACME"),
        ("access_limits update", "backup"),
    ]
    assert lines[0][2] == {"is_active": [True, False], "password_hash": "changed"}
    assert lines[1][2] == {"status": ["active", "frozen"]}
    assert lines[4][2] == {"initial_rate": [0.5, 0.6]}


async def test_no_verifier_is_in_it(database: Database, people: People) -> None:
    ann = await people.add()
    async with ann.connected() as connection:
        await connection.execute("select change_password($1)", scram.verifier(PASSWORD))
    await users.set_password(database, ann.username, "another password")
    everything = str(await trail(database))
    assert everything.count("password_hash") == 2
    assert "SCRAM" not in everything


async def test_the_engine_writes_nothing_into_it(database: Database, database_url: str) -> None:
    stage = await Stage.open(database, database_url)
    buyer, seller = await stage.cash(), await stage.margin()
    before = len(await trail(database))
    await stage.sell(seller, 5, "10")
    await stage.buy(buyer, 5, "10")
    assert len(await trail(database)) == before
    await stage.close()


async def test_each_connection_of_a_user_is_a_line(database: Database, people: People) -> None:
    """The server writes it itself, whatever the program is; a terminal that asks for it finds it done."""
    ann = await people.add()
    for application in ("psql", "notebook"):
        async with ann.connected(application_name=application) as connection:
            assert await connection.fetchval("select record_login()") is False
            pid = connection.get_server_pid()
            line = await database.fetchrow("select * from audit_log order by audit_id desc limit 1")
            assert line is not None
            assert (line["username"], line["action"], line["subject"]) == (
                ann.username,
                "login",
                ann.username,
            )
            assert (line["application"], line["process_id"], line["address"]) == (application, pid, None)
            assert json.loads(line["detail"])["tls"] is False
    assert len(await trail(database, "login")) == 2


async def test_a_login_is_written_on_asking_where_the_server_does_not(
    database: Database, people: People
) -> None:
    await database.execute("drop event trigger pitside_login")  # as before PostgreSQL 17
    ann = await people.add()
    async with ann.opened() as db, db.connection() as connection:
        assert await connection.fetchval("select record_login()") is True
        assert await connection.fetchval("select record_login()") is False
    assert [line[:3] for line in await trail(database, "login")] == [(ann.username, "login", ann.username)]


async def test_a_trail_that_cannot_be_written_locks_nobody_out(database: Database, people: People) -> None:
    ann = await people.add()
    async with ann.connected(default_transaction_read_only="on") as connection:
        assert await connection.fetchval("select role from whoami()") == "trader"
    await database.execute("alter table audit_log rename column action to deed")
    async with ann.connected() as connection:
        assert await connection.fetchval("select role from whoami()") == "trader"
    await database.execute("alter table audit_log rename column deed to action")
    assert await trail(database, "login") == []


async def test_supports_looks_are_in_it(database: Database, people: People) -> None:
    ann, sue = await people.add(account_number="ANN-1"), await people.add("support")
    async with sue.opened() as db:
        await users.record_view(db, ann.account, "orders", {"from": "2026-01-01"})
        await users.record_view(db, ann.account, "positions")
        detail = {"account_id": ann.account, "what": "orders", "detail": {"from": "2026-01-01"}}
        lines = await trail(db, "view")  # which support may read
        assert lines[0] == (sue.username, "view", "ANN-1", detail)
        assert [line[3]["what"] for line in lines] == ["orders", "positions"]
        for field, account, what, extra in (
            ("account_id", 4711, "orders", None),
            ("what", ann.account, "", None),
            ("what", ann.account, "x" * 101, None),
            ("detail", ann.account, "orders", {"x": "y" * 5000}),
        ):
            with pytest.raises(RequestError) as refused:
                await users.record_view(db, account, what, extra)
            assert refused.value.field == field
    async with ann.opened() as db:
        with pytest.raises(DatabaseError, match="permission denied"):
            await users.record_view(db, ann.account, "orders")


async def test_nobody_changes_it(database: Database, people: People) -> None:
    await people.add()
    for statement in ("update audit_log set username = 'x'", "delete from audit_log", "truncate audit_log"):
        with pytest.raises(DatabaseError, match="audit_log is append-only"):
            await database.execute(statement)


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL of the system with TLS (and openssl)")
async def test_where_a_client_is_and_how_it_came() -> None:
    """Over TCP the address is kept, and whether the line was encrypted."""
    with serving(programs() or Path()) as server:
        owner_url = server.owner_url
        await migrate(owner_url)
        async with await Database.open(owner_url) as database:
            ann = await People(database, owner_url).add()
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=server.port,
                database="postgres",
                user=ann.username,
                password=PASSWORD,
                ssl="require",
            )
            await connection.execute("select record_login()")
            await connection.close()
            row = await database.fetchrow("select address, detail from audit_log where action = 'login'")
            assert row is not None
            assert str(row["address"]) == "127.0.0.1"
            detail = json.loads(row["detail"])
            assert detail["tls"] is True
            assert detail["tls_version"].startswith("TLSv1.")
