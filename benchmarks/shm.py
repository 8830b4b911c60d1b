"""The shared-memory ring of bars: what it costs, and whether it can be torn.

``python -m benchmarks.shm bench|torture|kills [HOW MANY]``; a million reads over two
readers, or 200 kills, if it isn't said.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from piker.data._shm import Marks, ShmArray
from piker.tsp import OHLCV

from ._report import Report, compared
from ._shm_series import PERIOD_S
from ._shm_torture import (
    Result,
    kills as kills,
    kills_here,
    open_ring,
    shm_folder,
    torture as torture,
    torture_here,
)

FLOOR = "the same done with plain numpy arrays"
#: A bar's append and a tick in it, to the same in a numpy array.
ROW_TARGET = 2.0
#: Repeats of a case within a round, of which the fastest counts.
BEST_OF = 3


def run(rounds: int = 5, scale: float = 1.0) -> Report:
    """Measure writes and snapshots, microseconds; *scale* makes it shorter."""
    us = _measure(rounds, scale)

    def both(first: str, second: str) -> list[float]:
        return [a + b for a, b in zip(us[first], us[second], strict=True)]

    rows = [
        compared(
            "append and one tick",
            "us",
            both("append", "tick"),
            both("numpy_append", "numpy_tick"),
            target=ROW_TARGET,
        )
    ]
    rows += [
        compared(name.replace("_", " "), "us", us[name], us.get(f"numpy_{name}", ()))
        for name in us
        if not name.startswith("numpy_")
    ]
    return Report("shm", FLOOR, tuple(rows))


def bench(rounds: int = 5) -> Result:
    """Measure writes and reads against the same done with plain numpy arrays.

    Each round runs everything in turn; the numbers are medians over the rounds.

    Returns: microseconds by name; ``x_..`` are ratios to plain numpy.
    """
    us = {name: median(of) for name, of in _measure(rounds, 1.0).items()}
    ratios = {
        f"x_{name}": round(us[name] / us[f"numpy_{name}"], 2)
        for name in us
        if f"numpy_{name}" in us
    }
    return {**{name: round(took, 3) for name, took in us.items()}, **ratios}


def _measure(rounds: int, scale: float) -> dict[str, list[float]]:
    with shm_folder() as folder:
        cases = {**_write_cases(folder, scale), **_read_cases(folder, scale)}
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, case in cases.items():
                # a neighbour on the core only ever makes it slower
                times[name].append(min(case() for _ in range(BEST_OF)))
    return times


def _us(count: int, call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count * 1e6


def _write_cases(folder: Path, scale: float) -> dict[str, Callable[[], float]]:
    n = int(50_000 * scale)
    writer = open_ring(folder / "writes", 4096)
    plain = np.zeros(4096, OHLCV)
    bars = iter(range(1 << 40))
    seen = (1 << 512) - 1 - (1 << 77)

    def append() -> float:
        began = time.perf_counter()
        for i in range(n):
            writer.append((next(bars), i, 2.0, 0.5, 1.5, 10.0, 3))
        return (time.perf_counter() - began) / n * 1e6

    def numpy_append() -> float:
        began = time.perf_counter()
        for i in range(n):
            plain[i & 4095] = (next(bars), i, 2.0, 0.5, 1.5, 10.0, 3)
        return (time.perf_counter() - began) / n * 1e6

    def tick() -> float:
        at = writer.bounds[1] - 1
        time_s = writer.row(at).time
        began = time.perf_counter()
        for i in range(n):
            row = (time_s, 1.0, 2.0, 0.5, 1.5, i, 3)
            writer.rewrite(at, row, (1, 2, 3, i), Marks(i, i, seen))
        return (time.perf_counter() - began) / n * 1e6

    def numpy_tick() -> float:
        began = time.perf_counter()
        for i in range(n):
            plain["high"][5] = 2.0
            plain["low"][5] = 0.5
            plain["close"][5] = 1.5
            plain["volume"][5] = i
            plain["count"][5] = 3
        return (time.perf_counter() - began) / n * 1e6

    return {
        "append": append,
        "numpy_append": numpy_append,
        "tick": tick,
        "numpy_tick": numpy_tick,
    }


def _read_cases(folder: Path, scale: float) -> dict[str, Callable[[], float]]:
    rows = 1_000_000
    often = int(5000 * scale)
    writer = open_ring(folder / "reads", rows)
    rng = np.random.default_rng(1)
    columns = [
        np.arange(rows) * PERIOD_S,
        *(rng.random(rows) for _ in range(5)),
        np.ones(rows, np.int64),
    ]
    writer.extend(columns)
    array = ShmArray.attach(writer.token)
    cases: dict[str, Callable[[], float]] = {}
    for n, count in ((100, often), (1000, often), (100_000, int(50 * scale) + 1)):
        cases[f"last_{n}"] = lambda n=n, count=count: _us(count, lambda: array.last(n))
        cases[f"numpy_last_{n}"] = lambda n=n, count=count: _us(
            count, lambda: [column[-n:].copy() for column in columns]
        )
    half_s = rows // 2 * PERIOD_S
    cases["view"] = lambda: _us(often, lambda: array.view(1000))
    cases["forming"] = lambda: _us(often, array.forming)
    cases["slice_100"] = lambda: _us(
        often, lambda: array.slice(half_s, half_s + 100 * PERIOD_S)
    )
    fills = iter(range(1000))

    def extend_100k() -> float:
        fresh = open_ring(folder / f"fill{next(fills)}", rows)
        newer = [column[:100_000] for column in columns]
        took = _us(1, lambda: fresh.extend(newer))
        fresh.close(remove=True)
        return took

    cases["extend_100k"] = extend_100k
    return cases


def main() -> None:
    """Run one of the above and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shm")
    parser.add_argument(
        "what", choices=["bench", "torture", "kills", "_torture", "_kills"]
    )
    parser.add_argument("args", nargs="*")
    asked = parser.parse_args()
    match asked.what, asked.args:
        case "bench", []:
            result = bench()
        case "torture", [*reads]:
            result = torture(int(reads[0]) if reads else 1_000_000)
        case "kills", [*n]:
            result = kills(int(n[0]) if n else 200)
        case "_torture", [path, reads, readers]:
            result = torture_here(path, int(reads), int(readers))
        case "_kills", [path, n]:
            result = kills_here(path, int(n))
        case _:
            parser.error("wrong number of arguments")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
