"""The search as someone types: one question at a time, and what enter chooses."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from piker.data import Found
from piker.errors import VenueUnreachable
from piker.msgs import Match
from piker.ui._seek import Seeker, by_hand, fits, meant


def found(*names: str, waits_for=()) -> Found:
    matches = [Match(fqme=name, kind="crypto", score=1.0) for name in names]
    return Found(matches, {}, waits_for)


class FakeSession:
    """Answers in two parts, the second one when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.come = trio.Event()
        self.fault: VenueUnreachable | None = None

    async def find(self, pattern, on_part):
        self.asked.append(pattern)
        try:
            on_part(found(f"{pattern}.part", waits_for=("b",)))
            await self.come.wait()
            on_part(found(f"{pattern}.late", waits_for=("b",)))
        finally:
            self.ended.append(pattern)
        if self.fault is not None:
            raise self.fault
        return found(f"{pattern}.all")


class Typist:
    """Someone who asks, and is told."""

    def __init__(self, tasks: trio.Nursery) -> None:
        self.session, self.told, self._tasks = FakeSession(), [], tasks
        self.seeker = Seeker(self.session)

    async def ask(self, pattern: str) -> None:
        self._tasks.start_soon(self.seeker.find(pattern, self.tell))
        await trio.testing.wait_all_tasks_blocked()

    def tell(self, answer) -> None:
        is_found = isinstance(answer, Found)
        self.told.append(answer.matches[0].fqme if is_found else str(answer))


@pytest.fixture
async def typist():
    async with trio.open_nursery() as tasks:
        yield Typist(tasks)
        tasks.cancel_scope.cancel()


async def test_the_question_before_is_let_go_of(typist):
    await typist.ask("b")
    await typist.ask("bt")
    assert typist.session.ended == ["b"]
    typist.session.come.set()
    await trio.testing.wait_all_tasks_blocked()
    assert typist.told == ["b.part", "bt.part", "bt.late", "bt.all"]


async def test_what_comes_in_the_moment_of_the_next_question_is_not_told(typist):
    await typist.ask("b")
    typist.session.come.set()
    await typist.ask("bt")
    assert typist.told == ["b.part", "bt.part", "bt.late", "bt.all"]


async def test_nothing_is_told_once_it_is_stopped(typist):
    await typist.ask("b")
    typist.session.come.set()
    typist.seeker.stop()
    await trio.testing.wait_all_tasks_blocked()
    assert typist.told == ["b.part"]
    assert typist.session.ended == ["b"]


async def test_why_nothing_was_found_is_told(typist):
    typist.session.fault = VenueUnreachable("nobody is there")
    await typist.ask("b")
    typist.session.come.set()
    await trio.testing.wait_all_tasks_blocked()
    assert typist.told[-1] == "nobody is there"


async def test_two_who_type_let_each_other_be(typist):
    other = Seeker(typist.session)
    await typist.ask("b")
    typist._tasks.start_soon(other.find("e", typist.tell))
    await trio.testing.wait_all_tasks_blocked()
    assert not typist.session.ended


def test_what_was_left_at_the_first_was_not_chosen():
    names = ["a", "b", "c"]
    assert [by_hand(names, at) for at in range(-1, 4)] == ["", "", "b", "c", ""]
    assert not by_hand([], 0)


@pytest.mark.parametrize(
    ("typed", "does"),
    [("btc", True), ("USDT Btc", True), ("btc eth", False), ("", False)],
)
def test_a_name_fits_with_all_words(typed, does):
    assert fits("btcusdt.spot.sim", typed) == does


@pytest.mark.parametrize(
    ("chosen", "typed", "answered", "name"),
    [
        ("btcusdt.spot.sim", "bitcoin", "Bitcoin", "btcusdt.spot.sim"),
        ("btcusdt.spot.sim", "btcus", "btc", "btcusdt.spot.sim"),
        ("btcusdt.spot.sim", " ETHusdt.spot.sim", "btc", "ethusdt.spot.sim"),
        ("btcusdt.spot.sim", "", "", "btcusdt.spot.sim"),
        ("btcusdt.spot.sim", "", "btc", ""),
        ("", "btc", "btc", "btc"),
        ("", "", "", ""),
    ],
)
def test_enter_shows_what_is_chosen_if_it_is_meant(chosen, typed, answered, name):
    assert meant(chosen, typed, answered) == name
