"""Each gate refuses by name and in a sentence; what passes all of them is in bounds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from piker.clearing._exact import is_multiple
from piker.clearing._gates import Known
from piker.clearing._prices import Prices, market_limit
from piker.clearing._rate import BURST_S, RateLimit
from piker.clearing._refusal import Refusal
from piker.clearing._risk import GATES, as_sent, check_edit, check_order, reducible
from piker.config import RiskConf
from piker.msgs import NS, Calendar, Edit, Order
from tests.clearing._orders import FROM_100, MKT, D, market, order

HOUR = 3600
NO_LIMITS = RiskConf(max_open_orders=0, max_orders_per_s=0, price_band_pct=0)
CONF = RiskConf(max_size=100, max_notional=5000, max_open_orders=3)
NOW = int(datetime(2026, 3, 2, 15, tzinfo=UTC).timestamp()) * NS  # a Monday
PRICES = Prices(last=100.0, bid=99.99, ask=100.01)
#: Open from Monday 16:00 on.
CLOSED = Calendar(weekly=((16 * HOUR, 20 * HOUR),))


def known(**more):
    base = {
        "now_ns": NOW,
        "mkt": MKT,
        "prices": PRICES,
        "accounts": frozenset({"paper", "sim.main"}),
    }
    return Known(**{**base, **more})


def dark(*args, **more):
    return order(*args, exec_mode="dark", **more)


def stop(trigger, side="buy", price="101", **more):
    return order(side, price, trigger=D(trigger), account="sim.main", **more)


def alert(price="110", **more):
    return order("alert", price, size=more.pop("size", "0"), **more)


PASSES = [
    order(),
    order("sell"),
    order(price="110"),
    order("sell", "90"),
    # far off on the better side
    order(price="0.01"),
    order("sell", "1000000", size="0.001"),
    order(price=None, otype="market"),
    order(post_only=True),
    order(tif="ioc"),
    order(tif="fok"),
    stop("100.5"),
    stop("99.5", "sell", "99"),
    stop("108", price="115"),
    stop("100.5", price=None, otype="market"),
    order(tif="day"),
    order(tif="gtd", expires_ns=NOW + 1),
    order(brokers=("sim",)),
    order(account="sim.main"),
    order(oid="a.B_c:-9" * 8),
    dark(price="200"),
    dark(price="90", trigger="95"),
    dark(price=None, otype="market", trigger="95"),
    dark("sell", reduce_only=True),
    alert(),
    alert(None, trigger="110"),
    alert("0.01"),
]


@pytest.mark.parametrize("made", PASSES)
def test_what_is_in_order_passes(made):
    assert check_order(made, known(), CONF) is None


REFUSED = [
    ("shape", order(oid=""), {}, "an oid is 1 to 64 of A-Za-z0-9_.:-, got ''"),
    ("shape", order(oid="a" * 65), {}, "an oid is 1 to 64"),
    ("shape", order(oid="a b"), {}, "an oid is 1 to 64"),
    ("shape", order(oid="é"), {}, "an oid is 1 to 64"),
    ("shape", order(oid="a\n"), {}, "an oid is 1 to 64"),
    ("shape", order("hold"), {}, "action is buy, sell or alert, got 'hold'"),
    ("shape", order(exec_mode="paper"), {}, "exec_mode is dark or live, got 'paper'"),
    ("shape", order(otype="stop"), {}, "otype is limit or market, got 'stop'"),
    ("shape", order(tif="now"), {}, "tif is gtc, day, gtd, ioc or fok, got 'now'"),
    ("shape", order(size="nan"), {}, "a size is a number of at most 30 digits"),
    ("shape", order(size="snan"), {}, "a size is a number"),
    ("shape", order(price="inf"), {}, "a price is a number"),
    ("shape", order(price="1e30"), {}, "a price is a number"),
    ("shape", order(size="1e-31"), {}, "a size is a number"),
    ("shape", order(size="1e-999999"), {}, "a size is a number"),
    ("shape", dark(trigger="nan"), {}, "a trigger is a number"),
    ("shape", order(trail=D("inf")), {}, "a trail is a number"),
    ("shape", order(price=None), {}, "a limit order needs a price"),
    ("shape", alert(None), {}, "a limit order needs a price"),
    ("shape", order(otype="market"), {}, "a market order has no price, got 100:"),
    ("shape", alert(otype="market"), {}, "an alert is no market order"),
    ("shape", order(price=None, otype="market", post_only=True), {},
     "it can't be post"),
    ("shape", dark(price=None, otype="market"), {}, "a dark market order needs a trig"),
    ("shape", order(trigger="99"), {},
     "a paper account has no stops of its own, got a live order with the trigger 99"),
    ("shape", stop("101", post_only=True), {}, "a stop takes, so it can't be post_onl"),
    ("shape", stop("101", tif="fok"), {}, "a stop waits, what is fok doesn't"),
    ("shape", order(post_only=True, tif="ioc"), {}, "choose one of them"),
    ("shape", order(post_only=True, tif="fok"), {}, "what is fok doesn't"),
    ("stop", stop("100"), {}, "a live buy with a trigger is a stop, which waits above"
     " the price now, 100, got 100: make it a dark one"),
    ("stop", stop("100.02", "sell"), {}, "which waits below the price now, 100, got"),
    ("price_band", stop("101", price="120"), {}, "price now, 101, got 120: 111.1 or b"),
    ("shape", alert(reduce_only=True), {}, "an alert is never sent"),
    ("unbuilt", dark(trail=D(3)), {},
     "trailing triggers aren't built yet, got a trail"),
    ("unbuilt", order(group="exits"), {}, "one-cancels-other groups aren't built yet"),
    ("market", order(symbol="x.sim"), {"mkt": None},
     "no market 'x.sim'; `piker search"),
    ("market", alert(), {"mkt": market(expiry="20260301")},
     "expired at 2026-03-02T00:00"),
    ("market", order(brokers=("kraken",)), {}, "is traded at sim, got brokers kraken:"),
    ("account", order(account="ib.ira"), {},
     "no account 'ib.ira'; there is: paper, sim.main"),
    ("account", order(), {"accounts": frozenset()},
     "no account 'paper'; there is: none"),
    ("halt", order(), {"halted": True}, "trading is halted: only live orders that are"),
    ("halt", dark(reduce_only=True), {"halted": True}, "trading is halted"),
    ("size", order(size="0"), {}, "a size is more than 0, got 0: the action says"),
    ("size", order(size="-1"), {}, "a size is more than 0, got -1"),
    ("size", alert(size="1"), {}, "an alert has a size of 0, got 1"),
    ("lot", order(size="0.0015"), {},
     "a size in btcusdt.spot.sim is a multiple of 0.001, "
     "got 0.0015: 0.001 or 0.002 would do"),
    ("lot", order(size="0.0005"), {}, "got 0.0005: 0.001 would do"),
    ("tick", order(price="100.005"), {}, "a price in btcusdt.spot.sim is a multiple of "
     "0.01, got 100.005: 100 or 100.01 would do"),
    ("tick", order(price="0"), {}, "a price is more than 0, got 0"),
    ("tick", order(price="-100"), {}, "a price is more than 0, got -100"),
    ("tick", dark(trigger="99.999"), {},
     "a trigger in btcusdt.spot.sim is a multiple of"),
    ("tick", alert("100.1234"), {}, "a price in btcusdt.spot.sim is a multiple"),
    ("tick", order(price="100"), {"mkt": market("3")},
     "of 3, got 100: 99 or 102 would do"),
    ("tick", order(price="100.01"), {"mkt": replace(MKT, price_steps=FROM_100)},
     "is a multiple of 0.05 there, got 100.01: 100 or 100.05 would do"),
    ("limits", order(size="0.004"), {"mkt": replace(MKT, size_min=D("0.005"))},
     "an order in btcusdt.spot.sim has a size of 0.005 at least, got 0.004"),
    ("limits", order(size="9"), {"mkt": replace(MKT, size_max=D(8))}, "of 8 at most"),
    ("limits", order(size="0.01", price="90"), {"mkt": replace(MKT, cost_min=D(5))},
     "is worth 5 usdt at least, got 0.01 at 90, 0.9: 0.056 would do"),
    ("limits", order(size="0.04", price=None, otype="market"),
     {"mkt": replace(MKT, cost_min=D(5))}, "at 100, 4: 0.05 would do"),
    ("tif", order(expires_ns=1), {},
     "only a gtd order has an expires_ns, got 1 with gtc"),
    ("tif", order(tif="gtd"), {},
     "needs an expires_ns to come, got none; it is 2026-03-02"),
    ("tif", order(tif="gtd", expires_ns=NOW), {},
     "got 2026-03-02T15:00:00Z; it is 2026-"),
    ("tif", order(tif="gtd", expires_ns=-(10**30)), {}, "needs an expires_ns to come"),
    ("hours", order(), {"calendar": CLOSED}, "is closed until 2026-03-02T16:00:00Z"),
    ("max_size", order(size="100.001", price="1"), {},
     "a size of 100 at most, got 100.001"),
    ("max_notional", order(size="50.001"), {}, "worth 5000 at most, got 50.001 at 100, "
     "5000.1; risk.max_notional sets it"),
    # what is sold cheaply is worth what it would bring
    ("max_notional", order("sell", "90", size="51"), {}, "got 51 at 100, 5100"),
    ("max_notional", order(price=None, otype="market", size="51"), {},
     "51 at 100, 5100"),
    ("max_notional", dark(price="51", size="99"), {}, "got 99 at 51, 5049"),
    ("max_notional", order(), {"mkt": market(multiplier=D(51))}, "got 1 at 100, 5100"),
    ("max_notional", order(size="51"), {"mkt": market(multiplier=D(100), settle="btc")},
     "got 51 at 100, 5100"),
    ("max_notional", order(price=None, otype="market"), {"prices": Prices()},
     "no price of"),
    ("price_band", order(price="110.01"), {}, "a buy is limited to 10% above the price "
     "now, 100, got 110.01: 110 or below would do"),
    ("price_band", order("sell", "89.99"), {},
     "a sell is limited to 10% below the price "
     "now, 100, got 89.99: 90 or above would do"),
    ("price_band", order(), {"prices": Prices()},
     "no price of btcusdt.spot.sim is known"),
    ("reduce_only", order(reduce_only=True), {},
     "has a position of 0 before it: there is"),
    ("reduce_only", order(reduce_only=True), {"position": D(2)},
     "a position of 2 before"),
    ("reduce_only", order("sell", reduce_only=True, size="2.001"), {"position": D(2)},
     "a sell of 2.001 that is reduce_only has a position of 2 before it: at most 2 "
     "would"),
    ("max_open_orders", order(), {"open_orders": 3},
     "has 3 open orders at most, this one"),
    ("rate", order(), {"wait_s": 0.25},
     "50 orders a second may leave, this one came too "
     "soon: wait 0.250 s"),
    ("rate", dark(), {"wait_s": 0.25}, "50 orders a second may leave"),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "made", "more", "says"), REFUSED)
def test_refusals(gate, made, more, says):
    refusal = check_order(made, known(**more), CONF)
    assert refusal is not None
    assert refusal.gate == gate
    assert says in refusal.reason
    assert len(refusal.reason.splitlines()) == 1
    # none of them is the default: a market's own rules apply without any limit
    if gate not in {
        "max_size",
        "max_notional",
        "price_band",
        "max_open_orders",
        "rate",
    }:
        refused = check_order(made, known(**more), NO_LIMITS)
        assert refused is not None
        assert refused.gate == gate


def test_every_gate_refuses_something():
    assert {gate for gate, *_ in REFUSED} == {name for name, *_ in GATES}


@pytest.mark.parametrize("kind", ["alert", "dark", "live"])
def test_what_waits_is_held_up_by_nothing_that_concerns_what_leaves(kind):
    """A dark or an alert may be set while its market is closed and has no price."""
    made = {"alert": alert(), "dark": dark(price="200"), "live": order()}[kind]
    found = check_order(
        made,
        known(calendar=CLOSED, prices=Prices(), open_orders=9),
        RiskConf(max_open_orders=3),
    )
    assert (found is None) == (kind != "live")


def test_while_halted_positions_can_be_made_smaller_and_alerts_set():
    now = known(halted=True, position=D(2))
    assert check_order(order("sell", reduce_only=True, size="2"), now, CONF) is None
    assert check_order(alert(), now, CONF) is None


@pytest.mark.parametrize(
    ("action", "position", "most"),
    [("sell", "2", "2"), ("buy", "2", "0"), ("buy", "-3", "3"), ("sell", "0", "0")],
)
def test_what_could_be_taken_off(action, position, most):
    assert reducible(order(action), D(position)) == D(most)


# -- edits --------------------------------------------------------------------------


def edit(**changes):
    return Edit(oid="o1", edit_id="e1", **{k: D(v) for k, v in changes.items()})


def test_an_edit_changes_what_it_says_and_no_more():
    was = dark(price="95", trigger="96", size="3", tif="day")
    now = known(filled=D(1))
    changed = check_edit(edit(price="94", size="2"), was, now, CONF)
    assert changed == msgspec.structs.replace(was, price=D(94), size=D(2))
    moved = check_edit(edit(trigger="97"), was, now, CONF)
    assert moved == msgspec.structs.replace(was, trigger=D(97))


@pytest.mark.parametrize(
    ("gate", "change", "was", "says"),
    [
        (
            "size",
            edit(size="0.999"),
            order(),
            "1 of 'o1' is filled already, a whole size",
        ),
        ("size", edit(size="1"), order(), "ask for more than that, or cancel the rest"),
        ("size", edit(size="0"), order(), "a size is more than 0"),
        ("size", edit(size="-5"), order(), "a size is more than 0"),
        ("lot", edit(size="1.0001"), order(), "a multiple of 0.001"),
        ("tick", edit(price="99.999"), order(), "a multiple of 0.01"),
        ("shape", edit(price="nan"), order(), "a price is a number"),
        (
            "shape",
            edit(),
            order(),
            "an edit changes a price, a size or a trigger, got no",
        ),
        (
            "shape",
            edit(trigger="99"),
            dark(),
            "'o1' has no trigger of its own to change",
        ),
        ("shape", edit(trigger="99"), order(), "'o1' has no trigger of its own"),
        ("price_band", edit(price="200"), order(), "a buy is limited to 10% above"),
        ("max_size", edit(size="101"), order(price="1"), "a size of 100 at most"),
        ("max_notional", edit(size="99"), order(), "worth 5000 at most"),
    ],
)
def test_an_edit_passes_the_same_gates(gate, change, was, says):
    refusal = check_edit(change, was, known(filled=D(1)), CONF)
    assert isinstance(refusal, Refusal)
    assert refusal.gate == gate
    assert says in refusal.reason


def test_of_what_is_reduce_only_the_rest_counts():
    was = order("sell", size="3", reduce_only=True)
    now = known(filled=D(2), position=D(1))
    assert isinstance(check_edit(edit(size="3"), was, now, CONF), Order)
    assert check_edit(edit(size="3.001"), was, now, CONF).gate == "reduce_only"


# -- what leaves ----------------------------------------------------------------------


def test_what_fires_passes_as_it_is_sent():
    was = dark(price="90", trigger="95", tif="day")
    sent = as_sent(was, D("90"))
    assert (sent.exec_mode, sent.trigger, sent.tif) == ("live", None, "day")
    assert check_order(sent, known(), CONF) is None
    far = as_sent(dark(price="200"), D("200"))
    assert check_order(far, known(), CONF).gate == "price_band"


def test_a_market_order_never_rests():
    was = dark(price=None, otype="market", trigger="95", tif="gtd", expires_ns=NOW + 9)
    sent = as_sent(was, D("95.05"))
    assert (sent.otype, sent.price, sent.tif, sent.expires_ns) == (
        "limit", D("95.05"), "ioc", 0,
    )  # fmt: skip
    assert check_order(sent, known(), CONF) is None


NAN = math.nan


@pytest.mark.parametrize(
    ("side", "last", "bid", "ask", "limit"),
    [
        ("buy", 100.0, 99.9, 100.1, "101"),
        ("sell", 100.0, 99.9, 100.1, "99"),
        # to the tick, within the band
        ("buy", 100.33, NAN, NAN, "101.33"),
        ("sell", 100.33, NAN, NAN, "99.33"),
        # the trade is old: what is quoted has left it behind
        ("buy", 90.0, 99.0, 100.0, "99.99"),
        ("sell", 110.0, 99.0, 100.0, "99"),
        # a side that is far away moves nobody
        ("buy", 100.0, 99.9, 1e9, "101"),
        ("sell", 100.0, 0.01, 100.1, "99"),
        ("buy", NAN, 99.0, 1e9, "99.99"),
        ("sell", NAN, 0.01, 100.0, "99"),
        # only one side is there
        ("buy", NAN, NAN, 100.0, "101"),
        ("buy", NAN, 100.0, NAN, "101"),
        # nonsense is no price
        ("buy", 0.0, -1.0, 100.0, "101"),
        ("buy", math.inf, NAN, 100.0, "101"),
        # the smallest price there is
        ("sell", 0.01, NAN, NAN, "0.01"),
    ],
)
def test_a_market_order_is_bound(side, last, bid, ask, limit):
    prices = Prices(last=last, bid=bid, ask=ask)
    assert market_limit(side, prices, 1.0, MKT) == D(limit)


def test_without_a_price_a_market_order_has_no_bound():
    refusal = market_limit("buy", Prices(), 1.0, MKT)
    assert isinstance(refusal, Refusal)
    assert "no price of btcusdt.spot.sim is known yet" in refusal.reason


@given(
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 10**9),
    st.sampled_from(["0.01", "0.25", "5", "0.00000001", "1000"]),
    st.floats(0, 50),
)
def test_a_bound_is_a_price_of_the_market_and_the_worst_in_the_band(
    side, units, step, band
):
    mkt, last = market(step), units * D(step)
    limit = market_limit(side, Prices(last=float(last)), band, mkt)
    assert is_multiple(limit, D(step))
    share = D(repr(band)) / 100
    edge = last * (1 + share) if side == "buy" else last * (1 - share)
    if side == "buy":
        assert last <= limit <= edge
        assert limit + D(step) > edge
    else:
        assert edge <= limit <= last
        assert limit - D(step) < edge
    assert check_order(
        order(side, limit, symbol=mkt.fqme),
        known(mkt=mkt, prices=Prices(last=float(last))),
        RiskConf(price_band_pct=band),
    ) is None  # fmt: skip


# -- whatever comes --------------------------------------------------------------------

decimals = st.decimals(allow_nan=True, allow_infinity=True) | st.builds(
    Decimal.scaleb, st.integers(-2000, 200_000).map(Decimal), st.integers(-4, 0)
)
any_order = st.builds(
    Order,
    oid=st.text(max_size=3) | st.just("o1"),
    action=st.sampled_from(["buy", "sell", "alert", "x"]),
    symbol=st.just(MKT.fqme),
    size=decimals,
    exec_mode=st.sampled_from(["live", "dark"]),
    account=st.sampled_from(["paper", "other"]),
    price=st.none() | decimals,
    otype=st.sampled_from(["limit", "market"]),
    tif=st.sampled_from(["gtc", "day", "gtd", "ioc", "fok"]),
    expires_ns=st.sampled_from([0, 1, NOW + 1, -(2**70)]),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    trigger=st.none() | decimals,
)
any_known = st.builds(
    known,
    prices=st.builds(
        Prices, last=st.floats(), bid=st.floats(), ask=st.floats()
    ) | st.just(PRICES),
    position=st.integers(-3, 3).map(Decimal),
    open_orders=st.integers(0, 4),
    halted=st.booleans(),
    calendar=st.sampled_from([Calendar(), CLOSED]),
)  # fmt: skip


@given(any_order, any_known)
def test_whatever_comes_is_refused_in_a_sentence_or_within_bounds(made, now):
    refusal = check_order(made, now, CONF)
    if refusal is not None:
        assert refusal.gate in {name for name, *_ in GATES}
        assert len(refusal.reason.splitlines()) == 1
        assert len(refusal.reason) < 400
        return
    assert is_multiple(made.size, MKT.size_tick)
    assert made.price is None or (
        made.price > 0 and is_multiple(made.price, MKT.price_tick)
    )
    if made.action != "alert":
        assert 0 < made.size <= 100
        assert not now.halted or made.reduce_only
        if made.exec_mode == "live":
            assert now.open_orders < 3
            assert now.calendar.is_open(NOW // NS)
            assert not made.reduce_only or made.size <= reducible(made, now.position)


# -- how many --------------------------------------------------------------------------


def test_a_burst_then_so_many_a_second():
    limit, at = RateLimit(10, 0.0), 0.0
    for _ in range(10 * BURST_S):
        assert limit.wait_s(at) == 0
        limit.take(at)
    assert limit.wait_s(at) == pytest.approx(0.1)
    assert limit.wait_s(at + 0.05) == pytest.approx(0.05)
    assert limit.wait_s(at + 0.1) == pytest.approx(0)


def test_no_limit_waits_for_nothing():
    limit = RateLimit(0, 0.0)
    for _ in range(1000):
        limit.take(0.0)
    assert limit.wait_s(0.0) == 0


@given(
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 3), max_size=200),
)
def test_no_span_sees_more_than_the_limit(per_s, waits):
    limit, now_s, left = RateLimit(per_s, 0.0), 0.0, []
    for wait in waits:
        now_s += wait
        if limit.wait_s(now_s) == 0:
            limit.take(now_s)
            left.append(now_s)
    for i, start in enumerate(left):
        for k, end in enumerate(left[i:], 1):
            assert k <= max(per_s * BURST_S, 1) + (end - start) * per_s + 1e-6


def test_a_clock_that_goes_back_gives_nothing_away():
    limit = RateLimit(1, 10.0)
    for _ in range(BURST_S):
        limit.take(10.0)
    limit.take(5.0)
    assert limit.wait_s(10.0) == pytest.approx(2.0)


def test_an_account_of_another_broker_is_refused():
    """Else it would be held against one market's prices and sent to another."""
    accounts = frozenset({"paper", "kraken.main"})
    refusal = check_order(order(account="kraken.main"), known(accounts=accounts), CONF)
    assert refusal is not None
    assert refusal.gate == "account"
    assert "is at kraken: take one of sim's" in refusal.reason
