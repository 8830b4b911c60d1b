"""SIGKILL datad: how long until a client that stays attached has a fresh quote."""

from __future__ import annotations

import os
import signal
import time

from ._procs import Program, Tree, bare_tree, piker_tree
from ._report import Report, compared

FQME = "btcusdt.spot.sim"
FLOOR = "bare tractor: a loop of nursery, actor and context around each child"


def run(rounds: int = 5, settle_s: float = 1.0) -> Report:
    """Measure the time from SIGKILL to a fresh quote, seconds.

    Each round has trees of its own: several deaths in a row are backed off from. A
    kill comes *settle_s* after the first quote.
    """
    ours: list[dict[str, float]] = []
    floor: list[float] = []
    spawned: list[float] = []
    for _ in range(rounds):
        with piker_tree() as tree, tree.client("watch", fqmes=[FQME]) as client:
            ours.append(_piker_once(tree, client, settle_s))
        with bare_tree("supervised") as tree:
            with tree.client("watch", name="datad.sim") as client:
                floor.append(_bare_once(client, settle_s))
        with bare_tree("boot") as tree, tree.client("first") as client:
            said = client.hear()
            spawned.append((said["first"] - said["began"]) / 1e9)
    fresh, lost = ([one[key] for one in ours] for key in ("fresh", "lost"))
    rows = (
        compared("to a fresh quote", "s", fresh, floor, target=1.5),
        compared("beside a bare actor's mere start", "s", fresh, spawned),
        compared("to the client's being told", "s", lost),
    )
    return Report("restart", FLOOR, rows)


def _piker_once(tree: Tree, client: Program, settle_s: float) -> dict[str, float]:
    client.hear_key("fresh")
    time.sleep(settle_s)
    pid = tree.root.child("datad.sim").pid
    killed_ns = _kill(pid)
    lost_ns, fresh_ns = client.hear_key("lost"), client.hear_key("fresh")
    return {"lost": (lost_ns - killed_ns) / 1e9, "fresh": (fresh_ns - killed_ns) / 1e9}


def _bare_once(client: Program, settle_s: float) -> float:
    pid = client.hear_key("pid")
    time.sleep(settle_s)
    killed_ns = _kill(pid)
    said = client.hear()
    assert said["pid"] != pid
    return (said["fresh"] - killed_ns) / 1e9


def _kill(pid: int) -> int:
    killed_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    return killed_ns
