"""Who wants every tick gets each once and in order, however slow it is."""

from __future__ import annotations

import math
import time
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.data import Ended, _line, open_feed
from piker.data._mailbox import EVENTS_KEPT
from piker.data._subs import JOINED_TICKS, QUEUE_MAX, WINDOW, Sub
from piker.data._taps import MSG_TYPES, Tap
from piker.data._tick_box import BATCH_TICKS, TICKS_KEPT, TickBox
from piker.errors import TransportClosed, UsageError, VenueRefused
from piker.msgs import Credit, HistoryProgress, Quote, Tick, Warned
from piker.service import encode
from tests.data.test_bus_subs import BTC, ETH, Pipe, loaded, warned

NS = 10**9


class Source:
    """Makes quotes whose ticks are numbered, by market."""

    def __init__(self):
        self.made = {BTC: [], ETH: []}

    def quote(self, count, fqme=BTC, missed=0):
        made = self.made[fqme]
        kinds = ("trade", "bid", "ask")
        ticks = [
            Tick(kinds[i % 3], float(i), 1.0, i, i)
            for i in range(len(made), len(made) + count)
        ]
        made += ticks
        last = next((t.price for t in reversed(made) if t.type == "trade"), math.nan)
        return Quote(
            fqme=fqme, last=last, ticks=ticks, time_ns=len(made), missed=missed
        )


def drain(box):
    got = []
    while (letter := box.take()) is not None:
        got.append(letter[0])
    return got


def of_market(messages, fqme):
    """Return ticks of a market and events, in order, and what was missed."""
    flat, missed = [], 0
    for one in messages:
        if isinstance(one, Warned):
            flat.append(one.time_ns)
        elif isinstance(one, Quote) and one.fqme == fqme:
            flat += one.ticks
            missed += one.missed
    return flat, missed


def is_within(part, whole):
    """Tell whether *part* is left of *whole* if some are taken out."""
    rest = iter(whole)
    return all(any(one == other for other in rest) for one in part)


operations = st.lists(
    st.tuples(st.just("put"), st.sampled_from([BTC, ETH]), st.integers(1, 12))
    | st.tuples(st.just("event"))
    | st.tuples(st.just("take"), st.integers(1, 6)),
    max_size=80,
)


@settings(max_examples=300)
@given(
    operations,
    st.integers(0, 4),
    st.integers(1, 8),
    st.integers(0, 6),
    st.sampled_from([1, 5, 30, 10**6]),
)
def test_each_tick_comes_once_in_order_or_is_counted(ops, size, join, more, kept):
    source, box = Source(), TickBox(size, join, join + more, kept)
    put, got = [], []
    for i, (what, *how) in enumerate(ops):
        if what == "put":
            put.append(source.quote(how[1], how[0]))
            box.put(put[-1])
        elif what == "event":
            put.append(warned(i))
            box.put(put[-1])
        else:
            got += [one[0] for _ in range(how[0]) if (one := box.take())]
    got += drain(box)
    assert box.take() is None
    assert len(box) == 0
    for fqme in (BTC, ETH):
        wanted, _ = of_market(put, fqme)
        sent, missed = of_market(got, fqme)
        assert len(wanted) - len(sent) == missed
        assert is_within(sent, wanted)
        if kept == 10**6:
            assert missed == 0
        ticks = [one for one in sent if isinstance(one, Tick)]
        assert ticks[-kept:] == source.made[fqme][-kept:], "the newest are there"
    quotes = [one for one in got if isinstance(one, Quote)]
    assert all(0 < len(one.ticks) <= join + more for one in quotes)
    check_last(quotes)


def check_last(quotes):
    """Each quote's last is its own newest trade's price, if it has one."""
    for one in quotes:
        trades = [tick for tick in one.ticks if tick.type == "trade"]
        if trades:
            assert one.last == trades[-1].price


def test_what_has_room_is_passed_on_as_it_is():
    source, box = Source(), TickBox(4)
    quotes = [source.quote(3) for _ in range(4)]
    for one in quotes:
        box.put(one, encode(one))
    for one in quotes:
        assert box.take() == (one, encode(one))


def test_what_was_joined_or_cut_is_not_as_others_encoded_it():
    source = Source()
    box = TickBox(0, 4, 4)
    box.put(one := source.quote(2), encode(one))
    box.put(other := source.quote(2), encode(other))
    message, raw = box.take()
    assert (len(message.ticks), raw) == (4, None)
    box.put(long := source.quote(9), encode(long))
    assert [(len(q.ticks), raw) for q, raw in iter(box.take, None)] == [
        (4, None), (4, None), (1, None),
    ]  # fmt: skip


def test_a_long_quote_is_cut_and_what_it_missed_is_told_once():
    source = Source()
    box = TickBox(8, 4, 4)
    box.put(source.quote(2))
    box.put(source.quote(10, missed=7))
    got = drain(box)
    assert [len(one.ticks) for one in got] == [2, 4, 4, 2]
    assert [one.missed for one in got] == [0, 7, 0, 0]
    check_last(got)


def test_the_oldest_go_and_are_counted():
    source, box = Source(), TickBox(2, 100, 100, ticks_kept=50)
    for _ in range(100):
        box.put(source.quote(7))
    box.put(source.quote(5, ETH))
    got = drain(box)
    sent, missed = of_market(got, BTC)
    assert sent == source.made[BTC][-50:]
    assert missed == 650
    assert got[0].missed == 650, "told before the ticks that are left"
    assert of_market(got, ETH) == (source.made[ETH], 0), "each market by itself"


def test_one_quote_beyond_the_bound_keeps_its_newest():
    source, box = Source(), TickBox(2, ticks_kept=50)
    box.put(source.quote(80))
    (quote,) = drain(box)
    assert (quote.ticks, quote.missed) == (source.made[BTC][-50:], 30)


