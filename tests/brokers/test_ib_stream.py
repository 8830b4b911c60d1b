"""One market's stream of IB, without a gateway."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import trio
from ib_async import HistoricalTickLast, TickAttribLast

from piker.brokers._backend import Lost, ResumePoint
from piker.brokers.ib import _feed
from piker.brokers.ib._conf import IbConf
from piker.brokers.ib._gateway import LineUp
from piker.brokers.ib._line import Begun, FarmNote, Line, RawTick, Subscribed
from piker.brokers.ib._schemas import LAST_TIME, RT_TRADE_VOLUME
from piker.brokers.ib._stream import MarketStream
from piker.errors import NoData, SymbolNotFound, VenueUnreachable
from piker.msgs import Calendar

NS = 10**9
BEGAN_S = 1_000_000


class Proxy:
    """Notes from when on past trades are asked for; lists one in each of *seconds*."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.seconds: list[int] = []

    async def call(self, _method, _contract, begin_s, _most):
        self.asked.append(begin_s)
        if not self.seconds:
            raise NoData("no trades")
        return [
            HistoricalTickLast(
                datetime.fromtimestamp(at, UTC), TickAttribLast(), 10.0, 1.0, "", ""
            )
            for at in self.seconds
            if at >= begin_s
        ]


def _trade(second: int, total: int) -> RawTick:
    text = f"10.0;1;{second * 1000 + 5};{total};10.0;true"
    return RawTick(RT_TRADE_VOLUME, float("nan"), float("nan"), text, total)


@asynccontextmanager
async def opened():
    """Yield a stream that has begun, what it asks, and what it tells."""
    proxy, began = Proxy(), trio.current_time()
    send, receive = trio.open_memory_channel(1000)
    known = SimpleNamespace(
        is_by_middle=False,
        is_index=False,
        calendar=Calendar(),
        contract=SimpleNamespace(conId=1),
        mkt=SimpleNamespace(fqme="tsla.nasdaq.ib"),
    )
    stream = MarketStream(
        known, proxy, send, lambda: None, BEGAN_S * NS,
        now_ns=lambda: int((BEGAN_S + trio.current_time() - began) * NS),
    )  # fmt: skip
    stream.begin()
    async with trio.open_nursery() as stream._tasks:
        stream._tasks.start_soon(stream._watch)
        yield stream, proxy, receive
        stream._tasks.cancel_scope.cancel()


def _told(receive) -> list:
    told = []
    while receive.statistics().current_buffer_used:
        told.append(receive.receive_nowait())
    return told


def _stamp(second: int) -> RawTick:
    return RawTick(LAST_TIME, float("nan"), float("nan"), str(second), -1)


async def test_what_servers_missed_is_asked_for_whatever_the_last_trade_was(
    autojump_clock,
):
    """When it was, IB says as a line begins, and may not say again."""
    async with opened() as (stream, proxy, receive):
        await stream._on_batch([Subscribed(), _stamp(BEGAN_S), _trade(BEGAN_S, 0)])
        await trio.sleep(10)
        await stream._on_batch([_trade(BEGAN_S + 9, 1)])
        await stream._on_batch([FarmNote("usfarm", is_up=False)])
        await trio.sleep(10)
        asked = len(proxy.asked)
        await stream._on_batch([FarmNote("usfarm", is_up=True)])
        await trio.sleep(10)
    told = [type(one).__name__ for one in _told(receive)]
    assert told.count("Disconnected") == told.count("Reconnected") == 1
    assert proxy.asked[asked:] == [BEGAN_S + 9]


