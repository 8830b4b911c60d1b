"""Fills are booked once and in their turn, however the daemon's words arrive."""

from __future__ import annotations

from decimal import Decimal

import pytest

from piker.clearing._broker_line import BrokerLine
from piker.clearing._journal import open_journal
from piker.clearing._market_state import MarketState
from piker.clearing._router import Origin, Outlets, Router
from piker.errors import TransportClosed
from piker.msgs import Tick
from tests.clearing._broker import FQME, Broker
from tests.clearing._orders import MKT, order


class Place:
    """emsd's core with a line to a broker, and one order that rests there."""

    def __init__(self, journal) -> None:
        self.broker = Broker()
        self.router = Router(
            journal, Outlets(request=self.request, tell=lambda _: None)
        )
        state = MarketState(mkt=MKT)
        state.down = ""
        self.router.watch(FQME, state)
        self.router.ticks(FQME, [Tick("trade", 100.0, 1.0, 0)], 100.0)
        self.line = BrokerLine("paperboi.sim", self.router, None, lambda: None)
        self.connect()
        self.settle()
        one = order(oid="o", size=Decimal(9), symbol=FQME)
        self.router.command(one, Origin(self.refused))
        self.settle()

    def refused(self, err) -> None:
        raise AssertionError(err)

    def request(self, dialog, what) -> None:
        self.line.request(dialog, what)

    def connect(self) -> None:
        self.broker.lose()
        self.line._note_up(self.broker.init())

    def lose(self) -> None:
        self.line._note_down(TransportClosed("lost"))
        self.broker.lose()

    def carry(self) -> None:
        self.broker.inbox.extend(self.line._out)
        self.line._out.clear()

    def settle(self) -> None:
        while self.line._out or self.broker.inbox or self.broker.outbox:
            self.carry()
            while self.broker.inbox:
                self.broker.take_one()
            while self.broker.outbox:
                self.line.take(self.broker.outbox.popleft())

    @property
    def filled(self) -> Decimal:
        return self.router.find("o").filled


@pytest.fixture
def place(tmp_path):
    with open_journal(tmp_path / "journal.sqlite") as journal:
        yield Place(journal)


@pytest.mark.parametrize("size", [1, 4], ids=["open", "closed by it"])
def test_a_new_fill_that_comes_before_the_missed_ones_hides_none(place, size):
    place.lose()
    place.broker.fill("o", Decimal(3))
    place.broker.fill("o", Decimal(2))
    place.connect()
    place.broker.fill("o", Decimal(size))  # told before Reconcile is there
    place.settle()
    assert place.filled == 5 + size
    assert place.router.find("o").has_ended == (size == 4)


def test_what_is_new_while_a_gap_is_asked_for_hides_none(place):
    place.broker.fill("o", Decimal(1))
    place.broker.outbox.clear()  # lost, as no line should
    place.broker.fill("o", Decimal(2))
    while place.broker.outbox:
        place.line.take(place.broker.outbox.popleft())
    assert place.line._out, "it asks again"
    for _ in range(2):
        place.broker.fill("o", Decimal(1))
    place.settle()
    assert place.filled == 5


def test_new_fills_that_come_after_all_is_answered_are_booked_once(place):
    place.lose()
    place.broker.fill("o", Decimal(1))
    place.connect()
    place.broker.fill("o", Decimal(1))
    early = list(place.broker.outbox)
    place.settle()
    for msg in early:
        place.line.take(msg)
    place.broker.fill("o", Decimal(1))
    place.settle()
    assert place.filled == 3
