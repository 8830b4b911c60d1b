"""Deribit's orders, trades, settlements: samples of its documents, and what is none."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
import trio
from hypothesis import given, strategies as st

from piker.accounting import Transaction, positions_of
from piker.accounting._audit import recount
from piker.accounting._transaction import fault_of
from piker.brokers._live._client_ids import client_id
from piker.brokers._live._venue import (
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Unsure,
    VenueTrade,
)
from piker.brokers.deribit import norm_trade
from piker.brokers.deribit._booked import of_log
from piker.brokers.deribit._ids import Ids
from piker.brokers.deribit._lists import log_entries, merged, user_trades
from piker.brokers.deribit._order_decode import (
    Busy,
    error_of,
    parse_balances,
    parse_changes,
    parse_currencies,
    parse_held,
    parse_log,
    parse_message,
    parse_order,
    parse_orders,
    parse_placed,
    parse_trades_of_order,
    parse_user_trades,
    to_state,
    to_trade,
)
from piker.brokers.deribit._order_schemas import LogRow, OrderRow, UserTrade
from piker.brokers.deribit._schemas import Error
from piker.brokers.deribit._sniff import make_mkt
from piker.errors import BadPayload
from tests.brokers._damage import count_refused
from tests.brokers.test_deribit_decode import sample

D = Decimal
PERP = make_mkt("BTC-PERPETUAL", D("0.5"), D(10))
OPTION = make_mkt("BTC-25DEC26-50000-C", D("0.0005"), D("0.1"))
OURS = client_id("an order", 0)

ORDER = {
    "order_id": "104819327443", "label": OURS, "instrument_name": "BTC-PERPETUAL",
    "direction": "buy", "amount": 100.0, "filled_amount": 40.0, "price": 58000.5,
    "order_state": "open", "order_type": "limit", "average_price": 58000.5,
    "time_in_force": "good_til_cancelled", "last_update_timestamp": 1700000000123,
    "creation_timestamp": 1700000000000, "post_only": False, "reduce_only": False,
}  # fmt: skip
TRADE = {
    "trade_seq": 299513, "trade_id": "47958936", "timestamp": 1589923311862,
    "state": "filled", "price": 9684.0, "order_type": "limit", "order_id": "3993343822",
    "matching_id": None, "liquidity": "M", "instrument_name": "BTC-PERPETUAL",
    "fee_currency": "BTC", "fee": -2.1e-7, "direction": "buy", "amount": 10,
    "label": OURS,
}  # fmt: skip
SETTLED = {
    "username": "TestUser", "user_seq": 6008, "type": "settlement", "trade_id": None,
    "timestamp": 1613659544153, "side": "long", "session_upl": 0.00220172,
    "session_rpl": -0.00004467, "price_currency": "USD", "price": 51807.07,
    "position": 1520, "order_id": None, "interest_pl": 0.00000993,
    "total_interest_pl": 0.00001243,
    "instrument_name": "BTC-PERPETUAL", "info": {"settlement_price": 51807},
    "id": 61311, "equity": 3003.42821428, "currency": "BTC", "commission": None,
    "change": 0.00215706, "cashflow": 0.00215706, "balance": 3003.72270418,
    "amount": 1520,
}  # fmt: skip
DELIVERED = {
    **SETTLED, "type": "delivery", "side": "close sell", "id": 61400, "position": 0,
    "instrument_name": "BTC-25DEC26-50000-C", "amount": 0.7, "price": 75000.0,
    "cashflow": 0.23333333, "change": 0.23322833, "commission": 0.000105,
    "interest_pl": None, "total_interest_pl": None,
}  # fmt: skip


def body(result) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "result": result}).encode()


def row_of(kind, told, **changes):
    return msgspec.json.decode(json.dumps({**told, **changes}), type=kind)


def order_row(**changes) -> OrderRow:
    return row_of(OrderRow, ORDER, **changes)


# -- samples ---------------------------------------------------------------------------


def result_of(name: str) -> bytes:
    return json.dumps(json.loads(sample(name))["result"]).encode()


def test_orders_of_the_documents():
    placed = parse_placed(result_of("ws_order_buy_response.json"))
    state = to_state(placed, placed.order_id)
    assert state == OrderState(
        cl_id="O-19700101-000000-001-001-1", reqid="USDC-104819327443",
        bs_mktid="ETH_USDC-PERPETUAL", side="buy", price=D("2973.55"), size=D("0.001"),
        filled=D(0), state="open", time_ns=1767978363493 * 10**6,
    )  # fmt: skip
    edited = parse_placed(result_of("ws_order_edit_response.json"))
    assert to_state(edited, "r").price == D("3067.2")
    over = to_state(parse_order(result_of("ws_order_cancel_response.json")), "r")
    assert (over.state, over.reason) == ("canceled", "user_request")


@pytest.mark.parametrize(
    "name",
    [
        "ws_order_stop_market_response.json",
        "ws_order_stop_market_no_filled_amount.json",
    ],
)
def test_stops_of_the_documents(name):
    state = to_state(parse_placed(result_of(name)), "r")
    assert (state.price, state.trigger, state.state) == (0, 2228, "open")
    assert (state.filled, state.size) == (0, D("0.01"))


def test_balances_of_the_documents():
    told = sample("http_get_account_summaries.json")
    rows = json.loads(told)["result"]["summaries"]
    held = parse_balances(told)
    btc = next(row for row in rows if row["currency"] == "BTC")
    assert held["btc"] == D(str(btc["balance"])) + D(str(btc["session_rpl"]))
    assert parse_currencies(told) == {row["currency"] for row in rows}
    rows = [
        {"instrument_name": name, "direction": way, "size": size}
        for name, way, size in (("A", "buy", 0.5), ("B", "sell", -2), ("C", "zero", 0))
    ]
    told = json.dumps({"result": rows}).encode()
    assert parse_held(told) == {"A": D("0.5"), "B": -2}
    cross = parse_balances(sample("http_get_account_summaries_cross_margin.json"))
    assert cross["btc"] == D("0.00002288"), "a number with an exponent is exact"


# -- orders ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "open"), ({"order_state": "untriggered"}, "open"),
        ({"order_state": "triggered"}, "open"), ({"order_state": "filled"}, "closed"),
        ({"order_state": "cancelled"}, "canceled"),
        ({"order_state": "rejected"}, "canceled"), ({"filled_amount": 100.0}, "closed"),
    ],
)  # fmt: skip
def test_how_an_order_is(changes, state):
    assert to_state(order_row(**changes), "r").state == state


def test_a_market_orders_price_is_no_limit():
    for price in ("market_price", 58000.5, None):
        row = order_row(order_type="market", price=price)
        assert to_state(row, "r").price == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"order_state": "odd"}, {"amount": 0}, {"amount": -1}, {"filled_amount": -1},
        {"price": None}, {"price": "x"}, {"price": 0}, {"price": [1]},
        {"trigger_price": -1}, {"amount": 1e30},
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_is_refused(changes):
    with pytest.raises(BadPayload, match="not what deribit documents"):
        to_state(order_row(**changes), "r")


def test_a_stop_that_counts_is_known_by_its_first_id():
    ids = Ids()
    stop = order_row(order_id="SLTB-7", order_state="untriggered")
    assert ids.learn(stop) == "SLTB-7"
    assert ids.now("SLTB-7") == "SLTB-7"
    child = order_row(order_id="7", trigger_order_id="SLTB-7")
    assert ids.learn(child) == "SLTB-7"
    assert ids.now("SLTB-7") == "7"
    assert ids.known("7") == "SLTB-7"
    # by its label alone, where the venue doesn't tell
    other = Ids()
    other.learn(stop)
    assert other.learn(order_row(order_id="8")) == "SLTB-7"
    assert other.known("9", OURS) == "SLTB-7"
    # after a restart: what it became tells what it was
    fresh = Ids()
    assert fresh.learn(child) == "SLTB-7"
    assert fresh.known("7") == "SLTB-7"


def test_a_label_that_is_not_ours_says_nothing():
    ids = Ids()
    for order_id in ("1", "2"):
        assert ids.learn(order_row(order_id=order_id, label="mine")) == order_id
    assert ids.known("3", "mine") == "3"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10004, OrderGone), (11044, OrderGone), (10010, OrderGone),
        (10028, Busy), (13009, NotSent), (13888, NotSent), (13028, Busy),
        (10041, Busy),
        (11094, Unsure), (10001, Unsure), (10009, OrderRejected),
        (11054, OrderRejected), (-32602, OrderRejected),
    ],
)  # fmt: skip
def test_what_a_refusal_means(code, kind):
    error = error_of(Error(code, "some\nwords", {"reason": "why"}))
    assert type(error) is kind
    assert str(error) == f"deribit: some words (why): error {code}"


# -- trades ----------------------------------------------------------------------------


def test_a_trade():
    row = row_of(UserTrade, TRADE)
    assert to_trade(row, "r") == VenueTrade(
        tid="47958936", reqid="r", cl_id=OURS, bs_mktid="BTC-PERPETUAL", side="buy",
        price=D(9684), size=D(10), fee=D("-2.1e-7"), fee_asset="btc",
        time_ns=1589923311862 * 10**6, taker=False,
    )  # fmt: skip
    for changes in ({"trade_id": ""}, {"price": 0}, {"amount": 0}, {"fee": 1e300}):
        with pytest.raises(BadPayload):
            to_trade(row_of(UserTrade, TRADE, **changes), "r")


def test_a_record_of_a_trade_is_a_row_of_the_ledger():
    told = msgspec.json.decode(json.dumps(TRADE))
    assert norm_trade("47958936", told, PERP) == Transaction(
        tid="47958936", fqme="btcusd.perp.deribit", size=D(10), price=D(9684),
        time_ns=1589923311862 * 10**6, cost=D("-2.1e-7"), bs_mktid="BTC-PERPETUAL",
        inverse=True, reqid="3993343822",
    )  # fmt: skip
    with pytest.raises(BadPayload, match="not of btc.20261225"):
        norm_trade("47958936", told, OPTION)


def test_trades_of_one_order_are_a_list_or_a_page():
    for told in ([TRADE], {"trades": [TRADE], "has_more": False}):
        (row,) = parse_trades_of_order(body(told))
        assert row.trade_id == "47958936"


# -- settlements -----------------------------------------------------------------------


def test_a_settlement_books_funding_and_its_price():
    booked = of_log(row_of(LogRow, SETTLED))
    assert booked is not None
    assert (booked.etype, booked.tid) == ("settlement", "log-btc-61311")
    assert (booked.size, booked.price, booked.fee) == (0, D("51807.07"), D("-1.243e-5"))
    txn = norm_trade("log-btc-61311", msgspec.json.decode(json.dumps(SETTLED)), PERP)
    assert str(txn.size) == "0"  # of either side
    assert (txn.etype, txn.cost, txn.inverse) == ("settlement", D("-1.243e-5"), True)


def test_a_settlement_books_the_funding_of_its_whole_session():
    """Trades of a session take theirs of the log too, and are paid by its end."""
    whole = of_log(row_of(LogRow, SETTLED, interest_pl=0.0))
    assert whole is not None
    assert whole.fee == D("-1.243e-5")
    old = of_log(row_of(LogRow, SETTLED, total_interest_pl=None))
    assert old is not None
    assert old.fee == D("-9.93e-6")


@pytest.mark.parametrize(
    "flat",
    [{"price": None}, {"amount": None, "price": 0}, {"price": None, "side": "-"}],
)
def test_a_settlement_of_what_is_flat_by_then_books_funding_alone(flat):
    """It pays what was earned before; there may be no price to settle at."""
    record = {**SETTLED, "position": 0, "amount": 0, **flat}
    booked = of_log(row_of(LogRow, record))
    assert booked is not None
    assert (booked.etype, booked.size, booked.price) == ("fee", 0, 0)
    txn = norm_trade("log-btc-61311", msgspec.json.decode(json.dumps(record)), PERP)
    assert fault_of(txn) is None
    nothing = {**record, "total_interest_pl": 0, "interest_pl": 0}
    assert of_log(row_of(LogRow, nothing)) is None


def test_a_delivery_of_an_option_pays_what_the_log_says_to_the_last_digit():
    ended = of_log(row_of(LogRow, DELIVERED))
    assert ended is not None
    assert (ended.etype, ended.side, ended.size) == ("expiry", "sell", 0)
    assert ended.price * D("0.7") - ended.fee == D("0.23322833")
    assert abs(ended.price - D("0.33333333")) < D("1e-8")
    short = {
        "side": "close buy", "cashflow": -0.23333333, "change": -0.23343833,
    }  # fmt: skip
    ended = of_log(row_of(LogRow, DELIVERED, **short))
    assert ended is not None
    assert -ended.price * D("0.7") - ended.fee == D("-0.23343833")
    worthless = of_log(row_of(LogRow, DELIVERED, cashflow=0, change=0, commission=0))
    assert worthless is not None
    assert (worthless.price, worthless.fee) == (0, 0)


def test_a_delivery_of_a_future_is_at_its_price():
    told = {"instrument_name": "BTC-25DEC26", "amount": 1000}
    ended = of_log(row_of(LogRow, DELIVERED, **told))
    assert ended is not None
    assert (ended.price, ended.size, ended.fee) == (75_000, 0, D("0.000105"))


FUTURE = make_mkt("BTC-25DEC26", D("0.5"), D(10))


@pytest.mark.parametrize("mkt", [OPTION, FUTURE])
@given(known=st.lists(st.sampled_from([-200, -70, 10, 70, 130]), max_size=3))
def test_nothing_is_held_of_what_was_delivered_whatever_the_ledger_knows(mkt, known):
    """What was held before the ledger began is delivered with the rest."""
    record = {**DELIVERED, "instrument_name": mkt.bs_mktid}
    trades = [
        norm_trade(
            str(nth),
            {**TRADE, "trade_id": str(nth), "instrument_name": mkt.bs_mktid,
             "amount": abs(size) / 100, "direction": "buy" if size > 0 else "sell"},
            mkt,
        )
        for nth, size in enumerate(known)
    ]  # fmt: skip
    txns = [*trades, norm_trade("log-btc-61400", record, mkt)]
    (position,) = positions_of(txns).values()
    assert position.is_flat
    (again,) = recount(txns).values()
    assert (again.size, again.fees) == (0, position.fees)
    assert abs(again.realised - position.realised) < D("1e-25")


@pytest.mark.parametrize("kind", ["trade", "deposit", "transfer", "new in 2030"])
def test_what_else_the_log_tells_books_nothing(kind):
    assert of_log(row_of(LogRow, SETTLED, type=kind)) is None
    assert of_log(row_of(LogRow, SETTLED, instrument_name=None)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None}, {"change": None}, {"cashflow": None},
        {"price": None, "instrument_name": "BTC-25DEC26"},
        {"price": 0, "instrument_name": "BTC-25DEC26"},
    ],
)  # fmt: skip
def test_a_delivery_that_tells_too_little_is_refused(changes):
    with pytest.raises(BadPayload):
        of_log(row_of(LogRow, DELIVERED, **changes))


def test_an_option_ends_at_what_it_pays_whatever_price_is_told():
    paid = of_log(row_of(LogRow, DELIVERED))
    assert of_log(row_of(LogRow, DELIVERED, price=None)) == paid
    assert of_log(row_of(LogRow, DELIVERED, price=0)) == paid


# -- lists -----------------------------------------------------------------------------


def at(seconds: int, tid: str) -> VenueTrade:
    row = row_of(UserTrade, TRADE, trade_id=tid, timestamp=seconds * 1000)
    return to_trade(row, "r")


async def some(pages):
    for page in pages:
        await trio.lowlevel.checkpoint()
        yield page


stamps = st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), max_size=4)


@given(st.lists(stamps, max_size=4))
def test_lists_are_merged_by_time_and_may_be_left_off_anywhere(told):
    lists = []
    for nth, pages in enumerate(told):
        flat = sorted(stamp for page in pages for stamp in page)
        cut = [flat[i : i + 3] for i in range(0, len(flat), 3)]
        lists.append(
            [[at(s, f"{nth}-{p}-{i}") for i, s in enumerate(page)]
             for p, page in enumerate(cut)]
        )  # fmt: skip

    async def main():
        return [page async for page in merged([some(pages) for pages in lists])]

    found = trio.run(main)
    flat = [one for page in found for one in page]
    wanted = [one for pages in lists for page in pages for one in page]
    assert sorted(one.tid for one in flat) == sorted(one.tid for one in wanted)
    assert [one.time_ns for one in flat] == sorted(one.time_ns for one in flat)
    assert all(found), "no page is empty"


def paged(rows, size):
    """Return what answers for trades of a currency, so many at once, and its log."""
    asked = []

    async def ask(method, params):
        await trio.lowlevel.checkpoint()
        asked.append((method.rpartition("/")[2], params))
        kept = rows
        if "start_id" in params:
            first = next(
                i for i, one in enumerate(rows) if one["trade_id"] == params["start_id"]
            )
            kept = rows[first:]
        else:
            kept = [
                one for one in rows if one["timestamp"] >= params["start_timestamp"]
            ]
        page = kept[:size]
        return body({"trades": page, "has_more": len(kept) > size})

    return ask, asked


def test_trades_are_listed_page_by_page():
    rows = [
        {**TRADE, "trade_id": str(n), "timestamp": 10**6 + n // 3} for n in range(10)
    ]
    ask, asked = paged(rows, 4)

    async def main(now_ms):
        pages = user_trades(ask, lambda oid, _: oid, "BTC", 0, now_ms)
        return [one.tid async for page in pages for one in page]

    found = trio.run(main, 10**6)
    assert list(dict.fromkeys(found)) == [str(n) for n in range(10)]
    assert {params["historical"] for _, params in asked} == {False}
    asked.clear()
    trio.run(main, 10**10)
    assert asked[0][1]["historical"]
    assert {params["historical"] for _, params in asked} == {True, False}


def test_trades_of_spot_and_of_contracts_are_one_list_with_two_rows_of_ids():
    """``USDC-7`` and ``BTC_USDC-4``: what comes after one of them no id tells."""
    rows = [
        {**TRADE, "trade_id": f"{('USDC', 'BTC_USDC')[n % 2]}-{1000 * (n % 2) + n}",
         "timestamp": 10**6 + n // 2}
        for n in range(12)
    ]  # fmt: skip
    ask, _ = paged(rows, 5)

    async def ask_by_id(method, params):
        if "start_id" not in params:
            return await ask(method, params)
        family, _, number = params["start_id"].rpartition("-")
        kept = [
            one
            for one in rows
            if one["trade_id"].rpartition("-")[0] == family
            and int(one["trade_id"].rpartition("-")[2]) >= int(number)
        ]
        return body({"trades": kept[:5], "has_more": len(kept) > 5})

    async def main():
        pages = user_trades(ask_by_id, lambda oid, _: oid, "USDC", 0, 10**6)
        return [one.tid async for page in pages for one in page]

    assert set(trio.run(main)) == {one["trade_id"] for one in rows}


def test_more_trades_in_a_millisecond_than_a_page_has_are_told_by_their_ids():
    rows = [
        {**TRADE, "trade_id": str(n), "timestamp": 10**6 + n // 11} for n in range(23)
    ]
    ask, asked = paged(rows, 4)

    async def main():
        pages = user_trades(ask, lambda oid, _: oid, "BTC", 0, 10**6)
        return [one.tid async for page in pages for one in page]

    assert list(dict.fromkeys(trio.run(main))) == [str(n) for n in range(23)]
    assert all(("start_id" in params) != method.endswith("time")
               for method, params in asked)  # fmt: skip


def test_the_log_is_read_to_its_beginning_and_turned_round():
    rows = [{**SETTLED, "id": n, "timestamp": 10**6 + n} for n in range(7)][::-1]

    async def ask(_, params):
        await trio.lowlevel.checkpoint()
        begin = params.get("continuation", 0)
        more = begin + 3 if begin + 3 < len(rows) else None
        return body({"logs": rows[begin : begin + 3], "continuation": more})

    async def main():
        return [page async for page in log_entries(ask, pytest.fail, "BTC", 0)]

    (page,) = trio.run(main)
    assert [one.tid for one in page] == [f"log-btc-{n}" for n in range(7)]


# -- damage ----------------------------------------------------------------------------


def read_changes(raw: bytes) -> None:
    told = parse_changes(raw)
    for row in told.orders:
        to_state(row, "r")
    for row in told.trades:
        to_trade(row, "r")


DAMAGED = {
    "changes": (read_changes, json.dumps({"orders": [ORDER], "trades": [TRADE]})),
    "message": (parse_message, body({"order": ORDER}).decode()),
    "orders": (lambda raw: [to_state(o, "r") for o in parse_orders(raw)],
               body([ORDER]).decode()),
    "placed": (lambda raw: to_state(parse_placed(raw), "r"),
               json.dumps({"order": ORDER})),
    "trades": (lambda raw: [to_trade(t, "r") for t in parse_user_trades(raw).trades],
               body({"trades": [TRADE], "has_more": False}).decode()),
    "log": (lambda raw: [of_log(row) for row in parse_log(raw).logs],
            body({"logs": [SETTLED, DELIVERED], "continuation": None}).decode()),
    "balances": (parse_balances, sample("http_get_account_summaries.json").decode()),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_answers_are_read_or_refused(name):
    parse, text = DAMAGED[name]
    assert count_refused(text.encode(), name, 3000, parse) > 500
