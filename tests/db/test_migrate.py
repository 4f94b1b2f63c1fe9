"""The schema's versions and functions, with small folders of their own, and once with the real ones."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import SchemaError, ServerError
from db.schema import migrate as schema
from db.schema.migrate import MigrationReport, SchemaStatus
from db.schema.scripts import Script, read_scripts


class Folders:
    """Two folders of SQL and an empty database."""

    def __init__(self, root: Path, url: str) -> None:
        self.versions = root / "versions"
        self.functions = root / "functions"
        self.versions.mkdir()
        self.functions.mkdir()
        self.url = url

    def version(self, name: str, text: str) -> Path:
        path = self.versions / f"{name}.sql"
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def function(self, name: str, text: str) -> Path:
        path = self.functions / f"{name}.sql"
        path.write_text(text, encoding="utf-8", newline="")
        return path

    async def migrate(self, on_step: Callable[[str], None] = lambda _name: None) -> MigrationReport:
        return await schema.migrate(
            self.url, versions=self.versions, functions=self.functions, on_step=on_step
        )

    async def status(self) -> SchemaStatus:
        return await schema.status(self.url, versions=self.versions, functions=self.functions)

    async def fetch(self, query: str) -> Any:
        """The first column of the first row, as a session without any settings of ours sees it."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@pytest.fixture
def folders(tmp_path: Path, empty_database_url: str) -> Folders:
    return Folders(tmp_path, empty_database_url)


async def test_versions_are_applied_once_and_in_order(folders: Folders) -> None:
    folders.version("0002_more", "insert into t values (2);")
    folders.version("0001_first", "create table t (n integer); insert into t values (1);")
    folders.version("0010_last", "insert into t values (10);")
    steps: list[str] = []
    report = await folders.migrate(steps.append)
    assert report.versions == ("0001_first", "0002_more", "0010_last")
    assert steps == list(report.versions)
    assert await folders.fetch("select array_agg(n) from t") == [1, 2, 10]

    again = await folders.migrate()
    assert not again.changed
    folders.version("0011_next", "insert into t values (11);")
    assert (await folders.migrate()).versions == ("0011_next",)
    assert await folders.fetch("select array_agg(n) from t") == [1, 2, 10, 11]


async def test_functions_are_applied_again_when_their_text_changes_and_what_builds_on_them(
    folders: Folders,
) -> None:
    folders.function("10_one", "create or replace function one() returns integer language sql return 1;")
    folders.function(
        "20_two", "create or replace function two() returns integer language sql return one() + 1;"
    )
    assert (await folders.migrate()).functions == ("10_one", "20_two")
    assert (await folders.migrate()).functions == ()

    folders.function("20_two", "create or replace function two() returns integer language sql return 22;")
    assert (await folders.migrate()).functions == ("20_two",)
    assert await folders.fetch("select two()") == 22

    # Another signature: what was built on the old one has to be made anew as well.
    folders.function(
        "20_two",
        "create or replace function two() returns integer language plpgsql as $$ begin return one(); end $$;",
    )
    await folders.migrate()
    folders.function(
        "10_one",
        "drop function if exists one();"
        "create or replace function one(n integer default 7) returns integer language sql return n;",
    )
    assert (await folders.migrate()).functions == ("10_one", "20_two")
    assert await folders.fetch("select two()") == 7


async def test_a_function_file_that_is_gone_and_comes_back_is_applied_again(folders: Folders) -> None:
    one = folders.function(
        "10_one", "create or replace function one() returns integer language sql return 1;"
    )
    await folders.migrate()
    text = one.read_text()
    one.unlink()
    await folders.migrate()
    one.write_text(text)
    assert (await folders.migrate()).functions == ("10_one",)


