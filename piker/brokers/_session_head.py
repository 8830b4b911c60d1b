"""The first line of a recorded session: what its frames don't tell of themselves.

A ``#``, a space and JSON: ``# {"form":1,"mkts":[{"dst":{"name":"btc",...},
"price_tick":"0.1","size_tick":"0.001","bs_mktid":"BTCUSDT","broker":"binance",...}]}``

A session without it can be played too, as far as its frames show the markets' steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from piker.errors import BadFqme, UsageError
from piker.msgs import MktPair
from piker.types import Struct

from ._payload import FOREIGN

MARK: Final = b"#"
_FORM: Final = 1


class SessionHead(Struct, frozen=True, kw_only=True):
    """What stands in the first line.

    Attributes:
      form: of the file.
      mkts: the markets recorded, at least one, all of one broker and venue.
      mended: trades stand as they came: what was missed follows later, some are told
        twice, and notes say what isn't waited for. They are put in order to be played.
    """

    form: Annotated[int, msgspec.Meta(ge=_FORM, le=_FORM)] = _FORM
    mkts: tuple[MktPair, ...]
    mended: bool = False

    def __post_init__(self) -> None:
        venues = sorted({venue_of(mkt) for mkt in self.mkts})
        if len(venues) != 1:
            # frames of one broker's venues may look the same
            told = ", ".join(venues) or "none"
            raise ValueError(f"a session holds markets of one venue, not of {told}")

    @property
    def venue(self) -> str:
        """Whose frames follow, e.g. ``binance.usdtm``."""
        return venue_of(self.mkts[0])


def venue_of(mkt: MktPair) -> str:
    """Return whose frames tell of a market: ``binance.usdtm``, ``deribit``."""
    return f"{mkt.broker}.{mkt.venue}" if mkt.venue else mkt.broker


_DECODER: Final = msgspec.json.Decoder(SessionHead)


def head_line(mkts: Sequence[MktPair], *, mended: bool = False) -> bytes:
    r"""Return the first line of a recording of *mkts*, ``\n`` included.

    Args:
      mkts: the markets.
      mended: see `SessionHead`.

    Raises:
      UsageError: if they are of several venues.
    """
    try:
        head = SessionHead(mkts=tuple(mkts), mended=mended)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return MARK + b" " + msgspec.json.encode(head) + b"\n"


def read_head(line: bytes) -> SessionHead | None:
    """Return what a first line says, None if it is of no such form.

    Raises:
      ValueError: if it is, but doesn't hold what it should.
    """
    if not line.startswith(MARK):
        return None
    try:
        return _DECODER.decode(line[len(MARK) :])
    except (BadFqme, *FOREIGN) as error:
        raise ValueError(" ".join(str(error).split())) from error
