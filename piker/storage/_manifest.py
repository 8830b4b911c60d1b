"""What counts in a folder of bars.

    {"version": 1, "digest": "...", "manifest": {...}}

A manifest names the files and says what is in them. It is replaced as a whole, so a
folder is at any moment as one manifest says: a killed writer leaves files that no
manifest names, and nothing else. Its digest is of the version and all that follows, in
every version: what no longer fits it is not believed.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from piker.errors import StoreDamaged, StoreTooNew
from piker.files import put_whole
from piker.types import Struct

from ._layout import MANIFEST, read_file

#: Of the form of the folder; one with a higher number is left alone.
VERSION: Final = 2
#: Fields that a manifest of the form before can't have: only with them it is of this.
_NEW_FIELDS: Final = ("doubts", "lost")


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


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What counts.

    Attributes:
      fqme: the market.
      period_s: bar length.
      number: the highest that a file has.
      edition: of the market, where it has several pasts.
      tail: name of the tail.
      parts: by month, e.g. ``2024-08``.
      empty: spans, (first, end) in epoch s, of which the venue has said that there is
        nothing; disjoint, ascending.
      doubts: spans, likewise, of bars that may lack a trade: to be asked for again.
      lost: spans, likewise, of the files that were damaged and set aside.
    """

    fqme: str
    period_s: int
    number: int
    tail: str
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    empty: tuple[tuple[int, int], ...] = ()
    edition: str = ""
    doubts: tuple[tuple[int, int], ...] = ()
    lost: tuple[tuple[int, int], ...] = ()


class _Sealed(msgspec.Struct):
    version: int
    digest: str
    manifest: msgspec.Raw


# Made here: msgspec learns a type when it is first decoded, and crashes the process
# where two threads have it learn the same one at once.
_SEALED: Final = msgspec.json.Decoder(_Sealed)
_MANIFESTS: Final = msgspec.json.Decoder(Manifest)


def _digest(version: int, body: bytes) -> str:
    return blake2b(b"%d %s" % (version, body), digest_size=16).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in *folder*, None if there is none.

    Raises:
      StoreTooNew: it is of a later piker.
      StoreDamaged: it can't be read, or isn't as it was written.
      OSError: it can't be read now.
    """
    path = folder / MANIFEST
    try:
        raw = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        sealed = _SEALED.decode(raw)
        body = bytes(sealed.manifest)
        if sealed.digest != _digest(sealed.version, body):
            raise StoreDamaged(f"{path} isn't as it was written")
        if sealed.version <= VERSION:
            return _MANIFESTS.decode(body)
    except (msgspec.MsgspecError, ValueError) as err:
        raise StoreDamaged(f"{path} can't be read: {err}") from None
    raise StoreTooNew(
        f"{folder} was written by a later piker (form {sealed.version}, this one knows "
        f"{VERSION}): use that one, or export from it and import here"
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put *manifest* in force."""
    is_new = any(getattr(manifest, name) for name in _NEW_FIELDS)
    raw = seal(msgspec.json.encode(manifest), VERSION if is_new else 1)
    put_whole(folder / MANIFEST, raw, durable=True)


def seal(body: bytes, version: int = VERSION) -> bytes:
    """Return the file for the JSON of a manifest."""
    digest = _digest(version, body)
    return b'{"version":%d,"digest":"%s","manifest":%s}\n' % (
        version,
        digest.encode(),
        body,
    )
