"""Where stored bars lie, and under which names.

    <state>/bars/<broker>/<fqme>/<period>s/
        manifest.json          what counts, replaced as a whole
        2024-08.<n>.parquet    a month of bars, in order of time
        tail.<n>.bin           bars that are in no month's file yet, appended
        lock                   held by the one writer
        damaged/               files that were set aside
    <state>/bars/<broker>/<fqme>/.<period>s.<n>.gone    is being removed

A file's number ``n`` rises with each rewrite, so nothing that a manifest names ever
changes: who has read a manifest reads its files, or finds them gone and reads the next.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

import numpy as np

from piker import config
from piker.errors import BadFqme, StoreDamaged, StoreError
from piker.files import put_whole, sync_folder
from piker.msgs import Fqme
from piker.tsp import Ints

MANIFEST: Final = "manifest.json"
LOCK: Final = "lock"
DAMAGED: Final = "damaged"
PART: Final = re.compile(r"^(\d{4,}-\d\d)\.(\d+)\.parquet$")
TAIL: Final = re.compile(r"^tail\.(\d+)\.bin$")
#: What a file system says that gives a file one name only.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_PERIOD: Final = re.compile(r"^(\d+)s$")


def store_root() -> Path:
    """Return the folder of all stored bars; it need not exist."""
    return config.state_dir() / "bars"


def bars_folder(fqme: str, period_s: int) -> Path:
    """Return the folder of one market's bars of one period; it need not exist.

    Raises: BadFqme.
    """
    name = Fqme.parse(fqme)
    if period_s < 1:
        raise StoreError(f"a period must be at least 1 s, not {period_s!r}")
    return store_root() / name.broker / str(name) / f"{period_s}s"


def stored_folders() -> list[tuple[str, int, Path]]:
    """Return market, period in seconds and folder of all that is stored, sorted."""
    found = []
    for path in store_root().glob("*/*/*"):
        period, fqme = _PERIOD.match(path.name), path.parent.name
        with suppress(BadFqme, StoreError):  # a folder of somebody else's
            if period and path == bars_folder(fqme, int(period[1])) and path.is_dir():
                found.append((fqme, int(period[1]), path))
    return sorted(found)


def make_folder(folder: Path) -> None:
    """Make *folder* and those above it, their names durable.

    Raises: FileNotFoundError if one is removed meanwhile; OSError.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:  # another, or another thread, made it
        if not S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError(
                errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
            ) from None
    sync_folder(folder.parent)


def remove_gone(market: Path) -> None:
    """Remove what deletions of a market's bars left, killed ones or one that goes on.

    Raises: OSError.
    """
    for gone in market.glob(gone_name("*", "*")):
        shutil.rmtree(gone, ignore_errors=True)  # another may be at it too
        with suppress(FileNotFoundError):
            shutil.rmtree(gone)  # says what is in the way, if it is still there


def gone_name(period: str, number: int | str) -> str:
    """Return the name of a folder that is being removed."""
    return f".{period}.{number}.gone"


def part_name(month: str, number: int) -> str:
    """Return the name of a month's file."""
    return f"{month}.{number}.parquet"


def tail_name(number: int) -> str:
    """Return the name of a tail."""
    return f"tail.{number}.bin"


def number_of(name: str) -> int:
    """Return the number in a file's name, 0 if it has none."""
    named = PART.match(name) or TAIL.match(name)
    return int(named[named.lastindex or 1]) if named else 0


def months_of(time_s: Ints) -> list[tuple[str, slice]]:
    """Return the months in ascending *time_s*, each with where its bars stand."""
    months = time_s.astype("M8[s]").astype("M8[M]")
    first = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    ends = [*first[1:].tolist(), len(months)]
    return [
        (str(months[at]), slice(at, end))
        for at, end in zip(first.tolist(), ends, strict=True)
        if end > at
    ]


def month_key(month: str) -> tuple[int, int]:
    """Return what sorts months in order of time."""
    year, _, number = month.rpartition("-")
    return int(year), int(number)


def files_in(folder: Path) -> list[Path]:
    """Return what lies in *folder*, nothing if it isn't there."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def set_aside(path: Path) -> Path:
    """Give a damaged file a durable second name out of the way; return that.

    The first one is the caller's to remove, once no manifest in force names it.

    Raises: FileNotFoundError if it isn't there; OSError.
    """
    folder = path.parent / DAMAGED
    folder.mkdir(mode=0o700, exist_ok=True)
    for there in folder.glob(f"{path.name}.*"):
        if there.samefile(path):  # by one that was killed before it was done
            return there
    there = folder / f"{path.name}.{time.time_ns()}"
    try:
        os.link(path, there)
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        put_whole(
            there, path.read_bytes(), durable=True
        )  # a file system without such names
    sync_folder(folder)
    return there


def read_file(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
      FileNotFoundError: it isn't there.
      StoreDamaged: the disk can't read it.
      OSError: it can't be read now, which says nothing of the file.
    """
    try:
        return path.read_bytes()
    except OSError as err:
        if err.errno == errno.EIO:
            raise StoreDamaged(f"{path} can't be read: {err.strerror}") from None
        raise
