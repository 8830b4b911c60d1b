"""A machine whose clock is off, either way: the bars are its venue's all the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from piker.data import Warned, open_feed
from piker.testing.emulator import conf_of, open_emulator
from tests.data._naive import NS, Print, naive_bars
from tests.data._replays import rows

BTC, PERP, XBT = (
    "btcusdt.spot.binance",
    "btcusdt.usdtm.perp.binance",
    "xbtusdt.spot.kraken",
)
#: A bar that is this old has all of its trades.
WHOLE_S = 3


def skewed(name: str, source: str, ms: int):
    return open_emulator(name, sim=[source], faults=[{"kind": "skew", "ms": ms}])


async def venue_s(emulator) -> float:
    return (await emulator.stats())["clock_ns"] / NS


async def check_bars(feed, fqme: str, emulator, symbol: str = "BTCUSDT") -> int:
    """Compare the 1 s bars since the market was opened; return how many there are."""
    flume = feed.flumes[fqme]
    whole_s = int(await venue_s(emulator)) - WHOLE_S
    await trio.sleep(0.5)
    start_ns = flume._told.init.start_ns
    prints = [
        Print(one.time_ns, one.tid, Decimal(str(one.price)), Decimal(str(one.size)))
        for one in await emulator.trades(symbol)
        if one.time_ns >= start_ns
    ]
    expected = [row for row in naive_bars(prints, 1) if row[0] <= whole_s]
    got = [
        row for row in rows(flume.rt_shm) if expected[0][0] <= row[0] <= expected[-1][0]
    ]
    assert got == expected
    newest_s = rows(flume.rt_shm)[-1][0]
    assert abs(newest_s - await venue_s(emulator)) < 3, "bars follow the venue's clock"
    return len(got)


@pytest.mark.tree
@pytest.mark.parametrize(
    "skews_ms", [(-120_000, 8_000, 300_000), (120_000, -8_000, -300_000)]
)
async def test_bars_are_exact_whichever_clock_is_off(open_test_pikerd, skews_ms):
    async with (
        skewed("binance.spot", "btcusdt.spot.sim", skews_ms[0]) as spot,
        skewed("binance.usdtm", "btcusdt.usdtm.perp.sim", skews_ms[1]) as usdtm,
        skewed("kraken.spot", "btcusdt.spot.sim", skews_ms[2]) as kraken,
        open_test_pikerd(conf=conf_of(spot, usdtm, kraken), deadline_s=40),
        open_feed([BTC, PERP, XBT]) as feed,
    ):
        await trio.sleep(12)  # what is off by 8 s shows after as many
        told = [await feed.events.receive() for _ in range(3)]
        assert all(isinstance(event, Warned) for event in told)
        for fqme, emulator, ms in zip(
            (BTC, PERP, XBT), (spot, usdtm, kraken), skews_ms, strict=True
        ):
            assert await check_bars(feed, fqme, emulator) > 8
            reasons = [event.reason for event in told if event.fqmes == (fqme,)]
            way = "ahead of" if ms > 0 else "behind"
            assert len(reasons) == 1
            assert way in reasons[0]
            assert abs(float(reasons[0].split()[4]) - abs(ms) / 1000) < 1
