"""What each role sees and may do, each logged in with its own password."""

from __future__ import annotations

from decimal import Decimal

import asyncpg
import pytest

from db import accounts, instruments, market, orders, users
from db.database import Database
from db.errors import RequestError, ServerError
from db.live import Changes, subscribe
from db.orders import OrderRequest
from db.schema.migrate import migrate
from tests.db.people import PASSWORD, People, Person, login_url, tuples
from tests.db.stage import Stage
from tests.factories import make_account, make_instrument

OWN = ("orders", "positions", "transactions", "journal", "trades")


@pytest.fixture
def people(database: Database, database_url: str) -> People:
    return People(database, database_url)


class Market:
    """Ann has sold Bob 10 of ACME at 100, and both have an order that rests."""

    def __init__(self, ann: Person, bob: Person, instrument: int, resting: dict[str, int]) -> None:
        self.ann, self.bob, self.instrument, self.resting = ann, bob, instrument, resting


@pytest.fixture
async def acme(database: Database, database_url: str, people: People) -> Market:
    ann = await people.add(cash="100000", account_type="margin")
    bob = await people.add(cash="100000")
    stage = await Stage.open(database, database_url)
    await stage.sell(ann.account, 10, "100.00")
    await stage.buy(bob.account, 10, "100.00")
    resting = {
        ann.username: await stage.sell(ann.account, 5, "101.00"),
        bob.username: await stage.buy(bob.account, 5, "99.00"),
    }
    await stage.close()
    return Market(ann, bob, stage.instrument, resting)


async def test_a_trader_sees_what_is_theirs_and_nothing_else(acme: Market) -> None:
    for one, side in ((acme.ann, "sell"), (acme.bob, "buy")):
        async with one.connected() as connection:
            for table in OWN:
                rows = await connection.fetch(f"select account_id from {table}")
                assert {row[0] for row in rows} == {one.account}, table
            assert await connection.fetchval("select string_agg(distinct side, ' ') from trades") == side
            assert await tuples(connection, "select username from users") == [(one.username,)]
            assert await tuples(connection, "select account_id from accounts") == [(one.account,)]
            assert await tuples(connection, "select username, symbol from portfolio_view") == [
                (one.username, await connection.fetchval("select symbol from instruments"))
            ]