async def test_a_failed_version_leaves_nothing_behind_and_what_came_before_stays(folders: Folders) -> None:
    folders.version("0001_good", "create table good (n integer);")
    bad = folders.version(
        "0002_bad",
        "-- a comment; with a semicolon\n"
        "create table bad (n integer check (n > 0));\n"
        "insert into bad values (1);\n\n"
        "do $$ begin perform 1; end $$;\n"
        "insert into bad\n  values (';'), (2);\n",
    )
    folders.version("0003_never", "create table never (n integer);")
    with pytest.raises(SchemaError) as failed:
        await folders.migrate()
    message = str(failed.value)
    assert f"{bad}, line 7:" in message  # where the values are, as Postgres tells
    assert 'invalid input syntax for type integer: ";"' in message
    assert "Nothing of this file was applied" in message
    tables = "select array_agg(tablename::text order by 1) from pg_tables where schemaname = 'public'"
    assert await folders.fetch(tables) == ["good"]
    assert await folders.fetch("select array_agg(name) from internal.schema_versions") == ["0001_good"]

    folders.version("0002_bad", "create table bad (n integer);")
    assert (await folders.migrate()).versions == ("0002_bad", "0003_never")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("create table t (n integer);\n\ninsert into t values (1);\nselct 1;\n", 4),
        (
            "create table t (n integer primary key);\n/* two\nlines; */\n"
            "insert into t values (1);\n\ninsert into t values (1);",
            6,
        ),
        ("create table t (a text default 'it''s; so');\ncreate table t (n integer);\n", 2),
        ('create table "a;b" (n integer);\n\n\ncreate table "a;b" (n integer);\n', 4),
        ("do $body$ begin raise notice ';'; end $body$;\ndo $$ begin raise exception 'no'; end $$;\n", 2),
        ("select e'\\';'; select 1;\n  -- why\n  select 1 / 0;\n", 3),
    ],
)
async def test_a_failure_is_named_with_its_line(folders: Folders, text: str, line: int) -> None:
    folders.version("0001_bad", text)
    with pytest.raises(SchemaError, match=rf"0001_bad\.sql, line {line}: "):
        await folders.migrate()
    assert await folders.fetch("select count(*) from internal.schema_versions") == 0


async def test_a_failed_function_file_leaves_the_old_one(folders: Folders) -> None:
    folders.function("10_one", "create or replace function one() returns integer language sql return 1;")
    await folders.migrate()
    folders.function(
        "10_one",
        "create or replace function one() returns integer language sql return 2;\n"
        "select nothing_of_that_name();",
    )
    with pytest.raises(
        SchemaError, match=r"10_one\.sql, line 2: function nothing_of_that_name\(\) does not exist"
    ):
        await folders.migrate()
    assert await folders.fetch("select one()") == 1


async def test_a_changed_old_version_is_refused_by_name(folders: Folders) -> None:
    folders.version("0001_first", "create table t (n integer);")
    await folders.migrate()
    folders.version("0001_first", "create table t (n bigint);")
    for ask in (folders.migrate, folders.status):
        with pytest.raises(SchemaError, match=r"0001_first\.sql has changed since it was applied"):
            await ask()


async def test_line_ends_and_a_byte_order_mark_are_no_change(folders: Folders) -> None:
    folders.version("0001_first", "create table t (\n  n integer\n);\n")
    await folders.migrate()
    folders.version("0001_first", "\ufeffcreate table t (\r\n  n integer\r\n);\r\n")
    assert not (await folders.migrate()).changed


async def test_a_database_of_a_newer_program_is_refused(folders: Folders) -> None:
    folders.version("0001_first", "select 1;")
    newer = folders.version("0002_newer", "select 2;")
    await folders.migrate()
    newer.unlink()
    with pytest.raises(SchemaError, match=r"set up by a newer Pitside: it has version 2 \(0002_newer\)"):
        await folders.migrate()


async def test_a_version_that_comes_late_is_refused(folders: Folders) -> None:
    folders.version("0001_first", "select 1;")
    folders.version("0003_third", "select 3;")
    await folders.migrate()
    folders.version("0002_late", "select 2;")
    with pytest.raises(SchemaError, match=r"0002_late\.sql was added before version 3"):
        await folders.migrate()


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (["0001_a", "0001_b"], "select 1;", "0001_a.sql and 0001_b.sql have the same number"),
        (["first"], "select 1;", "name it by a number and a word"),
        (["0001_a"], "select 1;\ncommit;\n", "line 2: 'commit;' would end the transaction"),
    ],
)
def test_files_that_will_not_do(tmp_path: Path, names: list[str], text: str, message: str) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").write_text(text)
    with pytest.raises(SchemaError) as refused:
        read_scripts(tmp_path, versions=True)
    assert message in str(refused.value)


_PIECES = [
    "select 1",
    "'a;b'",
    "'it''s;'",
    '"a;b"',
    "e'\\';'",
    "$$ ; $$",
    "$x$ $$;$$ $x$",
    "-- ;\n",
    "/* ; */",
    "\n",
    " ",
]


@given(st.lists(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6), min_size=1, max_size=5))
def test_statements_are_split_where_they_end_and_nowhere_else(parts: list[list[str]]) -> None:
    wanted = ["select 0 " + " ".join(pieces) for pieces in parts]
    script = Script(1, "0001_a", Path("0001_a.sql"), ";\n".join(wanted))
    found = list(script.statements())
    assert [text.strip() for _, text in found] == [text.strip() for text in wanted]
    lines = script.text.splitlines()
    assert all(lines[line - 1].startswith("select 0") for line, _ in found)


