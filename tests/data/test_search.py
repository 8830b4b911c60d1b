"""A search of several brokers: one that fails or is slow holds up nobody."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

import pytest
import trio

from piker.data import _search, open_search, search_symbols
from piker.errors import (
    DeadlineExceeded,
    UsageError,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.msgs import Match

BROKERS = ("sim", "one", "two")


def match(name, score):
    return Match(fqme=name, kind="crypto", score=score)


class Line:
    """One of three brokers; answers what it is told to."""

    answers: ClassVar[dict] = {}
    asked: ClassVar[list] = []

    def __init__(self, broker, endpoint):
        self.broker = broker

    async def run(self):
        await trio.lowlevel.checkpoint()

    def close(self):
        pass

    async def ask(self, question):
        self.asked.append((self.broker, *question))
        told = self.answers[self.broker]
        if isinstance(told, Exception):
            raise told
        if told is None:
            await trio.sleep_forever()
        return told


@pytest.fixture
def brokers(monkeypatch):
    """Return what each broker answers, to be changed."""
    answers = {
        "sim": [match("a.sim", 90.0), match("b.sim", 50.0)],
        "one": [match("a.one", 95.0), match("c.one", 50.0)],
        "two": [match("a.two", 60.0)],
    }
    monkeypatch.setattr(Line, "answers", answers)
    monkeypatch.setattr(Line, "asked", [])
    monkeypatch.setattr(_search, "BACKENDS", BROKERS)
    monkeypatch.setattr(_search, "check_broker", BROKERS.index)
    monkeypatch.setattr(_search, "get_brokermod", lambda name: name)
    monkeypatch.setattr(
        _search, "get_eps", lambda mod, kind: {"open_symbol_search": mod}
    )
    monkeypatch.setattr(_search, "SearchLine", Line)
    return answers


async def test_all_are_asked_and_merged_best_first(brokers):
    found = await search_symbols("btc", kind="perp", limit=4)
    names = [match.fqme for match in found.matches]
    assert names == ["a.one", "a.sim", "a.two", "b.sim"]
    assert not found.faults
    assert sorted(Line.asked) == sorted(
        (name, "btc", 4, "perpetual_future") for name in BROKERS
    )


async def test_those_named_are_asked_once_each(brokers):
    found = await search_symbols("btc", ["two", "two"])
    assert [match.fqme for match in found.matches] == ["a.two"]
    assert len(Line.asked) == 1


async def test_who_fails_or_is_slow_is_named(brokers, autojump_clock):
    brokers["one"] = VenueUnreachable("no route")
    brokers["two"] = None
    found = await search_symbols("btc", deadline_s=0.05)
    assert [match.fqme for match in found.matches] == ["a.sim", "b.sim"]
    assert {name: str(err) for name, err in found.faults.items()} == {
        "one": "no route",
        "two": "search at 'two' took more than 0.05 s",
    }
    assert isinstance(found.faults["two"], DeadlineExceeded)


async def test_what_has_come_is_told_while_others_are_waited_for(
    brokers, autojump_clock
):
    brokers["one"] = VenueUnreachable("no route")
    brokers["two"] = None
    parts = []
    async with open_search() as search:
        found = await search.find("btc", deadline_s=0.1, on_part=parts.append)
    assert [set(part.waits_for) for part in parts] in (
        [{"one", "two"}, {"two"}], [{"sim", "two"}, {"two"}],
    )  # fmt: skip
    assert [match.fqme for match in parts[-1].matches] == ["a.sim", "b.sim"]
    assert list(parts[-1].faults) == ["one"]
    assert found.waits_for == ()
    assert list(found.faults) == ["one", "two"]


async def test_if_none_answers_it_is_an_error(brokers):
    brokers["one"] = VenueUnreachable("no route")
    with pytest.raises(VenueUnreachable, match="^no route$"):
        await search_symbols("btc", ["one"])
    brokers["two"] = VenueRefused("banned")
    with pytest.raises(
        VenueError, match="^no broker answered: two: banned; one: no route$"
    ):
        await search_symbols("btc", ["two", "one"])
    with pytest.raises(UsageError, match="no kind 'spot' of markets; kinds: stock"):
        await search_symbols("btc", kind="spot")


@pytest.mark.tree
async def test_a_search_stays_open_and_outlives_its_datad(open_test_pikerd):
    async with open_test_pikerd() as tree, open_search(["sim"]) as search:
        found = await search.find("btc usdt")
        assert found.matches[0].fqme == "btcusdt.spot.sim"
        assert await search.find("BTC/USDT") == found
        with pytest.raises(UsageError, match="no kind 'coin'"):
            await search.find("btc", kind="coin")
        slow = tree.services.service_tasks["datad.sim"].pid
        os.kill(slow, signal.SIGSTOP)
        with trio.fail_after(20), pytest.raises(DeadlineExceeded):
            await search_symbols("btc", ["sim"], deadline_s=0.3)
        os.kill(slow, signal.SIGCONT)
        pid = tree.services.service_tasks["datad.sim"].pid
        os.kill(pid, signal.SIGKILL)
        with trio.fail_after(10):
            assert await search.find("btc usdt") == found
        assert tree.services.service_tasks["datad.sim"].pid != pid
        os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded):
            await search.find("eth", deadline_s=0.3)
        os.kill(tree.services.service_tasks["datad.sim"].pid, signal.SIGCONT)
        perps = await search.find("eth", kind="perp")
        assert {match.kind for match in perps.matches} == {"perpetual_future"}
        answers = []

        async def find(pattern):
            answers.append((await search.find(pattern, limit=1)).matches[0].fqme)

        async with trio.open_nursery() as tasks:
            for name in ("btc", "eth", "sol", "mnq"):
                tasks.start_soon(find, name)
        assert sorted(answers) == [
            "btcusdt.spot.sim", "ethusdt.spot.sim", "mnq.cme.20261218.sim",
            "solusdt.spot.sim",
        ]  # fmt: skip
