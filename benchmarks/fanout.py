"""200 quotes a second from datad to one and to eight client processes: how late.

[datad: a replay at its own pace] --quote--> client: now - when the trade was due
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ._procs import Program, Tree, bare_tree, piker_tree
from ._report import Measure, Report, compared, quantile
from ._sessions import SESSION_FQME, write_session

RATE_HZ = 200.0
FLOOR = "a bare tractor stream to each client, same payload size, same pace"
#: Of each client, until imports, caches and the scheduler have settled.
SKIP = 100
#: A replay's clock starts with its first client; the others have so long to join.
JOIN_S = 12.0

NOTE = "each number is the median over the rounds, beside it the worst round's"

Late = dict[str, list[float]]


def run(
    rounds: int = 5, clients: tuple[int, ...] = (1, 8), seconds: float = 5.0
) -> Report:
    """Measure how late quotes are, ms, since they were due and since datad's stamp."""
    rows: list[Measure] = []
    with tempfile.TemporaryDirectory(prefix="piker-bench-") as folder:
        path = Path(folder) / "quotes.txt"
        write_session(path, RATE_HZ, seconds + JOIN_S + max(clients))
        for count in clients:
            rows += _rows(count, *_alternate(rounds, path, count, seconds))
    return Report("fanout", FLOOR, tuple(rows), (NOTE,))


def _rows(count: int, ours: list[Late], floor: list[Late]) -> list[Measure]:
    rows = []
    who = f"{count} client{'s' * (count > 1)}"
    for since, of in (("due", "due"), ("sent", "made")):
        for name, share, target in (("p50", 0.5, 1.5), ("p99", 0.99, 2.0)):
            mine, bare = (
                [quantile(late[of], share) for late in rounds]
                for rounds in (ours, floor)
            )
            what = f"{who}, {name} since {since}"
            rows.append(compared(what, "ms", mine, bare, target=target))
    return rows


def _alternate(
    rounds: int, path: Path, count: int, seconds: float
) -> tuple[list[Late], list[Late]]:
    ours: list[Late] = []
    floor: list[Late] = []
    for _ in range(rounds):
        told = _piker_once(path, count, seconds)
        ours.append(_late(told))
        floor.append(_late(_bare_once(count, seconds, told[0]["size"])))
    return ours, floor


def _late(told: list[dict[str, Any]]) -> Late:
    """Return how late the quotes of all clients were, ms."""
    return {of: [ns / 1e6 for one in told for ns in one[of]] for of in ("due", "made")}


def _piker_once(path: Path, count: int, seconds: float) -> list[dict[str, Any]]:
    conf = f'[sim]\nsessions = ["{path}"]\n'
    kwargs = {"fqmes": [SESSION_FQME], "skip": SKIP, "seconds": seconds}
    with piker_tree(conf) as tree:
        return _all(tree, count, kwargs)


def _bare_once(count: int, seconds: float, size: int) -> list[dict[str, Any]]:
    with bare_tree("source") as tree:
        datad = tree.root.hear_key("addr")
        total = SKIP + int(seconds * RATE_HZ)
        with ExitStack() as stack:
            programs = _start(stack, tree, count, {"datad": datad, "count": total})
            for program in programs:
                program.hear_key("ready")
            tree.root.tell({"rate_hz": RATE_HZ, "count": total, "size": size})
            return [_later(program.hear()) for program in programs]


def _later(told: dict[str, Any]) -> dict[str, Any]:
    return {name: late[SKIP:] for name, late in told.items()}


def _all(tree: Tree, count: int, kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        programs = _start(stack, tree, count, kwargs)
        for program in programs:
            program.hear_key("ready")
        return [program.hear() for program in programs]


def _start(
    stack: ExitStack, tree: Tree, count: int, kwargs: dict[str, Any]
) -> list[Program]:
    return [stack.enter_context(tree.client("latency", **kwargs)) for _ in range(count)]
