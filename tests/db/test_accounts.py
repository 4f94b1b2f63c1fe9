from __future__ import annotations

from decimal import Decimal

import pytest

from db import accounts, users
from db.database import Database
from db.errors import RequestError
from tests.factories import make_account, make_instrument, make_user


async def test_a_new_account_has_what_was_paid_in(database: Database) -> None:
    account_id = await make_account(database, cash="10000.50", account_number="A-1")

    account = await accounts.by_number(database, "A-1")
    assert account.account_id == account_id
    assert (account.account_type, account.balance, account.currency, account.status) == (
        "cash",
        Decimal("10000.50"),
        "USD",
        "active",
    )
    money = await accounts.summary(database, account_id)
    assert (money.balance, money.reserved, money.available, money.equity) == (
        Decimal("10000.50"),
        Decimal(0),
        Decimal("10000.50"),
        Decimal("10000.50"),
    )


async def test_money_out_and_no_more_than_there_is(database: Database) -> None:
    account_id = await make_account(database, cash="100")
    first = await accounts.withdraw(database, account_id, Decimal("40"), "rent")
    assert (await accounts.summary(database, account_id)).balance == Decimal(60)
    assert first > 0

    with pytest.raises(RequestError) as refused:
        await accounts.withdraw(database, account_id, Decimal("60.01"))
    assert refused.value.field == "amount"
    assert "60.01" in str(refused.value)
    assert (await accounts.summary(database, account_id)).balance == Decimal(60)


async def test_a_correction_has_its_sign_and_its_reason(database: Database) -> None:
    account_id = await make_account(database, cash="100")
    await accounts.adjust(database, account_id, Decimal("-99.50"), "a deposit booked twice")
    await accounts.adjust(database, account_id, Decimal("0.25"), "interest")
    assert (await accounts.summary(database, account_id)).balance == Decimal("0.75")
    for amount, description, field in (
        (Decimal("-0.76"), "too much", "amount"),
        (Decimal(1), "", "description"),
    ):
        with pytest.raises(RequestError) as refused:
            await accounts.adjust(database, account_id, amount, description)
        assert refused.value.field == field


@pytest.mark.parametrize("amount", ["0", "-5", "0.001", "1e30", "NaN"])
async def test_an_amount_that_will_not_do_is_named_with_its_field(database: Database, amount: str) -> None:
    account_id = await make_account(database, cash="0")
    with pytest.raises(RequestError) as refused:
        await accounts.deposit(database, account_id, Decimal(amount))
    assert refused.value.field == "amount"
    assert (await accounts.summary(database, account_id)).balance == 0


async def test_a_float_is_no_money(database: Database) -> None:
    account_id = await make_account(database, cash="0")
    with pytest.raises(TypeError, match=r"amount is 0\.1: pass a Decimal"):
        await accounts.deposit(database, account_id, 0.1)  # type: ignore[arg-type]


async def test_an_unknown_account_is_an_error_that_shows_what_is_near(database: Database) -> None:
    await make_account(database, account_number="DEMO-1")
    with pytest.raises(
        RequestError, match=r"DEMO-2: there is no account of that number. Did you mean DEMO-1"
    ) as unknown:
        await accounts.by_number(database, "DEMO-2")
    assert unknown.value.field == "account"
    with pytest.raises(RequestError) as unknown:
        await accounts.summary(database, 4711)
    assert (unknown.value.field, unknown.value.value) == ("account_id", "4711")
    with pytest.raises(RequestError):
        await accounts.deposit(database, 4711, Decimal(1))


async def test_names_and_numbers_are_given_out_once(database: Database) -> None:
    user_id = await make_user(database, "ann")
    with pytest.raises(RequestError, match="username ann"):
        await users.add(database, username="ann", email="other@example.com")
    with pytest.raises(RequestError, match=r"email ann@example.com"):
        await users.add(database, username="anna", email="ann@example.com")

    await accounts.open_account(database, user_id=user_id, account_number="A-1")
    with pytest.raises(RequestError, match="account_number A-1"):
        await accounts.open_account(database, user_id=user_id, account_number="A-1")
    with pytest.raises(RequestError, match="user_id 4711"):
        await accounts.open_account(database, user_id=4711, account_number="A-2")


async def test_accounts_come_in_order_and_the_closed_ones_only_when_asked_for(database: Database) -> None:
    first = await make_account(database)
    closed = await make_account(database, status="closed")
    assert [account.account_id for account in await accounts.list_all(database)] == [first, closed]
    assert [account.account_id for account in await accounts.list_all(database, active_only=True)] == [first]


async def test_an_account_without_trades_holds_nothing(database: Database) -> None:
    await make_instrument(database)
    assert await accounts.positions(database, await make_account(database)) == []
