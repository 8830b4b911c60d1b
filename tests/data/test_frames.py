"""What waits for a recorder: bounded, and never ahead of what was handed over."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from piker.brokers.sessions import Up
from piker.data import _frames
from piker.data._frame_line import _first_frames
from piker.data._frames import WINDOW, FrameQueue
from piker.data.recording import out_paths
from piker.errors import Overrun
from piker.msgs import Credit, FramePoint, Warned

NS = 1_000_000_000


class Recorder:
    """The far end of a queue's stream."""

    def __init__(self):
        self.batches = []
        self._credit, self._credits = trio.open_memory_channel(1000)

    async def send(self, batch):
        await trio.lowlevel.checkpoint()
        self.batches.append(batch)

    def __aiter__(self):
        return self._credits.__aiter__()

    def acknowledge(self, n):
        self._credit.send_nowait(Credit(n=n))


async def start(tasks, queue, recorder):
    tasks.start_soon(queue.send_to, recorder)
    tasks.start_soon(queue.obey, recorder)
    await trio.testing.wait_all_tasks_blocked()


async def test_frames_share_messages_and_no_stamp_runs_back(autojump_clock):
    queue, recorder = FrameQueue(4 * NS), Recorder()
    note = Up(symbols=("X",), time_ns=1)
    async with trio.open_nursery() as tasks:
        await start(tasks, queue, recorder)
        for i, stamp in enumerate((1, 5, 3, 8)):
            queue.frame(stamp * NS, b'{"i":\n%d}' % i)
        queue.note(note)
        warned = Warned(fqmes=("x",), reason="odd", time_ns=1)
        queue.event(warned)
        await trio.sleep(1)
        (batch,) = recorder.batches
        tasks.cancel_scope.cancel()
    *lines, noted, rest = batch.lines.split(b"\n")
    assert lines == [b"%d {\"i\": %d}" % (stamp * NS, i)
                     for i, stamp in enumerate((5, 9, 9, 12))]  # fmt: skip
    assert noted == b'# {"note":"up","symbols":["X"],"time_ns":1}'
    assert rest == b""
    assert (batch.frames, batch.first_ns, batch.last_ns) == (4, 5 * NS, 12 * NS)
    assert batch.events == (warned,)


async def test_no_more_than_a_window_is_under_way(autojump_clock):
    queue, recorder = FrameQueue(0), Recorder()
    big = b"x" * 300_000  # a batch of its own
    async with trio.open_nursery() as tasks:
        await start(tasks, queue, recorder)
        for i in range(2 * WINDOW):
            queue.frame(i, big)
        await trio.sleep(1)
        assert len(recorder.batches) == WINDOW
        recorder.acknowledge(3)
        await trio.sleep(1)
        assert len(recorder.batches) == WINDOW + 3
        recorder.acknowledge(WINDOW)
        await trio.sleep(1)
        assert [one.first_ns for one in recorder.batches] == list(range(2 * WINDOW))
        tasks.cancel_scope.cancel()


async def test_a_batch_says_no_more_than_what_is_in_it_or_before_it(autojump_clock):
    queue, recorder, serial = FrameQueue(0), Recorder(), 0
    queue.watch("x", lambda: FramePoint(serial=serial, time_ns=0))
    async with trio.open_nursery() as tasks:
        for i in range(40):
            queue.frame(NS, b"%d %s" % (i, b"x" * 100_000))
            serial = i + 1
        await start(tasks, queue, recorder)
        while queue.waiting:
            recorder.acknowledge(1)
            await trio.sleep(0.1)
        await trio.sleep(1)
        tasks.cancel_scope.cancel()
    told = 0
    for batch in recorder.batches:
        told += batch.frames
        assert batch.points["x"].serial <= told
    assert told == 40
    assert recorder.batches[-1].points["x"].serial == 40


async def test_who_is_too_slow_is_let_go_and_memory_stays_bounded(monkeypatch):
    monkeypatch.setattr(_frames, "WAITING_MAX", 1 << 20)
    queue = FrameQueue(0)
    for _ in range(100):
        queue.frame(NS, b"x" * 100_000)
    assert queue.waiting <= (1 << 20) + 200_000
    with trio.fail_after(10), pytest.raises(Overrun, match="too slow: more than 1 MiB"):
        await queue.guard()


def test_the_last_batch_is_cut_at_a_frame():
    lines = b'# {"a":1}\n1 {}\n2 {}\r\n# {"b":1}\n3 {}\n'
    assert _first_frames(lines, 2) == b'# {"a":1}\n1 {}\n2 {}\r\n# {"b":1}\n'
    assert _first_frames(lines, 0) == b'# {"a":1}\n'
    assert _first_frames(lines, 3) == lines


def test_each_venue_has_a_file(tmp_path):
    out = tmp_path / "day.1.zst"
    assert out_paths(out, ["binance.spot"]) == {"binance.spot": out}
    assert out_paths(out, ["binance.spot", "kraken.spot"]) == {
        "binance.spot": tmp_path / "day.1.binance.spot.zst",
        "kraken.spot": tmp_path / "day.1.kraken.spot.zst",
    }
