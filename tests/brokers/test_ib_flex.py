"""Flex reports: hand-written ones, as IB documents them, into transactions."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from piker import config
from piker.accounting import (
    AccountName,
    Transaction,
    open_ledger,
    positions_of,
    read_ledger,
)
from piker.brokers._live._trades import to_transaction
from piker.brokers.ib import norm_trade, read_report
from piker.brokers.ib._order_decode import trade_of
from piker.brokers.ib._order_schemas import ExecTold, FeeTold
from piker.brokers.ib._records import parse_time
from piker.errors import BadPayload, UsageError
from piker.msgs import NS, Asset, MktPair

D = Decimal
NAME = AccountName(broker="ib", label="main")
NUMBER = "U1234567"
NY_NS = int(datetime(2026, 11, 27, 20, 4, 5, tzinfo=UTC).timestamp()) * NS

STOCK = {
    "accountId": NUMBER, "currency": "USD", "assetCategory": "STK", "symbol": "TSLA",
    "conid": "76792991", "listingExchange": "NASDAQ", "exchange": "ARCA",
    "multiplier": "1", "tradeID": "501", "ibExecID": "0000e0d5.5f1a0c3e.01.01",
    "dateTime": "20261127;150405", "levelOfDetail": "EXECUTION", "quantity": "40",
    "tradePrice": "187.5", "ibCommission": "-0.35", "ibCommissionCurrency": "USD",
    "taxes": "0", "buySell": "BUY", "transactionType": "ExchTrade", "notes": "P",
}  # fmt: skip
FUTURE = {
    **STOCK, "assetCategory": "FUT", "symbol": "MNQZ6", "underlyingSymbol": "MNQ",
    "conid": "711280073", "listingExchange": "CME", "expiry": "20261218",
    "multiplier": "2", "ibExecID": "00018037.65a1b2c3.01.01", "quantity": "-2",
    "tradePrice": "17000.25", "ibCommission": "-1.5", "buySell": "SELL",
}  # fmt: skip
OPTION = {
    **STOCK, "assetCategory": "OPT", "symbol": "TSLA  270115C00200000",
    "underlyingSymbol": "TSLA", "conid": "608425", "listingExchange": "CBOE",
    "expiry": "2027-01-15", "strike": "200", "putCall": "C", "multiplier": "100",
    "ibExecID": "0000f711.65a1b2c4.01.01", "quantity": "3", "tradePrice": "4.2",
}  # fmt: skip
FX = {
    **STOCK, "assetCategory": "CASH", "symbol": "EUR.USD", "conid": "12087792",
    "listingExchange": "", "exchange": "IDEALFX", "ibExecID": "0000d4c8.65a1b2c5.01.01",
    "quantity": "25,000", "tradePrice": "1.0712", "ibCommission": "-2",
}  # fmt: skip


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


def report(*rows, tag="Trade", more="", root="FlexQueryResponse") -> bytes:
    told = "".join(
        f"<{tag} " + " ".join(f'{key}="{value}"' for key, value in row.items()) + " />"
        for row in rows
    )
    return (
        f'<{root} queryName="q" type="AF"><FlexStatements count="1">'
        f'<FlexStatement accountId="{NUMBER}" fromDate="20261101" toDate="20261127">'
        f"<{tag}s>{told}</{tag}s>{more}</FlexStatement></FlexStatements></{root}>"
    ).encode()


def read(tmp_path, raw: bytes, ledger=None):
    path = tmp_path / "report.xml"
    path.write_bytes(raw)
    return read_report(path, NAME, ledger)


def test_trades_of_all_kinds(tmp_path):
    found = read(tmp_path, report(STOCK, FUTURE, OPTION, FX))
    assert [
        (txn.fqme, txn.size, txn.price, txn.cost, txn.multiplier, txn.bs_mktid)
        for txn in found.txns
    ] == [
        ("tsla.nasdaq.ib", 40, D("187.5"), D("0.35"), 1, "76792991"),
        ("mnq.cme.20261218.ib", -2, D("17000.25"), D("1.5"), 2, "711280073"),
        ("tsla.20270115.200c.cboe.ib", 3, D("4.2"), D("0.35"), 100, "608425"),
        ("eurusd.idealpro.ib", 25_000, D("1.0712"), 2, 1, "12087792"),
    ]
    assert {txn.time_ns for txn in found.txns} == {NY_NS}
    assert found.txns[0].tid == STOCK["ibExecID"]


def test_an_option_of_elsewhere_is_named_after_its_exchange(tmp_path):
    row = {
        **OPTION, "currency": "EUR", "symbol": "P SAP  20270115 200 M",
        "underlyingSymbol": "SAP", "listingExchange": "EUREX", "putCall": "P",
    }  # fmt: skip
    (txn,) = read(tmp_path, report(row)).txns
    assert txn.fqme == "sap.20270115.200p.eurex.ib"
    # its fee was paid in another currency: what that was worth isn't told
    assert (txn.cost, txn.fee, txn.fee_asset) == (0, D("0.35"), "usd")


def test_what_came_live_and_what_a_report_tells_is_the_same_transaction(tmp_path):
    told = ExecTold(
        exec_id=STOCK["ibExecID"], order_id=7, client_id=6136, perm_id=0,
        account=NUMBER, con_id=76792991, kind="STK", currency="usd", side="buy",
        size=D(40), price=D("187.5"), time_ns=NY_NS,
    )  # fmt: skip
    fee = FeeTold(exec_id=told.exec_id, fee=D("0.35"), currency="usd")
    mkt = MktPair(
        dst=Asset(name="tsla", atype="stock"), price_tick=D("0.01"), size_tick=D(1),
        bs_mktid="76792991", broker="ib", venue="nasdaq", atype="stock", settle="usd",
    )  # fmt: skip
    live = to_transaction(trade_of(told, fee), mkt)
    (txn,) = read(tmp_path, report(STOCK)).txns
    assert txn == live
    assert norm_trade(STOCK["ibExecID"], STOCK, mkt) == live
    of_api = {
        "conId": 76792991, "side": "BOT", "shares": 40.0, "price": 187.5,
        "time": datetime(2026, 11, 27, 20, 4, 5, tzinfo=UTC), "commission": 0.35,
        "commissionCurrency": "USD", "permId": 0, "lastLiquidity": 1,
    }  # fmt: skip
    assert norm_trade(told.exec_id, of_api, mkt) == live
    for wrong in (
        {"conid": "1"}, {"tradePrice": ""}, {"quantity": "0"}, {"dateTime": "soon"},
        {"buySell": "HOLD"}, {"tradePrice": "nan"}, {"quantity": "1e40"},
    ):  # fmt: skip
        with pytest.raises(BadPayload):
            norm_trade("t", {**STOCK, **wrong}, mkt)


def test_a_confirmation_has_other_names_for_the_same(tmp_path):
    names = {"ibExecID": "execID", "tradePrice": "price", "ibCommission": "commission",
             "ibCommissionCurrency": "commissionCurrency"}  # fmt: skip
    confirm = {names.get(key, key): value for key, value in STOCK.items()}
    (one,) = read(tmp_path, report(confirm, tag="TradeConfirm")).txns
    (other,) = read(tmp_path, report(STOCK)).txns
    assert one == other


def test_rows_that_sum_up_others_are_left_out_and_counted(tmp_path):
    sums = [{**STOCK, "levelOfDetail": level} for level in ("ORDER", "CLOSED_LOT")]
    more = '<Order accountId="U1234567" quantity="40" />'
    found = read(tmp_path, report(STOCK, *sums, more=more))
    assert len(found.txns) == 1
    assert "3 rows that sum up others left out" in found.notes


def test_a_report_is_read_once_however_often(tmp_path):
    raw = report(STOCK, FUTURE)
    with open_ledger("ib", "main") as ledger:
        ledger.append(*read(tmp_path, raw).txns)
    view = read_ledger("ib", "main")
    again = read(tmp_path, raw, view).txns
    assert [view.seq_of(txn.tid) for txn in again] == [1, 2]


def booked(*txns: Transaction):
    with open_ledger("ib", "main") as ledger:
        ledger.append(*txns)
    return read_ledger("ib", "main")


def import_into(view, txns) -> dict:
    """Return positions after what isn't booked yet was."""
    known = {txn.tid for txn in view.txns}
    fresh = [txn for txn in txns if txn.tid not in known]
    return positions_of((*view.txns, *fresh))


