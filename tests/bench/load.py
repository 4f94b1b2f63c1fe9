"""pgbench, the wheel's own: scripts sent by a number of clients, and how many came through."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.embedded import binaries
from tests.bench.scale import Scale

THREADS = 2  # of pgbench itself: more than it needs
_RATE = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_SCRIPT = re.compile(
    r"^SQL script \d+: \S*?([^/\s]+)\.sql\n.*?- (\d+) transactions"
    r".*?(?:- latency average = ([0-9.]+) ms|(?=SQL script)|\Z)",
    re.MULTILINE | re.DOTALL,
)


class LoadError(Exception):
    """pgbench failed, or a request of a script did."""


@dataclass(frozen=True, slots=True)
class Script:
    """One kind of request: `weight` says how often it is chosen among the others."""

    name: str
    weight: int
    text: str


@dataclass(frozen=True, slots=True)
class Load:
    """What pgbench measured: transactions a second and in all; per script how many, and the mean milliseconds
    of one."""

    rate: float
    transactions: int
    scripts: Mapping[str, tuple[int, float]]


async def initialise(url: str, scale: Scale) -> None:
    """Fill a database with pgbench's own tables."""
    await _pgbench("--initialize", "--quiet", f"--scale={scale.tpcb_scale}", url)


async def tpcb(url: str, scale: Scale) -> Load:
    """pgbench's TPC-B, as built in."""
    return await _measure(scale, url, ["--no-vacuum"])


async def run(url: str, scale: Scale, scripts: Sequence[Script], **variables: int) -> Load:
    """These scripts, mixed by their weights; `variables` are known in them."""
    with tempfile.TemporaryDirectory(prefix="pitside-bench-") as folder:
        options = ["--no-vacuum", *(f"--define={name}={value}" for name, value in variables.items())]
        for script in scripts:
            path = Path(folder, f"{script.name}.sql")
            await asyncio.to_thread(path.write_text, script.text, encoding="utf-8")
            options.append(f"--file={path}@{script.weight}")
        return await _measure(scale, url, options)


async def _measure(scale: Scale, url: str, options: list[str]) -> Load:
    length = f"--time={scale.seconds}" if scale.requests is None else f"--transactions={scale.requests}"
    said = await _pgbench(
        "--protocol=prepared",
        f"--client={scale.clients}",
        f"--jobs={THREADS}",
        length,
        *options,
        url,
    )
    rate, done = _RATE.search(said), _DONE.search(said)
    if rate is None or done is None:
        raise LoadError(f"pgbench did not say how much it did:\n{said}")
    scripts = {name: (int(count), float(latency or 0)) for name, count, latency in _SCRIPT.findall(said)}
    return Load(float(rate[1]), int(done[1]), scripts)


async def _pgbench(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        binaries.installed().program("pgbench"),
        *arguments,
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, trouble = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode:
        raise LoadError(f"pgbench {' '.join(arguments)} failed:\n{trouble.decode(errors='replace').strip()}")
    return said.decode()
