"""Older bars of a market, from its store: across holes, at any period, never twice."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from piker.storage import StoreWriter
from piker.tsp import resample
from piker.ui._series import Change
from tests.ui._bench import START_S, mkt_of, open_market, walk

DAY_S = 86_400


@pytest.fixture
def market(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    market = open_market(tmp_path, n=600)
    for period_s in (1, 60):
        market.refresh(period_s)
    yield market
    market.flume.close()


def store(bars: np.ndarray, period_s: int) -> None:
    with closing(StoreWriter(mkt_of().fqme, period_s)) as writer:
        writer.append(bars)


def before(n: int, period_s: int, gap: int = 0) -> np.ndarray:
    """Return *n* bars that end *gap* bars before the buffer's oldest."""
    bars = walk(n, period_s, seed=3)
    bars["time"] -= (600 + gap) * period_s
    return bars


@pytest.mark.parametrize("period_s", [1, 60])
async def test_older_bars_come_bit_by_bit(market, period_s):
    bars = before(12_000, period_s)
    store(bars, period_s)
    series = market.series(period_s)
    counts = []
    while put := await market.load_older(period_s, 5000):
        counts.append(put)
    assert counts == [5000, 5000, 2000]
    assert len(series) == 12_600
    assert series.start == -12_000
    assert (np.diff(series.time) == period_s).all()
    assert (series.close[:12_000] == bars["close"]).all()


async def test_what_lies_beyond_a_hole_is_found(market):
    bars = before(300, 1, gap=40_000)
    store(bars, 1)
    assert await market.load_older(1, 1000) == 300
    assert market.series(1).time[0] == bars["time"][0]
    assert await market.load_older(1, 1000) == 0


async def test_longer_bars_come_from_beyond_a_hole_too(market):
    bars = before(3 * 1440, 60, gap=3 * 1440)
    store(bars, 60)
    market.refresh(3600)
    first_s = int(market.series(3600).time[0])
    put = 0
    while n := await market.load_older(3600, 24):
        put += n
    whole = resample(bars, 3600, mkt_of().size_tick)
    series = market.series(3600)
    assert put >= len(whole) - 1
    assert (np.diff(series.time) >= 3600).all()
    older = series.close[series.time < first_s]
    assert (
        older[-len(whole) + 1 :] == whole["close"][-len(older) :][-len(whole) + 1 :]
    ).all()


async def test_more_is_asked_for_once_there_is_more(market):
    market.refresh(300)
    assert await market.load_older(300) == 0
    store(before(1000, 60), 60)
    assert await market.load_older(300) == 0, "it was told that there is none"
    from piker.msgs import HistoryProgress

    market._take(
        HistoryProgress(
            fqmes=(market.fqme,), period_s=60, done=0.5, oldest_s=START_S, bars=1000,
            reason="", time_ns=0,
        )
    )  # fmt: skip
    assert await market.load_older(300) > 0


@pytest.mark.parametrize("has_more", [True, False])
async def test_bars_read_anew_while_older_ones_are_read_leave_no_hole(market, has_more):
    store(before(3000 if has_more else 1000, 1), 1)
    assert await market.load_older(1, 1000) == 1000
    series, read = market.series(1), market.flume.read

    async def reread_meanwhile(*args):
        market.flume.read = read
        found = await read(*args)
        market.reread(1)
        return found

    market.flume.read = reread_meanwhile
    assert await market.load_older(1, 1000) == 1000
    assert len(series) == 1600
    assert (np.diff(series.time) == 1).all()
    assert await market.load_older(1, 1000) == (1000 if has_more else 0)


async def test_who_follows_is_told_that_bars_were_read_anew(market):
    store(before(1000, 1), 1)
    assert await market.load_older(1, 1000) == 1000
    series, told = market.series(1), []
    market.follow(1, told.append)
    past = series.past
    market.reread(60)
    assert not told
    market.reread()
    assert len(series) == 600
    assert told == [Change(series.start, series.end, series.end)]
    assert series.past > past