def test_a_corrected_trade_undoes_the_one_that_is_booked(tmp_path):
    (old,) = read(tmp_path, report(STOCK)).txns
    view = booked(old)
    new = {**STOCK, "ibExecID": "0000e0d5.5f1a0c3e.01.02", "tradePrice": "187.4"}
    found = read(tmp_path, report(STOCK, new), view)
    held = import_into(view, found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.ppu, held.fees) == (40, D("187.4"), D("0.35"))
    # and the other way round: an older report changes nothing
    view = booked(*[txn for txn in found.txns if txn.tid != old.tid])
    again = read(tmp_path, report(STOCK), view)
    assert import_into(view, again.txns)["tsla.nasdaq.ib"].ppu == D("187.4")


def test_a_cancelled_trade_is_undone_or_left_out(tmp_path):
    cancel = {
        **STOCK, "transactionType": "TradeCancel", "tradeID": "502",
        "origTradeID": "501", "quantity": "-40", "buySell": "BUY (Ca.)",
    }  # fmt: skip
    assert read(tmp_path, report(STOCK, cancel)).txns == ()
    (old,) = read(tmp_path, report(STOCK)).txns
    view = booked(old)
    found = read(tmp_path, report(STOCK, cancel), view)
    held = import_into(view, found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.fees) == (0, 0)
    view = booked(*[txn for txn in found.txns if txn.tid != old.tid])
    assert import_into(view, read(tmp_path, report(STOCK, cancel), view).txns)[
        "tsla.nasdaq.ib"
    ].is_flat
    odd = {**cancel, "origTradeID": "77", "ibExecID": "z"}
    assert any("isn't there" in note for note in read(tmp_path, report(odd)).notes)


