"""The `trade` command: global options, sub-commands loaded when they are called, errors without tracebacks.

A sub-command is a module of this package with a click command of the same name; the context's object is an
`Invocation`:

    @click.command()
    @click.pass_obj
    def demo(invocation: Invocation) -> None:
        settings = invocation.settings()
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.errors import PitsideError, SettingsError

if TYPE_CHECKING:
    from terminal.settings import Settings

COMMANDS = {
    "account": "Accounts and money: open, close, deposit, withdraw, list.",
    "audit": "Rebuild every account from the journal, compare, and check that nothing was tampered with.",
    "db": "The embedded server and the schema: start, stop, status, url, migrate, reset.",
    "demo": "Set up the demo market: instruments, history, a demo trader.",
    "instrument": "What can be traded: add, set, halt, resume, list.",
    "replay": "An account as it stood at any moment, what happened to it, and the proof.",
    "simulate": "Run the simulated participants on any database.",
    "tape": "Play recorded order flow into an instrument's book.",
    "user": "Who may log in, and as what: add, list, disable, enable, passwd, role.",
}
OPTIONS = {
    "database.url": "--database-url",
    "database.data_dir": "--data-dir",
    "terminal.user": "--user",
    "terminal.account": "--account",
}
INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended


class Failure(click.ClickException):
    """An expected error, on its way to stderr as `trade: message`."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        click.echo(f"trade: {self.message}", file=file, err=file is None)


class TradeCommand(click.Group):
    """The root group: imports a sub-command's module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"terminal.cli.{cmd_name}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"terminal.cli.{cmd_name}.{cmd_name} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table above, so that --help imports no sub-command.
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PitsideError as error:
            raise Failure(error.message) from error
        except ExceptionGroup as group:
            # A task group wraps what its tasks raise. Expected errors stay so, anything else keeps its
            # traceback.
            expected, unexpected = group.split(PitsideError)
            if expected is None or unexpected is not None:
                raise
            raise Failure("\n".join(dict.fromkeys(str(error) for error in _leaves(expected)))) from group
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(INTERRUPTED)


def _leaves(group: ExceptionGroup[PitsideError]) -> list[PitsideError]:
    leaves: list[PitsideError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return leaves


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options of one call of `trade`."""

    config: Path | None = None
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(
        self,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Settings:
        """The settings under the global options.

        `overrides` are a sub-command's own options, by section (`{"simulation": {"pace": 2}}`), and win over
        the global ones; `options` names them for error messages (`{"simulation.pace": "--pace"}`). Raises
        SettingsError.
        """
        from terminal.settings import load_settings

        merged = {section: dict(values) for section, values in self.overrides.items()}
        for section, values in (overrides or {}).items():
            merged.setdefault(section, {}).update(values)
        return load_settings(merged, self.config, options={**OPTIONS, **(options or {})})


@click.group(
    cls=TradeCommand, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file (else TRADE_CONFIG).",
)
@click.option("--database-url", metavar="URL", help="A Postgres server instead of the embedded one.")
@click.option("--data-dir", metavar="FOLDER", help="Data folder of the embedded server.")
@click.option("--user", metavar="NAME", help="Who logs in (else the demo trader, or whom the log-in names).")
@click.option("--account", metavar="NUMBER", help="Number of the account to trade with.")
@click.option(
    "--set",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any setting of config.toml, such as --set simulation.pace=2; may be repeated.",
)
@click.version_option(package_name="pitside", prog_name="trade")
@click.pass_context
def main(
    ctx: click.Context,
    config: Path | None,
    database_url: str | None,
    data_dir: str | None,
    user: str | None,
    account: str | None,
    assignments: tuple[str, ...],
) -> None:
    """A trading terminal with the exchange inside Postgres. Without a command: open the terminal."""
    overrides: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot):
            raise SettingsError(
                f"--set {assignment}: write section.name=value, such as --set simulation.pace=2"
            )
        overrides.setdefault(section, {})[name] = text
    named = {
        "database.url": database_url,
        "database.data_dir": data_dir,
        "terminal.user": user,
        "terminal.account": account,
    }
    for path, value in named.items():
        if value is not None:
            section, _, name = path.partition(".")
            overrides.setdefault(section, {})[name] = value
    ctx.obj = Invocation(config, overrides)
    if ctx.invoked_subcommand is None:
        importlib.import_module("terminal.cli.open").run(ctx.obj.settings())
