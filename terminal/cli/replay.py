"""`trade replay`: an account as it stood at any moment, what happened to it, and the proof."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from terminal.cli import Invocation, reach
from terminal.cli.moments import Moment, shown
from terminal.format import exact, money

if TYPE_CHECKING:
    from db.database import Database
    from db.journal import Event, State

utc_option = click.option(
    "--utc", is_flag=True, is_eager=True, help="Times are read and shown in UTC instead of local time."
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs; its times are UTC.")


class _Replay(click.Group):
    """`trade replay ACCOUNT …` is `trade replay show ACCOUNT …`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if name != "show"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        if words and words[0] not in self.commands:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Replay, subcommand_metavar="ACCOUNT [OPTIONS] | COMMAND [ARGS]...")
def replay() -> None:
    """An account as it stood at any moment, rebuilt from the journal.

    ACCOUNT is its number, its user's name, or the id or client id of one of its orders. Times are like
    '2026-11-22 14:32:05', '14:32' (today) or 'now'.
    """


@replay.command()
@click.argument("account")
@click.option("--at", type=Moment(), help="The moment.  [default: now]")
@click.option("--event", "event_id", type=int, metavar="ID", help="After this event instead.")
@click.option("--events", "list_events", is_flag=True, help="What happened, instead of how it stood.")
@click.option("--from", "start", type=Moment(), help="With --events: from this moment on.")
@click.option("--to", "end", type=Moment(), help="With --events: up to this moment.")
@click.option(
    "--kind", "kinds", multiple=True, help="With --events: only this kind, such as filled; may be repeated."
)
@utc_option
@json_option
@click.pass_obj
def show(
    invocation: Invocation,
    account: str,
    at: datetime | None,
    event_id: int | None,
    list_events: bool,
    start: datetime | None,
    end: datetime | None,
    kinds: tuple[str, ...],
    utc: bool,
    as_json: bool,
) -> None:
    """An account at a moment: `trade replay ACCOUNT [--at TIME]`, or what happened to it: `--events`."""
    from db import journal

    if (start or end or kinds) and not list_events:
        raise click.UsageError("--from, --to and --kind go with --events")
    if (at is not None or event_id is not None) and list_events:
        raise click.UsageError("--events goes with --from and --to, not with --at or --event")
    if at is not None and event_id is not None:
        raise click.UsageError("give --at or --event, not both")

    async def work(database: Database, stop: asyncio.Event) -> None:
        found = await journal.find_one(database, account)
        if not list_events:
            text = await journal.state_text(database, found.account_id, at, event_id=event_id)
            click.echo(text if as_json else "\n".join(_state_lines(journal.parse_state(text), utc)))
            return
        async for event in journal.all_events(database, found.account_id, start, end, kinds=kinds or None):
            click.echo(_event_json(event) if as_json else _event_line(event, utc))
            if stop.is_set():
                return

    _run(invocation, work)


@replay.command()
@click.argument("account")
@click.argument("first", type=Moment(), metavar="TIME1")
@click.argument("second", type=Moment(), metavar="TIME2")
@utc_option
@json_option
@click.pass_obj
def diff(
    invocation: Invocation, account: str, first: datetime, second: datetime, utc: bool, as_json: bool
) -> None:
    """What is different between two moments: figures, positions and orders."""
    from db import journal

    async def work(database: Database, _stop: asyncio.Event) -> list[dict[str, Any]]:
        found = await journal.find_one(database, account)
        states = [
            json.loads(await journal.state_text(database, found.account_id, at), parse_float=str)
            for at in (first, second)
        ]
        return list(_differences(*states))

    found = _run(invocation, work)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(f"{shown(first, in_utc=utc)} → {shown(second, in_utc=utc)}")
    for each in found or [{"what": "no difference", "before": None, "after": None}]:
        sides = [_plain(each[side]) for side in ("before", "after")]
        click.echo(f"{each['what']:<40} {sides[0]} → {sides[1]}" if found else each["what"])


@replay.command()
@click.argument("account")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "start", type=Moment(), help="From this moment on.")
@click.option("--to", "end", type=Moment(), help="Up to this moment.")
@utc_option
@click.pass_obj
def export(
    invocation: Invocation, account: str, file: Path, start: datetime | None, end: datetime | None, utc: bool
) -> None:
    """Write an account's history to a new FILE that anybody can check: `trade replay check FILE`."""
    from db import journal, replay_file

    async def work(database: Database, _stop: asyncio.Event) -> replay_file.Exported:
        found = await journal.find_one(database, account)
        return await replay_file.export(database, found.account_id, file, start, end)

    written = _run(invocation, work)
    click.echo(f"{written.events:,} events in {file}; the last link is {written.link}")


