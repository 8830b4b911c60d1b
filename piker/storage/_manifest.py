"""What counts in a folder of bars.

A manifest names the files and says what is in them. It is replaced as a whole, so a
folder is at any moment as one manifest says: a killed writer leaves files that no
manifest names, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from piker.errors import StoreDamaged, StoreTooNew
from piker.types import Struct

from ._layout import MANIFEST, put_whole

#: Of the form of the folder; one with a higher number is left alone.
VERSION: Final = 1


class Part(Struct, frozen=True, kw_only=True):
    """A month of bars in a file.

    Attributes:
      file: its name.
      rows: bars in it.
      first_s: time of the first, epoch s.
      last_s: time of the last.
      size: of the file, bytes.
      digest: blake2b of the file, 16 bytes, in hex.
    """

    file: str
    rows: int
    first_s: int
    last_s: int
    size: int
    digest: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What counts.

    Attributes:
      version: of the form of the folder.
      fqme: the market.
      period_s: bar length.
      number: the highest that a file has.
      tail: name of the tail.
      parts: by month, e.g. ``2024-08``.
      empty: spans, (first, end) in epoch s, of which the venue has said that there is
        nothing; disjoint, ascending.
    """

    version: int = VERSION
    fqme: str
    period_s: int
    number: int
    tail: str
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    empty: tuple[tuple[int, int], ...] = ()


class _Head(msgspec.Struct):
    version: int


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in *folder*, None if there is none.

    Raises:
      StoreTooNew: it is of a later piker.
      StoreDamaged: it can't be read.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        version = msgspec.json.decode(raw, type=_Head).version
        if version <= VERSION:
            return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, ValueError) as err:
        raise StoreDamaged(f"{path} can't be read: {err}") from None
    raise StoreTooNew(
        f"{folder} was written by a later piker (form {version}, this one knows "
        f"{VERSION}): use that one, or export from it and import here"
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put *manifest* in force."""
    put_whole(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))


def add_span(
    spans: tuple[tuple[int, int], ...], first_s: int, end_s: int
) -> tuple[tuple[int, int], ...]:
    """Return *spans* with one more, those that touch joined; disjoint, ascending."""
    joined: list[tuple[int, int]] = []
    for first, end in sorted([*spans, (first_s, end_s)]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > first:
            joined.append((first, end))
    return tuple(joined)
