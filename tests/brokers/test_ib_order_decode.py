"""IB's orders, executions, fees: as its gateway sends them, and what is none."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st
from ib_async import AccountValue
from msgspec.structs import replace

from piker.brokers._live._venue import (
    NewOrder,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Unsure,
    VenueTrade,
)
from piker.brokers.ib._order_cash import cash_of, held_of, rates_of
from piker.brokers.ib._order_decode import (
    newest_execs,
    number,
    to_order,
    trade_of,
)
from piker.brokers.ib._order_reasons import (
    error_of,
    is_notice,
    is_read_only,
)
from piker.brokers.ib._order_rows import (
    Row,
    rows_of,
    state_of,
    with_order,
    with_status,
)
from piker.brokers.ib._order_schemas import (
    ErrorTold,
    ExecTold,
    FeeTold,
    Holding,
    OrderTold,
    StatusTold,
    Unread,
)
from piker.brokers.ib._order_wire import Wire
from piker.brokers.ib._wrapper import Ib, hush
from piker.errors import BadPayload
from piker.msgs import Asset, MktPair
from tests.brokers._damage import count_refused

D = Decimal
NUMBER = "DU1234567"
UNSET = "1.7976931348623157E308"
UNSET_INT = "2147483647"

#: A message openOrder of a gateway of version 178: a limit order for shares. N stands
#: for a number, I for a whole one, that isn't told.
OPEN_ORDER = [
    {"N": UNSET, "I": UNSET_INT}.get(field, field)
    for field in (
        f"5,7,76792991,TSLA,STK,,0,,,SMART,USD,TSLA,NMS,BUY,100,LMT,187.5,0.0,GTC,,"
        f"{NUMBER},,0,3f0a,6136,1748213021,0,0,0,,,,,,,,,N,,0,,-1,0,N,N,N,N,N,0,0,0,0,I,"
        "3,0,0,N,0,0,N,0,,,0,0,N,N,N,I,,0,0,0,I,I,,,0,,IB,0,0,,0,0,PreSubmitted,N,N,N,"
        "N,N,N,N,N,N,N,N,N,,,0,0,0,None,N,N,N,N,N,N,0,,,,0,0,0,0,0,I,I,0,I,I,N,N,N"
    ).split(",")
]
STATUS = [
    "3",
    "7",
    "Submitted",
    "40",
    "60",
    "187.5",
    "1748213021",
    "0",
    "187.5",
    "6136",
    "",
    "0",
]
EXECUTION = (
    "11,-1,7,76792991,TSLA,STK,,0,,,SMART,USD,TSLA,NMS,0000e0d5.5f1a0c3e.01.01,"
    f"20261127 15:04:05 US/Eastern,{NUMBER},NASDAQ,BOT,40,187.5,1748213021,6136,0,40,"
    "187.5,3f0a,,,,2,0"
).split(",")
FEE = ["59", "1", "0000e0d5.5f1a0c3e.01.01", "0.35", "USD", "", "", ""]
ERROR = f"4,2,7,201,Order rejected - reason:Not for {NUMBER},".split(",")

TOLD = OrderTold(
    order_id=7, client_id=6136, perm_id=1748213021, account=NUMBER, con_id=76792991,
    side="buy", kind="LMT", size=D(100), limit=D("187.5"), trigger=D(0), tif="GTC",
    ref="3f0a", outside_rth=False, status="PreSubmitted",
)  # fmt: skip
EXEC = ExecTold(
    exec_id="0000e0d5.5f1a0c3e.01.01", order_id=7, client_id=6136,
    perm_id=1748213021, account=NUMBER, con_id=76792991, kind="STK", currency="usd",
    side="buy", size=D(40), price=D("187.5"), time_ns=1795809845_000000000,
    ref="3f0a", liquidity=2,
)  # fmt: skip


class Gateway(SimpleNamespace):
    """What a wire needs of a connection."""

    def __hash__(self) -> int:
        return id(self)


class Heard:
    """A wire that is fed messages as the library decodes them."""

    def __init__(self) -> None:
        hush()
        self.hints: list = []
        ib = Ib(lambda *told: self.hints.append(told))
        ib.client._serverVersion = ib.client.decoder.serverVersion = 178
        ib.wrapper.accounts = [NUMBER]
        ib.wrapper.clientId = 6136
        self.gateway = Gateway(state="up", reason="", listeners=set())
        self.wire = Wire(Gateway(ib=ib, gateway=self.gateway))
        self.told: list = []
        self.wire.listeners.add(self.told.append)
        self.ib = ib

    def feed(self, *messages: list[str]) -> list:
        """Return what is told of messages."""
        self.told.clear()
        for fields in messages:
            self.ib.client.decoder.interpret(list(fields))
        return list(self.told)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


# -- as a gateway sends them -----------------------------------------------------------


def test_messages_of_an_order(heard):
    assert heard.feed(OPEN_ORDER) == [TOLD]
    assert heard.feed(STATUS) == [
        StatusTold(
            order_id=7, client_id=6136, perm_id=1748213021, status="Submitted",
            filled=D(40),
        )
    ]  # fmt: skip
    assert heard.feed(EXECUTION) == [EXEC]
    assert heard.feed(FEE) == [
        FeeTold(exec_id=EXEC.exec_id, fee=D("0.35"), currency="usd")
    ]


def test_an_order_that_is_only_looked_at_is_none(heard):
    looked = list(OPEN_ORDER)
    looked[OPEN_ORDER.index("PreSubmitted") - 1] = "1"
    assert heard.feed(looked) == []


def test_ids_of_ours_are_higher_than_all_that_were_told(heard):
    heard.feed(["5", "4711", *OPEN_ORDER[2:]])
    assert heard.ib.client._reqIdSeq == 4712


def test_an_error_tells_no_number_of_an_account(heard):
    (told,) = heard.feed(ERROR)
    assert told == ErrorTold(
        order_id=7, code=201, text="Order rejected - reason:Not for ***"
    )


def test_nothing_that_is_refused_shows_an_account(heard):
    for fields in (OPEN_ORDER, EXECUTION):
        for at in range(1, len(fields)):
            broken = [*fields[:at], "x" * 30, *fields[at + 1 :]]
            for told in heard.feed(broken):
                if isinstance(told, Unread):
                    assert NUMBER not in told.what
                    assert len(told.what.splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "at", "value"),
    [
        (OPEN_ORDER, "BUY", "HOLD"), (OPEN_ORDER, "PreSubmitted", "Marvellous"),
        (OPEN_ORDER, "100", "-1"), (OPEN_ORDER, "187.5", "nan"),
        (OPEN_ORDER, "187.5", "1e30"), (STATUS, "40", "-40"), (STATUS, "40", "nan"),
        (STATUS, "Submitted", "Sent"), (EXECUTION, "BOT", "?"),
        (EXECUTION, "40", "0"), (EXECUTION, EXEC.exec_id, ""),
        (EXECUTION, "20261127 15:04:05 US/Eastern", "yesterday"),
        (EXECUTION, "20261127 15:04:05 US/Eastern", "20261127 15:04:05 Mars/Pole"),
        (FEE, EXEC.exec_id, ""), (FEE, "0.35", "inf"), (ERROR, "201", "x"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_noted_as_unread(heard, fields, at, value):
    broken = list(fields)
    broken[fields.index(at)] = value
    (told,) = heard.feed(broken)
    assert isinstance(told, Unread)


@pytest.mark.parametrize("name", ["order", "status", "execution", "fee", "error"])
def test_damaged_messages_are_read_or_noted_and_nothing_else(heard, name):
    """20,000 of each: 10^5 in all."""
    fields = {
        "order": OPEN_ORDER, "status": STATUS, "execution": EXECUTION, "fee": FEE,
        "error": ERROR,
    }[name]  # fmt: skip
    number_of = fields[0]

    def parse(raw: bytes) -> None:
        parts = raw.decode(errors="backslashreplace").split(",")
        for told in heard.feed([number_of, *parts]):
            if isinstance(told, Unread):
                raise BadPayload(told.what)
            if isinstance(told, OrderTold) and told.perm_id:
                state_of(with_order(None, told), 1)
            if isinstance(told, ExecTold):
                trade_of(told, None)

    raw = ",".join(fields[1:]).encode()
    assert count_refused(raw, name, 20_000, parse) > 2000


# -- what is known of an order ---------------------------------------------------------


def told(status: str, **more) -> OrderTold:
    return OrderTold(**{**{f: getattr(TOLD, f) for f in TOLD.__struct_fields__},
                        "status": status, **more})  # fmt: skip


def word(status: str, filled=0) -> StatusTold:
    return StatusTold(
        order_id=7, client_id=6136, perm_id=TOLD.perm_id, status=status,
        filled=D(filled),
    )  # fmt: skip


def test_an_order_from_what_is_told_of_it():
    row = with_order(None, TOLD)
    assert state_of(row, 5) == OrderState(
        cl_id="3f0a", reqid="1748213021", bs_mktid="76792991", side="buy",
        price=D("187.5"), size=D(100), filled=D(0), state="open", time_ns=5,
    )  # fmt: skip
    row = with_status(row, word("Submitted", 40))
    assert (state_of(row, 5).state, row.filled) == ("open", 40)
    row = with_status(row, word("PendingCancel", 40))
    assert state_of(row, 5).state == "open"
    row = with_status(row, word("Cancelled", 40))
    assert state_of(row, 5).state == "canceled"
    # whatever comes late changes nothing
    row = with_order(with_status(row, word("Submitted", 20)), told("Submitted"))
    assert (row.status, row.filled) == ("Cancelled", 40)


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("PendingSubmit", 0, "open"), ("ApiPending", 0, "open"),
        ("Submitted", 100, "closed"), ("Filled", 100, "closed"),
        ("Filled", 0, "closed"), ("ApiCancelled", 0, "canceled"),
        ("Inactive", 0, "canceled"), ("Cancelled", 100, "closed"),
    ],
)  # fmt: skip
def test_how_an_order_is(status, filled, state):
    row = with_status(with_order(None, TOLD), word(status, filled))
    assert state_of(row, 1).state == state


def test_of_one_that_is_filled_the_list_of_those_that_are_over_tells_no_size():
    row = with_order(None, told("Filled", size=D(100), filled=D(100), is_over=True))
    state = state_of(row, 1)
    assert (state.state, state.size, state.filled) == ("closed", 100, 100)


def test_a_list_is_orders_with_the_last_word_on_each():
    by_hand = told("Submitted", order_id=0, client_id=0, perm_id=9)
    other = told("Submitted", client_id=3, perm_id=10)
    rows = rows_of([TOLD, word("Submitted", 10), by_hand, other, word("Filled", 100)])
    assert [(row.order.perm_id, row.status, row.filled) for row in rows] == [
        (TOLD.perm_id, "Filled", 100), (9, "Submitted", 0), (10, "Submitted", 0),
    ]  # fmt: skip


STATUSES = st.sampled_from(
    ["PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "Filled",
     "Cancelled", "Inactive"]
)  # fmt: skip


@given(st.lists(st.tuples(STATUSES, st.integers(0, 100)), max_size=8))
def test_what_is_filled_only_rises_and_what_is_over_stays_so(words):
    row = with_order(None, TOLD)
    for status, filled in words:
        after = with_status(row, word(status, filled))
        assert after.filled >= row.filled
        assert not row.is_over or after.is_over
        row = after


# -- what is sent ----------------------------------------------------------------------

MKT = MktPair(
    dst=Asset(name="tsla", atype="stock"), price_tick=D("0.01"), size_tick=D(1),
    bs_mktid="76792991", broker="ib", venue="nasdaq", atype="stock", settle="usd",
)  # fmt: skip


@pytest.mark.parametrize(
    ("price", "trigger", "kind"),
    [(D(5), None, "LMT"), (None, D(4), "STP"), (D(5), D(4), "STP LMT")],
)
def test_orders_as_they_are_sent(price, trigger, kind):
    new = NewOrder(
        mkt=MKT, cl_id="3f", side="sell", price=price, size=D("2.5"), trigger=trigger,
        tif="fok",
    )  # fmt: skip
    sent = to_order(new, NUMBER, outside_rth=True)
    assert (sent.orderType, sent.action, sent.tif) == (kind, "SELL", "FOK")
    assert (sent.orderRef, sent.account, sent.outsideRth) == ("3f", NUMBER, True)
    assert str(sent.totalQuantity) == "2.5"
    assert sent.lmtPrice == (price or float(UNSET))
    assert sent.auxPrice == (trigger or float(UNSET))


# -- executions ------------------------------------------------------------------------


def test_an_execution_and_its_fee():
    fee = FeeTold(exec_id=EXEC.exec_id, fee=D("0.35"), currency="usd")
    trade = VenueTrade(
        tid=EXEC.exec_id, reqid="1748213021", cl_id="3f0a", bs_mktid="76792991",
        side="buy", price=D("187.5"), size=D(40), fee=D("0.35"), fee_asset="",
        time_ns=EXEC.time_ns, taker=True, has_editions=True,
    )  # fmt: skip
    assert trade_of(EXEC, fee) == trade
    foreign = FeeTold(exec_id=EXEC.exec_id, fee=D(-1), currency="eur")
    assert (trade_of(EXEC, foreign).fee, trade_of(EXEC, foreign).fee_asset) == (
        -1, "eur",
    )  # fmt: skip
    assert trade_of(EXEC, None).fee == 0


def with_id(exec_id: str, time_ns: int = 1) -> ExecTold:
    fields = {f: getattr(EXEC, f) for f in EXEC.__struct_fields__}
    return ExecTold(**{**fields, "exec_id": exec_id, "time_ns": time_ns})


def test_a_combination_is_told_by_its_legs():
    fields = {f: getattr(EXEC, f) for f in EXEC.__struct_fields__}
    assert trade_of(ExecTold(**{**fields, "kind": "BAG"}), None) is None


def test_of_corrections_the_newest_counts_in_order_of_time():
    told = [with_id("b.01", 5), with_id("a.01", 3), with_id("a.02", 3),
            with_id("a.01", 3), with_id("c", 1)]  # fmt: skip
    assert [one.exec_id for one in newest_execs(told)] == ["c", "a.02", "b.01"]


# -- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (201, OrderRejected), (110, OrderRejected), (203, OrderRejected),
        (105, OrderRejected), (383, OrderRejected), (10243, OrderRejected),
        (99999, OrderRejected), (104, OrderGone), (135, OrderGone), (161, OrderGone),
        (10147, OrderGone), (10148, OrderGone), (100, NotSent), (106, NotSent),
        (103, Unsure), (504, Unsure), (1100, Unsure), (322, Unsure),
    ],
)  # fmt: skip
def test_what_a_code_means(code, kind):
    found = error_of(code, "Some words\nof IB")
    assert type(found) is kind
    assert str(found) == f"ib: Some words of IB (code {code})"


def test_notices_end_nothing():
    assert all(is_notice(code) for code in (399, 404, 2109, 2161, 10167, 10349))
    assert not any(is_notice(code) for code in (201, 202, 110, 321, 10148))


def test_a_gateway_that_is_read_only_says_what_to_do():
    words = "Error validating request: cause - The API interface is currently in"
    words += " Read-Only mode."
    assert is_read_only(321, words)
    assert not is_read_only(321, "Error validating request")
    found = error_of(321, words)
    assert type(found) is NotSent
    assert "untick 'Read-Only API'" in str(found)


# -- what an account has ---------------------------------------------------------------


def test_cash_rates_and_holdings():
    values = [
        AccountValue(NUMBER, "CashBalance", value, currency, "")
        for currency, value in (("USD", "1000.25"), ("EUR", "-3"), ("BASE", "997"),
                                ("GBP", "0.00"))
    ]  # fmt: skip
    values += [
        AccountValue("DU7654321", "CashBalance", "5", "USD", ""),
        AccountValue(NUMBER, "ExchangeRate", "1.1", "EUR", ""),
        AccountValue(NUMBER, "ExchangeRate", "1.00", "USD", ""),
    ]
    assert cash_of(values, NUMBER) == {"usd": D("1000.25"), "eur": D(-3)}
    assert rates_of(values, NUMBER) == {"eur": D("1.1"), "usd": D(1)}
    held = [
        Holding(account=account, con_id=con_id, kind=kind, size=D(size))
        for account, con_id, kind, size in (
            (NUMBER, 1, "STK", -5), (NUMBER, 2, "CASH", 9), (NUMBER, 3, "FUT", 2),
            ("DU7654321", 1, "STK", 7), (NUMBER, 4, "CRYPTO", "0.5"),
        )
    ]  # fmt: skip
    coin = replace(
        MKT, dst=Asset(name="btc", atype="crypto"), venue="paxos", atype="crypto",
        src=Asset(name="usd", atype="fiat"),
    )  # fmt: skip
    # a coin is told as trades of it add up: see `traded`
    assert held_of(held, NUMBER, {1: MKT, 4: coin}) == {
        "tsla.nasdaq.ib": -5, "contract 3": 2, "btc": D("0.5"),
    }  # fmt: skip
    assert str(number("100000")) == str(number(100000.0)) == "100000"
    with pytest.raises(BadPayload):
        cash_of([AccountValue(NUMBER, "CashBalance", "much", "USD", "")], NUMBER)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("", 0), (None, 0), (float(UNSET), 0), (187.1, D("187.1")), ("40", 40),
     (D("0.10"), D("0.1")), (-3.5, D("-3.5")), (1e-16, D("1E-16"))],
)  # fmt: skip
def test_numbers_are_what_was_written(raw, value):
    assert number(raw) == value


@pytest.mark.parametrize("raw", ["x", float("nan"), float("inf"), "1e16", 1e-17, [1]])
def test_numbers_that_are_none(raw):
    with pytest.raises(BadPayload):
        number(raw)


def test_rows_are_kept_as_they_are():
    assert Row(TOLD, "Filled", D(1)).is_over


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (0.1 + 0.2, "0.3"), (0.41000000000000003, "0.41"),
        (187.42999999999998, "187.43"),
        (-0.41000000000000003, "-0.41"), (1.00005, "1.00005"), (2.5e-8, "0.000000025"),
    ],
)  # fmt: skip
def test_a_double_that_was_counted_with_is_what_it_means(heard, raw, value):
    """A trailing stop's price is what TWS has counted, and is told as it is."""
    assert number(raw) == D(value)
    (told,) = heard.feed([repr(raw) if one == "187.5" else one for one in OPEN_ORDER])
    assert told.limit == D(value)


def test_no_number_of_an_account_is_told(heard):
    """Nor of one that the gateway doesn't know: it tells it as it was sent."""
    words = "Invalid account code 'DU7654321' of U1234567, F12345: ESZ26 0000e0d5.5f"
    (told,) = heard.feed([*ERROR[:4], words, *ERROR[5:]])
    assert told.text == "Invalid account code '***' of ***, ***: ESZ26 0000e0d5.5f"
    assert heard.hints[-1][2] == told.text
    # nor where a message is damaged
    (odd,) = heard.feed([NUMBER if one == "187.5" else one for one in EXECUTION])
    assert isinstance(odd, Unread)
    assert NUMBER not in odd.what
