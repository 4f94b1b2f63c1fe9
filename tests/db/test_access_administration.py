"""What the owner does: users, their log-ins, accounts, instruments, limits."""

from __future__ import annotations

import uuid
from decimal import Decimal

import asyncpg
import pytest

from db import accounts, users
from db.database import Database
from db.errors import DatabaseError, RequestError, ServerError
from tests.db.people import PASSWORD, People, login_url, tuples
from tests.db.stage import Stage
from tests.factories import make_account, make_instrument, make_user
from tests.waiting import until


@pytest.fixture
def people(database: Database, database_url: str) -> People:
    return People(database, database_url)


def fresh(name: str = "u") -> str:
    """A name that no role of the run's one server has."""
    return f"{name}_{uuid.uuid4().hex[:10]}"


# Users


async def test_a_user_is_a_row_and_a_role(database: Database, people: People) -> None:
    ann = await people.add()
    user = await users.by_name(database, ann.username)
    assert (user.user_id, user.role, user.is_active, user.may_log_in) == (ann.user_id, "trader", True, True)
    assert [one.username for one in await users.list_all(database)] == [ann.username]
    kept, verifier = await database.fetchrow(  # type: ignore[misc]
        """select u.password_hash, a.rolpassword from users u join pg_authid a on a.rolname = u.username where u.username = $1""",
        ann.username,
    )
    assert kept == verifier
    assert kept.startswith("SCRAM-SHA-256$4096:")


async def test_a_user_without_password_gets_in_once_they_have_one(
    database: Database, database_url: str
) -> None:
    """As those of a database that was there before users had roles."""
    name = fresh()
    await database.execute(
        "insert into users (username, email, password_hash) values ($1, 'jo@example.com', '!')", name
    )
    assert not (await users.by_name(database, name)).may_log_in
    with pytest.raises(ServerError):
        await Database.open(login_url(database_url, name))
    assert await users.disable(database, name) == 0
    await users.enable(database, name)
    await users.set_password(database, name, PASSWORD)
    async with await Database.open(login_url(database_url, name)) as db:
        assert (await users.whoami(db)).role == "trader"
    await users.ensure_login(database, name)  # which has one, and keeps it
    async with await Database.open(login_url(database_url, name)) as db:
        await users.change_password(db, "another password")
    with pytest.raises(ServerError):
        await Database.open(login_url(database_url, name))
    async with await Database.open(login_url(database_url, name, "another password")):
        pass


async def test_ensure_login_makes_a_role_with_a_password_that_nobody_knows(database: Database) -> None:
    name = fresh()
    await users.add(database, username=name, email=f"{name}@example.com")
    await users.ensure_login(database, name)
    assert (await users.by_name(database, name)).may_log_in


async def test_disable_ends_sessions_and_enable_lets_in_again(database: Database, people: People) -> None:
    ann = await people.add()
    async with ann.connected() as one, ann.connected() as two:
        assert await users.disable(database, ann.username) == 2
        assert await until(lambda: one.is_closed() and two.is_closed())
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="not permitted to log in"):
        await asyncpg.connect(ann.url)
    user = await users.by_name(database, ann.username)
    assert (user.is_active, user.may_log_in) == (False, False)
    await users.set_password(database, ann.username, PASSWORD)  # does not let them in by the back door
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(ann.url)
    await users.enable(database, ann.username)
    async with ann.connected() as connection:
        assert await connection.fetchval("select role from whoami()") == "trader"


