"""The 1st, the 2nd, the 20th viewer of a market: how soon, and what datad pays."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from ._procs import Program, bare_tree, piker_tree
from ._report import Report, compared

FQME = "btcusdt.spot.sim"
FLOOR = "a bare tractor context and stream to a running actor, first message"
GROWTH_MB = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def run(rounds: int = 5, viewers: int = 20, settle_s: float = 2.0) -> Report:
    """Measure the time from ``open_feed()`` to a first quote, and datad's growth.

    A viewer is a process of its own; all stay until the round's end. The first one
    has datad started; the floor is of one that runs.
    """
    took: list[list[float]] = []
    grew: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        times, growth_mb = _view(viewers, settle_s)
        took.append(times)
        grew.append(growth_mb)
        floor.append(_bare_once())
    shown = sorted({1, 2, viewers})
    rows = [
        compared(
            f"viewer {n}, to the first quote",
            "ms",
            [times[n - 1] for times in took],
            floor if n > 1 else (),
        )
        for n in shown
    ]
    growth = f"datad grows by viewers 2 to {viewers}"
    rows.append(compared(growth, "MB", grew, rule="<=", target=GROWTH_MB))
    return Report("attach", FLOOR, tuple(rows))


def _view(viewers: int, settle_s: float) -> tuple[list[float], float]:
    took_ms: list[float] = []
    first_rss = 0.0
    with piker_tree() as tree, ExitStack() as stack:
        for n in range(viewers):
            client = stack.enter_context(tree.client("first", fqmes=[FQME]))
            said = client.hear()
            took_ms.append((said["first"] - said["began"]) / 1e6)
            client.hear_key("live")
            if n == 0:
                time.sleep(settle_s)  # samplerd comes up, steps begin
                pid = tree.root.child("datad.sim").pid
                first_rss = _rss_mb(pid)
        time.sleep(settle_s)
        return took_ms, _rss_mb(pid) - first_rss


def _rss_mb(pid: int) -> float:
    """Return the private resident memory; the bars' pages belong to the tree."""
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(shared)) * _PAGE / 2**20


def _bare_once() -> float:
    with bare_tree("source") as tree:
        datad = tree.root.hear_key("addr")
        with tree.client("attached", datad=datad) as client:
            return _milliseconds(client)


def _milliseconds(client: Program) -> float:
    said = client.hear()
    return (said["first"] - said["began"]) / 1e6
