"""Deribit's public methods, as answers of what has passed of the tape.

    public/ticker {"instrument_name": ...} --> a result, or Said: an error

By https://docs.deribit.com/api-reference/market-data/ and .../supporting/. Codes and
words of errors by https://docs.deribit.com/articles/errors and by what clients met.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, Final

from ._candles import Asked, Candle, candles
from ._core import Core
from ._deribit_names import Instrument
from ._deribit_rows import order_book, ticker, trade_row
from ._deribit_said import Said, flag, number, one_of, text, wrong
from ._deribit_series import Deal, Series
from ._deribit_world import World

VERSION: Final = "1.2.26"
_TRADES: Final = 1000
_DEPTHS: Final = (1, 5, 10, 20, 50, 100, 1000, 10_000)
_RESOLUTIONS: Final = ("1", "3", "5", "10", "15", "30", "60", "120", "180", "360",
                       "720", "1D")  # fmt: skip
#: Bars of an answer, the newest of what was asked for.
_BARS: Final = 5001
_KINDS: Final = ("future", "option", "spot", "future_combo", "option_combo", "any")
_SORTS: Final = ("asc", "desc", "default")

Params = dict[str, Any]


class Public:
    """See the module."""

    def __init__(self, core: Core, world: World) -> None:
        self._core, self._world = core, world
        self.methods: dict[str, Callable[[Params], Any]] = {
            "public/get_time": lambda _: core.server_ns() // 1_000_000,
            "public/test": _test,
            "public/hello": _hello,
            "public/status": lambda _: {"locked": "false"},
            "public/get_currencies": lambda _: self._currencies(),
            "public/get_instruments": self._instruments,
            "public/get_instrument": self._instrument,
            "public/get_expirations": self._expirations,
            "public/get_contract_size": self._contract_size,
            "public/get_index_price": self._index_price,
            "public/get_delivery_prices": self._delivery_prices,
            "public/ticker": lambda p: ticker(self._series(p), self._now_ms()),
            "public/get_order_book": self._order_book,
            "public/get_last_trades_by_instrument": self._trades,
            "public/get_last_trades_by_instrument_and_time": self._trades_by_time,
            "public/get_tradingview_chart_data": self._bars,
        }

    def _now_ms(self) -> int:
        return self._core.clock_ns() // 1_000_000

    def _series(self, params: Params) -> Series:
        return self._world.find(params)

    # -- what is listed -----------------------------------------------------------

    def _currencies(self) -> list[dict[str, Any]]:
        return [
            {
                "currency": name, "currency_long": name, "coin_type": name,
                "min_confirmations": 1, "withdrawal_fee": 0.0,
                "min_withdrawal_fee": 0.0, "fee_precision": 4, "decimals": 8,
                "network_fee": 0.0, "network_currency": name,
                "in_cross_collateral_pool": True, "withdrawal_priorities": [],
            }
            for name in self._world.currencies
        ]  # fmt: skip

    def _instruments(self, params: Params) -> list[dict[str, Any]]:
        known = (*self._world.currencies, "any")
        currency = one_of(params, "currency", known, "any")
        kind = one_of(params, "kind", _KINDS, "any")
        is_expired = flag(params, "expired")
        return [
            one.inst.row(is_active=one.is_active)
            for one in self._world.series.values()
            if one.is_active != is_expired
            and kind in ("any", one.inst.kind)
            and _is_of(one.inst, currency)
        ]

    def _instrument(self, params: Params) -> dict[str, Any]:
        series = self._series(params)
        return series.inst.row(is_active=series.is_active)

    def _expirations(self, params: Params) -> dict[str, Any]:
        known = (*self._world.currencies, "any", "grouped")
        currency = one_of(params, "currency", known)
        kind = one_of(params, "kind", ("future", "option", "any"))
        found: dict[str, dict[str, dict[str, int]]] = {}
        for one in self._world.series.values():
            inst = one.inst
            wanted = ("any", "grouped", inst.currency)
            if inst.kind == "spot" or not one.is_active or currency not in wanted:
                continue
            if kind in ("any", inst.kind):
                of = "any" if currency == "any" else inst.currency.lower()
                days = found.setdefault(of, {}).setdefault(inst.kind, {})
                days[inst.name.split("-")[1]] = inst.expires_ms
        told = {
            of: {what: sorted(days, key=days.__getitem__) for what, days in all_of}
            for of, all_of in ((of, kinds.items()) for of, kinds in found.items())
        }
        return told.get("any", {}) if currency == "any" else told

    def _contract_size(self, params: Params) -> dict[str, Any]:
        return {"contract_size": float(self._series(params).inst.contract)}

    def _index_price(self, params: Params) -> dict[str, Any]:
        found = self._world.index(text(params, "index_name"))
        return {"index_price": found, "estimated_delivery_price": found}

    def _delivery_prices(self, params: Params) -> dict[str, Any]:
        name = text(params, "index_name")
        self._world.index(name)
        offset, most = number(params, "offset", 0), number(params, "count", 10)
        found = self._world.deliveries.get(name, [])
        return {"data": found[offset : offset + most], "records_total": len(found)}

    # -- prices -------------------------------------------------------------------

    def _order_book(self, params: Params) -> dict[str, Any]:
        depth = number(params, "depth", 5)
        if depth not in _DEPTHS:
            raise wrong("depth", "must be one of " + ", ".join(map(str, _DEPTHS)))
        return order_book(self._series(params), depth, self._now_ms())

    def _trades(self, params: Params) -> dict[str, Any]:
        series = self._series(params)
        deals = series.deals
        if "start_timestamp" in params or "end_timestamp" in params:
            return self._trades_by_time(params)
        first = number(params, "start_seq", 0) or None
        last = number(params, "end_seq", 0) or None
        some = deals[
            bisect_left(deals, first or 0, key=_seq) : (
                bisect_right(deals, last, key=_seq) if last else len(deals)
            )
        ]
        return _page(series, some, params, from_start=first is not None)

    def _trades_by_time(self, params: Params) -> dict[str, Any]:
        series = self._series(params)
        first = number(params, "start_timestamp", 0)
        last = number(params, "end_timestamp", 0) or self._core.server_ns() // 1_000_000
        some = series.deals[series.since(first) : series.since(last + 1)]
        return _page(series, some, params, from_start=first > 0)

    def _bars(self, params: Params) -> dict[str, Any]:
        series = self._series(params)
        resolution = one_of(params, "resolution", _RESOLUTIONS)
        minutes = 1440 if resolution == "1D" else int(resolution)
        period_ms = minutes * 60_000
        now_ms = self._core.server_ns() // 1_000_000
        start_ms = number(params, "start_timestamp")
        end_ms = min(number(params, "end_timestamp"), now_ms)
        last_ms = end_ms // period_ms * period_ms
        first_ms = start_ms // period_ms * period_ms
        first_ms = max(first_ms, last_ms - (_BARS - 1) * period_ms)

        def bars_from(start_ms: int, end_ms: int) -> list[Candle]:
            return list(candles(series.market, period_ms, start_ms, end_ms))

        newest = now_ms - (_BARS - 1) * period_ms, now_ms
        asked = Asked(bars_from, (first_ms, last_ms), newest, period_ms)
        found = asked.answer(self._core.faults.bars())
        return {
            "status": "ok" if found else "no_data",
            "ticks": [one.open_ms for one in found],
            "open": [one.open for one in found], "high": [one.high for one in found],
            "low": [one.low for one in found], "close": [one.close for one in found],
            "volume": [round(one.lots / 1e8, 8) for one in found],
            "cost": [round(one.notional, 6) for one in found],
        }  # fmt: skip


def _seq(deal: Deal) -> int:
    return deal.seq


def _is_of(inst: Instrument, currency: str) -> bool:
    if inst.kind == "spot":
        return currency in ("any", inst.base, inst.quote)
    return currency in ("any", inst.currency)


def _page(
    series: Series, some: list[Deal], params: Params, *, from_start: bool
) -> dict[str, Any]:
    """Return so many trades of *some*: the first ones, or else the last ones."""
    most = number(params, "count", 10)
    if not 1 <= most <= _TRADES:
        raise wrong("count", f"must be between 1 and {_TRADES}")
    sort = one_of(params, "sorting", _SORTS, "default")
    is_first = from_start if sort == "default" else sort == "asc"
    chosen = some[:most] if is_first else some[-most:]
    if sort == "desc" or (sort == "default" and not from_start):
        chosen = chosen[::-1]
    rows = [trade_row(series, deal) for deal in chosen]
    return {"trades": rows, "has_more": len(some) > most}


def _test(params: Params) -> dict[str, Any]:
    if params.get("expected_result") == "exception":
        raise Said(11094, "internal_server_error")
    return {"version": VERSION}


def _hello(params: Params) -> dict[str, Any]:
    text(params, "client_name")
    text(params, "client_version")
    return {"version": VERSION}
