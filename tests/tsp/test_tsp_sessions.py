"""Resampling over recorded sessions, against bars of their trades made without it."""

from __future__ import annotations

import numpy as np
import pytest

from piker.brokers.sim import open_session
from piker.tsp import OHLCV, resample
from tests._data import binance_session
from tests.data._replays import SESSIONS, bars_of


@pytest.mark.parametrize("name", SESSIONS)
def test_minutes_of_seconds_are_the_minutes_of_the_trades(name):
    """Exactly: volumes too, whatever the order in which they are added up."""
    (mkt,) = open_session(binance_session(name)).mkts.values()
    seconds = np.array(bars_of(name, 1), OHLCV)
    assert len(seconds) > 300
    minutes = resample(seconds, 60, mkt.size_tick)
    assert minutes.tolist() == bars_of(name, 60)
    for period_s in (300, 3600):
        longer = resample(minutes, period_s, mkt.size_tick)
        assert longer.tobytes() == resample(seconds, period_s, mkt.size_tick).tobytes()
        assert longer.tolist() == bars_of(name, period_s)
