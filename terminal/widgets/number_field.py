"""A number that is typed, stepped by the arrows, the wheel or a click; right-aligned; letters stay free for
commands."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from rich.style import Style
from textual.events import Click, Key, MouseScrollDown, MouseScrollUp, Paste
from textual.message import Message

from terminal.format import exact, number, parse
from terminal.widgets.lines import LineView, Piece

STEPPERS = " − + "
LONGEST = 20


class NumberField(LineView, can_focus=True):
    """`step` and `decimals` are the instrument's; `seed` is where stepping starts in an empty field (None:
    one step).

    The first key after the focus came replaces what was there. `text` is what stands in it, `value` its
    number or None.
    """

    DEFAULT_CSS = """
    NumberField { height: 1; width: 1fr; }
    """

    class Changed(Message):
        """What stands in the field changed."""

        def __init__(self, field: NumberField) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> NumberField:
            """The field that changed."""
            return self.field

    def __init__(self, *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.text = ""
        self.step = Decimal(1)
        self.decimals = 0
        self.seed: Decimal | None = None
        self.placeholder = placeholder
        self.off: str | None = None
        self._fresh = True

    @property
    def value(self) -> Decimal | None:
        """The number in the field; None when there is none."""
        return parse(self.text)

    def set_value(self, value: Decimal | None) -> None:
        """Put a number there, or nothing; typing replaces it."""
        self.set_text("" if value is None else exact(value, self.decimals))
        self._fresh = True
        self.update_lines()

    def select_all(self) -> None:
        """What is typed next replaces what is there."""
        self._fresh = True
        self.update_lines()

    def set_text(self, text: str) -> None:
        """Put this text there."""
        if text != self.text:
            self.text = text
            self.post_message(self.Changed(self))
        self.update_lines()

    def turn_off(self, words: str | None) -> None:
        """Show these words instead of the field (None: use it again); it takes no focus meanwhile."""
        self.off = words
        self.can_focus = words is None
        self.update_lines()

    def step_by(self, steps: int) -> None:
        """That many lots or ticks up (or down), onto the grid; never below one step."""
        value = self.value
        if value is None:
            self.set_value(self.seed if self.seed is not None else max(steps, 1) * self.step)
            return
        rounding = ROUND_FLOOR if steps > 0 else ROUND_CEILING
        on_grid = (value / self.step).to_integral_value(rounding) * self.step
        self.set_value(max(self.step, on_grid + steps * self.step))

    def line(self, y: int) -> Hashable:
        """The text and how it is to be shown."""
        if y:
            return None
        focus = self.has_focus
        return (self._shown(), not self.text, focus, focus and self._fresh and bool(self.text), self.off)

    def _shown(self) -> str:
        """With separators when the text is a number that this does not change the meaning of."""
        value = self.value
        if value is None or self.text.endswith("."):
            return self.text or self.placeholder
        _, _, fraction = self.text.partition(".")
        return number(value, len(fraction))

    def draw(self, line: Hashable, width: int) -> Iterable[Piece]:
        """Right-aligned, with steppers."""
        if not isinstance(line, tuple):
            return
        text, empty, focus, selected, off = line
        colours = self.colours
        ground = colours.cursor if focus else colours.cursor_idle
        if off is not None:
            yield off.rjust(width - len(STEPPERS)).ljust(width), colours.faint
            return
        caret = "▏" if focus else " "
        room = width - len(STEPPERS) - 1
        text = text[-room:]
        style = colours.muted if empty else colours.strong
        yield " " * (room - len(text)), colours.text + ground
        yield text, style + (Style(reverse=True) if selected else ground)
        yield caret, colours.focus + ground
        yield STEPPERS, (colours.text if focus else colours.muted) + ground

    def on_key(self, event: Key) -> None:
        """Digits and the point are typed; other letters go on to the commands."""
        if event.character is not None and event.character in "0123456789.,":
            base = "" if self._fresh else self.text
            if len(base) < LONGEST and not (event.character == "." and "." in base):
                self.set_text(base + event.character)
            self._fresh = False
        elif event.key == "backspace":
            self.set_text("" if self._fresh else self.text[:-1])
            self._fresh = False
        elif event.key in ("delete", "ctrl+u"):
            self.set_text("")
            self._fresh = False
        elif event.key in ("end", "right"):
            self._fresh = False
        else:
            return
        self.update_lines()
        event.stop()

    def on_paste(self, event: Paste) -> None:
        """A pasted number replaces what was there; anything else is left alone."""
        if parse(event.text) is not None:
            self.set_text(event.text.strip())
            self._fresh = False
        event.stop()

    def on_click(self, event: Click) -> None:
        """− and + step."""
        at = event.x - (self.content_size.width - len(STEPPERS))
        if self.off is None and at >= 0:
            self.step_by(-1 if at < len(STEPPERS) // 2 else 1)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel steps while the field has the focus."""
        if self.has_focus:
            self.step_by(1)
            event.stop()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel steps while the field has the focus."""
        if self.has_focus:
            self.step_by(-1)
            event.stop()

    def on_focus(self) -> None:
        """Typing replaces."""
        self._fresh = True
        self.update_lines()

    def on_blur(self) -> None:
        """Show it."""
        self.update_lines()
