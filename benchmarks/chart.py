"""The chart: frames, ticks, panning, CPU, from a tick to its pixels, first picture.

frames: columns and paint, offscreen, 1600x900    live: a window before a tree
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

from ._procs import Program, Tree, piker_tree, running
from ._report import Measure, Report, compared, quantile
from ._sessions import SESSION_FQME, write_session

FLOOR: Final = (
    "pyqtgraph: the same candles in a PlotWidget with its axes, from arrays by M4; the"
    " same in a guest run told of as many quotes by a task"
)
FQME: Final = "btcusdt.spot.sim"
SIZES: Final = (1000, 100_000, 1_000_000)
RATE_HZ: Final = 200.0
CLIENT: Final = "benchmarks._chart_client"
BARE: Final = ("benchmarks._bare_chart",)
NOTE: Final = (
    "ours has volume, tags, a legend and a second chart beside; the floor has one plot"
)


def run(
    rounds: int = 5,
    sizes: tuple[int, ...] = SIZES,
    pictures: int = 15,
    seconds: float = 6.0,
    memory_s: float = 60.0,
) -> Report:
    """Measure a chart; in processes of their own but for frames."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    rows = [*_frames(rounds, sizes, pictures)]
    rows += _first(rounds)
    rows += _live(rounds, seconds)
    rows.append(_memory(memory_s))
    return Report("chart", FLOOR, tuple(rows), (NOTE,))


# -- frames ------------------------------------------------------------------------


def _frames(rounds: int, sizes: tuple[int, ...], pictures: int) -> list[Measure]:
    from piker.ui._qt._guest import application
    from tests.ui._bench import walk

    from ._bare_chart import frames

    application()
    rows, whole = [], {}
    for size in sizes:
        bars = walk(size, 60)
        table = {name: bars[name].copy() for name in bars.dtype.names}
        ours, floor = [], []
        for _ in range(rounds):
            ours += _our_frames(bars, pictures)
            floor += frames(_Table(table), pictures)
        whole[size] = ours
        name = f"a picture of {size:,} bars"
        rows.append(compared(name, "ms", ours, floor, target=1.5))
    bars = walk(max(sizes), 60)
    ticks, pans, zooms = _steps(bars, pictures * rounds)
    rows.append(
        compared("a tick of the newest bar", "ms", ticks, rule="<=", target=1.0)
    )
    most = whole[max(sizes)]
    for name, took in (("a step of a pan", pans), ("of a zoom", zooms)):
        what = f"{name} at {max(sizes):,} bars, to its picture"
        rows.append(compared(what, "ms", took, most, target=2.0))
    return rows


class _Table(dict):
    def __len__(self) -> int:
        return len(self["time"])


def _surface(bars) -> Any:
    """Return a canvas that shows all of *bars*."""
    from PySide6.QtGui import QFont
    from PySide6.QtWidgets import QApplication

    from piker.ui._chart import Chart
    from piker.ui._qt._canvas import ChartCanvas
    from piker.ui._series import Series
    from piker.ui._theme import DARK
    from tests.ui._bench import mkt_of

    series = Series(mkt_of(), 60)
    series.splice(bars)
    font = QFont("DejaVu Sans")
    font.setPixelSize(12)
    canvas = ChartCanvas(Chart(series), DARK, font)
    canvas.resize(1600, 900)
    canvas.show()
    QApplication.processEvents()
    canvas.chart.view.show(len(bars), series.end)
    canvas.grab()
    return canvas


def _our_frames(bars, pictures: int) -> list[float]:
    from time import perf_counter

    canvas = _surface(bars)
    took = []
    for _ in range(pictures):
        canvas.chart.series.past += 1  # all of it is grouped anew, as the floor does
        began = perf_counter()
        canvas.grab()
        took.append((perf_counter() - began) * 1e3)
    canvas.close()
    return took