@replay.command()
@click.argument("file", type=click.Path(path_type=Path))
@utc_option
def check(file: Path, utc: bool) -> None:
    """Check a FILE of `trade replay export`: its hash, its chain, and that its events come to its state.

    Needs no database. Exit status 1 where anything is wrong.
    """
    from db import replay_file

    checked = replay_file.check(file)
    if checked.first_at is not None and checked.last_at is not None:
        times = " to ".join(shown(at, in_utc=utc) for at in (checked.first_at, checked.last_at))
        click.echo(f"account {checked.account_number}: {checked.events:,} events, {times}")
        click.echo(f"the last link is {checked.link}")
    for problem in checked.problems:
        click.echo(f"wrong: {problem}")
    if checked.problems:
        raise click.exceptions.Exit(1)
    click.echo("right: as it was written, and in itself")


def _run(invocation: Invocation, work: reach.Work[Any]) -> Any:
    return reach.run(invocation.settings().database, "trade replay", work)


def _state_lines(state: State, utc: bool) -> list[str]:
    """A state for a person."""
    summary = state.summary
    after = "before its first event" if state.event_id is None else f"after event {state.event_id}"
    lines = [
        f"account {state.account_number} ({state.account_type}, {state.status})"
        f" at {shown(state.at, in_utc=utc)}, {after}",
        f"  balance {money(summary.balance)}  reserved {money(summary.reserved)}"
        f"  available {money(summary.available)}  equity {money(summary.equity)} {state.currency}",
        f"  realized {money(summary.realized_pnl)}  unrealized {money(summary.unrealized_pnl)}"
        f"  commissions {money(summary.commissions)}  transactions {state.transactions:,}",
    ]
    if summary.initial_margin or state.account_type == "margin":
        call = "  MARGIN CALL" if summary.margin_call else ""
        lines.append(
            f"  margin {money(summary.initial_margin)} initial,"
            f" {money(summary.maintenance_margin)} maintenance"
            f"  buying power {money(summary.buying_power)}{call}"
        )
    lines += [
        f"  {each.symbol:<12} {exact(each.quantity, 0):>14} @ {exact(each.average_price, 2)}"
        f"  mark {exact(each.mark, 2)}  unrealized {money(each.unrealized_pnl)}"
        f"  realized {money(each.realized_pnl)}"
        for each in state.positions
    ]
    for order in state.orders:
        price = "" if order.price is None else f" at {exact(order.price, 2)}"
        stop = "" if order.stop_price is None else f" stop {exact(order.stop_price, 2)}"
        lines.append(
            f"  order {order.order_id}: {order.side} {exact(order.quantity, 0)} {order.symbol}"
            f" {order.order_type}{price}{stop} {order.time_in_force}, {order.status},"
            f" {exact(order.filled_quantity, 0)} filled"
        )
    return lines


def _event_line(event: Event, utc: bool) -> str:
    order = "" if event.order_id is None else f" order {event.order_id}"
    words = " ".join(f"{name}={_plain(value)}" for name, value in event.detail.items())
    return f"{event.event_id:>10} {shown(event.at, in_utc=utc)} {event.kind:<15}{order} {words}"


def _event_json(event: Event) -> str:
    return json.dumps(
        {
            "event_id": event.event_id,
            "at": event.at.isoformat(),
            "kind": event.kind,
            "order_id": event.order_id,
            "instrument_id": event.instrument_id,
            "detail": dict(event.detail),
        },
        ensure_ascii=False,
        default=str,
    )


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What is not the same in two states, by names that a person understands."""
    found = []
    for what, sides in _flat(before, after).items():
        if _plain(sides[0]) != _plain(sides[1]):
            found.append({"what": what, "before": sides[0], "after": sides[1]})
    return found


def _flat(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    flat: dict[str, list[Any]] = {}
    for side, state in enumerate((before, after)):
        for name, value in state.items():
            if name in ("at", "event_id", "account_id", "positions", "orders"):
                continue
            flat.setdefault(name, [None, None])[side] = value
        for position in state["positions"]:
            for name in ("quantity", "average_price", "cost", "realized_pnl", "mark", "unrealized_pnl"):
                flat.setdefault(f"{position['symbol']} {name}", [None, None])[side] = position[name]
        for order in state["orders"]:
            for name in ("quantity", "filled_quantity", "price", "stop_price", "status", "reserved"):
                what = f"order {order['order_id']} ({order['side']} {order['symbol']}) {name}"
                flat.setdefault(what, [None, None])[side] = order[name]
    return flat


def _plain(value: Any) -> str:
    """A value by what it is worth: 5.00 and 5 are one."""
    from decimal import Decimal, InvalidOperation

    if value is None or isinstance(value, bool):
        return "–" if value is None else str(value).lower()
    try:
        number = Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return str(value)
    return f"{number.normalize():f}"
