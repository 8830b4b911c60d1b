"""The buffers of a market's bars: adopted from the datad before, or made anew.

    files there --> adopted, gone on with
    none, or not to be gone on with --> made, filled with history by `load_history`

The minute bars come first wherever both are changed: a writer killed in between
leaves minutes with no seconds, which the trades sent again can build, never seconds
whose minutes began unseen.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from piker.brokers import GetBars
from piker.config import DataConf
from piker.errors import BadPayload, NoData, ShmMismatch, VenueError
from piker.log import get_logger
from piker.msgs import NS, FeedInit, MktPair
from piker.service import leaves, shm_dir

from ._bars import BarBuilder
from ._shm import FIELDS, ShmWriter
from .validate import broker_name, get_eps

log = get_logger(__name__)

RT_S: Final = 1
HIST_S: Final = 60
#: A backend has so long for the bars of one period.
HISTORY_DEADLINE_S: Final = 20.0

#: By period in seconds, the longest first.
Builders = dict[int, BarBuilder]


def open_buffers(mkt: MktPair, conf: DataConf) -> Builders:
    """Adopt the buffers of a market, or make them.

    Raises: ShmFull; ShmBusy; ShmError.
    """
    paths = {p: shm_dir() / f"{mkt.fqme}.{p}s" for p in (HIST_S, RT_S)}
    try:
        builders = _open_all(paths, mkt, conf)
        if _can_go_on(builders):
            return builders
        why = "its minutes are missing"
        close_buffers(builders)
    except ShmMismatch as err:
        why = str(err)
    log.warning("making the buffers of %s anew: %s", mkt.fqme, why)
    for path in paths.values():
        path.unlink(missing_ok=True)
    return _open_all(paths, mkt, conf)


def _open_all(paths: dict[int, Path], mkt: MktPair, conf: DataConf) -> Builders:
    rows = {RT_S: conf.rt_bars, HIST_S: conf.hist_bars}
    opened: Builders = {}
    try:
        for period, path in paths.items():
            writer = ShmWriter.open(
                path, fqme=mkt.fqme, period_s=period, capacity=rows[period]
            )
            opened[period] = BarBuilder(writer, mkt, period)
    except Exception:
        close_buffers(opened)
        raise
    return opened


def _can_go_on(builders: Builders) -> bool:
    newest = {period: builder.newest_s for period, builder in builders.items()}
    return newest[HIST_S] is not None or newest[RT_S] is None


def close_buffers(builders: Builders) -> None:
    """Give the buffers up for the next datad to adopt; remove what holds no bar."""
    for builder in builders.values():
        builder.writer.close(remove=builder.newest_s is None)


async def load_history(mod: ModuleType, init: FeedInit, builders: Builders) -> str:
    """Fill new buffers with the newest bars the venue has.

    Trades from before ``init.start_ns`` are left out from now on, whether there is
    history or not.

    Returns: what went wrong, in a sentence, empty if nothing: quotes go on without it.
    """
    for builder in builders.values():
        builder.since_ns = init.start_ns
    open_history = get_eps(mod, "datad").get("open_history_client")
    if open_history is None or not init.start_ns:
        return ""
    found: dict[int, npt.NDArray[np.void]] = {}
    with trio.move_on_after(HISTORY_DEADLINE_S) as scope:
        try:
            async with open_history(init.mkt) as (get_bars, conf):
                for period in builders.keys() & set(conf.periods_s):
                    found |= await _newest(get_bars, period, init.start_ns // NS)
        except VenueError as err:
            return f"no history: {err}"
        except Exception as err:  # a bug there is no reason for no quotes
            log.exception("history of %s failed", init.mkt.fqme)
            return f"no history: {broker_name(mod)!r} failed: {leaves(err)[0]!r}"
    for period, builder in builders.items():
        if period in found:
            builder.writer.extend(found[period])
            builder.reload()
    if scope.cancelled_caught:
        return f"no history within {HISTORY_DEADLINE_S:g} s"
    return ""


async def _newest(
    get_bars: GetBars, period_s: int, end_s: int
) -> dict[int, npt.NDArray[np.void]]:
    """Return the newest bars of a period by it; nothing where there are none."""
    with suppress(NoData):  # listed just now, or a recording
        bars = await get_bars(period_s, end_s)
        _check(bars, period_s, end_s)
        return {period_s: bars}
    return {}


def _check(bars: npt.NDArray[np.void], period_s: int, end_s: int) -> None:
    """Raise BadPayload unless a backend's bars can be gone on with."""
    if bars.dtype.names != FIELDS:
        raise BadPayload(f"{period_s} s bars are no OHLCV but {bars.dtype}")
    times = bars["time"]
    if np.any(times[1:] <= times[:-1]) or np.any(times % period_s):
        raise BadPayload(f"{period_s} s bars don't ascend in whole periods")
    if len(times) and times[-1] >= end_s:
        raise BadPayload(f"{period_s} s bars go on to {times[-1]} s, asked to {end_s}")
    for name in FIELDS[1:]:
        if not np.all(np.isfinite(bars[name])):
            raise BadPayload(f"{name} of a {period_s} s bar is no number")
    if np.any(bars["volume"] < 0) or np.any(bars["count"] < 0):
        raise BadPayload(f"volume or count of a {period_s} s bar is negative")