def _steps(bars, count: int) -> tuple[list[float], list[float], list[float]]:
    """Return ms of ticks, of pans and of zooms."""
    from time import perf_counter

    from PySide6.QtWidgets import QApplication

    canvas = _surface(bars)
    chart = canvas.chart
    chart.view.show(500, chart.series.end)
    canvas.repaint()
    ticks = []
    newest = bars[-1:].copy()
    for i in range(count):
        newest["close"] = newest["low"] + (newest["high"] - newest["low"]) * (i % 7) / 6
        began = perf_counter()
        change = chart.series.splice(newest)
        if change is not None:
            canvas.take(change)
            QApplication.processEvents()
            ticks.append((perf_counter() - began) * 1e3)
    chart.view.show(len(bars), chart.series.end)
    canvas.grab()
    pans, zooms = [], []
    for i in range(count):
        began = perf_counter()
        chart.view.pan(7.0 if i % 2 else -7.0, 0, chart.series.start, chart.series.end)
        canvas.grab()
        pans.append((perf_counter() - began) * 1e3)
        began = perf_counter()
        chart.view.zoom_at_end(1.01 if i % 2 else 1 / 1.01, chart.series.end)
        canvas.grab()
        zooms.append((perf_counter() - began) * 1e3)
    canvas.close()
    return ticks, pans, zooms


# -- in a tree ---------------------------------------------------------------------


def _first(rounds: int) -> list[Measure]:
    """Measure from a process's start to its first picture of 10,000 bars."""
    ours, floor = [], []
    with piker_tree("[data]\nhist_days = 8\n") as tree:
        with tree.client("watch", fqmes=[FQME]):
            for _ in range(rounds + 1):
                ours.append(_first_ms(tree))
                with running(Program((*BARE, "first", "10000"))) as bare:
                    painted = bare.hear_key("painted") - bare.began_ns
                    floor.append(painted / 1e6)
    what = "a warm pikerd, from start to a picture of 10,000 bars"
    return [compared(what, "ms", ours[1:], floor[1:], target=2.0)]


def _first_ms(tree: Tree) -> float:
    with tree.program(CLIENT, "first", fqme=FQME, bars=10_000) as program:
        return (program.hear_key("painted") - program.began_ns) / 1e6


def _live(rounds: int, seconds: float) -> list[Measure]:
    """Measure a window at 200 quotes a second: CPU shown and hidden, lateness."""
    shown, hidden, late, floor = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="piker-bench-") as folder:
        path = Path(folder) / "quotes.txt"
        write_session(path, RATE_HZ, rounds * (3 * seconds + 20) + 30)
        for _ in range(rounds):
            with piker_tree(f'[sim]\nsessions = ["{path}"]\n') as tree:
                what = {"fqme": SESSION_FQME, "seconds": seconds}
                with tree.program(CLIENT, "live", **what) as program:
                    told = program.hear()
            shown.append(100 * told["shown"])
            hidden.append(100 * told["hidden"])
            late += told["late"]
            argv = (*BARE, "guest", "10000", f"{RATE_HZ}", f"{seconds}")
            with running(Program(argv)) as bare:
                floor.append(100 * bare.hear_key("cpu"))
    p50, p95 = quantile(late, 0.5), quantile(late, 0.95)
    return [
        compared("CPU of a window, 200 quotes/s", "%", shown, floor, target=1.5),
        compared("of a hidden one", "%", hidden, rule="<=", target=2.0),
        Measure(
            name="from datad to pixels, p50",
            unit="ms",
            ours=p50,
            rule="<=",
            target=25.0,
        ),
        Measure(
            name="from datad to pixels, p95",
            unit="ms",
            ours=p95,
            rule="<=",
            target=60.0,
        ),
    ]


def _memory(seconds: float) -> Measure:
    """Measure how a window grows in 8 h of market time, after the first tenth."""
    speed = 8 * 3600 / seconds
    conf = f'[sim]\nstart = "2026-03-02T00:00:00Z"\nspeed = {speed:g}\n'
    with piker_tree(conf) as tree:
        what = {"fqme": FQME, "seconds": seconds}
        with tree.program(CLIENT, "memory", **what) as program:
            rss = program.hear(seconds + 60)["rss"]
    grown = max(rss[5:]) - rss[1]
    return Measure(
        name="memory grown in 8 h of market time", unit="MiB", ours=grown, rule="<=",
        target=10.0,
    )  # fmt: skip
