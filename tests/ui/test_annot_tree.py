"""Charts of a real tree that are drawn in by other processes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import asynccontextmanager, closing

import pytest
import trio

from piker.errors import ChartNotFound, UsageError
from piker.msgs import Rect
from piker.storage import StoreWriter
from piker.testing._commands import open_command
from piker.ui import open_annot_ctl
from tests.ui._bench import walk
from tests.ui.test_window_tree import BTC, ETH, shown

pytestmark = pytest.mark.tree

GAPS = ("store", "gaps", "--period", "60", "--always-open", "--chart")


class Talk:
    """A process that is talked with, line by line."""

    def __init__(self, proc: trio.Process) -> None:
        self.proc, self._rest = proc, b""

    async def line(self, deadline_s: float = 20.0) -> str:
        with trio.fail_after(deadline_s):
            while b"\n" not in self._rest:
                more = await self.proc.stdout.receive_some()
                assert more, self._rest.decode()
                self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    async def rest(self, deadline_s: float = 30.0) -> str:
        """Return what it says until it ends."""
        with trio.fail_after(deadline_s):
            while more := await self.proc.stdout.receive_some():
                self._rest += more
            await self.proc.wait()
        return self._rest.decode()


async def start(tasks: trio.Nursery, tree, *args: str, **more) -> Talk:
    """Start ``piker ARGS``, what it says on stderr among its output."""
    ours, its = os.pipe()
    try:
        files = (subprocess.DEVNULL, its, its)
        proc = await open_command(*args, env={**tree.env, **more}, files=files)
    finally:
        os.close(its)
    proc.stdout = trio.lowlevel.FdStream(ours)
    tasks.start_soon(end_with_us, proc)
    return Talk(proc)


async def end_with_us(proc: trio.Process) -> None:
    try:
        await proc.wait()
    finally:
        if proc.returncode is None:
            proc.kill()


async def test_gaps_are_marked_in_a_chart_until_it_is_closed(open_test_pikerd):
    async with (
        open_test_pikerd(conf="[data]\nhist_days = 1\n", embedded=False) as tree,
        trio.open_nursery() as tasks,
    ):
        bars = walk(2000, 60)  # older than what is backfilled
        bars["time"][1000:] += 6000
        with closing(StoreWriter(BTC, 60)) as writer:
            writer.append(bars)
        alone = await start(tasks, tree, *GAPS, BTC)
        assert "no chart's window is open in the tree at" in await alone.rest()
        async with open_chart(tasks, tree) as chart:
            marking = await start(tasks, tree, *GAPS, BTC.upper())
            said = await marking.line()
            while "Ctrl-C ends it" not in said:
                said = await marking.line()
            assert said.endswith("marked in the open charts; Ctrl-C ends it")
            chart.proc.send_signal(signal.SIGTERM)
            assert (await marking.rest()).endswith("the charts were closed\n")
    assert (alone.proc.returncode, marking.proc.returncode) == (1, 0)


async def test_a_script_draws_in_each_open_chart(open_test_pikerd):
    async with (
        open_test_pikerd(embedded=False) as tree,
        trio.open_nursery() as tasks,
        open_chart(tasks, tree) as one,
        open_annot_ctl(tree.addr) as ctl,
    ):
        place = (1_790_000_000.0, None)
        aid = await ctl.add_rect(BTC, place, place, color="#123456")
        with pytest.raises(UsageError, match="a colour is #rrggbb"):
            await ctl.add_rect(BTC, place, place, color="red")
        async with ctl.open_rect(BTC.upper(), place, (0.0, 5.0), text="b") as other:
            assert other != aid
            await ctl.redraw(BTC)
        await ctl.remove(aid, other, 77)
        with pytest.raises(UsageError, match="draws up to 10,000 rectangles"):
            await ctl.add_rects([Rect(fqme=BTC, begin_s=0, end_s=1)] * 10_001)
        async with open_chart(tasks, tree, ETH) as two:
            async with open_annot_ctl(tree.addr) as both:
                assert both.fqmes == (BTC, ETH)
                await both.add_rect(ETH, place, place)
                # stuck: it is left out, the other one draws
                two.proc.send_signal(signal.SIGSTOP)
                await both.add_rect(BTC, place, place)
                one.proc.send_signal(signal.SIGTERM)
                await both.until_closed()
                with pytest.raises(ChartNotFound, match="all charts were closed"):
                    await both.add_rect(BTC, place, place)
            two.proc.send_signal(signal.SIGCONT)
        await ctl.until_closed()


@asynccontextmanager
async def open_chart(tasks, tree, fqme=BTC):
    """Yield a chart that shows a market; it ends with the block."""
    chart = await start(tasks, tree, "chart", fqme, QT_QPA_PLATFORM="offscreen")
    with trio.fail_after(40):
        while fqme not in await shown(tree):
            await trio.sleep(0.2)
    yield chart
    if chart.proc.returncode is None:
        chart.proc.send_signal(signal.SIGTERM)
    await chart.rest()
