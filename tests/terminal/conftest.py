"""Pilot takes the program for idle when it did nothing for 20 ms, twice a key; these screens need a fifth of
that."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quick_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.004)
    monkeypatch.setattr("textual._wait.SLEEP_IDLE", 0.0004)
