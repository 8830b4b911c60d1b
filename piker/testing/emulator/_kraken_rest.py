"""Kraken's REST, spot, what needs no key.

By https://docs.kraken.com/api/docs/rest-api/{get-server-time,get-system-status,
get-tradable-asset-pairs,get-ticker-information,get-ohlc-data,get-recent-trades} and
https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits-. Every
answer has status 200; what went wrong stands in ``error``.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ._candles import Asked, Candle, candles
from ._core import Core, Reply
from ._kraken_names import Pair
from ._tape import LOTS, Market, Print

_PREFIX: Final = "/0/public/"
#: Requests at once of one kind; then one a second.
BUDGET: Final = 15
_OHLC_MAX: Final = 720
_MINUTES: Final = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
_TRADES_MAX: Final = 1000


class _Refused(Exception):
    pass


def stamp_us(item: Print) -> int:
    """Return when the trades of *item* were matched, microseconds."""
    return item.time_ms * 1000 + min(item.nth, 999)


class Bucket:
    """Counts requests that leak away, one a second."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._level = 0.0
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Count a request at *now*, seconds; False if it is one too many."""
        self._level = max(0.0, self._level - (now - self._at))
        self._at = now
        if self._level + 1 > self.size:
            return False
        self._level += 1
        return True


class KrakenRest:
    """Answers requests from what has passed of the tape."""

    def __init__(self, core: Core, pairs: list[Pair], budget: int | None) -> None:
        self.core = core
        self.pairs = pairs
        self._by_name = {
            name: pair
            for pair in pairs
            for name in (pair.key, pair.altname, pair.wsname, pair.symbol)
        }
        self._budget = budget or BUDGET
        self._buckets: dict[str, Bucket] = {}
        self._answers: dict[str, Callable[[dict[str, str]], Any]] = {
            "Time": lambda _: self._time(),
            "SystemStatus": lambda _: self._status(),
            "AssetPairs": lambda q: {p.key: _pair(p) for p in self._asked(q)},
            "Ticker": lambda q: {p.key: _ticker(p) for p in self._asked(q)},
            "OHLC": self._ohlc,
            "Trades": self._trades,
        }

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return the answer to a GET."""
        name = path.removeprefix(_PREFIX)
        if not path.startswith(_PREFIX) or name not in self._answers:
            return _reply({"error": ["EGeneral:Unknown method"]})
        # trades and bars are counted for each pair
        kind = f"{name} {query.get('pair')}" if name in {"OHLC", "Trades"} else ""
        bucket = self._buckets.setdefault(kind, Bucket(self._budget))
        if not bucket.take(time.monotonic()):
            self.core.stats.limited += 1
            return _reply({"error": ["EGeneral:Too many requests"]})
        try:
            return _reply({"error": [], "result": self._answers[name](query)})
        except _Refused as error:
            return _reply({"error": [str(error)]})

    def _time(self) -> dict[str, Any]:
        seconds = self.core.server_ns() // 1_000_000_000
        at = datetime.fromtimestamp(seconds, UTC)
        return {"unixtime": seconds, "rfc1123": f"{at:%a, %d %b %y %H:%M:%S} +0000"}

    def _status(self) -> dict[str, Any]:
        at = datetime.fromtimestamp(self.core.server_ns() // 1_000_000_000, UTC)
        return {"status": "online", "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"}

    def _trades(self, query: dict[str, str]) -> dict[str, Any]:
        pair = self._one(query)
        most = _number(query, "count") or _TRADES_MAX
        since = _number(query, "since")
        if not 1 <= most <= _TRADES_MAX:
            raise _Refused("EGeneral:Invalid arguments")
        prints = pair.listed.market.prints if pair.listed.market else []
        rows: list[list[Any]] = []
        if since is None:
            for item in prints[-most:]:
                rows += _rows(pair, item)
            rows = rows[-most:]
        else:
            since_us = (since if since > 10**15 else since * 10**9) // 1000
            for item in prints[bisect_right(prints, since_us, key=stamp_us) :]:
                rows += _rows(pair, item)
                if len(rows) >= most:
                    break
            rows = rows[:most]
        last = str(round(rows[-1][2] * 1e6) * 1000) if rows else str(since or 0)
        return {pair.key: rows, "last": last}

    def _ohlc(self, query: dict[str, str]) -> dict[str, Any]:
        pair = self._one(query)
        minutes = _number(query, "interval") or 1
        if minutes not in _MINUTES:
            raise _Refused("EGeneral:Invalid arguments")
        period_ms = minutes * 60_000
        now_ms = self.core.server_ns() // 1_000_000
        start_ms = (now_ms // period_ms - _OHLC_MAX + 1) * period_ms
        if since := _number(query, "since"):
            start_ms = max(start_ms, since * 1000 + 1)
        market = pair.listed.market

        def bars_from(start_ms: int, end_ms: int) -> list[Candle]:
            return list(candles(market, period_ms, start_ms, end_ms)) if market else []

        newest_ms = (now_ms // period_ms - _OHLC_MAX + 1) * period_ms
        ask = Asked(bars_from, (start_ms, now_ms), (newest_ms, now_ms), period_ms)
        rows = [_bar(pair, one) for one in ask.answer(self.core.faults.bars())]
        last = rows[-2][0] if len(rows) > 1 else now_ms // period_ms * minutes * 60
        return {pair.key: rows, "last": last}

    def _one(self, query: dict[str, str]) -> Pair:
        if not query.get("pair"):
            raise _Refused("EGeneral:Invalid arguments")
        return self._asked(query)[0]

    def _asked(self, query: dict[str, str]) -> list[Pair]:
        """Return the pairs that are asked for, all if none is."""
        names = [name for name in query.get("pair", "").split(",") if name]
        if any(name not in self._by_name for name in names):
            raise _Refused("EQuery:Unknown asset pair")
        return [self._by_name[name] for name in names] if names else self.pairs


def _rows(pair: Pair, item: Print) -> list[list[Any]]:
    at_s, side = stamp_us(item) / 1e6, "b" if item.side >= 0 else "s"
    price = _price(pair, item.price)
    return [
        [price, f"{lots / LOTS:.8f}", at_s, side, "m", "", item.first_id + nth]
        for nth, lots in enumerate(item.lots)
    ]


def _bar(pair: Pair, bar: Candle) -> list[Any]:
    prices = (_price(pair, one) for one in (bar.open, bar.high, bar.low, bar.close))
    vwap = bar.notional / bar.lots * LOTS if bar.lots else 0.0
    volume = f"{bar.lots / LOTS:.8f}"
    return [bar.open_ms // 1000, *prices, _price(pair, vwap), volume, bar.trades]


def _pair(pair: Pair) -> dict[str, Any]:
    listed = pair.listed
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base,
        "aclass_quote": "currency",
        "quote": pair.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": pair.price_digits,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{listed.size_tick * 5:f}",
        "costmin": "0.5",
        "tick_size": f"{listed.price_tick.normalize():f}",
        "status": "online",
    }


def _ticker(pair: Pair) -> dict[str, Any]:
    market = pair.listed.market
    if market is None or not market.prints:
        lots = f"{1e6 / (pair.listed.rank + 1):.8f}"
        zero = _price(pair, 0.0)
        return {
            "a": [zero, "1", "1.000"], "b": [zero, "1", "1.000"],
            "c": [zero, "0.00000000"], "v": [lots, lots], "p": [zero, zero],
            "t": [0, 0], "l": [zero, zero], "h": [zero, zero], "o": zero,
        }  # fmt: skip
    return _ticker_of(pair, market)


def _ticker_of(pair: Pair, market: Market) -> dict[str, Any]:
    book, last = market.book, market.prints[-1]
    lots = f"{market.lots / LOTS:.8f}"
    vwap = _price(pair, market.notional / market.lots * LOTS)
    low, high = _price(pair, market.low), _price(pair, market.high)
    ask, ask_size = (book.ask, book.ask_size) if book else (last.price, 0.0)
    bid, bid_size = (book.bid, book.bid_size) if book else (last.price, 0.0)
    return {
        "a": [_price(pair, ask), f"{max(1, int(ask_size))}", f"{ask_size:.3f}"],
        "b": [_price(pair, bid), f"{max(1, int(bid_size))}", f"{bid_size:.3f}"],
        "c": [_price(pair, last.price), f"{last.lots[-1] / LOTS:.8f}"],
        "v": [lots, lots],
        "p": [vwap, vwap],
        "t": [market.trades, market.trades],
        "l": [low, low],
        "h": [high, high],
        "o": _price(pair, market.prints[0].price),
    }


def _price(pair: Pair, price: float) -> str:
    return f"{price:.{max(5, pair.price_digits)}f}"


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 20:
        raise _Refused("EGeneral:Invalid arguments")
    return int(text)


def _reply(value: dict[str, Any]) -> Reply:
    return Reply(200, msgspec.json.encode(value))