CANCEL = {
    **STOCK, "transactionType": "TradeCancel", "tradeID": "502", "origTradeID": "501",
    "quantity": "-40", "buySell": "BUY (Ca.)",
}  # fmt: skip


def test_a_trade_that_is_cancelled_and_told_anew_is_undone_once(tmp_path):
    """As IB corrects one: by a cancel of the old one, and a new one."""
    (old,) = read(tmp_path, report(STOCK)).txns
    new = {**STOCK, "ibExecID": "0000e0d5.5f1a0c3e.01.02", "tradePrice": "187.4",
           "tradeID": "503", "transactionType": "TradeCorrect"}  # fmt: skip
    view = booked(old)
    found = read(tmp_path, report(STOCK, CANCEL, new), view)
    held = import_into(view, found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.ppu, held.fees) == (40, D("187.4"), D("0.35"))
    # and where the cancel came by an earlier report
    first = read(tmp_path, report(STOCK, CANCEL), view)
    view = booked(*[txn for txn in first.txns if txn.tid != old.tid])
    found = read(tmp_path, report(STOCK, CANCEL, new), view)
    held = import_into(view, found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.ppu, held.fees) == (40, D("187.4"), D("0.35"))


def test_a_cancel_takes_no_other_trade_for_its_own(tmp_path):
    """Where a query lacks the numbers of trades, none is named by having none."""
    rows = [
        {**row, "tradeID": ""} for row in (STOCK, FUTURE, {**CANCEL, "origTradeID": ""})
    ]
    found = read(tmp_path, report(*rows))
    assert [txn.fqme for txn in found.txns] == ["mnq.cme.20261218.ib"]


def test_a_cancel_by_a_later_report_of_what_has_no_execution(tmp_path):
    """As of an option that was exercised: it is known by its number."""
    (old,) = read(tmp_path, report({**STOCK, "ibExecID": ""})).txns
    assert old.tid == "flex-501"
    view = booked(old)
    found = read(tmp_path, report({**CANCEL, "ibExecID": ""}), view)
    assert import_into(view, found.txns)["tsla.nasdaq.ib"].is_flat


def test_a_cancel_undoes_the_fee_that_came_late_too(tmp_path):
    (old,) = read(tmp_path, report({**STOCK, "ibCommission": "0"})).txns
    view = booked(old)
    fees = [
        txn for txn in read(tmp_path, report(STOCK), view).txns if txn.etype == "fee"
    ]
    view = booked(*fees)
    found = read(tmp_path, report(CANCEL), view)
    held = import_into(view, found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.fees) == (0, 0)
    view = booked(*found.txns)
    assert read(tmp_path, report(CANCEL), view).txns == ()


