"""IB's past: frames of its sizes, and no end where it has none for a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
import trio
from hypothesis import given, strategies as st
from ib_async import BarData

from piker.brokers import HistoryConf
from piker.brokers.ib._bars import MAX_BARS, PERIODS_S, History, as_span, to_bars
from piker.data._venue_bars import Pace, VenueBars
from piker.errors import BadPayload, NoData, RateLimited
from piker.msgs import Calendar
from piker.tsp import find_fault

#: A Wednesday, 12 h UTC.
NOW_S = int(datetime(2026, 7, 22, 12, tzinfo=UTC).timestamp())
DAY_S = 86_400
#: Monday to Friday, 13:30 to 20 h UTC.
STOCK = Calendar(
    weekly=tuple((day * DAY_S + 48_600, day * DAY_S + 72_000) for day in range(5))
)
#: From 22 h to 21 h UTC the day after, Sunday to Friday.
FUTURE = Calendar(
    weekly=(
        (0, 21 * 3600),
        *((day * DAY_S - 7200, day * DAY_S + 21 * 3600) for day in range(1, 5)),
        (6 * DAY_S + 22 * 3600, 7 * DAY_S),
    )
)
TOKYO = Calendar(weekly=tuple((day * DAY_S, day * DAY_S + 21_600) for day in range(5)))


def bar(time_s: int, price: float = 10.0, volume: float = 5, count: int = 2) -> BarData:
    return BarData(
        date=datetime.fromtimestamp(time_s, UTC),
        open=price, high=price, low=price, close=price,
        volume=volume, average=price, barCount=count,
    )  # fmt: skip


class Venue:
    """Has trades in some seconds; answers as IB does."""

    def __init__(self, traded_s) -> None:
        self.traded = sorted(traded_s)
        self.asked: list[tuple[int, str, str]] = []

    async def ask(self, end_s: int, span: str, size: str) -> list[BarData]:
        self.asked.append((end_s, span, size))
        count, unit = span.split()
        length_s = (
            int(count) * {"S": 1, "D": DAY_S, "M": 30 * DAY_S, "Y": 365 * DAY_S}[unit]
        )
        step = {"1 secs": 1, "1 min": 60, "1 day": DAY_S}[size]
        opens = sorted(
            {at - at % step for at in self.traded if end_s - length_s <= at < end_s}
        )
        if not opens:
            raise NoData("HMDS query returned no data")
        if size == "1 day":
            return [
                BarData(date=datetime.fromtimestamp(at, UTC).date()) for at in opens
            ]
        return [bar(at) for at in opens]


class Sessions(Venue):
    """Counts seconds in which it is open, and days in sessions, as IB does.

    What is asked for as a day is the session that runs, or the last one.
    """

    def __init__(self, traded_s, calendar: Calendar) -> None:
        super().__init__(traded_s)
        self.calendar = calendar

    async def ask(self, end_s: int, span: str, size: str) -> list[BarData]:
        count, unit = span.split()
        if unit in "MY":
            return await super().ask(end_s, span, size)
        start_s = end_s
        if unit == "D":
            for _ in range(int(count)):
                start_s = self._session_start(start_s - 1)
        while unit == "S" and self.calendar.open_seconds(start_s, end_s) < int(count):
            start_s -= 600
        return await super().ask(end_s, f"{end_s - start_s} S", size)

    def _session_start(self, time_s: int) -> int:
        open_s = self.calendar.prev_open(time_s)
        while self.calendar.open_seconds(open_s - 1800, open_s):
            open_s -= 1800
        return open_s


def history(traded_s, calendar=None) -> tuple[History, Venue]:
    venue = Venue(traded_s)
    return (
        History("x.ib", venue.ask, calendar or Calendar(), now_s=lambda: NOW_S),
        venue,
    )


async def test_a_span_is_one_request():
    past, venue = history(range(NOW_S - 300, NOW_S))
    bars = await past.bars(1, NOW_S, NOW_S - 100)
    assert bars["time"].tolist() == list(range(NOW_S - 100, NOW_S))
    assert venue.asked == [(NOW_S, "100 S", "1 secs")]
    bars = await past.bars(60, NOW_S, NOW_S - 180)
    assert bars["time"].tolist() == [NOW_S - 180, NOW_S - 120, NOW_S - 60]


async def test_no_question_is_asked_twice():
    """What follows the last trade may be none, or have been left out: it is asked for.

    However short it is, IB tells thirty seconds, the end of which is the same.
    """
    past, venue = history(range(NOW_S - 300, NOW_S - 2))
    conf = HistoryConf(PERIODS_S, MAX_BARS)
    bars = VenueBars(past.bars, conf, Pace(), pytest.fail)
    for _ in range(2):
        frame = await bars.frame(1, (NOW_S - 10, NOW_S))
        assert frame.bars["time"].tolist() == list(range(NOW_S - 10, NOW_S - 2))
    assert len(set(venue.asked)) == len(venue.asked) == 4


async def test_the_newest_are_a_frame():
    past, venue = history(range(NOW_S - 5000, NOW_S))
    assert len(await past.bars(1, NOW_S, None)) == MAX_BARS
    assert venue.asked == [(NOW_S, "1440 S", "1 secs")]
    await past.bars(60, NOW_S, None)
    assert venue.asked[1:] == [(NOW_S, "2 D", "1 min")]


async def test_no_two_processes_ask_for_the_same_small_bars():
    """IB takes no question like another within 15 s, and a restart is quicker."""
    past, venue = history(range(NOW_S - 5000, NOW_S))
    other = replace(past, odd_s=7)
    for start_s, span_s in ((None, MAX_BARS), (NOW_S - 100, 100), (NOW_S - 9, 9)):
        frames = [await one.bars(1, NOW_S, start_s) for one in (past, other)]
        assert frames[0].tolist() == frames[1].tolist()
        assert len(frames[0]) == span_s
    for of_one, of_other in zip(venue.asked[::2], venue.asked[1::2], strict=True):
        assert of_one != of_other


async def test_a_weekend_is_asked_over_at_once():
    friday_s = int(datetime(2026, 7, 17, 20, tzinfo=UTC).timestamp())
    monday_s = int(datetime(2026, 7, 20, 6, tzinfo=UTC).timestamp())
    past, venue = history(range(friday_s - 600, friday_s), STOCK)
    bars = await past.bars(1, monday_s, None)
    assert bars["time"][-1] == friday_s - 1
    assert len(venue.asked) == 1
    with pytest.raises(NoData):
        await past.bars(1, monday_s, monday_s - 600)
    assert len(venue.asked) == 1, "closed: nobody need be asked"


def open_at(calendar: Calendar, back_s: int) -> int:
    """Return a time of a trade: about so long ago, while it is open."""
    return calendar.prev_open(NOW_S - back_s)


@given(
    st.sampled_from([STOCK, FUTURE, TOKYO]),
    st.integers(60, 25 * DAY_S),
    st.sampled_from([1, 60]),
)
def test_a_trade_is_found_whenever_it_was(calendar, back_s, period_s):
    """A session that runs, and has none yet, isn't the past."""
    traded_s = open_at(calendar, back_s)
    venue = Sessions([traded_s], calendar)
    past = History("x.ib", venue.ask, calendar, now_s=lambda: NOW_S)

    async def look():
        found = await past.bars(period_s, NOW_S, None)
        assert found["time"].tolist() == [traded_s - traded_s % period_s]
        if NOW_S - traded_s < (MAX_BARS - 1) * period_s:
            start_s = NOW_S - MAX_BARS * period_s
            found = await past.bars(period_s, NOW_S, start_s)
            assert found["time"].tolist() == [traded_s - traded_s % period_s]

    trio.run(look)


