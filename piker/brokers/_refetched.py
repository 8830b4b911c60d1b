"""An answer of a venue's REST service among the frames of its stream.

What a lost connection missed is fetched; a recording holds those answers too, each as
a frame of its own: ``{"refetched":"BTCUSDT","body":[...]}``, the body as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from piker.types import Struct

from ._parts import Notice, Part
from ._payload import decode

_BEGINS: Final = b'{"refetched":'

#: Takes a frame apart, or raises BadPayload.
Decode = Callable[[bytes], list[Part] | Notice]


class _Refetched(Struct, frozen=True, kw_only=True):
    """The frame: the market as the venue's stream spells it, and the answer."""

    refetched: str
    body: msgspec.Raw


_DECODER: Final = msgspec.json.Decoder(_Refetched)


def as_frame(symbol: str, body: bytes) -> bytes:
    """Return the frame that holds *body*, JSON, past trades of *symbol*."""
    return msgspec.json.encode(_Refetched(refetched=symbol, body=msgspec.Raw(body)))


def with_refetched(
    venue: str, decode_frame: Decode, parse_trades: Callable[[bytes, str], list[Part]]
) -> Decode:
    """Return *decode_frame* that reads those frames too.

    Args:
      venue: its name, for errors.
      decode_frame: reads the stream's.
      parse_trades: reads the body of a REST answer, given the market's symbol.
    """

    def decode_either(payload: bytes) -> list[Part] | Notice:
        if not payload.startswith(_BEGINS):
            return decode_frame(payload)
        told = decode(_DECODER, venue, payload)
        return parse_trades(bytes(told.body), told.refetched)

    return decode_either
