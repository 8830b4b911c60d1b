"""A machine whose clock is off, either way: the bars are its venue's all the same."""

from __future__ import annotations

import pytest
import trio

from piker.data import Warned, open_feed
from piker.testing.emulator import conf_of, open_emulator
from tests.brokers._venues import check_live_bars
from tests.data._live import next_event

BTC, PERP, XBT = (
    "btcusdt.spot.binance",
    "btcusdt.usdtm.perp.binance",
    "xbtusdt.spot.kraken",
)


def skewed(name: str, source: str, ms: int):
    return open_emulator(
        name, sim=[source], past_s=600, faults=[{"kind": "skew", "ms": ms}]
    )


@pytest.mark.tree
@pytest.mark.parametrize(
    "skews_ms", [(-120_000, 8_000, 300_000), (120_000, -8_000, -300_000)]
)
async def test_bars_are_exact_whichever_clock_is_off(open_test_pikerd, skews_ms):
    async with (
        skewed("binance.spot", "btcusdt.spot.sim", skews_ms[0]) as spot,
        skewed("binance.usdtm", "btcusdt.usdtm.perp.sim", skews_ms[1]) as usdtm,
        skewed("kraken.spot", "btcusdt.spot.sim", skews_ms[2]) as kraken,
        open_test_pikerd(conf=conf_of(spot, usdtm, kraken), deadline_s=90),
        open_feed([BTC, PERP, XBT]) as feed,
    ):
        await trio.sleep(12)  # what is off by 8 s shows after as many
        told = [await next_event(feed) for _ in range(3)]
        assert all(isinstance(event, Warned) for event in told)
        for fqme, emulator, ms in zip(
            (BTC, PERP, XBT), (spot, usdtm, kraken), skews_ms, strict=True
        ):
            assert await check_live_bars(feed, fqme, emulator) > 7
            reasons = [event.reason for event in told if event.fqmes == (fqme,)]
            way = "ahead of" if ms > 0 else "behind"
            assert len(reasons) == 1
            assert way in reasons[0]
            assert abs(float(reasons[0].split()[4]) - abs(ms) / 1000) < 1