async def test_another_role_holds_at_once(database: Database, people: People) -> None:
    ann = await people.add(cash="100")
    await make_account(database)
    async with ann.connected() as connection:
        assert len(await connection.fetch("select * from accounts")) == 1
        await users.set_role(database, ann.username, "support")
        assert len(await connection.fetch("select * from accounts")) == 2
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select cancel_all_orders($1)", ann.account)
        for role in ("backup", "market_data", "trader"):
            await users.set_role(database, ann.username, role)
            assert await connection.fetchval("select role from whoami()") == role
            groups = await tuples(
                database,
                "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid where m.member = to_regrole($1)",
                ann.username,
            )
            assert groups == [(role,)]
            assert await database.fetchval(
                "select rolreplication from pg_roles where rolname = $1", ann.username
            ) is (role == "backup")


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("username", {"username": ""}),
        ("username", {"username": "a b"}),
        ("username", {"username": 'a"; drop table users; --'}),
        ("username", {"username": "x" * 64}),
        ("username", {"username": "pg_ann"}),
        ("username", {"username": "Trader"}),
        ("username", {"username": "public"}),
        ("username", {"username": "all"}),
        ("email", {"email": "nobody"}),
        ("email", {"email": "a b@example.com"}),
        ("email", {"email": "x" * 250 + "@example.com"}),
        ("role", {"role": "owner"}),
        ("role", {"role": "superuser"}),
        ("first_name", {"first_name": "x" * 101}),
        ("last_name", {"last_name": "x" * 101}),
        ("password", {"password": "short"}),
    ],
)
async def test_what_cannot_be_a_user_is_refused(
    database: Database, field: str, terms: dict[str, str]
) -> None:
    name = fresh()
    with pytest.raises(RequestError) as refused:
        await users.add(
            database, **{"username": name, "email": f"{name}@example.com", "password": PASSWORD, **terms}
        )
    assert refused.value.field == field
    assert refused.value.hint
    assert await users.list_all(database) == []
    assert await database.fetchval("select to_regrole($1)", name) is None


async def test_names_are_given_out_once_in_any_case(database: Database) -> None:
    name = fresh("ann")
    await users.add(database, username=name, email=f"{name}@example.com")
    with pytest.raises(RequestError, match="a user has it already"):
        await users.add(database, username=name.upper(), email="other@example.com")


async def test_a_role_that_is_something_else_is_left_alone(database: Database, database_url: str) -> None:
    """The owner above all, and roles that an administrator made for other ends."""
    owner, other = await database.fetchval("select current_user"), fresh("admin")
    await database.execute(f"create role {other} login createdb")
    reader = fresh("reader")
    await database.execute(f"create role {reader} login in role pg_read_all_data")
    for name in (owner, other, reader):
        with pytest.raises(RequestError, match="the server has a role of that name"):
            await users.add(database, username=name, email=f"{name}@example.com", password=PASSWORD)
        assert await database.fetchval("select rolpassword from pg_authid where rolname = $1", name) is None


async def test_unknown_users_are_named(database: Database) -> None:
    await make_user(database, "annabel")
    for call in (
        users.set_password(database, "annabell", PASSWORD),
        users.set_role(database, "annabell", "support"),
        users.disable(database, "annabell"),
        users.enable(database, "annabell"),
        users.by_name(database, "annabell"),
        users.ensure_login(database, "annabell"),
    ):
        with pytest.raises(RequestError, match="username annabell: there is no such user"):
            await call
    with pytest.raises(RequestError, match="Did you mean annabel"):
        await users.by_name(database, "annabell")


async def test_the_owner_has_no_password_here(database: Database) -> None:
    with pytest.raises(RequestError, match="is no active user of this database"):
        await users.change_password(database, PASSWORD)


async def test_logins_are_restored(database: Database, people: People) -> None:
    """Roles are not in a dump of a database: after restoring it elsewhere they are made from the verifiers."""
    ann, bob = await people.add(), await people.add("support")
    for one in (ann, bob):
        await database.execute(f"drop owned by {one.username}; drop role {one.username}")
    await database.execute(f"create role {bob.username} createdb")
    rows = {row["username"]: row["problem"] for row in await database.fetch("select * from restore_logins()")}
    assert rows[ann.username] is None
    assert "the server has a role of that name" in rows[bob.username]
    async with ann.connected() as connection:
        assert await connection.fetchval("select role from whoami()") == "trader"


