"""A hundred thousand damaged frames: each is decoded, or refused in one line."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from math import isnan

import pytest

from piker.brokers._parts import Notice
from piker.brokers.binance import (
    _decode as binance,
    _listing as binance_listing,
    _rest as binance_rest,
)
from piker.brokers.deribit import (
    _answers as deribit_answers,
    _decode as deribit,
    _listing as deribit_listing,
)
from piker.brokers.kraken import (
    _decode as kraken,
    _listing as kraken_listing,
    _rest as kraken_rest,
)
from piker.errors import BadPayload
from tests.brokers import (
    test_binance_decode as of_binance,
    test_binance_rest as rest_of_binance,
    test_deribit_answers as answers_of_deribit,
    test_deribit_decode as of_deribit,
    test_kraken_decode as of_kraken,
    test_kraken_rest as rest_of_kraken,
)
from tests.brokers._damage import count_refused, damaged

FRAMES = 50_000  # of each venue

BINANCE = [
    of_binance.frame("trade", of_binance.TRADE),
    of_binance.frame("trade", of_binance.TRADE, X="ADL"),
    of_binance.frame("aggTrade", of_binance.AGG),
    of_binance.frame("bookTicker", of_binance.BOOK),
    of_binance.frame("depth", of_binance.DEPTH),
    b'{"result":null,"id":7}',
    b'{"error":{"code":2,"msg":"Invalid request"},"id":7}',
    b'{"code":2,"msg":"Invalid request"}',
]
KRAKEN = [
    of_kraken.frame("trade", of_kraken.TRADE),
    of_kraken.frame("trade", *map(of_kraken.trade, (5, 6, 8)), kind="snapshot"),
    of_kraken.frame("ticker", of_kraken.TICKER),
    of_kraken.frame("status", {"system": "online"}),
    b'{"channel":"heartbeat"}',
    *(json.dumps(told).encode() for told in (of_kraken.ACK, of_kraken.REFUSAL)),
    b'{"method":"pong","req_id":8}',
]
DERIBIT = [
    of_deribit.trades(of_deribit.TRADE),
    of_deribit.trades(*map(of_deribit.trade, (5, 6, 8))),
    of_deribit.quote(),
    of_deribit.frame("ticker.X.100ms", {**of_deribit.QUOTE, "last_price": 5.5}),
    b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
    b'{"jsonrpc":"2.0","id":7,"result":["quote.BTC-PERPETUAL"]}',
    b'{"jsonrpc":"2.0","id":7,"error":{"code":10028,"message":"too_many_requests"}}',
]


def check(told):
    """Assert that what a frame decoded to can be used."""
    if isinstance(told, Notice):
        assert len(f"x{told.text}{told.symbol}".splitlines()) == 1
        assert -1 <= told.req_id < 2**63
        return
    assert told
    for part in told:
        assert part.symbol
        assert -1 <= part.first <= part.last < 2**63
        for tick in part.ticks:
            if isnan(tick.price):
                assert (tick.type in {"bid", "ask"}, tick.size) == (True, 0)
            else:
                assert 0 < tick.price < 1e15
            assert 0 <= tick.size < 1e15
            assert 0 <= tick.time_ns < 2**63
            assert -1 <= tick.tid < 2**63
            assert 0 < tick.count < 2**32


def timed(decode, frame):
    """Return what a frame decodes to, or why to nothing, and the CPU that took, s."""
    began, told, text = time.process_time(), None, ""
    try:
        told = decode(frame)
    except BadPayload as error:
        text = str(error)
    return told, text, time.process_time() - began


@pytest.mark.parametrize(
    ("decode", "frames"),
    [
        (binance.decode_message, BINANCE),
        (kraken.decode_message, KRAKEN),
        (deribit.decode_message, DERIBIT),
    ],
    ids=["binance", "kraken", "deribit"],
)
def test_damaged_frames_are_decoded_or_refused(decode, frames):
    good = bad = 0
    took_s = worst_s = 0.0
    for frame in damaged(random.Random(20_261_124), frames, FRAMES):
        told, text, spent_s = timed(decode, frame)
        took_s += spent_s
        for _ in range(3):  # what a machine or a collection took comes but once
            if spent_s > 0.1:
                spent_s = min(spent_s, timed(decode, frame)[2])
        worst_s = max(worst_s, spent_s)
        if told is None:
            bad += 1
            assert len(text.splitlines()) == 1, frame
            assert len(text) < 1_000, frame
        else:
            good += 1
            check(told)
    assert good > FRAMES / 20
    assert bad > FRAMES / 5
    assert took_s < 7.5
    assert worst_s < 0.1


BODIES = {
    "klines": (
        binance_rest.parse_klines,
        rest_of_binance.body([rest_of_binance.KLINE]),
    ),
    "aggregates": (
        partial(binance_rest.parse_agg_trades, symbol="BTCUSDT"),
        rest_of_binance.body([rest_of_binance.agg(5), rest_of_binance.agg(6)]),
    ),
    "binance books": (
        binance_rest.parse_book_tickers,
        b'[{"symbol":"X","bidPrice":"1","bidQty":"2","askPrice":"3","askQty":"4"}]',
    ),
    "exchangeInfo": (
        partial(binance_listing.parse_exchange_info, venue="usdtm"),
        rest_of_binance.body(
            {
                "symbols": [
                    rest_of_binance.market(
                        contractType="CURRENT_QUARTER", deliveryDate=1798185600000
                    )
                ]
            }
        ),
    ),
    "binance volumes": (
        binance_rest.parse_volumes,
        b'[{"symbol":"X","quoteVolume":"15.30","volume":"1"}]',
    ),
    "binance time": (binance_rest.parse_time_ns, b'{"serverTime":1700000000125}'),
    "kraken time": (
        kraken_rest.parse_time_ns,
        rest_of_kraken.body({"unixtime": 1700000000, "rfc1123": "x"}),
    ),
    "kraken error": (
        kraken_rest.parse_error,
        rest_of_kraken.body({}, "EQuery:Unknown asset pair"),
    ),
    "deribit time": (
        deribit_answers.parse_time_ns,
        answers_of_deribit.body(1700000000125),
    ),
    "deribit error": (
        deribit_answers.parse_error,
        b'{"id":1,"error":{"code":10028,"message":"too_many_requests","data":null}}',
    ),
    "deribit trades": (
        partial(deribit_answers.parse_trades, symbol="BTC-PERPETUAL"),
        answers_of_deribit.body({"trades": [of_deribit.TRADE], "has_more": True}),
    ),
    "deribit bars": (
        deribit_answers.parse_chart,
        answers_of_deribit.body(answers_of_deribit.CHART),
    ),
    "deribit quote": (
        partial(deribit_answers.parse_quote, symbol="BTC-PERPETUAL"),
        answers_of_deribit.body(of_deribit.QUOTE),
    ),
    "instruments": (
        deribit_listing.parse_instruments,
        answers_of_deribit.body(
            [answers_of_deribit.INSTRUMENT, answers_of_deribit.OPTION]
        ),
    ),
    "binance error": (binance_rest.parse_error, b'{"code":-1121,"msg":"No."}'),
    "trades": (
        partial(kraken_rest.parse_trades, symbol="BTC/USDT"),
        rest_of_kraken.trades(rest_of_kraken.trade(5), rest_of_kraken.trade(6)),
    ),
    "ohlc": (
        kraken_rest.parse_ohlc,
        rest_of_kraken.body({"X": [[1, "1", "2", "1", "2", "1", "9", 4]], "last": 1}),
    ),
    "pairs": (
        kraken_listing.parse_asset_pairs,
        rest_of_kraken.body({"XBTUSDT": rest_of_kraken.PAIR}),
    ),
    "ticker": (
        kraken_rest.parse_tickers,
        rest_of_kraken.body(
            {
                "X": {
                    **{key: ["1", "2", "3"] for key in "ab"},
                    **{key: ["1", "2"] for key in "cvp"},
                }
            }
        ),
    ),
}


@pytest.mark.parametrize(("parse", "body"), BODIES.values(), ids=BODIES)
def test_damaged_bodies_are_parsed_or_refused(parse, body):
    parse(body)
    assert count_refused(body, 20_261_124, 4_000, parse) > 1_000
