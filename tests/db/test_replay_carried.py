"""The past after it was carried: out of a backup, and over from a version without chain and marks."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import asyncpg

from db import audit
from db.database import Database, connect
from db.embedded import binaries
from db.schema.migrate import VERSIONS
from tests.db.watcher import Watcher
from tests.reference.arena import Arena
from tests.reference.stories import Storyteller

STEPS = 80


async def play(connection: asyncpg.Connection[asyncpg.Record], seed: int) -> Watcher:
    """A story, with every moment of it written down."""
    arena = await Arena.open(connection)
    watcher = Watcher(connection)
    for step in Storyteller(seed, arena.model, arena.cast).tell(STEPS):
        await arena.play([step], verify_every=0)
        await watcher.look()
    return watcher


async def run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        binaries.installed().program(program), *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()


async def test_a_restored_backup_has_the_same_past(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    connection = await connect(database_url)
    watcher = await play(connection, 3)
    await connection.close()
    dump = tmp_path / "backup"
    await run("pg_dump", "-Fc", "-Z1", "-f", str(dump), database_url)
    await run("pg_restore", "-d", empty_database_url, str(dump))
    async with await Database.open(empty_database_url) as restored:
        report = await audit.run(restored)
        assert (report.differences, report.accounts) == ([], 7)
    watcher.connection = await connect(empty_database_url)
    await watcher.compare_some(random.Random(3), 200)
    await watcher.connection.close()


# What 0005_replay.sql added, taken out again.
DOWNGRADE = """
set session_replication_role = replica;
drop trigger accounts_opened on accounts;
drop trigger accounts_terms on accounts;
drop trigger margin_schedule_rates on margin_schedule;
delete from journal where account_id is null or kind in ('opened', 'terms');
drop index journal_market;
drop index journal_terms;
alter table journal drop column mark cascade, drop column hash cascade, alter column account_id set not null;
drop table internal.account_checkpoints, internal.book_checkpoints;
reset session_replication_role;
"""


async def test_an_older_database_gets_its_past(database_url: str) -> None:
    connection = await connect(database_url)
    watcher = await play(connection, 4)
    last = max(moment["event_id"] for moment in watcher.moments)
    # Events that the older version did not write.
    newer = {
        row["event_id"]
        for row in await connection.fetch("select event_id from journal where kind in ('opened', 'terms')")
    }
    await connection.execute(DOWNGRADE)
    for script in sorted([*VERSIONS.glob("0005_*.sql"), *VERSIONS.glob("0006_*.sql")]):
        await connection.execute(script.read_text(encoding="utf-8"))
    assert await connection.fetch("select * from audit_journal()") == []
    assert (
        await connection.fetchval(
            "select count(*) from journal where kind = 'opened' and event_id > $1", last
        )
        == 7
    )
    moments = [each for each in watcher.moments if each["event_id"] not in newer]
    await watcher.compare(random.Random(4).sample(moments, 200))
    await connection.close()
