"""The order ticket by keyboard and by mouse."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from textual.pilot import Pilot

from terminal.state import Answer, Book, Connection, OrderEntry
from terminal.widgets.facts import Facts
from terminal.widgets.number_field import NumberField
from tests.terminal.fakes import AAPL, ACCOUNT, BTCUSD, FakeDesk, book_of, sample_state
from tests.terminal.screen import focused, settle, terminal, text

D = Decimal


def value(pilot: Pilot[None]) -> Decimal | None:
    """The quantity in the ticket."""
    return pilot.app.screen.query_one("#quantity", NumberField).value


BUY_100 = OrderEntry(AAPL, "buy", "limit", D(100), D("185.20"), "GTC")


async def test_a_limit_order_by_keyboard_is_reviewed_and_sent() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        assert focused(pilot) == "quantity"
        await pilot.press("1", "0", "0", "enter")
        assert desk.asked == []  # only reviewed so far
        assert "Send buy 100 AAPL @ 185.20" in text(pilot, "#send")
        assert "Limit, GTC" in text(pilot, "#answer")
        await pilot.press("enter")
        await pilot.pause()
        assert desk.asked == [("place", BUY_100)]
        assert "✓ Order 103 rests in the book" in text(pilot, "#answer")


async def test_after_an_answer_typing_begins_anew() -> None:
    desk = FakeDesk()
    async with terminal(desk, confirm=False) as pilot:
        await pilot.press("1", "0", "enter")
        await pilot.pause()
        await pilot.press("5", "enter")  # 5, not 105
        await pilot.pause()
        assert [entry.quantity for _, entry in desk.asked] == [D(10), D(5)]


async def test_escape_takes_the_review_back() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("5", "enter", "escape", "escape")
        assert desk.asked == []
        assert focused(pilot) is None


async def test_a_change_takes_the_review_back() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("5", "enter", "0", "enter")
        assert desk.asked == []
        assert "Send buy 50 AAPL" in text(pilot, "#send")


async def test_without_confirmation_enter_sends_at_once() -> None:
    desk = FakeDesk()
    async with terminal(desk, confirm=False) as pilot:
        await pilot.press("1", "0", "0", "enter")
        await pilot.pause()
        assert desk.asked == [("place", BUY_100)]


async def test_c_switches_the_confirmation_off_and_on() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("c")
        assert "Orders are sent at once" in text(pilot, "#answer")
        await pilot.press("7", "enter")
        await pilot.pause()
        assert len(desk.asked) == 1
        await pilot.press("c", "enter")
        await pilot.pause()
        assert len(desk.asked) == 1


async def test_the_whole_ticket_by_mouse() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.click("#side", offset=(25, 0))  # SELL
        await pilot.click("#time_in_force", offset=(7, 0))  # IOC
        await pilot.click("#quantity")
        await pilot.press("3", "0")
        width = pilot.app.screen.query_one("#price").size.width
        await pilot.click("#price", offset=(width - 4, 0))  # −
        await pilot.click("#send")
        assert desk.asked == []
        await pilot.click("#send")
        await pilot.pause()
        assert desk.asked == [("place", OrderEntry(AAPL, "sell", "limit", D(30), D("185.21"), "IOC"))]


async def test_a_double_click_does_not_review_and_send_at_one_stroke() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("3")
        await pilot.click("#send", times=2)
        await pilot.pause()
        assert desk.asked == []


async def test_arrows_step_quantity_by_lot_and_price_by_tick() -> None:
    desk = FakeDesk(sample_state(BTCUSD))
    async with terminal(desk, confirm=False) as pilot:
        await pilot.press("up", "up", "shift+up", "down", "tab")
        assert focused(pilot) == "price"
        await pilot.press("up", "up", "pagedown", "enter")
        await pilot.pause()
        ((_, entry),) = desk.asked
        assert entry.quantity == D("0.0011")  # 1 + 1 + 10 − 1 lots of 0.0001
        assert entry.price == D("68250.0") + D("0.5") * (2 - 10)


async def test_a_number_off_the_grid_steps_onto_it() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("1", ".", "5", "up")
        assert value(pilot) == D(2)
        await pilot.press("1", ".", "5", "down")
        assert value(pilot) == D(1)
        await pilot.press("down")
        assert value(pilot) == D(1)  # never below a lot


async def test_backspace_delete_and_typing_over() -> None:
    async with terminal() as pilot:
        await pilot.press("1", "2", "3", "backspace")
        assert value(pilot) == D(12)
        await pilot.press("delete")
        assert value(pilot) is None
        await pilot.press("4", "tab", "shift+tab", "9")  # the focus came again: typing replaces
        assert value(pilot) == D(9)


async def test_market_order_asks_no_price() -> None:
    desk = FakeDesk()
    async with terminal(desk, confirm=False) as pilot:
        await pilot.press("m", "s", "4", "0")
        assert "at market" in text(pilot, "#price")
        assert "40 @ 185.20" in text(pilot, "#facts")
        await pilot.press("enter")
        await pilot.pause()
        assert desk.asked == [("place", OrderEntry(AAPL, "sell", "market", D(40), None, "IOC"))]
        await pilot.press("m")
        assert "at market" not in text(pilot, "#price")


async def test_letters_are_commands_while_a_number_is_typed() -> None:
    async with terminal() as pilot:
        await pilot.press("1", "s", "5")
        assert "Sell 5 AAPL" in text(pilot, "#send")
        await pilot.press("b")
        assert "Buy 5 AAPL" in text(pilot, "#send")


async def test_side_and_type_by_arrows() -> None:
    async with terminal() as pilot:
        await pilot.press("5", "shift+tab", "shift+tab")
        assert focused(pilot) == "side"
        await pilot.press("right")
        assert "Sell 5" in text(pilot, "#send")
        await pilot.press("down")
        assert focused(pilot) == "type"
        await pilot.press("right")
        assert "at market" in text(pilot, "#price")


async def test_what_it_costs_and_what_there_is() -> None:
    async with terminal() as pilot:
        await pilot.press("1", "0", "0")
        facts = text(pilot, "#facts")
        assert "18,520.00" in facts  # value
        assert "1.85" in facts  # maker commission: 0.01 %
        assert "18,521.85" in facts
        assert "81,490.00 USD" in facts
        assert "120, 90 free" in facts


async def test_a_bad_quantity_is_refused_with_its_reason_and_nothing_is_sent() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("2", ".", "5", "enter")
        assert "✗ quantity 2.5: not a multiple of" in text(pilot, "#answer")
        await pilot.press("2", "0", "tab", *"185.205", "enter")
        assert "✗ price 185.205: not a multiple of" in text(pilot, "#answer")
        assert focused(pilot) == "price"
        assert desk.asked == []


async def test_an_empty_ticket_says_what_is_missing() -> None:
    async with terminal() as pilot:
        assert "Enter a quantity" in text(pilot, "#send")
        await pilot.press("enter")
        assert "quantity: nothing entered" in text(pilot, "#answer")


async def test_the_exchanges_refusals_are_shown() -> None:
    desk = FakeDesk()
    desk.answers = [
        Answer("rejected", "Rejected: it would cost 1,000.00 USD and 20.00 USD are available"),
        Answer("error", "price 1.23: not a multiple of the tick", "price"),
        Answer("unknown", "the connection was lost"),
    ]
    async with terminal(desk, confirm=False) as pilot:
        for sign, words in (
            ("✗", "Rejected: it would cost"),
            ("✗", "price 1.23"),
            ("?", "the connection was lost"),
        ):
            await pilot.press("1", "enter")
            await pilot.pause()
            assert f"{sign} {words}" in text(pilot, "#answer")


async def test_nothing_is_sent_without_a_connection() -> None:
    desk = FakeDesk(replace(sample_state(), connection=Connection("lost", "reconnecting")))
    async with terminal(desk, confirm=False) as pilot:
        await pilot.press("1", "enter")
        await pilot.pause()
        assert desk.asked == []
        assert "no connection" in text(pilot, "#answer")


async def test_another_instrument_empties_the_quantity_and_seeds_the_price() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        await pilot.press("1", "0", "0")
        await desk.look_at(BTCUSD.instrument_id)
        await settle(pilot)
        assert "100" not in text(pilot, "#quantity")
        assert "68,250.0" in text(pilot, "#price")
        assert "Enter a quantity" in text(pilot, "#send")


async def test_the_seed_joins_the_side_that_is_chosen() -> None:
    async with terminal() as pilot:
        assert "185.20" in text(pilot, "#price")
        await pilot.press("s")
        assert "185.22" in text(pilot, "#price")


async def test_the_seed_stays_where_it_is_until_a_side_is_chosen_again() -> None:
    desk = FakeDesk()
    async with terminal(desk) as pilot:
        higher = book_of(AAPL)
        desk.set(book=replace(higher, bids=tuple(replace(b, price=b.price + 1) for b in higher.bids)))
        await settle(pilot)
        assert "185.20" in text(pilot, "#price")  # nothing jumps
        await pilot.press("b")
        assert "186.20" in text(pilot, "#price")


async def test_a_price_that_was_typed_stays_when_the_side_changes() -> None:
    async with terminal() as pilot:
        await pilot.press("tab", *"184.5", "s")
        assert "184.5" in text(pilot, "#price")


async def test_an_empty_book_leaves_the_price_to_the_trader() -> None:
    state = replace(sample_state(), book=Book(AAPL.instrument_id))
    async with terminal(FakeDesk(state)) as pilot:
        assert text(pilot, "#price").strip().startswith("−")
        await pilot.press("tab", "up")  # from nothing to the last trade
        assert "185.21" in text(pilot, "#price")


async def test_more_than_there_is_money_for_is_shown_in_red() -> None:
    desk = FakeDesk(replace(sample_state(), account=replace(ACCOUNT, buying_power=D(100))))
    async with terminal(desk) as pilot:
        await pilot.press("1", "0", "0")
        facts = {name: tone for name, _, tone in pilot.app.screen.query_one(Facts).facts}
        assert facts["Cost"] == "sell"


async def test_a_pasted_number_replaces_and_pasted_words_do_not() -> None:
    from textual.events import Paste

    async with terminal() as pilot:
        field = pilot.app.screen.query_one("#quantity")
        field.post_message(Paste("1,250"))
        await pilot.pause()
        assert "1,250" in text(pilot, "#quantity")
        field.post_message(Paste("rm -rf /"))
        await pilot.pause()
        assert "1,250" in text(pilot, "#quantity")


async def test_the_caret_stands_where_the_focus_is() -> None:
    async with terminal() as pilot:
        for key, here, there in (("b", "quantity", "price"), ("tab", "price", "quantity")):
            await pilot.press(key)
            await pilot.pause()
            assert focused(pilot) == here
            assert "▏" in text(pilot, f"#{here}")
            assert "▏" not in text(pilot, f"#{there}")
