"""`trade instrument`: what can be traded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from db.errors import RequestError
from terminal.cli import Invocation, arguments, output, reach

if TYPE_CHECKING:
    from db.database import Database
    from db.instruments import Instrument

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@click.group()
def instrument() -> None:
    """What can be traded. For the owner; anyone may list."""


@instrument.command()
@click.argument("symbol")
@click.option("--name", required=True, help="What it is called.")
@click.option("--type", "kind", default="share", show_default=True, help="share, etf, forex, crypto, …")
@click.option("--exchange", metavar="CODE")
@click.option("--currency", default="USD", show_default=True)
@click.option("--tick", type=arguments.Number(), help="Prices are multiples of it (else any price will do).")
@click.option("--lot", type=arguments.Number(), help="Quantities are multiples of it (else any will do).")
@json_option
@click.pass_obj
def add(
    invocation: Invocation,
    symbol: str,
    name: str,
    kind: str,
    exchange: str | None,
    currency: str,
    tick: Decimal | None,
    lot: Decimal | None,
    as_json: bool,
) -> None:
    """Add an instrument; it is open for orders at once."""
    from db import instruments

    added = reach.administer(
        invocation,
        "trade instrument",
        lambda database: instruments.add(
            database,
            symbol=symbol,
            name=name,
            instrument_type=kind,
            exchange=exchange,
            currency=currency,
            tick_size=tick,
            lot_size=lot,
        ),
    )
    _show(added, f"{added.symbol} is open for trading: {_grid(added)}.", as_json)


@instrument.command("set")
@click.argument("symbol")
@click.option("--name", help="What it is called.")
@click.option("--type", "kind", help="share, etf, forex, crypto, …")
@click.option("--exchange", metavar="CODE")
@click.option("--tick", type=arguments.Number(), help="Prices are multiples of it.")
@click.option("--lot", type=arguments.Number(), help="Quantities are multiples of it.")
@json_option
@click.pass_obj
def change(
    invocation: Invocation,
    symbol: str,
    name: str | None,
    kind: str | None,
    exchange: str | None,
    tick: Decimal | None,
    lot: Decimal | None,
    as_json: bool,
) -> None:
    """Change an instrument; what is not given stays. Tick and lot must suit the orders that there are."""
    from db import instruments

    if all(given is None for given in (name, kind, exchange, tick, lot)):
        raise RequestError(
            "instrument", symbol, "nothing to change is given", "See trade instrument set --help."
        )
    changed = reach.administer(
        invocation,
        "trade instrument",
        lambda database: instruments.change(
            database,
            symbol,
            name=name,
            instrument_type=kind,
            exchange=exchange,
            tick_size=tick,
            lot_size=lot,
        ),
    )
    _show(changed, f"{changed.symbol}: {changed.name}, {changed.instrument_type}, {_grid(changed)}.", as_json)


@instrument.command()
@click.argument("symbol")
@json_option
@click.pass_obj
def halt(invocation: Invocation, symbol: str, as_json: bool) -> None:
    """Take no more orders for an instrument. Resting orders stay, and can be cancelled."""
    from db import instruments

    _switch(invocation, symbol, instruments.halt, ("is halted", "was halted already"), as_json)


@instrument.command()
@click.argument("symbol")
@json_option
@click.pass_obj
def resume(invocation: Invocation, symbol: str, as_json: bool) -> None:
    """Open a halted instrument for orders again."""
    from db import instruments

    _switch(invocation, symbol, instruments.resume, ("is open for trading", "was open already"), as_json)


@instrument.command("list")
@json_option
@click.pass_obj
def list_instruments(invocation: Invocation, as_json: bool) -> None:
    """Show all instruments."""
    from db import instruments

    async def work(database: Database, _stop: asyncio.Event) -> list[Instrument]:
        return await instruments.list_all(database)

    found = reach.run(invocation.settings().database, "trade instrument", work, stops=False)
    if as_json:
        output.as_json(found)
        return
    output.table(
        ("SYMBOL", "NAME", "TYPE", "EXCHANGE", "CURRENCY", "TICK", "LOT", "TRADING"),
        [
            (
                *(one.symbol, one.name, one.instrument_type, one.exchange, one.currency),
                *(_plain(step) for step in (one.tick_size, one.lot_size)),
                "open" if one.is_active else "halted",
            )
            for one in found
        ],
        empty="There are no instruments: add one with trade instrument add, or try trade demo.",
    )


def _switch(
    invocation: Invocation,
    symbol: str,
    switch: Callable[[Database, str], Awaitable[bool]],
    outcome: tuple[str, str],
    as_json: bool,
) -> None:
    from db import instruments

    async def work(database: Database) -> tuple[bool, Instrument]:
        return await switch(database, symbol), await instruments.by_symbol(database, symbol)

    changed, now = reach.administer(invocation, "trade instrument", work)
    _show(now, f"{now.symbol} {outcome[0] if changed else outcome[1]}.", as_json)


def _show(found: Instrument, words: str, as_json: bool) -> None:
    if as_json:
        output.as_json(found)
    else:
        click.echo(words)


def _grid(found: Instrument) -> str:
    tick, lot = _plain(found.tick_size), _plain(found.lot_size)
    return f"{f'tick {tick}' if tick else 'any price'}, {f'lot {lot}' if lot else 'any quantity'}"


def _plain(step: Decimal | None) -> str | None:
    """Without the zeros that the column's scale adds."""
    return None if step is None else f"{step.normalize():f}"
