"""Moments on the command line: what is typed, and how they are shown. Local time, or UTC where asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import click


class Moment(click.ParamType[datetime]):
    """A moment: `2026-11-22 14:32:05.5`, with `Z` or an offset where it is not local time; `14:32` is
    today's; `now`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """In UTC without a zone, or an error that names what was given."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        in_utc = bool(ctx and ctx.params.get("utc"))
        if text == "now":
            return datetime.now(UTC).replace(tzinfo=None)
        try:
            moment = _read(text, in_utc=in_utc)
        except ValueError:
            self.fail(
                f"{text!r} is no time; write it like '2026-11-22 14:32:05', '14:32' or 'now'", param, ctx
            )
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC) if in_utc else moment.astimezone()
        return moment.astimezone(UTC).replace(tzinfo=None)


def _read(text: str, *, in_utc: bool) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        today: date = datetime.now(UTC).date() if in_utc else datetime.now().astimezone().date()
        return datetime.combine(today, time.fromisoformat(text))


def shown(moment: datetime, *, in_utc: bool) -> str:
    """A moment of the database for a person, to the microsecond, with its zone."""
    aware = moment.replace(tzinfo=UTC)
    return (aware if in_utc else aware.astimezone()).isoformat(sep=" ", timespec="microseconds")
