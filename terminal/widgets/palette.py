"""The colours that drawn lines use, taken from the theme once and shared by every pane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rich.style import Style
from textual.app import App
from textual.color import Color


@dataclass(frozen=True, slots=True)
class Palette:
    """Rich styles by what they mean; all carry the background, so that lines can be composed of them
    freely."""

    text: Style
    strong: Style
    muted: Style
    faint: Style
    buy: Style
    sell: Style
    own: Style
    focus: Style
    demo: Style
    alarm: Style
    background: Style
    cursor: Style
    cursor_idle: Style
    buy_bar: Style
    sell_bar: Style
    buy_rgb: tuple[int, int, int]
    sell_rgb: tuple[int, int, int]
    muted_rgb: tuple[int, int, int]
    faint_rgb: tuple[int, int, int]
    own_rgb: tuple[int, int, int]
    background_rgb: tuple[int, int, int]

    def change(self, value: object) -> Style:
        """The colour of a gain, a loss, or neither."""
        if value is None or not value:
            return self.muted
        return self.buy if value > 0 else self.sell  # type: ignore[operator]


def palette(app: App[object]) -> Palette:
    """The palette of the app's current theme."""
    variables = app.theme_variables
    names = ("background", "foreground", "success", "error", "warning", "primary")
    return _palette(*(variables[name] for name in names))


@lru_cache(maxsize=8)
def _palette(
    background: str, foreground: str, success: str, error: str, warning: str, primary: str
) -> Palette:
    back, fore = Color.parse(background), Color.parse(foreground)
    buy, sell, own, focus = (Color.parse(name) for name in (success, error, warning, primary))

    def style(color: Color, share: float = 1.0, *, bold: bool = False) -> Style:
        return Style(color=back.blend(color, share).rich_color, bgcolor=back.rich_color, bold=bold)

    def shade(color: Color, share: float) -> Style:
        return Style(bgcolor=back.blend(color, share).rich_color)

    def inverse(color: Color) -> Style:
        return Style(color=back.rich_color, bgcolor=color.rich_color, bold=True)

    return Palette(
        text=style(fore),
        strong=style(fore, bold=True),
        muted=style(fore, 0.58),
        faint=style(fore, 0.28),
        buy=style(buy),
        sell=style(sell),
        own=style(own),
        focus=style(focus),
        demo=inverse(own),
        alarm=inverse(sell),
        background=Style(bgcolor=back.rich_color),
        cursor=shade(focus, 0.30),
        cursor_idle=shade(fore, 0.09),
        buy_bar=shade(buy, 0.20),
        sell_bar=shade(sell, 0.20),
        buy_rgb=buy.rgb,
        sell_rgb=sell.rgb,
        muted_rgb=back.blend(fore, 0.58).rgb,
        faint_rgb=back.blend(fore, 0.28).rgb,
        own_rgb=own.rgb,
        background_rgb=back.rgb,
    )
