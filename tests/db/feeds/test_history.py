"""The made-up past of the demo's instruments."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from db.feeds.catalogue import LISTINGS, Listing
from db.feeds.history import DAILY_DAYS, MINUTE_DAYS, bars

NOW = datetime.fromisoformat("2026-03-14T15:09:26")


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.symbol)
def test_bars_are_possible_and_end_at_the_price(listing: Listing) -> None:
    made = bars(listing, 7, "1", NOW)
    for _, instrument_id, opening, high, low, close, volume in made:
        assert instrument_id == 7
        assert 0 < low <= min(opening, close) <= max(opening, close) <= high
        assert volume >= 0
        for price in (opening, high, low, close):
            assert listing.tick_size is None or price % listing.tick_size == 0
        assert listing.lot_size is None or volume % listing.lot_size == 0
        assert volume == round(volume, 2)
    assert made[-1][5] == listing.price


def test_days_then_minutes_without_a_gap_and_up_to_the_minute() -> None:
    times = [bar[0] for bar in bars(LISTINGS[0], 7, "1", NOW)]
    days, minutes = times[:DAILY_DAYS], times[DAILY_DAYS:]
    assert {b - a for a, b in pairwise(days)} == {timedelta(days=1)}
    assert all(day.time() == datetime.min.time() for day in days)
    assert minutes[0] - days[-1] == timedelta(days=1)
    assert {b - a for a, b in pairwise(minutes)} == {timedelta(minutes=1)}
    assert minutes[0] == datetime.fromisoformat("2026-03-14") - timedelta(days=MINUTE_DAYS)
    assert minutes[-1] == datetime.fromisoformat(
        "2026-03-14T15:08"
    )  # the present minute belongs to the market


def test_the_seed_decides() -> None:
    share, other = LISTINGS[0], LISTINGS[1]
    assert bars(share, 1, "1", NOW) == bars(share, 1, "1", NOW)
    assert bars(share, 1, "1", NOW) != bars(share, 1, "2", NOW)
    moves = [[bar[5] > bar[2] for bar in bars(listing, 1, "1", NOW)] for listing in (share, other)]
    assert moves[0] != moves[1]


def test_each_kind_moves_as_much_as_it_should() -> None:
    def daily_move(symbol: str) -> float:
        listing = next(listing for listing in LISTINGS if listing.symbol == symbol)
        days = bars(listing, 1, "1", NOW)[:DAILY_DAYS]
        return sum(abs(float(close / opening) - 1) for _, _, opening, _, _, close, _ in days) / DAILY_DAYS

    pair, fund, share, coin = (daily_move(symbol) for symbol in ("EUR/USD", "SPY", "AAPL", "BTC/USD"))
    assert pair < fund < share < coin
    assert 0.001 < pair < 0.01
    assert 0.01 < coin < 0.06
