"""Reading a recorded session: plain text, gzip or zstd, a line at a time.

    file --64 KiB--> inflate --lines--> (line number, receive stamp, payload)

A line is ``<ns since the epoch> <payload>``; stamps never run backwards. Empty lines
and those that begin with ``#`` are skipped, but for notes; the first line may be a
`SessionHead`.
Memory is bounded by one chunk, whatever the file's size.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import zstandard

from piker.brokers._session_head import MARK, SessionHead, read_head
from piker.brokers._session_notes import Note, read_note
from piker.errors import SessionFileError

#: Line number from 1, receive stamp in ns since the epoch, payload.
Frame = tuple[int, int, bytes]
#: Likewise of a note, with the stamp of the frame before it, 0 if there is none.
Noted = tuple[int, int, Note]

_CHUNK_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 24
_STAMP_DIGITS = 19  # of the largest that fits in 64 bits
_MAX_STAMP: Final = 2**63 - 1
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class _CutOffError(Exception):
    """The compressed stream ends, or breaks, before its end; the text says which."""


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def iter_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a recorded session, in order, undecoded.

    Raises:
      SessionFileError: as :func:`iter_records` does.
    """
    for number, receive_ns, payload in iter_records(path):
        if isinstance(payload, bytes):
            yield number, receive_ns, payload


def iter_records(path: Path) -> Iterator[Frame | Noted]:
    """Yield the frames of a recorded session and the notes between them, in order.

    Args:
      path: the file; how it is packed shows in its first bytes, not in its name.

    Raises:
      SessionFileError: if the file can't be read or is empty; at a line without a
        stamp or with an earlier one than the line before; and after the last whole
        line of a file that was cut off.
    """
    number = last_ns = 0
    for line in _iter_lines(path):
        number += 1
        stamp, space, payload = line.partition(b" ")
        if not (stamp.isdigit() and space and len(stamp) <= _STAMP_DIGITS):
            if not line.strip() or line.startswith(MARK):
                note = read_note(line)
                if note is not None:
                    yield number, last_ns, note
                continue
            raise SessionFileError(
                f"session {str(path)!r}, line {number}: must be a receive stamp in ns,"
                f" a space and a frame, not {_shown(line)}"
            )
        receive_ns = int(stamp)
        if not last_ns <= receive_ns <= _MAX_STAMP:
            raise SessionFileError(
                f"session {str(path)!r}, line {number}: stamps must not run backwards,"
                f" but {receive_ns} comes after {last_ns}"
            )
        last_ns = receive_ns
        yield number, receive_ns, payload


def read_session_head(path: Path) -> SessionHead | None:
    """Return what the first line says of the session, None if it is a frame already.

    Raises:
      SessionFileError: if the file can't be read, or its first line is none of ours.
    """
    try:
        return read_head(next(_iter_lines(path), b""))
    except ValueError as error:
        raise SessionFileError(
            f"session {str(path)!r}, line 1: doesn't say what was recorded: {error}"
        ) from error


def _iter_lines(path: Path) -> Iterator[bytes]:
    """Yield whole lines; a torn last one is an error, not a line."""
    count, rest = 0, b""
    try:
        for chunk in _iter_chunks(path):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if len(rest) > _MAX_LINE_BYTES:
                raise SessionFileError(
                    f"session {str(path)!r}: line {count + len(lines) + 1} is longer"
                    f" than {_MAX_LINE_BYTES} bytes, so this is no recorded session"
                )
            yield from lines
            count += len(lines)
        _check_whole(rest)
    except _CutOffError as error:
        raise SessionFileError(
            f"session {str(path)!r} {error} after line {count}: what was recorded after"
            " it is lost"
        ) from error
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise SessionFileError(f"can't read session {str(path)!r}: {why}") from error
    if rest:
        yield rest
    elif not count:
        raise SessionFileError(f"session {str(path)!r} is empty")


def _check_whole(last_line: bytes) -> None:
    """Refuse a torn last line; it may lack its newline, but not its end."""
    if last_line.strip() and not last_line.rstrip().endswith(b"}"):
        raise _CutOffError("is cut off")


def _iter_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of the file, inflated if it is packed."""
    with path.open("rb") as file:
        head = file.read(len(_ZSTD))
        file.seek(0)
        if head.startswith(_GZIP):
            yield from _inflate(file, lambda: zlib.decompressobj(wbits=31))
        elif head == _ZSTD:
            yield from _inflate(file, zstandard.ZstdDecompressor().decompressobj)
        else:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def _inflate(file: BinaryIO, new_inflater: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Yield the content of all members of a packed file."""
    inflater = new_inflater()
    packed = file.read(_CHUNK_BYTES)
    while packed:
        try:
            yield inflater.decompress(packed)
        except (zlib.error, zstandard.ZstdError) as error:
            raise _CutOffError("is damaged") from error
        packed = inflater.unused_data if inflater.eof else b""
        if inflater.eof and (packed := packed or file.read(_CHUNK_BYTES)):
            inflater = new_inflater()
        elif not inflater.eof:
            packed = file.read(_CHUNK_BYTES)
    if not inflater.eof:
        raise _CutOffError("is cut off")


def _shown(line: bytes) -> str:
    return repr(line[:40]) + ("..." if len(line) > 40 else "")
