"""From nothing to a quote: a cold pikerd, a client, datad and samplerd behind it.

pikerd's process -> listens -> client's process -> feed -> datad -> first quote
"""

from __future__ import annotations

from ._procs import bare_tree, piker_tree
from ._report import Report, alternate, compared

FQME = "btcusdt.spot.sim"
FLOOR = "as many bare tractor actors, started in the same order, with the same imports"


def run(rounds: int = 5, *, warm: bool = True) -> Report:
    """Measure the start of a tree up to a client's first quote, seconds.

    What is cold is the tree, not the disk: unless *warm* is false, one round goes
    before those that count.
    """
    if warm:
        alternate(1, piker_once, bare_once)
    ours, floor = alternate(rounds, piker_once, bare_once)
    rows = []
    for name, key, other, target in (
        ("the root listening", "up", "up", None),
        ("the first quote", "first", "first", 2.0),
        ("the first live trade", "live", "first", None),
    ):
        mine, bare = [one[key] for one in ours], [one[other] for one in floor]
        rows.append(compared(f"to {name}", "s", mine, bare, target=target))
    note = f"a trade of {FQME} comes every 0.2 s on average: part of the last row"
    return Report("boot", FLOOR, tuple(rows), (note,))


def piker_once() -> dict[str, float]:
    """Start a piker tree; return when what was reached, s."""
    with piker_tree() as tree, tree.client("first", fqmes=[FQME]) as client:
        return _since(
            tree.root.began_ns,
            up=tree.up_ns,
            first=client.hear_key("first"),
            live=client.hear_key("live"),
        )


def bare_once() -> dict[str, float]:
    """Start a bare tree; return when what was reached, s."""
    with bare_tree("boot") as tree, tree.client("first") as client:
        return _since(tree.root.began_ns, up=tree.up_ns, first=client.hear_key("first"))


def _since(began_ns: int, **reached_ns: int) -> dict[str, float]:
    return {name: (at_ns - began_ns) / 1e9 for name, at_ns in reached_ns.items()}
