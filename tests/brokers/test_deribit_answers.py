"""What Deribit answers becomes bars, trades, markets; anything else is refused."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from math import nan

import numpy as np
import pytest

from piker.brokers import get_brokermod
from piker.brokers._symbol_table import SymbolTable
from piker.brokers.deribit._answers import (
    parse_chart,
    parse_error,
    parse_quote,
    parse_time_ns,
    parse_trades,
)
from piker.brokers.deribit._decode import decode_message
from piker.brokers.deribit._listing import parse_instruments
from piker.brokers.deribit._names import alias_of, symbols_of
from piker.brokers.deribit._sniff import Evidence, make_mkt
from piker.errors import BadPayload
from piker.msgs import Fqme
from tests._data import data_dir
from tests.brokers.test_deribit_decode import TRADE, sample, trade, trades

INSTRUMENT = {
    "price_index": "btc_usd", "kind": "future", "instrument_name": "BTC-PERPETUAL",
    "maker_commission": 0.0, "taker_commission": 0.0005, "instrument_type": "reversed",
    "expiration_timestamp": 32503708800000, "is_active": True, "tick_size": 0.5,
    "contract_size": 10.0, "min_trade_amount": 10.0, "settlement_currency": "BTC",
    "settlement_period": "perpetual", "base_currency": "BTC", "counter_currency": "USD",
    "quote_currency": "USD", "tick_size_steps": [],
}  # fmt: skip
OPTION = {
    **INSTRUMENT, "kind": "option", "instrument_name": "BTC-25DEC26-50000-C",
    "option_type": "call", "strike": 50000.0, "expiration_timestamp": 1798185600000,
    "tick_size": 0.0001, "contract_size": 1.0, "min_trade_amount": 0.1,
    "quote_currency": "BTC", "settlement_period": "month",
    "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}],
}  # fmt: skip
CHART = {
    "status": "ok", "ticks": [1700000040000, 1700000100000], "open": [1.0, 2.0],
    "high": [3.0, 2.0], "low": [1.0, 2.0], "close": [2.0, 2.0], "volume": [0.5, 0],
    "cost": [20.0, 0],
}  # fmt: skip


def body(result):
    return json.dumps({"jsonrpc": "2.0", "id": 7, "result": result}).encode()


def listed(*told):
    return parse_instruments(body(list(told)))


# -- markets ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fqme"),
    [
        ({}, "btcusd.perp.deribit"),
        (
            {"instrument_name": "BTC-25DEC26", "expiration_timestamp": 1798185600000},
            "btcusd.20261225.deribit",
        ),
        (
            {
                "instrument_name": "BTC_USDC-PERPETUAL",
                "quote_currency": "USDC",
                "settlement_currency": "USDC",
            },
            "btcusdc.perp.deribit",
        ),
        (
            {"kind": "spot", "instrument_name": "ETH_USDC", "base_currency": "ETH",
             "quote_currency": "USDC", "settlement_currency": ""},
            "ethusdc.spot.deribit",
        ),
    ],
)  # fmt: skip
def test_what_a_market_is_called(changes, fqme):
    ((one,), left_out) = listed({**INSTRUMENT, **changes})
    assert one.mkt.fqme == str(Fqme.parse(fqme)) == fqme
    assert not left_out
    alias = alias_of(one.mkt.bs_mktid)
    assert one.aliases == (alias,)
    assert str(Fqme.parse(alias)) == alias


def test_options():
    ((one,), _) = listed(OPTION)
    assert one.mkt.fqme == "btc.20261225.50000c.deribit"
    assert one.mkt.name.strike_price == 50000
    linear = {
        "instrument_name": "XRP_USDC-25DEC26-0d625-P", "option_type": "put",
        "strike": 0.625, "base_currency": "XRP", "quote_currency": "USDC",
        "settlement_currency": "USDC",
    }  # fmt: skip
    ((one,), _) = listed({**OPTION, **linear})
    assert one.mkt.fqme == "xrpusdc.20261225.0_625p.deribit"
    assert one.mkt.paid_in == "usdc"


def test_sizes_of_inverse_markets_are_usd_and_profits_are_coins():
    ((inverse, option, linear), _) = listed(
        INSTRUMENT,
        OPTION,
        {
            **INSTRUMENT,
            "instrument_name": "BTC_USDC-PERPETUAL",
            "quote_currency": "USDC",
            "settlement_currency": "USDC",
            "contract_size": 0.001,
            "min_trade_amount": 0.001,
        },
    )
    assert inverse.mkt.is_inverse
    assert (inverse.mkt.size_tick, inverse.mkt.size_min) == (10, 10)
    assert inverse.mkt.paid_in == option.mkt.paid_in == "btc"
    assert not option.mkt.is_inverse
    assert not linear.mkt.is_inverse
    assert linear.mkt.paid_in == "usdc"
    assert linear.mkt.size_tick == Decimal("0.001")
    assert {one.mkt.multiplier for one in (inverse, option, linear)} == {1}


def test_steps_of_prices_are_coarser_from_a_price_on():
    ((one,), _) = listed(OPTION)
    assert one.mkt.price_tick == Decimal("0.0001")
    assert one.mkt.step_at(Decimal("0.0049")) == Decimal("0.0001")
    assert one.mkt.step_at(Decimal("0.0055")) == Decimal("0.0005")
    assert one.mkt.size_tick == Decimal("0.1")
    steps = [{"above_price": 1, "tick_size": 0.0003}]
    assert listed({**OPTION, "tick_size_steps": steps, "tick_size": 0.0002}) == ([], 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "future_combo"}, {"kind": "option_combo"}, {"tick_size": 0},
        {"tick_size": -1}, {"tick_size": 1e300}, {"contract_size": 0},
        {"min_trade_amount": "x"}, {"expiration_timestamp": -5, "instrument_name": "X"},
        {"base_currency": "É"},
    ],
)  # fmt: skip
def test_what_is_no_market_is_left_out(changes):
    told, left_out = listed({**INSTRUMENT, **changes}, OPTION)
    assert [one.mkt.atype for one in told] == ["option"]
    assert left_out == 1


def test_a_market_that_is_closed_is_listed_and_does_not_trade():
    ((one,), _) = listed({**INSTRUMENT, "is_active": False})
    assert not one.trading
    ((one,), _) = listed({**INSTRUMENT, "state": "closed"})
    assert not one.trading


def recorded_lists():
    path = data_dir() / "protocol" / "cryptofeed_sample_data" / "DERIBIT.0.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("https://"):
                yield line.partition(": ")[2].encode()


def test_every_instrument_of_real_lists_has_a_name_that_leads_back():
    found = {}
    for one in recorded_lists():
        told, left_out = parse_instruments(one)
        assert not left_out
        found |= {each.mkt.fqme: each for each in told}
    assert len(found) > 1000
    for fqme, one in found.items():
        assert str(Fqme.parse(fqme)) == fqme
        if one.mkt.expiry != "perp":
            assert one.mkt.bs_mktid in symbols_of(one.mkt.name)
        guessed = make_mkt(one.mkt.bs_mktid, one.mkt.price_tick, one.mkt.size_tick)
        assert guessed.fqme == fqme, "a name is told by the instrument's alone"
        assert (guessed.settle, guessed.atype) == (one.mkt.settle, one.mkt.atype)


def test_chains_are_found_by_words_as_one_types_them():
    found = [one for body in recorded_lists() for one in parse_instruments(body)[0]]
    index = SymbolTable(found, 0.0).make_index()

    def search(words):
        return [match.fqme for match in index.search(words, 4)]

    assert search("btc 20210924 8000p")[0] == "btc.20210924.8000p.deribit"
    assert search("BTC-24SEP21-8000-P")[0] == "btc.20210924.8000p.deribit"
    assert {fqme.split(".")[0] for fqme in search("eth put")} == {"eth"}
    assert all("p.deribit" in fqme for fqme in search("eth put"))
    assert search("solusdc")[0] == "solusdc.perp.deribit"


def test_the_documents_instruments():
    told, left_out = parse_instruments(sample("http_get_instruments.json"))
    assert [one.mkt.fqme for one in told] == [
        "btcusd.perp.deribit",
        "btcusd.20241227.deribit",
        "btc.20241227.100000c.deribit",
    ]
    assert left_out == 1  # a combo
    for name in ("option_combo", "future_combo"):
        assert not parse_instruments(sample(f"http_get_instruments_{name}.json"))[0]


# -- trades and bars -------------------------------------------------------------------


def test_past_trades_are_the_ticks_of_the_stream():
    told = [trade(5), trade(6), trade(8)]
    page = parse_trades(body({"trades": told, "has_more": True}), "BTC-PERPETUAL")
    assert page.has_more
    assert page.parts == decode_message(trades(*told))
    none = parse_trades(body({"trades": [], "has_more": False}), "BTC-PERPETUAL")
    assert none == ([], False)


def test_trades_of_another_market_are_refused():
    with pytest.raises(BadPayload, match="others than 'ETH-PERPETUAL'"):
        parse_trades(body({"trades": [TRADE]}), "ETH-PERPETUAL")


def test_the_documents_trades_have_no_hole():
    page = parse_trades(sample("http_get_last_trades.json"), "ETH-PERPETUAL")
    (part,) = page.parts
    assert part.first == 203024587
    assert part.last - part.first + 1 == len(part.ticks)
    tagged = sample("http_get_last_trades_perpetual_with_combo_tags.json")
    (part,) = parse_trades(tagged, "BTC-PERPETUAL").parts
    assert part.first == 133407041


def test_bars():
    bars = parse_chart(body(CHART))
    assert bars["time"].tolist() == [1700000040, 1700000100]
    assert bars["high"].tolist() == [3.0, 2.0]
    assert bars["volume"].tolist() == [0.5, 0]
    assert bars["count"].tolist() == [1, 0]
    assert parse_chart(body(CHART), 10.0)["volume"].tolist() == [20.0, 0]
    none = {"status": "no_data", "ticks": [], "volume": []}
    assert not len(parse_chart(body(none)))


def test_sizes_of_an_inverse_markets_bars_are_those_of_its_trades():
    bars = parse_chart(sample("http_get_tradingview_chart_data.json"), 10.0)
    assert bars["volume"].tolist() == [257490.0, 250000.0, 20200.0, 8370.0, 8910.0]
    assert not np.any(bars["volume"] % 10), "whole contracts of 10 USD"
    assert np.all(np.diff(bars["time"]) == 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "error"}, {"open": [1.0]}, {"close": [1.0, "x"]}, {"cost": [1.0]},
        {"ticks": [1700000040000, 1700000040000]}, {"ticks": [1700000040001, 5]},
        {"high": [-1.0, 2.0]}, {"volume": [1e300, 0]}, {"ticks": None},
    ],
)  # fmt: skip
def test_bars_that_cannot_be_are_refused(changes):
    with pytest.raises(BadPayload):
        parse_chart(body({**CHART, **changes}), 10.0 * ("cost" in changes))


def test_other_answers():
    quote = parse_quote(sample_result("ws_ticker.json"), "BTC-PERPETUAL")
    assert quote.last_price == 92283.5
    with pytest.raises(BadPayload):
        parse_quote(sample_result("ws_ticker.json"), "ETH-PERPETUAL")
    assert parse_time_ns(sample("http_get_time.json")) == 1733338800000 * 10**6
    assert parse_error(sample("http_get_time.json")) is None
    failure = parse_error(sample("ws_error.json"))
    assert (failure.reason, failure.text) == ("limit", "too_many_requests: error 10028")
    with pytest.raises(BadPayload, match="without a result"):
        parse_time_ns(sample("ws_error.json"))


def sample_result(name):
    return body(json.loads(sample(name))["params"]["data"])


# -- real messages ---------------------------------------------------------------------


def recorded_frames():
    path = data_dir() / "protocol" / "cryptofeed_sample_data" / "DERIBIT.ws.1.0.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            stamp, _, payload = line.partition(": ")
            if stamp.replace(".", "").isdigit():
                yield payload.encode()


def test_real_tickers_give_the_quotes_that_the_books_say():
    """The books beside them tell the same best prices, computed independently."""
    books: dict[str, dict[str, dict[float, float]]] = {}
    quotes: dict[tuple[str, int], list] = {}
    compared = 0
    for payload in recorded_frames():
        told = json.loads(payload).get("params")
        if told is None:
            continue
        kind, symbol, _ = told["channel"].split(".")
        at = symbol, told["data"]["timestamp"]
        if kind == "ticker":
            (part,) = decode_message(payload)
            assert part.symbol == symbol
            quotes[at] = [(tick.price, tick.size) for tick in part.ticks]
        else:
            apply_book(books, told["data"])
            if at in quotes:
                assert repr(quotes[at]) == repr(best_of(books[symbol])), at
                compared += 1
    assert compared > 30


def apply_book(books, data):
    book = books.setdefault(data["instrument_name"], {"bids": {}, "asks": {}})
    for side in ("bids", "asks"):
        for what, price, amount in data[side]:
            if what == "delete":
                del book[side][price]
            else:
                book[side][price] = amount


def best_of(book):
    bid, ask = max(book["bids"], default=nan), min(book["asks"], default=nan)
    return [(bid, book["bids"].get(bid, 0.0)), (ask, book["asks"].get(ask, 0.0))]


def test_a_recording_gives_its_markets_away():
    evidence = Evidence()
    for payload in recorded_frames():
        evidence.add(payload)
    assert set(evidence.votes) == {"deribit"}
    mkts = evidence.mkts("deribit")
    assert len(mkts) == 10
    mkt = mkts["BTC-24SEP21-8000-P"]
    assert symbols_of(mkt.name) == ["BTC-24SEP21-8000-P"]
    assert mkt.fqme == "btc.20210924.8000p.deribit"
    assert mkt.price_tick == Decimal("0.0001"), "as fine as it shows"
    assert mkt.size_tick == Decimal("0.1")


# -- fees ------------------------------------------------------------------------------


def test_fees_are_what_instruments_list():
    get_cost = get_brokermod("deribit").get_cost
    ((perp, option, spot, linear), _) = listed(
        INSTRUMENT,
        OPTION,
        {
            **INSTRUMENT, "kind": "spot", "instrument_name": "BTC_USDC",
            "quote_currency": "USDC",
        },
        {
            **INSTRUMENT, "instrument_name": "BTC_USDC-PERPETUAL",
            "quote_currency": "USDC", "settlement_currency": "USDC",
        },
    )  # fmt: skip
    price, usd = Decimal(50_000), Decimal(1000)
    assert get_cost(perp.mkt, price, usd, True) == Decimal("0.00001"), "BTC"
    assert get_cost(perp.mkt, price, usd, False) == 0
    assert get_cost(linear.mkt, price, Decimal("0.02"), True) == Decimal("0.5"), "USDC"
    assert get_cost(spot.mkt, price, Decimal(1), True) == 0
    half = Decimal("0.5")
    assert get_cost(option.mkt, Decimal("0.05"), half, True) == Decimal("0.00015")
    assert get_cost(option.mkt, Decimal("0.001"), half, True) == Decimal("0.0000625")
