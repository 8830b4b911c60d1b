"""Wire types of Deribit's JSON-RPC: what it says of markets.

Each frame is one of three: a message of a channel, ``{"jsonrpc": "2.0", "method":
"subscription", "params": {"channel": NAME, "data": ...}}``; a heartbeat, ``{"method":
"heartbeat", "params": {"type": "test_request"}}``; or what a request is answered with,
``{"id": 7, "result": ...}`` or ``{"id": 7, "error": {...}}``. Prices and sizes are JSON
numbers and become the nearest double; unknown fields are ignored.

Bounds refuse what no market can mean: numbers past 1e15, and below 0 where there is no
such thing.

https://docs.deribit.com/articles/json-rpc-overview
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

#: A price or a size; 1e15 is past every market and still below 2**53 whole steps.
Amount = Annotated[float, Meta(ge=0, lt=1e15)]
#: A number the venue counts up.
Serial = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: An instrument, e.g. ``BTC-PERPETUAL``, ``BTC-25DEC26-50000-C``.
Symbol = Annotated[str, Meta(min_length=1, max_length=60)]
#: Milliseconds since the epoch, to the year 2262.
Millis = Annotated[int, Meta(ge=0, le=9_223_372_036_853)]


class Params(Struct, frozen=True, gc=False):
    """What a message tells.

    Attributes:
      channel: e.g. ``trades.BTC-PERPETUAL.100ms``; empty of a heartbeat.
      data: by channel.
      type: of a heartbeat: ``heartbeat``, or ``test_request``, which wants an answer.
    """

    channel: str = ""
    data: Raw = Raw()
    type: str = ""


class Error(Struct, frozen=True, gc=False):
    """Why a request was refused.

    ``{"code": 10028, "message": "too_many_requests", "data": null}``,
    ``{"code": -32602, "message": "Invalid params", "data": {"reason": "wrong format",
    "param": "instrument_name"}}``

    https://docs.deribit.com/articles/errors

    Attributes:
      data: more words, of any form: most often ``{"reason": ...}``.
    """

    code: int
    message: str = ""
    data: Any = None


class Envelope(Struct, frozen=True, gc=False):
    """A frame.

    Attributes:
      method: ``subscription`` or ``heartbeat``; empty of an answer.
      id: of the request that is answered.
    """

    method: str = ""
    params: Params | None = None
    id: Any = None
    result: Raw | UnsetType = UNSET
    error: Error | None = None


class Trade(Struct, frozen=True, gc=False):
    """One match of two orders; a message holds one or more.

    ``{"timestamp": 1765531356452, "price": 92294.5, "amount": 10.0, "direction":
    "sell", "index_price": 92276.75, "instrument_name": "BTC-PERPETUAL", "trade_seq":
    271252854, "mark_price": 92287.11, "tick_direction": 2, "contracts": 1.0,
    "trade_id": "403691824"}``

    https://docs.deribit.com/subscriptions/trades/tradesinstrument_nameinterval

    Attributes:
      instrument_name: market.
      trade_seq: number of the trade in its market; none is left out.
      timestamp: when it was matched.
      price: what is quoted in, for one of *amount*'s units.
      amount: of perpetuals and futures that settle in coins (inverse ones) in USD, of
        all others in coins.
      direction: of the taker.
    """

    instrument_name: Symbol
    trade_seq: Serial
    timestamp: Millis
    price: Amount
    amount: Amount
    direction: Literal["buy", "sell"]


class Quote(Struct, frozen=True, gc=False):
    """The best bid and ask: of the channels ``quote`` and ``ticker``, and of `ticker`.

    ``{"timestamp": 1765541767174, "instrument_name": "BTC-PERPETUAL",
    "best_ask_price": 92288.5, "best_bid_price": 92288.0, "best_ask_amount": 99470.0,
    "best_bid_amount": 133440.0}``

    https://docs.deribit.com/subscriptions/market-data/quoteinstrument_name
    https://docs.deribit.com/subscriptions/market-data/tickerinstrument_nameinterval

    Attributes:
      best_bid_price, best_ask_price: 0 or null if there is none.
      best_bid_amount, best_ask_amount: in units of a trade's amount.
      last_price: of the last trade, null if there was none; a ticker's only.
    """

    instrument_name: Symbol
    timestamp: Millis
    best_bid_price: Amount | None = None
    best_bid_amount: Amount | None = None
    best_ask_price: Amount | None = None
    best_ask_amount: Amount | None = None
    last_price: Amount | None = None


# -- what is asked for -----------------------------------------------------------------


class Trades(Struct, frozen=True):
    """``{"trades": [...], "has_more": true}``.

    https://docs.deribit.com/api-reference/market-data/public-get_last_trades_by_instrument
    """

    trades: list[Trade]
    has_more: bool = False


class Chart(Struct, frozen=True):
    """Bars, column by column; ``{"status": "no_data", "ticks": [], ...}`` if none.

    ``{"status": "ok", "ticks": [1766483460000, ...], "open": [87451.0, ...], "high":
    [...], "low": [...], "close": [...], "volume": [2.94375216, ...], "cost":
    [257490.0, ...]}``

    https://docs.deribit.com/api-reference/market-data/public-get_tradingview_chart_data

    Attributes:
      ticks: when each opens.
      volume: coins.
      cost: what was paid for them: of an inverse market the sum of its amounts, USD.
    """

    status: str
    ticks: list[Millis] = []
    open: list[Amount] = []
    high: list[Amount] = []
    low: list[Amount] = []
    close: list[Amount] = []
    volume: list[Amount] = []
    cost: list[Amount] = []


class TickStep(Struct, frozen=True):
    """Above a price steps are coarser: ``{"above_price": 0.005, "tick_size": 0.0005}``.

    Both are kept as they are written, for decimals.
    """

    above_price: Raw
    tick_size: Raw


class Instrument(Struct, frozen=True):
    """A market that the venue lists.

    ``{"instrument_name": "BTC-PERPETUAL", "kind": "future", "base_currency": "BTC",
    "quote_currency": "USD", "counter_currency": "USD", "settlement_currency": "BTC",
    "settlement_period": "perpetual", "instrument_type": "reversed", "tick_size": 0.5,
    "tick_size_steps": [], "contract_size": 10.0, "min_trade_amount": 10.0,
    "expiration_timestamp": 32503708800000, "is_active": true, ...}``; of an option
    besides ``"option_type": "call", "strike": 100000.0`` and coins for quote currency.

    https://docs.deribit.com/api-reference/market-data/public-get_instruments

    Attributes:
      kind: ``future`` (perpetuals too), ``option``, ``spot``, ``future_combo``,
        ``option_combo``.
      quote_currency: what prices are in.
      counter_currency: what the underlying is measured in.
      settlement_currency: what profits are paid in; absent of spot.
      instrument_type: ``reversed`` (inverse), ``linear``; may be absent.
      settlement_period: ``perpetual``, ``day``, ``week``, ``month``.
      state: of newer lists, ``open``, ``closed``, ...
    """

    instrument_name: Symbol
    kind: str
    base_currency: str
    quote_currency: str
    tick_size: Raw
    contract_size: Raw
    min_trade_amount: Raw
    expiration_timestamp: int = 0
    counter_currency: str = ""
    settlement_currency: str = ""
    settlement_period: str = ""
    instrument_type: str = ""
    future_type: str = ""
    option_type: str = ""
    strike: Raw = Raw(b"null")
    tick_size_steps: list[TickStep] = []
    is_active: bool = True
    state: str = "open"
