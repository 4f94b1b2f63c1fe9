"""The audit finds what somebody with the owner's rights has done to the journal, or to the tables."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from db import audit, journal
from db.audit import Report
from db.database import Database
from db.errors import RequestError
from tests.db.stage import Stage


@pytest.fixture
async def stage(database: Database, database_url: str) -> AsyncIterator[Stage]:
    stage = await Stage.open(database, database_url)
    yield stage
    await stage.connection.close()


class Story:
    """Two accounts that have traded, most kinds of events among theirs; `burnt` is a free event id."""

    def __init__(self, names: dict[str, int]) -> None:
        self.names = names

    def __call__(self, text: str) -> str:
        return text.format(**self.names)


@pytest.fixture
async def story(stage: Stage) -> Story:
    seller, buyer = await stage.margin(), await stage.cash("10000")
    first = await stage.sell(seller, 10, "100")
    await stage.buy(buyer, 4, "100")
    burnt = await stage.connection.fetchval("select nextval('journal_event_id_seq')")
    resting = await stage.buy(buyer, 5, "90")
    await stage.replace(resting, 3)
    await stage.replace(resting, price="91")
    await stage.replace(resting, 0)
    await stage.buy(buyer, 1000, "99")  # rejected
    stop = await stage.sell(buyer, 1, stop="80")
    await stage.cancel(stop)
    await stage.connection.execute("select withdraw($1, 10)", buyer)
    await stage.sell(seller, 1, "91")
    last = await stage.connection.fetchval("select max(event_id) from journal where account_id = $1", buyer)
    return Story(
        {
            "seller": seller,
            "buyer": buyer,
            "first": first,
            "resting": resting,
            "burnt": burnt,
            "last": last,
            "instrument": stage.instrument,
        }
    )


async def audited(stage: Stage) -> list[str]:
    return [
        f"{row['difference']}: {row['subject']}"
        for row in await stage.connection.fetch("select * from audit_journal()")
    ]


async def test_what_is_right_has_no_differences(stage: Stage, story: Story) -> None:
    assert await audited(stage) == []


EVENTS = {
    "a price changed": """update journal set detail = jsonb_set(detail, '{{price}}', '90.01')
        where order_id = {resting} and kind = 'accepted'""",
    "a reason changed": """update journal set detail = jsonb_set(detail, '{{reason}}', '"because"')
        where account_id = {buyer} and kind = 'replace_refused'""",
    "a time changed": """update journal set at = at + interval '1 microsecond'
        where account_id = {buyer} and kind = 'rejected'""",
    "a mark changed": """update journal set mark = mark + 0.01
        where account_id = {seller} and kind = 'accepted'""",
    "an account changed": """update journal set account_id = {seller}
        where order_id = {resting} and kind = 'reduced'""",
    "an order changed": """update journal set order_id = {first}
        where order_id = {resting} and kind = 'reduced'""",
    "a number changed": """update journal set event_id = {burnt}
        where order_id = {resting} and kind = 'accepted'""",
    "one removed in the middle": """delete from journal
        where account_id = {buyer} and kind = 'replace_refused'""",
    "the first removed": "delete from journal where account_id = {buyer} and kind = 'opened'",
    "the last removed": "delete from journal where event_id = {last}",
    "the last two removed": """delete from journal where event_id in (
        select event_id from journal where account_id = {buyer} order by event_id desc limit 2)""",
    "all of an account removed": "delete from journal where account_id = {buyer}",
    "one slipped in": """insert into journal
        select {burnt}, at, account_id, kind, order_id, instrument_id, detail, mark, null
        from journal where order_id = {resting} and kind = 'accepted'""",
    "one slipped in with a link": """insert into journal
        select {burnt}, at, account_id, kind, order_id, instrument_id, detail, mark, hash
        from journal where order_id = {resting} and kind = 'accepted'""",
    "one slipped in at the end": """insert into journal (at, account_id, kind, detail)
        values (now() at time zone 'UTC', {buyer}, 'replace_refused', '{{"reason": "because"}}')""",
    "one slipped in for nobody that there is": """insert into journal (at, account_id, kind, detail)
        values (now() at time zone 'UTC', 4711, 'deposit', '{{"balance": 5}}')""",
    "a link changed": """update journal set hash = sha256('x')
        where account_id = {buyer} and kind = 'rejected'""",
    "a link removed": "update journal set hash = null where account_id = {buyer} and kind = 'rejected'",
    "the last link removed": "update journal set hash = null where event_id = {last}",
    "a market's mark changed": """update journal set mark = 5
        where account_id is null and instrument_id = {instrument}""",
    "a market's event removed": """delete from journal where event_id = (
        select min(event_id) from journal where account_id is null and instrument_id = {instrument})""",
}


@pytest.mark.parametrize("change", EVENTS.values(), ids=list(EVENTS))
async def test_a_change_of_the_journal_is_found(stage: Stage, story: Story, change: str) -> None:
    """Triggers do not fire for a replica, nor for an owner who says to be one."""
    async with stage.connection.transaction():
        await stage.connection.execute("set local session_replication_role = replica")
        done = await stage.connection.execute(story(change))
    assert int(done.split()[-1]) >= 1, "something was changed"
    assert await audited(stage) != []


TABLES = {
    "a balance": "update accounts set balance = balance + 1 where account_id = {buyer}",
    "a reservation": "update accounts set reserved = reserved + 1 where account_id = {buyer}",
    "commissions": "update accounts set commissions = commissions + 1 where account_id = {buyer}",
    "an order's price": "update orders set price = 90.5 where order_id = {resting}",
    "an order's status": "update orders set status = 'cancelled' where order_id = {resting}",
    "an order's place": "update orders set priority = priority + 1 where order_id = {resting}",
    "an order that is gone": "delete from orders where order_id = {resting}",
    "an order from nowhere": """
        insert into orders (account_id, instrument_id, order_type, side, quantity, status)
        values ({buyer}, {instrument}, 'market', 'buy', 1, 'filled')""",
    "a position": "update positions set cost = cost + 0.000001 where account_id = {buyer}",
    "realized profit": "update positions set realized_exact = 1 where account_id = {seller}",
    "a trade's price": "update trades set price = price + 1 where account_id = {buyer}",
    "a trade that is gone": "delete from trades where account_id = {buyer}",
    "a balance in the ledger": """update transactions set balance_after = balance_after + 1
        where account_id = {buyer} and transaction_type = 'withdrawal'""",
    "the top of the book": "update internal.books set bid_price = 1 where instrument_id = {instrument}",
    "the last trade": """update internal.books set bid_price = null, last_price = 1
        where instrument_id = {instrument}""",
    "the account's type, unnoticed": "update accounts set account_type = 'margin' where account_id = {buyer}",
}


@pytest.mark.parametrize("change", TABLES.values(), ids=list(TABLES))
async def test_a_change_of_a_table_is_found(stage: Stage, story: Story, change: str) -> None:
    async with stage.connection.transaction():
        await stage.connection.execute("set local session_replication_role = replica")
        done = await stage.connection.execute(story(change))
    assert int(done.split()[-1]) >= 1, "something was changed"
    assert await audited(stage) != []


async def test_a_checkpoint_that_lies_is_found_and_mended(
    database: Database, stage: Stage, story: Story
) -> None:
    buyer = story.names["buyer"]
    for _ in range(120):
        await stage.cancel(await stage.buy(buyer, 1, "50"))
    await stage.connection.execute("select rebuild_checkpoints()")
    right = await stage.connection.fetchval("select account_state($1, '2100-01-01')", buyer)
    await stage.connection.execute(
        "update internal.account_checkpoints set state = jsonb_set(state, '{commissions}', '7')"
    )
    assert await stage.connection.fetchval("select account_state($1, '2100-01-01')", buyer) != right
    found = await audited(stage)
    assert {each.partition(":")[0] for each in found} == {
        "a checkpoint is not as it was written",
        "a checkpoint is not what the journal comes to",
    }
    # One that was sealed again shows only where it is built anew.
    await stage.connection.execute(
        """update internal.account_checkpoints
           set seal = internal.checkpoint_seal('account', account_id, event_id, state)"""
    )
    assert (await audit.run(database, buyer)).differences == []
    assert places(await audit.run(database, buyer, rebuild=True)) != set()
    await stage.connection.execute("select rebuild_checkpoints($1)", buyer)
    assert await stage.connection.fetchval("select account_state($1, '2100-01-01')", buyer) == right
    assert await audited(stage) == []


# Whoever can do anything can make the chain anew; but not in somebody else's notes.
FORGE = """
do $$
declare
    v_event record;
    v_digests bytea := '';
    v_link bytea := '';