def test_a_fee_that_live_trading_never_heard_of_is_booked(tmp_path):
    (old,) = read(tmp_path, report({**STOCK, "ibCommission": "0"})).txns
    assert old.cost == 0
    view = booked(old)
    found = read(tmp_path, report(STOCK), view)
    assert import_into(view, found.txns)["tsla.nasdaq.ib"].fees == D("0.35")
    view = booked(*[txn for txn in found.txns if txn.etype == "fee"])
    again = import_into(view, read(tmp_path, report(STOCK), view).txns)
    assert again["tsla.nasdaq.ib"].fees == D("0.35")


def test_a_name_in_the_ledger_is_kept(tmp_path):
    """Of what a report doesn't tell, a name may have more than can be made of it."""
    (old,) = read(tmp_path, report(STOCK)).txns
    view = booked(replace(old, fqme="tsla.nasdaq.usd.ib"))
    new = {**STOCK, "ibExecID": "0000e0d5.5f1a0c3f.01.01"}
    (txn,) = read(tmp_path, report(new), view).txns
    assert txn.fqme == "tsla.nasdaq.usd.ib"


# -- what else changes positions -------------------------------------------------------


def action(**more) -> str:
    row = {
        "accountId": NUMBER, "assetCategory": "STK", "symbol": "TSLA",
        "conid": "76792991", "listingExchange": "NASDAQ", "currency": "USD",
        "dateTime": "20261128;202500", "type": "FS", "quantity": "80",
        "actionID": "9001", "multiplier": "1",
        "description": "TSLA(US88160R1014) SPLIT 3 FOR 1 (TSLA)", **more,
    }  # fmt: skip
    told = " ".join(f'{key}="{value}"' for key, value in row.items())
    return f"<CorporateActions><CorporateAction {told} /></CorporateActions>"


def test_a_split_is_booked(tmp_path):
    found = read(tmp_path, report(STOCK, more=action() + action()))
    held = positions_of(found.txns)["tsla.nasdaq.ib"]
    assert (held.size, held.ppu) == (120, D("62.5"))
    reverse = action(type="RS", quantity="-36", description="TSLA SPLIT 1 FOR 10 (X)")
    held = positions_of(read(tmp_path, report(STOCK, more=reverse)).txns)
    assert held["tsla.nasdaq.ib"].size == 4


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("is_new_first", [True, False])
def test_a_reverse_split_is_told_in_two_rows(tmp_path, is_new_first, sign):
    """The old shares go, and new ones come, of another number; it is one action."""
    words = {"type": "RS", "description": "TSLA(US1) SPLIT 1 FOR 10 (TSLA, X, US2)"}
    rows = [
        action(**words, conid="999", quantity=str(4 * sign)),
        action(**words, symbol="TSLA.OLD", quantity=str(-40 * sign)),
    ]
    side = "BUY" if sign > 0 else "SELL"
    held = {**STOCK, "quantity": str(40 * sign), "buySell": side}
    later = {
        **held, "conid": "999", "ibExecID": "a.b.01.01", "quantity": str(sign),
        "dateTime": "20261130;150405",
    }  # fmt: skip
    more = "".join(rows if is_new_first else rows[::-1])
    found = read(tmp_path, report(held, later, more=more))
    assert [txn.etype for txn in found.txns] == ["clear", "split", "clear"]
    view = booked(*found.txns)
    (position,) = view.positions().values()
    assert (position.fqme, position.size) == ("tsla.nasdaq.ib", 5 * sign)
    # and where the shares were bought before the report, under a name of their own
    view = read_ledger("ib", "main")
    again = read(tmp_path, report(later, more=more), view)
    assert {txn.tid for txn in again.txns} <= {txn.tid for txn in view.txns}


def test_a_split_is_booked_under_the_name_that_the_shares_have(tmp_path):
    words = {"type": "RS", "description": "TSLA(US1) SPLIT 1 FOR 10 (TSLA, X, US2)"}
    more = action(**words, conid="999", quantity="4") + action(
        **words, symbol="TSLA.OLD", quantity="-40"
    )
    (old,) = read(tmp_path, report(STOCK)).txns
    view = booked(replace(old, fqme="tsla.nasdaq.usd.ib"))
    found = read(tmp_path, report(more=more), view)
    held = import_into(view, found.txns)
    assert {name: one.size for name, one in held.items()} == {"tsla.nasdaq.usd.ib": 4}
    # of shares that nothing is known of
    (txn,) = read(tmp_path, report(more=more)).txns
    assert txn.fqme == "tsla.nasdaq.ib"


