r"""Binance's REST bodies to values: pure, from bytes; BadPayload for anything else.

    klines --> OHLCV        aggTrades, bookTicker --> parts, as the streams give them
    time --> ns             ticker/24hr --> volumes
    {"code", "msg"} --> why a request was refused

What exchangeInfo lists is read in ``_listing``.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from piker.brokers._parts import Part
from piker.brokers._payload import Failure, bad_payload, decode, one_line
from piker.brokers._runs import Event, cut_runs
from piker.errors import BadPayload
from piker.tsp import OHLCV, in_order

from ._decode import agg_trade_tick, book_part
from ._reasons import reason_of
from ._rest_schemas import (
    AggTradeRow,
    BookTickerRow,
    DayRow,
    KlineRow,
    Problem,
    ServerTime,
)

_T = TypeVar("_T")
_NS_PER_MS: Final = 1_000_000


def _decoder(kind: type[_T] | Any) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(kind, strict=False)


_TIME: Final[msgspec.json.Decoder[ServerTime]] = _decoder(ServerTime)
_PROBLEM: Final[msgspec.json.Decoder[Problem]] = _decoder(Problem)
_KLINES: Final[msgspec.json.Decoder[list[KlineRow]]] = _decoder(list[KlineRow])
_AGG_TRADES: Final[msgspec.json.Decoder[list[AggTradeRow]]] = _decoder(
    list[AggTradeRow]
)
_BOOKS: Final[msgspec.json.Decoder[BookTickerRow | list[BookTickerRow]]] = _decoder(
    BookTickerRow | list[BookTickerRow]
)
_DAYS: Final[msgspec.json.Decoder[DayRow | list[DayRow]]] = _decoder(
    DayRow | list[DayRow]
)


def parse_klines(body: bytes) -> NDArray[np.void]:
    """Return the bars of a klines body as an OHLCV array, ascending, may be empty.

    The last one may be the bar that still forms. Prices and volumes are the doubles
    nearest to the venue's decimals.
    """
    rows = decode(_KLINES, "binance", body)
    bars = np.array(
        [(r.t // 1000, r.o, r.h, r.l, r.c, r.v, r.n) for r in rows], dtype=OHLCV
    )
    try:
        return in_order(bars)
    except ValueError as error:
        raise bad_payload("binance", body, error) from error


def parse_agg_trades(body: bytes, symbol: str) -> list[Part]:
    """Return the aggregates of one market, the same ticks as its stream gives.

    Args:
      body: of an aggTrades request.
      symbol: as it was asked for; the body doesn't tell.

    Returns:
      parts in order of the aggregates' ids ``a``, each a run of them.
    """
    rows = decode(_AGG_TRADES, "binance", body)
    try:
        return cut_runs(symbol, [_agg_event(row) for row in rows])
    except msgspec.ValidationError as error:
        raise bad_payload("binance", body, error) from error


def parse_book_tickers(body: bytes) -> list[Part]:
    """Return the best bid and ask of one market or of all, as the stream gives them."""
    rows = decode(_BOOKS, "binance", body)
    return [
        book_part(
            row.symbol,
            (row.bid_price, row.bid_qty),
            (row.ask_price, row.ask_qty),
            row.time * _NS_PER_MS,
        )
        for row in (rows if isinstance(rows, list) else [rows])
    ]


def parse_volumes(body: bytes) -> dict[str, float]:
    """Return the volumes of 24 hours, quote units, by symbol; of ticker/24hr."""
    rows = decode(_DAYS, "binance", body)
    return {
        row.symbol: row.quote_volume
        for row in (rows if isinstance(rows, list) else [rows])
    }


def parse_time_ns(body: bytes) -> int:
    """Return the venue's time, ns since the epoch, whole milliseconds."""
    return decode(_TIME, "binance", body).serverTime * _NS_PER_MS


def parse_error(body: bytes) -> Failure:
    """Return what ``{"code": ..., "msg": ...}`` says."""
    problem = decode(_PROBLEM, "binance", body)
    text = one_line(f"code {problem.code}: {problem.msg}")
    return Failure(reason_of(problem.code), text)


def error_words(body: bytes) -> str:
    """Return the venue's words in the body of a refusal, empty if it has none."""
    try:
        return parse_error(body).text
    except BadPayload:
        return ""


def _agg_event(row: AggTradeRow) -> Event:
    if row.f >= 0:
        return row.a, agg_trade_tick(row)
    if row.l >= 0 or row.q or row.p:
        raise msgspec.ValidationError("an aggregate without trades")
    return row.a, None
