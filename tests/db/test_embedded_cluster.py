"""The embedded server: what it is when it is up, and who gets in."""

from __future__ import annotations

import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from db.embedded import binaries, configuration
from db.embedded.cluster import Cluster
from db.errors import ServerError
from tests.db.embedded_servers import ask, data_dir, is_up, template, used_data_dir, watched

__all__ = ["data_dir", "template", "used_data_dir"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server with TCP, for the tests that only look."""
    with watched(tmp_path_factory.mktemp("server") / "pitside") as folder:
        cluster = Cluster(
            folder, port=free_port(), overrides={"work_mem": "9MB", "cluster_name": "it's, \\ us"}
        )
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def tcp_url(server: Cluster, user: str, password: str) -> str:
    process = server.process()
    assert process is not None
    return f"postgresql://{user}:{password}@127.0.0.1:{process.port}/trading_db"


async def test_a_new_folder_becomes_a_server_with_the_database(data_dir: Path) -> None:
    cluster = Cluster(data_dir)
    cluster.start()
    try:
        assert cluster.is_running()
        assert await ask(cluster.owner_url(), "select current_database()") == "trading_db"
        assert await ask(cluster.owner_url("postgres"), "select current_database()") == "postgres"
    finally:
        cluster.stop()
    assert not cluster.is_running()
    assert not is_up(data_dir)


async def test_data_survive_a_stop(used_data_dir: Path) -> None:
    cluster = Cluster(used_data_dir)
    cluster.start()
    await ask(cluster.owner_url(), "create table kept as select 42 as answer")
    cluster.stop()
    cluster.start()
    try:
        assert await ask(cluster.owner_url(), "select answer from kept") == 42
    finally:
        cluster.stop()


async def test_starting_and_stopping_twice_is_starting_and_stopping_once(used_data_dir: Path) -> None:
    Cluster(used_data_dir).stop()
    cluster, other = Cluster(used_data_dir), Cluster(used_data_dir)
    cluster.start()
    try:
        process = cluster.process()
        other.start()
        other.initialise()
        assert other.process() == process
    finally:
        other.stop()
    cluster.stop()
    assert not is_up(used_data_dir)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("timezone", "UTC"),
        ("jit", "off"),
        ("wal_level", "replica"),
        ("summarize_wal", "on"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("password_encryption", "scram-sha-256"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_permissions", "0700"),
        ("work_mem", "9MB"),  # one of the fixture's overrides, and one that needs quoting
        ("cluster_name", "it's, \\ us"),
    ],
)
async def test_it_is_configured_for_its_work(server: Cluster, setting: str, value: str) -> None:
    assert await ask(server.owner_url(), f"select current_setting('{setting}')") == value


async def test_text_sorts_by_code_point_and_knows_letters_on_every_system(server: Cluster) -> None:
    locale = "select datlocprovider::text || datlocale from pg_database where datname = current_database()"
    assert await ask(server.owner_url(), locale) == "bC.UTF-8"
    assert await ask(server.owner_url(), "select upper('é') || (select 'Z' < 'a')") == "Étrue"


async def test_statements_are_counted(server: Cluster) -> None:
    assert await ask(server.owner_url(), "select count(*) > 0 from public.pg_stat_statements")


WHO = "select current_user || ' ' || rolsuper from pg_roles where rolname = current_user"


@pytest.fixture
def misleading_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "nowhere")
    monkeypatch.setenv("PGUSER", "nobody")


@pytest.mark.usefixtures("misleading_environment")
async def test_the_owner_gets_in_with_asyncpg(server: Cluster) -> None:
    assert await ask(server.owner_url(), WHO) == "pitside true"


@pytest.mark.usefixtures("misleading_environment")
def test_the_owner_gets_in_with_psql_by_the_same_url(server: Cluster) -> None:
    psql = binaries.installed().program("psql")
    told = subprocess.run(
        [psql, "-XAt", server.owner_url(), "-c", WHO], capture_output=True, text=True, check=False
    )
    assert told.stdout.strip() == "pitside true", told.stderr


async def test_nobody_gets_in_without_a_password(server: Cluster) -> None:
    await ask(server.owner_url(), "create role alice login password 'let me in'")
    assert await ask(tcp_url(server, "alice", "let%20me%20in"), "select current_user") == "alice"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(tcp_url(server, "alice", "wrong"), "select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):  # the socket is no way around it
        await ask(server.owner_url().replace("pitside@", "alice:wrong@"), "select 1")
    assert "trust" not in configuration.HBA
    methods = "select array_agg(distinct auth_method) from pg_hba_file_rules"
    assert set(await ask(server.owner_url(), methods)) == {"peer", "reject", "scram-sha-256"}  # type: ignore[call-overload]


async def test_the_owner_does_not_come_over_tcp_not_even_with_a_password(server: Cluster) -> None:
    await ask(server.owner_url(), "alter role pitside password 'secret'")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="rejects connection"):
        await ask(tcp_url(server, "pitside", "secret"), "select 1")


def test_only_the_owner_can_enter_the_folders_of_the_data_and_the_socket(server: Cluster) -> None:
    process = server.process()
    assert process is not None
    for folder in (server.path, process.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in server.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


async def test_without_a_port_nothing_listens_on_tcp(used_data_dir: Path) -> None:
    cluster = Cluster(used_data_dir)
    cluster.start()
    try:
        assert await ask(cluster.owner_url(), "select current_setting('listen_addresses')") == ""
    finally:
        cluster.stop()


def test_a_port_that_is_taken_is_named(server: Cluster, used_data_dir: Path) -> None:
    process = server.process()
    assert process is not None
    with pytest.raises(ServerError, match=rf"Port {process.port} .* is taken .*database\.port"):
        Cluster(used_data_dir, port=process.port).start()
    assert not is_up(used_data_dir)


def test_what_postgres_says_against_a_start_is_passed_on(used_data_dir: Path) -> None:
    with pytest.raises(ServerError, match="unrecognized configuration parameter") as error:
        Cluster(used_data_dir, overrides={"no_such_setting": "1"}).start()
    assert str(used_data_dir / "log" / "server.log") in str(error.value)
