"""Stored bars as a whole: what there is, whether it is sound, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from piker.errors import StoreDamaged, StoreError
from piker.msgs import Fqme
from piker.types import Struct

from ._layout import (
    DAMAGED,
    MANIFEST,
    bars_folder,
    gone_name,
    read_file,
    remove_gone,
    stored_folders,
)
from ._manifest import Manifest, read_manifest
from ._parts import check_part
from ._reader import read_bars, without_manifest
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


def stored_span(fqme: str, period_s: int) -> tuple[int, int]:
    """Return from where to where bars are stored: open of the first, end of the last.

    Both are 0 if there is none; epoch s. What can't be read of them counts too, and
    what was set aside.

    Raises: BadFqme; StoreTooNew; StoreDamaged if the manifest can't be read;
      StoreError if nothing is stored.
    """
    folder = bars_folder(fqme, period_s)
    if not folder.is_dir():
        raise nothing_stored(fqme, period_s)
    manifest = _manifest_in(folder)
    parts = manifest.parts.values()
    times = [at for part in parts for at in (part.first_s, part.last_s)]
    for first_s, end_s in manifest.lost:
        times += [first_s, end_s - period_s]
    with suppress(StoreDamaged):  # of the tail: the months tell enough
        content = _content(folder)
        times += [content["first_s"], content["last_s"]] if content["bars"] else []
    return (min(times), max(times) + period_s) if times else (0, 0)


def list_stores() -> list[StoreInfo]:
    """Return all that is stored, by market and period; reads no month's file."""
    return [_describe(*each) for each in stored_folders()]


def _describe(fqme: str, period_s: int, folder: Path) -> StoreInfo:
    size = damaged = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a fold goes on
            size += path.stat().st_size * path.is_file()
            damaged += path.parent.name == DAMAGED
    told: dict[str, Any] = {"fqme": fqme, "period_s": period_s}
    told |= {"size": size, "damaged": damaged}
    try:
        return StoreInfo(**(told | _content(folder)))
    except (StoreError, OSError) as err:
        return StoreInfo(**told, fault=str(err))


def _content(folder: Path) -> dict[str, int]:
    manifest = _manifest_in(folder)
    try:
        times = decode(read_file(folder / manifest.tail)).bars["time"]
    except FileNotFoundError:
        if manifest != _manifest_in(folder):
            return _content(folder)  # it was folded just now
        raise StoreDamaged(f"{folder / manifest.tail} is missing") from None
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


def _manifest_in(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder)
    except OSError as err:
        why = err.strerror or err
        raise StoreError(f"{folder / MANIFEST} can't be read now: {why}") from None
    if manifest is None:
        said = without_manifest(folder) or [f"{folder} holds no bars"]
        raise StoreDamaged(said[0])
    return manifest


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
    if not folder.is_dir():
        raise nothing_stored(fqme, period_s)
    manifest = _manifest_in(folder)
    faults: list[str] = []
    bad: list[str] = []
    for done, (_, part) in enumerate(sorted(manifest.parts.items())):
        progress(done / (len(manifest.parts) + 1))
        try:
            fault = check_part(folder, part, period_s)
        except FileNotFoundError:
            if manifest != _manifest_in(folder):  # it was folded just now
                return verify(fqme, period_s, progress)
            fault = f"{folder / part.file} is missing"
        if fault:
            faults.append(fault)
            bad.append(str(folder / part.file))
    of_tail = read_bars(fqme, period_s, newest=1).damaged
    faults += [each for each in of_tail if not any(path in each for path in bad)]
    progress(1.0)
    return faults


def repair(fqme: str, period_s: int) -> list[str]:
    """Set aside what is damaged, fold the tail; return what was, a sentence each.

    Raises: as `StoreWriter`; StoreError if nothing is stored.
    """
    with closing(_open_stored(fqme, period_s)) as writer:
        writer.set_damaged_aside()
        writer.fold()
    return writer.damaged


def delete(fqme: str, period_s: int) -> None:
    """Remove a market's stored bars of one period, set-aside files included.

    Raises: as `StoreWriter`; StoreError if nothing is stored.
    """
    writer = _open_stored(fqme, period_s)
    folder = writer.folder
    try:
        gone = folder.with_name(gone_name(folder.name, time.time_ns()))
        folder.rename(gone)  # at once: who comes now begins a new one
    except OSError as err:
        raise StoreError(f"can't remove {folder}: {err.strerror}") from None
    finally:
        writer.close()
    finish_deletions(fqme)


def finish_deletions(fqme: str) -> None:
    """Remove what deletions of a market's bars left that were killed, or failed.

    Raises: BadFqme; StoreError if it can't be removed.
    """
    market = bars_folder(fqme, 1).parent
    try:
        remove_gone(market)
    except OSError as err:
        raise StoreError(
            f"can't remove bars in {market}: {err.strerror or err}"
        ) from None
    with suppress(OSError):  # others of the market or the broker are there
        market.rmdir()
        market.parent.rmdir()


def _open_stored(fqme: str, period_s: int) -> StoreWriter:
    """Open what is stored to write it; a writer alone would begin a new store."""
    if not bars_folder(fqme, period_s).is_dir():
        raise nothing_stored(fqme, period_s)
    return StoreWriter(fqme, period_s)


def nothing_stored(fqme: str, period_s: int | None = None) -> StoreError:
    """Return the error that a market has no stored bars, with those it has."""
    name = str(Fqme.parse(fqme))
    found = [p for known, p, _ in stored_folders() if known == name]
    if period_s in found:
        return StoreError(f"no {period_s} s bar of {name!r} is stored that can be read")
    periods = [f"{p} s" for p in found]
    what = f"no {period_s} s bars" if period_s else "no bars"
    known = f", only {', '.join(periods)}" if periods else ""
    return StoreError(f"{what} of {name!r} are stored{known}; see `piker store ls`")
