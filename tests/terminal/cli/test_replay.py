"""`trade replay` and `trade audit`, as a person calls them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from db.database import Database, connect
from terminal.cli import main
from tests.db.stage import Stage

WORLD = """
select a.account_number as number, (clock_timestamp() at time zone 'UTC')::text || 'Z' as at, a.account_id
from accounts a order by account_id"""


def trade(url: str, *words: str) -> Result:
    result = CliRunner().invoke(main, ["--database-url", url, *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def with_database(url: str, work: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[object]]) -> None:
    async def run() -> None:
        connection = await connect(url)
        try:
            await work(connection)
        finally:
            await connection.close()

    asyncio.run(run())


class World:
    """A cash account that bought 4 of 10, at `before` nothing of it; what it then did, up to `after`."""

    def __init__(self, url: str) -> None:
        self.url = url
        asyncio.run(self._make())

    async def _make(self) -> None:
        async with await Database.open(self.url) as database:
            stage = await Stage.open(database, self.url)
            seller, buyer = await stage.margin(), await stage.cash("10000")
            self.before = await self._now(stage)
            await stage.sell(seller, 10, "100")
            await stage.buy(buyer, 4, "100")
            self.order = await stage.buy(buyer, 2, "90", client="my-order")
            self.after = await self._now(stage)
            await stage.cancel(self.order)
            self.account = buyer
            self.number = await stage.connection.fetchval(
                "select account_number from accounts where account_id = $1", buyer
            )
            await stage.close()

    async def _now(self, stage: Stage) -> str:
        text: str = await stage.connection.fetchval(
            "select (clock_timestamp() at time zone 'UTC')::text || 'Z'"
        )
        return text


@pytest.fixture
def world(database_url: str) -> World:
    return World(database_url)


def test_a_moment(world: World) -> None:
    result = trade(world.url, "replay", world.number, "--at", world.after, "--json")
    assert result.exit_code == 0, result.output
    state = json.loads(result.stdout)
    assert (state["balance"], state["reserved"], state["available"]) == (9600, 180, 9420)
    assert [each["quantity"] for each in state["positions"]] == [4]
    assert [(each["order_id"], each["client_order_id"]) for each in state["orders"]] == [
        (world.order, "my-order")
    ]

    early = json.loads(trade(world.url, "replay", world.number, "--at", world.before, "--json").stdout)
    assert (early["balance"], early["positions"], early["orders"]) == (10000, [], [])
    number = str(early["event_id"] + 2)
    by_event = json.loads(trade(world.url, "replay", "my-order", "--event", number, "--json").stdout)
    assert by_event["event_id"] > early["event_id"]

    shown = trade(world.url, "replay", world.number, "--at", world.after, "--utc").stdout
    assert "balance 9,600.00" in shown
    assert f"order {world.order}: buy 2 " in shown
    assert world.after[:23] in shown
    assert "+00:00" in shown


def test_what_happened(world: World) -> None:
    lines = trade(world.url, "replay", world.number, "--events", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [each["kind"] for each in events] == [
        "opened",
        "deposit",
        "accepted",
        "filled",
        "accepted",
        "cancelled",
    ]
    some = trade(
        world.url,
        "replay",
        world.number,
        "--events",
        "--from",
        world.before,
        "--to",
        world.after,
        "--kind",
        "filled",
    )
    assert len(some.stdout.splitlines()) == 1
    assert " filled " in some.stdout
    assert "price=100 " in some.stdout


def test_two_moments(world: World) -> None:
    found = json.loads(
        trade(world.url, "replay", "diff", world.number, world.before, world.after, "--json").stdout
    )
    by_name = {each["what"]: (each["before"], each["after"]) for each in found}
    assert by_name["balance"] == ("10000.00", "9600.00")
    assert by_name["reserved"] == ("0", "180.00") or by_name["reserved"][1] == "180.00"
    shown = trade(world.url, "replay", "diff", world.number, world.before, world.after).stdout
    assert "10000 → 9600" in shown
    same = trade(world.url, "replay", "diff", world.number, world.after, world.after).stdout
    assert "no difference" in same


def test_an_export_is_checked_elsewhere(world: World, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.replay", tmp_path / "part.replay"
    assert trade(world.url, "replay", "export", world.number, str(whole)).exit_code == 0
    assert (
        trade(
            world.url,
            "replay",
            "export",
            world.number,
            str(part),
            "--from",
            world.before,
            "--to",
            world.after,
        ).exit_code
        == 0
    )
    for file, count in ((whole, 6), (part, 3)):
        result = CliRunner().invoke(main, ["replay", "check", str(file)])
        assert (result.exit_code, f": {count} events" in result.stdout) == (0, True), result.output
        assert "right" in result.stdout

    again = trade(world.url, "replay", "export", world.number, str(whole))
    assert (again.exit_code, "cannot be written" in again.stderr) == (1, True)

    changed = tmp_path / "changed.replay"
    for old, new in (
        ('"price\\": 90.00000000', '"price\\": 91.00000000'),
        ('"balance": "9600.00"', '"balance": "9600.01"'),
    ):
        text = whole.read_text()
        assert old in text
        changed.write_text(text.replace(old, new))
        result = CliRunner().invoke(main, ["replay", "check", str(changed)])
        assert result.exit_code == 1
        assert "wrong: the file's hash" in result.stdout
    assert (
        "do not fit their link"
        in CliRunner()
        .invoke(
            main,
            [
                "replay",
                "check",
                str(with_new_seal(changed, whole, ('"price\\": 90.00000000', '"price\\": 91.00000000'))),
            ],
        )
        .stdout
    )
    changed.write_text(whole.read_text()[:-200])
    assert CliRunner().invoke(main, ["replay", "check", str(changed)]).exit_code == 1
    torn = tmp_path / "torn.replay"
    torn.write_text(whole.read_text().replace('"balance": "9600.00"', '"balance": "much"'))
    for nothing in (tmp_path / "none", Path(__file__), torn):
        result = CliRunner().invoke(main, ["replay", "check", str(nothing)])
        assert (result.exit_code, "Name a file of trade replay export" in result.stderr) == (1, True)


def with_new_seal(to: Path, of: Path, change: tuple[str, str]) -> Path:
    """The file with a change, and the hash of its lines made anew."""
    import hashlib

    lines = of.read_text().replace(*change).splitlines(keepends=True)[:-1]
    seal = hashlib.sha256("".join(lines).encode()).hexdigest()
    to.write_text("".join([*lines, json.dumps({"sha256": seal}) + "\n"]))
    return to


def test_the_audit_names_what_is_wrong(world: World, tmp_path: Path) -> None:
    result = trade(world.url, "audit")
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().endswith(": right")
    report = json.loads(trade(world.url, "audit", "--json").stdout)
    assert (report["differences"], report["accounts"], len(report["links"])) == ([], 2, 2)
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(report))
    assert trade(world.url, "audit", "--against", str(kept)).exit_code == 0

    async def tamper(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(
            "delete from journal where order_id = $1 and kind = 'cancelled'", world.order
        )

    with_database(world.url, tamper)
    for words in ((), (world.number,)):
        result = trade(world.url, "audit", *words)
        assert result.exit_code == 1
        assert (
            f"account {world.number}: an order is not as the journal has it: order {world.order}"
            in result.stdout
        )
    found = json.loads(trade(world.url, "audit", "--json").stdout)["differences"]
    # And the market's last mark was in that event.
    assert {each["where"].split()[0] for each in found} == {"account", "market"}
    assert trade(world.url, "audit", "--against", str(tmp_path / "none")).exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "NOBODY"], "account NOBODY: is no account's number"),
        (["audit", "NOBODY"], "account NOBODY: is no account's number"),
        (["replay", "X", "--at", "yesterday"], "'yesterday' is no time"),
        (["replay", "X", "--from", "now"], "go with --events"),
        (["replay", "X", "--events", "--at", "now"], "--events goes with"),
        (["replay", "X", "--event", "1", "--at", "now"], "not both"),
    ],
)
def test_what_makes_no_sense_is_named(world: World, words: list[str], said: str) -> None:
    result = trade(world.url, *words)
    assert result.exit_code != 0
    assert said in result.stderr


def test_times_are_local_or_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import click

    from terminal.cli.moments import Moment, shown

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        command = click.Command("x", params=[click.Option(["--utc"], is_flag=True, is_eager=True)])
        local, utc = click.Context(command), click.Context(command)
        local.params, utc.params = {"utc": False}, {"utc": True}
        read = Moment().convert
        for text, ctx, meant in (
            ("2026-11-22 14:32:05.5", local, "2026-11-22T19:32:05.500000"),
            ("2026-11-22 14:32", utc, "2026-11-22T14:32:00"),
            ("2026-11-22T14:32+02:00", local, "2026-11-22T12:32:00"),
        ):
            assert read(text, None, ctx) == datetime.fromisoformat(meant)
        assert abs(read("now", None, local) - read("now", None, utc)) < timedelta(minutes=1)
        assert read("14:32", None, utc).strftime("%H:%M:%S") == "14:32:00"
        noon = datetime.fromisoformat("2026-07-01T12:00:00")
        assert shown(noon, in_utc=False) == "2026-07-01 08:00:00.000000-04:00"
        assert shown(noon, in_utc=True) == "2026-07-01 12:00:00.000000+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
