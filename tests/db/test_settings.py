"""Settings: where they come from, who wins, and what is said of a wrong one. And the command that takes
them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import terminal.cli
from db.errors import ConnectionLostError, PitsideError, SettingsError
from terminal.cli import Invocation
from terminal.settings import DEFAULT_CONFIG, Settings, load_settings, setting_paths


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "my.toml"


def _wrong(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as error:
        load_settings(**arguments)
    return str(error.value)


# The file that documents them all


def _in_file(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, content in values.items():
        for name, value in content.items():
            yield f"{section}.{name}", value


def test_config_toml_lists_every_setting_with_its_default_and_its_comment() -> None:
    text = DEFAULT_CONFIG.read_text(encoding="utf-8")
    listed = dict(_in_file(tomllib.loads(text)))
    fields = setting_paths()
    assert list(listed) == list(fields)
    for path, field in fields.items():
        default = "" if field.default is None else field.default
        assert (listed[path], type(listed[path])) == (default, type(default)), path
        section, name = path.split(".")
        lines = text.split(f"\n[{section}]\n")[1].splitlines()
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{name} = "))
        assert lines[place - 1] == f"# {field.description}", path


def test_the_file_changes_nothing() -> None:
    assert load_settings().model_dump() == Settings().model_dump()


# Who wins


def test_the_command_line_beats_the_environment_and_that_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[database]\npool_min = 2\npool_max = 20\nport = 6000\n[terminal]\naccount = "A"')
    monkeypatch.setenv("TRADE_DATABASE__POOL_MAX", "30")
    monkeypatch.setenv("trade_database__port", "7000")
    settings = load_settings({"database": {"port": "8000"}}, config)
    assert (settings.database.pool_min, settings.database.pool_max, settings.database.port) == (2, 30, 8000)
    assert settings.terminal.account == "A"


def test_the_file_is_the_one_that_was_asked_for(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[database]\npool_max = 20")
    config.write_text("[database]\npool_max = 30")
    monkeypatch.setenv("TRADE_CONFIG", str(other))
    assert load_settings().database.pool_max == 20
    assert load_settings(config=config).database.pool_max == 30


def test_empty_means_not_set(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    config.write_text('[database]\nurl = "postgresql://u:p@h/d"\nport = 6000\ndata_dir = "/data"')
    for name in ("URL", "PORT", "DATA_DIR"):
        monkeypatch.setenv(f"TRADE_DATABASE__{name}", " ")
    settings = load_settings(config=config)
    assert (settings.database.url, settings.database.port, settings.database.data_dir) == (None, None, None)


def test_a_folder_is_absolute_and_knows_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.chdir(tmp_path)
    assert load_settings({"database": {"data_dir": "~/pit side"}}).database.data_dir == Path(
        "/home/ann/pit side"
    )
    assert load_settings({"database": {"data_dir": "data"}}).database.data_dir == tmp_path / "data"


# What is wrong, and where


def test_an_unknown_setting_in_the_file(config: Path) -> None:
    config.write_text("[database]\npool_mx = 8\n[terminals]\ndepth = 3")
    first, second = _wrong(config=config).splitlines()
    assert first == (
        f"database.pool_mx in {config} is set to 8, but there is no such setting; "
        "did you mean database.pool_max?"
    )
    assert f"terminals in {config}" in second


def test_a_wrong_value_in_the_file(config: Path) -> None:
    config.write_text('[simulation]\npace = "fast"\n[terminal]\ntimeframe = "5min"\n[database]\nport = 70000')
    port, pace, timeframe = _wrong(config=config).splitlines()
    assert port.startswith(f"database.port in {config} is 70000: it should be less than or equal to 65535")
    assert pace.startswith(f"simulation.pace in {config} is 'fast': it should be a valid number")
    assert timeframe == (
        f"terminal.timeframe in {config} is '5min': "
        "it should be '1m', '5m', '15m', '1h', '4h', '1d', '1w' or '1M'; did you mean 5m?"
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "TRADE_FOO",
            "1",
            "TRADE_FOO is set to '1', but there is no such setting; config.toml lists them all",
        ),
        ("TRADE_DATABASE__PROT", "1", "did you mean TRADE_DATABASE__PORT?"),
        ("TRADE_DATABSE__URL", "x", "did you mean TRADE_DATABASE__URL?"),
        ("TRADE_ACCOUNT", "A", "did you mean TRADE_TERMINAL__ACCOUNT?"),
        ("TRADE_DATABASE", "{}", "TRADE_DATABASE is a section, not a setting: set TRADE_DATABASE__URL"),
        ("TRADE_DATABASE__PORT__X", "1", "there is no such setting"),
        ("TRADE_DATABASE__PORT", "abc", "TRADE_DATABASE__PORT is 'abc': it should be a valid integer"),
        ("TRADE_SIMULATION__PACE", "0", "TRADE_SIMULATION__PACE is '0': it should be greater than 0"),
        ("TRADE_SIMULATION__PACE", "nan", "TRADE_SIMULATION__PACE is 'nan': it should be a finite number"),
        ("TRADE_TERMINAL__CONFIRM_ORDERS", "perhaps", "it should be a valid boolean"),
        ("TRADE_DATABASE__POOL_MIN", "20", "is 8: it should be at least pool_min, which is 20"),
        ("TRADE_CONFIG", "/no/such.toml", "TRADE_CONFIG names /no/such.toml, and there is no such file"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert message in _wrong()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://ann:secret@h/x", "should begin with postgresql://"),
        ("ann:secret@h", "should begin with postgresql://"),
        ("postgresql://ann:se/secret@h/x", "should have a number as its port"),
        ("postgresql://h:x/x?password=secret", "should have a number as its port"),
    ],
)
def test_a_password_never_shows(monkeypatch: pytest.MonkeyPatch, url: str, reason: str) -> None:
    assert "secret" not in _wrong(overrides={"database": {"url": url}})
    monkeypatch.setenv("TRADE_DATABASE__URL", url)
    message = _wrong()
    assert "secret" not in message
    assert "TRADE_DATABASE__URL is '" in message
    assert reason in message
    monkeypatch.delenv("TRADE_DATABASE__URL")
    monkeypatch.setenv("TRADE_URL", url)
    assert "secret" not in _wrong()


def test_a_password_does_not_show_in_what_is_printed_of_the_settings() -> None:
    assert "secret" not in repr(load_settings({"database": {"url": "postgresql://ann:secret@h/x"}}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[database\n", "is not valid TOML: "),
        (b"[database]\nport = \n", "line 2"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"database = 3", "is a section, not a setting: write [database]"),
    ],
)
def test_a_broken_file_is_named_with_the_line(config: Path, content: bytes, message: str) -> None:
    config.write_bytes(content)
    said = _wrong(config=config)
    assert str(config) in said
    assert message in said


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert f"--config names {tmp_path / 'none.toml'}, and there is no such file" in _wrong(
        config=tmp_path / "none.toml"
    )
    assert f"{tmp_path} cannot be read" in _wrong(config=tmp_path)


# The command


@click.command()
@click.argument("what")
@click.pass_obj
def probe(invocation: Invocation, what: str) -> None:
    """A sub-command that shows what it is given, or ends as it is told."""
    settings = invocation.settings()
    match what:
        case "show":
            url = settings.database.url
            shown = (
                url.get_secret_value() if url else None,
                settings.database.port,
                settings.terminal.account,
            )
            click.echo(repr(shown))
        case "own":
            click.echo(
                invocation.settings(
                    {"simulation": {"pace": "slow"}}, {"simulation.pace": "--pace"}
                ).simulation
            )
        case "fail":
            raise ConnectionLostError("nobody there")
        case "group":
            raise ExceptionGroup(
                "tasks", [ConnectionLostError("nobody there"), ConnectionLostError("nobody there")]
            )
        case "bug":
            raise ExceptionGroup("tasks", [ConnectionLostError("nobody there"), ZeroDivisionError()])
        case "interrupt":
            raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(terminal.cli.COMMANDS, "probe", "For tests.")
    module = type(sys)("terminal.cli.probe")
    module.probe = probe  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "terminal.cli.probe", module)
    return lambda *arguments: CliRunner().invoke(terminal.cli.main, arguments)


def test_global_options_are_settings(run: Any) -> None:
    result = run(
        "--database-url",
        "postgresql://u@h/d",
        "--account",
        "A-1",
        "--set",
        "database.port=7000",
        "probe",
        "show",
    )
    assert result.output == "('postgresql://u@h/d', 7000, 'A-1')\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--database-url", "h"], "trade: --database-url is 'h': it should begin with postgresql://"),
        (
            ["--set", "simulation.pce=2"],
            "trade: simulation.pce on the command line is set to '2', but there is no such",
        ),
        (["--set", "pace=2"], "trade: --set pace=2: write section.name=value"),
        (["--set", "simulation.pace"], "trade: --set simulation.pace: write section.name=value"),
        (["--config", "/no/such.toml"], "trade: --config names /no/such.toml, and there is no such file"),
    ],
)
def test_a_wrong_option_is_named_and_ends_with_1(run: Any, arguments: list[str], message: str) -> None:
    result = run(*arguments, "probe", "show")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(message)


def test_a_sub_command_may_name_its_own_options(run: Any) -> None:
    result = run("probe", "own")
    assert result.stderr.startswith("trade: --pace is 'slow': it should be a valid number")


@pytest.mark.parametrize("what", ["fail", "group"])
def test_an_expected_error_is_one_line_on_stderr(run: Any, what: str) -> None:
    result = run("probe", what)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "trade: nobody there\n")


def test_a_bug_is_not_dressed_up_as_an_expected_error(run: Any) -> None:
    assert isinstance(run("probe", "bug").exception, ExceptionGroup)


def test_ctrl_c_ends_without_a_word(run: Any) -> None:
    result = run("probe", "interrupt")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\n")


def test_usage_errors_end_with_2(run: Any) -> None:
    assert run("nonsense").exit_code == 2
    assert run("--nonsense").exit_code == 2


def test_help_lists_the_commands_and_all_of_them_are_there(run: Any) -> None:
    result = run("--help")
    for command in ("db", "demo", "simulate", "tape"):
        assert f"  {command} " in result.output
        assert run(command, "--help").exit_code == 0


def test_every_error_has_a_title() -> None:
    def family(kind: type[PitsideError]) -> Iterator[type[PitsideError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    titles = [kind.title for kind in family(PitsideError)]
    assert len(set(titles)) == len(titles)


def test_starting_the_command_loads_nothing_heavy() -> None:
    heavy = ["asyncpg", "pydantic", "pydantic_settings", "textual", "plotext", "rich"]
    program = f"import sys, terminal.cli; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
