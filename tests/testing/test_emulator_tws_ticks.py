"""What an emulated TWS makes of the tape, without any connection."""

from __future__ import annotations

from typing import cast

from piker.testing.emulator._tape import LOTS, Market, Print
from piker.testing.emulator._tws_ticks import State, _volumes

LOW, HIGH, LAST = 7, 6, 4


def test_a_price_is_never_outside_of_its_range():
    state = State()
    market = cast("Market", None)
    taken = [
        (price, state.take(Print(market, 0, 0, 0, price, 1, at, at, (LOTS,), LOTS)))
        for at, price in enumerate((10.0, 10.0, 12.0, 11.0, 9.0, 9.5))
    ]
    assert taken == [
        (10.0, [HIGH, LOW, LAST]),
        (10.0, []),
        (12.0, [HIGH, LAST]),
        (11.0, [LAST]),
        (9.0, [LOW, LAST]),
        (9.5, [LAST]),
    ]
    assert (state.low, state.last, state.high, state.lots) == (9.0, 9.5, 12.0, 6 * LOTS)


def test_each_trade_of_a_print_is_told():
    """Two of one price and millisecond are two trades, as in the list of past ones."""
    state, market = State(), cast("Market", None)
    pair = (3 * LOTS, 2 * LOTS)
    state.take(Print(market, 0, 0, 0, 9.0, 1, 0, 0, (LOTS,), LOTS))
    item = Print(market, 0, 7, 0, 10.0, 1, 1, 1, pair, sum(pair))
    state.take(item)
    told = [one.split(";")[:4] for one in _volumes(item, state)]
    assert told == [["10", "3", "7", "4"], ["10", "2", "7", "6"]]