def test_what_is_not_booked_is_told(tmp_path):
    more = action(type="TC", description="XYZ MERGED(Acquisition)")
    for tag, told in (("Transfer", "IN KIND"), ("OptionEAE", "Expiry")):
        more += f'<{tag} accountId="{NUMBER}" description="{told}" />'
    notes = read(tmp_path, report(STOCK, more=more)).notes
    for words in ("corporate actions: XYZ MERGED", "transfers of positions: IN KIND",
                  "exercises and expiries: Expiry"):  # fmt: skip
        assert any(words in note for note in notes), notes


def test_an_option_that_expired_closes_without_an_execution(tmp_path):
    end = {**OPTION, "ibExecID": "", "tradeID": "777", "transactionType": "BookTrade",
           "quantity": "-3", "tradePrice": "0", "ibCommission": "0", "notes": "Ep",
           "buySell": "SELL", "dateTime": "20270115;162000"}  # fmt: skip
    found = read(tmp_path, report(OPTION, end))
    assert [(txn.tid, txn.etype) for txn in found.txns][1] == ("flex-777", "expiry")
    assert positions_of(found.txns)["tsla.20270115.200c.cboe.ib"].is_flat


# -- what is none ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<html></html>", "whose root is FlexQueryResponse, got html"),
        (b"<FlexQueryResponse", "wanted a Flex report, XML"),
        (b"<!DOCTYPE x><FlexQueryResponse/>", "no types of its own"),
        (report({**STOCK, "accountId": "U2"}), "of one account, it is of 2"),
        (report({**STOCK, "assetCategory": "BILL"}), "is of 'BILL' 'TSLA'"),
        (report({**STOCK, "assetCategory": "BOND"}), "no name for a market of ib's"),
        (report({**STOCK, "ibExecID": "", "tradeID": ""}), "has no id"),
        (
            report({key: STOCK[key] for key in STOCK if key != "ibExecID"}),
            "has no field IB Execution ID",
        ),
        (report({**STOCK, "tradePrice": "x"}), "a number 'x'"),
        (report({**STOCK, "dateTime": "x"}), "a time 'x'"),
        (report({**STOCK, "quantity": ""}), "it has no size"),
        (report({**STOCK, "conid": ""}), "which isn't booked"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, raw, words):
    with pytest.raises(UsageError, match="can't import") as caught:
        read(tmp_path, raw)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert NUMBER not in str(caught.value)


def test_what_is_no_xml_is_left_to_others(tmp_path):
    assert read(tmp_path, b"tid,fqme,size\n") is None
    assert read(tmp_path, b"") is None


def test_a_report_may_be_gzipped(tmp_path):
    raw = report(STOCK)
    assert read(tmp_path, gzip.compress(raw)).txns == read(tmp_path, raw).txns
    assert read(tmp_path, b"\xef\xbb\xbf\n" + raw[:0] + raw) is not None


def test_a_report_without_trades_says_what_a_query_needs(tmp_path):
    found = read(tmp_path, report())
    assert not found.txns
    assert any("with the option Execution" in note for note in found.notes)


@pytest.mark.parametrize(
    "text",
    ["20261127;150405", "20261127 150405", "2026-11-27;15:04:05",
     "2026-11-27, 15:04:05", "11/27/2026 15:04:05", "2026-11-27 15:04:05 EST",
     "2026-11-27 20:04:05 UTC", "27-Nov-26 15:04:05"],
)  # fmt: skip
def test_times_as_queries_write_them(text):
    assert int(parse_time(text).timestamp()) * NS == NY_NS


@given(st.text(alphabet="0123456789;:-/ ,TEST", max_size=24))
def test_any_time_is_read_or_refused(text):
    found: datetime | str
    try:
        found = parse_time(text)
    except BadPayload as err:
        found = str(err)
    assert getattr(found, "tzinfo", None) or len(found.splitlines()) == 1


@given(st.binary(max_size=60), st.integers(0, 600))
def test_any_damage_is_read_or_refused(tmp_path_factory, junk, at):
    raw = report(STOCK, FUTURE, more=action())
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    path.write_bytes(raw[:at] + junk + raw[at + len(junk) :])
    fault = ""
    try:
        read_report(path, NAME, None)
    except UsageError as err:
        fault = str(err)
    assert len(fault.splitlines()) <= 1


