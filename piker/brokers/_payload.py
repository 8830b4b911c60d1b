r"""What a venue's bytes are refused with: one error, one line, whatever came.

bytes --decoder of msgspec--> values
             \--> BadPayload: whose, why, and how the bytes begin
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from piker.errors import BadPayload

#: What decoding bytes can raise: RecursionError comes of nesting without end,
#: ArithmeticError of decimals with exponents without end.
FOREIGN: Final = (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError)

_SHOWN_BYTES: Final = 80  # of a bad payload, in the error's text
_SHOWN_CHARS: Final = 200  # of a venue's own words
_T = TypeVar("_T")


def decode(decoder: msgspec.json.Decoder[_T], venue: str, payload: bytes) -> _T:
    """Return *payload* as *decoder* reads it; raises BadPayload in its place."""
    try:
        return decoder.decode(payload)
    except FOREIGN as error:
        raise bad_payload(venue, payload, error) from error


def convert(record: object, kind: type[_T], venue: str) -> _T:
    """Return a decoded *record* as a wire type; raises BadPayload in its place."""
    try:
        return msgspec.convert(record, kind, strict=False)
    except FOREIGN as error:
        raise bad_payload(venue, repr(record).encode(), error) from error


def bad_payload(venue: str, payload: bytes, error: object) -> BadPayload:
    """Return what *error* about *payload* means, in one line.

    Args:
      venue: e.g. ``binance``.
      payload: what came.
      error: what was wrong with it, an exception or words.
    """
    shown = payload[:_SHOWN_BYTES]
    dots = "..." if len(payload) > _SHOWN_BYTES else ""
    return BadPayload(
        f"not what {venue} documents: {one_line(error)}: {bytes(shown)!r}{dots}"
    )


def one_line(words: object) -> str:
    """Return a venue's *words* as one short line of printable characters."""
    text = str(words)[:_SHOWN_CHARS]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def as_request_id(told: Any) -> int:
    """Return the number of a request as an answer repeats it, -1 if it is none."""
    return told if type(told) is int and 0 <= told < 2**63 else -1


Reason = Literal["limit", "unavailable", "market", "other"]


class Failure(NamedTuple):
    """What a venue says went wrong with a request.

    Attributes:
      reason: what may be done about it: wait for the ``limit`` to pass, try again when
        the venue is no longer ``unavailable``, name another ``market``, or nothing.
      text: the venue's words, one line.
    """

    reason: Reason
    text: str
