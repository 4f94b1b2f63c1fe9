"""Who sits at the desk: accounts to switch between, traders behind their walls, users who are put out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from db import users
from db.errors import LoginError, RequestError
from tests.db.people import People
from tests.factories import make_account
from tests.terminal.desks import PATIENCE, D, Market, running


async def test_another_account_comes_at_one_stroke(market: Market) -> None:
    await market.quote("sell", "50", "10.10")
    second = await make_account(market.database, "500", account_number="SECOND")
    async with running(market.url, account="MINE") as run:
        answer = await run.desk.place(run.entry("buy", "10", "10.10"))
        assert answer.outcome == "filled"
        await run.until(lambda state: state.positions)
        assert {choice.number for choice in await run.desk.list_accounts()} >= {"MINE", "SECOND"}
        run.states.clear()
        await run.desk.switch_account(second)
        state = await run.until(lambda state: state.account.number == "SECOND")
        assert state.account is not None
        assert (state.account.balance, state.positions, state.orders) == (D("500.00"), (), ())
        # Nobody ever saw one account's money with the other's positions.
        assert not [
            seen for seen in run.states if seen.account and seen.account.number == "SECOND" and seen.positions
        ]
        # From now on it is this account that is followed, and that trades.
        await market.quote("sell", "5", "10.20")
        assert (await run.desk.place(run.entry("buy", "5", "10.20"))).outcome == "filled"
        await run.until(lambda state: [position.quantity for position in state.positions] == [D(5)])
        await run.desk.switch_account(market.mine)
        state = await run.until(lambda state: state.account.number == "MINE")
        assert [position.quantity for position in state.positions] == [D(10)]


async def test_an_order_made_out_for_another_account_is_not_sent(market: Market) -> None:
    second = await make_account(market.database, "500", account_number="SECOND")
    async with running(market.url, account="MINE") as run:
        made = replace(run.entry("buy", "1", "9.00"), account_id=market.mine)
        await run.desk.switch_account(second)
        answer = await run.desk.place(made)
        assert answer.outcome == "error"
        assert "another account" in answer.text
        assert (
            await market.database.fetchval("select count(*) from orders where account_id = $1", second) == 0
        )


async def test_a_trader_sees_and_trades_with_their_own_accounts_only(market: Market) -> None:
    jo = await People(market.database, market.url).add(cash="1000", account_number="JO-1")
    await make_account(market.database, "2000", user_id=jo.user_id, account_number="JO-2")
    await market.quote("sell", "50", "10.10")
    async with running(jo.url) as run:
        state = run.desk.state
        assert state.user == jo.username
        assert [choice.number for choice in state.accounts] == ["JO-1", "JO-2"]
        assert state.account is not None
        assert (state.account.account_id, state.account.balance) == (jo.account, D("1000.00"))
        assert not state.demo
        assert state.book is not None
        assert state.book.asks[0].quantity == D(50)
        assert (await run.desk.place(run.entry("buy", "3", "10.10"))).outcome == "filled"
        await run.until(lambda state: state.positions)
        await run.desk.switch_account(market.mine)  # somebody else's: not among the choices
        state = run.desk.state
        assert state.account is not None
        assert state.account.account_id == jo.account
    with pytest.raises(RequestError, match="MINE: there is no account of that number"):
        async with running(jo.url, account="MINE"):
            pass


async def test_a_disabled_user_is_put_out_of_a_running_desk(market: Market) -> None:
    jo = await People(market.database, market.url).add()
    async with running(jo.url) as run:
        assert await users.disable(market.database, jo.username) > 0
        # By the end of a session, or a moment earlier by a function that knows it already.
        with pytest.raises(LoginError) as refused:
            await asyncio.wait_for(run.task, PATIENCE)
        assert refused.value.reason.startswith("This user is disabled")


async def test_a_user_who_is_switched_off_by_hand_is_put_out_too(market: Market) -> None:
    jo = await People(market.database, market.url).add()
    async with running(jo.url) as run:
        await market.database.execute("update users set is_active = false where username = $1", jo.username)
        await market.quote("sell", "5", "10.20")
        with pytest.raises(LoginError, match="is no active user") as refused:
            await asyncio.wait_for(run.task, PATIENCE)
        assert refused.value.reason.startswith("This user is disabled")
    with pytest.raises(LoginError, match=f"{jo.username} is no active user of test_"):
        async with running(jo.url):
            pass


async def test_another_password_ends_the_desk_when_it_has_to_log_in_again(market: Market) -> None:
    jo = await People(market.database, market.url).add()
    async with running(jo.url) as run:
        await users.set_password(market.database, jo.username, "another long one")
        await market.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", jo.username
        )
        with pytest.raises(LoginError) as refused:
            await asyncio.wait_for(run.task, PATIENCE)
        assert refused.value.reason == "User or password is wrong"


async def test_support_reads_every_account_leaves_a_line_and_sends_nothing(market: Market) -> None:
    sue = await People(market.database, market.url).add("support")
    async with running(sue.url, account="MINE") as run:
        answer = await run.desk.place(run.entry("buy", "1", "9.00"))
        assert (answer.outcome, answer.text) == ("error", "not sent: support reads, and does not trade")
        await run.desk.list_accounts()
        await run.desk.switch_account(market.other)
        await run.until(lambda state: state.account.account_id == market.other)
        seen = await market.database.fetch(
            "select subject from audit_log where username = $1 and action = 'view' order by at", sue.username
        )
        assert len(seen) == 2


@pytest.mark.parametrize("role", ["market_data", "backup"])
async def test_users_for_programs_have_no_terminal(market: Market, role: str) -> None:
    feed = await People(market.database, market.url).add(role)
    with pytest.raises(LoginError) as refused:
        async with running(feed.url):
            pass
    assert refused.value.reason == f"{feed.username} is a user for programs ({role}), and has no terminal"


async def test_a_trader_without_an_account_is_told_whom_to_ask(market: Market) -> None:
    jo = await People(market.database, market.url).add()
    await market.database.execute("select account_close($1)", jo.account)
    with pytest.raises(RequestError, match=f"{jo.username} has none to trade with. Ask your admin"):
        async with running(jo.url):
            pass