async def test_a_last_trade_that_is_told_late_hides_none_before_it(autojump_clock):
    """A busy moment parts what a line begins with; trades go on meanwhile."""
    async with opened() as (stream, proxy, receive):
        await stream._on_batch([Subscribed(), Begun()])
        await trio.sleep(2)  # nobody said when the last one was
        await stream._on_batch([_trade(BEGAN_S + 2, 0), _stamp(BEGAN_S + 2)])
        await trio.sleep(1)
        lost = [one for one in _told(receive) if isinstance(one, Lost)]
        assert [(o.start_ns // NS, o.end_ns // NS) for o in lost] == [
            (BEGAN_S, BEGAN_S + 2)
        ]
        assert proxy.asked == []
        # the next line begins as late: that it trades is known by now
        await stream._on_batch([Subscribed(), Begun()])
        await trio.sleep(5)
        assert proxy.asked == [BEGAN_S + 2]


def _rows(told: list) -> list[tuple[str, int, int]]:
    """Return the trades and losses that were told, in their order."""
    rows = []
    for one in told:
        if isinstance(one, Lost):
            rows.append(
                ("lost", one.start_ns // NS - BEGAN_S, one.end_ns // NS - BEGAN_S)
            )
        elif isinstance(one, tuple):
            seconds = [t.time_ns // NS - BEGAN_S for t in one[1] if t.type == "trade"]
            rows += [("trade", at, at) for at in seconds]
    return rows


async def test_what_lacks_is_told_before_the_trades_after_it(autojump_clock):
    """A datad that is killed in between goes on after the newest of them."""
    async with opened() as (stream, _, receive):
        await stream._on_batch([Subscribed(), Begun()])
        await trio.sleep(2)
        await stream._on_batch([_trade(BEGAN_S + 2, 0), _stamp(BEGAN_S + 2)])
        await stream._on_batch([_trade(BEGAN_S + 3, 7)])  # 1 to 6 were dropped
    assert _rows(_told(receive)) == [
        ("lost", 0, 2), ("trade", 2, 2), ("lost", 2, 3), ("trade", 3, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["before the list", "after it", "once it is live"])
async def test_what_is_heard_and_not_listed_lacks(autojump_clock, when):
    """A list may be a while behind what is told live."""
    async with opened() as (stream, proxy, receive):
        proxy.seconds = [BEGAN_S]
        heard = [_trade(BEGAN_S, 0), _stamp(BEGAN_S)]
        unlisted = _trade(BEGAN_S, 1)
        first = [unlisted] if when == "before the list" else []
        await stream._on_batch([Subscribed(), *heard, *first])
        if when == "after it":
            while not proxy.asked:
                await trio.sleep(0.01)
            while stream._fetched_s != BEGAN_S:
                await trio.lowlevel.checkpoint()
            await stream._on_batch([unlisted])
        await trio.sleep(5)
        assert stream._live
        if when == "once it is live":
            await stream._on_batch([unlisted])
        await stream._on_batch([_trade(BEGAN_S + 5, 2)])
    assert _rows(_told(receive)) == [("trade", 0, 0), ("lost", 0, 0), ("trade", 5, 5)]


async def test_a_loss_is_told_by_the_next_if_who_tells_it_is_cancelled(autojump_clock):
    async with opened() as (stream, _, _):
        await stream._on_batch([Subscribed(), Begun()])
        await trio.sleep(2)
        stream.send, into = trio.open_memory_channel(0)
        with trio.move_on_after(1):
            await stream._lose(BEGAN_S * NS, BEGAN_S * NS)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(stream._on_batch, [_trade(BEGAN_S + 2, 0)])
            told = [await into.receive() for _ in range(2)]
    assert _rows(told) == [("lost", 0, 0), ("trade", 2, 2)]


class _Lib:
    """The library's client: counts ids anew on each connection."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.ended: list[int] = []
        self.next_id = 7

    def isReady(self) -> bool:  # noqa: N802
        return True

    def getReqId(self) -> int:  # noqa: N802
        self.next_id += 1
        return self.next_id - 1

    def reqMktData(self, req_id, *_) -> None:  # noqa: N802
        self.asked.append(req_id)

    def cancelMktData(self, req_id) -> None:  # noqa: N802
        self.ended.append(req_id)


def test_who_leaves_after_a_reconnect_takes_no_others_line():
    lib, wrapper = _Lib(), SimpleNamespace(sinks={})
    gateway = SimpleNamespace(
        ib=SimpleNamespace(client=lib, wrapper=wrapper),
        farms={},
        state="up",
        conf=IbConf(),
    )
    one, other = (
        Line(gateway, SimpleNamespace(symbol=name), "", lambda _item: None)
        for name in ("ONE", "OTHER")
    )
    one._subscribe()
    other._subscribe()
    lib.next_id, wrapper.sinks = 7, {}  # another connection
    other._hear(LineUp(is_new=True))
    other._renew()
    one._leave()
    assert lib.asked == [7, 8, 7]
    assert lib.ended == []
    assert wrapper.sinks == {7: other}
    other._leave()
    assert lib.ended == [7]
    assert wrapper.sinks == {}


@pytest.mark.parametrize(
    ("name", "is_known", "fault"),
    [
        ("tsla.nasdaq.ib", True, VenueUnreachable),
        ("tsla.nasdaq.ib", False, SymbolNotFound),
        ("mnq.cme.20991218.ib", True, VenueUnreachable),
        ("mnq.cme.20231215.ib", True, SymbolNotFound),
    ],
)
async def test_a_market_that_was_there_is_looked_for_again(
    monkeypatch, name, is_known, fault
):
    """In the night IB knows no contract; one that has expired is gone, though."""

    @asynccontextmanager
    async def open_link(_role):
        yield None

    async def cache_contract(_proxy, asked):
        raise SymbolNotFound(f"no market {asked!r} at ib")

    monkeypatch.setattr(_feed, "open_link", open_link)
    monkeypatch.setattr(_feed, "cache_contract", cache_contract)
    send, _receive = trio.open_memory_channel(1)
    resume = {name: ResumePoint(BEGAN_S * NS, -1)} if is_known else {}
    with pytest.raises(fault, match=name):
        await _feed.stream_quotes(send, [name], trio.Event(), resume=resume)
