"""Every action of the terminal, once: bindings, the keys page and the footer are made from this table.

A binding's id is the action's id, so that keys can be changed by id. Contexts are the places where a key
counts: a pane with the focus first, then the trading screen, then everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Action:
    """`call` is the method that does it (`action_…` of the context's widget), `hint` its word in the footer,
    if any."""

    id: str
    words: str
    keys: str
    context: str
    call: str
    hint: str | None = None
    priority: bool = False


CONTEXTS = {
    "ticket": "Order ticket",
    "book": "Order book",
    "chart": "Chart",
    "positions": "Positions",
    "orders": "Working orders",
    "watchlist": "Watchlist",
    "trading": "Anywhere",
    "app": "Program",
}

ACTIONS: tuple[Action, ...] = (
    Action("ticket.send", "Review the order; again: send it", "enter", "ticket", "send", "Send"),
    Action("ticket.more", "One lot or tick more", "up", "ticket", "step(1)"),
    Action("ticket.less", "One lot or tick less", "down", "ticket", "step(-1)"),
    Action("ticket.much_more", "Ten lots or ticks more", "shift+up,pageup", "ticket", "step(10)"),
    Action("ticket.much_less", "Ten lots or ticks less", "shift+down,pagedown", "ticket", "step(-10)"),
    Action("ticket.leave", "Take back the review, or leave", "escape", "ticket", "leave", "Back"),
    Action("book.up", "Up a level", "up,k", "book", "move(-1)"),
    Action("book.down", "Down a level", "down,j", "book", "move(1)"),
    Action("book.best", "To the best ask, then the best bid", "home,space", "book", "best"),
    Action("book.take", "Trade here: an ask buys, a bid sells", "enter", "book", "take", "Take price"),
    Action("book.join", "Join here: a bid buys, an ask sells", "J", "book", "join", "Join"),
    Action("chart.next", "Next longer timeframe", "right", "chart", "timeframe(1)", "Longer"),
    Action("chart.previous", "Next shorter timeframe", "left", "chart", "timeframe(-1)", "Shorter"),
    Action("positions.up", "Up", "up,k", "positions", "move(-1)"),
    Action("positions.down", "Down", "down,j", "positions", "move(1)"),
    Action("positions.look", "Look at this instrument", "enter", "positions", "choose", "Show"),
    Action("positions.close", "Into the ticket: the closing order", "x", "positions", "close", "Close"),
    Action("orders.up", "Up", "up,k", "orders", "move(-1)"),
    Action("orders.down", "Down", "down,j", "orders", "move(1)"),
    Action("orders.look", "Look at this instrument", "enter", "orders", "choose", "Show"),
    Action("orders.cancel", "Cancel this order", "x,delete", "orders", "cancel", "Cancel"),
    Action(
        "orders.reduce",
        "Make it smaller; it keeps its place",
        "r",
        "orders",
        "reduce",
        "Reduce",
    ),
    Action("watchlist.up", "Up", "up,k", "watchlist", "move(-1)"),
    Action("watchlist.down", "Down", "down,j", "watchlist", "move(1)"),
    Action("watchlist.look", "Look at this instrument", "enter", "watchlist", "choose", "Show"),
    Action("trade.buy", "Buy: to the ticket's quantity", "b", "trading", "side('buy')", "Buy"),
    Action("trade.sell", "Sell: to the ticket's quantity", "s", "trading", "side('sell')", "Sell"),
    Action("trade.market", "Market order or limit order", "m", "trading", "switch_type"),
    Action("trade.cancel_all", "Cancel all working orders", "X", "trading", "cancel_all"),
    Action("trade.confirm", "Ask before sending, or do not", "c", "trading", "switch_confirmation"),
    Action("look.find", "Find an instrument", "i", "trading", "find", "Instrument"),
    Action("look.previous", "Previous instrument", "[", "trading", "neighbour(-1)"),
    Action("look.next", "Next instrument", "]", "trading", "neighbour(1)"),
    Action("look.timeframe", "Next timeframe of the chart", "t", "trading", "timeframe(1)", "Timeframe"),
    Action("look.timeframe_back", "Previous timeframe of the chart", "T", "trading", "timeframe(-1)"),
    Action("view.ticket", "To the order ticket", "1", "trading", "view('ticket')"),
    Action("view.book", "To the order book", "2", "trading", "view('book')"),
    Action("view.chart", "To the chart", "3", "trading", "view('chart')"),
    Action("view.positions", "To the positions", "4", "trading", "view('positions')"),
    Action("view.orders", "To the working orders", "5", "trading", "view('orders')"),
    Action("view.watchlist", "To the watchlist", "6", "trading", "view('watchlist')"),
    Action("account.switch", "Another of your accounts", "a", "trading", "accounts"),
    Action("app.logout", "Log out, to the log-in", "L", "app", "logout"),
    Action("app.palette", "Find an action or an account", "ctrl+p", "app", "command_palette"),
    Action("app.keys", "All keys", "question_mark,f1", "app", "keys", "Keys"),
    Action("app.quit", "Quit", "q", "app", "quit", "Quit"),
    Action("app.quit_now", "Quit, also while typing", "ctrl+q", "app", "quit", priority=True),
)


def bindings(context: str) -> list[Binding]:
    """The key bindings of one context."""
    return [
        Binding(
            _keys(action.keys), action.call, action.words, show=False, id=action.id, priority=action.priority
        )
        for action in ACTIONS
        if action.context == context
    ]


def action(action_id: str) -> Action:
    """The action with that id."""
    return next(found for found in ACTIONS if found.id == action_id)


def key_names(keys: str) -> str:
    """Keys as people write them: `shift+up` is ⇧↑, `question_mark` is ?."""
    return " ".join(_key_name(key) for key in keys.split(","))


_TEXTUAL_NAMES = {"[": "left_square_bracket", "]": "right_square_bracket"}
_NAMES = {
    "question_mark": "?",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "enter": "⏎",
    "escape": "Esc",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "delete": "Del",
    "home": "Home",
    "space": "Space",
    "f1": "F1",
}


def _keys(keys: str) -> str:
    return ",".join(_TEXTUAL_NAMES.get(key, key) for key in keys.split(","))


def _key_name(key: str) -> str:
    *modifiers, last = key.split("+")
    shown = {"shift": "⇧", "ctrl": "Ctrl+"}
    return "".join(shown[modifier] for modifier in modifiers) + _NAMES.get(last, last)
