"""`trade user`, `account` and `instrument` on a real database: as the owner, and as somebody else."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from db import users
from db.database import Database, connect
from db.errors import LoginError
from terminal.cli import arguments, main
from terminal.cli.user import ROLES
from tests.db.people import PASSWORD, People, login_url
from tests.factories import make_account, make_instrument


@dataclass
class Trade:
    """The command `trade` on one database."""

    url: str

    async def __call__(self, *words: str, input: str | None = None) -> Result:  # noqa: A002 - click's word
        """Run it to its end, whatever that is."""
        return await asyncio.to_thread(
            CliRunner().invoke, main, ["--database-url", self.url, *words], input=input
        )

    async def done(self, *words: str, input: str | None = None) -> str:  # noqa: A002
        """Run what is to go well; returns what it printed to stdout."""
        result = await self(*words, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def json(self, *words: str, input: str | None = None) -> Any:  # noqa: A002
        """The same with --json."""
        return json.loads(await self.done(*words, "--json", input=input))

    async def refused(self, *words: str, input: str | None = None) -> str:  # noqa: A002
        """Run what is to be refused; returns what it said on stderr, a line without a traceback."""
        result = await self(*words, input=input)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result.stderr.removeprefix("trade: ").rstrip()


@pytest.fixture
def trade(database_url: str) -> Trade:
    return Trade(database_url)


@pytest.fixture
def name() -> str:
    """A user's name of its own: roles belong to the whole server."""
    return f"u_{uuid.uuid4().hex[:10]}"


async def may_log_in(url: str, user: str, password: str) -> bool:
    try:
        connection = await connect(login_url(url, user, password))
    except LoginError:
        return False
    await connection.close()
    return True


# Users


async def test_a_user_is_added_and_logs_in(trade: Trade, database: Database, name: str) -> None:
    words = ("user", "add", name, "--email", "jo@example.com", "--last-name", "Field", "--password-stdin")
    added = await trade.json(*words, input="a long secret\n")
    assert (added["username"], added["role"], added["last_name"], added["may_log_in"]) == (
        *(name, "trader", "Field"),
        True,
    )
    assert await may_log_in(trade.url, name, "a long secret")
    assert not await may_log_in(trade.url, name, "another secret")
    kept = await database.fetchval("select password_hash from users where username = $1", name)
    assert kept.startswith("SCRAM-SHA-256$")
    listed = await trade.done("user", "list")
    assert listed.splitlines()[0].split() == ["USER", "ROLE", "LOG-IN", "NAME", "ADDRESS", "SINCE"]
    assert f"{name}  trader  yes" in listed
    assert "SCRAM" not in json.dumps(await trade.json("user", "list"))


async def test_the_password_is_asked_for_twice_and_not_shown(
    trade: Trade, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "can_ask", lambda: True)
    add = ("user", "add", name, "--email", "jo@example.com")
    result = await trade(*add, input="a long secret\na long secrte\na long secret\na long secret\n")
    assert result.exit_code == 0
    assert "do not match" in result.output
    assert "a long" not in result.output
    assert await may_log_in(trade.url, name, "a long secret")


async def test_without_a_terminal_the_password_comes_from_stdin_or_not_at_all(
    trade: Trade, name: str
) -> None:
    told = await trade.refused("user", "add", name, "--email", "jo@example.com", input="secret\nsecret\n")
    assert told == "password: there is no terminal to ask for it. Pipe it in with --password-stdin."
    assert await trade.json("user", "list") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("user", "add", "pg_jo", "--email", "jo@example.com"), "username pg_jo: "),
        (("user", "add", "Jo Field", "--email", "jo@example.com"), "username Jo Field: "),
        (("user", "add", "jo", "--email", "nowhere"), "email nowhere: is no address"),
        (("user", "disable", "nobody"), "username nobody: there is no such user"),
        (("user", "enable", "nobody"), "username nobody: there is no such user"),
        (("user", "passwd", "nobody"), "username nobody: there is no such user"),
        (("user", "role", "nobody", "support"), "username nobody: there is no such user"),
        (("account", "open", "nobody"), "username nobody: there is no such user"),
        (("account", "close", "NONE"), "account NONE: there is no account of that number"),
        (("account", "deposit", "NONE", "5"), "account NONE: there is no account of that number"),
        (("instrument", "halt", "NONE"), "symbol NONE: there is no such instrument"),
        (("instrument", "set", "NONE"), "instrument NONE: nothing to change is given"),
        (("instrument", "add", "X", "--name", "X", "--tick", "0.00001"), "tick_size 0.00001: has more than"),
        (("instrument", "add", "X", "--name", "X", "--currency", "usd"), "currency usd: is no currency"),
    ],
)
async def test_what_will_not_do_is_named(trade: Trade, words: tuple[str, ...], told: str) -> None:
    password = ("--password-stdin",) if words[1] in ("add", "passwd") and words[0] == "user" else ()
    assert (await trade.refused(*words, *password, input="a long secret\n")).startswith(told)


