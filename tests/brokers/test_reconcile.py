"""A venue's orders against ours: whatever is known and told, it comes to the truth."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, strategies as st

from piker.brokers._live._client_ids import client_id, revisions
from piker.brokers._live._reconcile import Known, fresh, later, oid_of, reconcile
from piker.brokers._live._venue import OrderState, VenueTrade

FQME = "btcusdt.spot.binance"
D = Decimal


def state(oid="a", rev=0, reqid="1", state="open", filled="0", size="1", **more):
    return OrderState(
        cl_id=more.pop("cl_id", client_id(oid, rev)), reqid=reqid, bs_mktid="BTCUSDT",
        side="buy", price=D(100), size=D(size), filled=D(filled), state=state,
        time_ns=1, **more,
    )  # fmt: skip


def known(oid="a", newest=0, **more):
    return Known(oid=oid, newest=newest, symbol=FQME, **more)


# -- ids ------------------------------------------------------------------------------


def test_an_id_is_of_an_order_and_a_revision_alone():
    assert client_id("a", 0) == client_id("a", 0)
    ids = {client_id(oid, rev) for oid in ("a", "b", "1:a", "") for rev in range(20)}
    assert len(ids) == 80
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
    assert len(client_id("\udcff", 0)) == 32, "whatever a client calls it"
    assert [rev for _, rev in revisions("a", 2)] == [2, 1, 0]
    assert len(list(revisions("a", 1000))) == 64


# -- plans ----------------------------------------------------------------------------


def test_what_is_open_is_found_by_its_newest_revision():
    plan = reconcile([known(newest=2)], [state(rev=1, reqid="7")], {})
    assert plan.found == {"a": state(rev=1, reqid="7")}
    assert (plan.absent, plan.ask, plan.strangers, plan.warnings) == ((), (), (), ())


def test_what_is_not_open_is_asked_for_the_newest_first():
    plan = reconcile([known(newest=1)], [], {})
    (question,) = plan.ask
    assert (question.cl_id, question.symbol) == (client_id("a", 1), FQME)
    answers = {question.cl_id: None}
    (question,) = reconcile([known(newest=1)], [], answers).ask
    assert question.cl_id == client_id("a", 0)
    ended = state(state="canceled", filled="0.5")
    plan = reconcile([known(newest=1)], [], answers | {question.cl_id: ended})
    assert plan.found == {"a": ended}


def test_what_never_came_is_absent_and_what_was_there_is_not():
    answers = {client_id("a", 0): None}
    assert reconcile([known()], [], answers).absent == ("a",)
    seen = state(reqid="9", filled="0.5")
    plan = reconcile([known(seen=seen, reqid="9")], [], answers)
    assert (plan.absent, plan.found) == ((), {"a": seen})
    (warning,) = plan.warnings
    assert "doesn't know order 'a' any more, which it had as 9" in warning


def test_orders_of_others_are_told_apart():
    theirs = state("z", reqid="5"), state(reqid="6", cl_id="")
    plan = reconcile([known()], [state(), *theirs], {})
    assert plan.strangers == theirs


def test_two_that_rest_are_warned_of_and_the_newest_counts():
    rests = state(rev=0, reqid="1"), state(rev=1, reqid="2")
    plan = reconcile([known(newest=1)], rests, {})
    assert plan.found == {"a": rests[1]}
    assert plan.strangers == ()
    assert plan.warnings == ("order 'a' rests more than once: 2, 1",)
    assert [state.reqid for state in plan.doubled] == ["1"]


HISTORIES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.lists(
        st.tuples(
            st.sampled_from(["open", "canceled", "closed"]), st.integers(0, 4)
        ),
        min_size=1, max_size=4,
    ),
)  # fmt: skip


@given(HISTORIES, st.sets(st.sampled_from("abcdefgh")), st.data())
def test_asked_until_nothing_is_left_it_comes_to_the_truth(histories, ours, data):
    """A venue with some revisions of each order, of which the last may be open."""
    there: dict[str, OrderState] = {}
    last: dict[str, OrderState] = {}
    for oid, revs in histories.items():
        for rev, (how, filled) in enumerate(revs):
            is_last = rev == len(revs) - 1
            ends = how if is_last or how != "open" else "canceled"
            one = state(oid, rev, f"{oid}{rev}", ends, str(filled), size="4")
            there[one.cl_id] = last[oid] = one
    open_orders = [one for one in there.values() if one.state == "open"]
    # what is known of an order may be a revision more than ever came
    asked = [
        known(oid, len(histories.get(oid, ())) - 1 + data.draw(st.integers(0, 1)))
        for oid in sorted(ours)
    ]
    asked = [one for one in asked if one.newest >= 0]
    answers = {}
    for _ in range(20):
        plan = reconcile(asked, open_orders, answers)
        if not plan.ask:
            break
        assert len({q.oid for q in plan.ask}) == len(plan.ask), "one a time"
        assert not {q.cl_id for q in plan.ask} & answers.keys(), "each once"
        answers |= {q.cl_id: there.get(q.cl_id) for q in plan.ask}
    assert not plan.ask
    names = {one.oid for one in asked}
    assert plan.found == {oid: last[oid] for oid in names if oid in last}
    assert set(plan.absent) == {oid for oid in names if oid not in last}
    assert {one.reqid for one in plan.strangers} == {
        one.reqid for one in open_orders if one.reqid not in
        {last[oid].reqid for oid in names if oid in last}
    }  # fmt: skip


# -- which of two states is the later one ---------------------------------------------

TRUE = [
    state(filled="0"), state(filled="0.2"), state(filled="0.6"),
    state(state="canceled", filled="0.6"),
]  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_in_whatever_order_states_come_the_last_one_counts(order):
    now = None
    for at in order:
        now = later(now, TRUE[at])
        assert later(now, TRUE[at]) == now, "twice is once"
    assert now == TRUE[-1]


def test_a_cancel_that_came_before_its_fill():
    ended = later(state(state="canceled", filled="0.2"), state(filled="0.6"))
    assert (ended.state, ended.filled) == ("canceled", D("0.6"))
    whole = later(state(state="canceled", filled="0.2"), state(filled="1"))
    assert (whole.state, whole.filled) == ("closed", D(1))


@given(st.lists(st.sampled_from(TRUE), min_size=1, max_size=8))
def test_what_is_filled_only_rises_and_what_is_over_stays_so(told):
    now = None
    for each in told:
        was, now = now, later(now, each)
        if was is not None:
            assert now.filled >= was.filled
            assert now.is_over or not was.is_over


# -- trades ---------------------------------------------------------------------------


def trade(tid="1", **more):
    return VenueTrade(
        tid=tid, reqid=more.pop("reqid", "9"), bs_mktid="BTCUSDT", side="buy",
        price=D(1), size=D(1), fee=D(0), fee_asset="btc", time_ns=1, **more,
    )  # fmt: skip


def test_whose_a_trade_is():
    assert oid_of(trade(cl_id="x"), {"x": "a"}, {}) == "a"
    assert oid_of(trade(), {}, {"9": "b"}) == "b"
    assert oid_of(trade(cl_id="y"), {"x": "a"}, {"8": "b"}) == ""


def test_each_trade_is_new_once():
    told = [trade("1"), trade("2"), trade("1"), trade("3"), trade("2")]
    assert [one.tid for one in fresh(told, {"3"})] == ["1", "2"]
