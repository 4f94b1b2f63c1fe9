"""The entrance on a real server: who comes in at once, who is asked, what is remembered."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db import users
from db.database import Database
from db.embedded.sharing import Lease
from db.errors import ConnectionLostError, LoginError, RequestError, SchemaError, ServerError
from db.urls import server_text
from terminal import remembered
from terminal.cli.entrance import TradeEntrance
from terminal.cli.market import Market
from terminal.login import THIS_COMPUTER, LoginEntry
from terminal.passwords import Keyring, KeyringError
from terminal.settings import Settings, load_settings
from terminal.state import DeskState, TradingDesk
from tests.cluster import TestServer
from tests.db import tls_server
from tests.db.people import PASSWORD, People, Person, login_url
from tests.db.tls_server import programs, serving
from tests.factories import make_account, make_instrument
from tests.terminal.keyrings import Memory, Refusing, hide, use
from tests.waiting import until

MakeEntrance = Callable[..., TradeEntrance]


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)


@pytest.fixture
async def jo(database: Database, database_url: str) -> Person:
    await make_instrument(database, "ACME")
    return await People(database, database_url).add(cash="1000", account_number="JO-1")


@pytest.fixture
def entrance(tmp_path: Path) -> MakeEntrance:
    """An entrance to a server that is not ours, unless a lease says otherwise."""

    def make(url: str, *, lease: Lease | None = None, **terminal: str) -> TradeEntrance:
        given: dict[str, Any] = {"terminal": terminal}
        if lease is None:
            given["database"] = {"url": url}
        settings = load_settings(given)
        lease = lease or Lease(settings.database.server_url or "")
        return TradeEntrance(settings, lease, Market(settings, lease), tmp_path / "state" / "login.json")

    return make


def server_of(url: str) -> str:
    return server_text(url)


async def begins(desk: TradingDesk | None) -> DeskState:
    """The first whole state of a desk, which is ended then."""
    assert desk is not None
    running = asyncio.ensure_future(desk.run())
    try:
        await until(lambda: running.done() or desk.state.connection.status == "live")
        if running.done():
            await running
        return desk.state
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# At once, or by the log-in


async def test_a_url_with_user_and_password_leads_in_at_once(entrance: MakeEntrance, jo: Person) -> None:
    state = await begins(await entrance(jo.url).at_once())
    assert (state.user, state.account and state.account.number) == (jo.username, "JO-1")


async def test_the_owner_comes_in_without_a_password_as_ever(
    entrance: MakeEntrance, jo: Person, database_url: str
) -> None:
    state = await begins(await entrance(database_url).at_once())
    assert (state.user, state.account and state.account.number) == ("pitside", "JO-1")


async def test_a_url_without_a_user_asks(entrance: MakeEntrance, database_url: str) -> None:
    server = server_of(database_url)
    made = entrance(server)
    assert await made.at_once() is None
    assert (made.form.user, made.form.server, made.form.problem) == ("", server, "")


async def test_a_url_without_a_password_asks_and_blames_nobody(
    entrance: MakeEntrance, jo: Person, database_url: str
) -> None:
    made = entrance(jo.url.replace(f":{PASSWORD.replace(' ', '%20')}@", "@"))
    assert await made.at_once() is None
    assert (made.form.user, made.form.server, made.form.problem) == (jo.username, server_of(database_url), "")


async def test_a_wrong_password_in_the_settings_asks_and_says_so(
    entrance: MakeEntrance, jo: Person, database_url: str
) -> None:
    made = entrance(login_url(database_url, jo.username, "wrong"))
    assert await made.at_once() is None
    assert made.form.problem == "User or password is wrong"


async def test_another_user_than_the_urls_is_asked_for_a_password(entrance: MakeEntrance, jo: Person) -> None:
    made = entrance(jo.url, user="ann")
    assert await made.at_once() is None
    assert made.form.user == "ann"


async def test_a_server_that_is_away_is_no_matter_of_the_login(entrance: MakeEntrance) -> None:
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        await entrance("postgresql://jo:pw@127.0.0.1:9/trading_db").at_once()


# What is typed


async def test_who_logs_in_is_remembered_and_the_password_is_not(
    entrance: MakeEntrance, jo: Person, database_url: str, tmp_path: Path
) -> None:
    server = server_of(database_url)
    made = entrance(server)
    state = await begins(await made.enter(LoginEntry(jo.username, PASSWORD, server)))
    assert state.user == jo.username
    file = tmp_path / "state" / "login.json"
    assert json.loads(file.read_text()) == {"user": jo.username, "server": server}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    again = entrance(server)
    assert (again.form.user, again.form.server) == (jo.username, server)


async def test_a_password_typed_into_the_server_is_not_remembered(
    entrance: MakeEntrance, jo: Person, database_url: str, tmp_path: Path
) -> None:
    made = entrance(server_of(database_url))
    await begins(await made.enter(LoginEntry(jo.username, PASSWORD, jo.url)))
    assert "horse" not in (tmp_path / "state" / "login.json").read_text()
    assert made.form.server == server_of(database_url)


async def test_what_the_settings_say_of_encryption_is_not_part_of_the_server(
    jo: Person, database_url: str, tmp_path: Path
) -> None:
    server = server_of(database_url)
    made = load_settings({"database": {"url": server, "sslmode": "prefer", "sslrootcert": "/firm/ca.pem"}})
    lease = Lease(made.database.server_url or "")
    assert "sslrootcert" in lease.url
    entrance = TradeEntrance(made, lease, Market(made, lease), tmp_path / "login.json")
    assert entrance.form.server == server
    await begins(await entrance.enter(LoginEntry(jo.username, PASSWORD, server)))
    assert entrance.form.server == server
    assert json.loads((tmp_path / "login.json").read_text())["server"] == server


@pytest.mark.parametrize("who", ["jo", "nobody"])
async def test_wrong_password_and_unknown_user_are_one_answer(
    entrance: MakeEntrance, jo: Person, database_url: str, tmp_path: Path, who: str
) -> None:
    server = server_of(database_url)
    user = jo.username if who == "jo" else "nobody_at_all"
    with pytest.raises(LoginError) as refused:
        await entrance(server).enter(LoginEntry(user, "wrong", server))
    assert refused.value.reason == "User or password is wrong"
    assert not (tmp_path / "state").exists()


async def test_a_disabled_user_is_told(
    entrance: MakeEntrance, jo: Person, database: Database, database_url: str
) -> None:
    await users.disable(database, jo.username)
    server = server_of(database_url)
    with pytest.raises(LoginError) as refused:
        await entrance(server).enter(LoginEntry(jo.username, PASSWORD, server))
    assert refused.value.reason.startswith("This user is disabled")
    with pytest.raises(LoginError) as refused:  # who does not know the password does not learn that
        await entrance(server).enter(LoginEntry(jo.username, "wrong", server))
    assert refused.value.reason == "User or password is wrong"


async def test_what_is_no_server_is_told_as_the_field(entrance: MakeEntrance, database_url: str) -> None:
    with pytest.raises(RequestError, match="server db example: has a space in it") as wrong:
        await entrance(server_of(database_url)).enter(LoginEntry("jo", "pw", "db example"))
    assert wrong.value.field == "server"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "delete from internal.schema_versions where version > 1",
            "has version 1 of the schema.*trade db mig",
        ),
        ("insert into internal.schema_versions values (9000, 'x', 'x')", "knows .*: update the program"),
        ("drop function schema_version()", "is not set up for this program yet: its owner has to call"),
    ],
)
async def test_a_schema_that_does_not_fit_is_told_to_who_cannot_change_it(
    entrance: MakeEntrance, jo: Person, database: Database, change: str, told: str
) -> None:
    await database.execute(change)
    with pytest.raises(SchemaError, match=told):
        await entrance(jo.url).at_once()


@pytest.mark.parametrize(
    ("server", "settings", "grade", "words"),
    [
        ("db.example", {}, "safe", "the server must prove who it is"),
        ("localhost:5433", {}, "safe", "Nothing leaves this computer"),
        ("db.example", {"sslmode": "prefer"}, "weak", "only where offered"),
        ("db.example", {"sslmode": "disable"}, "weak", "Not encrypted"),
        ("postgresql://db.example/x?sslmode=require", {}, "weak", "not verified"),
        ("postgresql://db.example/x?sslmode=sometimes", {}, "none", ""),
        ("", {}, "none", ""),
        (THIS_COMPUTER, {}, "none", ""),  # this entrance leads to another server
    ],
)
def test_how_the_password_would_travel(
    tmp_path: Path, server: str, settings: dict[str, str], grade: str, words: str
) -> None:
    made = load_settings({"database": {"url": "postgresql://far.example/x", **settings}})
    lease = Lease("postgresql://far.example/x")
    told = TradeEntrance(made, lease, Market(made, lease), tmp_path / "x").protection(server)
    assert told.grade == grade
    assert words in told.words


@pytest.mark.skipif(programs() is None, reason="no PostgreSQL of the system with TLS (and openssl)")
async def test_the_settings_of_encryption_hold_for_what_is_typed(tmp_path: Path) -> None:
    with serving(programs() or Path()) as server:
        typed = f"localhost:{server.port}/postgres"

        def entrance_that_trusts(authority: Path) -> TradeEntrance:
            made = load_settings(
                {
                    "database": {
                        "url": f"postgresql://{typed}",
                        "sslmode": "verify-full",
                        "sslrootcert": str(authority),
                    }
                }
            )
            lease = Lease(made.database.server_url or "")
            return TradeEntrance(made, lease, Market(made, lease), tmp_path / "login.json")

        entry = LoginEntry("owner", tls_server.PASSWORD, typed)
        with pytest.raises(ServerError, match="nobody trusted has signed it"):
            await entrance_that_trusts(server.stranger).enter(entry)
        with (
            server.without_tls(),
            pytest.raises(ServerError, match=r"offers no encrypted connection \(TLS\)"),
        ):
            await entrance_that_trusts(server.authority).enter(entry)
        trusting = entrance_that_trusts(server.authority)
        assert trusting.protection(typed).words == "Nothing leaves this computer"
        with pytest.raises(RequestError, match="the database has no account to trade with"):
            await begins(await trusting.enter(entry))  # let in, to a database with nothing in it


# This computer's own server, and its demo


@pytest.fixture
async def here(test_server: TestServer, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """The test's database as the embedded one; its demo is not set up by itself."""

    async def nothing(_market: Market, _progress: object) -> None: ...

    monkeypatch.setattr(Market, "_ensure_demo", nothing)
    monkeypatch.setenv("TRADE_SIMULATION__ENABLED", "false")
    return Lease(database_url, test_server.cluster)