async def test_administration_is_the_owners(people: People) -> None:
    for role in ("trader", "support", "market_data", "backup"):
        one = await people.add(role)
        async with one.opened() as db:
            assert not (await users.whoami(db)).may_administer
            for call in (
                users.add(db, username=fresh(), email="x@example.com"),
                users.disable(db, one.username),
                accounts.deposit(db, 1, Decimal(1)),
            ):
                with pytest.raises(DatabaseError, match="permission denied for function") as refused:
                    await call
                assert refused.value.sqlstate == "42501"


# Limits


async def test_limits_go_with_the_role(database: Database, people: People) -> None:
    ann = await people.add()
    name = await database.fetchval("select current_database()")

    async def limits() -> tuple[int, set[str]]:
        row = await database.fetchrow(
            """select r.rolconnlimit, s.setconfig from pg_roles r
               join pg_db_role_setting s on s.setrole = r.oid and s.setdatabase = (select oid from pg_database where datname = $2)
               where r.rolname = $1""",
            ann.username,
            name,
        )
        assert row is not None
        return row[0], set(row[1])

    times = {"statement_timeout=30000", "lock_timeout=10000", "idle_in_transaction_session_timeout=30000"}
    assert await limits() == (24, times)
    await database.execute(
        "update access_limits set connections = 5, statement_timeout = '0' where role = 'trader'"
    )
    assert await limits() == (5, times - {"statement_timeout=30000"} | {"statement_timeout=0"})
    async with ann.connected() as connection:
        assert await connection.fetchval("show lock_timeout") == "10s"
    await users.set_role(database, ann.username, "backup")
    assert (await limits())[0] == 4


# Accounts


async def test_accounts_open_and_close(database: Database, database_url: str) -> None:
    user_id = await make_user(database)
    name = await database.fetchval("select username from users where user_id = $1", user_id)
    account = await database.fetchval("select account_open($1, 'margin', 'EUR')", name)
    row = await tuples(
        database,
        "select user_id, account_type, currency, status, account_number from accounts where account_id = $1",
        account,
    )
    assert row == [(user_id, "margin", "EUR", "active", f"A-{account:06}")]
    await database.execute("select account_close($1)", account)
    await database.execute("select account_close($1)", account)  # closed already: nothing to do
    assert await database.fetchval("select status from accounts where account_id = $1", account) == "closed"


async def test_an_account_with_anything_in_it_stays_open(database: Database, database_url: str) -> None:
    stage = await Stage.open(database, database_url)
    account = await stage.holder(2, "10", money="100")
    order = await stage.sell(account, 1, "11")
    close = "select account_close($1)"
    with pytest.raises(RequestError, match="the account has 1 working orders"):
        await database.execute(close, account)
    await stage.cancel(order)
    with pytest.raises(RequestError, match="the account holds SYM"):
        await database.execute(close, account)
    await stage.buy(await stage.cash(), 2, "10")
    await stage.sell(account, 2, "10")
    with pytest.raises(RequestError, match=r"a balance of 100.00 USD. Withdraw it first"):
        await database.execute(close, account)
    await accounts.withdraw(database, account, Decimal(100))
    await database.execute(close, account)
    with pytest.raises(RequestError, match="there is no such account"):
        await database.execute(close, 4711)
    await stage.close()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("username", "'nobody', 'cash'"),
        ("account_type", "u, 'savings'"),
        ("account_type", "u, null"),
        ("currency", "u, 'cash', 'usd'"),
        ("currency", "u, 'cash', 'DOLLARS'"),
        ("account_number", "u, 'cash', 'USD', ' x'"),
        ("account_number", "u, 'cash', 'USD', ''"),
        ("account_number", "u, 'cash', 'USD', repeat('x', 51)"),
        ("account_number", "u, 'cash', 'USD', 'TAKEN'"),
    ],
)
async def test_what_cannot_be_an_account_is_refused(database: Database, field: str, arguments: str) -> None:
    user_id = await make_user(database)
    await make_account(database, user_id=user_id, account_number="TAKEN", cash="0")
    with pytest.raises(RequestError) as refused:
        await database.execute(f"select account_open({arguments}) from (select username from users) s(u)")
    assert refused.value.field == field


# Instruments


