"""A recorded session at full speed: decoded into bars, and sent to a client process.

frames in memory --> ticks --> bars of 1 s and 60 s        (one process, no IPC)
file --> datad: ticks, bars, quotes --> client: counts     (a tree)
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from piker.brokers.binance._decode import decode_message
from piker.brokers.sim import _sessions as sim_sessions
from piker.data._bars import BarBuilder
from piker.data._shm import ShmWriter

from ._procs import BenchmarkError, bare_tree, piker_tree
from ._report import Measure, Report, compared
from ._sessions import recorded_session, write_session
from .shm import shm_folder

FRAMES_S = 100_000
TICKS_S = 25_000
FLOOR = "json.loads of the same frames; a bare stream that sends tick by tick"
#: Bytes of one tick in a quote, roughly.
_TICK_BYTES = 60
_FLOOR_TICKS = 20_000
_MADE_FRAMES = 90_000

Frames = list[bytes]


def run(rounds: int = 5, frames: int | None = None) -> Report:
    """Measure frames a second into bars, ticks a second into a client process.

    Args:
      rounds: of both, and of their floors, in turn.
      frames: of a made session; the recorded one by default, where there is one.
    """
    with _session(frames) as path:
        session = sim_sessions.open_session(path)
        payloads = [raw for _, _, raw in sim_sessions.iter_frames(path)]
        (mkt,) = session.mkts.values()
        kinds = Counter(tick.type for b in session.batches() for tick in b.ticks)
        total = sum(kinds.values())
        bars: list[float] = []
        loads: list[float] = []
        sent: list[dict[str, float]] = []
        bare: list[float] = []
        for _ in range(rounds):
            bars.append(_frames_into_bars(payloads, mkt))
            loads.append(_frames_loaded(payloads))
            sent.append(_into_client(path, mkt.fqme))
            bare.append(_bare_into_client(min(total, _FLOOR_TICKS)))
    source = f"{len(payloads)} frames, {total} ticks, {path.name}"
    return Report("replay", FLOOR, _rows(bars, loads, sent, bare, kinds), (source,))


def _rows(
    bars: list[float],
    loads: list[float],
    sent: list[dict[str, float]],
    bare: list[float],
    kinds: Counter[str],
) -> tuple[Measure, ...]:
    arrived = [one["ticks"] / one["seconds"] for one in sent]
    trades = kinds["trade"]
    levels = kinds.total() - trades
    conflated = [levels - one["ticks"] + one["trades"] for one in sent]
    left_out = [one["missed"] for one in sent]
    before = [trades - one["trades"] - one["missed"] for one in sent]
    into = "ticks into a client"
    return (
        compared("frames into bars", "1/s", bars, loads, rule=">=", target=FRAMES_S),
        compared(into, "1/s", arrived, bare, rule=">=", target=TICKS_S),
        _share("bids and asks conflated", conflated, levels),
        _share("trades left out", left_out, trades),
        _share("trades from before it was attached", before, trades),
    )


def _share(name: str, counts: list[float], of: int) -> Measure:
    return compared(name, "%", [100 * count / max(of, 1) for count in counts])


def _session(frames: int | None) -> AbstractContextManager[Path]:
    path = recorded_session() if frames is None else None
    return nullcontext(path) if path else _Made(frames or _MADE_FRAMES)


class _Made:
    """A session made for the length of a block."""

    def __init__(self, frames: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="piker-bench-")
        self._frames = frames

    def __enter__(self) -> Path:
        path = Path(self._folder.name) / "made.txt"
        write_session(path, 200.0, self._frames / 200.0, quotes_a_trade=2)
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _frames_into_bars(payloads: Frames, mkt: Any) -> float:
    with shm_folder() as folder:
        builders = [
            BarBuilder(
                ShmWriter.open(
                    folder / str(period_s),
                    fqme=mkt.fqme,
                    period_s=period_s,
                    capacity=86_400,
                ),
                mkt,
                period_s,
            )
            for period_s in (1, 60)
        ]
        began = time.perf_counter()
        for payload in payloads:
            decoded = decode_message(payload)
            if isinstance(decoded, list):
                for part in decoded:
                    for builder in builders:
                        builder.apply(part.ticks)
        took_s = time.perf_counter() - began
        for builder in builders:
            if not builder.stats.applied:
                raise BenchmarkError("no trade of the session came into the bars")
            builder.writer.close(remove=True)
    return len(payloads) / took_s


def _frames_loaded(payloads: Frames) -> float:
    began = time.perf_counter()
    for payload in payloads:
        json.loads(payload)
    return len(payloads) / (time.perf_counter() - began)


def _into_client(path: Path, fqme: str) -> dict[str, float]:
    conf = f'[sim]\nspeed = 0\nsessions = ["{path}"]\n'
    with piker_tree(conf) as tree:
        with tree.client("flooded", fqmes=[fqme]) as client:
            return client.hear()


def _bare_into_client(count: int) -> float:
    with bare_tree("source") as tree:
        datad = tree.root.hear_key("addr")
        told = {"datad": datad, "count": count, "size": _TICK_BYTES, "batch": 1}
        with tree.client("flooded", **told) as client:
            return count / client.hear_key("seconds")