async def test_the_demo_trader_comes_in_without_a_question(
    entrance: MakeEntrance, here: Lease, database: Database
) -> None:
    await make_instrument(database, "ACME")
    other = await make_account(database, "77")
    demo = await users.add(database, username="demo", email="demo@pitside.invalid")
    await make_account(database, "5", user_id=demo, account_number="DEMO")
    made = entrance("", lease=here)
    state = await begins(await made.at_once())
    assert (state.user, state.demo) == ("demo", True)
    assert [choice.number for choice in state.accounts] == ["DEMO"]  # a trader as any other
    assert state.account is not None
    assert state.account.account_id != other
    await users.disable(database, "demo")
    with pytest.raises(LoginError) as refused:
        await begins(await entrance("", lease=here).at_once())
    assert refused.value.reason.endswith("has a demo trader who is disabled: log in as another user")


async def test_without_a_demo_trader_the_login_is_the_way(entrance: MakeEntrance, here: Lease) -> None:
    with pytest.raises(LoginError) as refused:
        await begins(await entrance("", lease=here).at_once())
    assert refused.value.reason == "This database has no demo trader: log in as another user"


async def test_another_user_logs_in_here(entrance: MakeEntrance, here: Lease, jo: Person) -> None:
    made = entrance("", lease=here, user=jo.username)
    assert await made.at_once() is None
    assert (made.form.user, made.form.server) == (jo.username, THIS_COMPUTER)
    assert made.protection(THIS_COMPUTER).words == "Nothing leaves this computer"
    state = await begins(await made.enter(LoginEntry(jo.username, PASSWORD, "This computer ")))
    assert state.user == jo.username
    assert entrance("", lease=here).form.server == THIS_COMPUTER


