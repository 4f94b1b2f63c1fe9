"""The trading screen: account bar, ticket, chart, book, watchlist, positions and orders, live."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

from terminal.actions import bindings
from terminal.pacing import Pacer
from terminal.panes.account_bar import AccountBar
from terminal.panes.book import BookPane
from terminal.panes.chart import ChartPane
from terminal.panes.orders import OrdersPane
from terminal.panes.positions import PositionsPane
from terminal.panes.ticket import TicketPane, closing, describe_fully
from terminal.panes.watchlist import WatchlistPane
from terminal.state import TIMEFRAMES, Answer, DeskState, Notice, OrderEntry, Side, TradingDesk
from terminal.widgets.key_hints import KeyHints
from terminal.widgets.tab_strip import TabStrip

VIEWS = ("ticket", "book", "chart", "positions", "orders", "watchlist")
PAGES = {
    "ticket": "trade",
    "book": "trade",
    "chart": "chart",
    "positions": "held",
    "orders": "held",
    "watchlist": "watch",
}
"""Which views share a page where the screen is too small for all of them."""


class TradingScreen(Screen[None]):
    """Gives every pane the state it shows, a few panes a frame, and turns their messages into requests to the
    desk."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("trading")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-medium"), (170, "-wide")]  # noqa: RUF012 - so Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012
    DEFAULT_CSS = """
    TradingScreen {
        layout: vertical;
        #upper { height: 1fr; }
        #lower { height: 16; }
        #ticket { width: 36; }
        #chart { width: 1fr; }
        #book { width: 42; }
        #watchlist { width: 36; }
        #positions { width: 1fr; }
        #orders { width: 67; }
        TabStrip { display: none; }

        &.-wide {
            #ticket, #watchlist { width: 40; }
            #book { width: 50; }
        }
        &.-medium {
            #ticket, #watchlist, #book { width: 34; }
            #orders { width: 1fr; }
        }
        &.-medium.-view-positions #orders { display: none; }
        &.-medium.-view-orders #positions { display: none; }

        &.-narrow, &.-short {
            TabStrip { display: block; }
            #ticket { width: 38; }
            #book { width: 1fr; }
            #watchlist { width: 1fr; }
            #positions, #orders { width: 1fr; }
        }
        &.-narrow.-page-trade, &.-short.-page-trade {
            #lower, #chart { display: none; }
        }
        &.-narrow.-page-chart, &.-short.-page-chart {
            #lower, #ticket, #book { display: none; }
        }
        &.-narrow.-page-held, &.-short.-page-held {
            #upper, #watchlist { display: none; }
            #lower { height: 1fr; layout: vertical; }
            #positions, #orders { width: 100%; height: 1fr; display: block; }
        }
        &.-narrow.-page-watch, &.-short.-page-watch {
            #upper, #positions, #orders { display: none; }
            #lower { height: 1fr; }
        }

        &.-lost {
            BookPane, ChartPane, PositionsPane, OrdersPane, WatchlistPane {
                opacity: 45%;
                border: round $error 50%;
            }
        }
    }
    """

    def __init__(self, desk: TradingDesk, *, confirm: bool, timeframe: str) -> None:
        super().__init__()
        self.desk = desk
        self._confirm = confirm
        self._timeframe = timeframe
        self._held = "positions"  # which of positions and orders is shown where they share a place
        self._pacer = Pacer(self, self._frames())
        self._shown = DeskState()

    def compose(self) -> ComposeResult:
        """Upper half: ticket, chart, book. Lower half: watchlist, positions, orders."""
        yield AccountBar(id="account_bar")
        yield TabStrip(
            [
                ("ticket", "1 Ticket"),
                ("book", "2 Book"),
                ("chart", "3 Chart"),
                ("positions", "4 Positions"),
                ("orders", "5 Orders"),
                ("watchlist", "6 Watch"),
            ],
            id="tabs",
        )
        with Horizontal(id="upper"):
            yield TicketPane(confirm=self._confirm, id="ticket")
            yield ChartPane(id="chart")
            yield BookPane(id="book")
        with Horizontal(id="lower"):
            yield WatchlistPane(id="watchlist")
            yield PositionsPane(id="positions")
            yield OrdersPane(id="orders")
        yield KeyHints(id="hints")

    def on_mount(self) -> None:
        """Follow the desk from now on."""
        self._show_view("ticket")
        self._stop_listening = self.desk.listen(self._pacer.take, self._notice)
        self._pacer.take(self.desk.state)
        self.query_one(TicketPane).focus_first()

    def on_unmount(self) -> None:
        """Nothing is shown any more."""
        self._stop_listening()
        self._pacer.stop()

    def _frames(self) -> tuple[Any, ...]:
        """What is drawn together: panes whose places touch, because a frame repaints the box around all that
        changed."""
        return (self._draw_right, self._draw_left, self._draw_lower)

    @property
    def settled(self) -> bool:
        """Whether the newest state is on the screen, the chart aside."""
        return self._pacer.settled

    def _draw_right(self, state: DeskState) -> None:
        self.query_one(BookPane).show_book(state.instrument, state.book, state.quote)
        self.query_one(AccountBar).show_account(
            state.account, state.connection, state.demo, state.user, several=len(state.accounts) > 1
        )
        self.set_class(state.connection.status == "lost", "-lost")

    def _draw_left(self, state: DeskState) -> None:
        self.query_one(TicketPane).show_state(state)
        self.query_one(ChartPane).show_candles(state.instrument, state.candles, state.quote, self._timeframe)

    def _draw_lower(self, state: DeskState) -> None:
        self.query_one(WatchlistPane).show_quotes(state.instruments, state.quotes, state.instrument)
        self.query_one(PositionsPane).show_positions(state.positions)
        self.query_one(OrdersPane).show_orders(state.orders)
        self._name_lower_panes()

    @property
    def _is_shared(self) -> bool:
        """Whether positions and orders share a place."""
        return self.has_class("-medium") and self.has_class("-tall")

    def _name_lower_panes(self) -> None:
        """Where positions and orders share a place, each title names the other, too."""
        positions, orders = self.query_one(PositionsPane), self.query_one(OrdersPane)
        shared = self._is_shared
        names = (positions, positions.heading, orders.heading), (orders, orders.heading, positions.heading)
        for pane, own, other in names:
            title = f"{own} · {other}" if shared else own
            if pane.border_title != title:
                pane.border_title = title

    def _notice(self, notice: Notice) -> None:
        problem = notice.kind == "problem"
        self.notify(notice.text, severity="error" if problem else "information", timeout=6, markup=False)

    def _ask(self, request: Coroutine[Any, Any, Any], name: str) -> None:
        """Let a request to the desk run beside the screen."""
        self.run_worker(request, group="requests", name=name, exit_on_error=True)

    # What panes ask for.

    def on_ticket_pane_submitted(self, message: TicketPane.Submitted) -> None:
        """Send an order; the ticket shows what came of it."""
        self._ask(self._place(message.entry), describe_fully(message.entry))

    async def _place(self, entry: OrderEntry) -> None:
        self.query_one(TicketPane).show_answer(await self.desk.place(entry))

    def on_book_pane_level_taken(self, message: BookPane.LevelTaken) -> None:
        """A price for the ticket."""
        self._show_view("ticket")
        self.query_one(TicketPane).take_price(message.side, message.price)

    def on_chart_pane_timeframe_picked(self, message: ChartPane.TimeframePicked) -> None:
        """Other candles."""
        self._pick_timeframe(message.timeframe)

    def _pick_timeframe(self, timeframe: str) -> None:
        if timeframe != self._timeframe:
            self._timeframe = timeframe
            self._pacer.take(self.desk.state)  # the name changes at once, the candles when they have come
            self._ask(self.desk.set_timeframe(timeframe), f"read {timeframe} candles")

    def _look_at(self, instrument_id: int) -> None:
        self._ask(self.desk.look_at(instrument_id), "look at an instrument")

    def on_watchlist_pane_picked(self, message: WatchlistPane.Picked) -> None:
        """Another instrument."""
        self._look_at(message.instrument_id)

    def on_positions_pane_picked(self, message: PositionsPane.Picked) -> None:
        """Another instrument."""
        self._look_at(message.instrument_id)

    def on_orders_pane_picked(self, message: OrdersPane.Picked) -> None:
        """Another instrument."""
        self._look_at(message.instrument_id)

    def on_positions_pane_close_wanted(self, message: PositionsPane.CloseWanted) -> None:
        """Fill the ticket with the closing order; sending it stays a step of its own."""
        self._ask(self._prepare_closing(message), "prepare a closing order")

    async def _prepare_closing(self, message: PositionsPane.CloseWanted) -> None:
        await self.desk.look_at(message.position.instrument.instrument_id)
        self._show_view("ticket")
        ticket = self.query_one(TicketPane)
        ticket.show_state(self.desk.state)
        ticket.take_order(*closing(message.position))

    def on_orders_pane_cancel_wanted(self, message: OrdersPane.CancelWanted) -> None:
        """Cancel an order."""
        self._ask(self._report(self.desk.cancel(message.order.order_id)), "cancel an order")

    def on_orders_pane_reduce_wanted(self, message: OrdersPane.ReduceWanted) -> None:
        """Ask for the smaller quantity."""
        self._ask(self._reduce(message), "reduce an order")

    async def _reduce(self, message: OrdersPane.ReduceWanted) -> None:
        from terminal.screens.reduce import ReduceScreen  # not needed for the first paint

        quantity = await self.app.push_screen_wait(ReduceScreen(message.order))
        if quantity is not None:
            await self._report(self.desk.reduce(message.order.order_id, quantity))

    async def _report(self, request: Coroutine[Any, Any, Answer]) -> None:
        answer = await request
        self.notify(
            answer.text, severity="information" if answer.is_good else "error", timeout=6, markup=False
        )

    def on_account_bar_picked(self) -> None:
        """Another account."""
        self.action_accounts()

    # What keys do.

    def action_view(self, view: str) -> None:
        """To a pane; where the screen is small, to its page."""
        self._show_view(view)
        pane = self.query_one(f"#{view}")
        if isinstance(pane, TicketPane):
            pane.focus_first()
        else:
            pane.focus()

    def _show_view(self, view: str) -> None:
        for name in set(PAGES.values()):
            self.set_class(PAGES[view] == name, f"-page-{name}")
        if view in ("positions", "orders"):
            self._held = view
        for name in ("positions", "orders"):
            self.set_class(self._held == name, f"-view-{name}")
        self.query_one(TabStrip).show_tab(view)

    def on_click(self, event: Click) -> None:
        """A click on the title of positions or orders, where they share a place, shows the other."""
        if self._is_shared and event.widget is self.query_one(f"#{self._held}") and event.y == 0:
            self.action_view("orders" if self._held == "positions" else "positions")

    def on_tab_strip_picked(self, message: TabStrip.Picked) -> None:
        """A tab was clicked."""
        self.action_view(message.tab)

    def action_side(self, side: str) -> None:
        """Buy or sell."""
        self._show_view("ticket")
        self.query_one(TicketPane).choose_side(cast(Side, side))

    def action_switch_type(self) -> None:
        """Market or limit."""
        self.query_one(TicketPane).switch_type()

    def action_switch_confirmation(self) -> None:
        """Ask before sending, or do not."""
        self.query_one(TicketPane).switch_confirmation()

    def action_timeframe(self, steps: int) -> None:
        """The next or previous timeframe, round about."""
        self._pick_timeframe(TIMEFRAMES[(TIMEFRAMES.index(self._timeframe) + steps) % len(TIMEFRAMES)])

    def action_neighbour(self, steps: int) -> None:
        """The next or previous instrument of the list, round about."""
        state = self.desk.state
        if state.instrument is not None and state.instruments:
            ids = [instrument.instrument_id for instrument in state.instruments]
            self._look_at(ids[(ids.index(state.instrument.instrument_id) + steps) % len(ids)])

    def action_find(self) -> None:
        """Find an instrument by typing."""
        self._ask(self._find(), "find an instrument")

    async def _find(self) -> None:
        from terminal.screens.instruments import InstrumentsScreen  # not needed for the first paint

        state = self.desk.state
        found = await self.app.push_screen_wait(InstrumentsScreen(state.instruments, state.quotes))
        if found is not None:
            await self.desk.look_at(found)

    def action_accounts(self) -> None:
        """Choose another account."""
        self._ask(self._choose_account(), "choose an account")

    async def _choose_account(self) -> None:
        from terminal.screens.accounts import AccountsScreen  # not needed for the first paint

        current = self.desk.state.account
        chosen = await self.app.push_screen_wait(
            AccountsScreen(await self.desk.list_accounts(), current.account_id if current else None)
        )
        if chosen is not None:
            await self.desk.switch_account(chosen)

    def action_cancel_all(self) -> None:
        """Cancel every working order, after a question."""
        if self.desk.state.orders:
            self._ask(self._cancel_all(), "cancel all orders")
        else:
            self.notify("There are no working orders", timeout=4)

    async def _cancel_all(self) -> None:
        from terminal.screens.question import QuestionScreen  # not needed for the first paint

        count = len(self.desk.state.orders)
        words = "Cancel the working order?" if count == 1 else f"Cancel all {count} working orders?"
        if await self.app.push_screen_wait(
            QuestionScreen(words, yes="Cancel them" if count > 1 else "Cancel it")
        ):
            await self._report(self.desk.cancel_all())

    def on_descendant_focus(self) -> None:
        """Hints follow the focus."""
        self._show_hints()

    def on_descendant_blur(self) -> None:
        """Hints follow the focus."""
        self._show_hints()

    def _show_hints(self) -> None:
        focused: Widget | None = self.focused
        context = next(
            (node.id for node in (focused.ancestors_with_self if focused else ()) if node.id in VIEWS), None
        )
        self.query_one(KeyHints).show_context(context or "trading")
