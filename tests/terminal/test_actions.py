"""The table of actions holds together: everything in it can be done, and nothing is in it twice."""

from __future__ import annotations

import pytest
from textual.dom import DOMNode

from terminal.actions import ACTIONS, CONTEXTS, Action, bindings, key_names
from terminal.app import PitsideApp
from terminal.panes.book import BookPane
from terminal.panes.chart import ChartPane
from terminal.panes.orders import OrdersPane
from terminal.panes.positions import PositionsPane
from terminal.panes.ticket import TicketPane
from terminal.panes.watchlist import WatchlistPane
from terminal.screens.trading import TradingScreen

HOMES: dict[str, type[DOMNode]] = {
    "ticket": TicketPane,
    "book": BookPane,
    "chart": ChartPane,
    "positions": PositionsPane,
    "orders": OrdersPane,
    "watchlist": WatchlistPane,
    "trading": TradingScreen,
    "app": PitsideApp,
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_a_method_where_it_counts(action: Action) -> None:
    method = action.call.partition("(")[0]
    assert hasattr(HOMES[action.context], f"action_{method}")


def test_ids_are_unique() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_key_means_one_thing_in_a_context(context: str) -> None:
    keys = [key for action in ACTIONS if action.context == context for key in action.keys.split(",")]
    assert keys
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("context", CONTEXTS)
def test_bindings_carry_the_id_and_are_bound(context: str) -> None:
    wanted = {action.id for action in ACTIONS if action.context == context}
    assert {binding.id for binding in bindings(context)} == wanted
    bound = {getattr(binding, "id", None) for binding in HOMES[context].BINDINGS}
    assert wanted <= bound


def test_keys_are_written_as_people_know_them() -> None:
    assert key_names("shift+up,pageup") == "⇧↑ PgUp"
    assert key_names("question_mark,f1") == "? F1"
    assert key_names("ctrl+q") == "Ctrl+q"
