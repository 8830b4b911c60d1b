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
from tests.testing._tws import MONTH, QUARTER

pytestmark = pytest.mark.tree

#: They still trade: after its last day nothing is told of a future or an option.
MNQ, OPTION = f"mnq.cme.{QUARTER}", f"tsla.{MONTH}.250c.cboe"
CASES = {
    "tsla.nasdaq.sim": BackendCase(
        broker="ib",
        fqme="tsla.nasdaq.ib",
        short="tsla.smart.ib",
        unknown=("nosuch.nasdaq.ib", "tsla.nowhere.ib", "x", "tsla.sim", "tsla.ib"),
        pattern="tsla nasdaq",
    ),
    f"{MNQ}.sim": BackendCase(
        broker="ib",
        fqme=f"{MNQ}.ib",
        short=f"mnq.cme.{QUARTER[2:]}.ib",
        # four years after; a future has no strike
        unknown=(f"mnq.cme.{int(QUARTER) + 40_000}.ib", f"{MNQ}.1c.ib"),
        pattern=f"mnq {QUARTER}",
    ),
    f"{OPTION}.sim": BackendCase(
        broker="ib",
        fqme=f"{OPTION}.ib",
        # no such strike; a Saturday
        unknown=(
            f"tsla.{MONTH}.251c.cboe.ib",
            f"tsla.{int(MONTH) + 1}.250c.cboe.ib",
        ),
        pattern=f"tsla {MONTH} 250c",
    ),
}
#: The checks ask for the same again and again.
BUDGET = "small_bars = 100000\n"
#: What an option is too quiet for.
OF_TRADES = (check_start, check_trades, check_resume, check_cancel)


async def _check(tmp_path, name):
    async with open_emulator("ib.tws", sim=[name], budget=100_000) as venue:
        # searches may come closer together than they were sent: it answers those not
        await venue.control("limits", {"symbols_s": 0})
        with private_dirs(tmp_path, venue.conf + BUDGET):
            for check in CHECKS:
                if "cboe" not in name or check not in OF_TRADES:
                    await check(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_ib_conforms(tmp_path, name):
    run_infected(partial(_check, tmp_path, name), deadline_s=200)
