r"""What Deribit answers, to values: pure, from the bytes of a frame; BadPayload else.

get_last_trades --> parts, as the stream gives them     chart data --> OHLCV
ticker --> a quote     get_time     an error --> why a request was refused

What get_instruments lists is read in ``_listing``.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from piker.brokers._parts import Part
from piker.brokers._payload import FOREIGN, Failure, bad_payload, decode
from piker.brokers._runs import cut_runs
from piker.tsp import OHLCV, in_order

from ._decode import trade_event
from ._reasons import reason_of, words_of
from ._schemas import Chart, Envelope, Millis, Quote, Trades

_T = TypeVar("_T")
_MS_NS: Final = 1_000_000

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_TRADES: Final = msgspec.json.Decoder(Trades)
_CHART: Final = msgspec.json.Decoder(Chart)
_QUOTE: Final = msgspec.json.Decoder(Quote)
_MILLIS: Final = msgspec.json.Decoder(Millis)


class TradesPage(NamedTuple):
    """What a request for past trades gives.

    Attributes:
      parts: in order of their serials, each a run of them.
      has_more: whether there are others of what was asked for.
    """

    parts: list[Part]
    has_more: bool


def decode_result(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Return the result in an answer; BadPayload, of an error too."""
    told = decode(_ENVELOPE, "deribit", body)
    if told.error is not None or told.result is UNSET:
        raise bad_payload("deribit", body, "an answer without a result")
    try:
        return decoder.decode(told.result)
    except FOREIGN as error:
        raise bad_payload("deribit", body, error) from error


def parse_error(body: bytes) -> Failure | None:
    """Return why a request was refused, None if it was not."""
    error = decode(_ENVELOPE, "deribit", body).error
    if error is None:
        return None
    return Failure(reason_of(error), words_of(error))


def parse_trades(body: bytes, symbol: str) -> TradesPage:
    """Return past trades of one market, the same ticks as the stream gives.

    Args:
      body: the answer.
      symbol: the market; one of another is refused.
    """
    told = decode_result(_TRADES, body)
    try:
        events = [trade_event(trade) for trade in told.trades]
    except FOREIGN as error:
        raise bad_payload("deribit", body, error) from error
    if any(trade.instrument_name != symbol for trade in told.trades):
        raise bad_payload("deribit", body, f"trades of others than {symbol!r}")
    return TradesPage(cut_runs(symbol, events), told.has_more)


def parse_chart(body: bytes, cost_step: float = 0.0) -> NDArray[np.void]:
    """Return bars as an OHLCV array, ascending; the last may still form.

    The venue doesn't say how many trades there were: 1 stands for some.

    Args:
      body: the answer.
      cost_step: of inverse markets, whose sizes are what is paid, the step of these;
        the venue's sums of them may be off it by what it rounds.
    """
    chart = decode_result(_CHART, body)
    try:
        if chart.status not in ("ok", "no_data"):
            raise ValueError(f"a status {chart.status!r}")
        times = np.array(chart.ticks, np.int64)
        if (times % 1000).any():
            raise ValueError("bars that open within a second")
        bars = np.empty(len(times), OHLCV)
        bars["time"] = times // 1000
        for name in ("open", "high", "low", "close"):
            bars[name] = _column(getattr(chart, name), len(times))
        bars["volume"] = _column(chart.cost if cost_step else chart.volume, len(times))
        if cost_step:
            bars["volume"] = np.rint(bars["volume"] / cost_step) * cost_step
        bars["count"] = bars["volume"] > 0
        return in_order(bars)
    except FOREIGN as error:
        raise bad_payload("deribit", body, error) from error


def _column(values: list[float], rows: int) -> NDArray[np.float64]:
    if len(values) != rows:
        raise ValueError(f"a column of {len(values)} in {rows} bars")
    return np.array(values, np.float64)


def parse_quote(body: bytes, symbol: str) -> Quote:
    """Return the newest quote of a market."""
    quote = decode_result(_QUOTE, body)
    if quote.instrument_name != symbol:
        raise bad_payload("deribit", body, f"a quote of another market than {symbol!r}")
    return quote


def parse_time_ns(body: bytes) -> int:
    """Return the venue's time, ns since the epoch, told to the millisecond."""
    return decode_result(_MILLIS, body) * _MS_NS
