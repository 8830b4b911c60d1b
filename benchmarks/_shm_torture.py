"""Shared bars under a writer at full speed, and under writers that get killed.

Each test runs in a fresh process that forks its writers and readers.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from piker.data._shm import Bars, ShmArray, ShmWriter
from piker.data._shm_layout import W_ADOPTIONS, W_FIRST, W_LAST, W_SEQ
from piker.msgs import ShmToken

from ._shm_series import PERIOD_S, judge, judge_adopted, write_series

CAPACITY = 512
ROOT = Path(__file__).resolve().parents[1]
_WRONGS = ("torn", "misplaced", "mixed", "backwards", "failed")

Result = dict[str, Any]


@contextmanager
def shm_folder() -> Iterator[Path]:
    """Yield a fresh folder in shared memory, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"piker-shm-{os.getpid()}-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _run_fresh(*args: object) -> Result:
    """Return what this module prints when run with *args* in a process of its own.

    That process forks, which one that runs tests, with threads, must not.
    """
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.shm", *map(str, args)]
    done = subprocess.run(
        command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, timeout=3600
    )
    return json.loads(done.stdout)


def _fork(task: Callable[[], Result]) -> tuple[int, int]:
    """Run *task* in a fork; returns its pid, and where its result is to be read."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid:
        os.close(sink)
        return pid, source
    try:
        os.write(sink, json.dumps(task()).encode())
    finally:
        os._exit(0)


def _join(child: tuple[int, int]) -> Result:
    pid, source = child
    with os.fdopen(source, "rb") as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def _parent_lives() -> Callable[[], bool]:
    parent = os.getppid()
    return lambda: os.getppid() == parent


def open_ring(path: Path | str, capacity: int = CAPACITY) -> ShmWriter:
    """Make or adopt the buffer at *path*."""
    return ShmWriter.open(
        path, fqme="btcusdt.spot.sim", period_s=PERIOD_S, capacity=capacity
    )


# -- torture -----------------------------------------------------------------------
def torture(reads: int, readers: int = 2) -> Result:
    """Read while a writer rolls over at full speed.

    Args:
      reads: over all readers.
      readers: processes.
    Returns: what was wrong in all copies (``torn``, ``misplaced``, ``mixed``,
      ``backwards``, ``failed``, all to be 0), the same of ``control_torn`` for a reader
      that checks nothing (to be > 0), how far the writer came and how long reads took.
    """
    with shm_folder() as folder:
        return _run_fresh("_torture", folder / "ring", reads, readers)


def torture_here(path: str, reads: int, readers: int) -> Result:
    """Do what `torture` says, in this process and forks of it."""
    stop = mmap.mmap(-1, mmap.PAGESIZE)
    first = open_ring(path)
    write_series(first, lambda: first.bounds[1] < 3 * CAPACITY)
    token = first.token
    first.close()

    def write() -> Result:
        writer = open_ring(path)
        lives = _parent_lives()
        start, began = writer.bounds[1], time.perf_counter()
        write_series(writer, lambda: not stop[0] and lives())
        rows = writer.bounds[1] - start
        return {"rows": rows, "seconds": time.perf_counter() - began}

    writing = _fork(write)
    try:
        share = reads // readers
        reading = [_fork(lambda: _read_much(token, share)) for _ in range(readers)]
        parts = [_join(child) for child in reading]
        control = _join(_fork(lambda: _read_carelessly(token, min(reads, 20_000))))
    finally:
        stop[0] = 1
    wrote = _join(writing)
    total = {k: sum(p[k] for p in parts) for k in (*_WRONGS, "reads", "rows_read")}
    slots = ShmArray.attach(token)._map.slots
    return {
        **total,
        **control,
        "rows_written": wrote["rows"],
        "turns": wrote["rows"] // slots,
        "writer_rows_per_s": round(wrote["rows"] / wrote["seconds"]),
        "read_us_median": max(p["median"] for p in parts),
        "read_us_p999": max(p["p999"] for p in parts),
        "read_us_worst": max(p["worst"] for p in parts),
    }


def _read_much(token: ShmToken, reads: int) -> Result:
    array = ShmArray.attach(token)
    total = dict.fromkeys((*_WRONGS, "reads", "rows_read"), 0)
    took = np.zeros(reads)
    newest = 0
    for k in range(reads):
        began = time.perf_counter()
        try:
            bars = _read_once(array, k)
        except Exception as e:  # noqa: BLE001 - counted, and shown once
            if not total["failed"]:
                sys.stderr.write(f"{e!r}\n")
            total["failed"] += 1
            continue
        took[k] = time.perf_counter() - began
        total["reads"] += 1
        if bars is None:
            continue
        for name, n in judge(bars).items():
            total[name] += n
        total["rows_read"] += len(bars)
        if k % 8 != 5:  # a range of times doesn't end at the newest bar
            total["backwards"] += bars.start + len(bars) < newest
            newest = max(newest, bars.start + len(bars))
    us = np.sort(took) * 1e6
    return {
        **total,
        "median": round(us[reads // 2], 1),
        "p999": round(us[int(reads * 0.999)], 1),
        "worst": round(us[-1], 1),
    }


def _read_once(array: ShmArray, k: int) -> Bars | None:
    """Make one of several kinds of reads; None if it says itself it doesn't count."""
    match k % 8:
        case 4:
            row = array.forming()
            assert row is not None
            raw = np.array([list(row)], np.float64).T
            bits = raw.view(np.int64)
            bits[[0, 6]] = raw[[0, 6]]
            return Bars(row.time // PERIOD_S, bits)
        case 5:
            end_s = array.bounds()[1] * PERIOD_S
            return array.slice(end_s - 40 * PERIOD_S, end_s)
        case 6:
            view = array.view(48)
            copy = Bars(view.start, view._raw.copy())
            return copy if view.unchanged() else None
        case 7:
            return array.last(CAPACITY)
        case _:
            return array.last(48)


def _read_carelessly(token: ShmToken, reads: int) -> Result:
    """Copy rows without any check: shows that the test would see a torn one."""
    mapping = ShmArray.attach(token)._map
    torn = 0
    for _ in range(reads):
        last = mapping.words[W_LAST]
        slots = np.arange(last - 48, last) % mapping.slots
        bars = Bars(last - 48, mapping.block.take(slots, axis=1))
        torn += bool(judge(bars)["torn"])
    return {"control_reads": reads, "control_torn": torn}


# -- kills -------------------------------------------------------------------------
def kills(n: int) -> Result:
    """SIGKILL a writer *n* times at random moments, and adopt each time.

    Returns: what was wrong with what an adopter found (``bad``) and with what readers
      read of the dead buffer (``bad_reads``), both to be 0; in how many cases the
      writer died inside a change (``odd``); how long adopting took.
    """
    with shm_folder() as folder:
        return _run_fresh("_kills", folder / "ring", n)


def kills_here(path: str, n: int) -> Result:
    """Do what `kills` says, in this process and forks of it."""
    first = open_ring(path)
    write_series(first, lambda: first.bounds[1] < 2 * CAPACITY)
    token = first.token
    first.close()
    array = ShmArray.attach(token)
    words = array._map.words
    chance = random.Random(n)
    bad = bad_reads = odd = 0
    adopting: list[float] = []
    for _ in range(n):
        _write_and_die(path, words, chance)
        odd += words[W_SEQ] & 1
        ends = words[W_FIRST], words[W_LAST]
        orphaned = array.last(CAPACITY)
        began = time.perf_counter()
        writer = open_ring(path)
        adopting.append(time.perf_counter() - began)
        bad += judge_adopted(writer, array.last(CAPACITY))
        bad += ends != (words[W_FIRST], words[W_LAST]) or words[W_SEQ] & 1
        bad_reads += judge_adopted(writer, orphaned)
        repairs, rows = writer.repairs, writer.bounds[1]
        writer.close()
    return {
        "kills": n,
        "bad": bad,
        "bad_reads": bad_reads,
        "odd": odd,
        "repairs": repairs,
        "rows": rows,
        "adopt_us_median": round(median(adopting) * 1e6),
    }


def _write_and_die(path: str, words: Any, chance: random.Random) -> None:
    seen = words[W_ADOPTIONS]

    def write() -> Result:
        write_series(open_ring(path), _parent_lives())
        return {}

    pid, source = _fork(write)
    while words[W_ADOPTIONS] == seen:
        time.sleep(0.0005)
    time.sleep(chance.random() * 0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(source)
