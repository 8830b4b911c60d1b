"""Bars in files of others: CSV, parquet and feather, read and written.

    file --what its bytes say it is--> table --columns by name, times by size or zone-->
    bars, and what was made of each column, in words

Whatever a bar can't be is refused, with the row it stands in; nothing is guessed that
isn't told to the user.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from piker.errors import StoreError, UsageError
from piker.files import put_whole
from piker.tsp import OHLCV, find_fault

from ._parts import first_line, to_frame

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
#: Units of times since the epoch, up to which size; years to 5138 in each.
_UNITS: Final = ((1e11, "s", 1), (1e14, "ms", 10**3), (1e17, "us", 10**6))
_NS: Final = (9.2e18, "ns", 10**9)
_PER_S: Final = {"ms": 10**3, "us": 10**6, "ns": 10**9}
#: Of times in words: 64 bits of ns hold no others.
_YEARS: Final = (1678, 2261)
#: From here on a double leaves whole numbers out.
_TOO_MANY: Final = 2.0**53
#: Times in words are year first: 01/02/2024 is January to some and February to others.
_YEAR_FIRST: Final = r"^\d{4}-\d\d-\d\d"
_OFFSET: Final = r"\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)$"


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
        with path.open("rb") as file:  # a name would be taken for a pattern
            head = file.read(6)
            file.seek(0)
            if head[:4] == b"PAR1":
                return pl.read_parquet(file)
            if head == b"ARROW1":
                return pl.read_ipc(file)
            raw = file.read()
        if head[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return pl.read_csv(raw, infer_schema_length=None)
    except pl.exceptions.NoDataError:
        raise StoreError("it is empty") from None
    except (
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
    ) as err:
        raise StoreError(
            "wanted CSV, parquet or feather (arrow IPC), and that can't be read: "
            f"{first_line(err)}"
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
        bars["count"] = _whole_numbers(frame[found["count"]], found["count"])
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
    import polars as pl

    if not column.dtype.is_numeric():
        sample = " ".join(repr(column[0]).split())
        raise StoreError(
            f"column {name!r} holds no numbers but {column.dtype}, e.g. {sample}"
        )
    return column.cast(pl.Float64).to_numpy()


def _whole_numbers(column: pl.Series, name: str) -> NDArray[np.int64]:
    numbers = _numbers(column, name)
    odd = np.flatnonzero(~np.isfinite(numbers) | (np.mod(numbers, 1) != 0))
    if len(odd):
        raise StoreError(f"row {odd[0]} has no whole number in {name!r}")
    large = np.flatnonzero(np.abs(numbers) >= _TOO_MANY)
    if len(large):
        raise StoreError(
            f"row {large[0]} has {numbers[large[0]]:g} in {name!r}: no bar counts so "
            "many trades"
        )
    return numbers.astype(np.int64)


def _to_epoch_s(column: pl.Series, name: str, zone: str) -> tuple[NDArray[Any], str]:
    """Return times as epoch s, and in words what they were."""
    import polars as pl

    what = f"time is column {name!r}" if name else "time is the column without a name"
    if column.dtype == pl.String:
        column = _parse_times(column, name)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        told, per_s = column.dtype.time_zone, _PER_S[column.dtype.time_unit]
        if told is None:
            column = _in_zone(column, zone)
        steps = column.dt.convert_time_zone("UTC").to_physical().to_numpy()
        return _whole(steps, per_s, name), f"{what}, in {told or zone}"
    if not column.dtype.is_numeric():
        raise StoreError(f"column {name!r} holds no times but {column.dtype}")
    if not column.dtype.is_float():  # of 128 bits, or decimals
        column = column.cast(pl.Int64 if _is_whole(column) else pl.Float64)
    numbers = column.to_numpy()
    largest = float(np.max(np.abs(numbers.astype(np.float64))))
    for limit, unit, per_s in (*_UNITS, _NS):
        if largest < limit:
            return _whole(numbers, per_s, name), f"{what}, {unit} since the epoch"
    raise StoreError(
        f"column {name!r} holds no times in s, ms, us or ns since the epoch: up to "
        f"{largest:.16g}"
    )


def _is_whole(column: pl.Series) -> bool:
    """Tell whether numbers are integers that 64 bits hold."""
    import polars as pl

    if not column.dtype.is_integer():
        return isinstance(column.dtype, pl.Decimal) and not column.dtype.scale
    return not column.cast(pl.Int64, strict=False).has_nulls()


def _parse_times(column: pl.Series, name: str) -> pl.Series:
    import polars as pl

    sample = f"e.g. {column[0]!r}"
    if not column.str.contains(_YEAR_FIRST).all():
        raise StoreError(
            f"column {name!r} holds no times with the year first, {sample}; wanted "
            "e.g. 2024-08-08T12:00:00Z, or numbers since the epoch"
        )
    years = column.str.slice(0, 4).cast(pl.Int64)
    if not years.is_between(*_YEARS).all():
        raise StoreError(
            f"column {name!r} holds times beyond the years {_YEARS[0]} to {_YEARS[1]}"
        )
    has_offset = column.str.contains(_OFFSET)
    if has_offset.any() and not has_offset.all():
        raise StoreError(f"some times in {name!r} name their offset and others don't")
    try:
        if column.str.len_chars().max() == len("2024-08-08"):
            return column.str.to_date()
        zone = "UTC" if has_offset.any() else None
        return column.str.to_datetime(time_zone=zone, time_unit="ns")
    except pl.exceptions.PolarsError:
        raise StoreError(
            f"column {name!r} holds times that can't be read, {sample}"
        ) from None


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
    steps = np.diff(bars["time"])
    usual = int(np.median(steps)) if len(steps) else period_s
    odd = np.flatnonzero(bars["time"] % period_s)
    if len(odd):
        meant = f"is --period {usual} meant" if usual != period_s else "is --zone right"
        raise StoreError(
            f"{len(odd)} bars don't open at a whole {period_s} s of UTC, e.g. at "
            f"{bars['time'][odd[0]]} s; most are {usual} s apart: {meant}?"
        )
    if usual != period_s:
        notes.append(f"most bars are {usual} s apart, the period told is {period_s} s")
    if fault := find_fault(bars, period_s):
        raise StoreError(fault)
    return Imported(bars, notes)


def write_foreign(path: Path, bars: NDArray[np.void]) -> None:
    """Write *bars* to a CSV, parquet or feather file, by the ending of its name.

    Times are epoch seconds; floats come back as they were from each.

    A file that is there is replaced as a whole, or stays.

    Raises: UsageError for another ending; OSError.
    """
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"can't tell the format from {path.name!r}: wanted a name that ends in "
            f"{', '.join(ENDINGS)}"
        )
    frame, made = to_frame(bars), BytesIO()
    if kind == "csv":
        frame.write_csv(made)
    elif kind == "parquet":
        frame.write_parquet(made)
    else:
        frame.write_ipc(made, compression="zstd")
    put_whole(path, made.getbuffer(), durable=True)
