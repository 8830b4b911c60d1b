"""The trades of a gap, from lists that hold a thousand and begin where they may."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from ib_async import HistoricalTickLast, TickAttribLast

from piker.brokers.ib import _missed
from piker.brokers.ib._missed import Missed

FROM_S = 1_000_000


class Venue:
    """Lists trades, so many of each second; the last second's all."""

    def __init__(self, per_second: int, most: int) -> None:
        self.per_second, self.most = per_second, most

    async def call(self, _method, _contract, begin_s, most):
        assert most == self.most
        found = []
        for second in range(begin_s, FROM_S + 20):
            if len(found) >= most:
                break
            time = datetime.fromtimestamp(second, UTC)
            found += [
                HistoricalTickLast(time, TickAttribLast(), 10.0, 1.0, "", "")
            ] * self.per_second
        return found


async def _fetched(monkeypatch, asked: range, per_second: int) -> tuple[int, list[int]]:
    """Return from when on trades lack, and the seconds of those that were sent."""
    monkeypatch.setattr(_missed, "TICKS_MAX", 101)
    monkeypatch.setattr(_missed, "odd", lambda: 4)
    known = SimpleNamespace(
        is_by_middle=False,
        is_index=False,
        contract=SimpleNamespace(conId=1),
        mkt=SimpleNamespace(fqme="tsla.nasdaq.ib"),
    )
    sent: list[int] = []

    async def send(ticks):
        sent.extend(tick.time_ns // 10**9 for tick in ticks)

    async def warn(_reason):
        raise AssertionError("it is answered")

    missed = Missed(known, Venue(per_second, 100), warn)
    for second in asked:
        missed._beginning(second)
    return await missed.fetch(FROM_S, FROM_S + 9, send), sent


@pytest.mark.parametrize("per_second", [1, 30, 60, 120])
@pytest.mark.parametrize("already", [0, 1, 3])
async def test_what_a_list_left_out_is_never_taken_for_nothing(
    monkeypatch, autojump_clock, per_second, already
):
    """Seconds were asked for a moment ago: the list begins before them."""
    asked = range(FROM_S, FROM_S - already, -1)
    lost_s, sent = await _fetched(monkeypatch, asked, per_second)
    whole = range(FROM_S, lost_s or FROM_S + 10)
    assert sent[: len(whole) * per_second] == [
        second for second in whole for _ in range(per_second)
    ]
    assert lost_s or len(sent) == 10 * per_second
