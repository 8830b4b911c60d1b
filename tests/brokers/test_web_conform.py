"""Binance, Kraken and Deribit keep to the contract, against emulators of them.

Their markets trade now, made by sim's generator; the kit runs in this process.
"""

from __future__ import annotations

import pytest

from piker.testing import CHECKS, BackendCase, private_dirs
from piker.testing.emulator import open_emulator
from tests._infected import run_infected

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
    "deribit": BackendCase(
        broker="deribit",
        fqme="btcusd.perp.deribit",
        short="btc-perpetual.deribit",
        unknown=(
            "nosuch.perp.deribit",
            "btcusd.20301227.deribit",
            "btcusd.cme.deribit",
        ),
        pattern="btcusd perp",
    ),
}
SOURCE = {
    "binance.spot": "btcusdt.spot.sim",
    "binance.usdtm": "btcusdt.usdtm.perp.sim",
    "kraken.spot": "btcusdt.spot.sim",
    "deribit": "btcusdt.usdtm.perp.sim",
}
#: Those whose client lives on an asyncio loop.
INFECTED = {"deribit"}


@pytest.mark.parametrize("name", sorted(CASES.keys() - INFECTED))
async def test_a_venue_conforms(tmp_path, name):
    await check_all(tmp_path, name)


@pytest.mark.parametrize("name", sorted(INFECTED))
def test_a_venue_on_asyncio_conforms(tmp_path, name):
    run_infected(check_all, tmp_path, name, deadline_s=120)


async def check_all(tmp_path, name):
    async with open_emulator(name, sim=[SOURCE[name]], budget=100_000) as emulator:
        with private_dirs(tmp_path, emulator.conf + BUDGET[name.partition(".")[0]]):
            for check in CHECKS:
                await check(CASES[name])


#: Kraken wants a request a second, which would make these checks long.
BUDGET = {"binance": "", "kraken": "requests = 1000\n", "deribit": ""}