# The keyring


async def test_a_password_is_kept_in_the_keyring_once_it_is_right(
    entrance: MakeEntrance, jo: Person, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = use(Memory(), monkeypatch)
    server = server_of(database_url)
    made = entrance(server)
    assert made.keeps_passwords
    with pytest.raises(LoginError):
        await made.enter(LoginEntry(jo.username, "wrong", server, keep=True))
    assert memory.kept == {}
    await begins(await made.enter(LoginEntry(jo.username, PASSWORD, server, keep=True)))
    assert memory.kept == {("pitside", f"{jo.username}@{server}"): PASSWORD}
    assert await made.has_password(jo.username, server)
    assert not await made.has_password("ann", server)
    state = await begins(await entrance(server).enter(LoginEntry(jo.username, "", server)))
    assert state.user == jo.username
    memory.kept[("pitside", f"{jo.username}@{server}")] = "of yesterday"
    with pytest.raises(LoginError) as refused:
        await made.enter(LoginEntry(jo.username, "", server))
    assert refused.value.reason == "The password in the keyring is no longer right: type the new one"


async def test_a_keyring_that_refuses_is_told(
    entrance: MakeEntrance, jo: Person, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Refusing(), monkeypatch)
    server = server_of(database_url)
    made = entrance(server)
    assert not await made.has_password(jo.username, server)
    with pytest.raises(KeyringError, match="the keyring refuses: it is locked"):
        await made.enter(LoginEntry(jo.username, PASSWORD, server, keep=True))


def test_a_desktop_without_a_keyring_has_none() -> None:
    assert not Keyring().is_there


def test_without_the_package_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Memory(), monkeypatch)
    assert Keyring().is_there
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert not Keyring().is_there
    assert Keyring().find("jo", "db.example") is None


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"user": "jo"}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "login.json").write_text(content)
    assert remembered.load(tmp_path / "login.json") == remembered.LastLogin()


def test_what_cannot_be_remembered_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remembered.save(tmp_path / "file" / "login.json", remembered.LastLogin("jo", "db.example"))
    assert remembered.load(tmp_path / "file" / "login.json") == remembered.LastLogin()


def test_settings_name_the_user() -> None:
    assert Settings().terminal.user is None
    assert load_settings({"terminal": {"user": "jo"}}).terminal.user == "jo"
