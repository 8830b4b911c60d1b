"""What a recording says of itself between its frames.

A ``#``, a space and JSON, as its first line, with the kind first:
``# {"note":"down","symbols":["BTCUSDT"],"reason":"...","time_ns":...}``. A note is
about what stands before and after it; who doesn't know it skips it as a comment.
"""

from __future__ import annotations

from typing import Final

import msgspec

from piker.types import Struct

from ._payload import FOREIGN

_BEGINS: Final = b'# {"note":'


class Begun(Struct, frozen=True, kw_only=True, tag_field="note", tag="begun"):
    """What comes of a market before a trade isn't waited for any more.

    Attributes:
      symbol: the market, as the venue spells it.
      serial: of that trade.
      since_ns: trades stamped before are left out.
    """

    symbol: str
    serial: int
    since_ns: int = 0


class Dropped(Struct, frozen=True, kw_only=True, tag_field="note", tag="dropped"):
    """Trades that came before this and are damaged.

    Attributes:
      symbol: the market, as the venue spells it.
      serials: the first of each part, as the venue's decoder gives them.
    """

    symbol: str
    serials: tuple[int, ...]


class Down(Struct, frozen=True, kw_only=True, tag_field="note", tag="down"):
    """From here on trades are missing; they follow before `Up`.

    Attributes:
      symbols: the markets, as the venue spells them.
      reason: one sentence.
      time_ns: when it was noticed, ns since the epoch.
    """

    symbols: tuple[str, ...]
    reason: str
    time_ns: int


class Up(Struct, frozen=True, kw_only=True, tag_field="note", tag="up"):
    """What was missed stands before this, the rest is news."""

    symbols: tuple[str, ...]
    time_ns: int


class Gone(Struct, frozen=True, kw_only=True, tag_field="note", tag="gone"):
    """The venue refuses these markets: nothing more comes of them."""

    symbols: tuple[str, ...]
    reason: str
    time_ns: int


class Done(Struct, frozen=True, kw_only=True, tag_field="note", tag="done"):
    """The recording ended in order; the last line."""

    frames: int
    time_ns: int


Note = Begun | Dropped | Down | Up | Gone | Done
_DECODER: Final = msgspec.json.Decoder(Note)


def note_line(note: Note) -> bytes:
    r"""Return the line that says *note*, ``\n`` included."""
    return b"# " + msgspec.json.encode(note) + b"\n"


def read_note(line: bytes) -> Note | None:
    """Return what a line notes, None if it is another comment."""
    if not line.startswith(_BEGINS):
        return None
    try:
        return _DECODER.decode(line[2:])
    except FOREIGN:
        return None
