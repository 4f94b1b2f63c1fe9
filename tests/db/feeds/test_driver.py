"""One process drives the participants, however many terminals are open, and it ends with the last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

from db.database import Database
from db.feeds import locks
from db.feeds.driver import Driver
from db.settings import SimulationSettings
from tests.db.feeds.watching import has_both_sides, listed, resting, until

SETTINGS = SimulationSettings(seed=3, pace=4.0, levels=5, makers=2, takers=1)

TERMINAL = """
import asyncio, sys
from pathlib import Path
from db.feeds.driver import Driver
from db.settings import SimulationSettings

async def main():
    async with Driver(sys.argv[1], SimulationSettings(), Path(sys.argv[2])):
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def driven(database: Database) -> bool:
    return bool(await locks.held_alone(database, locks.SIMULATION))


def driving() -> list[psutil.Process]:
    """The children of this process that drive participants; what other tests left to be buried is none."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            found += [child] if "db.feeds" in child.cmdline() else []
    return found


async def test_one_drives_the_other_takes_over_and_nothing_is_left(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    share = await listed(database, "ACME", "100.00")
    log = tmp_path / "a folder" / "simulation.log"
    async with Driver(database_url, SETTINGS, log) as first:
        await until(lambda: driven(database))
        async with Driver(database_url, SETTINGS, log) as second:
            await until(lambda: has_both_sides(database, share))
            await asyncio.sleep(1.5)
            assert (first.drives, second.drives) == (True, False)
            await first.__aexit__(None, None, None)

            async def taken_over() -> bool:
                return second.drives and await driven(database)

            await until(taken_over)
            await until(lambda: has_both_sides(database, share))
    assert not await driven(database)
    assert await resting(database) == 0
    assert not driving()
    assert "Traceback" not in log.read_text()


async def test_no_password_in_a_command_line_and_a_killed_process_is_replaced(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await listed(database, "ACME", "100.00")
    async with Driver(database_url, SETTINGS, tmp_path / "log") as driver:
        await until(lambda: driven(database))
        (child,) = driving()
        assert not any("postgresql://" in word for word in child.cmdline())
        child.kill()

        async def replaced() -> bool:
            return driver.drives and child.pid not in {other.pid for other in psutil.Process().children()}

        await until(replaced)
        await until(lambda: driven(database))
    assert await resting(database) == 0


async def test_the_process_ends_when_its_terminal_is_killed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    share = await listed(database, "ACME", "100.00")
    terminal = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TERMINAL, database_url, str(tmp_path / "log"), cwd=Path(__file__).parents[3]
    )
    try:
        await until(lambda: has_both_sides(database, share))
    finally:
        os.kill(terminal.pid, signal.SIGKILL)
        await terminal.wait()

    async def gone() -> bool:
        return not await driven(database)

    await until(gone)
    assert await resting(database) == 0


async def test_what_stops_the_process_can_be_read(database: Database, tmp_path: Path) -> None:
    log = tmp_path / "log"
    unreachable = f"postgresql://nobody@/none?host={tmp_path}"
    async with Driver(unreachable, SETTINGS, log) as driver:

        async def told() -> bool:
            return driver.problem is not None

        await until(told)
        assert str(tmp_path) in (driver.problem or "")


async def test_switched_off_nothing_runs(database: Database, database_url: str, tmp_path: Path) -> None:
    async with Driver(
        database_url, SETTINGS.model_copy(update={"enabled": False}), tmp_path / "log"
    ) as driver:
        await asyncio.sleep(1.5)
        assert not driver.drives
        assert not await driven(database)
