r"""Kraken's REST bodies to values: pure, from bytes; BadPayload for anything else.

    Trades --> parts, as the websocket gives them      OHLC --> OHLCV
    Ticker --> quotes and volumes                      Time
    {"error": [...]} --> why a request was refused

What AssetPairs lists is read in ``_listing``.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from piker.brokers._parts import Part
from piker.brokers._payload import (
    FOREIGN,
    Failure,
    bad_payload,
    decode,
    one_line,
)
from piker.brokers._runs import Event, cut_runs
from piker.errors import BadPayload
from piker.msgs import NS, Tick
from piker.tsp import OHLCV, in_order

from ._reasons import reason_of
from ._rest_schemas import Body, OhlcRow, TickerRow, Time, TradeRow

_T = TypeVar("_T")
_LAST_S: Final = 9_223_372_036  # of ns in 64 bits


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


_BODY: Final = msgspec.json.Decoder(Body)
_BY_KEY: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRADES: Final[msgspec.json.Decoder[list[TradeRow]]] = _decoder(list[TradeRow])
_OHLC: Final[msgspec.json.Decoder[list[OhlcRow]]] = _decoder(list[OhlcRow])
_LAST: Final[msgspec.json.Decoder[int]] = _decoder(int)
_TICKERS: Final[msgspec.json.Decoder[dict[str, TickerRow]]] = _decoder(
    dict[str, TickerRow]
)
_TIME: Final[msgspec.json.Decoder[Time]] = _decoder(Time)


class Quote24h(NamedTuple):
    """What Ticker says of a market; prices in quote units, sizes in base units.

    Attributes:
      bid, bid_size: best bid; 0 if there is none.
      ask, ask_size: best ask; 0 if there is none.
      last: price of the last trade.
      quote_volume: of 24 hours, quote units: base volume times its mean price.
    """

    bid: float
    bid_size: float
    ask: float
    ask_size: float
    last: float
    quote_volume: float


class TradesPage(NamedTuple):
    """What a Trades request gives, at most 1,000 trades.

    Attributes:
      parts: in order of the trades' ids, each a run of them.
      last_ns: what to ask ``since`` with for what comes after, ns.
    """

    parts: list[Part]
    last_ns: int


def parse_error(body: bytes) -> Failure | None:
    """Return why a request was refused, None if it was not; warnings don't count."""
    return _failure(decode(_BODY, "kraken", body))


def parse_trades(body: bytes, symbol: str) -> TradesPage:
    """Return the trades of one market, the same ticks as the websocket gives.

    Args:
      body: of a Trades request for one market.
      symbol: the websocket's name of the market; the body has another.
    """
    rows, last = _rows_and_last(_TRADES, body)
    try:
        parts = cut_runs(symbol, [_trade_event(row) for row in rows])
        return TradesPage(parts, _LAST.decode(last))
    except FOREIGN as error:
        raise bad_payload("kraken", body, error) from error


def parse_ohlc(body: bytes) -> NDArray[np.void]:
    """Return the bars of an OHLC body of one market as an OHLCV array, ascending.

    The last one is the bar that still forms. A bar without trades has a count of 0.
    """
    rows, _ = _rows_and_last(_OHLC, body)
    bars = np.array(
        [
            (row.time_s, row.open, row.high, row.low, row.close, row.volume, row.count)
            for row in rows
        ],
        dtype=OHLCV,
    )
    try:
        return in_order(bars)
    except ValueError as error:
        raise bad_payload("kraken", body, error) from error


def parse_tickers(body: bytes) -> dict[str, Quote24h]:
    """Return quotes and volumes by REST name, of a Ticker body."""
    return {
        name: Quote24h(
            row.b[0], row.b[2], row.a[0], row.a[2], row.c[0], row.v[1] * row.p[1]
        )
        for name, row in decode_result(_TICKERS, body).items()
    }


def parse_time_ns(body: bytes) -> int:
    """Return the venue's time, ns since the epoch, whole seconds."""
    return decode_result(_TIME, body).unixtime * NS


def decode_result(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Return a body's result; raises BadPayload if it is none, or holds errors."""
    told = decode(_BODY, "kraken", body)
    failure = _failure(told)
    if failure is not None:
        raise BadPayload(f"kraken refused a request: {failure.text}")
    try:
        return decoder.decode(told.result)
    except FOREIGN as error:
        raise bad_payload("kraken", body, error) from error


def _rows_and_last(
    decoder: msgspec.json.Decoder[list[_T]], body: bytes
) -> tuple[list[_T], msgspec.Raw]:
    """Return the rows of the only market in a body, and its ``last``."""
    by_key = decode_result(_BY_KEY, body)
    markets = [key for key in by_key if key != "last"]
    if len(markets) != 1 or "last" not in by_key:
        raise bad_payload("kraken", body, "not one market and a last")
    try:
        return decoder.decode(by_key[markets[0]]), by_key["last"]
    except FOREIGN as error:
        raise bad_payload("kraken", body, error) from error


def _trade_event(row: TradeRow) -> Event:
    if row.price == 0 or row.size == 0:
        raise msgspec.ValidationError("a trade without price or size")
    if not row.time_s.is_finite() or not 0 <= row.time_s < _LAST_S:
        raise msgspec.ValidationError("a stamp out of range")
    time_ns = int(row.time_s.scaleb(6)) * 1000  # as many digits as the websocket has
    side = 1 if row.side == "b" else -1
    tick = Tick("trade", row.price, row.size, time_ns, row.trade_id, side)
    return row.trade_id, tick


def _failure(told: Body) -> Failure | None:
    errors = [one for one in told.error if not one.startswith("W")]
    if not errors:
        return None
    return Failure(reason_of(errors), one_line(", ".join(errors)))
