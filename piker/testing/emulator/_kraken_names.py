"""A market's many names at Kraken.

websocket v2  BTC/USDT, BTC/USD      as the world spells it
REST          XBTUSDT,  XXBTZUSD     key of the pair; its altname XBTUSDT, XBTUSD
              XBT/USDT, XBT/USD      its wsname, of websocket v1
"""

from __future__ import annotations

from typing import Final

from ._listing import Listed, decimals

#: Names of the venue's own in REST and in websocket v1.
_OWN: Final = {"BTC": "XBT", "DOGE": "XDG"}
#: Old assets have a letter before them: X of a coin, Z of money.
_COINS: Final = frozenset({"XBT", "XDG", "ETH", "LTC", "XRP", "XLM", "XMR", "ETC"})
_MONEY: Final = frozenset({"USD", "EUR", "GBP", "CAD", "JPY", "AUD"})


class Pair:
    """A market as Kraken spells it.

    Attributes:
      listed: what it is.
      symbol: of websocket v2.
      key: of REST's answers.
      altname: which REST takes too.
      wsname: which REST takes too.
      base: asset, as REST spells it, as is *quote*.
      price_digits: decimals of its prices.
      trade_stream: as subscriptions are counted.
      ticker_stream: see *trade_stream*; the event trigger follows.
    """

    def __init__(self, listed: Listed) -> None:
        self.listed = listed
        base = _OWN.get(listed.base, listed.base)
        quote = _OWN.get(listed.quote, listed.quote)
        self.symbol = f"{listed.base}/{listed.quote}"
        self.wsname = f"{base}/{quote}"
        self.altname = f"{base}{quote}"
        self.base, self.quote = _asset(base), _asset(quote)
        is_old = self.base != base and self.quote != quote
        self.key = f"{self.base}{self.quote}" if is_old else self.altname
        self.price_digits = decimals(listed.price_tick)
        self.trade_stream = f"trade {self.symbol}"
        self.ticker_stream = f"ticker {self.symbol}"


def _asset(name: str) -> str:
    if name in _COINS:
        return f"X{name}"
    return f"Z{name}" if name in _MONEY else name
