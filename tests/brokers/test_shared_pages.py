"""Who misses the same trades asks the venue once; a recorder tells what comes of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
import trio.testing

from piker.brokers._parts import Part
from piker.brokers._web import Page, Since, Source
from piker.brokers._web._record import _NotedSequence
from piker.errors import VenueUnreachable
from piker.msgs import WallClock
from tests.brokers._recorded import MKT

SINCE = Since(5, 0)


def make_source(fetch):
    hub = SimpleNamespace(fetching={})
    return Source(MKT, hub, fetch, None, None, WallClock())


async def test_one_request_for_all_who_ask_meanwhile(autojump_clock):
    asked = []

    async def fetch(since):
        asked.append(since)
        await trio.sleep(1)
        return Page([], True)

    source, got = make_source(fetch), []

    async def ask(since):
        got.append(await source.page(since))

    async with trio.open_nursery() as tasks:
        for _ in range(3):
            tasks.start_soon(ask, SINCE)
        tasks.start_soon(ask, Since(6, 0))
    assert sorted(asked) == [SINCE, Since(6, 0)]
    assert len(got) == 4
    await ask(SINCE)
    assert len(asked) == 3, "what came once isn't kept"
    assert not source.hub.fetching


async def test_an_error_is_everybodys_and_a_cancel_is_ones_own(autojump_clock):
    tries, outcome = 0, []

    async def fetch(_since):
        nonlocal tries
        tries += 1
        await trio.sleep(1)
        raise VenueUnreachable("it is away")

    source = make_source(fetch)

    async def ask():
        with pytest.raises(VenueUnreachable, match="away"):
            await source.page(SINCE)
        outcome.append(trio.current_time())

    async def leave():
        with trio.move_on_after(0.5):
            await source.page(SINCE)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        tasks.start_soon(ask)
        tasks.start_soon(ask)
    assert tries == 2, "one was cancelled, one asked anew for both"
    assert len(outcome) == 2


def test_what_is_decided_of_missing_trades_is_told():
    told = []
    seq = _NotedSequence(-1, lambda serial, dropped: told.append((serial, dropped)))
    parts = [Part("X", [], serial, serial) for serial in (5, 6, 9, 900)]
    ready: list[Part] = []
    for part in parts:
        seq.push(part, ready)
    assert ready == []
    seq.start_at()
    seq.start_at(6)  # it is there already
    assert (seq.expect, told) == (7, [(5, [])])
    seq.start_at()
    assert (seq.expect, told[1:]) == (10, [(9, [])])
    assert seq.drop_held() == [900]
    assert seq.drop_held() == []
    assert told[2:] == [(-1, [900])]
