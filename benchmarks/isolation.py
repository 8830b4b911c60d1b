"""Two venues in one tree, one of them struck by faults: what the other's stream feels.

faults --> emulated Binance --> datad.binance --> client
100 trades/s, emulated Kraken --> datad.kraken --> client: how long between quotes
                              `-> a bare websocket client: how long that is without us
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from piker.testing import TestTree, open_test_pikerd, tree_processes
from piker.testing.emulator import Emulator, conf_of, open_emulator

from ._procs import BenchmarkError, Program, running
from ._report import Measure, Report, compared
from ._sessions import write_session

FLOOR = "a bare websocket client, in a process of its own, of the same healthy stream"
NOTE = (
    "added: between two quotes, beyond what passed between the same trades at the bare"
    " client; the longest of a round, median and worst of the rounds"
)
#: The longest gap that faults of one venue may add to another's stream.
ADDED_MS: Final = 100.0
RATE_HZ: Final = 100.0
_SIM: Final = ["btcusdt.spot.sim", "ethusdt.spot.sim"]
_BAD: Final = ["btcusdt.spot.binance", "ethusdt.spot.binance"]
_FLOOD: Final = "btcusdt.usdtm.perp.binance"
_GOOD: Final = "xbtusdt.spot.kraken"
_CUT: Final[dict[str, Any]] = {"kind": "disconnect", "how": "rst"}


class Gaps(NamedTuple):
    """The longest of the healthy stream while a fault lasted, ms.

    Attributes:
      ours: between two quotes at piker's client.
      bare: between two frames at the bare client.
      added: of a gap of ours, what the bare client didn't have between those trades.
    """

    ours: float
    bare: float
    added: float


@dataclass(frozen=True)
class Scene:
    """What faults are made with.

    Attributes:
      bad: the venue that they strike.
      tree: of both venues.
      seconds: that one lasts.
    """

    bad: Emulator
    tree: TestTree
    seconds: float


Strike = Callable[[Scene], Awaitable[None]]


def _told(*faults: dict[str, Any]) -> Strike:
    """Return what has the venue do wrong all of *faults*."""

    async def strike(scene: Scene) -> None:
        for fault in faults:
            await scene.bad.fault(**fault)
        await trio.sleep(scene.seconds)
        await scene.bad.clear()

    return strike


async def _nothing(scene: Scene) -> None:
    await trio.sleep(scene.seconds)


async def _refuse(scene: Scene) -> None:
    """Don't listen, not even to what would take that back."""
    await scene.bad.fault(**_CUT)
    await scene.bad.fault("refuse", seconds=scene.seconds / 2)
    await trio.sleep(scene.seconds)


async def _kill(scene: Scene) -> None:
    os.kill(_datad(scene.tree), signal.SIGKILL)
    await trio.sleep(scene.seconds)


async def _stop(scene: Scene) -> None:
    pid = _datad(scene.tree)
    os.kill(pid, signal.SIGSTOP)
    await trio.sleep(scene.seconds / 2)
    os.kill(pid, signal.SIGCONT)
    await trio.sleep(scene.seconds / 2)


async def _flood(scene: Scene) -> None:
    """Read frames as fast as the venue can say them, into bars and a client."""
    with running(_client("watch", scene.tree, [_FLOOD])) as client:
        client.hear_key("fresh")
        await trio.sleep(scene.seconds)


STRIKES: Final[dict[str, Strike]] = {
    "no fault": _nothing,
    "disconnects": _told(
        {"kind": "disconnect", "how": "mid_frame"},
        {"kind": "disconnect", "how": "clean"},
        _CUT,
    ),
    "silence": _told({"kind": "silence", "seconds": 60, "pongs": False}),
    "garbage, truncated, twice, out of order": _told(
        {"kind": "garbage"},
        {"kind": "truncate"},
        {"kind": "duplicate", "times": 50},
        {"kind": "reorder", "span": 9},
    ),
    "429": _told(
        {"kind": "http", "status": 429, "retry_after": 1, "count": 0}, _CUT
    ),
    "5xx": _told(
        {"kind": "http", "status": 502, "count": 0},
        {"kind": "upgrade", "status": 503, "count": 0},
        _CUT,
    ),
    "pages for JSON": _told({"kind": "http", "html": True, "count": 0}, _CUT),
    "slow": _told({"kind": "slow", "accept_s": 1, "response_s": 1}, _CUT),
    "refused": _refuse,
    "skew": _told({"kind": "skew", "ms": 5000}, _CUT),
    "datad SIGKILLed": _kill,
    "datad stopped": _stop,
    "flood": _flood,
}  # fmt: skip


