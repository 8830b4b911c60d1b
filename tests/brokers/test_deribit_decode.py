"""Deribit's frames become the ticks they say, and nothing else ever comes of them."""

from __future__ import annotations

import json
from decimal import Decimal
from math import nan

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.brokers._parts import Notice, Part
from piker.brokers.deribit._decode import decode_message
from piker.errors import BadPayload
from piker.msgs import Tick
from tests._data import data_dir

TRADE = {
    "timestamp": 1700000000123, "price": 36500.5, "amount": 750.0, "direction": "sell",
    "index_price": 36499.1, "instrument_name": "BTC-PERPETUAL", "trade_seq": 271252855,
    "mark_price": 36500.11, "tick_direction": 2, "contracts": 75.0,
    "trade_id": "403691825",
}  # fmt: skip
QUOTE = {
    "timestamp": 1700000000123, "instrument_name": "BTC-PERPETUAL",
    "best_ask_price": 36501.0, "best_bid_price": 36500.5, "best_ask_amount": 99470.0,
    "best_bid_amount": 133440.0,
}  # fmt: skip
TIME_NS = 1_700_000_000_123_000_000
OPTION = "BTC-25DEC26-50000-C"


def frame(channel, data):
    told = {"channel": channel, "data": data}
    return json.dumps(
        {"jsonrpc": "2.0", "method": "subscription", "params": told}
    ).encode()


def trades(*told):
    return frame("trades.BTC-PERPETUAL.100ms", list(told))


def trade(seq, **changes):
    return {**TRADE, "trade_seq": seq, **changes}


def quote(**changes):
    return frame("quote.BTC-PERPETUAL", {**QUOTE, **changes})


def test_a_trade():
    tick = Tick("trade", 36500.5, 750.0, TIME_NS, 271252855, -1)
    assert decode_message(trades(TRADE)) == [
        Part("BTC-PERPETUAL", [tick], 271252855, 271252855)
    ]
    (part,) = decode_message(trades(trade(1, direction="buy")))
    assert part.ticks[0].side == 1


def tids(payload):
    return [
        (part.symbol, part.first, part.last, [tick.tid for tick in part.ticks])
        for part in decode_message(payload)
    ]


def test_trades_are_sorted_and_cut_where_one_is_missing():
    option = {"instrument_name": OPTION}
    told = [trade(7), trade(3, **option), trade(5), trade(6), trade(2, **option)]
    assert tids(trades(*told, trade(9))) == [
        ("BTC-PERPETUAL", 5, 7, [5, 6, 7]),
        ("BTC-PERPETUAL", 9, 9, [9]),
        (OPTION, 2, 3, [2, 3]),
    ]
    assert tids(trades(trade(5), trade(5))) == [
        ("BTC-PERPETUAL", 5, 5, [5]),
        ("BTC-PERPETUAL", 5, 5, [5]),
    ]


def test_a_quote_gives_bid_and_ask():
    sides = [
        Tick("bid", 36500.5, 133440.0, TIME_NS),
        Tick("ask", 36501.0, 99470.0, TIME_NS),
    ]
    assert decode_message(quote()) == [Part("BTC-PERPETUAL", sides)]
    ticker = {**QUOTE, "last_price": 36500.5, "stats": {"volume": None}}
    told = decode_message(frame("ticker.BTC-PERPETUAL.100ms", ticker))
    assert told == [Part("BTC-PERPETUAL", sides)]


@pytest.mark.parametrize("none", [None, 0, 0.0])
def test_a_side_that_is_empty_is_forgotten(none):
    (part,) = decode_message(quote(best_bid_price=none, best_bid_amount=none))
    gone = [Tick("bid", nan, 0.0, TIME_NS), Tick("ask", 36501.0, 99470.0, TIME_NS)]
    assert repr(part.ticks) == repr(gone)


