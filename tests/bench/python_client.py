"""The engine against a client that does the matching in Python, inside a transaction."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.bench.flowing import WARM_UP
from tests.bench.load import LoadError
from tests.bench.runner import Round
from tests.bench.stage import Stage

_ROOT = Path(__file__).parents[2]


class PythonClient:
    """The same requests, from the same processes over asyncpg: matched by the database, or by the client."""

    name = "python"
    title = "matching in SQL, not in a client"
    unit = "requests/s"
    reference = "Python client"
    target = 3.0
    at_most = False
    about = (
        "8 clients, each a Python process with one asyncpg connection, over 20 instruments: the mix without "
        "stops; the reference locks the instrument, reads the book, matches in Python, writes the same rows"
    )

    async def round(self, stage: Stage, *, reference_first: bool) -> Round:
        venues = ("python", "engine") if reference_first else ("engine", "python")
        rates = {venue: await self._measure(stage, venue) for venue in venues}
        return Round(rates["engine"], rates["python"], rates["engine"] / rates["python"])

    async def _measure(self, stage: Stage, venue: str) -> float:
        """Requests a second of all clients together, on a new market."""
        async with stage.market() as (url, _):
            processes = [await self._start(stage, url, venue, seed) for seed in range(stage.scale.clients)]
            try:
                for process in processes:
                    await _line(process)
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write(b"go\n")
                done = [json.loads(answer) for answer in await asyncio.gather(*map(_line, processes))]
            finally:
                for process in processes:
                    if process.returncode is None and process.stdin is not None:
                        process.stdin.close()
                    await process.wait()
        return sum(float(each["count"]) / float(each["seconds"]) for each in done)

    async def _start(self, stage: Stage, url: str, venue: str, seed: int) -> asyncio.subprocess.Process:
        scale = stage.scale
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.worker",
            cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        task = {
            "url": url,
            "venue": venue,
            "seed": seed,
            "accounts": scale.accounts,
            "instruments": scale.instruments,
            "warm_up": WARM_UP,
            "seconds": scale.seconds,
            "requests": scale.requests,
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(task).encode() + b"\n")
        return process


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise LoadError(f"a client in Python ended with {await process.wait()}; see above")
    return line
