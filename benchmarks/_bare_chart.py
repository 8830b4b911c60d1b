"""What pyqtgraph's own parts do for the same bars: the floor of ``chart``.

Candles in one item, as the fastest way found draws them (arrays of rectangles, columns
by M4), in a plot with its own axes; no volume, no labels, no orders.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

import numpy as np
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore
from pyqtgraph.Qt.internals import PrimitiveArray

UP, DOWN = "#26a69a", "#ef5350"


def columns(bars, first: int, end: int, most: int):
    """Return bars [first, end) in at most *most* columns, anchored at index 0."""
    k = max(1, -(-(end - first) // most))
    first = first // k * k
    whole = (end - first) // k
    upto = first + whole * k
    index = np.arange(first, end, k)
    high, low = np.empty(len(index)), np.empty(len(index))
    high[:whole] = bars["high"][first:upto].reshape(whole, k).max(axis=1)
    low[:whole] = bars["low"][first:upto].reshape(whole, k).min(axis=1)
    if upto < end:
        high[-1], low[-1] = bars["high"][upto:end].max(), bars["low"][upto:end].min()
    last = np.minimum(index + k, end) - 1
    return k, index, bars["open"][index], high, low, bars["close"][last]


class Candles(pg.GraphicsObject):
    """Candles of two colours, in plot coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self._rect = QtCore.QRectF()
        self._parts = [
            (PrimitiveArray(QtCore.QLineF, 4), PrimitiveArray(QtCore.QRectF, 4), color)
            for color in (UP, DOWN)
        ]

    def show(self, bars, first: int, end: int, most: int = 1500) -> None:
        k, index, opened, high, low, close = columns(bars, first, end, most)
        middle, width, rose = index + (k - 1) / 2, 0.8 * k, close >= opened
        for which, (lines, rects, _) in zip((rose, ~rose), self._parts, strict=True):
            at = np.flatnonzero(which)
            lines.resize(len(at))
            rects.resize(len(at))
            wick, body = lines.ndarray(), rects.ndarray()
            wick[:, 0] = wick[:, 2] = middle[at]
            wick[:, 1], wick[:, 3] = low[at], high[at]
            body[:, 0], body[:, 1] = middle[at] - width / 2, opened[at]
            body[:, 2], body[:, 3] = width, close[at] - opened[at]
        self.prepareGeometryChange()
        lowest, highest = float(low.min()), float(high.max())
        left, right = float(index[0]) - 1, float(index[-1]) + k + 1
        self._rect = QtCore.QRectF(left, lowest, right - left, highest - lowest)
        self.update()

    def paint(self, painter, *_) -> None:
        for lines, rects, color in self._parts:
            painter.setPen(pg.mkPen(color))
            painter.drawLines(*lines.drawargs())
            painter.setPen(QtCore.Qt.PenStyle.NoPen)
            painter.setBrush(pg.mkBrush(color))
            painter.drawRects(*rects.drawargs())

    def boundingRect(self):  # noqa: N802
        return self._rect


def plot(app, width: int = 1600, height: int = 900):
    """Return a plot that is shown, and its candles."""
    view = pg.PlotWidget()
    view.resize(width, height)
    view.disableAutoRange()
    view.hideButtons()
    candles = Candles()
    view.addItem(candles)
    view.show()
    app.processEvents()
    return view, candles


def span(view, bars, first: int, end: int) -> None:
    low, high = bars["low"][first:end].min(), bars["high"][first:end].max()
    view.setRange(xRange=(first, end), yRange=(low, high), padding=0)


def frames(bars, rounds: int) -> list[float]:
    """Return ms that pictures of all bars took: arrays, then a repaint of all."""
    app = pg.mkQApp()
    view, candles = plot(app)
    span(view, bars, 0, len(bars))
    view.grab()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        candles.show(bars, 0, len(bars))
        view.grab()
        took.append((time.perf_counter() - began) * 1e3)
    view.close()
    return took


def first_picture(bars) -> None:
    """Show a window with bars, say when it is painted, end."""
    app = pg.mkQApp()
    view, candles = plot(app)
    candles.show(bars, 0, len(bars))
    span(view, bars, 0, len(bars))
    view.grab()
    print(json.dumps({"painted": time.monotonic_ns()}), flush=True)


async def live(view, candles, bars, hz: float, seconds: float, told: Any) -> None:
    """Be told of *hz* quotes a second by a task, repaint at most 60 times a second."""
    import psutil
    import trio

    dirty = False
    n, me = len(bars), psutil.Process()

    async def quote() -> None:
        nonlocal dirty
        rng = np.random.default_rng(7)
        while True:
            close = bars["close"][n - 1] + rng.normal(scale=0.5)
            bars["close"][n - 1] = close
            bars["high"][n - 1] = max(bars["high"][n - 1], close)
            bars["low"][n - 1] = min(bars["low"][n - 1], close)
            dirty = True
            await trio.sleep(1 / hz)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(quote)
        await trio.sleep(1)
        used, began = me.cpu_times(), trio.current_time()
        while trio.current_time() < began + seconds:
            if dirty:
                dirty = False
                candles.show(bars, n - 500, n)
                span(view, bars, n - 500, n)
            await trio.sleep(1 / 60)
        now = me.cpu_times()
        spent = now.user + now.system - used.user - used.system
        told["cpu"] = spent / seconds
        tasks.cancel_scope.cancel()


def guest(bars, hz: float, seconds: float) -> None:
    """Run `live` as a guest of Qt's loop; say what part of a core it took."""
    from piker.ui._qt._guest import application, run

    app = application()
    view, candles = plot(app)
    told: dict[str, float] = {}
    run(app, partial(live, view, candles, bars, hz, seconds, told))
    print(json.dumps(told), flush=True)


def main() -> None:
    """Do what is asked for: ``first N`` or ``guest N HZ SECONDS``."""
    from tests.ui._bench import walk

    what, count, *rest = sys.argv[1:]
    bars = walk(int(count), 60)
    columns_ = {name: np.ascontiguousarray(bars[name]) for name in bars.dtype.names}
    del bars
    table = Table(columns_)
    if what == "first":
        first_picture(table)
    else:
        guest(table, *map(float, rest))


class Table(dict):
    """Columns by name; as long as each of them is."""

    def __len__(self) -> int:
        return len(self["time"])


if __name__ == "__main__":
    main()
