"""IB's rules for requests for the past are kept, whatever is asked for, and no more."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers.ib import _pacing
from piker.brokers.ib._client import Client
from piker.brokers.ib._conf import IbConf
from piker.brokers.ib._gateway import Gateway
from piker.brokers.ib._kept_asks import KeptAsks
from piker.brokers.ib._pacing import (
    BURST_MAX,
    BURST_S,
    IDENTICAL_S,
    WINDOW_S,
    Ask,
    HistoryPace,
)
from piker.errors import VenueUnreachable

ASKS = st.builds(
    Ask,
    con_id=st.integers(1, 3),
    exchange=st.sampled_from(["SMART", "CME"]),
    what=st.sampled_from(["TRADES", "BID_ASK"]),
    detail=st.tuples(st.sampled_from(["1", "2", "3"])),
    is_small=st.just(True),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(ASKS, st.floats(0, 30)), max_size=150), st.integers(2, 60))
def test_who_waits_as_told_breaks_no_rule(asked, small_max):
    pace, now, sent = HistoryPace(small_max), 0.0, []
    for ask, later_s in asked:
        now += later_s
        waits = 0
        while (wait_s := pace.wait_s(ask, now)) > 0:
            now += wait_s
            waits += 1
            assert waits < 5, "a wait that isn't long enough"
        pace.note(ask, now)
        sent.append((now, ask))
    for at, (when, ask) in enumerate(sent):
        before = sent[:at]
        same = [t for t, other in before if other == ask]
        assert not same or when - same[-1] >= IDENTICAL_S - 1e-6
        place = [t for t, other in before if other.place == ask.place]
        near = [t for t in place if when - t < BURST_S - 1e-6]
        assert len(near) < BURST_MAX + 1 - 1e-9
        assert len(near) <= BURST_MAX - 1 + 1e-9 or when - near[0] >= BURST_S - 1e-6
        used = sum(o.weight for t, o in before if when - t < WINDOW_S - 1e-6)
        assert used + ask.weight <= max(small_max, ask.weight)


def ask(detail: str = "a", **more) -> Ask:
    return Ask(1, "SMART", more.pop("what", "TRADES"), (detail,), **more)


def test_an_identical_request_waits_fifteen_seconds():
    pace = HistoryPace()
    pace.note(ask(), 100.0)
    assert pace.wait_s(ask(), 101.0) == 14.5
    assert pace.wait_s(ask("b"), 101.0) == 0.0


def test_a_sixth_for_one_contract_waits_two_seconds():
    pace = HistoryPace()
    for n in range(5):
        pace.note(ask(str(n)), 100.0)
    assert pace.wait_s(ask("6"), 100.5) == 2.0
    assert pace.wait_s(ask("6", what="BID_ASK"), 100.5) == 0.0


def test_ten_minutes_have_room_for_so_many():
    pace = HistoryPace(3)
    for n in range(3):
        pace.note(Ask(n, "SMART", "TRADES", ("a",)), 100.0 + n)
    assert pace.wait_s(ask("x"), 103.0) == 598.0
    assert pace.wait_s(ask("x", what="BID_ASK"), 103.0) == 599.0, "it counts twice"


def test_bars_of_a_minute_are_not_counted():
    pace = HistoryPace(1)
    large = ask("a", is_small=False)
    pace.note(large, 100.0)
    assert pace.wait_s(large, 100.0) == 0.0
    assert pace.wait_s(ask(), 100.0) == 0.0


def test_a_pause_holds_everything():
    pace = HistoryPace()
    pace.pause(10.0, 100.0)
    assert pace.wait_s(ask(is_small=False), 104.0) == 6.0
    assert pace.wait_s(ask(), 111.0) == 0.0


def test_what_waits_on_its_way_is_sent_by_the_rules(monkeypatch):
    """Slow answers keep all from being sent; once they are there, all could go."""
    monkeypatch.setattr(_pacing, "BURST_S", 0.2)
    sent: list[float] = []

    async def ask_all() -> None:
        conf = IbConf(messages=100_000)
        client = Client(conf, Gateway(conf, "datad"))

        async def request(is_small, _what, _cancel) -> str:
            if is_small:
                sent.append(time.monotonic())
            else:
                await asyncio.sleep(0.5)
            return "bars"

        monkeypatch.setattr(client, "request", request)
        monkeypatch.setattr(client.gateway, "ready", partial(asyncio.sleep, 0))

        async def ask(nth: int, *, is_small: bool) -> str:
            one = Ask(1, "SMART", "TRADES", (str(nth),), is_small)
            return await client._past(one, is_small, "bars")

        async with asyncio.TaskGroup() as tasks:
            for nth in range(20):
                tasks.create_task(ask(nth, is_small=False))
            await asyncio.sleep(0.05)
            for nth in range(20, 32):
                tasks.create_task(ask(nth, is_small=True))

    asyncio.run(ask_all())
    assert len(sent) == 12
    starts = zip(sent, sent[BURST_MAX:], strict=False)
    # one may be held up right before it is noted here
    assert min(after - before for before, after in starts) > 0.1


def test_what_is_not_sent_does_not_count(tmp_path):
    """Without a gateway nothing is asked, however often it is tried."""
    conf, kept = IbConf(small_bars=3), KeptAsks(tmp_path / "ib" / "asked")
    client = Client(conf, Gateway(conf, "datad", state="down", reason="away"), kept)

    async def ask(nth: int) -> None:
        with pytest.raises(VenueUnreachable, match="away"):
            await client._past(Ask(1, "SMART", "TRADES", (str(nth),)), print, "bars")

    async def ask_all() -> None:
        for nth in range(8):
            await ask(nth)

    asyncio.run(ask_all())
    assert client._pace.wait_s(Ask(1, "SMART", "TRADES", ("1",)), time.monotonic()) == 0
    assert not list(kept.recent())


def test_what_is_like_another_is_not_like_itself():
    pace, ask = HistoryPace(1), Ask(1, "SMART", "TRADES", ("1",))
    pace.note(ask, 0.0)
    assert pace.renote(ask, 0.0, 1.0)
    assert pace.wait_s(ask, 1.0) == WINDOW_S
    assert pace.wait_s(ask, WINDOW_S + 0.5) == 0.5
    pace.pause(5, WINDOW_S)
    assert not pace.renote(ask, 1.0, WINDOW_S + 2)
    assert pace.wait_s(ask, WINDOW_S + 5) == 0
