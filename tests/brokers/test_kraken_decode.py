"""Kraken's frames become the ticks they say, and nothing else ever comes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import nan

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.brokers._parts import Notice, Part
from piker.brokers.kraken._decode import decode_message, stamp_ns
from piker.errors import BadPayload
from piker.msgs import Tick
from tests._data import data_dir

TRADE = {
    "symbol": "BTC/USDT", "side": "buy", "price": 36500.1, "qty": 0.25,
    "ord_type": "market", "trade_id": 4211, "timestamp": "2023-11-14T22:13:20.123456Z",
}  # fmt: skip
TICKER = {
    "symbol": "BTC/USDT", "bid": 36500.1, "bid_qty": 3.1, "ask": 36500.2,
    "ask_qty": 0.75, "last": 36500.1, "volume": 91.2,
    "timestamp": "2023-11-14T22:13:20.123456Z",
}  # fmt: skip
TIME_NS = 1_700_000_000_123_456_000


def frame(channel, *data, kind="update"):
    return json.dumps({"channel": channel, "type": kind, "data": data}).encode()


def trade(tid, **changes):
    return {**TRADE, "trade_id": tid, **changes}


def test_a_trade():
    tick = Tick("trade", 36500.1, 0.25, TIME_NS, 4211, 1)
    assert decode_message(frame("trade", TRADE)) == [
        Part("BTC/USDT", [tick], 4211, 4211)
    ]
    (part,) = decode_message(frame("trade", trade(1, side="sell")))
    assert part.ticks[0].side == -1


def tids(payload):
    return [
        (part.symbol, part.first, part.last, [tick.tid for tick in part.ticks])
        for part in decode_message(payload)
    ]


def test_trades_of_several_markets_are_sorted_and_cut_where_one_is_missing():
    eth = {"symbol": "ETH/USD"}
    told = [trade(7), trade(3, **eth), trade(5), trade(6), trade(2, **eth), trade(9)]
    assert tids(frame("trade", *told, kind="snapshot")) == [
        ("BTC/USDT", 5, 7, [5, 6, 7]),
        ("BTC/USDT", 9, 9, [9]),
        ("ETH/USD", 2, 3, [2, 3]),
    ]
    assert tids(frame("trade", trade(5), trade(5))) == [
        ("BTC/USDT", 5, 5, [5]),
        ("BTC/USDT", 5, 5, [5]),
    ]


def test_a_ticker_gives_bid_and_ask():
    sides = [
        Tick("bid", 36500.1, 3.1, TIME_NS),
        Tick("ask", 36500.2, 0.75, TIME_NS),
    ]
    assert decode_message(frame("ticker", TICKER)) == [Part("BTC/USDT", sides)]
    bare = {**TICKER, "bid": None, "bid_qty": None}
    del bare["timestamp"]
    (part,) = decode_message(frame("ticker", bare))
    assert repr(part.ticks) == repr([Tick("bid", nan, 0.0), Tick("ask", 36500.2, 0.75)])
    (part,) = decode_message(frame("ticker", {**TICKER, "ask": 0, "bid": 0}))
    gone = [Tick("bid", nan, 0.0, TIME_NS), Tick("ask", nan, 0.0, TIME_NS)]
    assert repr(part.ticks) == repr(gone)


ACK = {
    "method": "subscribe", "success": True, "req_id": 7, "time_in": "", "time_out": "",
    "result": {"channel": "trade", "symbol": "BTC/USDT", "snapshot": True},
}  # fmt: skip
REFUSAL = {
    "method": "subscribe", "success": False, "req_id": 7, "symbol": "ABC/USDT",
    "error": "Currency pair not supported\nABC/USDT",
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "notice"),
    [
        ({"channel": "heartbeat"}, Notice("heartbeat")),
        ({"method": "pong", "req_id": 8, "time_in": ""}, Notice("heartbeat", "", 8)),
        (ACK, Notice("ack", "BTC/USDT", 7, "subscribe trade")),
        (
            {**ACK, "method": "unsubscribe"},
            Notice("ack", "BTC/USDT", 7, "unsubscribe trade"),
        ),
        (
            REFUSAL,
            Notice(
                "refused",
                "ABC/USDT",
                7,
                "Currency pair not supported ABC/USDT",
                "market",
            ),
        ),
        ({"error": "Malformed request"}, Notice("refused", text="Malformed request")),
        (
            {"method": "subscribe", "error": "Exceeded msg rate", "req_id": 7},
            Notice("refused", req_id=7, text="Exceeded msg rate", reason="limit"),
        ),
        (
            {"method": "subscribe", "error": "EService:Unavailable", "req_id": 7},
            Notice("refused", "", 7, "EService:Unavailable", "unavailable"),
        ),
        (
            {"channel": "status", "type": "update", "data": [{"system": "online"}]},
            Notice("status", text="online"),
        ),
        (
            {"channel": "ohlc", "type": "update", "data": []},
            Notice("other", text="ohlc"),
        ),
        ({"channel": "nonesuch"}, Notice("other", text="nonesuch")),
        ({}, Notice("other")),
    ],
)
def test_what_says_nothing_of_a_market_is_a_notice(told, notice):
    assert decode_message(json.dumps(told).encode()) == notice


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "36500.1"}, {"price": -1}, {"price": 0}, {"price": 1e999},
        {"price": None}, {"qty": 0}, {"qty": 1e15}, {"trade_id": -1}, {"trade_id": 2.5},
        {"trade_id": 2**63}, {"side": "hold"}, {"symbol": ""}, {"timestamp": ""},
        {"timestamp": 1700000000}, {"timestamp": "2023-11-14T22:13:20.123456"},
        {"timestamp": "2023-11-14 22:13:20.123456Z"},
        {"timestamp": "2023-11-14T22:13:20.12345xZ"},
        {"timestamp": "2023-11-14T22:13:20+01:00Z"},
        {"timestamp": "2023-13-14T22:13:20.123456Z"},
        {"timestamp": "1969-12-31T23:59:59.999999Z"},
        {"timestamp": "2262-04-12T00:00:00.000000Z"},
    ],
)  # fmt: skip
def test_a_trade_that_cannot_be_is_refused(changes):
    with pytest.raises(BadPayload, match=r"^not what kraken documents: .*$") as caught:
        decode_message(frame("trade", {**TRADE, **changes}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"null", b'"x"', b"{", b'{"channel":"trade"}', b"\xff\xfe",
        frame("trade"), frame("ticker"), b'{"channel":"status","data":[{}]}',
        b'{"channel":"trade","data":' + b"[" * 50_000, b"[" * 50_000,
        b'{"method":"subscribe","success":true,"result":[1]}',
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(payload):
    with pytest.raises(BadPayload):
        decode_message(payload)


def test_a_stamp_is_cut_to_microseconds():
    at = "2023-07-06T18:53:17"
    base_ns = 1_688_669_597 * 10**9
    assert stamp_ns(f"{at}Z") == base_ns
    assert stamp_ns(f"{at}.8Z") == base_ns + 800_000_000
    assert stamp_ns(f"{at}.8277369Z") == base_ns + 827_736_000
    assert stamp_ns(f"{at}.827736999Z") == base_ns + 827_736_000


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)))  # noqa: DTZ001
def test_any_stamp_is_read_exactly(when):
    since = when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert stamp_ns(f"{when.isoformat()}Z") == since // timedelta(microseconds=1) * 1000


cents = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-2))
lots = st.integers(1, 10**14).map(lambda n: Decimal(n).scaleb(-8))


@given(
    st.lists(st.tuples(cents, lots, st.booleans()), min_size=1, max_size=5),
    st.integers(0, 2**40),
)
def test_numbers_become_the_nearest_doubles(told, first):
    data = ",".join(
        f'{{"symbol":"A/B","side":"{"buy" if buys else "sell"}","price":{price},'
        f'"qty":{qty},"trade_id":{first + i},"timestamp":"2023-11-14T22:13:20Z"}}'
        for i, (price, qty, buys) in enumerate(told)
    )
    payload = f'{{"channel":"trade","type":"update","data":[{data}]}}'.encode()
    (part,) = decode_message(payload)
    assert part.ticks == [
        Tick(
            "trade",
            float(price),
            float(qty),
            1_700_000_000 * 10**9,
            first + i,
            1 if buys else -1,
        )
        for i, (price, qty, buys) in enumerate(told)
    ]
    assert (part.first, part.last) == (first, first + len(told) - 1)
    msgspec.msgpack.encode(part.ticks)


def sample(name):
    return (data_dir() / "protocol" / "nautilus_kraken" / name).read_bytes()


def test_the_documents_trades():
    assert decode_message(sample("ws_trade_update.json")) == [
        Part(
            "BTC/USD",
            [
                Tick(
                    "trade", 105944.2, 0.00027625, 1696613755440295000, 10218208, 1
                ),
                Tick(
                    "trade", 105910.5, 0.0001246, 1696613756123456000, 10218209, -1
                ),
            ],
            10218208,
            10218209,
        )
    ]  # fmt: skip


def test_the_documents_other_messages():
    time_ns = 1671960659123456000
    assert decode_message(sample("ws_ticker_snapshot.json")) == [
        Part(
            "BTC/USD",
            [
                Tick("bid", 105944.2, 2.5, time_ns),
                Tick("ask", 105944.3, 3.2, time_ns),
            ],
        )
    ]
    answer = decode_message(sample("ws_subscribe_response.json"))
    assert answer == Notice("ack", "BTC/USD", 1, "subscribe ticker")
    assert decode_message(sample("ws_pong.json")) == Notice("heartbeat", req_id=42)
    assert decode_message(sample("ws_ohlc_update.json")) == Notice("other", text="ohlc")