async def test_support_sees_everything_and_changes_nothing(people: People, acme: Market) -> None:
    sue = await people.add("support")
    async with sue.connected() as connection:
        for table in (*OWN, "accounts"):
            rows = await connection.fetch(f"select distinct account_id from {table}")
            assert {row[0] for row in rows} == {acme.ann.account, acme.bob.account}, table
        assert len(await connection.fetch("select * from portfolio_view")) == 2
        assert await tuples(connection, "select balance from account_summary($1)", acme.bob.account) == [
            (99000,)
        ]
        assert len(await connection.fetch("select * from position_report($1)", acme.ann.account)) == 1
        assert await connection.fetch("select * from verify_ledger()") == []
        for statement in (
            f"select place_order({acme.bob.account}, {acme.instrument}, 'limit', 'buy', 1, 1)",
            f"select cancel_order({acme.resting[acme.bob.username]})",
            f"select deposit({acme.bob.account}, 1)",
            "update accounts set balance = 0",
            "delete from audit_log",
            "insert into audit_log (action) values ('nothing')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_market_data_writes_bars_and_sees_no_account(people: People, acme: Market) -> None:
    feed = await people.add("market_data")
    async with feed.connected() as connection:
        insert = """insert into market_data values (timestamp '2020-01-02 10:00', $1, 1, 2, 1, 2, 5)
                    on conflict (time, instrument_id) do update set volume = excluded.volume"""
        for _again in range(2):
            await connection.execute(insert, acme.instrument)
        assert await connection.fetchval("select count(*) from market_data where time < '2021-01-01'") == 1
        assert len(await connection.fetch("select * from instruments")) == 1
        for table in (*OWN, "accounts", "users", "quotes", "audit_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"select 1 from {table}")


async def test_backup_may_replicate_and_read_nothing(people: People, database: Database) -> None:
    copier = await people.add("backup")
    assert await database.fetchval("select rolreplication from pg_roles where rolname = $1", copier.username)
    async with copier.connected() as connection:
        assert await tuples(connection, "select role, may_administer from whoami()") == [("backup", False)]
        for table in (*OWN, "accounts", "users", "instruments"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"select 1 from {table}")


async def test_a_trader_trades_through_the_data_layer(acme: Market) -> None:
    """Everything that a terminal does, as the trader: nothing of it needs more than a trader has."""
    async with acme.bob.opened() as db:
        assert await users.whoami(db) == users.Identity(acme.bob.username, acme.bob.user_id, "trader", False)
        await users.record_login(db)
        assert [account.account_id for account in await accounts.list_all(db)] == [acme.bob.account]
        (instrument,) = await instruments.list_all(db)
        key = instrument.instrument_id
        placed = await orders.place(
            db, OrderRequest(acme.bob.account, key, "limit", "buy", Decimal(1), Decimal("98"))
        )
        assert placed.status == "open"
        assert await orders.replace(db, placed.order_id, price=Decimal("97"))
        assert len(await orders.working(db, acme.bob.account)) == 2
        assert await orders.cancel(db, placed.order_id)
        assert len(await orders.recent(db, acme.bob.account)) == 3
        (fill,) = await orders.fills(db, acme.bob.account)
        assert (fill.side, fill.quantity) == ("buy", Decimal(10))
        assert [p.quantity for p in await accounts.positions(db, acme.bob.account)] == [10]
        assert (await accounts.summary(db, acme.bob.account)).balance == 99000
        assert (await accounts.fee_rates(db, "cash")).maker == 0
        book = await market.book(db, key)
        assert [(level.price, level.quantity) for level in book.asks] == [(Decimal(101), Decimal(5))]
        assert (await market.tickers(db))[key].last == 100
        async with subscribe(db, [acme.bob.account, acme.ann.account]) as stream:
            changes = await anext(stream)
            assert isinstance(changes, Changes)
        versions = {
            row["id"]: row["version"]
            for row in await db.fetch(
                "select * from live_versions($1)", [acme.bob.account, acme.ann.account, 4711]
            )
            if row["kind"] == "account"
        }
        assert versions[acme.bob.account] > 0
        assert (versions[acme.ann.account], versions[4711]) == (0, 0)


async def test_prints_are_trades_without_parties(database: Database, acme: Market) -> None:
    async with acme.ann.connected() as connection:
        (row,) = await connection.fetch("select * from prints($1)", acme.instrument)
        assert list(row.keys()) == ["print_id", "executed_at", "side", "quantity", "price"]
        assert (row["side"], row["quantity"], row["price"]) == ("buy", 10, 100)
        assert (
            await connection.fetch("select * from prints($1, 10, $2)", acme.instrument, row["print_id"]) == []
        )
        for limit, instrument in ((0, acme.instrument), (1001, acme.instrument), (10, 4711)):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.fetch("select * from prints($1, $2)", instrument, limit)
            assert refused.value.sqlstate == ("PS002" if instrument == 4711 else "PS001")


async def test_a_batch_tells_of_anothers_account_as_of_none(acme: Market) -> None:
    """Those elements are errors, and spoil no other (place_orders); both ways of reading a batch say the same."""
    async with acme.bob.connected() as connection:
        for extra in ("", ', "nonsense": 1'):
            for foreign in (acme.ann.account, 4711):
                one = f'{{"account_id": %s, "instrument_id": {acme.instrument}, "order_type": "limit", "side": "buy", "quantity": 1, "price": 1%s}}'
                rows = await connection.fetch(
                    "select status, reason from place_orders($1)",
                    f"[{one % (foreign, '')}, {one % (acme.bob.account, '')}, {one % (acme.bob.account, extra)}]",
                )
                assert tuple(rows[0]) == ("error", f"account_id {foreign}: there is no such account")
                assert [row["status"] for row in rows[1:]] == ["open", "error" if extra else "open"]


async def test_a_user_who_is_not_active_does_and_sees_nothing(database: Database, acme: Market) -> None:
    """Also in a session that was open before, should it have been overlooked."""
    async with acme.bob.connected() as connection:
        await database.execute("update users set is_active = false where user_id = $1", acme.bob.user_id)
        for table in (*OWN, "accounts"):
            assert await connection.fetch(f"select * from {table}") == []
        for call in (
            f"place_order({acme.bob.account}, {acme.instrument}, 'limit', 'buy', 1, 1)",
            f"cancel_order({acme.resting[acme.bob.username]})",
            f"account_summary({acme.bob.account})",
            "change_password('x')",
        ):
            with pytest.raises(asyncpg.PostgresError, match="is no active user of this database") as refused:
                await connection.execute(f"select {call}")
            assert (refused.value.sqlstate, refused.value.column_name) == ("PS002", "username")
        assert await tuples(connection, "select user_id, role from whoami()") == [(None, None)]


async def test_a_login_that_is_no_users_gets_nothing(
    database: Database, database_url: str, people: People
) -> None:
    """A role that somebody made by hand, and even granted everything that traders have."""
    ann = await people.add(cash="100")
    name = f"stranger_{ann.username}"
    await database.execute(f"create role {name} login password '{PASSWORD}' in role trader, pg_read_all_data")
    connection = await asyncpg.connect(login_url(database_url, name))
    try:
        assert await tuples(connection, "select role, may_administer from whoami()") == [(None, False)]
        for table in ("users", "accounts", *OWN):
            assert await connection.fetch(f"select * from {table}") == []
        with pytest.raises(asyncpg.PostgresError, match="is no active user"):
            await connection.execute(f"select account_summary({ann.account})")
    finally:
        await connection.close()


async def test_a_member_of_the_owner_may_administer(
    database: Database, database_url: str, people: People
) -> None:
    ann = await people.add(cash="100")
    name = f"deputy_{ann.username}"
    owner = await database.fetchval("select current_user")
    await database.execute(f"create role {name} login password '{PASSWORD}' in role {owner}")
    async with await Database.open(login_url(database_url, name)) as deputy:
        assert (await users.whoami(deputy)).may_administer
        await accounts.deposit(deputy, ann.account, Decimal(5))
        assert (await accounts.summary(deputy, ann.account)).balance == 105
        line = "select username, action from audit_log order by audit_id desc limit 1"
        assert await tuples(database, line) == [(name, "deposit")]


async def test_a_user_of_one_database_is_nobody_in_another(
    database: Database, database_url: str, people: People, empty_database_url: str
) -> None:
    ann = await people.add()
    await migrate(empty_database_url)
    with pytest.raises(ServerError, match="permission denied for database"):
        await Database.open(login_url(empty_database_url, ann.username))


async def test_anothers_and_no_account_are_one_error(acme: Market) -> None:
    async with acme.bob.opened() as db:
        messages = []
        for account in (acme.ann.account, 4711):
            with pytest.raises(RequestError) as refused:
                await accounts.summary(db, account)
            messages.append(str(refused.value).replace(str(account), "N"))
        assert messages[0] == messages[1]
        with pytest.raises(RequestError, match="no such order"):
            await orders.get(db, acme.resting[acme.ann.username])


async def test_refresh_marks_own_positions_only(database: Database, acme: Market) -> None:
    async with acme.bob.connected() as connection:
        assert await connection.fetchval("select refresh_pnl($1)", acme.bob.account) in (0, 1)
        for account in (acme.ann.account, None):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.fetchval("select refresh_pnl($1)", account)
            assert refused.value.column_name == "account_id"
        position = "select position_id from positions where account_id = $1"
        own, other = [await database.fetchval(position, one.account) for one in (acme.bob, acme.ann)]
        mark = "select calculate_position_pnl($1, 110)"
        assert await connection.fetchval(mark, own) == 100
        assert await connection.fetchval(mark, other) is None
        assert await connection.fetchval(mark, 4711) is None
    assert (
        await database.fetchval("select unrealized_pnl from positions where position_id = $1", other) != -100
    )


async def test_the_owner_is_held_back_by_nothing(database: Database, acme: Market) -> None:
    nobody = await make_account(database, cash="5")
    await make_instrument(database)
    assert {account.account_id for account in await accounts.list_all(database)} == {
        acme.ann.account,
        acme.bob.account,
        nobody,
    }
    assert await orders.cancel(database, acme.resting[acme.ann.username])
    assert (await users.whoami(database)).role == "owner"
