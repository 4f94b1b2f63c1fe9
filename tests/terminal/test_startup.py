"""The first paint needs Textual and nothing else that is slow to import."""

from __future__ import annotations

import subprocess
import sys

LATE = ("asyncpg", "plotext", "pydantic", "db.database", "terminal.desk", "terminal.screens.keys")


def test_what_the_first_paint_does_not_need_is_not_imported() -> None:
    program = f"import sys, terminal.app; print([name for name in {LATE!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
