"""Kraken's orders, trades, executions: samples of its documents, and what is none."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from piker.accounting import Transaction
from piker.brokers._live._venue import (
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Unsure,
    VenueTrade,
)
from piker.brokers.kraken import norm_trade
from piker.brokers.kraken._listing import make_mkt
from piker.brokers.kraken._names import rest_names
from piker.brokers.kraken._order_decode import (
    error_of,
    own_asset,
    parse_balances,
    parse_closed,
    parse_executions,
    parse_history,
    parse_message,
    parse_named,
    parse_open,
    parse_token,
    state_of,
    time_ns_of,
    to_stamp,
    to_state,
    to_trades,
    trade_of,
)
from piker.brokers.kraken._order_schemas import Descr, OrderRow
from piker.errors import BadPayload
from tests._data import data_dir
from tests.brokers._damage import count_refused

D = Decimal
XBTUSDT = make_mkt("XBT/USDT", D("0.1"), D("0.00000001"))


def sample(name: str) -> bytes:
    return data_dir().joinpath("protocol", "nautilus_kraken", name).read_bytes()


# -- samples of REST ------------------------------------------------------------------


def test_orders_that_are_open():
    rows = parse_open(sample("http_open_orders.json"))
    limit = rows["O26VBY-ISGAE-JP5TLU"]
    assert limit.descr.pair == "XBTUSDT"
    assert to_state("O26VBY-ISGAE-JP5TLU", limit, "BTC/USDT", 7) == OrderState(
        cl_id="", reqid="O26VBY-ISGAE-JP5TLU", bs_mktid="BTC/USDT", side="buy",
        price=D(29500), size=D("0.5"), filled=D(0), state="open", time_ns=7,
    )  # fmt: skip
    stop = to_state("O", rows["OYEQF4-FDE4C-NMUYUI"], "ETH/USDT", 7)
    assert (stop.side, stop.size, stop.price, stop.state) == ("sell", 1, 0, "open")
    assert stop.trigger == 1800


@pytest.mark.parametrize(
    ("kind", "price", "price2", "stopprice", "terms"),
    [
        ("limit", 5, 0, 0, (5, 0)),
        ("stop-loss", 7, 0, 7, (0, 7)),
        ("stop-loss", 0, 7, 7, (0, 7)),
        ("stop-loss", 7, 0, 0, (0, 7)),
        ("stop-loss-limit", 7, 5, 7, (5, 7)),
        ("stop-loss-limit", 5, 7, 7, (5, 7)),
        ("stop-loss-limit", 7, 5, 0, (5, 7)),
        ("stop-loss-limit", 7, 7, 7, (7, 7)),
        ("take-profit-limit", 7, 8, 7, (8, 7)),
    ],
)
def test_limits_and_triggers(kind, price, price2, stopprice, terms):
    row = OrderRow(
        status="open", vol=D(1), vol_exec=D(0), stopprice=D(stopprice),
        descr=Descr(
            pair="XBTUSDT", type="buy", ordertype=kind, price=D(price),
            price2=D(price2),
        ),
    )  # fmt: skip
    state = to_state("O", row, "BTC/USDT", 7)
    assert (state.price, state.trigger) == terms


def test_a_stop_keeps_its_trigger_when_little_is_told_of_it():
    told = {
        "order_id": "O1", "exec_type": "pending_new", "order_status": "pending_new",
        "timestamp": "2026-11-29T12:00:00.000000Z", "symbol": "BTC/USDT",
        "side": "sell", "order_qty": 1, "triggers": {"price": 59000.5},
    }  # fmt: skip
    (row,) = parse_executions(msgspec.json.encode([told]))
    placed = state_of(row, None)
    assert placed is not None
    assert (placed.price, placed.trigger, placed.state) == (0, D("59000.5"), "open")
    later = {key: told[key] for key in ("order_id", "timestamp")}
    later |= {"exec_type": "status", "order_status": "triggered"}
    (row,) = parse_executions(msgspec.json.encode([later]))
    fired = state_of(row, placed)
    assert fired is not None
    assert (fired.trigger, fired.state) == (D("59000.5"), "open")


def test_orders_that_are_over():
    rows = parse_closed(sample("http_closed_orders.json"))
    over = to_state("O", rows["O5KZFT-GH3AD-LP6TLU"], "BTC/USDT", 7)
    assert (over.state, over.filled, over.reason) == ("closed", D("0.5"), "")
    assert over.time_ns == 1688590000_543200000  # when it ended
    assert to_state("O", rows["OCLOSED-2-TESTID"], "ETH/USDT", 7).side == "sell"


def test_trades_of_an_account():
    rows, count = parse_history(sample("http_trades_history.json"))
    assert count == 2
    first, second = to_trades(rows, {"XBTUSDT": XBTUSDT})
    assert first == VenueTrade(
        tid="TCCCTY-WJ6EO-4FP4VZ", reqid="O26VBY-ISGAE-JP5TLU", bs_mktid="BTC/USDT",
        side="buy", price=D("29500.5"), size=D("0.5"), fee=D("23.6"),
        fee_asset="usdt", time_ns=1688585840_892100000, taker=False,
    )  # fmt: skip
    assert (second.tid, second.taker) == ("TDCVFQ-TPEG4-6X7LSZ", True)


def test_a_record_of_a_trade_is_a_row_of_the_ledger():
    record = msgspec.json.decode(sample("http_trades_history.json"))
    tid, told = next(iter(record["result"]["trades"].items()))
    row = norm_trade(tid, told, XBTUSDT)
    assert row == Transaction(
        tid=tid, fqme="xbtusdt.spot.kraken", size=D("0.5"), price=D("29500.5"),
        time_ns=1688585840_892100000, cost=D("23.6"), bs_mktid="BTC/USDT",
        reqid="O26VBY-ISGAE-JP5TLU",
    )  # fmt: skip
    assert norm_trade(tid, {**told, "type": "sell"}, XBTUSDT).size == D("-0.5")
    for wrong in ({"pair": "ETHUSDT"}, {"vol": "-1"}, {"time": "soon"}, {"type": ""}):
        with pytest.raises(BadPayload):
            norm_trade(tid, {**told, **wrong}, XBTUSDT)
    with pytest.raises(BadPayload):
        norm_trade(tid, {}, XBTUSDT)


def test_names_of_rest():
    assert {"XBTUSD", "XXBTZUSD"} <= rest_names("BTC/USD")
    assert "ETHXXBT" not in rest_names("ETH/USD")
    assert {"ETHXBT", "XETHXXBT"} <= rest_names("ETH/BTC")


def test_what_an_account_has():
    held = parse_balances(sample("http_spot_balance.json"))
    assert held == {"usd": D(200000), "xbt": D("0.5"), "eth": D(2)}


def test_a_token_is_in_no_error():
    body = msgspec.json.encode({"error": [], "result": {"token": "planted", "x": 1}})
    assert parse_token(body) == "planted"
    with pytest.raises(BadPayload) as caught:
        parse_token(body.replace(b'"token":', b'"planted":'))
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None


# -- samples of the websocket ---------------------------------------------------------


def test_answers():
    done = parse_message(sample("ws_add_order_response_success.json"))
    assert (done.method, done.req_id, done.success) == ("add_order", 42, True)
    named = parse_named(bytes(done.result))
    assert named.order_id == "OABCDE-12345-FGHIJ"
    assert named.cl_ord_id == "O-20260505-000001"
    assert time_ns_of(done.time_out) == 1777975200_125000000
    refused = parse_message(sample("ws_add_order_response_failure.json"))
    assert (refused.req_id, refused.success) == (99, False)
    assert type(error_of(refused.error)) is OrderRejected


#: https://docs.kraken.com/api/docs/websocket-v2/executions, with an id of the client's
PENDING = {
    "order_id": "OK4GJX-KSTLS-7DZZO5", "cl_ord_id": "mine", "symbol": "BTC/USD",
    "order_qty": 0.005, "cum_cost": 0.0, "time_in_force": "GTC",
    "exec_type": "pending_new", "side": "sell", "order_type": "limit",
    "order_userref": 3, "limit_price_type": "static", "limit_price": 26500.0,
    "stop_price": 0.0, "order_status": "pending_new", "fee_usd_equiv": 0.0,
    "timestamp": "2023-09-22T10:33:05.709950Z",
}  # fmt: skip
NEW = {
    "timestamp": "2023-09-22T10:33:05.709982Z", "order_status": "new",
    "exec_type": "new", "order_userref": 3, "order_id": "OK4GJX-KSTLS-7DZZO5",
}  # fmt: skip
TRADE = {
    "order_id": "OK4GJX-KSTLS-7DZZO5", "exec_id": "TGBJJQ-S3XDV-7PZFMW",
    "exec_type": "trade", "trade_id": 365573, "symbol": "BTC/USD", "side": "sell",
    "last_qty": 0.002, "last_price": 26599.9, "liquidity_ind": "m",
    "cost": 53.1998, "order_status": "partially_filled", "cum_qty": 0.002,
    "fees": [{"asset": "USD", "qty": 0.0851}],
    "timestamp": "2023-09-22T10:33:06.709950Z",
}  # fmt: skip
CANCELED = {
    "timestamp": "2023-09-22T10:33:07.705283Z", "order_status": "canceled",
    "exec_type": "canceled", "cum_qty": 0.002, "order_userref": 3,
    "order_id": "OK4GJX-KSTLS-7DZZO5", "reason": "User requested",
}  # fmt: skip


def rows(*told) -> list:
    return parse_executions(msgspec.json.encode(list(told)))


def test_an_order_from_what_is_told_of_it_bit_by_bit():
    known = None
    for row, state, filled in zip(
        rows(PENDING, NEW, TRADE, CANCELED), ("open", "open", "open", "canceled"),
        (0, 0, D("0.002"), D("0.002")), strict=True,
    ):  # fmt: skip
        known = state_of(row, known)
        assert (known.state, known.filled) == (state, filled)
        assert (known.cl_id, known.side) == ("mine", "sell")
        assert (known.price, known.size) == (26500, D("0.005"))
    assert known.reason == "User requested"
    (new,) = rows(NEW)
    assert state_of(new, None) is None  # what it is of isn't known


def test_a_trade_of_an_order():
    (row,) = rows(TRADE)
    (pending,) = rows(PENDING)
    assert trade_of(pending, None) is None
    assert trade_of(row, state_of(pending, None)) == VenueTrade(
        tid="TGBJJQ-S3XDV-7PZFMW", reqid="OK4GJX-KSTLS-7DZZO5", cl_id="mine",
        bs_mktid="BTC/USD", side="sell", price=D("26599.9"), size=D("0.002"),
        fee=D("0.0851"), fee_asset="usd",
        time_ns=time_ns_of("2023-09-22T10:33:06.709950Z"), taker=False,
    )  # fmt: skip


def test_an_order_that_is_filled_whole_is_over_whatever_comes_after():
    (pending,) = rows(PENDING)
    (last,) = rows({**TRADE, "cum_qty": 0.005})
    assert state_of(last, state_of(pending, None)).state == "closed"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("EOrder:Insufficient funds", OrderRejected),
        ("EOrder:Post only order", OrderRejected),
        ("EService:Market in cancel_only mode", OrderRejected),
        ("EGeneral:Invalid arguments:volume", OrderRejected),
        ("EOrder:Unknown order", OrderGone),
        ("EAPI:Invalid nonce", NotSent), ("EAPI:Rate limit exceeded", NotSent),
        ("EOrder:Rate limit exceeded", NotSent), ("ESession:Invalid session", NotSent),
        ("EGeneral:Permission denied", NotSent),
        ("EService:Deadline elapsed", NotSent),
        ("EService:Timeout", Unsure), ("EService:Unavailable", Unsure),
        ("EGeneral:Internal error:17", Unsure),
    ],
)  # fmt: skip
def test_what_an_error_means(words, kind):
    assert type(error_of(words)) is kind


def test_times_and_assets():
    at = time_ns_of("2026-05-05T10:00:00.125Z")
    assert to_stamp(at) == "2026-05-05T10:00:00.125Z"
    for odd in ("", "now", "2026-05-05T10:00:00", "9999-01-01T00:00:00Z"):
        with pytest.raises(BadPayload):
            time_ns_of(odd)
    assert [own_asset(name) for name in ("BTC", "DOGE", "USDT")] == [
        "xbt", "xdg", "usdt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"last_qty": 0}, {"last_price": -1}, {"exec_id": ""}, {"last_qty": 1e-30},
        {"fees": [{"asset": "A", "qty": 1}, {"asset": "B", "qty": 1}]},
        {"fees": [{"asset": "A", "qty": -1}]}, {"timestamp": "x"},
        {"last_price": 1e30},
    ],
)  # fmt: skip
def test_what_is_no_trade_is_refused(wrong):
    with pytest.raises(BadPayload, match="not what kraken documents"):
        trade_of(*rows({**TRADE, **wrong}), None)


def executions(raw: bytes) -> None:
    known = None
    for row in parse_executions(raw):
        trade_of(row, known)
        known = state_of(row, known)


def orders(raw: bytes) -> None:
    for reqid, row in parse_open(raw).items():
        to_state(reqid, row, "BTC/USDT", 0)


def history(raw: bytes) -> None:
    to_trades(parse_history(raw)[0], {"XBTUSDT": XBTUSDT})


@pytest.mark.parametrize("name", ["executions", "orders", "history", "balance"])
def test_damaged_messages_are_read_or_refused_and_nothing_else(name):
    """25,000 of each: 10^5 in all."""
    raw, parse = {
        "executions": (
            msgspec.json.encode([PENDING, NEW, TRADE, CANCELED]), executions
        ),
        "orders": (sample("http_open_orders.json"), orders),
        "history": (sample("http_trades_history.json"), history),
        "balance": (sample("http_spot_balance.json"), parse_balances),
    }[name]  # fmt: skip
    assert count_refused(raw, name, 25_000, parse) > 5000
