"""The audit: every account rebuilt from the journal and compared, and the journal's chain checked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from db.database import Database
from db.errors import RequestError

AT_ONCE = 2
"""Parts of the audit that run beside each other: reading is cheap, rebuilding takes a core."""

Progress = Callable[[int, int], None]
"""Called with the events that are done, and all of them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is wrong: in which account or market, what, of what, and both sides of it."""

    where: str
    difference: str
    subject: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """The last link of an account's chain: all its events up to `event_id` are in `hash` (hex)."""

    account_id: int
    event_id: int
    hash: str


@dataclass(slots=True)
class Report:
    """What an audit has found. `links` are worth keeping elsewhere: see `run`."""

    accounts: int = 0
    markets: int = 0
    events: int = 0
    seconds: float = 0.0
    stopped: bool = False
    differences: list[Difference] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Job:
    where: str
    query: str
    arguments: tuple[object, ...]
    events: int


async def run(
    db: Database,
    account_id: int | None = None,
    *,
    rebuild: bool = False,
    earlier: list[Link] | None = None,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
) -> Report:
    """Audit one account, or all of them and the markets.

    With `rebuild` every checkpoint is built anew from the one before and compared; otherwise only its seal
    is looked at. `earlier` are links of a report before: whoever has the owner's rights can change the
    journal and make its chain anew, but not one that was noted elsewhere. `stop` ends it between two parts.
    Raises RequestError for an unknown account.
    """
    report = Report()
    begun = time.monotonic()
    rows = await db.fetch("select account_id, event_id, events, hash from journal_links($1)", account_id)
    report.links = [Link(row["account_id"], row["event_id"], row["hash"].hex()) for row in rows]
    report.differences += await _against(db, earlier or [], account_id)
    jobs = await _jobs(db, account_id, rebuild, {row["account_id"]: row["events"] for row in rows})
    total, done = sum(job.events for job in jobs), 0
    # The longest first, so that none is left over at the end.
    waiting = sorted(jobs, key=lambda job: job.events)
    found: dict[str, list[Difference]] = {}

    async def worker() -> None:
        nonlocal done
        while waiting and not (stop and stop.is_set()):
            job = waiting.pop()
            rows = await db.fetch(job.query, *job.arguments)
            found.setdefault(job.where, []).extend(
                Difference(
                    job.where,
                    row["difference"],
                    row["subject"],
                    json.loads(row["detail"], parse_float=Decimal),
                )
                for row in rows
            )
            done += job.events
            if progress is not None:
                progress(done, total)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    for job in jobs:
        report.differences += found.pop(job.where, [])
    report.stopped = bool(waiting)
    report.accounts = len({job.where for job in jobs if job.where.startswith("account")})
    report.markets = len(jobs) - len([job for job in jobs if job.where.startswith("account")])
    report.events = sum(row["events"] for row in rows)
    report.seconds = time.monotonic() - begun
    return report


async def _jobs(db: Database, account_id: int | None, rebuild: bool, events: dict[int, int]) -> list[_Job]:
    accounts = await db.fetch("select account_id, account_number from audited_accounts($1)", account_id)
    jobs = [
        _Job(
            f"account {row['account_number'] or row['account_id']}",
            "select * from audit_journal($1, p_part => $2)",
            (row["account_id"], part),
            events.get(row["account_id"], 0),
        )
        for row in accounts
        for part in ("journal", "checkpoints")[: 1 + rebuild]
    ]
    if account_id is None:
        instruments = await db.fetch("select instrument_id, symbol from instruments order by instrument_id")
        jobs += [
            _Job(
                f"market {row['symbol']}",
                "select * from audit_journal(p_instrument_id => $1, p_part => $2)",
                (row["instrument_id"], None if rebuild else "journal"),
                0,
            )
            for row in instruments
        ]
    return jobs


async def _against(db: Database, earlier: list[Link], account_id: int | None) -> list[Difference]:
    """The links of an earlier report that are not there any more."""
    found = []
    for link in earlier:
        if account_id is not None and link.account_id != account_id:
            continue
        now = await db.fetchval("select journal_link($1, $2)", link.account_id, link.event_id)
        if now is None or now.hex() != link.hash:
            found.append(
                Difference(
                    f"account {link.account_id}",
                    "the journal is not the one of the earlier report",
                    f"event {link.event_id}",
                    {"then": link.hash, "now": None if now is None else now.hex()},
                )
            )
    return found


def read_links(path: Path) -> list[Link]:
    """The links of an earlier report (`trade audit --json`). Raises RequestError where it has none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [Link(**each) for each in document["links"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RequestError(
            "against", path, f"is no report of an audit ({error})", "Make one with trade audit --json."
        ) from error