def test_progress_goes_first_and_tears_nothing_apart():
    source, box = Source(), TickBox(0)
    for i in range(5):
        box.put(source.quote(1))
        box.put(loaded(i / 10))
    first, joined = drain(box)
    assert isinstance(first, HistoryProgress)
    assert first.done == 0.4
    assert len(joined.ticks) == 5


def test_a_consumer_that_never_looks_costs_a_bounded_amount():
    source, box = Source(), TickBox(64, ticks_kept=10_000)
    for i in range(20_000):
        box.put(source.quote(1))
        box.put(source.quote(1, ETH))
        box.put(warned(i))
    assert len(box) <= 3 * (2 * (64 + EVENTS_KEPT) + EVENTS_KEPT)
    items = drain(box)
    events = [one.time_ns for one in items if isinstance(one, Warned)]
    assert events[-EVENTS_KEPT:] == list(range(20_000 - EVENTS_KEPT, 20_000))
    for fqme in (BTC, ETH):
        sent = [one for one in of_market(items, fqme)[0] if isinstance(one, Tick)]
        assert sent == source.made[fqme][-10_000:]


def test_paused_forgets_quotes_and_keeps_events():
    source, box = Source(), TickBox(1, ticks_kept=5)
    for _ in range(4):
        box.put(source.quote(3))
    box.put(warned(1))
    box.drop_quotes()
    box.put(late := source.quote(3))
    assert drain(box) == [warned(1), late]


# -- a subscriber, a consumer ---------------------------------------------------


async def test_a_stuck_subscriber_gets_all_of_it_later(nursery):
    source, sub, pipe = Source(), Sub((BTC,), every_tick=True), Pipe()
    nursery.start_soon(sub.send_to, pipe)
    nursery.start_soon(sub.obey, pipe)
    for _ in range(WINDOW + QUEUE_MAX):
        sub.push(source.quote(1))
        await trio.testing.wait_all_tasks_blocked()
    for _ in range(2000):
        sub.push(source.quote(3))
    assert len(pipe.sent) == WINDOW
    assert sub.backlog == QUEUE_MAX + 1
    for _ in range(10):
        await pipe.orders.send(Credit(n=WINDOW))
        await trio.testing.wait_all_tasks_blocked()
    assert of_market(pipe.sent, BTC) == (source.made[BTC], 0)
    assert max(len(one.ticks) for one in pipe.sent) <= JOINED_TICKS
    assert len(pipe.sent) < WINDOW + QUEUE_MAX + 30


async def test_a_tap_that_nobody_reads_keeps_every_tick():
    source, tap = Source(), Tap(MSG_TYPES, every_tick=True)
    for _ in range(10_000):
        tap.put("sim", source.quote(5))
    tap.close()
    got = [one async for one in tap]
    assert of_market(got, BTC) == (source.made[BTC], 0)
    assert max(len(one.ticks) for one in got) <= BATCH_TICKS


def test_the_bounds_are_as_documented():
    assert (TICKS_KEPT, BATCH_TICKS) == (250_000, 4096)


async def test_every_tick_and_a_throttle_are_refused():
    with pytest.raises(UsageError, match="every tick or a throttle, got both"):
        async with open_feed(BTC, every_tick=True, tick_throttle=1.0):
            pass


async def test_the_wish_is_told_to_each_datad_that_comes(monkeypatch, autojump_clock):
    """To the next one, and where one of the markets is refused then, for each."""
    asked = []

    @asynccontextmanager
    async def find(broker):
        yield broker

    @asynccontextmanager
    async def ask(portal, endpoint, *, fqmes, every_tick, **more):
        asked.append((*fqmes, every_tick))
        raise TransportClosed("gone") if len(asked) < 3 else VenueRefused("no")
        yield

    monkeypatch.setattr(_line, "maybe_spawn_datad", find)
    monkeypatch.setattr(_line, "open_context", ask)

    def put(*_):
        """Take what is told, and do nothing with it."""

    line = _line.Line("sim", None, put, put, [BTC, ETH], every_tick=True)
    line._names = (BTC, ETH)  # it was up once
    with trio.move_on_after(3):
        await line.run()
    assert asked[:3] == [(BTC, ETH, True)] * 3
    assert set(asked[3:]) == {(BTC, True), (ETH, True)}


# -- a tree ---------------------------------------------------------------------

ORIGIN = 1_772_409_600  # 2026-03-02T00:00:00Z
LENGTH_S = 3600
CONF = f"""[sim]
start = "2026-03-02T00:00:00Z"
speed = 0
length_s = {LENGTH_S}
"""


@pytest.mark.tree
async def test_a_slow_consumer_gets_every_tick_of_a_replay_once(open_test_pikerd):
    """At full speed, while its process is stuck at first, and it is slow then."""
    async with open_test_pikerd(conf=CONF), open_feed(BTC, every_tick=True) as feed:
        messages, got = feed.messages, []
        time.sleep(0.7)  # datad plays on
        async for one in messages:
            if isinstance(one, Quote):
                got.append(one)
                await trio.sleep(0.02)
            elif isinstance(one, Ended):
                break
        mkt = find_market(BTC)
        wanted = Synthetic(mkt, 7).ticks(ORIGIN * NS, (ORIGIN + LENGTH_S) * NS)
        sent, missed = of_market(got, BTC)
        assert missed == 0
        # what was published before this client had joined is in its bars
        assert len(sent) > 0.9 * len(wanted)
        assert sent == wanted[-len(sent) :]
        assert {"trade", "bid", "ask"} <= {tick.type for tick in sent}
        assert len(got) < len(sent) / 20
        assert max(len(one.ticks) for one in got) <= BATCH_TICKS
