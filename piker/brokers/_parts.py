"""What a venue's decoder makes of one frame of its stream.

frame --decode_message--> [Part, ...]: ticks of markets, with their serials
                          Notice: about the connection or a request
"""

from __future__ import annotations

from math import nan
from typing import Literal, NamedTuple

from piker.brokers._payload import Reason
from piker.msgs import Tick


class Part(NamedTuple):
    """What one frame says of one market.

    Attributes:
      symbol: the market, as the venue spells it.
      ticks: oldest first.
      first: serial of its first trade event; the serials of a market rise by exactly
        one, so a hole in them is a loss. -1 if it holds no trade event.
      last: serial of its last one.
    """

    symbol: str
    ticks: list[Tick]
    first: int = -1
    last: int = -1


class Notice(NamedTuple):
    """A frame that says nothing of a market.

    Attributes:
      kind: what it is; a heartbeat only proves that the venue is there.
      symbol: of an ack or a refusal, if it was told.
      req_id: of the request it answers, -1 if none.
      text: one line, may be empty.
      reason: of a refusal.
    """

    kind: Literal["heartbeat", "status", "ack", "refused", "other"]
    symbol: str = ""
    req_id: int = -1
    text: str = ""
    reason: Reason = "other"


def side_tick(
    side: Literal["bid", "ask"], price: float | None, size: float | None, time_ns: int
) -> Tick:
    """Return the best bid or ask as a venue tells it.

    Args:
      side: which.
      price: quote units; 0 or None if there is none: who knew one is to forget it.
      size: base units; None if it isn't told.
      time_ns: the venue's stamp, ns since the epoch; 0 if it gives none.
    """
    if not price:
        return Tick(side, nan, 0.0, time_ns)
    return Tick(side, price, size or 0.0, time_ns)
