"""Small shared rings of bars for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from piker.data._shm import Bars, Row, ShmWriter
from piker.tsp import OHLCV

FQME = "btcusdt.spot.sim"
CAPACITY = 384  # in 512 slots


def open_ring(path: Path, **other) -> ShmWriter:
    """Make or adopt a ring, the usual one but for *other*."""
    return ShmWriter.open(
        path, **{"fqme": FQME, "period_s": 60, "capacity": CAPACITY, **other}
    )


def row(i: int, x: float = 0.0) -> Row:
    """Return a bar of minute *i*, changed by *x*."""
    return Row(60 * i, 1.0 + x, 2.0 + x, 0.5 - x, 1.5 + x, 10.0 + x, 3)


def bars(start: int, stop: int) -> np.ndarray:
    """Return the bars of minutes [start, stop)."""
    return np.array([tuple(row(i)) for i in range(start, stop)], OHLCV)


def fill(writer: ShmWriter, data: np.ndarray) -> None:
    """Extend by *data* in blocks, so that bar and index go together."""
    for at in range(0, len(data), 100):
        writer.extend(data[at : at + 100])


def rows_of(got: Bars) -> list[Row]:
    """Return the bars read, one by one."""
    return [Row(*values) for values in got.to_structured().tolist()]
