"""The log-in: user, password, server; how the password travels; and what the server said."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Label

from db.errors import LoginError, PitsideError, RequestError
from terminal.login import Entrance, LoginEntry, LoginForm
from terminal.state import Answer, TradingDesk
from terminal.widgets.answer import AnswerLines
from terminal.widgets.choice import Choice
from terminal.widgets.protection import ProtectionLine
from terminal.widgets.send_button import SendButton
from terminal.widgets.wordmark import Wordmark

FIELDS = ("user", "password", "server")


class LoginScreen(Screen[None]):
    """Stays until somebody is let in; then it posts `Entered` with their desk.

    A password manager types faster than fields pass on the focus, and what follows the user's name must not
    appear in the field of the name: keys that move the focus are looked at before any field gets them.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Log in", show=False, priority=True),
        Binding("tab,down", "move(1)", "Next field", show=False, priority=True),
        Binding("shift+tab,up", "move(-1)", "Field before", show=False, priority=True),
        Binding("escape", "leave", "Stop waiting", show=False),
    ]
    DEFAULT_CSS = """
    LoginScreen {
        align: center middle;
        #box {
            width: 68; max-width: 100%;
            height: auto; max-height: 100%;
            border: round $foreground 30%;
            border-title-color: $text;
            border-subtitle-color: $text-muted;
            padding: 1 3 0 3;
        }
        Wordmark { margin-bottom: 1; }
        .row { height: 1; margin-bottom: 1; }
        .row > Label { width: 11; color: $text-muted; }
        .row > Input { width: 1fr; background: $panel; padding: 0 1; }
        .row > Input:focus { background: $primary 18%; }
        #server_row { margin-bottom: 0; }
        #protection_row { margin-bottom: 1; }
        AnswerLines { height: 5; margin-top: 1; }
    }
    """

    class Entered(Message):
        """Somebody is in."""

        def __init__(self, desk: TradingDesk, user: str) -> None:
            super().__init__()
            self.desk, self.user = desk, user

    def __init__(self, entrance: Entrance, form: LoginForm | None = None) -> None:
        super().__init__()
        self._entrance = entrance
        self._form = form if form is not None else entrance.form
        self._waiting = False
        self._kept = False

    def compose(self) -> ComposeResult:
        """Who, how, where; then the button and what came of it."""
        box = Vertical(id="box")
        box.border_title = "Log in"
        box.border_subtitle = "⇥ ↑↓ fields · ⏎ log in · Ctrl+Q quit"
        with box:
            yield Wordmark()
            with Horizontal(classes="row"):
                yield Label("User")
                yield Input(self._form.user, id="user", compact=True)
            with Horizontal(classes="row"):
                yield Label("Password")
                yield Input(password=True, id="password", compact=True)
            with Horizontal(classes="row", id="server_row"):
                yield Label("Server")
                yield Input(
                    self._form.server,
                    id="server",
                    compact=True,
                    placeholder="host, host:port/database, or a URL",
                )
            with Horizontal(classes="row", id="protection_row"):
                yield Label("")
                yield ProtectionLine(id="protection")
            if self._entrance.keeps_passwords:
                with Horizontal(classes="row"):
                    yield Label("Keyring")
                    yield Choice((("no", "Do not keep it"), ("yes", "Keep the password")), id="keep")
            yield SendButton(id="enter")
            yield AnswerLines(id="answer")

    def on_mount(self) -> None:
        """To the first field that is empty."""
        self._show_protection()
        self._look_for_password()
        if self._form.problem:
            self._answer(Answer("error", self._form.problem))
        self._focus("password" if self._form.user else "user")
        self._refresh()

    # What is typed.

    def _text(self, field: str) -> str:
        value = self.query_one(f"#{field}", Input).value
        return value if field == "password" else value.strip()

    def _focus(self, field: str) -> None:
        self.set_focus(self.query_one(f"#{field}", Input))  # at once: `focus` would do it later

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another server is protected in another way; another user may have a password kept."""
        if event.input.id == "server":
            self._show_protection()
        if event.input.id in ("user", "server"):
            self._look_for_password()
        self._refresh()

    def _show_protection(self) -> None:
        told = self._entrance.protection(self._text("server"))
        self.query_one(ProtectionLine).show(told.grade, told.words)

    @work(exclusive=True, group="keyring")
    async def _look_for_password(self) -> None:
        if not self._entrance.keeps_passwords:
            return
        self._kept = False
        self._kept = await self._entrance.has_password(self._text("user"), self._text("server"))
        self.query_one("#password", Input).placeholder = "from the keyring" if self._kept else ""
        self._refresh()

    def _refresh(self) -> None:
        """The button says what it would do."""
        button, user = self.query_one(SendButton), self._text("user")
        if self._waiting:
            button.show("Connecting …  Esc stops", "faint")
        elif user and self._text("server"):
            button.show(f"Log in as {user}", "focus")
        else:
            button.show("Enter a user" if not user else "Enter a server", "faint")

    def _answer(self, answer: Answer | None) -> None:
        self.query_one(AnswerLines).show_answer(answer)

    # What keys do.

    def action_move(self, fields: int) -> None:
        """The next field or the one before."""
        if fields > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def action_accept(self) -> None:
        """From the user on to the password; from anywhere else in."""
        if self.focused is not None and self.focused.id == "user":
            self._focus("password")
        else:  # once the field has what was typed before
            (self.focused or self).call_later(self._submit)

    def on_send_button_pressed(self) -> None:
        """The button does what Enter does."""
        self._submit()

    def _submit(self) -> None:
        """Log in with what is typed."""
        if self._waiting:
            return
        for field in ("user", "server"):
            if not self._text(field):
                self._focus(field)
                self._answer(Answer("error", f"Enter a {field}"))
                return
        keep = self._entrance.keeps_passwords and self.query_one("#keep", Choice).value == "yes"
        entry = LoginEntry(self._text("user"), self._text("password"), self._text("server"), keep)
        self._waiting = True
        self._answer(None)
        self._refresh()
        self._enter(entry)

    @work(exclusive=True, group="enter")
    async def _enter(self, entry: LoginEntry) -> None:
        try:
            desk = await self._entrance.enter(entry)
        except PitsideError as error:
            self._refused(error)
        else:
            self.post_message(self.Entered(desk, entry.user))
        finally:
            self._waiting = False
            self._refresh()

    def _refused(self, error: PitsideError) -> None:
        """Tell why, and go to where it can be mended."""
        words, field = str(error), "server"
        if isinstance(error, LoginError):
            words, field = error.reason, "password"
            self.query_one("#password", Input).value = ""
        elif isinstance(error, RequestError) and error.field in FIELDS:
            field = error.field
        self._answer(Answer("error", words))
        self._focus(field)

    def action_leave(self) -> None:
        """Wait no longer for a server that does not answer."""
        if self._waiting:
            self.workers.cancel_group(self, "enter")
            self._answer(Answer("error", "Stopped: nobody is logged in"))
