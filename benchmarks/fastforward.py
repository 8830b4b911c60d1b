"""Two days of market time at full speed: every bar checked, memory flat.

datad: generator --ticks--> bars of 1 s and 60 s, in rings that turn over
here:  the same generator's own bars, filled by the calendar, compared cell by cell
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil
import trio

from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.data import Ended, Feed, Flume, open_feed
from piker.testing import TestTree, open_test_pikerd

from ._report import Measure, Report

START: Final = "2026-03-02T00:00:00Z"
START_S: Final = 1_772_409_600
NS: Final = 10**9
SEED: Final = 7
DAY_S: Final = 86_400
#: Resident growth of datad from half time on, MiB.
GROWTH_MB: Final = 8.0
#: Longest a buffer may stand still while its market plays.
STILL_S: Final = 5.0
FQMES: Final = ("btcusdt.spot.sim", "tsla.nasdaq.sim", "es.cme.20260619.sim")
#: The longest a night, or a weekend's end, closes these markets, in seconds played.
_SAMPLE_S: Final = 0.25


@dataclass
class Played:
    """What one playing showed.

    Attributes:
      took_s: from the open feed to the last market's end.
      bars: rows compared.
      wrong: what differs, a line each.
      rss_mb: of datad, by the quarter second.
      still_s: longest time without a change of the always open market's bars.
    """

    took_s: float = 0.0
    bars: int = 0
    wrong: list[str] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    still_s: float = 0.0

    @property
    def growth_mb(self) -> float:
        """Resident memory at the end, above that at half time."""
        half = self.rss_mb[len(self.rss_mb) // 2 :]
        return max(half) - half[0]


def run(rounds: int = 1, length_s: int = 2 * DAY_S) -> Report:
    """Play *length_s* of market time once; *rounds* is for the other benchmarks."""
    _ = rounds
    with tempfile.TemporaryDirectory() as folder:
        played = trio.run(_in_a_tree, Path(folder), FQMES, length_s)
    rows = (
        Measure(name="market time a second", unit="s", ours=length_s / played.took_s),
        Measure(name="bars compared", unit="", ours=played.bars),
        Measure(
            name="bars that differ",
            unit="",
            ours=len(played.wrong),
            rule="<=",
            target=0,
        ),
        Measure(
            name="datad grew from half time on",
            unit="MiB",
            ours=played.growth_mb,
            rule="<=",
            target=GROWTH_MB,
        ),
        Measure(
            name="longest stand-still of the bars",
            unit="s",
            ours=played.still_s,
            rule="<=",
            target=STILL_S,
        ),
    )
    return Report("fastforward", "the generator's own bars", rows)


def conf(length_s: int, **data: int) -> str:
    """Return a ``conf.toml`` for such a playing; *data* are sizes of buffers."""
    sizes = "".join(f"{key} = {value}\n" for key, value in data.items())
    return (
        f'[sim]\nseed = {SEED}\nspeed = 0\nstart = "{START}"\nlength_s = {length_s}\n'
        f"[data]\n{sizes}"
    )


async def _in_a_tree(folder: Path, fqmes: tuple[str, ...], length_s: int) -> Played:
    async with open_test_pikerd(
        folder / "tree", conf=conf(length_s), deadline_s=600
    ) as tree:
        return await play(tree, fqmes, length_s)


async def play(tree: TestTree, fqmes: tuple[str, ...], length_s: int) -> Played:
    """Play markets to their end in a tree made with `conf`, and check their bars."""
    played = Played()
    began = time.perf_counter()
    async with open_feed(fqmes) as feed, trio.open_nursery() as tasks:
        tasks.start_soon(_sample, tree, feed.flumes[fqmes[0]], played)
        await _until_ended(feed)
        tasks.cancel_scope.cancel()
    played.took_s = time.perf_counter() - began
    for fqme in fqmes:
        for period_s in (1, 60):
            await _compare(feed.flumes[fqme], period_s, length_s, played)
    return played


async def _until_ended(feed: Feed) -> None:
    going = set(feed.flumes)
    async for event in feed.events:
        if isinstance(event, Ended):
            going -= set(event.fqmes)
            if not going:
                return


async def _sample(tree: TestTree, flume: Flume, played: Played) -> None:
    assert tree.services is not None
    datad = psutil.Process(tree.services.service_tasks["datad.sim"].pid)
    moved_at, newest = time.perf_counter(), None
    while True:
        played.rss_mb.append(datad.memory_info().rss / 2**20)
        if (forming := flume.rt_shm.forming()) != newest:
            moved_at, newest = time.perf_counter(), forming
        played.still_s = max(played.still_s, time.perf_counter() - moved_at)
        await trio.sleep(_SAMPLE_S)


async def _compare(flume: Flume, period_s: int, length_s: int, played: Played) -> None:
    """Compare all bars a buffer holds of the playing with the generator's."""
    shm = flume.rt_shm if period_s == 1 else flume.hist_shm
    got = shm.slice(START_S, None).to_structured().tolist()
    expected = expected_bars(flume, period_s, length_s)
    await trio.lowlevel.checkpoint()
    held = min(len(expected), shm.capacity)
    played.bars += held
    what = f"{flume.fqme} {period_s} s"
    if len(got) != held:
        played.wrong.append(f"{what}: {len(got)} bars, not {held}")
    pairs = zip(got[::-1], expected[::-1], strict=False)
    played.wrong += [f"{what}: {a} is not {b}" for a, b in pairs if a != b]
    if not flume.calendar.weekly and any(
        b[0] - a[0] != period_s for a, b in pairwise(got)
    ):
        played.wrong.append(f"{what}: there is a hole in time")


def expected_bars(flume: Flume, period_s: int, length_s: int) -> list[tuple]:
    """Return the generator's bars of the playing, flat where open and not traded."""
    synthetic = Synthetic(find_market(flume.fqme), SEED)
    end_s = START_S + length_s
    traded = {
        row[0]: row
        for row in synthetic.bars(START_S * NS, end_s * NS, period_s).tolist()
    }
    close = _close_before(synthetic, period_s)
    bars = []
    for at in range(START_S, end_s, period_s):
        row = traded.get(at)
        if row is not None:
            close = row[4]
            bars.append(row)
        elif close is not None and flume.calendar.next_open(at) < at + period_s:
            bars.append((at, close, close, close, close, 0.0, 0))
    return bars


def _close_before(synthetic: Synthetic, period_s: int) -> float | None:
    """Return the last close of the history a buffer starts with, None without any."""
    rows = 1800 if period_s == 1 else 5000
    start_s = START_S - rows * period_s
    before = synthetic.bars(start_s * NS, START_S * NS, period_s)
    return float(before["close"][-1]) if len(before) else None
