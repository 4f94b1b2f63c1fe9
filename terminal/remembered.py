"""Who logged in last, and where: a small file in the user's folder for state. Never a password."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class LastLogin:
    """User and server as they were typed; empty where nobody has logged in yet."""

    user: str = ""
    server: str = ""


def default_file() -> Path:
    """Where it is kept."""
    return platformdirs.user_state_path("pitside") / "login.json"


def load(file: Path) -> LastLogin:
    """The last log-in; a file that is missing or damaged counts as none."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return LastLogin(str(kept["user"]), str(kept["server"]))
    except (OSError, ValueError, KeyError, TypeError):
        return LastLogin()


def save(file: Path, last: LastLogin) -> None:
    """Remember it. Where that cannot be it is typed again the next time, which is no reason to fail."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(last), ensure_ascii=False), encoding="utf-8")
        part.replace(file)
