"""Orders: sent to filled, a tick to what it fires, the 10,000th, a cancel in noise.

client --order--> emsd --> paperboi: ledger --fill--> emsd: journal --> client
floor of it: 6 hops of a bare stream and 2 small writes with fdatasync, just beside it
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import darks
from ._floor import open_floor
from ._procs import Program, on_disk, piker_tree
from ._report import Measure, Report, compared, quantile
from ._sessions import (
    SESSION_FQME,
    WINDOW_S,
    WINDOWS_FQME,
    write_session,
    write_windows,
)

FLOOR = (
    "hops of a bare tractor stream and fdatasyncs on the journal's disk, in turn with"
    " it; the 100th order; no ticks; ten darks"
)
RATE_HZ: Final = 50.0
#: Frames a second of the loud market, seven ticks of four of them.
LOUD_HZ: Final = 3000.0
FEW, MANY = 100, 10_000
_CONF: Final = """
[paper]
latency_ms = 0
cancel_latency_ms = 0
[clearing]
notify = []
[risk]
max_open_orders = 0
max_orders_per_s = 0
price_band_pct = 0
[data]
store = false
hist_days = 1
rt_hours = 0.5
[sim]
sessions = ["{steady}", "{windows}"]
"""


@dataclass(frozen=True)
class Counts:
    """How much of what is measured.

    Attributes:
      fills, darks: orders a round.
      few, many: orders that rest.
      opened: more of them, a round.
      windows: silent and loud, a round.
      settle_s: until those that rest are in the journal's main file, and its log is
        written from its beginning again.
    """

    fills: int = 40
    darks: int = 10
    few: int = FEW
    many: int = MANY
    opened: int = 20
    windows: int = 2
    settle_s: float = 65.0


def run(rounds: int = 5, counts: Counts | None = None) -> Report:
    """Measure what orders take, ms."""
    counts = counts or Counts()
    with on_disk("clearing") as disk:
        steady, windows = disk / "steady.txt", disk / "windows.txt"
        write_session(steady, RATE_HZ, 300.0 + 60 * rounds, quotes_a_trade=1)
        write_windows(
            windows, LOUD_HZ, 60 + 2 * WINDOW_S * (counts.windows * rounds + 2)
        )
        conf = _CONF.format(steady=steady, windows=windows)
        filled, made_of = _filled(rounds, counts, conf, disk)
        resting = _resting(rounds, counts, conf, disk)
        cancels, note = _cancels(rounds, counts, conf, disk)
    tick = next(row for row in darks.run(rounds).measures if row.target)
    return Report(
        "clearing", FLOOR, (*filled, resting, *cancels, tick), (made_of, note)
    )


@contextmanager
def _trading(conf: str, disk: Path, name: str) -> Iterator[Program]:
    """Yield a ``_trader`` in a tree of its own, whose files are on *disk*."""
    folder = disk / name
    folder.mkdir(mode=0o700)
    with (
        piker_tree(conf, at=folder) as tree,
        tree.program("benchmarks._trader", SESSION_FQME, addr=tree.addr) as trader,
    ):
        trader.hear_key("ready")
        yield trader


# -- what an order takes ---------------------------------------------------------------


def _filled(
    rounds: int, counts: Counts, conf: str, disk: Path
) -> tuple[tuple[Measure, ...], str]:
    """Measure orders to fills, and ticks to what they fire, in turn with the floor."""
    fill: list[float] = []
    bare: list[float] = []
    dark: list[float] = []
    half: list[float] = []
    with _trading(conf, disk, "filled") as trader, open_floor(disk) as floor:
        trader.does("fills", count=10)
        floor.ms(10)
        for _ in range(rounds * counts.fills):
            fill += trader.does("fills", count=1)
            bare += floor.ms(1)
        for _ in range(rounds):
            dark += trader.does("darks", count=counts.darks)
            half += [ms / 2 for ms in floor.ms(counts.darks)]
        note = floor.note
    rows = (
        compared("order to fill; 6 hops, 2 fdatasyncs", "ms", fill, bare, target=1.0),
        compared("tick to order; 3 hops, 1 fdatasync", "ms", dark, half, target=1.0),
    )
    return rows, note


# -- many orders, many ticks -----------------------------------------------------------


def _resting(rounds: int, counts: Counts, conf: str, disk: Path) -> Measure:
    """Measure an order in turn where few rest and where many do."""
    took: dict[int, list[float]] = {counts.few: [], counts.many: []}
    with ExitStack() as stack:
        traders = {
            count: stack.enter_context(_trading(conf, disk, f"resting{count}"))
            for count in took
        }
        for count, trader in traders.items():
            trader.does("rest", count=count)
        time.sleep(counts.settle_s)
        for _ in range(2 * rounds):
            for count, trader in traders.items():
                took[count] += trader.does("opened", count=-(-counts.opened // 2))
    name = f"order {counts.many:,} to its ack; order {counts.few:,}"
    return compared(name, "ms", took[counts.many], took[counts.few], target=1.1)


def _cancels(
    rounds: int, counts: Counts, conf: str, disk: Path
) -> tuple[tuple[Measure, ...], str]:
    """Measure cancels while another market, where darks wait, is silent and loud."""
    silent: list[float] = []
    loud: list[float] = []
    with _trading(conf, disk, "cancels") as trader:
        trader.does("arm", fqme=WINDOWS_FQME, count=10)
        rate = trader.does("rate", fqme=WINDOWS_FQME)
        for _ in range(rounds):
            seconds = 2 * WINDOW_S * counts.windows
            found = trader.does("cancels", fqme=WINDOWS_FQME, seconds=seconds)
            silent += found[0]
            loud += found[1]
    at = [
        [quantile(samples, share)]
        for share in (0.5, 0.99)
        for samples in (loud, silent)
    ]
    rows = (
        compared("cancel while it is loud, p50; while it isn't", "ms", at[0], at[1]),
        compared("the same, p99", "ms", at[2], at[3], target=2.0),
    )
    return rows, f"loud: {rate:,.0f} ticks/s in emsd; {len(loud)} cancels"
