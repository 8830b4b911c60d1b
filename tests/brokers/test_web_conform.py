"""Binance and Kraken keep to the contract, against emulators of them.

Their markets trade now, made by sim's generator; the kit runs in this process.
"""

from __future__ import annotations

import pytest

from piker.testing import CHECKS, BackendCase, private_dirs
from piker.testing.emulator import open_emulator

pytestmark = pytest.mark.tree

CASES = {
    "binance.spot": BackendCase(
        broker="binance",
        fqme="btcusdt.spot.binance",
        short="btcusdt.binance",
        unknown=("nosuch.spot.binance", "btcusdt.nowhere.binance", "x", "btcusdt.sim"),
        pattern="btcusdt spot",
    ),
    "binance.usdtm": BackendCase(
        broker="binance",
        fqme="btcusdt.usdtm.perp.binance",
        short="btcusdt.usdtm.binance",
        unknown=("nosuch.usdtm.perp.binance", "btcusdt.usdtm.20301227.binance"),
        pattern="btcusdt perp",
    ),
    "kraken.spot": BackendCase(
        broker="kraken",
        fqme="xbtusdt.spot.kraken",
        short="btcusdt.kraken",
        unknown=("nosuch.spot.kraken", "xbtusdt.usdtm.perp.kraken"),
        pattern="xbtusdt",
    ),
}
SOURCE = {
    "binance.spot": "btcusdt.spot.sim",
    "binance.usdtm": "btcusdt.usdtm.perp.sim",
    "kraken.spot": "btcusdt.spot.sim",
}


@pytest.mark.parametrize("name", CASES)
async def test_a_venue_conforms(tmp_path, name):
    async with open_emulator(name, sim=[SOURCE[name]], budget=100_000) as emulator:
        with private_dirs(tmp_path, emulator.conf + BUDGET[name.partition(".")[0]]):
            for check in CHECKS:
                await check(CASES[name])


#: Kraken wants a request a second, which would make these checks long.
BUDGET = {"binance": "", "kraken": "requests = 1000\n"}
