"""Kraken's REST bodies become what they say, or are refused."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from piker.brokers._parts import Part
from piker.brokers._payload import Failure
from piker.brokers.kraken import _rest
from piker.brokers.kraken._decode import decode_message
from piker.brokers.kraken._listing import parse_asset_pairs
from piker.brokers.kraken._names import from_websocket, to_websocket
from piker.errors import BadPayload
from piker.msgs import Tick
from tests._data import data_dir

PAIR = {
    "altname": "XBTUSDT", "wsname": "XBT/USDT", "base": "XXBT", "quote": "USDT",
    "pair_decimals": 1, "lot_decimals": 8, "tick_size": "0.5", "status": "online",
}  # fmt: skip


def body(result, *errors):
    return json.dumps({"error": errors, "result": result}).encode()


def pairs(**by_name):
    return parse_asset_pairs(body(by_name))


def test_a_market_and_its_names():
    (one,), left_out = pairs(XBTUSDT=PAIR)
    mkt = one.mkt
    assert (mkt.fqme, mkt.bs_mktid) == ("xbtusdt.spot.kraken", "BTC/USDT")
    assert (one.rest_name, one.aliases) == ("XBTUSDT", ("btcusdt.spot.kraken",))
    assert (mkt.price_tick, mkt.size_tick) == (Decimal("0.5"), Decimal("1e-8"))
    assert (mkt.dst.name, mkt.atype, left_out) == ("xbt", "crypto", 0)
    assert mkt.src is not None
    assert (mkt.src.name, mkt.src.atype) == ("usdt", "crypto")
    assert (one.trading, one.description) == (True, "XBT/USDT spot")


def test_names_that_need_no_other_and_steps_that_are_told_as_decimals():
    told = {**PAIR, "wsname": "ETH/EUR", "status": "cancel_only", "pair_decimals": 2}
    del told["tick_size"]
    (one,), _ = pairs(XETHZEUR=told)
    assert (one.mkt.fqme, one.mkt.bs_mktid) == ("etheur.spot.kraken", "ETH/EUR")
    assert (one.aliases, one.rest_name) == ((), "XETHZEUR")
    assert one.mkt.src is not None
    assert (one.mkt.price_tick, one.mkt.src.atype) == (Decimal("0.01"), "fiat")
    assert (one.trading, one.description) == (False, "ETH/EUR spot, cancel_only")


@pytest.mark.parametrize(
    ("wsname", "symbol"),
    [("XBT/USD", "BTC/USD"), ("ETH/XBT", "ETH/BTC"), ("XDG/XBT", "DOGE/BTC"),
     ("ADA/USD", "ADA/USD")],
)  # fmt: skip
def test_names_lead_to_the_websockets_and_back(wsname, symbol):
    assert to_websocket(wsname) == symbol
    assert from_websocket(symbol) == wsname


@pytest.mark.parametrize(
    "changes",
    [{"wsname": ""}, {"wsname": "XBTUSD"}, {"wsname": "A/B/C"},
     {"wsname": "\u00e9/USD"}, {"tick_size": "-1"}, {"tick_size": "NaN"}],
)  # fmt: skip
def test_a_market_without_a_name_or_a_step_is_left_out(changes):
    markets, left_out = pairs(A=PAIR, B={**PAIR, **changes}, C=PAIR)
    assert [one.rest_name for one in markets] == ["A"]
    assert left_out == 2, "two of one name are one"


TRADE = ["36500.10000", "0.25000000", 1700000000.1234567, "b", "m", "", 4211]


def trades(*rows, last="1700000000123456789"):
    return body({"XBTUSDT": rows, "last": last})


def trade(tid, **changes):
    told = dict(zip(("price", "size", "time", "side"), TRADE, strict=False))
    told.update(changes)
    return [*told.values(), "m", "", tid]


def tick(tid):
    return Tick("trade", 36500.1, 0.25, 1_700_000_000_123_456_000, tid, 1)


def test_trades_are_cut_where_one_is_missing():
    page = _rest.parse_trades(trades(*map(trade, (5, 6, 8))), "BTC/USDT")
    assert page.last_ns == 1700000000123456789
    assert page.parts == [
        Part("BTC/USDT", [tick(5), tick(6)], 5, 6),
        Part("BTC/USDT", [tick(8)], 8, 8),
    ]
    assert _rest.parse_trades(trades(), "BTC/USDT").parts == []


@pytest.mark.parametrize(
    "told",
    [
        trades(trade(1, price="0")), trades(trade(1, size="x")), trades(TRADE[:6]),
        trades(trade(1, side="x")), trades(trade(-1)), trades(trade(1, time=-1)),
        trades(trade(1, time=1e300)), trades(trade(1, time=None)), trades(last="soon"),
        body({"XBTUSDT": []}), body({"A": [], "B": [], "last": "1"}), body([]),
        body(None), b"{}", b"<html>", b"[" * 50_000,
        trades(trade(1)).replace(b"1700000000.1234567", b"1e99999999999999999999"),
        trades(trade(1)).replace(b"1700000000.1234567", b'"NaN"'),
    ],
)  # fmt: skip
def test_what_are_no_trades_is_refused(told):
    with pytest.raises(BadPayload, match="^not what kraken documents: "):
        _rest.parse_trades(told, "BTC/USDT")


micros = st.integers(0, 9_000_000_000_000_000)
prices = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-5))
sizes = st.integers(1, 10**15).map(lambda n: Decimal(n).scaleb(-8))


@given(prices, sizes, micros, st.integers(0, 999), st.booleans(), st.integers(0, 2**62))
def test_rest_and_websocket_give_the_same_tick(price, size, micro, rest, buys, tid):
    second, part = divmod(micro, 1_000_000)
    stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    stamp = f"{int(stamp[: stamp.index('-')]):04}{stamp[stamp.index('-') :]}"
    frame = (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USDT","side":'
        f'"{"buy" if buys else "sell"}","price":{price},"qty":{size:f},"ord_type":'
        f'"limit","trade_id":{tid},"timestamp":"{stamp}.{part:06}Z"}}]}}'
    )
    row = (
        f'["{price}","{size:f}",{second}.{part:06}{rest:03},'
        f'"{"b" if buys else "s"}","l","",{tid}]'
    )
    told = f'{{"error":[],"result":{{"XBTUSDT":[{row}],"last":"1"}}}}'
    page = _rest.parse_trades(told.encode(), "BTC/USDT")
    assert page.parts == decode_message(frame.encode())


def test_bars():
    row = [
        1699999980, "36480.0", "36501.0", "36479.5", "36500.1", "36490.2", "12.3", 115
    ]  # fmt: skip
    quiet = [1700000040, "1.5", "1.5", "1.5", "1.5", "0.0", "0.0", 0]
    told = body({"XBTUSDT": [row, quiet], "last": 1699999980})
    assert _rest.parse_ohlc(told).tolist() == [
        (1699999980, 36480.0, 36501.0, 36479.5, 36500.1, 12.3, 115),
        (1700000040, 1.5, 1.5, 1.5, 1.5, 0.0, 0),
    ]
    mixed = body({"XBTUSDT": [quiet, row, quiet], "last": 1699999980})
    assert _rest.parse_ohlc(mixed).tolist() == _rest.parse_ohlc(told).tolist()
    with pytest.raises(BadPayload, match="two bars of one time differ"):
        _rest.parse_ohlc(body({"XBTUSDT": [row, [*row[:7], 9]], "last": 0}))
    with pytest.raises(BadPayload):
        _rest.parse_ohlc(body({"XBTUSDT": [row[:7]], "last": 0}))


@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        ([], None),
        (["WGeneral:Deprecated"], None),
        (["EQuery:Unknown asset pair"], "market"),
        (["EGeneral:Too many requests"], "limit"),
        (["EAPI:Rate limit exceeded"], "limit"),
        (["EService:Unavailable"], "unavailable"),
        (["EService:Busy"], "unavailable"),
        (["EGeneral:Invalid arguments:ohlc"], "other"),
        (["EQuery:Odd", "EService:Unavailable:later"], "unavailable"),
    ],
)
def test_errors(errors, failure):
    told = body({"unixtime": 1700000000}, *errors)
    text = ", ".join(errors)
    assert _rest.parse_error(told) == (failure and Failure(failure, text))
    if failure is None:
        assert _rest.parse_time_ns(told) == 1_700_000_000 * 10**9
    else:
        with pytest.raises(BadPayload, match=f"kraken refused a request: {text}"):
            _rest.parse_time_ns(told)


def sample(name):
    return (data_dir() / "protocol" / "nautilus_kraken" / name).read_bytes()


def test_the_documents_bodies():
    assert _rest.parse_tickers(sample("http_ticker.json")) == {
        "XBTUSDT": _rest.Quote24h(
            bid=105944.2,
            bid_size=1.0,
            ask=105944.3,
            ask_size=1.0,
            last=105899.4,
            quote_volume=163.28908096 * 105904.39279,
        )
    }
    assert _rest.parse_time_ns(sample("http_server_time.json")) == 1762820224 * 10**9
    (one,), left_out = parse_asset_pairs(sample("http_asset_pairs.json"))
    assert (one.mkt.fqme, one.rest_name, left_out) == (
        "xbtusdt.spot.kraken",
        "XBTUSDT",
        0,
    )
    assert (one.mkt.price_tick, one.mkt.size_tick) == (Decimal("0.1"), Decimal("1e-8"))
    (one,), _ = parse_asset_pairs(sample("http_asset_pairs_tokenized.json"))
    assert (one.mkt.fqme, one.mkt.bs_mktid) == ("aaplxusd.spot.kraken", "AAPLx/USD")


def recorded(name):
    return gzip.open(data_dir() / "protocol" / "cryptofeed_sample_data" / name)


def test_all_markets_of_recorded_asset_pairs():
    with recorded("KRAKEN.0.gz") as lines:
        told = next(lines).partition(b": ")[2]
    markets, left_out = parse_asset_pairs(told)
    rows = {
        name: row
        for name, row in json.loads(told)["result"].items()
        if "." not in row.get("wsname", ".")  # dark pools, and staked ETH2.S
    }
    names = set()
    for one in markets:
        mkt, row = one.mkt, rows[one.rest_name]
        names.add(row["wsname"])
        assert mkt.fqme == f"{row['wsname'].replace('/', '').lower()}.spot.kraken"
        assert mkt.price_tick == Decimal(1).scaleb(-row["pair_decimals"])
        assert mkt.size_tick == Decimal(1).scaleb(-row["lot_decimals"])
        common = row["wsname"].replace("XBT", "BTC").replace("XDG", "DOGE")
        if mkt.dst.name != "tbtc":
            assert mkt.bs_mktid == common
    assert names == {row["wsname"] for row in rows.values()}
    assert len(markets) + left_out == 304
    assert left_out == 304 - len(names)


def test_recorded_trades_give_the_same_ticks_from_frame_and_body():
    seen = 0
    with recorded("KRAKEN.ws.48.0.gz") as lines:
        for line in lines:
            told = line.partition(b": ")[2]
            if not told.startswith(b"[") or b'"trade"' not in told:
                continue
            _, rows, _, wsname = json.loads(told)
            symbol = to_websocket(wsname)
            data, body_rows = [], []
            for tid, row in enumerate(rows, seen):
                price, size, time_s, side, kind, misc = row
                second, _, part = time_s.partition(".")
                at = datetime.fromtimestamp(int(second), UTC).strftime("%FT%T")
                data.append(
                    f'{{"symbol":"{symbol}","side":"{"buy" if side == "b" else "sell"}"'
                    f',"price":{price},"qty":{size},"ord_type":"limit","trade_id":{tid}'
                    f',"timestamp":"{at}.{part}Z"}}'
                )
                body_rows.append(
                    f'["{price}","{size}",{time_s}1,"{side}","{kind}","{misc}",{tid}]'
                )
            frame = f'{{"channel":"trade","type":"update","data":[{",".join(data)}]}}'
            rest = f'{{"error":[],"result":{{"X":[{",".join(body_rows)}],"last":"1"}}}}'
            (part,) = decode_message(frame.encode())
            assert _rest.parse_trades(rest.encode(), symbol).parts == [part]
            for tick, row in zip(part.ticks, rows, strict=True):
                micros = Decimal(row[2]) * 10**6
                assert (tick.price, tick.size) == (float(row[0]), float(row[1]))
                assert tick.time_ns == int(micros) * 1000
            seen += len(rows)
    assert seen == 10
