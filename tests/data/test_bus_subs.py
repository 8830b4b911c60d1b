"""What waits for a slow consumer is bounded, in order, and nobody waits for it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import trio
import trio.testing

from piker.data._mailbox import EVENTS_KEPT, TRADES_KEPT, Mailbox
from piker.data._subs import ACK_EVERY, QUEUE_MAX, WINDOW, Sub
from piker.data._taps import BACKLOG_MAX, EVENT_TYPES, MSG_TYPES, Tap
from piker.msgs import (
    Credit,
    Disconnected,
    FeedMsg,
    HistoryProgress,
    Pause,
    Quote,
    Reconnected,
    Resume,
    Tick,
    Warned,
)
from piker.service import encode
from piker.service._tractor._payload import decode

BTC, ETH = "btcusdt.spot.sim", "ethusdt.spot.sim"


def quote(i, fqme=BTC, kind="trade", trades=1, missed=0):
    ticks = [Tick(kind, float(i), 1.0, i, i * 1000 + k) for k in range(trades)]
    return Quote(fqme=fqme, last=float(i), ticks=ticks, time_ns=i, missed=missed)


def warned(i):
    return Warned(fqmes=(BTC,), reason=str(i), time_ns=i)


def loaded(done, period_s=60):
    return HistoryProgress(
        fqmes=(BTC,), period_s=period_s, done=done, oldest_s=0, bars=0, reason="",
        time_ns=0,
    )  # fmt: skip


def drain(box):
    items = []
    while (letter := box.take()) is not None:
        items.append(letter[0])
    return items


# -- merging --------------------------------------------------------------------


def test_nothing_is_merged_that_has_room():
    box = Mailbox(10)
    quotes = [quote(i) for i in range(10)]
    for one in quotes:
        box.put(one)
    assert drain(box) == quotes


def test_trades_are_kept_of_bids_and_asks_the_newest():
    box = Mailbox(0)
    for i in range(5):
        box.put(quote(i))
        box.put(quote(i, kind="bid"))
        box.put(quote(i, kind="ask"))
        box.put(quote(i, ETH, missed=2))
    btc, eth = drain(box)
    assert [(t.type, t.price) for t in btc.ticks] == [
        *[("trade", float(i)) for i in range(5)],
        ("bid", 4.0),
        ("ask", 4.0),
    ]
    assert (btc.last, btc.time_ns, btc.missed) == (4.0, 4, 0)
    assert eth.missed == 10


def test_trades_beyond_the_bound_are_counted():
    box = Mailbox(0)
    sent = 3 * TRADES_KEPT
    for i in range(sent // 100):
        box.put(quote(i, trades=100))
    (merged,) = drain(box)
    assert len(merged.ticks) == TRADES_KEPT
    assert merged.missed == sent - TRADES_KEPT
    assert merged.ticks[-1].price == sent // 100 - 1


def test_events_keep_their_place():
    box = Mailbox(2)
    for i in range(6):
        box.put(quote(i))
    box.put(warned(6))
    box.put(quote(7))
    kinds = [type(one).__name__ for one in drain(box)]
    assert kinds == ["Quote", "Quote", "Quote", "Warned", "Quote"]


def test_of_how_far_the_past_is_loaded_only_the_newest_waits():
    """It tears no quotes apart that are to be merged, and waits for none."""
    box = Mailbox(0)
    for at in range(3):
        box.put(quote(at))
        box.put(loaded(at / 10))
        box.put(loaded(at / 10, 1))
    assert box.has_letters
    assert len(box) == 3
    first, second, merged = drain(box)
    assert (first, second) == (loaded(0.2), loaded(0.2, 1))
    assert [tick.tid for tick in merged.ticks] == [0, 1000, 2000]


def test_a_consumer_that_never_looks_costs_a_bounded_amount():
    """Its source comes and goes all the time, and quotes flow in between."""
    box = Mailbox(64)
    for i in range(20_000):
        for k in range(3):
            box.put(quote(3 * i + k))
        box.put(warned(i))
    assert len(box) <= EVENTS_KEPT + 2 * 64 + 2
    items = drain(box)
    assert [one.time_ns for one in items if isinstance(one, Warned)][-1] == 19_999
    quotes = [one for one in items if isinstance(one, Quote)]
    assert sum(len(one.ticks) for one in quotes) <= TRADES_KEPT + 3 * 64
    assert sum(len(one.ticks) + one.missed for one in quotes) == 60_000
    assert quotes[-1].last == 59_999


# -- a subscriber ---------------------------------------------------------------


class Pipe:
    """A stream to a client that takes what it likes."""

    def __init__(self):
        self.sent: list[FeedMsg] = []
        self.times: list[float] = []
        self.orders, self._orders = trio.open_memory_channel(100)

    async def send_encoded(self, raw):
        await trio.lowlevel.checkpoint()
        self.sent.append(decode(raw, FeedMsg))
        self.times.append(trio.current_time())

    def __aiter__(self):
        return self._orders.__aiter__()


@pytest.fixture
async def wire(nursery):
    def connect(hz=None):
        sub, pipe = Sub((BTC,), hz), Pipe()
        nursery.start_soon(sub.send_to, pipe)
        nursery.start_soon(sub.obey, pipe)
        return sub, pipe

    return connect


settle = trio.testing.wait_all_tasks_blocked


async def test_no_more_than_a_window_is_under_way(wire):
    sub, pipe = wire()
    for i in range(WINDOW + 10):
        sub.push(quote(i))
        await settle()
    assert len(pipe.sent) == WINDOW
    for i in range(500):
        sub.push(quote(1000 + i))
    assert sub.backlog == QUEUE_MAX + 1
    await pipe.orders.send(Credit(n=ACK_EVERY))
    await settle()
    assert len(pipe.sent) == WINDOW + ACK_EVERY
    for _ in range(10):
        await pipe.orders.send(Credit(n=ACK_EVERY))
        await settle()
    ticks = [tick.tid for one in pipe.sent for tick in one.ticks]
    assert ticks == sorted(ticks)
    assert len(ticks) == WINDOW + 10 + 500, "merged, none lost"


async def test_credit_that_was_never_owed_opens_no_larger_window(wire):
    sub, pipe = wire()
    await pipe.orders.send(Credit(n=10**9))
    await settle()
    for i in range(2 * WINDOW):
        sub.push(quote(i))
        await settle()
    assert len(pipe.sent) == WINDOW


async def test_a_throttle_is_kept_and_loses_no_trade(wire, autojump_clock):
    sub, pipe = wire(hz=4.0)
    for i in range(100):
        sub.push(quote(i))
        sub.push(quote(i, ETH))
        await trio.sleep(0.03)
    await trio.sleep(1)
    of_btc = [
        at for at, one in zip(pipe.times, pipe.sent, strict=True) if one.fqme == BTC
    ]
    assert min(b - a for a, b in pairwise(of_btc)) >= 0.249
    assert 12 <= len(of_btc) <= 14
    assert sum(len(one.ticks) for one in pipe.sent) == 200
    assert all(one.missed == 0 for one in pipe.sent)


async def test_an_event_waits_for_no_throttle(wire, autojump_clock):
    sub, pipe = wire(hz=0.1)
    sub.push(quote(1))
    await settle()
    sub.push(quote(2))
    sub.push_event(warned(3))
    await settle()
    assert [type(one).__name__ for one in pipe.sent] == ["Quote", "Quote", "Warned"]
    assert trio.current_time() < 1


async def test_paused_gets_events_only(wire):
    sub, pipe = wire()
    await pipe.orders.send(Pause())
    await settle()
    sub.push(quote(1))
    sub.push_event(warned(2))
    await settle()
    await pipe.orders.send(Resume())
    await settle()
    sub.push(quote(3))
    await settle()
    assert pipe.sent == [warned(2), quote(3)]


async def test_what_others_encoded_is_sent_as_it_is(wire):
    sub, pipe = wire()
    sub.push(quote(1), encode(quote(2)))
    await settle()
    assert pipe.sent == [quote(2)]


# -- a consumer in the client ---------------------------------------------------


async def test_a_tap_that_nobody_reads_is_bounded():
    tap = Tap(MSG_TYPES)
    for i in range(10 * BACKLOG_MAX):
        tap.put("sim", quote(i))
    assert len(tap) == BACKLOG_MAX + 1
    tap.close()
    got = [one async for one in tap]
    assert sum(len(one.ticks) + one.missed for one in got) == 10 * BACKLOG_MAX
    assert len(got[-1].ticks) == TRADES_KEPT
    assert math.isclose(got[-1].last, 10 * BACKLOG_MAX - 1)


async def test_a_tap_shows_its_kinds_of_its_broker():
    past = [Disconnected(fqmes=(BTC,), reason="x", time_ns=1)]
    events, quotes = Tap(EVENT_TYPES, past=past), Tap((Quote,), "sim")
    back = Reconnected(fqmes=(BTC,), missed=0, time_ns=2)
    for tap in (events, quotes):
        tap.put("sim", quote(1))
        tap.put("kraken", quote(2))
        tap.put("sim", back)
        tap.close()
        tap.put("sim", quote(3))
    assert [one async for one in events] == [*past, back]
    assert [one async for one in quotes] == [quote(1)]


async def test_a_tap_wakes_its_reader(nursery):
    tap = Tap(MSG_TYPES)
    got = []

    async def read():
        got.extend([one async for one in tap])

    nursery.start_soon(read)
    await settle()
    tap.put("sim", quote(1))
    await settle()
    assert got == []
    with pytest.raises(trio.WouldBlock):
        tap.receive_nowait()
    tap.close()
    await settle()
    assert got == [quote(1)]


async def test_two_readers_of_one_tap_share_it_and_both_end():
    """The one that got nothing waits on, and is not forgotten."""
    tap = Tap(MSG_TYPES)
    got = []

    async def read():
        got.extend([one async for one in tap])

    with trio.fail_after(30):
        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            readers.start_soon(read)
            for i in range(10):
                await settle()
                tap.put("sim", quote(i))
            await settle()
            tap.close()
    assert sorted(one.time_ns for one in got) == list(range(10))
