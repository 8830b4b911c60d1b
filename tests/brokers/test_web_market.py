"""One market's stream while its venue's REST service fails, lies or lags."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from piker.brokers._backend import Lost, ResumePoint
from piker.brokers._parts import Part
from piker.brokers._sequence import Sequence
from piker.brokers._web import RateBudget, _market
from piker.brokers._web._dialect import Doubt, Down, Failed, Member, Up
from piker.brokers._web._market import MarketStream
from piker.brokers._web._pages import Page
from piker.errors import (
    BadPayload,
    MarketGone,
    RateLimited,
    VenueRefused,
    VenueUnreachable,
)
from piker.msgs import Disconnected, Reconnected, Tick, Warned
from piker.service import leaves

NS = 1_000_000_000
START_S = 1_700_000_000
FQME = "btcusdt.spot.binance"
LAGS = [("BTCUSDT", f"the stream of {FQME} lags behind its venue")]


def part(first: int, last: int | None = None, at_s: float | None = None) -> Part:
    last = first if last is None else last
    ticks = [
        Tick(
            "trade", 100.0, 1.0, int((START_S + (i if at_s is None else at_s)) * NS), i
        )
        for i in range(first, last + 1)
    ]
    return Part("BTCUSDT", ticks, first, last)


def quote() -> Part:
    return Part("BTCUSDT", [Tick("bid", 100.0, 1.0, START_S * NS)])


class Bench:
    """A stream, its venue's REST service, and what datad is sent."""

    def __init__(self, stream, items, sent) -> None:
        self.stream, self.items, self._sent = stream, items, sent
        self.newest = 0
        self.takes_s = 0.01
        self.fault: Exception | None = None
        self.unlisted: set[int] = set()
        self.asked: list = []
        self.live = 0
        self.distrusted: list[str] = []

    async def fetch(self, since) -> Page:
        self.asked.append(since)
        newest = self.newest
        await trio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        first = since.serial
        if first < 0:
            first = max(1, -(-since.time_ns // NS) - START_S)
        tids = [i for i in range(first, newest + 1) if i not in self.unlisted]
        return Page([part(i) for i in tids], is_last=True)

    async def say(self, *items) -> None:
        for item in items:
            await self.items.send(item)
        await trio.testing.wait_all_tasks_blocked()

    def taken(self) -> tuple[list[int], list]:
        """Return the trades sent since, by id, and the events."""
        tids, events = [], []
        while True:
            try:
                item = self._sent.receive_nowait()
            except trio.WouldBlock:
                return tids, events
            if isinstance(item, tuple):
                tids += [tick.tid for tick in item[1] if tick.type == "trade"]
            else:
                events.append(item)


@asynccontextmanager
async def open_bench(checks=None, urgent=None, **options):
    items, receive = trio.open_memory_channel(100)
    send, sent = trio.open_memory_channel(1000)
    bench = Bench(None, items, sent)
    checks = RateBudget(1, 3.0) if checks is None else checks
    bench.stream = MarketStream(
        fqme=FQME,
        hub=SimpleNamespace(
            distrust=lambda symbol, reason: bench.distrusted.append((symbol, reason)),
            dialect=SimpleNamespace(checks=checks, urgent_checks=urgent or checks),
        ),
        member=Member("BTCUSDT", receive, items),
        fetch=bench.fetch,
        send=send,
        note_live=lambda: setattr(bench, "live", bench.live + 1),
        start_ns=START_S * NS,
        **options,
    )
    async with trio.open_nursery() as tasks:
        tasks.start_soon(bench.stream.run)
        yield bench
        tasks.cancel_scope.cancel()


FAULTS = [
    BadPayload("not what x documents: b'<html>'"),
    VenueUnreachable("x is out of order"),
    RateLimited("x asks for a pause of 5 s"),
]
by_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda e: type(e).__name__)


@by_fault
async def test_what_can_not_be_fetched_at_opening_is_said_once(
    autojump_clock, caplog, fault
):
    async with open_bench() as b:
        b.fault, b.newest = fault, 5
        await b.say(Up())
        await trio.sleep(50)
        assert b.live == 0
        tids, events = b.taken()
        assert tids == []
        assert [type(event) for event in events] == [Disconnected]
        assert str(fault) in events[0].reason
        assert len(caplog.records) == 1
        assert 5 < len(b.asked) < 15, "with back-off"
        b.fault = None
        await trio.sleep(15)
        assert b.live == 1
        assert b.taken() == ([1, 2, 3, 4, 5], [])


@by_fault
async def test_a_hole_that_can_not_be_filled_is_said_and_then_filled(
    autojump_clock, caplog, fault
):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        assert b.taken() == ([1, 2], [])
        b.fault = fault
        await b.say([part(3)], [part(6)])
        await trio.sleep(1.5)
        assert b.taken() == ([3], []), "mended within two seconds goes unsaid"
        await trio.sleep(60)
        b.newest, b.fault = 6, None
        await b.say([part(7)])
        await trio.sleep(15)
        tids, events = b.taken()
        assert tids == [4, 5, 6, 7]
        assert [type(e) for e in events] == [Disconnected, Disconnected, Reconnected]
        assert "trades 4 to 5 are missing" in events[0].reason
        assert str(fault) in events[1].reason
        assert len(caplog.records) <= 2, "one, and a sum after a minute"


async def test_a_doubt_that_can_not_be_dispelled_is_a_warning(autojump_clock, caplog):
    """The stream itself goes on: it is not lost."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.taken()
        b.fault = FAULTS[0]
        await b.say(Doubt())
        await trio.sleep(20)
        await b.say([part(3)])
        tids, events = b.taken()
        assert tids == [3]
        assert [type(event) for event in events] == [Warned]
        assert len(caplog.records) == 1


async def test_a_lost_line_says_its_reason_then_why_it_stays_lost(autojump_clock):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.taken()
        await b.say(Down("it closed the connection"))
        b.fault = FAULTS[0]
        await b.say(Up())
        await trio.sleep(10)
        b.newest, b.fault = 4, None
        await trio.sleep(20)
        tids, events = b.taken()
        assert tids == [3, 4]
        assert [type(e) for e in events] == [Disconnected, Disconnected, Reconnected]
        assert events[0].reason == "it closed the connection"


@pytest.mark.parametrize("how", ["by stream", "by REST"])
async def test_a_refusal_ends_the_market(autojump_clock, how):
    with pytest.raises((VenueRefused, BaseExceptionGroup)) as caught:
        async with open_bench() as b:
            error = VenueRefused("no such market")
            if how == "by REST":
                b.fault = error
                await b.say(Up())
            else:
                await b.say(Failed(error))
            await trio.sleep(5)
    assert [type(leaf) for leaf in leaves(caught.value)] == [VenueRefused]


@pytest.mark.parametrize("how", ["live", "resumed", "a recorder's"])
async def test_a_refusal_of_what_was_given_before_passes(autojump_clock, how):
    """Kraken words an inner fault of its own as a refusal now and then."""
    point = ResumePoint(time_ns=START_S * NS, tid=1) if how == "resumed" else None
    seq = Sequence(1) if how == "a recorder's" else Sequence()
    async with open_bench(point=point, seq=seq) as b:
        b.newest = 2
        if how == "live":
            await b.say(Up())
            await trio.sleep(1)
        b.fault = VenueRefused("x refused a request: EDatabase:Internal error")
        await b.say(Doubt() if how == "live" else Up())
        await trio.sleep(20)
        _, (event,) = b.taken()
        assert type(event) is (Warned if how == "live" else Disconnected)
        assert event.reason.endswith("EDatabase:Internal error")
        b.newest, b.fault = 3, None
        await trio.sleep(15)
        assert b.live == 1
        tids, _ = b.taken()
        assert tids[-1] == 3


async def test_a_market_that_its_venue_has_no_more_ends(autojump_clock):
    with pytest.raises((MarketGone, BaseExceptionGroup)) as caught:
        async with open_bench() as b:
            b.newest = 2
            await b.say(Up())
            await trio.sleep(1)
            b.fault = MarketGone("x has no such market")
            await b.say(Doubt())
            await trio.sleep(5)
    assert [type(leaf) for leaf in leaves(caught.value)] == [MarketGone]


async def test_what_the_venue_never_gives_is_given_up_and_told(autojump_clock):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        await b.say([part(5)])
        await trio.sleep(30)
        await b.say([part(6)])
        tids, events = b.taken()
        assert tids == [1, 2, 5, 6]
        assert [type(e) for e in events] == [Disconnected, Warned, Lost, Reconnected]
        assert "trades 3 to 4 are lost" in events[1].reason
        span = (START_S + 2) * NS, (START_S + 5) * NS
        assert events[2] == Lost(b.stream.fqme, *span)
        assert b.stream.lost == 2


async def test_trades_that_the_venues_list_leaves_out_are_lost_and_told(
    autojump_clock,
):
    """Kraken's had trades with 0 for their ids, until 2024."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.newest, b.unlisted = 9, {3, 4, 7}
        await b.say([part(9)])
        await trio.sleep(1)
        tids, events = b.taken()
        assert tids == [1, 2, 5, 6, 8, 9]
        assert [e.reason for e in events if isinstance(e, Warned)] == [
            "trades 3 to 4 are lost: the venue doesn't give them",
            "trades 7 to 7 are lost: the venue doesn't give them",
        ]
        spans = [(e.start_ns, e.end_ns) for e in events if isinstance(e, Lost)]
        at = [(START_S + tid) * NS for tid in (2, 5, 6, 8)]
        assert spans == [(at[0], at[1]), (at[2], at[3])]
        assert b.stream.lost == 3


@pytest.mark.parametrize("ahead_s", [3600, 10**6])
async def test_a_stamp_far_ahead_hides_no_later_trade(autojump_clock, ahead_s):
    """What is missing is asked for by time at some venues."""
    now_s = [2.0]
    async with open_bench(now_ns=lambda: int((START_S + now_s[0]) * NS)) as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        now_s[0] = 20.0
        await b.say([part(3, at_s=20.0 + ahead_s)])
        b.newest = 6
        await b.say([part(6, at_s=20.0)])
        await trio.sleep(1)
        assert b.asked[-1].serial == 4
        assert START_S + 2 <= b.asked[-1].time_ns / NS <= START_S + 15
        assert b.taken()[0] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("far", [50, 1000])
async def test_a_damaged_id_of_a_market_that_trades_on_is_left_out(autojump_clock, far):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        await b.say([part(3 + far)])
        for tid in range(3, 30):
            b.newest = tid
            await b.say([part(tid)])
            await trio.sleep(1)
        tids, events = b.taken()
        assert tids == list(range(1, 30))
        warned = [event.reason for event in events if isinstance(event, Warned)]
        assert warned == [f"trade {3 + far} is left out: its id is damaged"]
        assert b.stream.lost == 0


async def test_a_damaged_id_of_a_quiet_market_hides_no_later_trade(autojump_clock):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        await b.say([part(1_000_000)])
        await trio.sleep(30)
        b.newest = 3
        await b.say([part(3)])
        assert b.taken()[0] == [1, 2, 3]
        assert b.stream.lost == 0


# -- a market that hasn't traded yet -------------------------------------------------


@pytest.mark.parametrize("behind_s", [0, 1, 4])
async def test_a_trade_lost_before_the_first_one_heard_is_fetched(
    autojump_clock, behind_s
):
    """The venue listed none when the market was opened."""
    async with open_bench() as b:
        await b.say(Up())
        await trio.sleep(1)
        assert b.live == 1
        await b.say([part(2)])
        await trio.sleep(behind_s)
        assert b.taken()[0] == []
        b.newest = 2
        await trio.sleep(3)
        assert b.taken()[0] == [1, 2]
        await b.say([part(3)])
        assert b.taken() == ([3], [])


@pytest.mark.parametrize("damaged", [10**9, 50])
@pytest.mark.parametrize("behind_s", [0, 4, 13])
async def test_a_first_trade_with_a_damaged_id_hides_none(
    autojump_clock, behind_s, damaged
):
    """All that came after it were known, for ever."""
    async with open_bench() as b:
        await b.say(Up())
        await trio.sleep(1)
        await b.say([part(damaged, at_s=1)])
        await trio.sleep(behind_s)
        for tid in range(1, 30):
            b.newest = tid
            await b.say([part(tid)])
            await trio.sleep(1)
        tids, events = b.taken()
        assert tids == list(range(1, 30))
        assert b.stream.lost == 0
        warned = [event.reason for event in events if isinstance(event, Warned)]
        assert all(f"trade {damaged} is left out" in reason for reason in warned)
        assert len(warned) <= 1


async def test_a_trade_told_during_the_last_look_is_not_the_one_given_up(
    autojump_clock,
):
    """The look was begun before that trade was, so it says nothing of it."""
    for _ in range(20):
        async with open_bench() as b:
            began, looks = trio.current_time(), 0
            await b.say(Up())
            await trio.sleep(1)
            await b.say([part(10**9, at_s=1)])
            # looked at again and again, and given up by the first look after 13.07 s
            with trio.fail_after(20):
                while len(b.asked) == looks or trio.current_time() - began < 13.07:
                    looks = len(b.asked)
                    await trio.sleep(b.takes_s / 2)
            if warnings_of(b):
                continue  # by one that ended after them: it was begun before
            b.newest = 1
            await b.say([part(1)])
            await trio.sleep(20)
            tids, events = b.taken()
            assert tids == [1]
            assert not [event for event in events if isinstance(event, Warned)]
            return
    raise AssertionError("no look was the last one")


def warnings_of(bench) -> list:
    """Return the warnings that were sent since."""
    _, events = bench.taken()
    return [event for event in events if isinstance(event, Warned)]


async def test_a_first_trade_that_the_venue_lists_late_is_found_all_the_same(
    autojump_clock,
):
    async with open_bench() as b:
        await b.say(Up())
        await trio.sleep(1)
        await b.say([part(1)])
        # looks come when chance has them: it is given up by the first after 13.07 s
        await trio.sleep(20)
        tids, events = b.taken()
        assert tids == []
        assert [type(e) for e in events] == [Disconnected, Warned, Reconnected]
        assert events[1].reason == "trade 1 is left out: the venue doesn't list it"
        b.newest = 1
        await trio.sleep(15)
        assert b.taken() == ([1], [])
        assert b.distrusted == [], "the stream had told it"


@pytest.mark.parametrize("comes", ["before the answer", "after it"])
async def test_trades_from_before_the_opening_say_where_to_begin(autojump_clock, comes):
    """Kraken's newest 50, of a market that sleeps: nothing lists them again."""
    async with open_bench(has_snapshot=True) as b:
        newest = [part(41, 45, at_s=-100)]
        await b.say(*([newest, Up()] if comes == "before the answer" else [Up()]))
        await trio.sleep(1)
        await b.say(newest)
        await trio.sleep(0.1)
        assert b.live == 1
        b.taken()
        await b.say([part(46, at_s=2)])
        assert b.taken() == ([46], [])
        assert len(b.asked) == 1


# -- a quiet stream --------------------------------------------------------------------


async def test_a_line_lost_while_a_quiet_market_is_checked_ends_no_later_check(
    autojump_clock,
):
    """That check's end was waited for, for good; its task had been cancelled."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.fault = FAULTS[1]
        await trio.sleep(8)
        assert b.stream._mends.current is not None, "a check that can't be made"
        await b.say(Down("it closed the connection"))
        b.fault = None
        await b.say(Up())
        await trio.sleep(3)
        assert b.distrusted == []
        b.newest = 3  # the stream doesn't tell
        await trio.sleep(70)
        assert b.taken()[0] == [1, 2, 3]
        assert b.distrusted == LAGS


async def test_a_stream_that_we_were_too_slow_for_is_not_blamed(autojump_clock):
    """What there was no room for is found as if the stream hadn't told it."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.newest, b.stream.member.was_full = 3, True
        await trio.sleep(8)
        assert b.taken()[0] == [1, 2, 3]
        assert b.distrusted == []
        b.newest = 4
        await trio.sleep(10)
        assert b.distrusted == LAGS, "the next time it is"


async def test_a_quiet_market_is_checked_ever_more_seldom(autojump_clock):
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(0.5)
        b.asked.clear()
        await trio.sleep(3600)
        assert 55 < len(b.asked) < 65, "one a minute"
        await b.say([part(3)])
        b.newest = 3
        b.asked.clear()
        await trio.sleep(8)
        assert len(b.asked) == 1, "and soon again once something was heard"
        assert b.distrusted == []


async def test_a_hole_is_told_though_a_check_is_under_way(autojump_clock):
    """While the venue couldn't be asked, the check waited, and nobody was told."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.taken()
        b.fault = FAULTS[0]
        await trio.sleep(12)
        assert [type(event) for event in b.taken()[1]] == [Warned]
        await b.say([part(4)])
        await trio.sleep(5)
        tids, events = b.taken()
        assert tids == []
        assert Disconnected in [type(event) for event in events]
        b.fault, b.newest = None, 4
        await trio.sleep(20)
        tids, events = b.taken()
        assert tids == [3, 4]
        assert [type(event) for event in events] == [Reconnected]


async def test_trades_that_stop_are_missed_though_quotes_go_on(autojump_clock):
    """They come by channels of their own."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.newest = 4
        for _ in range(10):
            await b.say([quote()])
            await trio.sleep(1)
        assert b.taken()[0] == [1, 2, 3, 4]
        assert b.distrusted == LAGS


async def test_fifty_quiet_markets_leave_the_venue_room_for_other_requests(
    autojump_clock,
):
    """Kraken takes ten requests in ten seconds, of all together."""
    checks, asked = RateBudget(1, 3.0), []
    async with AsyncExitStack() as stack:
        benches = [
            await stack.enter_async_context(open_bench(checks)) for _ in "x" * 50
        ]
        for b in benches:
            b.newest, b.asked = 2, asked
            await b.say(Up())
        await trio.sleep(1)
        asked.clear()
        for _ in range(15):
            for b in benches[::5]:  # these trade now and then
                b.newest += 1
                await b.say([part(b.newest)], [quote()])
            await trio.sleep(8)
        assert 35 <= len(asked) <= 41
        assert not any(b.distrusted for b in benches)


async def test_what_waits_for_its_turn_and_trades_meanwhile_is_not_checked(
    autojump_clock,
):
    checks = RateBudget(1, 1000.0)
    async with open_bench(checks) as b:
        await checks.spend()
        b.newest = 2
        await b.say(Up())
        await trio.sleep(998)
        b.newest = 3
        await b.say([part(3)])
        b.asked.clear()
        await trio.sleep(4)
        assert b.asked == []
        await trio.sleep(3)
        assert len(b.asked) == 1, "5 s after it was heard, in its turn"


async def test_a_busy_market_waits_for_no_quiet_one(autojump_clock):
    """Its bars take trades that are eight seconds late, no later ones."""
    checks, urgent = RateBudget(1, 3.0), RateBudget(2, 6.0)
    async with AsyncExitStack() as stack:
        benches = [
            await stack.enter_async_context(open_bench(checks, urgent))
            for _ in "x" * 11
        ]
        for b in benches:
            b.newest = 2
            await b.say(Up())
        await trio.sleep(1)
        busy = benches[0]
        for n in range(3, 103):
            busy.newest = n
            await busy.say([part(n)])
            for b in benches[1:]:
                if n % 10 == 0:
                    b.newest = n // 10 + 2
                    await b.say([part(b.newest)])
            await trio.sleep(0.5)
        busy.newest += 1  # the stream doesn't tell
        busy.taken()
        await trio.sleep(7)
        assert busy.taken()[0] == [103]
        assert busy.distrusted == LAGS


# -- a hole that stays open, and doubts ------------------------------------------------


async def test_a_market_that_waits_for_its_venue_holds_up_no_other(
    autojump_clock, monkeypatch, caplog
):
    """All get their frames from one task: it is never to wait for the REST service."""
    monkeypatch.setattr(_market, "_HELD_MAX", 50)
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.fault = RateLimited("x asks for a pause of 7200 s")
        with trio.fail_after(60):
            for tid in range(4, 400):
                await b.say([part(tid)])
        assert b.stream.seq.held == 50
        b.fault, b.newest = None, 399
        await trio.sleep(15)
        await b.say([part(400)])
        tids, events = b.taken()
        assert tids == list(range(1, 401))
        assert Warned not in [type(event) for event in events], "none is lost"
        assert len(caplog.records) == 1


async def test_what_is_left_out_while_the_rest_is_fetched_is_asked_for_too(
    autojump_clock, monkeypatch
):
    monkeypatch.setattr(_market, "_HELD_MAX", 5)
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.takes_s, b.newest = 1.0, 9
        await b.say(*([part(tid)] for tid in range(4, 10)))
        await trio.sleep(0.5)
        b.newest = 10  # the answer that is under way hasn't got it
        await b.say([part(10)])
        await trio.sleep(3.5)
        assert b.taken()[0] == list(range(1, 11)), "before it counts as quiet"


@pytest.mark.parametrize("work", ["an opening", "another line", "another doubt"])
async def test_a_doubt_while_there_is_other_work_is_looked_into_after_it(
    autojump_clock, work
):
    """What the venue answers was true when it was asked, a second ago."""
    async with open_bench() as b:
        b.newest, b.takes_s = 2, 1.0
        await b.say(Up())
        await trio.sleep(0.5)
        if work != "an opening":
            await trio.sleep(1)
            b.newest = 3
            await b.say([part(3)])
        if work == "another line":
            await b.say(Down("it closed the connection"), Up())
            await trio.sleep(0.1)
        elif work == "another doubt":
            await b.say(Doubt())
            await trio.sleep(1.1)
        b.newest += 1
        await b.say(Doubt())
        await trio.sleep(4.1)  # it doesn't count as quiet by then
        assert b.taken()[0] == list(range(1, b.newest + 1))


async def test_doubts_that_hide_no_trade_are_looked_into_ever_more_seldom(
    autojump_clock,
):
    """A venue with a new kind of message may send one of it each second."""
    async with open_bench() as b:
        b.newest = 2
        await b.say(Up())
        await trio.sleep(1)
        b.asked.clear()
        for _ in range(600):
            await b.say(Doubt())
            await trio.sleep(1)
        assert 15 < len(b.asked) < 40, "quiet checks among them"
        b.newest = 3
        for _ in range(65):
            await b.say(Doubt())
            await trio.sleep(1)
        assert b.taken()[0] == [1, 2, 3]


async def test_an_aggregate_without_trades_begins_a_page_to_resume_from(
    autojump_clock,
):
    """Binance has some, with -1 for their trades' ids."""
    point = ResumePoint(time_ns=(START_S + 2) * NS, tid=2)
    async with open_bench(point=point) as b:
        b.newest = 3
        pages, fetch = [], b.stream.fetch

        async def fetch_with_one(since):
            page = await fetch(since)
            if since.serial < 0:
                pages.append(page)
                page = page._replace(parts=[Part("BTCUSDT", [], 0, 0), *page.parts])
            return page

        b.stream.fetch = fetch_with_one
        await b.say(Up())
        await trio.sleep(5)
        assert b.live == 1
        assert b.taken() == ([1, 2, 3], [])
        assert len(pages) == 1
