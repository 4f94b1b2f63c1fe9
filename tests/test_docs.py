"""The documentation speaks of what is there: links, commands, keys and settings; and all SQL in it runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from db.database import Database, connect
from terminal.actions import ACTIONS, key_names
from terminal.cli import TradeCommand, main
from terminal.settings import setting_paths
from tests.factories import make_account, make_instrument

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
CALL = re.compile(r"(?:^|[ (/])trade(?= |$|\))[^)|&;#]*")
KEY_TABLE = re.compile(r"^\| key[^|]*\| does \|\n\|[- |]+\n((?:\|.*\n)+)", re.MULTILINE)
# Not files: database.py, simulation.log
SETTING = re.compile(r"(?<![\w./])(?:database|simulation|terminal)\.(?!py\b|log\b)[a-z_]+")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return [code for word, code in FENCE.findall(text_of(page)) if word == language]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        assert "://" not in link, f"{name(page)} links to {link}: the documentation must do without a network"
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}, which is not there"
        assert target.is_relative_to(ROOT), f"{name(page)} links to {link}, outside of the repository"
        assert not anchor or anchor in anchors(target), f"{name(page)} links to {link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_are_there(page: Path) -> None:
    code = {
        code for code in CODE.findall(FENCE.sub("", text_of(page))) if "NN" not in code and "NAME" not in code
    }
    for path in {code for code in code if re.fullmatch(r"(?:db|terminal|tests|docs)/[\w/.-]*", code)}:
        assert (ROOT / path).exists() or path.endswith("_what.sql"), (
            f"{name(page)} speaks of {path}, which is not there"
        )
    scripts = {script.name for script in (ROOT / "db/schema").rglob("*.sql")}
    assert {code for code in code if re.fullmatch(r"\d+_\w+\.sql", code)} <= scripts


def commands(page: Path) -> list[list[str]]:
    """Every call of trade in a page, in words: in code blocks line by line, and in running text."""
    lines = [line for code in blocks(page, "sh") for line in code.splitlines()]
    lines += CODE.findall(FENCE.sub("", text_of(page)))
    calls = [call for line in lines for call in CALL.findall(line)]
    return [shlex.split(call.strip(" (/\"'…"))[1:] for call in calls]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    for words in commands(page):
        command: click.Command = main
        context = click.Context(main)
        is_value = False  # of the option before it
        for word in words:
            flags = {
                option: getattr(given, "is_flag", False) for given in command.params for option in given.opts
            }
            if is_value:
                is_value = False
            elif word.startswith("-"):
                option, equals, _ = word.partition("=")
                assert option in {*flags, "--help"}, f"{command.name} has no option {word}"
                is_value = not (equals or flags.get(option, True))
            elif isinstance(command, click.Group) and word.islower() and word.isalpha():
                found = command.get_command(context, word)
                assert found is not None, f"{name(page)} speaks of trade {' '.join(words)}: no command {word}"
                command = found
            elif isinstance(command, click.Group):
                # An argument of a group is one of the command that stands for it.
                command = command.get_command(context, "show") or command


def test_the_readme_names_every_command() -> None:
    named = {
        " ".join(word for word in words if word.isalpha() and word.islower()) for words in commands(PAGES[0])
    }
    assert isinstance(main, TradeCommand)
    context = click.Context(main)
    for word in main.list_commands(context):
        command = main.get_command(context, word)
        if isinstance(command, click.Group):
            assert {f"{word} {below}" for below in command.list_commands(context)} <= named
        else:
            assert word in named


def test_the_traders_keys_exist() -> None:
    known = {key for action in ACTIONS for key in key_names(action.keys).split()}
    named = {
        key
        for table in KEY_TABLE.findall(text_of(ROOT / "docs/trader.md"))
        for row in table.splitlines()
        for code in CODE.findall(row.split("|")[1])
        for key in code.split()
    }
    assert named
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_exist(page: Path) -> None:
    text = text_of(page)
    named = {path for code in [*CODE.findall(text), *blocks(page, "sh")] for path in SETTING.findall(code)}
    assert named <= set(setting_paths())
    variables = {f"TRADE_{path.replace('.', '__').upper()}" for path in setting_paths()} | {"TRADE_CONFIG"}
    assert set(re.findall(r"TRADE_[A-Z_]*[A-Z]", text)) <= variables


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sql")], ids=name)
async def test_sql_runs(database: Database, database_url: str, page: Path) -> None:
    await make_instrument(database, symbol="AAPL")
    await make_account(database, account_number="DEMO")
    connection = await connect(database_url)
    # In one transaction: what a page makes is there further down, and gone afterwards, roles included.
    transaction = connection.transaction()
    await transaction.start()
    try:
        for block in blocks(page, "sql"):
            if "create database" not in block:  # which no transaction takes; it is for a server not ours
                await connection.execute(block)
    finally:
        await transaction.rollback()
        await connection.close()


def test_pictures_name_no_outside_host() -> None:
    pictures = sorted((ROOT / "docs/pictures").glob("*.svg"))
    assert pictures
    for picture in pictures:
        assert set(re.findall(r"https?://[^\"' )]+", text_of(picture))) == {"http://www.w3.org/2000/svg"}
