"""Stored bars: into shared memory, the newest of many, one made durable, their size.

parquet files, tail --read_bars--> ring of bars in shared memory      (one process)
floor: one parquet file of the same bars --polars.read_parquet--> columns in tmpfs
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from piker import config
from piker.data._shm import ShmWriter
from piker.storage import StoreWriter, bars_folder, read_bars
from piker.tsp import OHLCV

from ._procs import on_disk
from ._report import Measure, Report, alternate, compared
from ._shm_torture import shm_folder

FLOOR = "polars.read_parquet of one zstd file, its columns copied into tmpfs"
FQME: Final = "btcusdt.spot.sim"
NEWEST: Final = 100_000
_FIRST_S: Final = 1_700_000_000
_FIELDS: Final = tuple(OHLCV.names or ())


def run(rounds: int = 5, rows: int = 10_000_000, appends: int = 200) -> Report:
    """Measure a store of *rows* bars of a second."""
    import polars as pl

    with _places() as (disk, memory):
        bars = make_bars(rows)
        one = disk / "one.parquet"
        columns = {name: np.ascontiguousarray(bars[name]) for name in _FIELDS}
        pl.DataFrame(columns).write_parquet(one, compression="zstd")
        _store(bars)
        del bars, columns
        measures = (
            _whole(rounds, rows, one, memory),
            _newest(rounds, rows, memory),
            *_durable(rounds, appends, disk),
            _size(one),
        )
    return Report("store", FLOOR, measures)


@contextmanager
def _places() -> Iterator[tuple[Path, Path]]:
    """Yield a folder on a disk, which is also all of piker's, and one of tmpfs."""
    with (
        on_disk("store") as disk,
        shm_folder() as memory,
        config.use_dirs(config.Dirs.under(disk)),
    ):
        yield disk, memory


def make_bars(rows: int) -> NDArray[np.void]:
    """Return bars of a second that look like a market's: ticks of a cent, odd sizes."""
    rng = np.random.default_rng(7)
    close = np.round(30_000 + np.cumsum(rng.normal(0, 1, rows)), 2)
    bars = np.zeros(rows, OHLCV)
    bars["time"] = _FIRST_S + np.arange(rows)
    bars["open"] = np.concatenate(([30_000.0], close[:-1]))
    bars["close"] = close
    wick = np.round(rng.exponential(0.5, (2, rows)), 2)
    bars["high"] = np.maximum(bars["open"], close) + wick[0]
    bars["low"] = np.minimum(bars["open"], close) - wick[1]
    bars["volume"] = np.round(rng.lognormal(0, 1, rows), 5)
    bars["count"] = rng.poisson(5, rows) + 1
    return bars


def _store(bars: NDArray[np.void], chunk: int = 1 << 21) -> None:
    writer = StoreWriter(FQME, 1)
    for at in range(0, len(bars), chunk):
        writer.append(bars[at : at + chunk])
        writer.fold()
    writer.close()


@contextmanager
def _ring(memory: Path, rows: int) -> Iterator[ShmWriter]:
    path = memory / "bars"
    writer = ShmWriter.open(path, fqme=FQME, period_s=1, capacity=rows)
    try:
        yield writer
    finally:
        writer.close(remove=True)


def _into_ring(memory: Path, rows: int, newest: int | None) -> float:
    """Return seconds from the files to a ring; its making is no part of it."""
    with _ring(memory, rows) as writer:
        began = time.perf_counter()
        for piece in read_bars(FQME, 1, newest=newest).pieces:
            writer.extend(piece)
        took = time.perf_counter() - began
        first, last = writer.bounds
        assert last - first == (newest or rows)
    return took


def _whole(rounds: int, rows: int, one: Path, memory: Path) -> Measure:
    import polars as pl

    def floor() -> float:
        with (memory / "floor").open("w+b") as file:
            size = rows * OHLCV.itemsize
            os.posix_fallocate(file.fileno(), 0, size)
            with mmap.mmap(file.fileno(), size) as mapped:
                block = np.frombuffer(mapped, np.int64).reshape(len(_FIELDS), rows)
                began = time.perf_counter()
                frame = pl.read_parquet(one)
                for at, name in enumerate(_FIELDS):
                    block[at] = frame[name].to_numpy().view(np.int64)
                took = time.perf_counter() - began
                del block
        return took

    ours, theirs = alternate(rounds, lambda: _into_ring(memory, rows, None), floor)
    return compared(f"{rows:,} rows to shm", "s", ours, theirs, target=1.5)


def _newest(rounds: int, rows: int, memory: Path) -> Measure:
    newest = min(NEWEST, rows)
    ms = [1e3 * _into_ring(memory, newest, newest) for _ in range(3 * rounds)]
    name = f"newest {newest:,} of {rows:,} rows to shm"
    return compared(name, "ms", ms, rule="<=", target=20.0)


def _durable(rounds: int, appends: int, disk: Path) -> tuple[Measure, ...]:
    """Measure appends of one bar, each in turn with a bare write and fdatasync."""
    writer = StoreWriter(FQME, 60)
    bar = make_bars(1)
    ours: list[float] = []
    floor: list[float] = []
    with (disk / "floor").open("w+b", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, 64 * rounds * appends)
        for i in range(rounds * appends):
            bar["time"] = 60 * i
            began = time.perf_counter()
            writer.append(bar)
            ours.append(1e3 * (time.perf_counter() - began))
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(64), 64 * i)
            os.fdatasync(file.fileno())
            floor.append(1e3 * (time.perf_counter() - began))
    writer.close()
    told = compared("one closed bar made durable", "ms", ours, floor)
    bound = compared(
        "of it: beyond twice the floor", "ms", [told.ours - 2 * (told.floor or 0.0)],
        rule="<=", target=1.0,
    )  # fmt: skip
    return told, bound


def _size(one: Path) -> Measure:
    mib = sum(p.stat().st_size for p in bars_folder(FQME, 1).glob("*.parquet")) / 2**20
    return compared(
        "size on disk", "MiB", [mib], [one.stat().st_size / 2**20], target=1.2
    )
