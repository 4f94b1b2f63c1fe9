"""All settings of the program, and where their values come from.

config.toml < environment (`TRADE_…`) < command line. A setting that does not exist or has a wrong value is an
error that names the setting, its value and the place where it was set.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from db.errors import SettingsError
from db.settings import DatabaseSettings, Section, SimulationSettings
from db.urls import mask

PREFIX = "TRADE_"
CONFIG_VARIABLE = "TRADE_CONFIG"
DEFAULT_CONFIG = Path(__file__).resolve().parent.parent / "config.toml"


class TerminalSettings(Section):
    """What the terminal shows and how it behaves."""

    user: str | None = None
    """Who logs in. Empty: the demo trader on the embedded server, else whom database.url names, or ask."""

    account: str | None = None
    """Number of the account to trade with. Empty: the demo trader's, or the user's first."""

    confirm_orders: bool = True
    """Whether an order must be confirmed before it is sent."""

    theme: str = "pitside-dark"
    """Colour theme: pitside-dark, pitside-light, or one of Textual's."""

    timeframe: Literal["1m", "5m", "15m", "1h", "4h", "1d", "1w", "1M"] = "1m"
    """Length of a candle when the chart opens: 1m, 5m, 15m, 1h, 4h, 1d, 1w or 1M."""

    depth: int = Field(default=20, ge=1, le=200)
    """Price levels read for each side of the order book."""


class Settings(BaseSettings):
    """Every setting of the program, by section."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", use_attribute_docstrings=True
    )

    database: DatabaseSettings = DatabaseSettings()
    """Which Postgres serves, and how the program talks to it."""

    simulation: SimulationSettings = SimulationSettings()
    """The simulated participants that keep the demo market alive."""

    terminal: TerminalSettings = TerminalSettings()
    """What the terminal shows and how it behaves."""


def load_settings(
    overrides: Mapping[str, Any] | None = None,
    config: Path | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings from all their places.

    `overrides` come from the command line, by section: `{"database": {"url": …}}`; `options` gives the names
    under which messages speak of them (`{"database.url": "--database-url"}`). `config` is the file to read;
    without it the one that TRADE_CONFIG names, else the config.toml beside the packages, which may be absent.

    Raises SettingsError.
    """
    file, file_values = _read_config(config)
    places = [
        *_from_nested(file_values, lambda path: f"{path} in {file}"),
        *_from_environment(),
        *_from_nested(overrides or {}, lambda path: (options or {}).get(path, f"{path} on the command line")),
    ]
    if unknown := [text for given in places if (text := _unknown(given))]:
        raise SettingsError("\n".join(unknown))

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, file_values)

    try:
        return Loaded(**dict(overrides or {}))
    except ValidationError as error:
        given_at = {given.path: given for given in places}  # the later place wins, as it does for the value
        raise SettingsError("\n".join(_wrong(detail, given_at) for detail in error.errors())) from None


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as somebody wrote it: `path` is the setting (`database.url`), `place` names where it
    stands."""

    path: str
    value: object
    place: str
    from_environment: bool = False


def _read_config(config: Path | None) -> tuple[Path, dict[str, Any]]:
    """The configuration file and what it says."""
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    file = named or DEFAULT_CONFIG
    try:
        return file, tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named is None:
            return file, {}
        by = "--config" if config else CONFIG_VARIABLE
        raise SettingsError(f"{by} names {file}, and there is no such file") from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None


def _sections() -> dict[str, type[Section]]:
    return {name: cast("type[Section]", field.annotation) for name, field in Settings.model_fields.items()}


def setting_paths() -> dict[str, Any]:
    """Every setting by its dotted path, with pydantic's description of the field."""
    return {
        f"{section}.{name}": field
        for section, model in _sections().items()
        for name, field in model.model_fields.items()
    }


def _from_nested(values: Mapping[str, Any], place: Any) -> Iterator[_Given]:
    for section, content in values.items():
        if section in _sections() and isinstance(content, Mapping):
            for name, value in content.items():
                yield _Given(f"{section}.{name}", value, place(f"{section}.{name}"))
        else:
            yield _Given(section, content, place(section))


def _from_environment() -> Iterator[_Given]:
    for variable, value in os.environ.items():
        if variable.upper().startswith(PREFIX) and variable.upper() != CONFIG_VARIABLE:
            path = ".".join(variable[len(PREFIX) :].lower().split("__"))
            yield _Given(path, value, f"the environment variable {variable}", from_environment=True)


def _variable(path: str) -> str:
    return PREFIX + path.upper().replace(".", "__")


def _unknown(given: _Given) -> str | None:
    """What is wrong with the name of a setting, or None."""
    known = setting_paths()
    if given.path in known:
        return None
    if given.path in _sections():
        example = next(path for path in known if path.startswith(f"{given.path}."))
        way = (
            f"set {_variable(example)} and the like"
            if given.from_environment
            else f"write [{given.path}] and below it"
        )
        return f"{given.place} is a section, not a setting: {way}"
    near = _nearest(given.path, known)
    suggestion = near and (_variable(near) if given.from_environment else near)
    text = f"{given.place} is set to {_shown(given)}, but there is no such setting"
    return f"{text}; did you mean {suggestion}?" if suggestion else f"{text}; config.toml lists them all"


def _nearest(path: str, known: Iterable[str]) -> str | None:
    """The setting that was probably meant."""
    last_names = {other.rpartition(".")[2]: other for other in known}
    section, _, name = path.rpartition(".")
    within = {last: other for last, other in last_names.items() if other.startswith(f"{section}.")}
    if near := difflib.get_close_matches(name, within, n=1):
        return within[near[0]]
    if near := difflib.get_close_matches(path, known, n=1, cutoff=0.8):  # a misspelt section
        return near[0]
    if near := difflib.get_close_matches(
        name, last_names, n=1, cutoff=0.8
    ):  # another section's, or none named
        return last_names[near[0]]
    return None


def _wrong(detail: Any, given_at: Mapping[str, _Given]) -> str:
    """One of pydantic's errors as a sentence with the setting's name, value, place, and what is allowed."""
    path = ".".join(str(part) for part in detail["loc"][:2])
    given = given_at.get(path) or _Given(path, detail["input"], f"{path} (its default)")
    allowed = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    text = f"{given.place} is {_shown(given)}: it {allowed}"
    field = setting_paths().get(path)
    if detail["type"] == "literal_error" and field is not None:
        near = difflib.get_close_matches(str(given.value), get_args(field.annotation), n=1)
        return f"{text}; did you mean {near[0]}?" if near else text
    return f"{text}. {field.description}" if field is not None and field.description else text


def _shown(given: _Given) -> str:
    return repr(mask(given.value)) if isinstance(given.value, str) else f"{given.value!r}"
