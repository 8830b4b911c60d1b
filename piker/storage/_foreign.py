"""Bars in files of others: CSV, parquet and feather, read and written.

    file --what its bytes say it is--> table --columns by name, times by size or zone-->
    bars, and what was made of each column, in words

Whatever a bar can't be is refused, with the row it stands in; nothing is guessed that
isn't told to the user.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreError, UsageError
from piker.tsp import OHLCV, find_fault

from ._parts import to_frame

if TYPE_CHECKING:
    import polars as pl

#: What each field is called elsewhere; compared without case, blanks and underscores.
NAMES: Final = {
    "time": (
        "time", "timestamp", "date", "datetime", "opentime", "timestamputc", "ts",
        "dateutc", "timeutc", "t", "",
    ),
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "c", "last"),
    "volume": ("volume", "vol", "v", "basevolume", "volumebase"),
    "count": ("count", "trades", "numberoftrades", "tradecount", "n", "tradescount"),
}  # fmt: skip
#: Formats by the ending of a file's name.
ENDINGS: Final = {
    ".csv": "csv", ".parquet": "parquet", ".feather": "feather", ".arrow": "feather",
}  # fmt: skip
#: Epoch times of the years 1973 to 2286 are told apart by their size.
_UNITS: Final = (
    (1e8, 1e10, "s", 1),
    (1e11, 1e13, "ms", 10**3),
    (1e14, 1e16, "us", 10**6),
    (1e17, 9.2e18, "ns", 10**9),
)


@dataclass
class Imported:
    """What was read from a file.

    Attributes:
      bars: dtype OHLCV, strictly ascending.
      notes: what was made of the file, a sentence each.
    """

    bars: NDArray[np.void]
    notes: list[str] = field(default_factory=list)


def read_foreign(path: Path, period_s: int, zone: str = "UTC") -> Imported:
    """Read bars from a CSV, parquet or feather file; CSV may be gzipped.

    Args:
      path: of the file.
      period_s: bar length.
      zone: of times that name none, e.g. ``America/Chicago``.

    Raises:
      UsageError: it isn't there, is none of these, or holds no such bars.
    """
    try:
        frame = _read_table(path)
        return _to_bars(frame, period_s, zone)
    except StoreError as err:
        raise UsageError(f"can't import {path}: {err}") from None


def _read_table(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        head = path.read_bytes()[:6] if path.stat().st_size < 1 << 34 else b""
        if head[:4] == b"PAR1":
            return pl.read_parquet(path)
        if head == b"ARROW1":
            return pl.read_ipc(path, use_pyarrow=False)
        raw = gzip.decompress(path.read_bytes()) if head[:2] == b"\x1f\x8b" else None
        return pl.read_csv(
            path if raw is None else raw, infer_schema_length=None, try_parse_dates=True
        )
    except pl.exceptions.NoDataError:
        raise StoreError("it is empty") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, EOFError) as err:
        why = (str(err).strip().splitlines() or [repr(err)])[0]
        raise StoreError(
            f"wanted CSV, parquet or feather (arrow IPC), and that can't be read: {why}"
        ) from None
    except OSError as err:
        raise StoreError(err.strerror or str(err)) from None


def _to_bars(frame: pl.DataFrame, period_s: int, zone: str) -> Imported:
    found = _find_columns(frame.columns)
    notes = [
        f"{name} is column {column!r}"
        for name, column in found.items()
        if name not in {column, "time"}
    ]
    if not len(frame):
        raise StoreError("it has columns and no row")
    _refuse_gaps_in(frame, found.values())
    bars = np.zeros(len(frame), OHLCV)
    bars["time"], told = _to_epoch_s(frame[found["time"]], found["time"], zone)
    notes.insert(0, told)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = _numbers(frame[found[name]], found[name])
    if "count" in found:
        bars["count"] = _numbers(frame[found["count"]], found["count"])
    else:
        bars["count"] = bars["volume"] > 0
        notes.append("no column counts trades: 1 where there is volume, else 0")
    return _in_order(bars, period_s, notes)


def _find_columns(columns: list[str]) -> dict[str, str]:
    plain = {c.lower().replace("_", "").replace(" ", ""): c for c in reversed(columns)}
    found = {
        name: plain[known]
        for name, others in NAMES.items()
        for known in reversed(others)
        if known in plain
    }
    missing = [name for name in NAMES if name not in found and name != "count"]
    if missing:
        raise StoreError(
            f"wanted columns for {', '.join(NAMES)}; none is for {', '.join(missing)} "
            f"among {', '.join(map(repr, columns[:20]))}; rename them, e.g. to those"
        )
    return found


def _refuse_gaps_in(frame: pl.DataFrame, columns: Iterable[str]) -> None:
    for column in columns:
        empty = frame[column].is_null()
        if empty.any():
            raise StoreError(f"row {empty.arg_max()} has nothing in {column!r}")


def _numbers(column: pl.Series, name: str) -> NDArray[Any]:
    if not column.dtype.is_numeric():
        raise StoreError(
            f"column {name!r} holds no numbers but {column.dtype}, e.g. {column[0]!r}"
        )
    return column.to_numpy()


def _to_epoch_s(column: pl.Series, name: str, zone: str) -> tuple[NDArray[Any], str]:
    """Return times as epoch s, and in words what they were."""
    import polars as pl

    what = f"time is column {name!r}" if name else "time is the column without a name"
    if column.dtype == pl.String:
        column = _parse_times(column, name)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        told = column.dtype.time_zone
        if told is None:
            column = _in_zone(column, zone)
        seconds = column.dt.convert_time_zone("UTC").dt.epoch("ns").to_numpy()
        return _whole(seconds, 10**9, name), f"{what}, in {told or zone}"
    if not column.dtype.is_numeric():
        raise StoreError(f"column {name!r} holds no times but {column.dtype}")
    numbers = column.to_numpy()
    lowest, highest = float(np.min(numbers)), float(np.max(numbers))
    for low, high, unit, per_s in _UNITS:
        if low <= lowest and highest < high:
            return _whole(numbers, per_s, name), f"{what}, {unit} since the epoch"
    raise StoreError(
        f"column {name!r} holds no times of one unit since 1973 (s, ms, us or ns since "
        f"the epoch): {lowest:.16g} to {highest:.16g}"
    )


def _parse_times(column: pl.Series, name: str) -> pl.Series:
    import polars as pl

    for zone in ("UTC", None):
        try:
            return column.str.to_datetime(time_zone=zone, time_unit="ns")
        except pl.exceptions.PolarsError:
            continue
    raise StoreError(
        f"column {name!r} holds no times, e.g. {column[0]!r}; wanted e.g. "
        "2024-08-08T12:00:00Z, or numbers since the epoch"
    )


def _in_zone(column: pl.Series, zone: str) -> pl.Series:
    import polars as pl

    try:
        return column.dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError as err:
        why = str(err).splitlines()[0]
        raise StoreError(f"its times can't be of the zone {zone!r}: {why}") from None


def _whole(numbers: NDArray[Any], per_s: int, name: str) -> NDArray[np.int64]:
    seconds = np.asarray(numbers // per_s, np.int64)
    odd = np.flatnonzero(numbers % per_s)
    if len(odd):
        raise StoreError(f"row {odd[0]} has a time in {name!r} that is no whole second")
    return seconds


def _in_order(bars: NDArray[np.void], period_s: int, notes: list[str]) -> Imported:
    """Return *bars* sorted and each once; what can't be mended is refused."""
    steps = np.diff(bars["time"])
    if np.any(steps < 0):
        notes.append("rows were not in order of time: sorted")
        bars = bars[np.argsort(bars["time"], kind="stable")]
        steps = np.diff(bars["time"])
    again = np.flatnonzero(steps == 0)
    if len(again):
        unlike = [int(i) for i in again if bars[i] != bars[i + 1]]
        if unlike:
            raise StoreError(
                f"{len(unlike)} times have two bars that differ, e.g. "
                f"{bars['time'][unlike[0]]} s: take one of each out"
            )
        notes.append(f"{len(again)} rows stood there twice: taken once")
        bars = np.delete(bars, again)
    odd = bars["time"] % period_s
    if np.any(odd):
        usual = int(np.median(np.diff(bars["time"]))) if len(bars) > 1 else 0
        raise StoreError(
            f"{np.count_nonzero(odd)} bars don't open at a whole {period_s} s; most "
            f"are {usual} s apart: is --period {usual} meant?"
        )
    if fault := find_fault(bars, period_s):
        raise StoreError(fault)
    return Imported(bars, notes)


def write_foreign(path: Path, bars: NDArray[np.void]) -> None:
    """Write *bars* to a CSV, parquet or feather file, by the ending of its name.

    Times are epoch seconds; floats come back as they were from each.

    Raises: UsageError for another ending; OSError.
    """
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"can't tell the format from {path.name!r}: wanted a name that ends in "
            f"{', '.join(ENDINGS)}"
        )
    frame = to_frame(bars)
    with path.open("wb") as out:
        if kind == "csv":
            frame.write_csv(out)
        elif kind == "parquet":
            frame.write_parquet(out)
        else:
            frame.write_ipc(out, compression="zstd")
