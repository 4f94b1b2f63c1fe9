"""The SQL files of the schema: their order, their checksums, and the lines of their statements."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db.errors import SchemaError

_NAME = re.compile(r"(\d+)_[A-Za-z0-9_-]+")
_ENDS_TRANSACTION = re.compile(
    r"^(begin|commit|rollback|start\s+transaction)(\s+(work|transaction))?\s*;",
    re.IGNORECASE | re.MULTILINE,
)
# What a semicolon may hide in: line comments, block comments, texts, quoted names, dollar-quoted bodies.
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|\$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$|;",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Script:
    """One SQL file: `number` and `name` (without the suffix) come from its file name, line ends are
    normalised."""

    number: int
    name: str
    path: Path
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, the same under every checkout's line ends."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def line_of(self, position: int) -> int:
        """The line of a character, both counted from 1."""
        return self.text.count("\n", 0, position - 1) + 1

    def statements(self) -> Iterator[tuple[int, str]]:
        """The statements with the lines on which they begin, split at semicolons outside of quotes and
        comments.

        Good for finding the line of a mistake only: it does not know the bodies of `begin atomic`.
        """
        start = 0
        for token in _TOKEN.finditer(self.text + ";"):
            if token.group() != ";":
                continue
            statement = self.text[start : token.start()]
            bare = _TOKEN.sub(_without_comment, statement)
            if bare.strip():
                first = len(bare) - len(bare.lstrip())
                yield self.line_of(start + first + 1), statement
            start = token.end()


def read_scripts(folder: Path, *, versions: bool) -> list[Script]:
    """The SQL files of a folder by number. Raises SchemaError for a folder, name or text that will not do."""
    if not folder.is_dir():
        raise SchemaError(f"{folder} is missing: the installation is not complete")
    scripts = [_read(path) for path in sorted(folder.glob("*.sql"))]
    scripts.sort(key=lambda script: (script.number, script.name))
    if versions:
        for before, after in itertools.pairwise(scripts):
            if before.number == after.number:
                names = f"{before.path.name} and {after.path.name}"
                raise SchemaError(f"{names} have the same number: renumber the newer one")
        for script in scripts:
            if match := _ENDS_TRANSACTION.search(script.text):
                line = script.line_of(match.start() + 1)
                raise SchemaError(
                    f"{script.path}, line {line}: '{match.group()}' would end the transaction in which a "
                    "version is applied; remove it"
                )
    return scripts


def _without_comment(token: re.Match[str]) -> str:
    """Blanks as long as the comment, so that places stay; anything else is only known to be there."""
    return " " * len(token.group()) if token.group()[:2] in ("--", "/*") else "x"


def _read(path: Path) -> Script:
    named = _NAME.fullmatch(path.stem)
    if named is None:
        raise SchemaError(f"{path}: name it by a number and a word, such as 0002_orders.sql")
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text (byte {error.start})") from None
    return Script(int(named.group(1)), path.stem, path, text)
