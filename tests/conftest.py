"""What every test can ask for: `database_url` and `database`, fresh and with the whole schema; see also
`tests.factories`.

async def test_deposit(database: Database) -> None:
    account = await make_account(database, cash="100")
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from db.database import Database
from tests.cluster import TestServer
from tests.proxy import Proxy, proxy_to

# A busy machine is no reason to fail.
hypothesis.settings.register_profile(
    "pitside", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("pitside")

_SERVER = pytest.StashKey[TestServer]()


def pytest_configure(config: pytest.Config) -> None:
    folder = getattr(config, "workerinput", {}).get("test_server")
    config.stash[_SERVER] = TestServer(Path(folder)) if folder else TestServer.in_new_folder()
    if folder is None:
        # As with Ctrl-C: a run that is told to end takes its server with it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells each process of pytest-xdist where the run's one server lies."""
    node.workerinput["test_server"] = str(node.config.stash[_SERVER].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    server = config.stash.get(_SERVER, None)
    if server is not None and not hasattr(config, "workerinput"):
        server.end()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own TRADE_… or PG… variables take part in a test."""
    for variable in [name for name in os.environ if name.upper().startswith(("TRADE_", "PG"))]:
        monkeypatch.delenv(variable)


@pytest.fixture
async def test_server(pytestconfig: pytest.Config) -> TestServer:
    """The run's one server, started."""
    server = pytestconfig.stash[_SERVER]
    await server.ensure_started()
    return server


@pytest.fixture
async def empty_database_url(test_server: TestServer) -> AsyncIterator[str]:
    """The owner's URL of a new database with nothing in it."""
    name = await test_server.create(template="template0")
    yield test_server.cluster.owner_url(name)
    await test_server.drop(name)


@pytest.fixture
async def database_url(test_server: TestServer) -> AsyncIterator[str]:
    """The owner's URL of a new database with the schema in it."""
    name = await test_server.create()
    yield test_server.cluster.owner_url(name)
    await test_server.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database with the schema in it, open."""
    async with await Database.open(database_url, pool_max=16) as opened:
        yield opened


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A line to a new database with the schema in it, to be cut and frozen."""
    with tempfile.TemporaryDirectory(
        prefix="pitside-"
    ) as folder:  # short: pytest's own is too long for a socket
        async with proxy_to(database_url, Path(folder)) as made:
            yield made