@pytest.mark.parametrize(
    ("told", "notice"),
    [
        (
            {"method": "heartbeat", "params": {"type": "test_request"}},
            Notice("heartbeat", text="test_request"),
        ),
        (
            {"method": "heartbeat", "params": {"type": "heartbeat"}},
            Notice("heartbeat", text="heartbeat"),
        ),
        ({"id": 7, "result": ["quote.A"], "usIn": 1}, Notice("ack", req_id=7)),
        ({"id": 8, "result": None}, Notice("ack", req_id=8)),
        (
            {"id": 7, "error": {"code": 10028, "message": "too_many_requests"}},
            Notice("refused", "", 7, "too_many_requests: error 10028", "limit"),
        ),
        (
            {"id": 7, "error": {"code": 11051, "message": "system_maintenance"}},
            Notice("refused", "", 7, "system_maintenance: error 11051", "unavailable"),
        ),
        (
            {
                "id": 7,
                "error": {
                    "code": -32602,
                    "message": "Invalid params",
                    "data": {"reason": "wrong format", "param": "instrument_name"},
                },
            },
            Notice(
                "refused",
                "",
                7,
                "Invalid params (wrong format): error -32602",
                "market",
            ),
        ),
        (
            {"id": "x", "error": {"code": 1, "message": "a\nb", "data": [1]}},
            Notice("refused", "", -1, "a b: error 1"),
        ),
        (
            {
                "method": "subscription",
                "params": {"channel": "book.BTC-PERPETUAL.100ms", "data": {}},
            },
            Notice("other", text="book.BTC-PERPETUAL.100ms"),
        ),
        ({"method": "nonesuch"}, Notice("other", text="nonesuch")),
        ({}, Notice("other")),
    ],
)
def test_what_says_nothing_of_a_market_is_a_notice(told, notice):
    assert decode_message(json.dumps({"jsonrpc": "2.0", **told}).encode()) == notice


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "36500.1"}, {"price": -1}, {"price": 0}, {"price": 1e999},
        {"price": None}, {"amount": 0}, {"amount": 1e15}, {"trade_seq": -1},
        {"trade_seq": 2.5}, {"trade_seq": 2**63}, {"direction": "hold"},
        {"instrument_name": ""}, {"timestamp": "1700000000123"}, {"timestamp": -1},
        {"timestamp": 1.5}, {"timestamp": 9_300_000_000_000},
    ],
)  # fmt: skip
def test_a_trade_that_cannot_be_is_refused(changes):
    with pytest.raises(BadPayload, match=r"^not what deribit documents: .*$") as caught:
        decode_message(trades({**TRADE, **changes}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", trades(),
        frame("trades.X.100ms", {}), frame("quote.X", []), frame("quote.X", {}),
        b'{"method":"subscription","params":{"channel":"trades.X"}}',
        b'{"method":"subscription","params":{"channel":"trades.X","data":' + b"[" * 99,
        b"[" * 50_000, b'{"id":1,"error":"no"}', quote(best_ask_price=-1),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(payload):
    with pytest.raises(BadPayload):
        decode_message(payload)


halves = st.integers(1, 10**9).map(lambda n: Decimal(n) / 2)
lots = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-4))


@given(
    st.lists(st.tuples(halves, lots, st.booleans()), min_size=1, max_size=5),
    st.integers(0, 2**40),
)
def test_numbers_become_the_nearest_doubles(told, first):
    data = ",".join(
        f'{{"instrument_name":"A","direction":"{"buy" if buys else "sell"}",'
        f'"price":{price},"amount":{amount},"trade_seq":{first + i},'
        '"timestamp":1700000000000}'
        for i, (price, amount, buys) in enumerate(told)
    )
    payload = (
        '{"jsonrpc":"2.0","method":"subscription","params":'
        f'{{"channel":"trades.A.100ms","data":[{data}]}}}}'
    ).encode()
    (part,) = decode_message(payload)
    assert part.ticks == [
        Tick(
            "trade",
            float(price),
            float(amount),
            1_700_000_000 * 10**9,
            first + i,
            1 if buys else -1,
        )
        for i, (price, amount, buys) in enumerate(told)
    ]
    assert (part.first, part.last) == (first, first + len(told) - 1)
    msgspec.msgpack.encode(part.ticks)


def sample(name):
    return (data_dir() / "protocol" / "nautilus_deribit" / name).read_bytes()


def test_the_documents_trades():
    time_ns = 1765531356452 * 10**6
    assert decode_message(sample("ws_trades.json")) == [
        Part(
            "BTC-PERPETUAL",
            [
                Tick("trade", 92294.5, 10.0, time_ns, 271252854, -1),
                Tick("trade", 92288.5, 750.0, time_ns, 271252855, -1),
            ],
            271252854,
            271252855,
        )
    ]


def test_the_documents_other_messages():
    (part,) = decode_message(sample("ws_quote.json"))
    time_ns = 1765541767174 * 10**6
    assert part.ticks == [
        Tick("bid", 92288.0, 133440.0, time_ns),
        Tick("ask", 92288.5, 99470.0, time_ns),
    ]
    (part,) = decode_message(sample("ws_ticker.json"))
    assert [(tick.price, tick.size) for tick in part.ticks] == [
        (92283.5, 117660.0),
        (92284.0, 186520.0),
    ]
    assert decode_message(sample("ws_subscribe_response.json")) == Notice(
        "ack", req_id=1
    )
    assert decode_message(sample("ws_test_request.json")).kind == "heartbeat"
    refused = decode_message(sample("ws_error.json"))
    assert (refused.kind, refused.reason) == ("refused", "limit")
    for name in ("ws_book_snapshot.json", "ws_book_delta.json", "ws_portfolio.json"):
        assert decode_message(sample(name)).kind == "other"
