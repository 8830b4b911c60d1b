"""A chart window that measures itself, as a program.

``python -m benchmarks._chart_client WHAT JSON``. It runs as `piker chart` does, but
offscreen, and says what it found as JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from functools import partial

import psutil
import trio

from piker import config
from piker.config import UiConf
from piker.ui._layouts import WindowLayout
from piker.ui._qt._app import ChartApp
from piker.ui._qt._guest import application, run
from piker.ui._session import open_session
from piker.ui._theme import DARK

from ._speak import say

SIZE = (1600, 900)


async def _open(app, session, fqme: str):
    charts = ChartApp(session, UiConf(), DARK, app)
    window = await charts.open(WindowLayout(fqmes=(fqme,)))
    window.resize(*SIZE)
    window.show()
    return charts, window


async def first(app, fqme: str, bars: int) -> None:
    """Say when a window of so many bars was painted the first time."""
    async with open_session(config.registry_addr(), trades=False) as session:
        charts, window = await _open(app, session, fqme)
        chart = window.slow.chart
        while len(chart.series) < bars:
            window.slow.refresh()
            await trio.sleep(0.001)
        chart.view.show(bars, chart.series.end)
        window.grab()
        say(painted=time.monotonic_ns(), bars=len(chart.series))
        charts.close()


async def live(app, fqme: str, seconds: float) -> None:
    """Say what part of a core a window takes, shown and hidden, and how late it is."""
    me = psutil.Process()
    async with open_session(config.registry_addr(), trades=False) as session:
        charts, window = await _open(app, session, fqme)
        await trio.sleep(2)
        late = Late(window)
        shown = await _cpu(me, seconds)
        while not late.ms:  # a busy machine may have painted none by then
            await trio.sleep(0.01)
        late_ms, frames = late.ms.copy(), late.frames
        window.hide()
        await trio.sleep(1)
        hidden = await _cpu(me, seconds)
        say(shown=shown, hidden=hidden, late=late_ms, frames=frames)
        charts.close()


async def _cpu(me: psutil.Process, seconds: float) -> float:
    used = me.cpu_times()
    await trio.sleep(seconds)
    now = me.cpu_times()
    return (now.user + now.system - used.user - used.system) / seconds


class Late:
    """How long it takes from a quote's stamp in datad to the pixels that show it."""

    def __init__(self, window) -> None:
        self.ms: list[float] = []
        self.frames = 0
        self._stamp_ns = 0
        self._market = window.market
        self._market.listeners.add(self._told)
        window.fast.canvas.painted.connect(self._painted)

    def _told(self) -> None:
        # of quotes that are shown by one picture the oldest waited longest
        if not self._stamp_ns:
            delay_ns = self._market.delay_s * 1e9
            self._stamp_ns = time.monotonic_ns() - int(delay_ns)

    def _painted(self) -> None:
        self.frames += 1
        if self._stamp_ns:
            self.ms.append((time.monotonic_ns() - self._stamp_ns) / 1e6)
            self._stamp_ns = 0


async def memory(app, fqme: str, seconds: float) -> None:
    """Say how much memory a window takes after each tenth of a time."""
    me, sizes = psutil.Process(), []
    async with open_session(config.registry_addr(), trades=False) as session:
        charts, window = await _open(app, session, fqme)
        for _ in range(10):
            await trio.sleep(seconds / 10)
            sizes.append(me.memory_info().rss / 2**20)
        say(rss=sizes, bars=len(window.fast.chart.series))
        charts.close()


def main() -> None:
    """Do what is asked for."""
    what, kwargs = sys.argv[1], json.loads(sys.argv[2])
    app = application()
    work = {"first": first, "live": live, "memory": memory}[what]
    run(app, partial(work, app, **kwargs))


if __name__ == "__main__":
    main()
