"""What IB's ticks are: their numbers, and the texts that some of them are.

https://interactivebrokers.github.io/tws-api/tick_types.html. A tick is a number for
its kind, and a price, a size or a text, as the library's decoder hands them on.
"""

from __future__ import annotations

from math import nan
from typing import Final, NamedTuple

from piker.errors import BadPayload

BID_SIZE: Final = 0
BID: Final = 1
ASK: Final = 2
ASK_SIZE: Final = 3
LAST: Final = 4
LAST_SIZE: Final = 5
VOLUME: Final = 8
CLOSE: Final = 9
#: When the last trade was, epoch s as a text.
LAST_TIME: Final = 45
#: Trades of all kinds, and those that are reported alone; texts, see `RtVolume`.
RT_VOLUME: Final = 48
RT_TRADE_VOLUME: Final = 77

#: Told in place of live ones where the account has delayed data only.
DELAYED: Final = {
    66: BID,
    67: ASK,
    68: LAST,
    69: BID_SIZE,
    70: ASK_SIZE,
    71: LAST_SIZE,
    74: VOLUME,
    75: CLOSE,
    88: LAST_TIME,
}

#: What is to be asked for so that trades are told.
GENERIC_TRADES: Final = "233,375"


class RtVolume(NamedTuple):
    """A trade, of kinds 48 and 77.

    ``701.28;1;1348075471534;67854;701.46918464;true``

    Attributes:
      price: nan if it isn't told.
      size: of the trade.
      time_ms: of it, epoch ms.
      total: traded today, with it.
      is_single: whether one market maker filled it.
    """

    price: float
    size: float
    time_ms: int
    total: float
    is_single: bool


def parse_rt_volume(text: str) -> RtVolume:
    """Return the trade that *text* tells; raises BadPayload."""
    try:
        price, size, time_ms, total, _, single = text.split(";")
        return RtVolume(
            float(price or nan),
            float(size or 0),
            int(time_ms),
            float(total or 0),
            single == "true",
        )
    except ValueError as err:
        raise BadPayload(f"not what ib documents of a trade: {err}: {text!r}") from err


def parse_epoch_s(text: str) -> int:
    """Return the second that a text tells; raises BadPayload."""
    if not (text.isascii() and text.isdigit()) or len(text) > len("9999999999"):
        raise BadPayload(f"not what ib documents of a time: {text!r}")
    return int(text)
