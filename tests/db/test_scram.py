"""Verifiers are PostgreSQL's own, to the byte, and log in."""

from __future__ import annotations

import base64
import unicodedata

import asyncpg
import pytest

from db import scram
from db.database import Database
from db.errors import RequestError
from tests.db.people import People, login_url

HARD = [
    "correct horse battery staple",
    "pässwörd für alle",
    unicodedata.normalize("NFD", "pässwörd für alle"),
    "no\u00a0break\u3000spaces",
    "soft\u00adhyphen and \ufeff nothing",
    "ⅨⅤ roman ﬁgures",
    "quotes ' \" \\ $$ %s {x}",
    "right to left אבגד and back",
    "שלום שלום",
    "emoji 🎺🎺🎺",
    "control \x07 characters",
    "x" * 256,
]


@pytest.mark.parametrize("password", HARD)
async def test_a_verifier_logs_in(database: Database, database_url: str, password: str) -> None:
    """With the driver, whose SASLprep must be ours."""
    name = (await People(database, database_url).add("backup")).username
    await database.execute("select user_password($1, $2)", name, scram.verifier(password))
    url = login_url(database_url, name, "")
    connection = await asyncpg.connect(url, password=password)
    assert await connection.fetchval("select session_user") == name
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password=password + "x")


@pytest.mark.parametrize("password", HARD)
async def test_the_server_would_have_made_the_same(database: Database, password: str) -> None:
    """The server's own SASLprep and hashing, given the password, agree with the verifier made here."""
    async with database.transaction() as connection:
        quoted = await connection.fetchval("select quote_literal($1::text)", password)
        await connection.execute("set local password_encryption = 'scram-sha-256'")
        await connection.execute("create role scram_probe password " + quoted)
        made = await connection.fetchval("select rolpassword from pg_authid where rolname = 'scram_probe'")
        await connection.execute("drop role scram_probe")
    iterations, salt = made.split("$")[1].split(":")
    assert scram.verifier(password, salt=base64.b64decode(salt), iterations=int(iterations)) == made


def test_two_of_one_password_differ() -> None:
    assert scram.verifier("correct horse") != scram.verifier("correct horse")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257, "zero\0zero\0"])
def test_what_is_no_password_is_refused_without_being_told(password: str) -> None:
    with pytest.raises(RequestError) as refused:
        scram.verifier(password)
    assert (refused.value.field, refused.value.value) == ("password", "")
    assert not password or password not in str(refused.value)
