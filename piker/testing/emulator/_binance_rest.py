"""Binance's REST, spot and USD-M: what needs no key.

By https://developers.binance.com/docs/binance-spot-api-docs/rest-api and
.../docs/derivatives/usds-margined-futures/market-data/rest-api. Weights are those
documents'; the limit counts by the minute, from the first request on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._binance_info import exchange_info
from ._candles import Asked, Candle, candles, since
from ._core import Core, Reply
from ._tape import LOTS, Print
from ._weights import Verdict, Weights

if TYPE_CHECKING:
    from ._binance import Kind, Symbol

_HOUR_MS: Final = 3_600_000
_PREFIX: Final = {"spot": "/api/v3/", "usdtm": "/fapi/v1/"}
BUDGET: Final = {"spot": 6000, "usdtm": 2400}
#: Code of an error.
TOO_MUCH: Final = -1003
_KLINES_MAX: Final = {"spot": 1000, "usdtm": 1500}
_UNITS_MS: Final = {
    "s": 1000, "m": 60_000, "h": _HOUR_MS, "d": 24 * _HOUR_MS, "w": 168 * _HOUR_MS
}  # fmt: skip
_INTERVALS: Final = (
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d",
    "3d", "1w",
)  # fmt: skip
#: Of a request for one market, and of one for all.
_WEIGHTS: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "spot": {
        "ping": (1, 1), "time": (1, 1), "exchangeInfo": (20, 20), "aggTrades": (4, 4),
        "trades": (25, 25), "klines": (2, 2), "ticker/bookTicker": (2, 4),
        "ticker/price": (2, 4), "ticker/24hr": (2, 80),
    },
    "usdtm": {
        "ping": (1, 1), "time": (1, 1), "exchangeInfo": (1, 1), "aggTrades": (20, 20),
        "trades": (5, 5), "klines": (5, 5), "ticker/bookTicker": (2, 5),
        "ticker/price": (1, 2), "ticker/24hr": (1, 40),
    },
}  # fmt: skip


class _Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class BinanceRest:
    """Answers requests from what has passed of the tape."""

    def __init__(
        self, core: Core, kind: Kind, symbols: list[Symbol], budget: int | None
    ) -> None:
        self.core = core
        self.kind = kind
        self.symbols = {one.name: one for one in symbols}
        self.weights = Weights(budget or BUDGET[kind])
        self._answers: dict[str, Callable[[dict[str, str]], Any]] = {
            "ping": lambda _: {},
            "time": lambda _: {"serverTime": self._now_ms()},
            "exchangeInfo": self._exchange_info,
            "aggTrades": self._agg_trades,
            "trades": self._trades,
            "klines": self._klines,
            "ticker/bookTicker": lambda q: self._tickers(q, self._book),
            "ticker/price": lambda q: self._tickers(q, self._price),
            "ticker/24hr": lambda q: self._tickers(q, self._day),
        }

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return the answer to a GET."""
        name = path.removeprefix(_PREFIX[self.kind])
        if not path.startswith(_PREFIX[self.kind]) or name not in self._answers:
            return Reply(404, b"<html><body><h2>404 Not found</h2></body></html>",
                         kind="text/html")  # fmt: skip
        verdict = self.spend(self._weight(name, query))
        if verdict.status != 200:
            told = {"code": TOO_MUCH, "msg": self.weights.words}
            return weighed(verdict, told, verdict.status)
        try:
            return weighed(verdict, self._answers[name](query))
        except _Refused as error:
            return weighed(verdict, {"code": error.code, "msg": str(error)}, 400)

    def spend(self, weight: int) -> Verdict:
        """Count a request, of whatever side of the venue."""
        verdict, stats = self.weights.spend(weight), self.core.stats
        stats.weight_max = max(stats.weight_max, verdict.used)
        stats.limited += verdict.status != 200
        return verdict

    def _weight(self, name: str, query: dict[str, str]) -> int:
        if self.kind == "usdtm" and name == "klines":
            limit = query.get("limit", "500")
            rows = int(limit) if limit.isdigit() else 500
            return next((w for n, w in ((99, 1), (499, 2), (1000, 5)) if rows <= n), 10)
        one, many = _WEIGHTS[self.kind][name]
        return one if "symbol" in query else many

    def _now_ms(self) -> int:
        return self.core.server_ns() // 1_000_000

    # -- the endpoints -------------------------------------------------------------

    def _exchange_info(self, query: dict[str, str]) -> Any:
        wanted = list(self.symbols.values())
        if "symbol" in query:
            wanted = [self._symbol(query)]
        return exchange_info(self.kind, wanted, self._now_ms(), self.weights.budget)

    def _agg_trades(self, query: dict[str, str]) -> list[dict[str, Any]]:
        symbol, limit = self._symbol(query), _limit(query, 1000)
        if symbol.listed.market is None:
            return []
        prints = symbol.market.prints
        from_id, start = _number(query, "fromId"), _number(query, "startTime")
        end = _number(query, "endTime")
        if from_id is not None and (start is not None or end is not None):
            raise _Refused(-1128, "Combination of optional parameters invalid.")
        if start is not None and end is not None and end - start > _HOUR_MS:
            raise _Refused(-1127, "More than 1 hours between startTime and endTime.")
        last = len(prints) if end is None else since(symbol.market, end + 1)
        if from_id is not None:
            first = max(0, from_id - symbol.market.first_agg_id)
        elif start is not None:
            first = since(symbol.market, start)
        else:
            first = max(0, last - limit)
        return [
            self._agg_trade(symbol, item)
            for item in prints[first : min(last, first + limit)]
        ]

    def _agg_trade(self, symbol: Symbol, item: Print) -> dict[str, Any]:
        row: dict[str, Any] = {
            "a": item.agg_id,
            "p": f"{item.price:.{symbol.price_digits}f}",
            "q": f"{item.size / LOTS:.{symbol.size_digits}f}",
            "f": item.first_id,
            "l": item.first_id + len(item.lots) - 1,
            "T": item.time_ms,
            "m": item.side < 0,
        }
        return row | {"M": True} if self.kind == "spot" else row

    def _trades(self, query: dict[str, str]) -> list[dict[str, Any]]:
        symbol, limit = self._symbol(query), _limit(query, 1000)
        if symbol.listed.market is None:
            return []
        rows = []
        for item in symbol.market.prints[-limit:]:
            for at, lots in enumerate(item.lots):
                row = {
                    "id": item.first_id + at,
                    "price": f"{item.price:.{symbol.price_digits}f}",
                    "qty": f"{lots / LOTS:.{symbol.size_digits}f}",
                    "quoteQty": f"{item.price * lots / LOTS:.8f}",
                    "time": item.time_ms,
                    "isBuyerMaker": item.side < 0,
                }
                is_spot = self.kind == "spot"
                rows.append(row | {"isBestMatch": True} if is_spot else row)
        return rows[-limit:]

    def _klines(self, query: dict[str, str]) -> list[list[Any]]:
        symbol, limit = self._symbol(query), _limit(query, _KLINES_MAX[self.kind])
        interval = query.get("interval", "")
        if not interval:
            raise _Refused(-1102, _missing("interval"))
        if interval not in _INTERVALS or (interval == "1s" and self.kind != "spot"):
            raise _Refused(-1120, "Invalid interval.")
        if symbol.listed.market is None:
            return []
        period_ms = int(interval[:-1]) * _UNITS_MS[interval[-1]]
        start, end = _number(query, "startTime"), _number(query, "endTime")
        end = self._now_ms() if end is None else min(end, self._now_ms())
        if start is None:
            start = (end // period_ms - limit + 1) * period_ms
        else:
            end = min(end, -(-start // period_ms) * period_ms + limit * period_ms - 1)
        market = symbol.listed.market

        def bars_from(start_ms: int, end_ms: int) -> list[Candle]:
            return list(candles(market, period_ms, start_ms, end_ms))

        newest_ms = self._now_ms() - limit * period_ms
        ask = Asked(bars_from, (start, end), (newest_ms, self._now_ms()), period_ms)
        rows = ask.answer(self.core.faults.bars())
        price, size = symbol.price_digits, symbol.size_digits
        return [
            [
                row.open_ms,
                f"{row.open:.{price}f}",
                f"{row.high:.{price}f}",
                f"{row.low:.{price}f}",
                f"{row.close:.{price}f}",
                f"{row.lots / LOTS:.{size}f}",
                row.open_ms + period_ms - 1,
                f"{row.notional:.8f}",
                row.trades,
                f"{row.taker_lots / LOTS:.{size}f}",
                f"{row.taker_notional:.8f}",
                "0",
            ]
            for row in rows
        ]

    # -- tickers -------------------------------------------------------------------

    def _tickers(self, query: dict[str, str], row: Callable[[Symbol], Any]) -> Any:
        if "symbol" in query:
            return row(self._symbol(query))
        return [row(symbol) for symbol in self.symbols.values()]

    def _price(self, symbol: Symbol) -> dict[str, Any]:
        row: dict[str, Any] = {"symbol": symbol.name, "price": self._last(symbol)}
        return row if self.kind == "spot" else row | {"time": self._now_ms()}

    def _book(self, symbol: Symbol) -> dict[str, Any]:
        price, size = symbol.price_digits, symbol.size_digits
        book = symbol.market.book if symbol.listed.market else None
        at = (book.bid, book.bid_size, book.ask, book.ask_size) if book else (0.0,) * 4
        row: dict[str, Any] = {
            "symbol": symbol.name,
            "bidPrice": f"{at[0]:.{price}f}",
            "bidQty": f"{at[1]:.{size}f}",
            "askPrice": f"{at[2]:.{price}f}",
            "askQty": f"{at[3]:.{size}f}",
        }
        if self.kind == "spot":
            return row
        return row | {"time": book.time_ms if book else self._now_ms()}

    def _day(self, symbol: Symbol) -> dict[str, Any]:
        market = symbol.listed.market
        price, size = symbol.price_digits, symbol.size_digits
        first = market.prints[0].price if market and market.prints else 0.0
        last = market.prints[-1].price if market and market.prints else 0.0
        base = market.lots / LOTS if market else 1e6 / (symbol.listed.rank + 1)
        quote = market.notional if market else base * 2
        book = self._book(symbol)
        return {
            "symbol": symbol.name,
            "priceChange": f"{last - first:.{price}f}",
            "priceChangePercent": f"{(last / first - 1) * 100 if first else 0:.3f}",
            "weightedAvgPrice": f"{quote / base if base else 0:.{price}f}",
            "lastPrice": f"{last:.{price}f}",
            "bidPrice": book["bidPrice"],
            "bidQty": book["bidQty"],
            "askPrice": book["askPrice"],
            "askQty": book["askQty"],
            "openPrice": f"{first:.{price}f}",
            "highPrice": f"{market.high if market else 0:.{price}f}",
            "lowPrice": f"{market.low if market else 0:.{price}f}",
            "volume": f"{base:.{size}f}",
            "quoteVolume": f"{quote:.8f}",
            "openTime": self._now_ms() - 24 * _HOUR_MS,
            "closeTime": self._now_ms(),
            "firstId": market.first_tid if market else -1,
            "lastId": market.first_tid + market.trades - 1 if market else -1,
            "count": market.trades if market else 0,
        }

    def _last(self, symbol: Symbol) -> str:
        prints = symbol.market.prints if symbol.listed.market else []
        return f"{prints[-1].price if prints else 0:.{symbol.price_digits}f}"

    def _symbol(self, query: dict[str, str]) -> Symbol:
        name = query.get("symbol", "")
        if not name:
            raise _Refused(-1102, _missing("symbol"))
        if name not in self.symbols:
            raise _Refused(-1121, "Invalid symbol.")
        return self.symbols[name]


def _missing(name: str) -> str:
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 20:
        pattern = "^[0-9]{1,20}$"
        said = f"Illegal characters found in parameter '{name}'; legal range is"
        raise _Refused(-1100, f"{said} '{pattern}'.")
    return int(text)


def _limit(query: dict[str, str], most: int) -> int:
    asked = _number(query, "limit")
    return 500 if asked is None else max(1, min(asked, most))


def weighed(verdict: Verdict, value: Any, status: int = 200) -> Reply:
    """Return an answer that says what weight was used."""
    headers = [("x-mbx-used-weight", str(verdict.used)),
               ("x-mbx-used-weight-1m", str(verdict.used))]  # fmt: skip
    if verdict.retry_after_s:
        headers.append(("retry-after", str(verdict.retry_after_s)))
    return Reply(status, msgspec.json.encode(value), tuple(headers))
