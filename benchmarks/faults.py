"""datad killed again and again while it loads and stores bars: what is on disk then.

emulated Binance with a deep past --> datad.binance, SIGKILLed at random moments
the store after each death: it verifies, and all of it is there at the end
the store at the end: each bar that the venue has, once, exactly

python -m benchmarks.faults --kills 50
python -m benchmarks.faults clearing --kills 100
    daemons killed under orders: what was promised is there, see _clearing_faults
python -m benchmarks.faults live --cases 240 [--venue kraken]
    each fault of a venue at each step of live orders, see _live_faults
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import trio
from numpy.typing import NDArray

from benchmarks._clearing_faults import KINDS, trade_and_kill
from benchmarks._live_faults import kill_orders, run_cases
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.data import Feed, HistoryProgress, open_feed
from piker.service import Policy
from piker.storage import read_bars, verify
from piker.testing import TestTree, open_test_pikerd
from piker.testing.emulator import Emulator, open_emulator
from piker.tsp import between, fill_gaps
from tests.brokers._live import AT, At
from tests.brokers._matrix import Found, cases as all_cases

SOURCE: Final = "btcusdt.spot.sim"
FQME: Final = "btcusdt.spot.binance"
NS: Final = 10**9
#: Deep enough for a backfill of some seconds: a request takes a while.
CONF: Final = "[data]\nhist_days = 4\nrt_hours = 2\n"
_SLOW: Final = {"kind": "slow", "response_s": 0.05}
_DAY_S: Final = 86_400
#: A daemon that dies so often is started again at once.
PATIENT: Final = Policy(max_deaths=10_000, delays_s=(0.0,))


@dataclass
class Outcome:
    """What came of it.

    Attributes:
      kills: how many.
      in_backfill: of them before the past was loaded.
      stored: bars at the end, by period in seconds.
      faults: a sentence for each thing that is wrong.
    """

    kills: int = 0
    in_backfill: int = 0
    stored: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


async def kill_again_and_again(
    tree: TestTree, venue: Emulator, kills: int, seed: int
) -> Outcome:
    """Kill the datad of *tree* at random moments; look at the store at each, and after.

    Args:
      tree: leads binance to *venue*; has started nothing yet.
      venue: whose past is deeper than what is loaded.
      kills: how often.
      seed: of the moments.
    """
    rng, outcome = random.Random(seed), Outcome()
    known: dict[int, NDArray[np.void]] = {}
    assert tree.services is not None
    async with open_feed(FQME) as feed:
        for _ in range(kills):
            done = await _until(feed, rng.uniform(0.0, 1.0), rng.uniform(0.0, 2.0))
            service = tree.services.service_tasks["datad.binance"]
            os.kill(service.pid, signal.SIGKILL)
            outcome.kills += 1
            outcome.in_backfill += not done
            while service.state == "running":
                await service.changed.wait()
            for period_s in (60, 1):
                _look(period_s, known, outcome)
            await tree.services.wait_up("datad.binance")
        await _until(feed, 1.0, 60.0)
        await trio.sleep(7)  # the newest bars that closed are stored
        for period_s in (60, 1):
            _look(period_s, known, outcome)
            _compare(period_s, outcome)
    return outcome


async def _until(feed: Feed, done: float, seconds: float) -> bool:
    """Wait until so much of all periods is loaded, not for ever; tell if all is.

    What was told before counts for nothing: another datad loads now.
    """
    told: dict[int, float] = {}
    began_ns = time.time_ns()
    with trio.move_on_after(seconds):
        async for event in feed.events:
            if isinstance(event, HistoryProgress) and event.time_ns >= began_ns:
                told[event.period_s] = event.done
                if len(told) == 2 and min(told.values()) >= done:
                    break
    return len(told) == 2 and min(told.values()) >= 1


def _look(period_s: int, known: dict[int, NDArray[np.void]], outcome: Outcome) -> None:
    """Compare what is stored with what was stored before."""
    found = read_bars(FQME, period_s)
    outcome.faults += found.damaged
    if not len(found):
        return
    outcome.faults += verify(FQME, period_s)
    bars = found.bars()
    if np.any(np.diff(bars["time"]) <= 0):
        outcome.faults.append(f"{period_s} s bars are twice in the store")
    before = known.get(period_s, bars[:0])
    lost = np.setdiff1d(before["time"], bars["time"])
    if len(lost):
        outcome.faults.append(f"{len(lost)} {period_s} s bars were there and are not")
    known[period_s] = bars


def _compare(period_s: int, outcome: Outcome) -> None:
    """Compare what is stored with all that the venue has."""
    bars = read_bars(FQME, period_s).bars()
    outcome.stored[period_s] = len(bars)
    end_s = int(time.time()) - 20
    end_s -= end_s % period_s
    depth_s = 4 * _DAY_S if period_s == 60 else 7200
    start_s = end_s - depth_s + 1200  # how far back goes by the start of the first run
    start_s -= start_s % period_s
    source = Synthetic(find_market(SOURCE))
    truth = source.bars((start_s - 7200) * NS, end_s * NS, period_s)
    truth = between(fill_gaps(truth, period_s, until_s=end_s), start_s, end_s)
    bars = between(bars, start_s, end_s)
    lacking = np.setdiff1d(truth["time"], bars["time"])
    if len(lacking):
        outcome.faults.append(
            f"{len(lacking)} of {len(truth)} {period_s} s bars lack, e.g. {lacking[:3]}"
        )
    both = truth[np.isin(truth["time"], bars["time"])]
    same = bars[np.isin(bars["time"], both["time"])]
    other = both != same
    if other.any():
        outcome.faults.append(
            f"{other.sum()} {period_s} s bars differ, e.g. {same[other][0]} is stored"
            f" and should be {both[other][0]}"
        )


def deep_venue() -> Any:
    """Return the opening of a venue whose past is deeper than what is loaded."""
    return open_emulator(
        "binance.spot", sim=[SOURCE], faults=[_SLOW], history_s=5 * _DAY_S, past_s=300
    )


async def _run(folder: Path, kills: int, seed: int) -> Outcome:
    async with deep_venue() as venue:
        tree = open_test_pikerd(
            folder,
            conf=CONF + venue.conf,
            deadline_s=120 + 8 * kills,
            policy=PATIENT,
        )
        async with tree as opened:
            return await kill_again_and_again(opened, venue, kills, seed)


def _history(kills: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        outcome = trio.run(_run, Path(folder), kills, seed)
    stored = ", ".join(f"{n:,} bars of {p} s" for p, n in outcome.stored.items())
    print(f"{outcome.kills} kills, {outcome.in_backfill} in mid-load; {stored}")
    for fault in outcome.faults:
        print(fault)
    print(f"{len(outcome.faults)} faults")
    return 1 if outcome.faults else 0


def _clearing(kills: int, seed: int, kinds: list[str]) -> int:
    """Print kills, orders, lost, doubled by kind of daemon."""
    print(f"{'killed':14}{'kills':>7}{'orders':>8}{'fills':>8}{'fired':>7}", end="")
    print(f"{'missed':>8}{'lost':>6}{'doubled':>9}{'wrong':>7}")
    failed = False
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            one = trio.run(trade_and_kill, Path(folder), kind, kills, seed)
        print(f"{kind:14}{one.kills:7}{one.orders:8}{one.fills:8}{one.fired:7}", end="")
        print(
            f"{one.reported:8}{len(one.lost):6}{len(one.doubled):9}{len(one.wrong):7}",
            flush=True,
        )
        for fault in (*one.lost, *one.doubled, *one.wrong):
            failed = True
            print(f"  {fault}", flush=True)
    return 1 if failed else 0


def _live(cases: int, first: int, at: At) -> int:
    """Print each case of the matrix, and how many came to the same everywhere."""

    def show(found: Found) -> None:
        print(f"{found.took_s:6.1f} s  {found.case.name}", flush=True)
        for wrong in found.wrong:
            print(f"  {wrong}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        wanted = islice(all_cases(at), first, first + cases)
        found = trio.run(run_cases, Path(folder), wanted, show, at)
    wrong = sum(bool(each.wrong) for each in found)
    longest = max(each.took_s for each in found)
    print(
        f"{at.broker}: {len(found)} cases, {wrong} of them wrong; the longest took"
        f" {longest:.1f} s"
    )
    return 1 if wrong else 0


def _live_kills(kills: int, seed: int, at: At) -> int:
    """Print what came of kills of a venue's order daemon."""
    with tempfile.TemporaryDirectory() as folder:
        one = trio.run(kill_orders, Path(folder), kills, seed, at)
    print(
        f"brokerd.{at.broker}: {one.kills} kills, {one.orders} orders, {one.edits}"
        f" edits, {one.cancels} cancels, {one.fills} fills, {len(one.wrong)} wrong"
    )
    for wrong in one.wrong:
        print(f"  {wrong}")
    return 1 if one.wrong else 0


def main() -> int:
    """Kill as often as asked for; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument(
        "what", nargs="?", choices=("history", "clearing", "live"), default="history"
    )
    parser.add_argument(
        "--kills",
        type=int,
        metavar="N",
        help="50, or 100 of each; of live: of its order daemon, instead of cases",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--cases", type=int, default=240, metavar="N", help="of live")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="of live")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--venue", choices=tuple(AT), action="append", help="of live")
    asked = parser.parse_args()
    if asked.what == "live":
        venues = [AT[name] for name in asked.venue or AT]
        if asked.kills:
            return max(_live_kills(asked.kills, asked.seed, at) for at in venues)
        return max(_live(asked.cases, asked.first, at) for at in venues)
    if asked.what == "clearing":
        return _clearing(asked.kills or 100, asked.seed, asked.kind or list(KINDS))
    return _history(asked.kills or 50, asked.seed)


if __name__ == "__main__":
    sys.exit(main())
