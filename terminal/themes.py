"""Pitside's own colour themes; all of Textual's work too. `success` is buy and gain, `error` sell and
loss."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="pitside-dark",
    primary="#5b9bd5",
    secondary="#8a96a8",
    accent="#d9a441",
    warning="#d9a441",
    error="#e0605e",
    success="#3fb68b",
    foreground="#ced5de",
    background="#0d1117",
    surface="#0d1117",
    panel="#161c25",
    variables={"input-selection-background": "#5b9bd5 35%"},
)

LIGHT = Theme(
    name="pitside-light",
    primary="#1f6fb5",
    secondary="#5c6773",
    accent="#9a6700",
    warning="#9a6700",
    error="#c0322f",
    success="#16805a",
    foreground="#1f2630",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#efefeb",
    dark=False,
    variables={"input-selection-background": "#1f6fb5 25%"},
)

THEMES = (DARK, LIGHT)
