"""A month of bars in a parquet file, through polars.

Columns as in ``piker.tsp.OHLCV``, zstd, in groups of rows small enough that the newest
ones are read without the rest.
"""

from __future__ import annotations

from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreDamaged
from piker.files import put_whole
from piker.tsp import OHLCV, find_fault

from ._layout import PART, read_file
from ._manifest import Part

if TYPE_CHECKING:
    import polars as pl

_GROUP_ROWS: Final = 1 << 16
_FIELDS: Final = tuple(OHLCV.names or ())


def to_frame(bars: NDArray[np.void]) -> pl.DataFrame:
    """Return *bars*, dtype OHLCV, as a polars frame."""
    import polars as pl

    return pl.DataFrame({name: np.ascontiguousarray(bars[name]) for name in _FIELDS})


def to_bars(frame: pl.DataFrame) -> NDArray[np.void]:
    """Return a frame with the columns of OHLCV as an array of that dtype."""
    bars = np.empty(len(frame), OHLCV)
    for name in _FIELDS:
        bars[name] = frame[name].to_numpy()
    return bars


def write_part(path: Path, bars: NDArray[np.void]) -> Part:
    """Write *bars*, ascending, at least one, to *path*, durably; say what is there.

    Raises: OSError; nothing is left of *path* then.
    """
    made = BytesIO()  # polars wraps a full disk into an error of its own
    to_frame(bars).write_parquet(made, compression="zstd", row_group_size=_GROUP_ROWS)
    raw = made.getbuffer()
    put_whole(path, raw, durable=True)
    return Part(
        file=path.name,
        rows=len(bars),
        first_s=int(bars["time"][0]),
        last_s=int(bars["time"][-1]),
        size=len(raw),
        digest=digest_of(raw),
    )


def read_part(path: Path, first: int = 0, rows: int | None = None) -> pl.DataFrame:
    """Return bars of a file, *rows* from row *first* on, all by default.

    Raises:
      FileNotFoundError: it isn't there.
      StoreDamaged: it isn't a file of bars, a damaged one, or the disk can't read it.
      OSError: it can't be read now, which says nothing of the file.
    """
    import polars as pl

    with path.open("rb"):  # polars tells all that keeps it from that in its own words
        pass
    try:
        frame = pl.scan_parquet(path, glob=False).slice(first, rows).collect()
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as err:
        raise StoreDamaged(f"{path} can't be read: {first_line(err)}") from None
    return _checked(path, frame)


def _checked(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Return *frame* if it holds bars in order of time; raises StoreDamaged."""
    import polars as pl

    schema = dict(frame.schema)
    wanted = {n: pl.Int64 if OHLCV[n].kind == "i" else pl.Float64 for n in _FIELDS}
    if schema != wanted:
        raise StoreDamaged(f"{path} holds no bars but {', '.join(map(str, schema))}")
    if frame.null_count().sum_horizontal().sum():
        raise StoreDamaged(f"{path} has empty cells")
    times = frame["time"].to_numpy()
    if np.any(times[1:] <= times[:-1]):
        raise StoreDamaged(f"{path} holds bars that don't ascend in time")
    return frame


#: Files that were found as they were written: their paths and digests, and when they
#: were changed last, which none ever is.
_sound: Final[set[tuple[Path, str, int]]] = set()


def check_digest(path: Path, told: Part) -> None:
    """Raise StoreDamaged unless a file is as it was written; looks once at each.

    Raises: as `read_whole`.
    """
    seen = (path, told.digest, path.stat().st_mtime_ns)
    if seen in _sound:
        return
    raw = read_file(path)
    if len(raw) != told.size or digest_of(raw) != told.digest:
        raise StoreDamaged(f"{path} isn't as it was written")
    _sound.add(seen)


def digest_of(raw: bytes | memoryview) -> str:
    """Return the digest of a file."""
    return blake2b(raw, digest_size=16).hexdigest()


def read_whole(
    folder: Path, told: Part | str, period_s: int | None = None
) -> tuple[pl.DataFrame, Part]:
    """Return all bars of a month's file, and its entry; it is read once.

    Args:
      folder: of the file.
      told: its entry, which it is to match; or just its name.
      period_s: bar length; None: whether they can be bars of it isn't looked at.

    Raises:
      FileNotFoundError: it isn't there.
      StoreDamaged: it isn't as it was written; the disk can't read it; no bars.
      OSError: it can't be read now, which says nothing of the file.
    """
    import polars as pl

    path = folder / (told if isinstance(told, str) else told.file)
    raw = read_file(path)
    digest = digest_of(raw)
    if isinstance(told, Part) and (len(raw), digest) != (told.size, told.digest):
        raise StoreDamaged(f"{path} isn't as it was written")
    try:
        frame = _checked(path, pl.read_parquet(BytesIO(raw)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as err:
        raise StoreDamaged(f"{path} can't be read: {first_line(err)}") from None
    if not len(frame):
        raise StoreDamaged(f"{path} holds no bar")
    if period_s is not None:
        _refuse_others(path, to_bars(frame), period_s)
    times = frame["time"]
    found = Part(
        file=path.name,
        rows=len(frame),
        first_s=int(times[0]),
        last_s=int(times[-1]),
        size=len(raw),
        digest=digest,
    )
    return frame, found


def _refuse_others(path: Path, bars: NDArray[np.void], period_s: int) -> None:
    """Raise StoreDamaged for bars that piker wouldn't have written there."""
    named = PART.match(path.name)
    months = bars["time"][[0, -1]].astype("M8[s]").astype("M8[M]").astype(str)
    if named and set(months.tolist()) != {named[1]}:
        raise StoreDamaged(f"{path} holds bars of other months")
    if wrong := find_fault(bars, period_s):
        raise StoreDamaged(f"{path} holds what can't be: {wrong}")


def first_line(err: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(err).strip().splitlines() or [repr(err)])[0]


def check_part(folder: Path, told: Part, period_s: int) -> str:
    """Return what is wrong with a month's file, compared to its entry; "" if nothing.

    Reads all of it. Raises FileNotFoundError.
    """
    path = folder / told.file
    try:
        _, found = read_whole(folder, told, period_s)
    except FileNotFoundError:
        raise
    except (StoreDamaged, OSError) as err:
        return str(err)
    return "" if found == told else f"{path} holds other bars than it should"