def run(
    rounds: int = 5,
    strikes: tuple[str, ...] = tuple(STRIKES),
    seconds: float = 2.5,
    flood: int = 150_000,
) -> Report:
    """Measure the longest gaps of the healthy stream under each fault, ms.

    Args:
      rounds: of all faults, each in a tree of its own.
      strikes: names in `STRIKES`.
      seconds: that each lasts.
      flood: frames of it.
    """
    found: list[dict[str, Gaps]] = []
    with tempfile.TemporaryDirectory(prefix="piker-bench-") as name:
        steady, flooding = Path(name) / "steady", Path(name) / "flood"
        write_session(steady, RATE_HZ, 40 + 2 * seconds * len(strikes))
        write_session(flooding, 1000, flood / 1000, quotes_a_trade=3)
        found += [
            trio.run(_round, steady, flooding, strikes, seconds) for _ in range(rounds)
        ]
    rows: list[Measure] = []
    for strike in strikes:
        ours, bare, added = zip(*(one[strike] for one in found), strict=True)
        rows.append(compared(f"{strike}: longest gap", "ms", ours, bare))
        rows.append(
            compared(f"{strike}: added", "ms", added, rule="<=", target=ADDED_MS)
        )
    return Report("isolation", FLOOR, tuple(rows), (NOTE,))


async def _round(
    steady: Path, flooding: Path, strikes: tuple[str, ...], seconds: float
) -> dict[str, Gaps]:
    """Return by fault how long the gaps were in a tree of its own."""
    with tempfile.TemporaryDirectory(prefix="piker-bench-") as folder:
        async with (
            open_emulator("binance.spot", sim=_SIM) as bad,
            open_emulator("binance.usdtm", session=flooding, speed=0) as flood,
            open_emulator("kraken.spot", session=steady) as good,
            open_test_pikerd(
                Path(folder),
                conf=conf_of(bad, flood, good),
                embedded=False,
                deadline_s=300,
            ) as tree,
        ):
            return await _struck(Scene(bad, tree, seconds), good, strikes)


async def _struck(
    scene: Scene, good: Emulator, strikes: tuple[str, ...]
) -> dict[str, Gaps]:
    """Strike one venue with each fault while two clients listen to the other."""
    programs = (
        _client("watch", scene.tree, _BAD),
        _client("arrivals", scene.tree, [_GOOD]),
        Program(("benchmarks._bare_wire", f"{good.ws_url}/v2", "BTC/USDT")),
    )
    with ExitStack() as ending:
        watching, ours, bare = (ending.enter_context(running(p)) for p in programs)
        watching.hear_key("fresh")
        ours.hear_key("ready")
        bare.hear_key("ready")
        await trio.sleep(1)  # until imports, caches and the scheduler have settled
        windows: dict[str, tuple[int, int]] = {}
        for name in strikes:
            began_ns = time.monotonic_ns()
            await STRIKES[name](scene)
            windows[name] = began_ns, await _both_heard_since(began_ns, ours, bare)
        heard, alone = _arrivals(ours), _arrivals(bare)
    return {name: _gaps(heard, alone, *at) for name, at in windows.items()}


async def _both_heard_since(from_ns: int, ours: Program, bare: Program) -> int:
    """Wait until both clients had some trades since; return when that was so, ns."""
    while True:
        heard, alone = _arrivals(ours), _arrivals(bare)
        both = heard.keys() & alone.keys()
        if sum(min(heard[tid], alone[tid]) > from_ns for tid in both) > 1:
            return time.monotonic_ns()
        await trio.sleep(0.1)  # to be asked is work for both


def _arrivals(client: Program) -> dict[int, int]:
    """Return when each trade came, monotonic ns by its number."""
    client.tell("so far")
    told = client.hear()
    if "event" in told:
        raise BenchmarkError(f"the healthy stream was touched: {told['event']}")
    return {tid: at_ns for at_ns, tid in told["arrivals"]}


def _gaps(ours: dict[int, int], bare: dict[int, int], from_ns: int, to_ns: int) -> Gaps:
    """Return the longest gaps that ended in a window."""
    mine, theirs, added = [], [], []
    for before, tid in pairwise(sorted(ours.keys() & bare.keys())):
        between = ours[tid] - ours[before], bare[tid] - bare[before]
        if from_ns <= ours[tid] <= to_ns:
            mine.append(between[0])
            added.append(between[0] - between[1])
        if from_ns <= bare[tid] <= to_ns:
            theirs.append(between[1])
    return Gaps(*(max(found, default=0) / 1e6 for found in (mine, theirs, added)))


def _client(what: str, tree: TestTree, fqmes: list[str]) -> Program:
    told = json.dumps({"addr": tree.addr, "fqmes": fqmes})
    return Program(("benchmarks._client", what, told), tree.env)


def _datad(tree: TestTree) -> int:
    """Return the pid of the struck venue's datad."""
    for proc in tree_processes(tree.pid):
        if "datad.binance" in " ".join(proc.cmdline()):
            return proc.pid
    raise BenchmarkError("the tree has no 'datad.binance'")
