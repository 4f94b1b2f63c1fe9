"""A choice among a few words on one line: arrows or a click."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from textual.events import Click, Key
from textual.message import Message

from terminal.widgets.lines import LineView, Piece


class Choice(LineView, can_focus=True):
    """`options` are (value, label) pairs. With `wide` the options share the whole width."""

    DEFAULT_CSS = """
    Choice { height: 1; width: 1fr; }
    """

    class Changed(Message):
        """Another value was chosen, by the user or by `choose`."""

        def __init__(self, choice: Choice, value: str) -> None:
            super().__init__()
            self.choice = choice
            self.value = value

        @property
        def control(self) -> Choice:
            """The choice that changed."""
            return self.choice

    def __init__(
        self,
        options: Sequence[tuple[str, str]],
        *,
        tones: dict[str, str] | None = None,
        wide: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's word
    ) -> None:
        super().__init__(id=id)
        self.options = tuple(options)
        self.value = self.options[0][0]
        self._tones = tones or {}
        self._wide = wide

    def set_options(self, options: Sequence[tuple[str, str]]) -> None:
        """Offer others; the value stays when it is among them."""
        self.options = tuple(options)
        values = [value for value, _ in self.options]
        if self.value not in values:
            self.choose(values[0])
        self.update_lines()

    def choose(self, value: str) -> None:
        """Choose one of the options."""
        if value != self.value and value in dict(self.options):
            self.value = value
            self.post_message(self.Changed(self, value))
        self.update_lines()

    def line(self, y: int) -> Hashable:
        """The options and which is chosen."""
        return (self.options, self.value, self.has_focus) if y == 0 else None

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """The chosen one inverse in its tone, the others muted."""
        if line is None:
            return
        colours = self.colours
        for (value, label), cells in zip(self.options, self._cells(width), strict=True):
            text = label.center(cells)
            if value != self.value:
                yield text, colours.muted + colours.cursor_idle
                continue
            tone = getattr(colours, self._tones.get(value, "focus" if self.has_focus else "strong"))
            yield (
                text,
                tone + tone.__class__(reverse=True, bold=True, underline=self.has_focus and self._wide),
            )

    def _cells(self, width: int) -> list[int]:
        if not self._wide:
            return [len(label) + 2 for _, label in self.options]
        count = len(self.options)
        return [width // count + (index < width % count) for index in range(count)]

    def on_key(self, event: Key) -> None:
        """Left and right."""
        if event.key in ("left", "right", "space"):
            values = [value for value, _ in self.options]
            step = -1 if event.key == "left" else 1
            self.choose(values[(values.index(self.value) + step) % len(values)])
            event.stop()

    def on_click(self, event: Click) -> None:
        """The option under the pointer."""
        at = 0
        for (value, _), cells in zip(self.options, self._cells(self.content_size.width), strict=True):
            if at <= event.x < at + cells:
                self.choose(value)
            at += cells

    def on_focus(self) -> None:
        """Show it."""
        self.update_lines()

    def on_blur(self) -> None:
        """Show it."""
        self.update_lines()
