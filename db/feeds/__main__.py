"""The process that drives the simulated participants for the terminals: `python -m db.feeds`.

It gets what it needs as one line of JSON on stdin, so that no password stands in a command line, and ends
when stdin ends: when its parent closes it, or dies. It writes to stderr only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys

from db.database import Database
from db.errors import PitsideError
from db.feeds.simulator import Simulation
from db.settings import SimulationSettings

STOPPED, FAILED, DRIVEN_ALREADY = 0, 1, 3
"""Exit codes: stopped as asked; trouble, told on stderr; another process drives this database."""

PARENT_POLL = 1.0
"""Seconds between two looks at the parent: a pipe stays open while a forgotten worker of the parent
holds its end."""


async def drive(url: str, settings: SimulationSettings) -> int:
    """Drive the participants until stdin ends; returns the exit code."""
    async with await Database.open(
        url, application_name="pitside simulation", pool_min=1, pool_max=2
    ) as database:
        simulation = Simulation(database, settings)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, simulation.stop)
        watch = asyncio.create_task(_until_orphaned(simulation))
        try:
            return STOPPED if await simulation.run() else DRIVEN_ALREADY
        finally:
            watch.cancel()


async def _until_orphaned(simulation: Simulation) -> None:
    """Stop the simulation when stdin ends or the parent is gone."""
    parent = os.getppid()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    ended = asyncio.create_task(reader.read())
    while os.getppid() == parent and not ended.done():
        await asyncio.wait([ended], timeout=PARENT_POLL)
    ended.cancel()
    simulation.stop()


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s", stream=sys.stderr
    )
    line = _first_line()
    if not line:
        return STOPPED  # the parent was gone before it said anything
    config = json.loads(line)
    try:
        return asyncio.run(drive(config["url"], SimulationSettings(**config["simulation"])))
    except PitsideError as error:
        logging.getLogger(__name__).error("%s", error)
        return FAILED


def _first_line() -> bytes:
    """Read stdin without a buffer, so that what comes after the line is left for the loop to wait on."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