def test_a_folder_that_is_missing_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="is missing"):
        read_scripts(tmp_path / "nowhere", versions=True)
    (tmp_path / "0001_a.sql").write_bytes(b"select '\xff';")
    with pytest.raises(SchemaError, match="not UTF-8"):
        read_scripts(tmp_path, versions=True)


async def test_processes_that_start_at_once_end_with_one_schema(folders: Folders) -> None:
    folders.version("0001_first", "create table t (n integer); select pg_sleep(0.1);")
    folders.version("0002_more", "insert into t values (2);")
    folders.function("10_one", "create or replace function one() returns integer language sql return 1;")
    reports = await asyncio.gather(*(folders.migrate() for _ in range(4)))
    assert sorted(len(report.versions) for report in reports) == [0, 0, 0, 2]
    assert sorted(len(report.functions) for report in reports) == [0, 0, 0, 1]
    assert await folders.fetch("select array_agg(n) from t") == [2]


async def test_who_waits_too_long_for_another_process_is_told(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_WAIT", 0.1)
    folders.version("0001_first", "select 1;")
    other = await asyncpg.connect(folders.url)
    try:
        await other.execute(f"select pg_advisory_lock({schema.LOCK})")
        with pytest.raises(SchemaError, match="another process has been setting up the schema"):
            await folders.migrate()
    finally:
        await other.close()
    assert (await folders.migrate()).versions == ("0001_first",)


async def test_nothing_is_written_and_nothing_waited_for_when_there_is_nothing_to_do(
    folders: Folders,
) -> None:
    folders.version("0001_first", "create table t (n integer);")
    await folders.migrate()
    other = await asyncpg.connect(folders.url)
    try:
        await other.execute(f"select pg_advisory_lock({schema.LOCK})")
        folders.url += "&default_transaction_read_only=on"  # whatever it wrote would be an error
        async with asyncio.timeout(5):
            assert not (await folders.migrate()).changed
    finally:
        await other.close()


async def test_the_database_is_in_utc_without_jit_for_everyone(folders: Folders) -> None:
    await folders.migrate()
    assert await folders.fetch("select current_setting('timezone')") == "UTC"
    assert await folders.fetch("select current_setting('jit')") == "off"
    name = await folders.fetch("select quote_ident(current_database())")
    await folders.fetch(
        f"alter database {name} reset all"
    )  # as a dump restored into another database leaves it
    await folders.migrate()
    assert await folders.fetch("select current_setting('timezone')") == "UTC"


async def test_status_tells_what_is_there_and_what_is_not_and_changes_nothing(folders: Folders) -> None:
    folders.version("0001_first", "create table t (n integer);")
    folders.function("10_one", "create or replace function one() returns integer language sql return 1;")
    status = await folders.status()
    assert (status.applied, status.pending, status.pending_functions) == ((), ("0001_first",), ("10_one",))
    assert not status.current
    assert await folders.fetch("select to_regnamespace('internal') is null")

    await folders.migrate()
    folders.version("0002_more", "select 1;")
    status = await folders.status()
    assert [(v.number, v.name) for v in status.applied] == [(1, "0001_first")]
    assert status.pending == ("0002_more",)
    assert not status.current


async def test_only_the_owner_sets_up_a_schema(folders: Folders) -> None:
    folders.version("0001_first", "select 1;")
    guest = f"guest_{uuid.uuid4().hex[:8]}"  # roles belong to the whole server
    await folders.fetch(f"create role {guest} login password 'secret'")
    try:
        url = folders.url.replace("pitside@", f"{guest}:secret@")
        with pytest.raises(
            SchemaError, match=r"can only be set up and looked into by its owner.*Log in as the role that"
        ):
            await schema.migrate(url, versions=folders.versions, functions=folders.functions)
    finally:
        await folders.fetch(f"drop role {guest}")


async def test_a_version_of_postgres_that_is_not_supported_is_refused(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("db.database.SUPPORTED", range(15, 18))
        with pytest.raises(ServerError, match="runs PostgreSQL 18; Pitside needs 15 to 17"):
            await folders.migrate()


async def test_the_real_schema_is_current_in_every_test_database(database_url: str) -> None:
    status = await schema.status(database_url)
    assert status.current
    assert status.applied[0].name == "0001_tables"


async def test_the_real_functions_can_be_applied_again(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("update internal.schema_functions set checksum = 'old'")
    finally:
        await connection.close()
    report = await schema.migrate(database_url)
    assert report.versions == ()
    assert len(report.functions) == len(list(schema.FUNCTIONS.glob("*.sql")))