begin
    set local session_replication_role = replica;
    update journal set detail = detail || '{"reason": "because"}'
    where account_id = %(buyer)s and kind = 'replace_refused';
    for v_event in select * from journal where account_id = %(buyer)s order by event_id loop
        v_digests := v_digests || internal.event_digest(
            v_event.event_id, v_event.at, v_event.account_id, v_event.kind, v_event.order_id,
            v_event.instrument_id, v_event.mark, v_event.detail);
        if v_event.hash is not null then
            v_link := sha256(v_link || v_digests);
            v_digests := '';
            update journal set hash = v_link where event_id = v_event.event_id;
        end if;
    end loop;
end;
$$"""


async def test_a_chain_made_anew_shows_against_an_earlier_report(
    database: Database, stage: Stage, story: Story, tmp_path: Path
) -> None:
    before = await audit.run(database)
    kept = tmp_path / "audit.json"
    kept.write_text(json.dumps(before.as_dict(), default=str))
    await stage.buy(story.names["buyer"], 1, "50")
    assert (await audit.run(database, earlier=audit.read_links(kept))).differences == []
    await stage.connection.execute(FORGE % story.names)
    assert await audited(stage) == []
    report = await audit.run(database, earlier=audit.read_links(kept))
    assert [each.difference for each in report.differences] == [
        "the journal is not the one of the earlier report"
    ]
    with pytest.raises(RequestError, match="is no report of an audit"):
        audit.read_links(tmp_path / "none.json")


async def test_the_report(database: Database, stage: Stage, story: Story) -> None:
    seen: list[tuple[int, int]] = []
    report = await audit.run(database, progress=lambda done, total: seen.append((done, total)))
    accounts = await database.fetchval("select count(*) from accounts")
    events = await database.fetchval("select count(*) from journal where account_id is not null")
    assert (report.accounts, report.markets, report.events, report.differences) == (accounts, 1, events, [])
    assert seen[-1][0] == seen[-1][1] > 0
    await stage.connection.execute(
        "update accounts set balance = balance + 1 where account_id = $1", story.names["buyer"]
    )
    number = await database.fetchval(
        "select account_number from accounts where account_id = $1", story.names["buyer"]
    )
    for found in (await audit.run(database), await audit.run(database, story.names["buyer"])):
        assert places(found) == {(f"account {number}", "the account is not as the journal has it")}
    assert (await audit.run(database, story.names["seller"])).differences == []


def places(report: Report) -> set[tuple[str, str]]:
    return {(each.where, each.difference) for each in report.differences}


async def test_what_happened_before_the_journal_had_a_chain(
    database: Database, stage: Stage, story: Story
) -> None:
    """The events of an older version were linked once, all together."""
    buyer = story.names["buyer"]
    async with stage.connection.transaction():
        await stage.connection.execute("set local session_replication_role = replica")
        await stage.connection.execute(
            "update journal set hash = null where event_id < $1", story.names["last"]
        )
        await stage.connection.execute(
            """update journal j set hash = (
                   select sha256(string_agg(internal.event_digest(e.event_id, e.at, e.account_id, e.kind,
                       e.order_id, e.instrument_id, e.mark, e.detail), '' order by e.event_id))
                   from journal e where e.account_id = j.account_id)
               where j.event_id = $1""",
            story.names["last"],
        )
    assert (await audit.run(database, buyer)).differences == []
    assert (await journal.state(database, buyer)).transactions == 4