async def test_a_short_password_is_refused_before_it_is_sent(trade: Trade, name: str) -> None:
    add = ("user", "add", name, "--email", "jo@example.com", "--password-stdin")
    assert (await trade.refused(*add, input="short\n")).startswith("password: is shorter than")
    assert (await trade.refused(*add, input="")).startswith("password")


@pytest.mark.parametrize("amount", ["five", "NaN", "1e", "inf"])
async def test_a_word_is_no_amount(trade: Trade, amount: str) -> None:
    result = await trade("account", "deposit", "X", amount)
    assert result.exit_code == 2
    assert f"{amount!r} is not a number" in result.stderr


async def test_a_user_is_disabled_and_enabled(trade: Trade, database: Database, database_url: str) -> None:
    jo = await People(database, database_url).add()
    connection = await connect(jo.url)
    told = await trade.json("user", "disable", jo.username)
    assert told == {"username": jo.username, "sessions_ended": 1}
    assert not await may_log_in(trade.url, jo.username, PASSWORD)
    assert f"{jo.username}  trader  disabled" in await trade.done("user", "list")
    assert await trade.done("user", "disable", jo.username) == (
        f"{jo.username} is disabled; 0 open connections ended.\n"
    )
    assert await trade.done("user", "enable", jo.username) == f"{jo.username} may log in again.\n"
    assert await may_log_in(trade.url, jo.username, PASSWORD)
    await connection.close()


async def test_another_password_and_another_role(trade: Trade, database: Database, database_url: str) -> None:
    jo = await People(database, database_url).add()
    changed = await trade.done("user", "passwd", jo.username, "--password-stdin", input="brand new one\n")
    assert changed == f"{jo.username} has another password.\n"
    assert await may_log_in(trade.url, jo.username, "brand new one")
    assert not await may_log_in(trade.url, jo.username, PASSWORD)
    assert (await trade.json("user", "role", jo.username, "support"))["role"] == "support"


async def test_everybody_changes_their_own_password(database: Database, database_url: str) -> None:
    jo = await People(database, database_url).add()
    changed = await Trade(jo.url).json("user", "passwd", "--password-stdin", input="brand new one\n")
    assert changed == {"username": jo.username}
    assert await may_log_in(database_url, jo.username, "brand new one")


def test_the_roles_are_those_of_the_database() -> None:
    assert ROLES == users.ROLES


# Accounts


async def test_an_account_from_its_opening_to_its_end(
    trade: Trade, database: Database, database_url: str
) -> None:
    jo = await People(database, database_url).add(account_number="OTHER")
    opened = await trade.json("account", "open", jo.username, "--type", "margin", "--number", "JO-7")
    assert (opened["account_number"], opened["account_type"], opened["balance"]) == ("JO-7", "margin", "0.00")
    paid = await trade.json("account", "deposit", "JO-7", "1,250.50", "--description", "Opening")
    assert (paid["amount"], paid["balance"], paid["currency"]) == ("1250.50", "1250.50", "USD")
    assert await database.fetchval("select description from transactions") == "Opening"
    assert "has a balance of 1250.50 USD" in await trade.refused("account", "close", "JO-7")
    assert "only 1250.50 is available" in await trade.refused("account", "withdraw", "JO-7", "1250.51")
    assert await trade.done("account", "withdraw", "JO-7", "1250.50") == (
        "1,250.50 USD paid out of JO-7; the balance is 0.00 USD.\n"
    )
    assert await trade.done("account", "close", "JO-7") == "Account JO-7 is closed.\n"
    statuses = {row["account_number"]: row["status"] for row in await trade.json("account", "list")}
    assert statuses == {"OTHER": "active", "JO-7": "closed"}
    listed = await trade.done("account", "list", "--user", jo.username)
    assert listed.splitlines()[0].split() == ["NUMBER", "USER", "TYPE", "STATUS", "BALANCE", "CURRENCY"]
    assert await trade.json("account", "list", "--user", "ann") == []