# -- what one row doesn't tell ---------------------------------------------------------


def contract(row, symbol, con_id, tid, **more):
    return {**row, "symbol": symbol, "conid": con_id, "ibExecID": tid, **more}


def test_two_contracts_are_never_one_position(tmp_path):
    """Of one day, strike and underlying there may be several classes."""
    of_index = {**OPTION, "underlyingSymbol": "SPX", "strike": "5000"}
    rows = (
        contract(of_index, "SPX   270115C05000000", "1", "a.b.01.01"),
        contract(of_index, "SPXW  270115C05000000", "2", "a.c.01.01", quantity="-3",
                 buySell="SELL"),
        contract(FUTURE, "SIZ6", "5", "a.d.01.01", underlyingSymbol="SI",
                 multiplier="5000"),
        contract(FUTURE, "SILZ6", "6", "a.e.01.01", underlyingSymbol="SI",
                 multiplier="1000"),
        contract({**OPTION, "currency": "EUR", "listingExchange": "EUREX"},
                 "C TSLA 1", "7", "a.f.01.01"),
        contract({**OPTION, "currency": "EUR", "listingExchange": "EUREX"},
                 "C TSLA 2", "8", "a.g.01.01"),
    )  # fmt: skip
    txns = read(tmp_path, report(*rows)).txns
    held = positions_of(txns)
    assert len(held) == 6
    assert {name: txn.bs_mktid for txn in txns for name in [txn.fqme]} == {
        "spx.20270115.5000c.cboe.ib": "1", "spx.20270115.5000c.cboe.spxw.ib": "2",
        "si.cme.20261218.ib": "5", "si.cme.20261218.sil.ib": "6",
        "tsla.20270115.200c.eurex.ib": "7", "tsla.20270115.200c.eurex.c8.ib": "8",
    }  # fmt: skip
    # whatever comes by itself later
    view = booked(txns[0])
    (txn,) = read(tmp_path, report(rows[1]), view).txns
    assert txn.fqme == "spx.20270115.5000c.cboe.spxw.ib"


def test_a_price_is_in_the_units_that_the_ledger_has(tmp_path):
    """The API tells a bushel of corn in cents, for 50 of them; a report in dollars."""
    corn = contract(FUTURE, "ZCZ6", "9", "a.b.01.01", underlyingSymbol="ZC",
                    multiplier="5000", tradePrice="4.2525")  # fmt: skip
    (told,) = read(tmp_path, report(corn)).txns
    live = replace(told, tid="a.a.01.01", price=D(420), multiplier=D(50))
    view = booked(live)
    (txn,) = read(tmp_path, report(corn), view).txns
    assert (txn.price, txn.multiplier, txn.cost) == (D("425.25"), 50, D("1.5"))
    assert import_into(view, [txn])[txn.fqme].size == -4


def test_days_are_read_as_the_whole_report_writes_them(tmp_path):
    def day_of(found):
        return [
            datetime.fromtimestamp(txn.time_ns / NS, UTC).date().isoformat()
            for txn in found.txns
        ]

    first = {**STOCK, "dateTime": "05/11/2026;150405"}
    later = {**STOCK, "dateTime": "13/11/2026;150405", "ibExecID": "a.b.01.01"}
    other = {**STOCK, "dateTime": "11/13/2026;150405", "ibExecID": "a.b.01.01"}
    assert day_of(read(tmp_path, report(first, later))) == ["2026-11-05", "2026-11-13"]
    assert day_of(read(tmp_path, report(first, other))) == ["2026-05-11", "2026-11-13"]
    both = {**STOCK, "dateTime": "11/11/2026;150405"}
    assert day_of(read(tmp_path, report(both))) == ["2026-11-11"]
    for rows in ((first,), (first, later, other)):
        with pytest.raises(UsageError, match="yyyyMMdd"):
            read(tmp_path, report(*rows))


def test_another_trade_of_an_id_is_not_left_out_in_silence(tmp_path):
    other = {**STOCK, "quantity": "7", "tradeID": "777"}
    found = read(tmp_path, report(STOCK, STOCK, other))
    assert [txn.size for txn in found.txns] == [40]
    (note,) = [one for one in found.notes if "left out: " in one]
    assert STOCK["ibExecID"] in note
    assert "7 at 187.5" in note