async def test_an_instrument_is_changed_halted_and_resumed(database: Database, database_url: str) -> None:
    await make_instrument(database, "ACME", tick="0.01", lot="10")
    change = "select instrument_set('ACME', p_name => $1, p_tick_size => $2)"
    assert await database.fetchval(change, "Acme Corporation", None)
    assert not await database.fetchval(change, "Acme Corporation", Decimal("0.01"))
    row = await tuples(database, "select name, tick_size, lot_size, exchange from instruments")
    assert row == [("Acme Corporation", Decimal("0.01"), Decimal(10), "XTST")]
    for function, active, changed in (
        ("halt", False, True),
        ("halt", False, False),
        ("resume", True, True),
        ("resume", True, False),
    ):
        assert await database.fetchval(f"select instrument_{function}('ACME')") is changed
        assert await database.fetchval("select is_active from instruments") is active
    with pytest.raises(RequestError, match="symbol ACMEE: there is no such instrument"):
        await database.fetchval("select instrument_halt('ACMEE')")


async def test_a_step_that_orders_do_not_fit_is_refused(database: Database, database_url: str) -> None:
    """Past ones too: verify_ledger holds them to it."""
    stage = await Stage.open(database, database_url, tick="0.01", lot="10")
    symbol = await database.fetchval("select symbol from instruments")
    order = await stage.buy(await stage.cash(), 10, "1.23")
    await stage.cancel(order)
    change = "select instrument_set($1, p_tick_size => $2, p_lot_size => $3)"
    with pytest.raises(RequestError, match=f"tick_size 0.05: order {order} does not fit it"):
        await database.fetchval(change, symbol, Decimal("0.05"), None)
    with pytest.raises(RequestError, match=f"lot_size 100: order {order} does not fit it"):
        await database.fetchval(change, symbol, None, Decimal(100))
    assert await database.fetchval(change, symbol, Decimal("0.001"), Decimal(5))
    await stage.close()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("symbol", "'', 'Acme', 'share'"),
        ("symbol", "repeat('x', 21), 'Acme', 'share'"),
        ("symbol", "'TAKEN', 'Acme', 'share'"),
        ("name", "'ACME', ' ', 'share'"),
        ("instrument_type", "'ACME', 'Acme', null"),
        ("exchange", "'ACME', 'Acme', 'share', E'X\\n'"),
        ("currency", "'ACME', 'Acme', 'share', 'XTST', 'dollar'"),
        ("tick_size", "'ACME', 'Acme', 'share', 'XTST', 'USD', -1"),
        ("tick_size", "'ACME', 'Acme', 'share', 'XTST', 'USD', 0.00001"),
        ("tick_size", "'ACME', 'Acme', 'share', 'XTST', 'USD', 'NaN'"),
        ("lot_size", "'ACME', 'Acme', 'share', 'XTST', 'USD', 0.01, 0.001"),
        ("lot_size", "'ACME', 'Acme', 'share', 'XTST', 'USD', 0.01, 1e8"),
    ],
)
async def test_what_cannot_be_an_instrument_is_refused(
    database: Database, field: str, arguments: str
) -> None:
    await make_instrument(database, "TAKEN")
    with pytest.raises(RequestError) as refused:
        await database.execute(f"select instrument_add({arguments})")
    assert refused.value.field == field


async def test_a_membership_that_another_granted_stops_a_change_of_role(
    database: Database, people: People
) -> None:
    """Nobody is in two groups; who granted the other one revokes it."""
    ann = await people.add()
    deputy = fresh("deputy")
    await database.execute(f"create role {deputy} createrole; grant trader to {deputy} with admin option")
    await database.execute(f"grant trader to {ann.username} granted by {deputy}")
    with pytest.raises(RequestError, match="is a member of support and of nothing else"):
        await users.set_role(database, ann.username, "support")
    assert (await users.by_name(database, ann.username)).role == "trader"
    await users.set_password(
        database, ann.username, "another password"
    )  # two grants of one group are one group
    await database.execute(f"revoke trader from {ann.username} granted by {deputy}")
    await users.set_role(database, ann.username, "support")
