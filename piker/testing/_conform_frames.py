"""A backend's raw frames: recorded, they are to be played as they were.

stream_frames --> a session file --sim's reader--> the market's trades, none missing
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from piker.brokers.sessions import Note, SessionWriter
from piker.brokers.sim import PlayReport, open_session
from piker.msgs import FeedEvent, FramePoint, MktPair, boot_ns


class _FileSink:
    """Writes what is recorded to a file."""

    def __init__(self, writer: SessionWriter) -> None:
        self._writer = writer
        self._ahead_ns = time.time_ns() - boot_ns()
        self.reached: dict[str, Callable[[], FramePoint]] = {}

    def frame(self, received_ns: int, payload: bytes) -> None:
        at_ns = received_ns + self._ahead_ns
        line = b"%d %s\n" % (at_ns, payload.replace(b"\n", b" "))
        self._writer.add(line, 1, at_ns, at_ns)

    def note(self, note: Note) -> None:
        self._writer.note(note)

    def watch(self, fqme: str, reached: Callable[[], FramePoint]) -> None:
        self.reached[fqme] = reached

    def event(self, event: FeedEvent) -> None:
        """Leave it: it is noted, too."""

    def serial(self, fqme: str) -> int:
        """Return the serial that comes next, -1 while it isn't known."""
        reached = self.reached.get(fqme)
        return -1 if reached is None else reached().serial


async def check_recorded(
    stream_frames: Callable[..., Awaitable[Any]], mkt: MktPair, trades: int
) -> None:
    """Record so many trades of a market in two goes; fail if any is missing."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SessionWriter(Path(folder) / "frames", [mkt])
        sink = _FileSink(writer)
        point = await _record(stream_frames, sink, mkt, {}, trades)
        again = {mkt.fqme: point}
        await _record(stream_frames, sink, mkt, again, trades)
        writer.close()
        session = open_session(writer.path)
        report = PlayReport()
        played = [t for batch in session.batches(report) for t in batch.ticks]
    tids = [tick.tid for tick in played if tick.type == "trade"]
    assert len(tids) >= 2 * trades, f"{len(tids)} trades were recorded"
    assert not report.lost, f"{report.lost} trades were not recorded"
    assert all(a < b for a, b in pairwise(tids)), "trades were played twice"


async def _record(
    stream_frames: Callable[..., Awaitable[Any]],
    sink: _FileSink,
    mkt: MktPair,
    points: dict[str, FramePoint],
    trades: int,
) -> FramePoint:
    """Record until *trades* more have come; return from where to go on."""
    sink.reached.clear()
    async with trio.open_nursery() as tasks:

        async def run() -> None:
            await stream_frames(sink, [mkt.fqme], points=points)

        tasks.start_soon(run)
        await _until(lambda: sink.serial(mkt.fqme) >= 0)
        first = sink.serial(mkt.fqme)
        await _until(lambda: sink.serial(mkt.fqme) >= first + trades)
        point = sink.reached[mkt.fqme]()
        tasks.cancel_scope.cancel()
    return point


async def _until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 - the contract has nothing to await
        await trio.sleep(0.02)
