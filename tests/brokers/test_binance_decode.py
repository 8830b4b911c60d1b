"""Binance's frames become the ticks they say, and nothing else ever comes of them."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from math import isnan, nan

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers._parts import Notice, Part
from piker.brokers.binance._decode import decode_depth, decode_kline, decode_message
from piker.errors import BadPayload
from piker.msgs import Tick
from tests._data import binance_session

TRADE = {
    "e": "trade", "E": 1700000000125, "s": "BTCUSDT", "t": 4211, "p": "36500.12",
    "q": "0.25000000", "T": 1700000000123, "m": True, "M": True,
}  # fmt: skip
BOOK = {
    "u": 900120, "s": "BTCUSDT", "b": "36500.11", "B": "3.1", "a": "36500.12",
    "A": "0.75",
}  # fmt: skip
AGG = {
    "e": "aggTrade", "s": "BTCUSDT", "a": 1207, "p": "36500.1", "q": "1.250",
    "f": 4211, "l": 4214, "T": 1700000000123, "m": False,
}  # fmt: skip
DEPTH = {
    "e": "depthUpdate", "s": "BTCUSDT", "U": 900101, "u": 900120, "pu": 900100,
    "T": 1700000000123, "b": [["36500.1", "2.500"]], "a": [],
}  # fmt: skip
KLINE = {
    "e": "kline", "s": "BTCUSDT", "k": {
        "t": 1699999980000, "i": "1m", "o": "36480.0", "c": "36500.1", "h": "36501.0",
        "l": "36479.5", "v": "12.345", "n": 115, "x": False,
    },
}  # fmt: skip
STREAMS = ["trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1m", "markPrice"]


def frame(stream, data, **changes):
    data = {**data, **changes}
    return json.dumps({"stream": f"btcusdt@{stream}", "data": data}).encode()


def ticks_of(payload):
    """Return the ticks of a frame, none of a notice."""
    decoded = decode_message(payload)
    return [] if isinstance(decoded, Notice) else decoded[0].ticks


def test_a_trade():
    tick = Tick("trade", 36500.12, 0.25, 1700000000123000000, 4211, -1)
    assert decode_message(frame("trade", TRADE)) == [
        Part("BTCUSDT", [tick], 4211, 4211)
    ]
    (bought,) = ticks_of(frame("trade", TRADE, m=False))
    assert bought.side == 1


@pytest.mark.parametrize("origin", ["INSURANCE_FUND", "ADL", "NA", "RPI?"])
def test_a_trade_that_no_order_of_the_market_made_makes_no_bar(origin):
    (part,) = decode_message(frame("trade", TRADE, X=origin))
    assert [tick.type for tick in part.ticks] == ["utrade"]
    assert (part.first, part.last) == (4211, 4211), "it has a number in the series"
    assert decode_message(frame("trade", TRADE, X=origin, p="0", q="0")) == [
        Part("BTCUSDT", [], 4211, 4211)
    ]


def test_an_aggregate_counts_its_trades_and_ends_at_the_last_ones_id():
    tick = Tick("trade", 36500.1, 1.25, 1700000000123000000, 4214, 1, 4)
    assert decode_message(frame("aggTrade", AGG)) == [
        Part("BTCUSDT", [tick], 1207, 1207)
    ]


@pytest.mark.parametrize("changes", [{"l": 4210}, {"f": 0, "l": 2**63 - 1}, {"p": "0"}])
def test_an_aggregate_of_no_trades_or_too_many_is_refused(changes):
    with pytest.raises(BadPayload):
        decode_message(frame("aggTrade", AGG, **changes))


def test_a_book_ticker_gives_bid_and_ask():
    assert decode_message(frame("bookTicker", BOOK)) == [
        Part("BTCUSDT", [Tick("bid", 36500.11, 3.1), Tick("ask", 36500.12, 0.75)])
    ]
    ticks = ticks_of(frame("bookTicker", BOOK, T=1700000000123))
    assert {tick.time_ns for tick in ticks} == {1700000000123000000}
    ticks = ticks_of(frame("bookTicker", BOOK, b="0.0", B="0.0"))
    assert repr(ticks) == repr([Tick("bid", nan, 0.0), Tick("ask", 36500.12, 0.75)])


@pytest.mark.parametrize(
    ("payload", "notice"),
    [
        (frame("depth@100ms", DEPTH), Notice("other", text="btcusdt@depth@100ms")),
        (frame("kline_1m", KLINE), Notice("other", text="btcusdt@kline_1m")),
        (frame("markPrice", {"x": 1}), Notice("other", text="btcusdt@markPrice")),
        (b'{"result": null, "id": 7}', Notice("ack", req_id=7)),
        (b'{"id":8,"result":["btcusdt@trade"]}', Notice("ack", req_id=8)),
        (b'{"result":null,"id":"mine"}', Notice("ack")),
        (
            b'{"error": {"code": 2, "msg": "In\\nvalid"}, "id": 7}',
            Notice("refused", req_id=7, text="code 2: In valid"),
        ),
        (
            b'{"code": 3, "msg": "Invalid JSON", "id": 1}',
            Notice("refused", req_id=1, text="code 3: Invalid JSON"),
        ),
        (
            b'{"code": 0, "msg": "Unknown property"}',
            Notice("refused", text="code 0: Unknown property"),
        ),
        (
            b'{"id":1,"error":{"code":-1003,"msg":"Too many requests"}}',
            Notice("refused", "", 1, "code -1003: Too many requests", "limit"),
        ),
        (
            b'{"id":1,"code":-1008,"msg":"Overloaded"}',
            Notice("refused", "", 1, "code -1008: Overloaded", "unavailable"),
        ),
        (
            b'{"e": "serverShutdown", "E": 1700000000125}',
            Notice("status", text="serverShutdown"),
        ),
        (b'{"lastUpdateId": 5, "bids": []}', Notice("other")),
    ],
)
def test_what_says_nothing_of_a_market_is_a_notice(payload, notice):
    assert decode_message(payload) == notice


def test_depth_and_bars_are_decoded_where_asked():
    depth = decode_depth(frame("depth@100ms", DEPTH))
    assert depth.b == [("36500.1", "2.500")]
    assert (depth.U, depth.u, depth.pu) == (900101, 900120, 900100)
    assert decode_depth(frame("trade", TRADE)) is None
    kline = decode_kline(frame("kline_1m", KLINE))
    assert (kline.k.o, kline.k.v, kline.k.n) == (36480.0, 12.345, 115)
    assert decode_kline(frame("depth@100ms", DEPTH)) is None
    with pytest.raises(BadPayload):
        decode_depth(frame("depth@100ms", TRADE))


@pytest.mark.parametrize(
    "changes",
    [
        {"p": "1,5"}, {"p": "nan"}, {"p": "-1"}, {"p": "1e999"}, {"p": "0"},
        {"p": "1_0"}, {"q": "0"}, {"q": None}, {"T": 10**17}, {"T": "now"}, {"t": -1},
        {"t": 2**63}, {"s": ""}, {"m": "yes"},
    ],
)  # fmt: skip
def test_a_trade_that_cannot_be_is_refused(changes):
    with pytest.raises(BadPayload, match=r"^not what binance documents: .*$"):
        decode_message(frame("trade", TRADE, **changes))


def decode_or_refuse(payload):
    """Return what the decoder says; any exception but BadPayload fails the test."""
    told, got = "", []
    try:
        got = decode_message(payload)
    except BadPayload as error:
        told = str(error)
    if isinstance(got, Notice):
        told, got = got.text, []
    assert len(f"x{told}".splitlines()) == 1
    for part in got:
        assert part.first <= part.last
        for tick in part.ticks:
            assert 0 <= tick.time_ns < 2**63
            if tick.type in ("bid", "ask") and isnan(tick.price):
                assert tick.size == 0  # that side is empty
                continue
            assert 0 < tick.price < 1e15
            msgspec.msgpack.encode(tick)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(payload):
    decode_or_refuse(payload)


@pytest.mark.parametrize("payload", [b'{"data":' + b"[" * 50_000, b"[" * 50_000])
def test_deep_nesting_is_refused(payload):
    with pytest.raises(BadPayload):
        decode_message(payload)


words = [
    "",
    "x",
    "1",
    "-1",
    "1e400",
    "nan",
    "0",
    "1_0",
    "\x00",
    "\u2028",
    "\u00e9" * 99,
]
scalars = st.sampled_from(
    [None, True, -1, 0, 1, 2**63, 2**70, -0.0, 1e300, float("nan"), *words]
)
anything = scalars | st.lists(scalars, max_size=2) | st.integers() | st.floats()


@given(
    st.sampled_from(STREAMS),
    st.sampled_from([TRADE, AGG, BOOK, DEPTH, KLINE]),
    st.dictionaries(st.sampled_from([*TRADE, *AGG, *BOOK]), anything, max_size=3),
)
@settings(max_examples=300)
def test_any_json_is_decoded_or_refused(stream, data, changes):
    decode_or_refuse(frame(stream, data, **changes))


@given(st.data())
def test_a_damaged_frame_is_decoded_or_refused(data):
    payload = bytearray(frame("trade", TRADE))
    for at in data.draw(st.lists(st.integers(0, len(payload) - 1), max_size=4)):
        payload[at] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


@pytest.mark.parametrize(
    ("name", "trades", "books"),
    [
        ("usdm_hft/btcusdt_20240808.gz", 21_313, 66_089),
        ("spot_hft/ethusdt_20240808.gz", 6_106, 24_077),
    ],
)
def test_a_real_recording_agrees_with_a_plain_reading(name, trades, books):
    got, want, quotes = [], [], 0
    with gzip.open(binance_session(name)) as lines:
        for line in lines:
            payload = line.partition(b" ")[2]
            ticks = ticks_of(payload)
            if ticks and ticks[0].type == "trade":
                (tick,) = ticks
                got.append((tick.tid, tick.price, tick.size, tick.time_ns, tick.side))
            elif ticks:
                assert [tick.type for tick in ticks] == ["bid", "ask"]
                assert ticks[0].price < ticks[1].price
                quotes += 1
            if b'"trade"' in line:
                data = json.loads(payload)["data"]
                side = -1 if data["m"] else 1
                price, size = float(data["p"]), float(data["q"])
                want.append((data["t"], price, size, data["T"] * 10**6, side))
    assert got == want
    assert (len(got), quotes) == (trades, books)
    assert all(b[0] == a[0] + 1 for a, b in pairwise(got))
