"""Windows in which the real program runs, and what a person does in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

in_tmux = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

TRADE = Path(sys.executable).with_name("trade")
PATIENCE = 40.0
ENDED = "the program ended with"


class Terminal:
    """A tmux server of its own with one window, in which a program runs."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._name = f"pitside-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._size = (width, height)

    def start(self, *arguments: str, **environment: str) -> None:
        """Run `trade` there, on a data folder in `folder`."""
        width, height = self._size
        variables = {
            "HOME": str(self._folder),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            "TRADE_DATABASE__DATA_DIR": str(self._folder / "data"),
            "TRADE_SIMULATION__SEED": "7",
            **environment,
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        # COLUMNS and LINES would go before the window's own size, and a snapshot test leaves them behind.
        command = ["env", "-u", "COLUMNS", "-u", "LINES", *settings, str(TRADE), *arguments]
        line = " ".join(f"'{part}'" for part in command) + f"; echo {ENDED} $?; sleep 600"
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), line)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, "-f", os.devnull, *arguments],  # noqa: S607 - whichever tmux there is
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LANG": "C.UTF-8"},
        )
        return done.stdout

    def screen(self) -> str:
        """What stands on the screen."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys one after another, by tmux's names."""
        for key in keys:
            self._tmux("send-keys", key)
            # Escape and a key right behind it would be one key with Alt.
            time.sleep(0.3 if key == "Escape" else 0.03)

    def paste(self, text: str) -> None:
        """Type a text at one stroke, faster than any person."""
        self._tmux("send-keys", "-l", text)

    def click(self, x: int, y: int) -> None:
        """Press and release the left button at a cell, counted from 1, as a terminal reports it."""
        self._tmux("send-keys", "-l", f"\x1b[<0;{x};{y}M")
        self._tmux("send-keys", "-l", f"\x1b[<0;{x};{y}m")

    def wait_for(self, words: str | Callable[[str], object]) -> str:
        """Wait until these words (or what the function looks for) are on the screen."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            shown = self.screen()
            if (words in shown) if isinstance(words, str) else words(shown):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{words!r} did not appear within {PATIENCE:g} s; the screen shows\n{shown}")

    def end(self) -> None:
        """End the window and all that runs in it."""
        subprocess.run(["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True)  # noqa: S607
