"""What commands print: a table for people, JSON for programs; money as exact text in both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import click

GAP = "  "


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Columns as wide as they need to be; numbers to the right. `empty` is said, to stderr, when there are
    none."""
    if not rows:
        click.echo(empty, err=True)
        return
    cells = [[_shown(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[at], (Decimal, int)) for row in rows) for at in range(len(headings))]
    widths = [max(len(line[at]) for line in (headings, *cells)) for at in range(len(headings))]
    for line in (headings, *cells):
        fitted = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        click.echo(GAP.join(fitted).rstrip())


def as_json(value: Any) -> None:
    """One JSON document; dataclasses as objects, decimals as text, times as ISO 8601 in UTC."""
    click.echo(json.dumps(_plain(value), ensure_ascii=False, default=_encode))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _encode(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    raise TypeError(f"{value!r} has no place in JSON")


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    return value.astimezone().strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else str(value)
