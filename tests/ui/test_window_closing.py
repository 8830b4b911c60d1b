"""A window that is closed while something is still done for it."""

from __future__ import annotations

import pytest
import trio
from PySide6.QtCore import QCoreApplication, QEvent
from shiboken6 import isValid

from piker.data import Found
from piker.ui._layouts import WindowLayout
from tests.ui._hands import Hands, use_window

SCENARIOS = []


def scenario(func):
    SCENARIOS.append(func)
    return func


def close_now(window) -> None:
    """Close a window, and let Qt delete what it may before trio has another turn."""
    window.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


class Held:
    """An answer that is asked for, and comes when a test lets it."""

    def __init__(self, answer) -> None:
        self.answer, self.asked, self.come = answer, trio.Event(), trio.Event()

    async def __call__(self, *_args, **_options):
        self.asked.set()
        await self.come.wait()
        return self.answer

    def let_come_too_late(self, window) -> None:
        """Have it come, and its window closed before whoever waits has a turn."""
        self.come.set()
        close_now(window)


async def open_another(hands: Hands):
    fqme = next(iter(hands.charts.session.markets))
    window = await hands.charts.open(WindowLayout(fqmes=(fqme,)))
    window.show()
    window.activateWindow()
    await hands.settle()
    return window


@scenario
async def a_search_that_is_answered_too_late(hands: Hands):
    window = await open_another(hands)
    window.session._search.find = held = Held(Found([], {}))
    window.search.open()
    window.search.line.setText("btc")
    window.search._ask()
    await held.asked.wait()
    held.let_come_too_late(window)
    await hands.settle()
    assert not isValid(window)


@scenario
async def a_market_that_is_opened_too_late(hands: Hands):
    window = await open_another(hands)
    other = hands.charts.session.markets["ethusdt.spot.sim"]
    held = Held(other)
    window.session.market = held
    window.switch("ethusdt.spot.sim")
    await held.asked.wait()
    before = set(other.listeners)
    held.let_come_too_late(window)
    await hands.settle()
    del window.session.market
    assert other.listeners == before, "nobody looks at it there"
    assert not isValid(window)


@scenario
async def a_market_that_is_watched_too_late(hands: Hands):
    window = await open_another(hands)
    held = Held(hands.charts.session.markets["ethusdt.spot.sim"])
    window.session.market = held
    window.watch_entry.setText("ethusdt.spot.sim")
    window.watch_entry._take()
    await held.asked.wait()
    held.let_come_too_late(window)
    await hands.settle()
    del window.session.market
    assert not isValid(window)


@scenario
async def nothing_is_begun_for_a_closed_window(hands: Hands):
    window = await open_another(hands)
    begun = []

    async def begin() -> None:
        begun.append(True)

    window.close()
    window.start(begin)
    await hands.settle()
    assert not begun
    assert not isValid(window)


@scenario
async def another_window_outlives_the_one_it_was_asked_for_in(hands: Hands):
    window = await open_another(hands)
    market = window.market
    held = Held(market)
    window.session.market = held
    hands.charts._wanted(window, "new_window")
    await held.asked.wait()
    held.let_come_too_late(window)
    del window.session.market
    await hands.settle()
    (other,) = [each for each in hands.charts.windows if each is not hands.window]
    assert other.isVisible()
    assert other.watchlist.names == [market.fqme]
    other.close()


@scenario
async def another_window_after_the_last_one_is_closed_at_once(hands: Hands):
    held = Held(hands.window.market)
    hands.charts.session.market = held
    hands.charts._wanted(hands.window, "new_window")
    await held.asked.wait()
    held.let_come_too_late(hands.window)
    del hands.charts.session.market
    await hands.settle()
    assert not hands.charts.windows


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda func: func.__name__)
def test_closed(tmp_path, monkeypatch, scenario):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    use_window(tmp_path, scenario, "btcusdt", "ethusdt")
