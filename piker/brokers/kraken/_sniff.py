"""What a recorded stream of Kraken gives away about itself: its markets, their steps.

The steps of prices show in the decimals; sizes have eight decimals in every market, so
that is what they are counted in, whatever the first frames show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from piker.msgs import MktPair

from ._listing import make_mkt
from ._names import from_websocket

_SIZE_TICK: Final = Decimal("1e-8")
_MAX_DECIMALS: Final = 12


class _Frame(msgspec.Struct, frozen=True):
    channel: str
    data: list[dict[str, Any]]


_FRAME: Final = msgspec.json.Decoder(_Frame, float_hook=Decimal)
_PRICES: Final = {"trade": ("price",), "ticker": ("bid", "ask")}


@dataclass
class Evidence:
    """What frames have shown so far.

    Attributes:
      votes: frames that only this venue sends.
      decimals: the most that prices of each market have, by the websocket's name.
    """

    votes: int = 0
    decimals: dict[str, int] = field(default_factory=dict)

    def add(self, payload: bytes) -> None:
        """Look at one frame; what is no frame of the venue shows nothing."""
        try:
            frame = _FRAME.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError):
            return
        prices = _PRICES.get(frame.channel)
        if prices is None:
            return
        for told in frame.data:
            symbol = told.get("symbol")
            if isinstance(symbol, str) and symbol:
                self.votes += 1
                seen = [_decimals(told.get(name)) for name in prices]
                self.decimals[symbol] = max(self.decimals.get(symbol, 0), *seen, 0)

    def mkts(self) -> dict[str, MktPair]:
        """Return the markets, by the websocket's name; BadFqme, ValueError."""
        return {
            symbol: make_mkt(
                from_websocket(symbol), Decimal(1).scaleb(-decimals), _SIZE_TICK
            )
            for symbol, decimals in self.decimals.items()
        }


def _decimals(price: Any) -> int:
    """Return the decimals of *price*: 1 of ``36500.10``, 0 of whole and odd ones."""
    if not isinstance(price, Decimal) or not price.is_finite():
        return 0
    exponent = price.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    return -exponent if -_MAX_DECIMALS <= exponent < 0 else 0
