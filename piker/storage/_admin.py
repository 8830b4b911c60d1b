"""Stored bars as a whole: what there is, whether it is sound, and its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from piker.errors import StoreDamaged, StoreError
from piker.types import Struct

from ._layout import DAMAGED, bars_folder, stored_folders
from ._manifest import Manifest, read_manifest
from ._parts import check_part
from ._reader import read_bars
from ._tail import decode
from ._writer import StoreWriter


class StoreInfo(Struct, frozen=True, kw_only=True):
    """One market's stored bars of one period.

    Attributes:
      fqme: the market.
      period_s: bar length.
      bars: how many, at least: those of the tail may replace some.
      first_s, last_s: epoch s of the oldest and the newest, 0 if there is none.
      months: files.
      tail: bars in the tail.
      size: of all files, bytes.
      damaged: files that were set aside.
      fault: why it can't be read, empty if it can.
    """

    fqme: str
    period_s: int
    bars: int = 0
    first_s: int = 0
    last_s: int = 0
    months: int = 0
    tail: int = 0
    size: int = 0
    damaged: int = 0
    fault: str = ""


def list_stores() -> list[StoreInfo]:
    """Return all that is stored, by market and period; reads no month's file."""
    return [_describe(*each) for each in stored_folders()]


def _describe(fqme: str, period_s: int, folder: Path) -> StoreInfo:
    files = [p for p in folder.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files)
    damaged = sum(p.parent.name == DAMAGED for p in files)
    told: dict[str, Any] = {"fqme": fqme, "period_s": period_s}
    told |= {"size": size, "damaged": damaged}
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            raise StoreDamaged(f"{folder} has no manifest")
        return StoreInfo(**(told | _content(folder, manifest)))
    except (StoreError, OSError) as err:
        return StoreInfo(**told, fault=str(err))


def _content(folder: Path, manifest: Manifest) -> dict[str, int]:
    times = decode((folder / manifest.tail).read_bytes()).bars["time"]
    parts = manifest.parts.values()
    firsts, lasts = [p.first_s for p in parts], [p.last_s for p in parts]
    if len(times):
        firsts.append(int(times.min()))
        lasts.append(int(times.max()))
    return {
        "bars": sum(p.rows for p in parts) + len(times),
        "first_s": min(firsts, default=0),
        "last_s": max(lasts, default=0),
        "months": len(parts),
        "tail": len(times),
    }


def verify(
    fqme: str, period_s: int, progress: Callable[[float], None] = lambda _: None
) -> list[str]:
    """Read all of a market's stored bars; return what is wrong, a sentence each.

    Args:
      fqme: the market.
      period_s: bar length.
      progress: told how much is done, 0 to 1.

    Raises: BadFqme; StoreTooNew; StoreDamaged; StoreError if nothing is stored.
    """
    folder = bars_folder(fqme, period_s)
    manifest = read_manifest(folder)
    if manifest is None:
        raise nothing_stored(fqme, period_s)
    faults = []
    for done, (month, part) in enumerate(sorted(manifest.parts.items())):
        progress(done / (len(manifest.parts) + 1))
        if fault := check_part(folder, month, part):
            faults.append(fault)
    for fault in read_bars(fqme, period_s, newest=1).damaged:
        if fault not in faults:
            faults.append(fault)
    progress(1.0)
    return faults


def repair(fqme: str, period_s: int) -> list[str]:
    """Set aside what is damaged, fold the tail; return what was, a sentence each.

    Raises: as `StoreWriter`; StoreError if nothing is stored.
    """
    folder = bars_folder(fqme, period_s)
    if not folder.is_dir():
        raise nothing_stored(fqme, period_s)
    writer = StoreWriter(fqme, period_s)
    try:
        writer.set_damaged_aside()
        writer.fold()
    finally:
        writer.close()
    return writer.damaged


def delete(fqme: str, period_s: int) -> None:
    """Remove a market's stored bars of one period, set-aside files included.

    Raises: as `StoreWriter`; StoreError if nothing is stored.
    """
    folder = bars_folder(fqme, period_s)
    if not folder.is_dir():
        raise nothing_stored(fqme, period_s)
    writer = StoreWriter(fqme, period_s)
    try:
        shutil.rmtree(folder)
    except OSError as err:
        raise StoreError(f"can't remove {folder}: {err.strerror}") from None
    finally:
        writer.close()
    for parent in (folder.parent, folder.parent.parent):
        if not any(parent.iterdir()):
            parent.rmdir()


def nothing_stored(fqme: str, period_s: int) -> StoreError:
    """Return the error that a market has no stored bars, with those it has."""
    periods = [f"{p} s" for name, p, _ in stored_folders() if name == fqme]
    known = f"of {', '.join(periods)} only" if periods else "of no period"
    return StoreError(
        f"no {period_s} s bars of {fqme!r} are stored: {known}; see `piker store ls`"
    )
