"""Where the walls stand: on a database that was there before them, on PostgreSQL 15 to 18, with an owner who is no superuser."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from db import accounts, users
from db.database import Database, connect
from db.errors import DatabaseError, RequestError, SchemaError, ServerError
from db.schema.migrate import VERSIONS, migrate
from tests.cluster import TestServer
from tests.db.people import PASSWORD, People, login_url, tuples
from tests.db.stage import Stage
from tests.db.system_servers import SYSTEM_SERVERS, system_server

GROUPS = "trader, support, market_data, backup"

OLDER = pytest.mark.parametrize(
    "binaries",
    SYSTEM_SERVERS or [pytest.param(None, marks=pytest.mark.skip("the machine has no other PostgreSQL"))],
    ids=lambda path: path.parent.name if path else "none",
)


async def test_a_database_from_before_keeps_what_is_in_it(empty_database_url: str, tmp_path: Path) -> None:
    """Users had no roles and no real passwords; they become traders who cannot log in until they are given one."""
    for name in ("0001_tables.sql", "0002_linked_orders.sql"):
        shutil.copy(VERSIONS / name, tmp_path)
    (functions := tmp_path / "functions").mkdir()
    await migrate(empty_database_url, versions=tmp_path, functions=functions)
    name = f"old_{uuid.uuid4().hex[:8]}"
    connection = await connect(empty_database_url)
    await connection.execute(
        f"""insert into users (username, email, password_hash) values ('{name}', 'old@example.com', '!'), ('a name with blanks', 'b@example.com', '!');
            insert into accounts (user_id, account_type, account_number) select user_id, 'cash', 'OLD-' || user_id from users"""
    )
    await connection.execute("analyze")
    emails = "select count(*) from pg_stats where schemaname = 'public' and attname = 'email'"
    assert await connection.fetchval(emails) == 1
    await connection.close()
    assert "0003_access" in (await migrate(empty_database_url)).versions
    assert not (await migrate(empty_database_url)).changed
    async with await Database.open(empty_database_url) as database:
        assert await tuples(database, "select username, role, is_active from users order by user_id") == [
            (name, "trader", True),
            ("a name with blanks", "trader", True),
        ]
        assert await database.fetchval(emails) == 0  # the planner's notes on what is somebody's own
        await accounts.deposit(database, 1, Decimal(100))
        await users.set_password(database, name, PASSWORD)
        with pytest.raises(RequestError, match="username a name with blanks"):
            await users.set_password(database, "a name with blanks", PASSWORD)
        async with await Database.open(login_url(empty_database_url, name)) as db:
            assert [(one.account_number, one.balance) for one in await accounts.list_all(db)] == [
                ("OLD-1", Decimal(100))
            ]
        assert await database.fetch("select * from verify_ledger()") == []


@OLDER
async def test_an_older_server_has_the_walls_too(binaries: Path) -> None:
    """SCRAM, row-level security, the guard, log-ins in the trail, disabling; and databases set up at once on one server."""
    with system_server(binaries) as url:
        administrator = await connect(url)
        urls = []
        for number in range(4):
            await administrator.execute(f"create database db{number}")
            urls.append(url.replace("/postgres?", f"/db{number}?"))
        await administrator.close()
        # The groups are the server's: whoever is first makes them, and nobody trips.
        await asyncio.gather(*(migrate(one) for one in urls))
        await story(urls[0])


async def story(owner_url: str) -> None:
    """What must hold on every server."""
    async with await Database.open(owner_url) as database:
        people = People(database, owner_url)
        ann, bob, sue = (
            await people.add(cash="1000"),
            await people.add(cash="1000"),
            await people.add("support"),
        )
        stage = await Stage.open(database, owner_url)
        order = await stage.buy(bob.account, 1, "10")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(login_url(owner_url, ann.username, "not their password"))
        async with ann.connected() as connection:
            await connection.execute(
                "select place_order($1, $2, 'limit', 'buy', 1, 9)", ann.account, stage.instrument
            )
            assert await tuples(connection, "select distinct account_id from orders") == [(ann.account,)]
            for call in (f"cancel_order({order})", f"account_summary({bob.account})"):
                with pytest.raises(asyncpg.PostgresError, match="there is no such") as refused:
                    await connection.execute(f"select {call}")
                assert refused.value.sqlstate == "PS002"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("select deposit($1, 1)", ann.account)
            await connection.execute("select record_login()")
        assert (
            await database.fetchval(
                "select count(*) from audit_log where action = 'login' and username = $1", ann.username
            )
            == 1
        )
        async with ann.opened() as db:
            await users.change_password(db, "another password")
        async with sue.connected() as connection:
            assert len(await connection.fetch("select * from orders")) == 2
            await connection.execute("select record_view($1, 'orders')", ann.account)
        async with bob.connected() as connection:
            assert await users.disable(database, bob.username) == 1
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(bob.url)
        await users.enable(database, bob.username)
        await users.set_role(database, bob.username, "market_data")
        async with bob.connected() as connection:
            assert await tuples(connection, "select role, may_administer from whoami()") == [
                ("market_data", False)
            ]
        await stage.close()


@pytest.fixture
async def plain_owner(test_server: TestServer) -> AsyncIterator[tuple[str, str]]:
    """An owner who is no superuser, of a database of their own: their name, and their URL with their password."""
    name = f"owner_{uuid.uuid4().hex[:8]}"
    admin = await connect(test_server.cluster.owner_url("postgres"))
    await admin.execute(f"create role {name} login password '{PASSWORD}'")
    await admin.execute(f"create database {name} owner {name}")
    yield name, login_url(test_server.cluster.owner_url(name), name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def test_an_owner_who_is_no_superuser_is_told_what_they_lack(
    test_server: TestServer, plain_owner: tuple[str, str]
) -> None:
    """On a server where the groups are there already; then with what they lacked the same story as everywhere."""
    name, url = plain_owner
    await migrate(url)
    terms = {"username": f"u_{name}", "email": "u@example.com", "password": PASSWORD}
    async with await Database.open(url) as database:
        with pytest.raises(
            DatabaseError, match=f"alter role {name} createrole; grant {GROUPS} to {name} with admin option"
        ):
            await users.add(database, **terms)
        assert await users.list_all(database) == []
        # Users without log-ins are no roles, and so nobody needs leave for them.
        await users.add(database, username="nobody", email="nobody@example.com")
    admin = await connect(test_server.cluster.owner_url("postgres"))
    await admin.execute(f"alter role {name} createrole; grant {GROUPS} to {name} with admin option")
    await admin.close()
    await story(url)
    async with await Database.open(url) as database:
        with pytest.raises(DatabaseError, match="need the owner to have the attribute replication"):
            await users.add(database, **terms, role="backup")


@OLDER
async def test_a_plain_owner_on_an_older_server(binaries: Path) -> None:
    """Without the groups and without leave to make them the schema stays as it was; with it all is well."""
    with system_server(binaries) as url:
        admin = await connect(url)
        await admin.execute(f"create role plain login password '{PASSWORD}'")
        await admin.execute("create database plain owner plain")
        plain = login_url(url.replace("/postgres?", "/plain?"), "plain")
        with pytest.raises(SchemaError, match="the group trader is missing, and plain may not make roles"):
            await migrate(plain)
        await admin.execute("create role trader login")
        with pytest.raises(SchemaError, match="the server has a role trader that somebody logs in as"):
            await migrate(plain)
        await admin.execute("drop role trader; alter role plain createrole")
        assert "0003_access" in (await migrate(plain)).versions
        await story(plain)
        await admin.close()


async def test_public_is_kept_out_again_after_a_restore(database: Database, database_url: str) -> None:
    """A database's own privileges are not in a dump of it, and a copy has not got them either."""
    public = "select has_database_privilege('public', current_database(), 'connect')"
    assert await database.fetchval(public)
    await migrate(database_url)
    assert not await database.fetchval(public)
    with pytest.raises(ServerError):
        await Database.open(login_url(database_url, "nobody_at_all"))
