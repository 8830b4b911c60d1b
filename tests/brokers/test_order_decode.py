"""Binance's orders, trades and events: samples of its documents, and what is none."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from piker.accounting import Transaction
from piker.brokers._live._venue import (
    FilledMeanwhile,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Unsure,
    VenueTrade,
)
from piker.brokers.binance import norm_trade
from piker.brokers.binance._order_decode import (
    error_of,
    parse_answer,
    parse_balances,
    parse_events,
    parse_order,
    parse_orders,
    parse_permissions,
    parse_replacement,
    parse_trades,
    replacement_of,
)
from piker.brokers.binance._order_schemas import ApiError
from piker.errors import BadPayload
from piker.msgs import Asset, MktPair
from tests._data import data_dir
from tests.brokers._damage import count_refused

D = Decimal
MS = 1_000_000


def sample(*names: str) -> bytes:
    return (
        data_dir().joinpath("protocol", "nautilus_binance", "spot", *names).read_bytes()
    )


def events(name: str) -> list:
    return list(parse_events(sample("user_data_json", name)))


# -- samples --------------------------------------------------------------------------


def test_an_order_that_is_open():
    (order,) = parse_orders(sample("http_json", "open_orders_response.json"))
    assert order == OrderState(
        cl_id="myOrder1", reqid="1", bs_mktid="LTCBTC", side="buy", price=D("0.1"),
        size=D(1), filled=D(0), state="open", time_ns=1499827319559 * MS,
    )  # fmt: skip


def test_an_order_that_was_placed_and_one_that_was_canceled():
    placed = parse_order(sample("http_json", "new_order_full_response.json"))
    assert (placed.state, placed.side, placed.filled) == ("closed", "sell", D(10))
    assert placed.time_ns == 1507725176595 * MS
    gone = parse_order(sample("http_json", "cancel_order_response.json"))
    assert (gone.cl_id, gone.state, gone.size) == ("myOrder1", "canceled", D(1))


def test_trades_of_an_account():
    (trade,) = parse_trades(sample("http_json", "account_trades_response.json"))
    assert trade == VenueTrade(
        tid="BNBBTC-28457", reqid="100234", bs_mktid="BNBBTC", side="buy",
        price=D("4.000001"), size=D(12), fee=D("10.1"), fee_asset="bnb",
        time_ns=1499865549590 * MS, taker=True,
    )  # fmt: skip


BNBBTC = MktPair(
    dst=Asset(name="bnb", atype="crypto", tx_tick=D("0.01")),
    src=Asset(name="btc", atype="crypto"), price_tick=D("0.00000001"),
    size_tick=D("0.01"), bs_mktid="BNBBTC", broker="binance", venue="spot",
    atype="crypto",
)  # fmt: skip


def test_a_record_of_a_trade_is_a_row_of_the_ledger():
    raw = sample("http_json", "account_trades_response.json")
    (record,) = msgspec.json.decode(raw)
    row = norm_trade("28457", record, BNBBTC)
    assert row == Transaction(
        tid="BNBBTC-28457", fqme="bnbbtc.spot.binance", size=D(12),
        price=D("4.000001"), time_ns=1499865549590 * MS, bs_mktid="BNBBTC",
        cost=D("10.1") * D("4.000001"), fee=D("10.1"), fee_asset="bnb",
        reqid="100234", taker=True,
    )  # fmt: skip
    other = norm_trade("", {**record, "commissionAsset": "DOGE"}, BNBBTC)
    assert (other.cost, other.fee, other.fee_asset) == (0, D("10.1"), "doge")
    quoted = norm_trade("", {**record, "commissionAsset": "BTC"}, BNBBTC)
    assert (quoted.cost, quoted.fee, quoted.fee_asset) == (D("10.1"), 0, "")
    assert norm_trade("", {**record, "isBuyer": False}, BNBBTC).size == -12
    for wrong in ({"symbol": "BTCUSDT"}, {"qty": "0"}, {"price": "x"}, {"id": -1}):
        with pytest.raises(BadPayload):
            norm_trade("", {**record, **wrong}, BNBBTC)


def test_what_an_account_has():
    held = parse_balances(sample("http_json", "account_response.json"))
    assert held == {"btc": D("4723846.89208129"), "ltc": D("4763368.68006011")}


@pytest.mark.parametrize(
    ("name", "state", "filled"),
    [
        ("new", "open", 0), ("canceled", "canceled", 0), ("expired", "canceled", 0),
        ("stop_loss", "open", 0), ("trade", "closed", 1),
    ],
)  # fmt: skip
def test_what_happens_to_an_order(name, state, filled):
    *trades, order = events(f"execution_report_{name}.json")
    assert (order.state, order.filled) == (state, filled)
    assert order.bs_mktid.endswith(("USDT", "BTC"))
    assert order.cl_id
    assert int(order.reqid) > 0
    assert order.trigger == (2450 if name == "stop_loss" else 0)
    assert len(trades) == (name == "trade")


def test_a_trade_of_an_order():
    trade, order = events("execution_report_trade.json")
    assert trade == VenueTrade(
        tid="ETHUSDT-98765432", reqid="12345678", cl_id="x-TD67BGP9-T0000000000000",
        bs_mktid="ETHUSDT", side="buy", price=D(2500), size=D(1), fee=D("0.001"),
        fee_asset="eth", time_ns=1709654401000 * MS, taker=False,
    )  # fmt: skip
    assert (order.cl_id, order.reqid) == (trade.cl_id, trade.reqid)


@pytest.mark.parametrize("name", ["account_position", "balance_update"])
def test_what_is_no_order_tells_nothing(name):
    assert events(f"{name}.json") == []


@pytest.mark.parametrize("name", ["execution_report", "account_position"])
def test_events_come_wrapped(name):
    answer = parse_answer(sample("user_data_json", f"{name}_wrapped.json"))
    assert answer.event is not msgspec.UNSET
    assert len(list(parse_events(bytes(answer.event)))) == (name == "execution_report")


def test_what_a_key_is_for():
    told = parse_permissions(
        b'{"ipRestrict": false, "enableReading": true, "enableWithdrawals": true,'
        b'"enableSpotAndMarginTrading": false}'
    )
    assert (told.may_trade, told.may_withdraw) == (False, True)
    assert [warning.partition(":")[0] for warning in told.warnings] == [
        "it may withdraw", "it may be used from any address",
    ]  # fmt: skip


# -- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (-2010, 400, OrderRejected), (-1013, 400, OrderRejected),
        (-1121, 400, OrderRejected), (-2011, 400, OrderGone), (-2013, 400, OrderGone),
        (-1021, 400, NotSent), (-1022, 400, NotSent), (-2015, 401, NotSent),
        (-1003, 429, NotSent), (-1015, 429, NotSent), (-1007, 504, Unsure),
        (-1001, 503, Unsure), (-1006, 500, Unsure), (-9999, 502, Unsure),
    ],
)  # fmt: skip
def test_what_an_error_means(code, status, kind):
    error = error_of(code, "some\nwords", status)
    assert type(error) is kind
    assert str(error) == f"binance: code {code}: some words"


def halves(**told) -> bytes:
    row = {
        "symbol": "BTCUSDT", "orderId": 5, "clientOrderId": "n", "price": "1",
        "origQty": "2", "executedQty": "0", "status": "NEW", "side": "BUY",
        "transactTime": 9,
    }  # fmt: skip
    gone = {**row, "orderId": 4, "origClientOrderId": "o", "status": "CANCELED"}
    return msgspec.json.encode(
        {
            "cancelResult": "SUCCESS", "newOrderResult": "SUCCESS",
            "cancelResponse": gone, "newOrderResponse": row, **told,
        }
    )  # fmt: skip


def test_a_replacement_has_two_halves():
    done = parse_replacement(halves())
    assert (done.old.cl_id, done.old.state) == ("o", "canceled")
    assert (done.new.cl_id, done.new.state) == ("n", "open")
    refused = {"code": -2010, "msg": "no money"}
    half = halves(newOrderResult="FAILURE", newOrderResponse=refused)
    done = replacement_of(ApiError(-2021, "", msgspec.Raw(half)))
    assert (done.old.cl_id, done.new, done.reason) == ("o", None, "no money")
    for code, words, kind in (
        (-2011, "Unknown order sent.", OrderGone),
        (-2011, "not canceled due to cancel restrictions", FilledMeanwhile),
        (-1013, "Filter failure", OrderRejected),
    ):
        none = halves(
            cancelResult="FAILURE", newOrderResult="NOT_ATTEMPTED",
            cancelResponse={"code": code, "msg": words}, newOrderResponse=None,
        )  # fmt: skip
        with pytest.raises(kind):
            replacement_of(ApiError(-2022, "", msgspec.Raw(none)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": "NaN"}, {"price": "-1"}, {"origQty": "0"}, {"origQty": "1e400"},
        {"executedQty": "Infinity"}, {"orderId": -1}, {"status": "ODD"}, {"side": 7},
        {"clientOrderId": 7}, {"price": "0.0000000000000000001"}, {"symbol": ""},
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused(wrong):
    row = msgspec.json.decode(sample("http_json", "open_orders_response.json"))[0]
    with pytest.raises(BadPayload, match="not what binance documents"):
        parse_order(msgspec.json.encode({**row, **wrong}))


PARSERS = {
    "http_json/open_orders_response.json": parse_orders,
    "http_json/new_order_full_response.json": parse_order,
    "http_json/account_trades_response.json": parse_trades,
    "http_json/account_response.json": parse_balances,
    "user_data_json/execution_report_trade.json": lambda raw: list(parse_events(raw)),
    "user_data_json/execution_report_canceled.json": (
        lambda raw: list(parse_events(raw))
    ),
    "user_data_json/execution_report_wrapped.json": parse_answer,
    "user_data_json/balance_update.json": lambda raw: list(parse_events(raw)),
}


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_messages_are_read_or_refused_and_nothing_else(name):
    """12,500 of each: 10^5 in all."""
    raw = sample(*name.split("/"))
    assert count_refused(raw, name, 12_500, PARSERS[name]) > 5000
