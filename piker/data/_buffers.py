"""The buffers of a market's bars: adopted from the datad before, or made anew.

    files there --> adopted, gone on with
    none, or not to be gone on with --> made anew, filled by `piker.data._history`

The minute bars come first wherever both are changed: a writer killed in between
leaves minutes with no seconds, which the trades sent again can build, never seconds
whose minutes began unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from piker.config import DataConf
from piker.errors import ShmMismatch
from piker.log import get_logger
from piker.msgs import MktPair
from piker.service import shm_dir

from ._bars import BarBuilder
from ._shm import ShmWriter

log = get_logger(__name__)

RT_S: Final = 1
HIST_S: Final = 60

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
