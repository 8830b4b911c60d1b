"""What a ledger says, in binary, so that it opens fast; it may be lost at any time.

It holds for the first so many bytes of the file, as their hash says: what was appended
since is read as text, and a file that was edited before there is read anew.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from piker.files import put_whole

from ._transaction import Transaction

#: Of another version, or of other fields, is none.
_FORM: Final = f"1 {' '.join(Transaction.__struct_fields__)}"


class _Cached(msgspec.Struct, frozen=True, array_like=True):
    """The file of the cache.

    Attributes:
      form: what the rest is.
      size: bytes of the ledger that it holds for.
      digest: hash of those bytes.
      txns: what they say.
    """

    form: str
    size: int
    digest: bytes
    txns: list[Transaction]


_DECODER: Final = msgspec.msgpack.Decoder(_Cached)


def load(path: Path, raw: bytes) -> tuple[list[Transaction], int]:
    """Return what the cache knows of *raw*: (transactions, bytes they take).

    ([], 0) if there is no cache, or it is of another file.
    """
    try:
        found = _DECODER.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return [], 0
    if found.form != _FORM or found.size > len(raw):
        return [], 0
    if found.digest != _digest(memoryview(raw)[: found.size]):
        return [], 0
    return found.txns, found.size


def store(path: Path, raw: bytes, txns: list[Transaction]) -> None:
    """Note that *raw*, all of it, says *txns*; without effect where that can't be."""
    made = _Cached(_FORM, len(raw), _digest(memoryview(raw)), txns)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        put_whole(path, msgspec.msgpack.encode(made), durable=False, mode=0o600)


def _digest(raw: memoryview) -> bytes:
    return hashlib.blake2b(raw, digest_size=32).digest()
