"""Settings of the data layer. Each field's docstring is its documentation; config.toml repeats it.

Where the values come from is not decided here: see `terminal.settings.load_settings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from db import tls
from db.urls import is_readable, with_parameters


class Section(BaseModel):
    """A group of settings. TOML has no null, so an empty text leaves an optional setting unset."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {
            name: None if name in optional and isinstance(value, str) and not value.strip() else value
            for name, value in values.items()
        }


class DatabaseSettings(Section):
    """Which Postgres serves, and how the program talks to it."""

    url: SecretStr | None = None
    """A Postgres server (15–18): postgresql://user:password@host:port/database. Empty: the embedded one."""

    sslmode: tls.Mode | None = None
    """TLS: disable, allow, prefer, require, verify-ca, verify-full. Empty: prefer here, else verify-full."""

    sslrootcert: str | None = None
    """File (PEM) of who signs the server's certificate. Empty: ~/.postgresql/root.crt, else the system's."""

    data_dir: Path | None = None
    """Folder of the embedded server's data. Empty: the platform's folder for user data."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port of the embedded server on 127.0.0.1. Empty: Unix socket only."""

    pool_min: int = Field(default=1, ge=1, le=1000)
    """Connections kept open at least."""

    pool_max: int = Field(default=8, ge=1, le=1000, validate_default=True)
    """Connections opened at most; at least pool_min."""

    connect_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds to wait for a connection before the server counts as unreachable."""

    heartbeat: float = Field(default=2.0, gt=0, le=600)
    """Seconds without an answer after which the connection counts as lost."""

    poll_interval: float = Field(default=0.05, ge=0.01, le=60)
    """Seconds between two looks for changes: 0.05 is 20 times a second."""

    @field_validator("url")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("should begin with postgresql:// (or be empty for the embedded server)")
        if url is not None and not is_readable(url.get_secret_value()):
            raise ValueError("should have a number as its port; write special characters as %40 and the like")
        return url

    @field_validator("sslrootcert")
    @classmethod
    def _authorities_from_home(cls, file: str | None) -> str | None:
        return file if file in (None, tls.SYSTEM) else str(Path(file or "").expanduser().absolute())

    @property
    def server_url(self) -> str | None:
        """`url` with what the other settings say of its encryption; what the URL says itself wins."""
        return None if self.url is None else self.encrypted(self.url.get_secret_value())

    def encrypted(self, url: str) -> str:
        """Another URL with what the settings say of encryption."""
        return with_parameters(url, sslmode=self.sslmode, sslrootcert=self.sslrootcert)

    @field_validator("data_dir")
    @classmethod
    def _from_home(cls, folder: Path | None) -> Path | None:
        # Absolute from the start: the server, its lock and its other users must all mean the same folder.
        return None if folder is None else folder.expanduser().absolute()

    @field_validator("pool_max")
    @classmethod
    def _at_least_pool_min(cls, pool_max: int, info: ValidationInfo) -> int:
        pool_min = info.data.get("pool_min")
        if pool_min is not None and pool_max < pool_min:
            raise ValueError(f"should be at least pool_min, which is {pool_min}")
        return pool_max


class SimulationSettings(Section):
    """The simulated participants that keep the demo market alive."""

    enabled: bool = True
    """Whether simulated participants trade while a terminal on the embedded database is open."""

    seed: int | None = None
    """Seed of the random numbers; the same seed gives the same decisions. Empty: another one each time."""

    pace: float = Field(default=1.0, gt=0, le=1000)
    """How fast the simulated participants act: 1.0 is normal, 2.0 twice as fast."""

    levels: int = Field(default=8, ge=1, le=100)
    """Price levels that each market maker quotes on each side."""

    makers: int = Field(default=3, ge=1, le=100)
    """Number of market makers."""

    takers: int = Field(default=4, ge=0, le=100)
    """Number of takers."""
