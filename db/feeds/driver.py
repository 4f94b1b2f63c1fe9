"""Keeps the simulated participants of a database running while anybody has a terminal open.

Each terminal has a Driver. One of them runs the process that drives the participants; the others watch
whether somebody does, and start theirs when nobody does any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs

from db.database import Database
from db.errors import PitsideError
from db.feeds import locks
from db.feeds.__main__ import DRIVEN_ALREADY, STOPPED
from db.settings import SimulationSettings

WATCH = 1.0
"""Seconds between two looks whether somebody drives."""

STOPPING = 5.0
"""Seconds that the process gets to take its orders out of the market."""

LONGEST_PAUSE = 30.0
"""Seconds at most before a process that failed is started again."""

LOG_SIZE = 1_000_000
"""Bytes after which the log begins anew."""

PACKAGES = Path(__file__).resolve().parents[2]


def default_log() -> Path:
    """Where the process writes its troubles, unless told otherwise."""
    return platformdirs.user_log_path("pitside") / "simulation.log"


class Driver:
    """Use with `async with`, inside of whatever keeps the server running. Does nothing when simulation
    is switched off."""

    def __init__(self, url: str, settings: SimulationSettings, log: Path | None = None) -> None:
        self.log = log or default_log()
        self.problem: str | None = None
        """Why the participants do not run, for a person to read; None while all is well."""
        self._url = url
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def drives(self) -> bool:
        """Whether this terminal's process is running."""
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        if self._settings.enabled:
            self._task = asyncio.create_task(self._watch(), name="simulation driver")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._end_process()

    async def _watch(self) -> None:
        """Start the process whenever nobody drives."""
        pause = WATCH
        while True:
            try:
                async with await Database.open(
                    self._url, application_name="pitside driver", pool_max=1
                ) as database:
                    while True:
                        if not await locks.held_alone(database, locks.SIMULATION):
                            began = time.monotonic()
                            await self._run()
                            pause = (
                                WATCH
                                if time.monotonic() - began > LONGEST_PAUSE
                                else min(2 * pause, LONGEST_PAUSE)
                            )
                        else:
                            pause, self.problem = WATCH, None
                        await asyncio.sleep(pause)
            except PitsideError as error:
                self.problem = str(error)
                await asyncio.sleep(pause)

    async def _run(self) -> None:
        """Run the process until it ends."""
        try:
            self._process = await self._start()
        except OSError as error:
            self.problem = f"the simulated participants cannot be started: {error}"
            return
        self.problem = None
        code = await self._process.wait()
        if code not in (STOPPED, DRIVEN_ALREADY):
            self.problem = f"the simulated participants stopped with code {code}: {self.log} says why"

    async def _start(self) -> asyncio.subprocess.Process:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        begin_anew = self.log.exists() and self.log.stat().st_size > LOG_SIZE
        with self.log.open("w" if begin_anew else "a") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a folder named db where the terminal was started is not ours
                "-m",
                "db.feeds",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_python_path())},
                start_new_session=True,  # Ctrl-C is for the terminal; the end of stdin is for the process
            )
        assert process.stdin is not None  # noqa: S101 (asked for above)
        config = {"url": self._url, "simulation": self._settings.model_dump()}
        process.stdin.write(json.dumps(config).encode() + b"\n")
        return process

    async def _end_process(self) -> None:
        """Close the process' stdin and give it time to cancel its orders."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        for end in (process.terminate, process.kill):
            try:
                await asyncio.wait_for(process.wait(), STOPPING)
            except TimeoutError:
                end()
            else:
                return
        await process.wait()


def _python_path() -> list[str]:
    before = os.environ.get("PYTHONPATH")
    return [str(PACKAGES), *([before] if before else [])]