async def test_a_number_is_made_up_where_none_is_given(
    trade: Trade, database: Database, database_url: str
) -> None:
    jo = await People(database, database_url).add()
    numbers = {(await trade.json("account", "open", jo.username))["account_number"] for _ in range(3)}
    assert len(numbers) == 3
    assert all(numbers)


# Instruments


async def test_an_instrument_is_added_changed_halted_and_opened_again(
    trade: Trade, database: Database
) -> None:
    added = await trade.json(
        *("instrument", "add", "ACME", "--name", "Acme Inc.", "--tick", "0.01", "--lot", "1")
    )
    assert (added["symbol"], Decimal(added["tick_size"]), added["is_active"]) == (
        "ACME",
        Decimal("0.01"),
        True,
    )
    assert (await trade.refused("instrument", "add", "ACME", "--name", "x")).startswith("symbol ACME: ")
    changed = await trade.done("instrument", "set", "acme", "--name", "Acme Corporation", "--tick", "0.05")
    assert changed == "ACME: Acme Corporation, share, tick 0.05, lot 1.\n"
    assert await trade.done("instrument", "halt", "acme") == "ACME is halted.\n"
    assert await trade.done("instrument", "halt", "ACME") == "ACME was halted already.\n"
    assert not await database.fetchval("select is_active from instruments")
    assert "halted" in await trade.done("instrument", "list")
    assert await trade.done("instrument", "resume", "ACME") == "ACME is open for trading.\n"
    assert (await trade.json("instrument", "resume", "ACME"))["is_active"] is True
    assert (await trade.json("instrument", "list"))[0]["lot_size"] == "1.00"


# Nobody but the owner


AS_OWNER = [
    ("user", "add", "ann", "--email", "ann@example.com", "--password-stdin"),
    ("user", "list"),
    ("user", "disable", "demo"),
    ("user", "enable", "demo"),
    ("user", "passwd", "demo", "--password-stdin"),
    ("user", "role", "demo", "support"),
    ("account", "open", "demo"),
    ("account", "close", "DEMO"),
    ("account", "deposit", "DEMO", "1000000"),
    ("account", "withdraw", "DEMO", "1"),
    ("instrument", "add", "X", "--name", "X"),
    ("instrument", "set", "X", "--name", "Y"),
    ("instrument", "halt", "X"),
    ("instrument", "resume", "X"),
    ("demo",),
]


@pytest.mark.parametrize("role", ROLES)
async def test_administration_is_the_owners(database: Database, database_url: str, role: str) -> None:
    await make_instrument(database, "X")
    jo = await People(database, database_url).add(role)
    for words in AS_OWNER:
        told = await Trade(jo.url).refused(*words, input="a long secret\n")
        assert told.startswith(f"trade {words[0]} is for the owner of test_")
        assert f"{jo.username} is {role} there: log in as the owner" in told


@pytest.mark.parametrize("words", [("db", "migrate"), ("db", "status")])
async def test_the_schema_is_the_owners(
    database: Database, database_url: str, words: tuple[str, ...]
) -> None:
    jo = await People(database, database_url).add()
    told = await Trade(jo.url).refused(*words)
    assert "can only be set up and looked into by its owner" in told


async def test_a_trader_lists_their_own_accounts_and_all_instruments(
    database: Database, database_url: str
) -> None:
    await make_account(database, "100")
    await make_instrument(database, "ACME")
    jo = await People(database, database_url).add(cash="5", account_number="JO-1")
    assert [row["account_number"] for row in await Trade(jo.url).json("account", "list")] == ["JO-1"]
    assert [row["symbol"] for row in await Trade(jo.url).json("instrument", "list")] == ["ACME"]
