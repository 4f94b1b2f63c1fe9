"""Order ticket: what to trade, what it would cost, a look before it goes, and the answer in the same
place."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Label

from terminal.actions import bindings
from terminal.checks import price_problem, quantity_problem
from terminal.estimate import estimate, free_to_sell, held
from terminal.format import compact, exact, money, number
from terminal.state import Account, Answer, Book, DeskState, Instrument, OrderEntry, Position, Side
from terminal.terms import ORDER_TYPES, OrderType, order_type
from terminal.widgets.answer import AnswerLines
from terminal.widgets.choice import Choice
from terminal.widgets.facts import Facts
from terminal.widgets.number_field import NumberField
from terminal.widgets.send_button import SendButton

NOT_LIVE = Answer("error", "not sent: there is no connection to the database")


class TicketPane(Vertical):
    """One order at a time: filled in, reviewed (unless that is switched off), sent, answered."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("ticket")]
    DEFAULT_CSS = """
    TicketPane {
        border: round $foreground 18%;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        .row { height: 1; }
        .row > Label { width: 10; color: $text-muted; }
        .gap { height: 1; }
        Facts { height: 6; }
        AnswerLines { height: 1fr; min-height: 3; }
    }
    TicketPane:focus-within { border: round $primary; border-title-color: $text; }
    """

    class Submitted(Message):
        """Send this order."""

        def __init__(self, entry: OrderEntry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, confirm: bool, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.border_title = "1 Ticket"
        self.confirm = confirm
        self.instrument: Instrument | None = None
        self._state = DeskState()
        self._reviewed: OrderEntry | None = None
        self._sending = False
        self._touched = False

    def compose(self) -> ComposeResult:
        """Fields from top to bottom, in the order in which they are filled in."""
        yield Choice(
            (("buy", "BUY"), ("sell", "SELL")), tones={"buy": "buy", "sell": "sell"}, wide=True, id="side"
        )
        yield Label("", classes="gap")
        with Horizontal(classes="row"):
            yield Label("Type")
            yield Choice([(kind.word, kind.label) for kind in ORDER_TYPES], id="type")
        with Horizontal(classes="row"):
            yield Label("Quantity")
            yield NumberField(id="quantity")
        with Horizontal(classes="row"):
            yield Label("Price")
            yield NumberField(id="price")
        with Horizontal(classes="row"):
            yield Label("In force")
            yield Choice([(word, word) for word in ORDER_TYPES[0].times_in_force], id="time_in_force")
        yield Label("", classes="gap")
        yield Facts(id="facts")
        yield SendButton(id="send")
        yield AnswerLines(id="answer")

    def on_mount(self) -> None:
        """Show how things stand."""
        self._refresh()

    @property
    def side(self) -> Side:
        """Which side the ticket is on."""
        return "buy" if self.query_one("#side", Choice).value == "buy" else "sell"

    @property
    def kind(self) -> OrderType:
        """The order type chosen."""
        return order_type(self.query_one("#type", Choice).value)

    @property
    def _quantity(self) -> NumberField:
        return self.query_one("#quantity", NumberField)

    @property
    def _price(self) -> NumberField:
        return self.query_one("#price", NumberField)

    def show_state(self, state: DeskState) -> None:
        """Take what costs, limits and suggestions are made of. Another instrument empties the ticket: a
        quantity that is right for shares is ruinous for bitcoin."""
        if self._reviewed is not None and _account_of(state) != self._reviewed.account_id:
            self._take_back()  # it was made out for another account
        self._state = state
        if state.instrument is not None and state.instrument != self.instrument:
            self.instrument = state.instrument
            self.border_subtitle = state.instrument.symbol
            for field, step, decimals in (
                (self._quantity, state.instrument.lot, state.instrument.quantity_decimals),
                (self._price, state.instrument.tick, state.instrument.price_decimals),
            ):
                field.decimals = decimals
                field.step = step if step is not None else Decimal(1).scaleb(-decimals)
                field.set_value(None)
            self._touched = False
            self._take_back()
            self._answer(None)
        self._seed_price()
        self._refresh()

    def show_answer(self, answer: Answer) -> None:
        """What came of the order that was sent."""
        self._sending = False
        self._answer(answer)
        self._quantity.select_all()  # the next order has a quantity of its own
        self._refresh()

    def take_price(self, side: Side, price: Decimal) -> None:
        """Take a price from the book, as a limit order on that side, and ask for the quantity."""
        self.query_one("#type", Choice).choose("limit")
        self.query_one("#side", Choice).choose(side)
        self._price.set_value(price)
        self._touched = True
        self._ask_for("quantity")

    def take_order(self, side: Side, quantity: Decimal) -> None:
        """Fill in a market order, to be looked at."""
        self.query_one("#type", Choice).choose("market")
        self.query_one("#side", Choice).choose(side)
        self._quantity.set_value(quantity)
        self._ask_for("quantity")

    def choose_side(self, side: Side) -> None:
        """Buy or sell, at a price of now unless the trader gave one; the quantity comes next."""
        self.query_one("#side", Choice).choose(side)
        self._seed_anew()
        self._ask_for("quantity")

    def switch_type(self) -> None:
        """The next order type."""
        words = [kind.word for kind in ORDER_TYPES]
        self.query_one("#type", Choice).choose(words[(words.index(self.kind.word) + 1) % len(words)])

    def focus_first(self) -> None:
        """Where filling in starts."""
        self._ask_for("quantity")

    def _ask_for(self, field: str) -> None:
        """To a field, what is in it to be typed over."""
        number = self.query_one(f"#{field}", NumberField)
        number.focus()
        number.select_all()

    def switch_confirmation(self) -> None:
        """Ask before sending, or do not."""
        self.confirm = not self.confirm
        self._take_back()
        words = (
            "Orders are reviewed before they are sent"
            if self.confirm
            else "Orders are sent at once, without a review"
        )
        self._answer(Answer("accepted", words))
        self._refresh()

    def action_step(self, steps: int) -> None:
        """A lot or tick in a number, else to the field above or below."""
        focused = self.screen.focused
        if isinstance(focused, NumberField):
            focused.step_by(steps)
        elif steps > 0:
            self.screen.focus_previous("TicketPane *")
        else:
            self.screen.focus_next("TicketPane *")

    def action_leave(self) -> None:
        """Take back the review; without one, leave the fields."""
        if self._reviewed is not None:
            self._take_back()
            self._refresh()
        else:
            self.screen.set_focus(None)

    def action_send(self) -> None:
        """Check, let it be reviewed, send."""
        if self._sending or self.instrument is None:
            return
        if self._reviewed is not None:
            self._send(self._reviewed)
            return
        problem = self._problem(self.instrument)
        if problem is not None:
            self._answer(problem)
            if problem.field is not None:
                self._ask_for(problem.field)
            return
        entry = self._entry()
        if entry is None:
            return
        if self.confirm:
            self._reviewed = entry
            self._answer(None)
            self._refresh()
        else:
            self._send(entry)

    def _problem(self, instrument: Instrument) -> Answer | None:
        if self._state.connection.status != "live":
            return NOT_LIVE
        return quantity_problem(self._quantity.text, instrument) or price_problem(
            self._price.text, instrument, self.kind
        )

    def _send(self, entry: OrderEntry) -> None:
        self._reviewed, self._sending = None, True
        self._answer(None)
        self._refresh()
        self.post_message(self.Submitted(entry))

    def _entry(self) -> OrderEntry | None:
        """The order as far as it is filled in; None while it is not complete."""
        quantity, price = self._quantity.value, self._price.value if self.kind.needs_price else None
        if self.instrument is None or not quantity or (self.kind.needs_price and not price):
            return None
        return OrderEntry(
            instrument=self.instrument,
            side=self.side,
            order_type=self.kind.word,
            quantity=quantity,
            price=price,
            time_in_force=self.query_one("#time_in_force", Choice).value,
            account_id=_account_of(self._state),
        )

    def _seed_price(self) -> None:
        """Suggest the price that joins the queue on one's own side, until the trader or the book gave
        another."""
        book, instrument = self._state.book, self.instrument
        if book is None or instrument is None or book.instrument_id != instrument.instrument_id:
            return
        own, other = (book.bids, book.asks) if self.side == "buy" else (book.asks, book.bids)
        best = own[0].price if own else other[0].price if other else None
        self._price.seed = best or (self._state.quote.last if self._state.quote else None)
        if not self._touched and not self._price.text and best is not None and not self._price.has_focus:
            self._price.set_value(best)
            self._touched = False

    def _seed_anew(self) -> None:
        """The market has moved on since the price was suggested."""
        if not self._touched and self._reviewed is None:
            self._price.set_value(None)
            self._seed_price()

    def _take_back(self) -> None:
        self._reviewed = None

    def _answer(self, answer: Answer | None) -> None:
        self.query_one(AnswerLines).show_answer(answer)

    def on_choice_changed(self, event: Choice.Changed) -> None:
        """What follows from another side or type."""
        event.stop()
        self._take_back()
        if event.choice.id == "type":
            self._price.turn_off(None if self.kind.needs_price else "at market")
            self.query_one("#time_in_force", Choice).set_options(
                [(word, word) for word in self.kind.times_in_force]
            )
        elif event.choice.id == "side":
            self._seed_anew()
        self._refresh()

    def on_number_field_changed(self, event: NumberField.Changed) -> None:
        """Another order: what was under review is not it any more."""
        event.stop()
        if self._reviewed is not None and self._reviewed != self._entry():
            self._take_back()
        if event.field.id == "price" and event.field.has_focus:
            self._touched = True
        self._refresh()

    def on_send_button_pressed(self, event: SendButton.Pressed) -> None:
        """The button does what Enter does."""
        event.stop()
        self.action_send()

    def _refresh(self) -> None:
        """Costs and button, from fields and state."""
        entry = self._entry()
        button = self.query_one(SendButton)
        if self._sending:
            button.show("Sending …", "faint")
        elif self._reviewed is not None:
            button.show(f"Send {describe(self._reviewed)}", self._reviewed.side, armed=True)
            self.query_one(AnswerLines).show_hint(
                f"{self.kind.label}, {self._reviewed.time_in_force}. ⏎ sends it, Esc takes it back."
            )
        elif entry is not None:
            button.show(_sentence(describe(entry)), entry.side)
        else:
            button.show("Enter a quantity" if not self._quantity.value else "Enter a price", "faint")
        self.query_one(Facts).show_facts(self._facts(entry))

    def _facts(self, entry: OrderEntry | None) -> tuple[tuple[str, str, str], ...]:
        """Name, value and tone of what is to be known before sending."""
        state, instrument = self._state, self.instrument
        if instrument is None:
            return ()
        account, book = state.account, state.book
        facts = [*_cost(entry, book, account)]
        if account is not None:
            facts.append(("Available", f"{money(account.available)} {account.currency}", "text"))
        quantity = held(instrument.instrument_id, state.positions)
        free = free_to_sell(instrument.instrument_id, state.positions, state.orders)
        words = number(quantity, instrument.quantity_decimals)
        if quantity > 0 and free != quantity:
            words += f", {number(free, instrument.quantity_decimals)} free"
        facts.append(("Held", words, "text" if quantity else "muted"))
        return tuple(facts)


def _account_of(state: DeskState) -> int | None:
    return state.account.account_id if state.account is not None else None


def _cost(
    entry: OrderEntry | None, book: Book | None, account: Account | None
) -> tuple[tuple[str, str, str], ...]:
    if entry is None:
        return (
            ("Fills now", "–", "muted"),
            ("Value", "–", "muted"),
            ("Commission", "–", "muted"),
            ("Cost", "–", "muted"),
        )
    told = estimate(entry, book, account)
    decimals = entry.instrument.quantity_decimals
    now = "nothing"
    if told.average is not None:
        now = f"{compact(told.immediate, decimals)} @ {number(told.average, entry.instrument.price_decimals)}"
    total = told.total(entry.side)
    short = account is not None and entry.side == "buy" and total > account.buying_power
    return (
        ("Fills now", now, "text" if told.average is not None else "muted"),
        ("Value", money(told.notional), "text"),
        ("Commission", money(told.commission) if told.commission is not None else "not known", "muted"),
        ("Cost" if entry.side == "buy" else "Proceeds", money(total), "sell" if short else "strong"),
    )


def describe(entry: OrderEntry) -> str:
    """An order in few words: buy 100 AAPL @ 185.20."""
    quantity = exact(entry.quantity, entry.instrument.quantity_decimals)
    where = "at market" if entry.price is None else f"@ {exact(entry.price, entry.instrument.price_decimals)}"
    return f"{entry.side} {quantity} {entry.instrument.symbol} {where}"


def describe_fully(entry: OrderEntry) -> str:
    """An order with everything that will be sent."""
    return f"{_sentence(describe(entry))}, {entry.order_type}, {entry.time_in_force}."


def closing(position: Position) -> tuple[Side, Decimal]:
    """Side and quantity of the order that closes a position."""
    return ("sell" if position.quantity > 0 else "buy"), abs(position.quantity)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
