"""IB keeps to the contract, against an emulator of TWS; the kit runs in-process."""

from __future__ import annotations

from functools import partial

import pytest

from piker.testing import CHECKS, BackendCase, private_dirs
from piker.testing._conformance import (
    check_cancel,
    check_resume,
    check_start,
    check_trades,
)
from piker.testing.emulator import open_emulator
from tests._infected import run_infected

pytestmark = pytest.mark.tree

CASES = {
    "tsla.nasdaq.sim": BackendCase(
        broker="ib",
        fqme="tsla.nasdaq.ib",
        short="tsla.smart.ib",
        unknown=("nosuch.nasdaq.ib", "tsla.nowhere.ib", "x", "tsla.sim", "tsla.ib"),
        pattern="tsla nasdaq",
    ),
    "mnq.cme.20261218.sim": BackendCase(
        broker="ib",
        fqme="mnq.cme.20261218.ib",
        short="mnq.cme.261218.ib",
        unknown=("mnq.cme.20301218.ib", "mnq.cme.20261218.1c.ib"),
        pattern="mnq 20261218",
    ),
    "tsla.20270115.250c.cboe.sim": BackendCase(
        broker="ib",
        fqme="tsla.20270115.250c.cboe.ib",
        unknown=("tsla.20270115.251c.cboe.ib", "tsla.20270116.250c.cboe.ib"),
        pattern="tsla 20270115 250c",
    ),
}
#: The checks ask for the same again and again.
BUDGET = "small_bars = 100000\n"
#: What an option is too quiet for.
OF_TRADES = (check_start, check_trades, check_resume, check_cancel)


async def _check(tmp_path, name):
    async with open_emulator("ib.tws", sim=[name], budget=100_000) as venue:
        with private_dirs(tmp_path, venue.conf + BUDGET):
            for check in CHECKS:
                if "cboe" not in name or check not in OF_TRADES:
                    await check(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_ib_conforms(tmp_path, name):
    run_infected(partial(_check, tmp_path, name), deadline_s=200)
