r"""Writing a recorded session: packed, and readable whatever becomes of the writer.

    lines --zstd--> [block | block | ...] [block | ...]    flush() ends a block: what
                     a zstd frame          another          was added can be read

Killed between two flushes it lacks what was added since the last one; a disk without
room leaves it as it was after the last write that fitted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from piker.errors import PikerError, UsageError
from piker.msgs import MktPair

from ._session_head import head_line
from ._session_notes import Done, Note, note_line

#: Of content, in one zstd frame: what a reader that jumps has to begin with.
_FRAME_BYTES: Final = 1 << 24
_END_BLOCK: Final = 1  # zstandard.COMPRESSOBJ_FLUSH_BLOCK


class SessionWriter:
    """A session file being written; close it.

    Attributes:
      path: the file.
      frames: written.
      content_bytes: written, before packing.
      file_bytes: written, after it.
      last_ns: the newest receive stamp.
      is_full: it takes no more; how many of the frames are in it only it knows.
    """

    def __init__(self, path: Path, mkts: Sequence[MktPair]) -> None:
        """Make the file.

        Args:
          path: where.
          mkts: recorded, all of one venue.

        Raises:
          UsageError: it is there already.
          PikerError: it can't be made.
          OSError: it can't hold its first line; names the file, which is not left.
        """
        import zstandard  # takes a while, and who only watches needs it not

        head = head_line(mkts, mended=True)
        self.path = path
        self.frames = self.content_bytes = self.file_bytes = self.last_ns = 0
        self._fd = _create(path)
        self._packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self._frame = self._packer.compressobj()
        self._in_frame = 0
        self.is_full = False
        try:
            self._add(head)
            self.flush()
        except OSError:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise

    def add(self, lines: bytes, frames: int, first_ns: int, last_ns: int) -> None:
        r"""Take lines of a session.

        Args:
          lines: each with its stamp and its ``\n``.
          frames: of them are frames.
          first_ns: the first frame's stamp.
          last_ns: the last one's.

        Raises:
          OSError: it can't be written, for lack of room or otherwise; names the file.
        """
        if frames:
            if first_ns < self.last_ns:  # the clock was set back, or another's is
                lines = _not_before(lines, self.last_ns)
            self.last_ns = max(self.last_ns, last_ns)
        self.frames += frames
        self._add(lines)

    def note(self, note: Note) -> None:
        """Take a note; raises as :meth:`add`."""
        self._add(note_line(note))

    def flush(self) -> None:
        """Make what was added readable; raises as :meth:`add`."""
        self._write(self._frame.flush(_END_BLOCK))

    def close(self) -> None:
        """Write what is left, and have it last; raises as :meth:`add`."""
        if self._fd < 0:
            return
        try:
            if not self.is_full:
                self.note(Done(frames=self.frames, time_ns=time.time_ns()))
                self._write(self._frame.flush())
                self._sync()
        finally:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _add(self, lines: bytes) -> None:
        self.content_bytes += len(lines)
        self._in_frame += len(lines)
        self._write(self._frame.compress(lines))
        if self._in_frame >= _FRAME_BYTES:
            self._write(self._frame.flush())
            self._frame, self._in_frame = self._packer.compressobj(), 0

    def _write(self, packed: bytes) -> None:
        if self.is_full:
            return
        left = memoryview(packed)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as err:
            self.is_full = True  # a half block can't be gone on from
            with suppress(OSError):
                os.ftruncate(self._fd, self.file_bytes)
            raise OSError(err.errno, err.strerror, str(self.path)) from err
        self.file_bytes += len(packed)

    def _sync(self) -> None:
        """Have the file outlast a loss of power."""
        try:
            os.fsync(self._fd)
        except OSError as err:
            raise OSError(err.errno, err.strerror, str(self.path)) from err


def check_out(path: Path) -> None:
    """Raise what would keep `SessionWriter` from making *path*, as far as it shows."""
    if path.is_dir():
        raise UsageError(f"can't record to {str(path)!r}: it is a folder")
    if path.exists():
        raise _exists(path)
    if not path.parent.is_dir():
        raise UsageError(
            f"can't record to {str(path)!r}: no folder {str(path.parent)!r}"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PikerError(f"can't write {str(path)!r}: permission denied")


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as err:
        raise PikerError(f"can't write {str(path)!r}: {_why(err)}") from err


def _exists(path: Path) -> UsageError:
    return UsageError(
        f"{str(path)!r} is there already: name another file, or remove it first"
    )


def _why(err: OSError) -> str:
    return (err.strerror or type(err).__name__).lower()


def _not_before(lines: bytes, least_ns: int) -> bytes:
    """Return *lines* with no stamp before *least_ns*."""
    kept = []
    for line in lines.split(b"\n"):
        stamp, space, payload = line.partition(b" ")
        if stamp.isdigit() and int(stamp) < least_ns:
            kept.append(b"%d%s%s" % (least_ns, space, payload))
        else:
            kept.append(line)
    return b"\n".join(kept)
