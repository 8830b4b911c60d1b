"""Kraken's several names of one thing.

========== ========== ============ ======================
REST       altname    wsname       websocket, version 2
========== ========== ============ ======================
XXBTZUSD   XBTUSD     XBT/USD      BTC/USD
XDGUSD     XDGUSD     XDG/USD      DOGE/USD
========== ========== ============ ======================

A market of ours is named after the wsname: ``xbtusd.spot.kraken``; what the rest of
the world says leads there too: ``btcusd.spot.kraken``.
"""

from __future__ import annotations

from typing import Final

#: What the venue calls otherwise than all others do, but not on its newer websocket.
COMMON: Final = {"XBT": "BTC", "XDG": "DOGE"}
#: Currencies that are money of a state.
FIAT: Final = frozenset(
    {"AED", "ARS", "AUD", "BRL", "CAD", "CHF", "COP", "EUR", "GBP", "JPY", "MXN", "USD"}
)

#: The other way round.
OWN: Final = {common: own for own, common in COMMON.items()}


def split(name: str) -> tuple[str, str]:
    """Return base and quote of ``XBT/USD``; ValueError if *name* has no two parts."""
    base, slash, quote = name.partition("/")
    if not (base and slash and quote) or "/" in quote:
        raise ValueError(f"no pair of names: {name!r}")
    return base, quote


def to_websocket(wsname: str) -> str:
    """Return the websocket's name of *wsname*: ``BTC/USD`` of ``XBT/USD``."""
    return "/".join(COMMON.get(part, part) for part in split(wsname))


def from_websocket(symbol: str) -> str:
    """Return the wsname of a websocket's name: ``XBT/USD`` of ``BTC/USD``."""
    return "/".join(OWN.get(part, part) for part in split(symbol))


def rest_names(symbol: str) -> frozenset[str]:
    """Return what REST may call a market of the websocket: ``XBTUSD``, ``XXBTZUSD``."""
    base, quote = split(from_websocket(symbol))
    bases, quotes = (base, f"X{base}"), (quote, f"Z{quote}", f"X{quote}")
    return frozenset(one + other for one in bases for other in quotes)
