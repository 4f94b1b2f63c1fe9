"""What every end-to-end test can ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.embedded.sharing import stop
from db.settings import DatabaseSettings
from tests.end_to_end.windows import Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _the_code_beside_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command `trade` may be installed from another checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, 200, 50)
    yield made
    made.end()
    stop(DatabaseSettings(data_dir=tmp_path / "data"), force=True)
