"""Binance's REST bodies become what they say, or are refused."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from math import nan

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.brokers._parts import Part
from piker.brokers._payload import Failure
from piker.brokers.binance import _rest
from piker.brokers.binance._decode import decode_message
from piker.brokers.binance._listing import parse_exchange_info
from piker.errors import BadPayload
from piker.msgs import Tick
from tests._data import data_dir

NS_PER_MS = 1_000_000
KLINE = [
    1699999980000, "36480.0", "36501.0", "36479.5", "36500.1", "12.345", 1700000039999,
    "450481.2", 115, "6.100", "222590.6", "0",
]  # fmt: skip
FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.10", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001"},
    {"filterType": "MAX_NUM_ORDERS", "limit": 200},
]


def body(told):
    return json.dumps(told).encode()


def market(symbol="BTCUSDT", **changes):
    return {
        "symbol": symbol, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
        "filters": FILTERS, **changes,
    }  # fmt: skip


def listed(venue, *markets):
    return parse_exchange_info(body({"symbols": markets}), venue)


def test_a_spot_market():
    (one,), left_out = listed("spot", market())
    mkt = one.mkt
    assert (mkt.fqme, mkt.bs_mktid, mkt.atype) == (
        "btcusdt.spot.binance", "BTCUSDT", "crypto"
    )  # fmt: skip
    assert (mkt.price_tick, mkt.size_tick) == (Decimal("0.1"), Decimal("0.001"))
    assert (mkt.dst.name, mkt.dst.atype) == ("btc", "crypto")
    assert mkt.src is not None
    assert (mkt.src.name, mkt.src.atype) == ("usdt", "crypto")
    assert (one.trading, one.description, left_out) == (True, "BTC/USDT spot", 0)
    (halted,), _ = listed("spot", market(status="BREAK", quoteAsset="EUR"))
    assert halted.mkt.src is not None
    assert (halted.trading, halted.mkt.src.atype) == (False, "fiat")
    assert halted.description == "BTC/EUR spot, break"


@pytest.mark.parametrize(
    ("symbol", "kind", "fqme", "atype"),
    [
        ("BTCUSDT", "PERPETUAL", "usdtm.perp", "perpetual_future"),
        ("BTCUSDT", "TRADIFI_PERPETUAL", "usdtm.perp", "perpetual_future"),
        ("BTCUSDT_261225", "CURRENT_QUARTER", "usdtm.20261225", "crypto_future"),
    ],
)
def test_a_contract(symbol, kind, fqme, atype):
    told = market(symbol, contractType=kind, deliveryDate=1798185600000)
    (one,), left_out = listed("usdtm", told)
    assert (one.mkt.fqme, one.mkt.bs_mktid) == (f"btcusdt.{fqme}.binance", symbol)
    assert (one.mkt.atype, left_out) == (atype, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"baseAsset": "\u5e01\u5b89"},
        {"baseAsset": "A.B"},
        {"filters": FILTERS[:1]},
        {"filters": [*FILTERS[:1], {"filterType": "LOT_SIZE", "stepSize": "NaN"}]},
        {"filters": [*FILTERS[:1], {"filterType": "LOT_SIZE", "stepSize": "1e999999"}]},
        {"filters": [*FILTERS, {"filterType": "NOTIONAL", "minNotional": "NaN"}]},
        {"filters": [*FILTERS, {"filterType": "NOTIONAL", "minNotional": "-1"}]},
        {"contractType": ""},
        {"contractType": "CURRENT_QUARTER", "deliveryDate": 9_223_372_036_853},
        {"contractType": "CURRENT_QUARTER", "deliveryDate": 0},
    ],
)
def test_a_market_that_cannot_be_named_or_counted_in_is_left_out(changes):
    good = market(contractType="PERPETUAL", deliveryDate=4133404800000)
    markets, left_out = listed("usdtm", good, {**good, "symbol": "X", **changes})
    names = [one.mkt.bs_mktid for one in markets]
    if changes.get("deliveryDate"):
        assert (names, left_out) == (["BTCUSDT", "X"], 0)  # 2262 is still a year
    else:
        assert (names, left_out) == (["BTCUSDT"], 1)


def test_of_two_markets_of_one_name_the_first_is_kept():
    markets, left_out = listed("spot", market(), market("BTCUSDT2"))
    assert [one.mkt.bs_mktid for one in markets] == ["BTCUSDT"]
    assert left_out == 1


def test_a_day_of_klines():
    rows = [[1699999980000 + i * 60_000, *KLINE[1:]] for i in range(3)]
    bars = _rest.parse_klines(body(rows))
    assert bars.dtype.names is not None
    assert bars.tolist() == [
        (1699999980 + i * 60, 36480.0, 36501.0, 36479.5, 36500.1, 12.345, 115)
        for i in range(3)
    ]
    assert len(_rest.parse_klines(b"[]")) == 0
    mixed = _rest.parse_klines(body([*rows[::-1], rows[1]]))
    assert mixed.tolist() == bars.tolist()


@pytest.mark.parametrize(
    "rows",
    [
        [KLINE, [*KLINE[:8], 9, *KLINE[9:]]], [KLINE[:8]], {"code": -1, "msg": ""},
        [None], [[]], [KLINE, []],
        [[*KLINE[:2], "nan", *KLINE[3:]]], [[*KLINE[:2], "-1", *KLINE[3:]]],
        [[*KLINE[:2], "1e999", *KLINE[3:]]], [["soon", *KLINE[1:]]],
        [[2**63, *KLINE[1:]]], [[*KLINE[:8], 2**63, *KLINE[9:]]],
    ],
)  # fmt: skip
def test_what_are_no_klines_is_refused(rows):
    with pytest.raises(BadPayload, match="^not what binance documents: "):
        _rest.parse_klines(body(rows))


amounts = st.integers(1, 10**15).map(lambda n: f"{Decimal(n).scaleb(-8):f}")


@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=4))
def test_klines_are_the_nearest_doubles(told):
    rows = [
        [i * 60_000, a, b, c, a, b, i * 60_000 + 59_999, c, i, "0", "0", "0"]
        for i, (a, b, c) in enumerate(told)
    ]
    assert _rest.parse_klines(body(rows)).tolist() == [
        (i * 60, float(a), float(b), float(c), float(a), float(b), i)
        for i, (a, b, c) in enumerate(told)
    ]


def agg(number, **changes):
    a = number
    return {
        "a": a, "p": "36500.1", "q": "1.250", "f": 3 * a, "l": 3 * a + 2,
        "T": 1700000000123, "m": True, "M": True, **changes,
    }  # fmt: skip


def tick_of(a):
    return Tick("trade", 36500.1, 1.25, 1700000000123 * NS_PER_MS, 3 * a + 2, -1, 3)


def test_aggregates_are_cut_where_one_is_missing_or_stands_for_nothing():
    gone = agg(12, p="0.00000000", q="0", f=-1, l=-1)
    told = [agg(10), agg(11), gone, agg(13), agg(20), agg(21)]
    assert _rest.parse_agg_trades(body(told), "BTCUSDT") == [
        Part("BTCUSDT", [tick_of(10), tick_of(11)], 10, 11),
        Part("BTCUSDT", [], 12, 12),
        Part("BTCUSDT", [tick_of(13)], 13, 13),
        Part("BTCUSDT", [tick_of(20), tick_of(21)], 20, 21),
    ]
    assert _rest.parse_agg_trades(b"[]", "BTCUSDT") == []


@pytest.mark.parametrize(
    "changes", [{"p": "0"}, {"q": "0"}, {"l": 1}, {"f": -1}, {"a": -1}, {"m": None}]
)
def test_an_aggregate_that_cannot_be_is_refused(changes):
    with pytest.raises(BadPayload, match="^not what binance documents: "):
        _rest.parse_agg_trades(body([agg(10, **changes)]), "BTCUSDT")


@given(
    st.integers(0, 2**62),
    amounts,
    amounts,
    st.integers(0, 2**62),
    st.integers(0, 2000),
    st.integers(0, 9_223_372_036_853),
    st.booleans(),
)
def test_rest_and_stream_give_the_same_tick(
    a, price, size, first, more, time_ms, sells
):
    row = {
        "a": a, "p": price, "q": size, "f": first, "l": first + more, "T": time_ms,
        "m": sells,
    }  # fmt: skip
    data = {"e": "aggTrade", "E": time_ms, "s": "BTCUSDT", **row}
    frame = body({"stream": "btcusdt@aggTrade", "data": data})
    assert _rest.parse_agg_trades(body([row]), "BTCUSDT") == decode_message(frame)


def test_book_tickers():
    told = {
        "symbol": "BTCUSDT", "bidPrice": "36500.11", "bidQty": "3.1",
        "askPrice": "36500.12", "askQty": "0.75", "time": 1700000000123,
    }  # fmt: skip
    time_ns = 1700000000123 * NS_PER_MS
    part = Part(
        "BTCUSDT",
        [Tick("bid", 36500.11, 3.1, time_ns), Tick("ask", 36500.12, 0.75, time_ns)],
    )
    assert _rest.parse_book_tickers(body(told)) == [part]
    empty = {**told, "symbol": "X", "bidPrice": "0.0", "bidQty": "0"}
    whole, half = _rest.parse_book_tickers(body([told, empty]))
    assert whole == part
    assert repr(half.ticks) == repr([Tick("bid", nan, 0.0, time_ns), part.ticks[1]])


def test_volumes_and_time():
    told = {"symbol": "BTCUSDT", "quoteVolume": "15.30", "volume": "1"}
    assert _rest.parse_volumes(body(told)) == {"BTCUSDT": 15.3}
    assert _rest.parse_volumes(body([told, {**told, "symbol": "X"}])) == {
        "BTCUSDT": 15.3,
        "X": 15.3,
    }
    assert _rest.parse_time_ns(b'{"serverTime":1700000000125}') == (
        1700000000125 * NS_PER_MS
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [(-1121, "market"), (-1003, "limit"), (-1008, "unavailable"), (-1100, "other")],
)
def test_an_error(code, reason):
    told = body({"code": code, "msg": "No\nway."})
    assert _rest.parse_error(told) == Failure(reason, f"code {code}: No way.")
    assert _rest.error_words(told) == f"code {code}: No way."


def test_a_web_page_is_no_error_of_theirs():
    assert _rest.error_words(b"<html>502</html>") == ""
    with pytest.raises(BadPayload):
        _rest.parse_error(b"<html>502</html>")


def sample(name):
    return (data_dir() / "protocol" / "nautilus_binance" / name).read_bytes()


def test_the_documents_klines():
    told = sample("http_responses/http_spot_market_klines.json")
    bars = _rest.parse_klines(told)
    for bar, row in zip(bars.tolist(), json.loads(told), strict=True):
        assert bar == (row[0] // 1000, *map(float, row[1:6]), row[8])
    (bar,) = _rest.parse_klines(sample("spot/http_json/klines_response.json"))
    assert bar.item() == (
        1499040000, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815, 308
    )  # fmt: skip
    assert np.all(np.diff(bars["time"]) == 60)


def test_the_documents_aggregates():
    told = sample("http_responses/http_spot_market_agg_trades.json")
    (part,) = _rest.parse_agg_trades(told, "BTCUSDT")
    rows = json.loads(told)
    assert (part.first, part.last) == (rows[0]["a"], rows[-1]["a"])
    assert part.ticks == [
        Tick(
            "trade",
            float(row["p"]),
            float(row["q"]),
            row["T"] * NS_PER_MS,
            row["l"],
            -1 if row["m"] else 1,
            row["l"] - row["f"] + 1,
        )
        for row in rows
    ]


def test_the_documents_frames():
    (part,) = decode_message(sample("ws_messages/ws_spot_agg_trade.json"))
    tick = Tick("trade", 1632.46, 0.34305, 1675759520847 * NS_PER_MS, 228423, 1)
    assert part == Part("ETHUSDT", [tick], 226532, 226532)
    (part,) = decode_message(sample("ws_messages/ws_spot_trade.json"))
    tick = Tick("trade", 4149.74, 0.4387, 1639351062243 * NS_PER_MS, 705291099, -1)
    assert part == Part("ETHUSDT", [tick], 705291099, 705291099)
    (part,) = decode_message(sample("ws_messages/ws_spot_ticker_book.json"))
    time_ns = 1646199228121 * NS_PER_MS
    sides = [
        Tick("bid", 4507.24, 2.3595, time_ns),
        Tick("ask", 4507.25, 2.8457, time_ns),
    ]
    assert part == Part("ETHUSDT", sides)


def test_the_documents_other_bodies():
    (part,) = _rest.parse_book_tickers(
        sample("http_responses/http_spot_market_book_ticker.json")
    )
    sides = [Tick("bid", 60741.67, 0.3658), Tick("ask", 60741.68, 0.45178)]
    assert part == Part("BTCUSDT", sides)
    (part,) = _rest.parse_book_tickers(
        sample("spot/http_json/book_ticker_response.json")
    )
    assert part.ticks == [Tick("bid", 4.0, 431.0), Tick("ask", 4.000002, 9.0)]
    day = sample("spot/http_json/ticker_24hr_response.json")
    assert _rest.parse_volumes(day) == {"BNBBTC": 15.3}
    assert _rest.parse_time_ns(sample("spot/http_json/server_time_response.json")) == (
        1499827319559 * NS_PER_MS
    )
    info = sample("http_responses/http_spot_market_exchange_info.json")
    markets, left_out = parse_exchange_info(info, "spot")
    assert left_out == 0
    assert [
        (one.mkt.fqme, one.mkt.bs_mktid, one.mkt.price_tick, one.mkt.size_tick)
        for one in markets
    ] == [
        ("btcusdt.spot.binance", "BTCUSDT", Decimal("0.01"), Decimal("0.00001")),
        ("ethusdt.spot.binance", "ETHUSDT", Decimal("0.01"), Decimal("0.0001")),
    ]


def recorded():
    return data_dir() / "protocol" / "cryptofeed_sample_data"


def test_all_markets_of_a_recorded_exchange_info():
    with gzip.open(recorded() / "BINANCE.0.gz") as lines:
        told = next(lines).partition(b": ")[2]
    markets, left_out = parse_exchange_info(told, "spot")
    want = {one["symbol"]: one for one in json.loads(told)["symbols"]}
    assert (len(markets), left_out) == (1695, 0)
    for one in markets:
        mkt, row = one.mkt, want.pop(one.mkt.bs_mktid)
        steps = {rule["filterType"]: rule for rule in row["filters"]}
        assert mkt.fqme == f"{row['symbol'].lower()}.spot.binance"
        assert mkt.dst.name == row["baseAsset"].lower()
        assert mkt.src is not None
        assert mkt.src.name == row["quoteAsset"].lower()
        assert mkt.price_tick == Decimal(steps["PRICE_FILTER"]["tickSize"])
        assert mkt.size_tick == Decimal(steps["LOT_SIZE"]["stepSize"])
        assert mkt.size_min == Decimal(steps["LOT_SIZE"]["minQty"])
        assert mkt.size_max == Decimal(steps["LOT_SIZE"]["maxQty"])
        assert mkt.cost_min == Decimal(steps["MIN_NOTIONAL"]["minNotional"])
        assert one.trading == (row["status"] == "TRADING")
    assert not want


def test_every_frame_of_a_recorded_session_agrees_with_a_plain_reading():
    seen = {"aggTrade": 0, "bookTicker": 0}
    with gzip.open(recorded() / "BINANCE.ws.1.0.gz") as lines:
        for line in lines:
            stamp, _, payload = line.rstrip().partition(b": ")
            if not stamp[:1].isdigit():
                continue  # what the client sent
            frame = json.loads(payload)
            kind, data = frame["stream"].split("@")[1], frame["data"]
            got = decode_message(payload)
            if kind not in seen:
                assert got.text == frame["stream"]
                continue
            seen[kind] += 1
            (part,) = got
            assert part.symbol == data["s"]
            if kind == "aggTrade":
                side, count = -1 if data["m"] else 1, data["l"] - data["f"] + 1
                price, size = float(data["p"]), float(data["q"])
                time_ns = data["T"] * NS_PER_MS
                tick = Tick("trade", price, size, time_ns, data["l"], side, count)
                assert part == Part(data["s"], [tick], data["a"], data["a"])
            else:
                bid = Tick("bid", float(data["b"]), float(data["B"]))
                ask = Tick("ask", float(data["a"]), float(data["A"]))
                assert part == Part(data["s"], [bid, ask])
    assert seen == {"aggTrade": 2, "bookTicker": 84}
