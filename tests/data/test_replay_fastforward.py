"""Two days of market time: no frozen bar, no hole, no growth, rings turned over."""

from __future__ import annotations

import pytest

from benchmarks import fastforward

pytestmark = pytest.mark.tree


async def test_48_hours(open_test_pikerd):
    fqmes, length_s = ("btcusdt.spot.sim", "tsla.nasdaq.sim"), 48 * 3600
    conf = fastforward.conf(length_s)
    async with open_test_pikerd(conf=conf, deadline_s=150) as tree:
        played = await fastforward.play(tree, fqmes, length_s)
    assert played.wrong == []
    # two sessions of 6.5 h; each 1 s ring of 86,400 rows is full or holds both
    assert played.bars == 86_400 + 48 * 60 + 2 * 23_400 + 2 * 390
    assert played.growth_mb < fastforward.GROWTH_MB
    assert played.still_s < fastforward.STILL_S


async def test_a_small_ring_turns_over_many_times(open_test_pikerd):
    fqmes, length_s = ("btcusdt.spot.sim", "es.cme.20260619.sim"), 4 * 3600
    conf = fastforward.conf(length_s, rt_bars=1024, hist_bars=1024)
    async with open_test_pikerd(conf=conf) as tree:
        played = await fastforward.play(tree, fqmes, length_s)
    assert played.wrong == []
    assert played.bars == 2 * (1024 + 240)
