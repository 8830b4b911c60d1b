"""Everything a gateway of IB can do wrong to market data, and bars that are exact.

a market is open --fault--> cleared --> it is live, its bars those of the venue's trades
a datad is killed; the next one opens the market while a fault is in force --> the same
"""

from __future__ import annotations

import os
import signal
from itertools import product

import pytest
import trio

from piker.data import Disconnected, Quote, Reconnected, open_feed
from piker.service import Policy
from piker.testing.emulator import open_emulator
from tests.brokers._venues import check_live_bars
from tests.data._live import watched

pytestmark = pytest.mark.tree

TSLA, SIM = "tsla.nasdaq.ib", "tsla.nasdaq.sim"
CONF = "reconnect_max_s = 0.3\nsmall_bars = 100000\ndeadline_s = 2\n"
DATA = "[data]\nrt_hours = 0.1\nhist_days = 0.1\n"
RST = {"kind": "disconnect", "how": "rst"}
#: Datads that are killed one after the other are no reason to give up.
LENIENT = Policy(delays_s=(0.0,), max_deaths=10_000)
HOWS = ("late", "never", "twice", "swapped", "error", "garbage", "cut")


def answer(on: str, how: str) -> dict:
    return {"kind": "answer", "on": on, "how": how, "seconds": 0.4}


#: What strikes while a market is live, each with a way to cut the line first or last.
LIVE = {
    "cut off": [RST],
    "closed": [{"kind": "disconnect", "how": "clean"}],
    "cut in a message": [{"kind": "disconnect", "how": "mid_frame"}],
    "the nightly reset": [{"kind": "reset", "seconds": 0.8}],
    "nobody listens": [{"kind": "refuse", "seconds": 0.8}, RST],
    "a call that is taken and not answered": [{"kind": "limbo"}, RST],
    "two of them": [{"kind": "limbo", "count": 2}, RST],
    "a call that is dropped": [{"kind": "upgrade", "count": 3}, RST],
    "slow to take a call": [{"kind": "slow", "accept_s": 0.5}, RST],
    "slow to say anything": [{"kind": "latency", "ms": 200}, RST],
    "1100, 1102": [{"kind": "connectivity", "seconds": 0.5}],
    "1100, 1101": [{"kind": "connectivity", "seconds": 0.5, "lost": True}],
    "1100 and cut off": [{"kind": "connectivity", "seconds": 0.5}, RST],
    "no servers of shares": [{"kind": "farm", "name": "usfarm", "seconds": 3}],
    "no servers of futures": [{"kind": "farm", "name": "usfuture", "seconds": 1}],
    "no servers of the past": [{"kind": "farm", "name": "ushmds", "seconds": 1}, RST],
    "none of contracts": [{"kind": "farm", "name": "secdefil", "seconds": 1}, RST],
    **{
        f"notice {code}": [{"kind": "notice", "code": code, "text": "x:y"}]
        for code in (1102, 2100, 2104, 2106, 2107, 2108, 2119, 2158, 10167, 9999)
    },
    **{
        f"{on} {how}, cut off": [answer(on, how), RST]
        for on, how in product(("ticks", "market"), HOWS)
    },
    "a message told twice": [{"kind": "duplicate", "times": 3}],
    "all of the past refused": [{"kind": "bars", "how": "empty", "count": 9}, RST],
}
#: In force while a new datad opens the market.
OPENING = {
    **{
        f"{on} {how}": [answer(on, how)]
        for on, how in product(("details", "rule", "bars", "ticks", "market"), HOWS)
    },
    **{
        f"frames {how}": [{"kind": "bars", "how": how, "count": 2}]
        for how in ("reversed", "repeated", "empty", "overlap", "cut", "odd")
    },
    "nobody listens": [{"kind": "refuse", "seconds": 1.5}],
    "calls that aren't answered": [{"kind": "limbo", "count": 2}],
    "all is slow": [{"kind": "latency", "ms": 100}],
    "ib is away": [{"kind": "connectivity", "seconds": 1.5}],
    "no servers of shares": [{"kind": "farm", "name": "usfarm", "seconds": 2}],
    "no servers of the past": [{"kind": "farm", "name": "ushmds", "seconds": 2}],
    "no servers of contracts": [{"kind": "farm", "name": "secdefil", "seconds": 1}],
}


def test_there_are_as_many_cases_as_promised():
    assert len(LIVE) + len(OPENING) >= 90


async def _until_exact(feed, venue, deadline_s: float = 40) -> str:
    """Return what of the bars isn't as it should be, empty once all is."""
    wrong = "nothing was compared"
    with trio.move_on_after(deadline_s):
        while wrong:
            try:
                await check_live_bars(feed, TSLA, venue, SIM)
            except AssertionError as err:
                wrong = str(err)[:300] or "bars differ"
                await trio.sleep(0.3)
            else:
                wrong = ""
    return wrong


async def _strike(venue, faults) -> None:
    for fault in faults:
        await venue.fault(**fault)


def _parts(cases: dict, n: int) -> list[list[str]]:
    """Return the names of cases in *n* parts, each a tree's work."""
    return [list(cases)[nth::n] for nth in range(n)]


@pytest.mark.parametrize("names", _parts(LIVE, 3), ids=range(3))
async def test_while_it_is_live(open_test_pikerd, names):
    wrong = {}
    async with (
        open_emulator("ib.tws", sim=[SIM], past_s=600, budget=100_000) as venue,
        open_test_pikerd(conf=venue.conf + CONF + DATA, deadline_s=300),
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        await watcher.until(Quote)
        for name in names:
            at = len(watcher.said)
            await _strike(venue, LIVE[name])
            await trio.sleep(0.6)
            with trio.move_on_after(40) as patience:
                await watcher.until(Quote, at)
                while any(isinstance(one, Disconnected) for one in watcher.said[at:]):
                    await watcher.until(Reconnected, at)
                    break
            await venue.clear()
            why = await _until_exact(feed, venue)
            if why or patience.cancelled_caught:
                wrong[name] = why or "it didn't come back"
                break  # what is wrong stays so, and each of the others would wait
        told = [one for one in watcher.said if isinstance(one, Disconnected)]
        assert told, "nothing was felt at all"
        assert (await venue.stats())["subscribed_now"] == {"TSLA": 1}
    assert not wrong


@pytest.mark.parametrize("names", _parts(OPENING, 4), ids=range(4))
async def test_while_it_is_opened(open_test_pikerd, names):
    wrong = {}
    async with (
        open_emulator("ib.tws", sim=[SIM], past_s=600, budget=100_000) as venue,
        open_test_pikerd(
            conf=venue.conf + CONF + DATA, policy=LENIENT, deadline_s=300
        ) as tree,
        open_feed([TSLA]) as feed,
        watched(feed) as (watcher,),
    ):
        await watcher.until(Quote)
        service = tree.services.service_tasks["datad.ib"]
        for name in names:
            at, pid = len(watcher.said), service.pid
            await _strike(venue, OPENING[name])
            os.kill(pid, signal.SIGKILL)
            with trio.move_on_after(40) as patience:
                await watcher.until(Disconnected, at)
                await trio.sleep(0.6)
                await watcher.until(Reconnected, at)
            await venue.clear()
            why = await _until_exact(feed, venue)
            if why or patience.cancelled_caught:
                wrong[name] = why or "it didn't come back"
                break  # what is wrong stays so, and each of the others would wait
    assert not wrong