@pytest.mark.parametrize("period_s", [1, 60])
async def test_days_without_a_trade_are_no_end(period_s):
    """An option that traded once, days ago, and nothing since."""
    traded_s = NOW_S - 20 * DAY_S
    past, venue = history([traded_s])
    bars = await past.bars(period_s, NOW_S, None)
    assert bars["time"].tolist() == [traded_s - traded_s % period_s]
    assert len(venue.asked) <= 6
    with pytest.raises(NoData):
        await past.bars(period_s, traded_s - 60, None)


async def test_the_newer_half_is_asked_for_where_all_is_too_much():
    class Half(Venue):
        async def ask(self, end_s, span, size):
            if size == "1 secs" and int(span.split()[0]) > 500:
                self.asked.append((end_s, span, size))
                raise NoData("HMDS query returned no data")
            return await super().ask(end_s, span, size)

    venue = Half(range(NOW_S - 900, NOW_S))
    past = History("x.ib", venue.ask, Calendar(), now_s=lambda: NOW_S)
    bars = await past.bars(1, NOW_S, NOW_S - 900)
    assert bars["time"][0] == NOW_S - 450
    assert [span for _, span, _ in venue.asked] == ["900 S", "450 S"]


async def test_where_there_is_nothing_it_is_said():
    past, venue = history([])
    for period_s in (1, 60):
        for end_s in (0, NOW_S):
            with pytest.raises(NoData):
                await past.bars(period_s, end_s, None)
    with pytest.raises(NoData):
        await past.bars(5, NOW_S, None)
    before = len(venue.asked)
    with pytest.raises(NoData):
        await past.bars(1, NOW_S - 200 * DAY_S, None)
    assert len(venue.asked) == before, "seconds are kept for six months"


async def test_other_errors_come_out():
    async def ask(*_):
        raise RateLimited("wait")

    past = History("x.ib", ask, Calendar(), now_s=lambda: NOW_S)
    with pytest.raises(RateLimited):
        await past.bars(60, NOW_S, None)
    with pytest.raises(RateLimited):
        await past.bars(1, NOW_S, NOW_S - 60)


def test_spans_are_those_ib_takes():
    assert as_span(1, 5) == "30 S"
    assert as_span(1, 1440) == "1440 S"
    assert as_span(60, 3600) == "3600 S"
    assert as_span(60, MAX_BARS * 60) == "2 D"
    assert as_span(60, 28_860) == "2 D"


def test_bars_keep_the_rules_of_ours():
    told = [bar(60, volume=0, count=0), bar(120, volume=3, count=-1), bar(180)]
    bars = to_bars(told)
    assert bars["count"].tolist() == [0, 1, 2]
    assert find_fault(bars, 60) == ""
    middle = to_bars([bar(60, volume=-1, count=-1)], has_volume=False)
    assert (middle["volume"][0], middle["count"][0]) == (0, 1)
    assert np.all(to_bars([])["time"] == 0)


@pytest.mark.parametrize("stamp", [date(2026, 7, 22), datetime(2026, 7, 22)])  # noqa: DTZ001
def test_a_bar_of_no_second_is_refused(stamp):
    odd = bar(60)
    odd.date = stamp
    with pytest.raises(BadPayload):
        to_bars([odd])
