"""Encrypted connections: what the URL and the settings ask for, and a real server with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import tls
from db.database import Database, connect
from db.errors import LoginError, PitsideError, ServerError
from db.schema.migrate import migrate
from db.settings import DatabaseSettings
from db.urls import is_local, of_server, parameter, server_text, user_of, with_login, without_login
from tests.db.tls_server import PASSWORD, TlsServer, programs, serving

PROGRAMS = programs()
needs_server = pytest.mark.skipif(
    PROGRAMS is None,
    reason="no PostgreSQL of the system's packages with TLS (and openssl) to be tried against",
)


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    assert PROGRAMS is not None
    with serving(PROGRAMS) as started:
        yield started


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own ~/.postgresql takes part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def encryption(url: str) -> tuple[bool, str]:
    """Whether the connection is encrypted, and as whom the server sees us."""
    connection = await connect(with_login(url, user_of(url) or "", PASSWORD))
    try:
        row = await connection.fetchrow(
            "select ssl, session_user from pg_stat_ssl where pid = pg_backend_pid()"
        )
        assert row is not None
        return row["ssl"], row["session_user"]
    finally:
        await connection.close()


async def refusal(url: str, kind: type[PitsideError] = ServerError) -> str:
    with pytest.raises(kind) as refused:
        await encryption(url)
    assert PASSWORD not in str(refused.value)
    return str(refused.value)


# Where a URL leads, and what follows


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("postgresql://jo@localhost/x", True),
        ("postgresql://jo@127.0.0.1:5433/x", True),
        ("postgresql://jo@127.8.9.1/x", True),
        ("postgresql://jo@[::1]:5433/x", True),
        ("postgresql://pitside@/x?host=%2Frun%2Fpitside&port=5432", True),
        ("postgresql:///x", True),
        ("postgresql://jo@db.example/x", False),
        ("postgresql://jo@localhost.example/x", False),
        ("postgresql://jo@10.0.0.7/x", False),
        ("postgresql://jo@[fd00::7]:5432/x", False),
        ("postgresql://jo@127.0.0.1,db.example/x", False),
        ("postgresql://jo@/x?host=db.example", False),
        ("postgresql:///x?service=firm", False),
    ],
)
def test_another_machine_must_prove_who_it_is(url: str, local: bool) -> None:
    assert is_local(url) is local
    assert tls.mode(url) == ("prefer" if local else "verify-full")


def test_a_host_from_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert tls.mode("postgresql:///x") == "verify-full"


def test_the_url_wins_over_the_settings_and_they_over_the_default() -> None:
    def mode(url: str, **settings: str) -> str:
        made = DatabaseSettings.model_validate({"url": url, **settings})
        assert made.server_url is not None
        return tls.mode(made.server_url)

    far = "postgresql://jo:pw@db.example/x"
    assert mode(far) == "verify-full"
    assert mode(far, sslmode="require") == "require"
    assert mode(f"{far}?sslmode=verify-ca", sslmode="require") == "verify-ca"
    with pytest.raises(
        ServerError, match=r"sslmode is 'always' in the URL of x on db\.example:5432: use one"
    ):
        mode(f"{far}?sslmode=always")


def test_a_file_of_authorities_is_taken_from_home_and_handed_on() -> None:
    settings = DatabaseSettings.model_validate(
        {"url": "postgresql://db.example/x?application_name=y", "sslrootcert": "~/firm ca.pem"}
    )
    assert settings.server_url is not None
    assert parameter(settings.server_url, "sslrootcert") == str(Path.home() / "firm ca.pem")
    assert parameter(settings.server_url, "application_name") == "y"
    system = DatabaseSettings.model_validate({"url": "postgresql://h/x", "sslrootcert": "system"})
    assert system.server_url == "postgresql://h/x?sslrootcert=system"


def test_without_a_file_the_system_says_whom_to_trust() -> None:
    context = tls.for_driver("postgresql://jo@db.example/x")
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    less = tls.for_driver("postgresql://jo@db.example/x?sslmode=verify-ca")
    assert isinstance(less, ssl.SSLContext)
    assert (less.verify_mode, less.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_a_file_of_authorities_that_is_no_use_is_named(tmp_path: Path) -> None:
    url = "postgresql://jo@db.example/x?sslrootcert="
    with pytest.raises(ServerError, match=r"sslrootcert names /no/such\.crt, which cannot be read: No such"):
        tls.for_driver(f"{url}/no/such.crt")
    (tmp_path / "empty.crt").write_text("nothing")
    with pytest.raises(ServerError, match=r"empty\.crt, which holds no certificates"):
        tls.for_driver(f"{url}{tmp_path}/empty.crt")


# What people type as a server


@pytest.mark.parametrize(
    ("typed", "url", "shown"),
    [
        ("db.example", "postgresql://db.example/trading_db", "db.example"),
        (" db.example:5433 ", "postgresql://db.example:5433/trading_db", "db.example:5433"),
        ("db.example/other", "postgresql://db.example/other", "db.example/other"),
        ("[::1]:5432/trading_db", "postgresql://[::1]:5432/trading_db", "[::1]"),
        (
            "postgres://jo:pw@db.example/x?sslmode=require",
            "postgres://jo:pw@db.example/x?sslmode=require",
            "postgres://db.example/x?sslmode=require",
        ),
        (
            "postgresql:///trading_db?host=/run/x",
            "postgresql:///trading_db?host=/run/x",
            "postgresql:///trading_db?host=/run/x",
        ),
    ],
)
def test_a_server_as_people_type_it(typed: str, url: str, shown: str) -> None:
    assert of_server(typed) == url
    assert server_text(url) == shown


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("", "no server is named"),
        ("https://db.example", "begins with https://"),
        ("db example", "has a space"),
        ("db.example:port", "a number as its port"),
        ("/trading_db", "names no host"),
    ],
)
def test_what_is_no_server_is_told(typed: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        of_server(typed)


def test_a_login_goes_into_a_url_and_out_again() -> None:
    url = with_login("postgresql://old:older@/x?host=/run/p&user=old&port=5432", "jo@firm", "p/w:ö")
    assert url == "postgresql://jo%40firm:p%2Fw%3A%C3%B6@/x?host=/run/p&port=5432"
    assert user_of(url) == "jo@firm"
    assert without_login(url) == "postgresql:///x?host=/run/p&port=5432"


# A real server


@needs_server
async def test_on_this_machine_tls_is_used_when_it_is_offered(server: TlsServer) -> None:
    assert await encryption(server.url("127.0.0.1")) == (True, "owner")
    with server.without_tls():
        assert await encryption(server.url("127.0.0.1")) == (False, "owner")


@needs_server
async def test_a_server_is_verified_by_its_authority_and_its_name(server: TlsServer) -> None:
    verified = f"sslmode=verify-full&sslrootcert={server.authority}"
    assert await encryption(f"{server.url('localhost')}?{verified}") == (True, "owner")
    other_name = await refusal(f"{server.url('127.0.0.1')}?{verified}")
    assert "certificate is not accepted: IP address mismatch" in other_name
    assert "Name the server as its certificate does" in other_name
    less = verified.replace("verify-full", "verify-ca")
    assert await encryption(f"{server.url('127.0.0.1')}?{less}") == (True, "owner")


@needs_server
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_that_nobody_trusted_has_signed(server: TlsServer, mode: str) -> None:
    of_nobody = await refusal(f"{server.url('localhost')}?sslmode={mode}&sslrootcert={server.stranger}")
    assert "nobody trusted has signed it" in of_nobody
    assert "database.sslrootcert" in of_nobody
    assert "nobody trusted has signed it" in await refusal(f"{server.url('localhost')}?sslmode={mode}")
    assert await encryption(f"{server.url('localhost')}?sslmode=require") == (True, "owner")


@needs_server
async def test_the_authority_in_its_usual_place_is_found(server: TlsServer, home: Path) -> None:
    (home / ".postgresql").mkdir()
    (home / ".postgresql" / "root.crt").write_bytes(server.authority.read_bytes())
    assert await encryption(f"{server.url('localhost')}?sslmode=verify-full") == (True, "owner")


@needs_server
async def test_from_another_machine_nothing_goes_without_a_verified_certificate(server: TlsServer) -> None:
    if server.address is None:
        pytest.skip("this machine has no address in a network")
    url = server.url(server.address)
    assert "nobody trusted has signed it" in await refusal(url)
    assert await encryption(f"{url}?sslrootcert={server.authority}") == (True, "owner")
    with server.without_tls():
        words = await refusal(f"{url}?sslrootcert={server.authority}")
        assert f"postgres on {server.address}:{server.port} offers no encrypted connection (TLS)" in words
        assert "database.sslmode=prefer" in words
        assert "offers no encrypted connection" in await refusal(f"{url}?sslmode=require")
        assert await encryption(f"{url}?sslmode=prefer") == (False, "owner")


@needs_server
async def test_a_wrong_password_is_one_over_tls_too(server: TlsServer) -> None:
    url = with_login(f"{server.url('localhost')}?sslmode=require", "owner", "wrong")
    with pytest.raises(LoginError) as refused:
        await Database.open(url)
    assert refused.value.reason == "User or password is wrong"
    assert "wrong@" not in str(refused.value)


@needs_server
async def test_schema_and_pool_go_the_same_way(server: TlsServer) -> None:
    settings = DatabaseSettings.model_validate(
        {
            "url": with_login(server.url("localhost", database="trading_db"), "owner", PASSWORD),
            "sslmode": "verify-full",
            "sslrootcert": str(server.authority),
        }
    )
    assert settings.server_url is not None
    server.statement("create database trading_db")
    assert (await migrate(settings.server_url)).changed
    async with await Database.open(settings.server_url) as database:
        assert await database.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        connection = await database.dedicated()
        assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        await connection.close()
