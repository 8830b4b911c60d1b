"""Orders, edits and cancels on paper: what counts when, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from piker.clearing import PaperRules
from tests.clearing._paper import MS, Hand, quote, trade

LATE = PaperRules(latency_ns=50 * MS, cancel_latency_ns=20 * MS)


@pytest.fixture
def hand():
    """A market that is quoted, where all counts at once."""
    hand = Hand()
    hand.say(*quote())
    hand.wait(250)
    return hand


@pytest.fixture
def late():
    """A market that is quoted, where orders take 50 ms and cancels 20."""
    hand = Hand(LATE)
    hand.say(*quote())
    hand.wait(250)
    return hand


# -- when ----------------------------------------------------------------------------


def test_an_order_is_acked_at_once_and_counts_after_its_latency(late):
    assert late.put(price="101") == [("ack", "a", 0)]
    assert late.market.open_orders()[0].status == "pending"
    assert late.wait(49) == []
    assert late.wait(1) == [
        ("open", "a"),
        ("fill", "a", "1.000", "100.5"),
        ("closed", "a"),
    ]


def test_what_is_traded_before_an_order_is_there_is_not_for_it(late):
    late.put(price="100", size="1")
    assert late.say(trade(99.5, 50), after_ms=49) == []
    assert late.say(trade(99.5, 50), after_ms=1) == [], "due just now: behind the tick"
    assert late.say(trade(99.5, 50)) == [
        ("open", "a"), ("fill", "a", "1.000", "100.0"), ("closed", "a"),
    ]  # fmt: skip


def test_a_cancel_loses_against_a_fill_before_it_counts(late):
    late.put(price="100")
    late.wait(50)
    assert late.cancel() == []
    assert late.cancel() == [], "asked twice it is asked once"
    assert late.say(trade(99.5), after_ms=20)[-1] == ("closed", "a")
    assert late.wait(0) == [("error", "a", "cancel")]
    assert late.reason == "it was filled before the cancel came"
    assert late.cancel() == [("error", "a", "cancel")]


def test_a_cancel_counts_after_its_latency(late):
    late.put(price="100")
    late.wait(50)
    late.cancel()
    assert late.wait(19) == []
    assert late.wait(1) == [("canceled", "a")]
    assert late.say(trade(99, 50)) == []
    assert late.cancel() == [("canceled", "a")], "told again"


def test_a_cancel_does_not_overtake_its_order(late):
    late.put(price="100")
    late.cancel()
    assert late.wait(49) == []
    assert late.wait(1) == [("open", "a"), ("canceled", "a")]


def test_time_does_not_run_back(late):
    late.put(price="99")
    late.wait(50)
    late.ms -= 1000
    late.put("b", price="99")
    assert late.market.due_ns == (1_000_301 + 50) * MS
    late.ms += 1000
    late.wait(50)
    assert late.market.due_ns is None


# -- edits ---------------------------------------------------------------------------


def test_an_edit_counts_after_its_latency(late):
    late.put(price="99")
    late.wait(50)
    assert late.put(price="101", rev=1) == []
    assert late.say(trade(98.5, 0.25)) == [("fill", "a", "0.250", "99.0")]
    assert late.wait(48) == []
    assert late.wait(1) == [
        ("ack", "a", 1), ("open", "a"), ("fill", "a", "0.750", "100.5"),
        ("closed", "a"),
    ]  # fmt: skip
    assert (late.said[-1].rev, late.said[-1].price) == (1, Decimal("101.0"))


def test_a_smaller_size_keeps_the_place_in_the_queue(hand):
    hand.put(size="2")
    hand.say(*quote(bid_size=9))
    hand.put("b")
    assert hand.put(size="1", rev=1) == [("ack", "a", 1), ("open", "a")]
    assert hand.say(trade(size=6)) == [("fill", "a", "1.000", "100.0"), ("closed", "a")]


@pytest.mark.parametrize("changes", [{"size": "3"}, {"price": "99.5"}])
def test_another_price_or_a_larger_size_loses_it(hand, changes):
    hand.put(size="2")
    hand.say(*quote(bid_size=9))
    hand.put(**{"size": "2", "rev": 1, **changes})
    if "price" in changes:
        hand.put(size="2", rev=2)
    assert hand.say(trade(size=9)) == []
    assert hand.say(trade(size=1)) == [("fill", "a", "1.000", "100.0")]


def test_an_edit_below_what_is_filled_is_refused(hand):
    hand.put(price="99", size="2")
    hand.say(trade(98, 1.5))
    assert hand.put(price="99", size="1.499", rev=1) == [("error", "a", "edit")]
    assert hand.reason == "a size must be at least 1.500, which is filled already"
    assert hand.said[-1].rev == 1
    assert hand.put(price="99", size="1.499", rev=1) == [("error", "a", "edit")]
    assert hand.put(price="99", size="1.5", rev=2) == [("ack", "a", 2), ("closed", "a")]


def test_an_edit_that_finds_its_order_filled_is_refused(late):
    late.put(price="100")
    late.wait(50)
    late.put(price="99", rev=1)
    late.say(trade(99.5))
    assert late.wait(50) == [("error", "a", "edit")]
    assert late.reason == "the order was closed before the edit came"


def test_edits_that_make_no_sense_are_refused(hand):
    hand.put(price="99")
    hand.put(price="99.5", rev=2)
    for fields, text in (
        ({"oid": "x", "rev": 1}, "no order 'x' is known that could be changed"),
        ({"rev": 3, "reqid": "p"}, "the order 'a' is 'paper.a', not 'p'"),
        ({"rev": 1}, "revision 1 comes after revision 2"),
        ({"rev": 2, "size": "7"}, "revision 2 comes after revision 2"),
        ({"rev": 3, "action": "sell"}, "a buy order can't become one to sell"),
        ({"rev": 3, "price": "99.7"}, "a price must be a multiple of 0.5"),
        ({"rev": 3, "size": "0"}, "a size must be > 0, got '0'"),
    ):
        assert hand.put(**fields) == [("error", fields.get("oid", "a"), "edit")]
        assert text in hand.reason
    assert hand.market.status("a").price == Decimal("99.5")
    hand.cancel()
    assert hand.put(rev=3) == [("error", "a", "edit")]
    assert hand.reason == "the order is canceled"


def test_one_edit_is_on_its_way_at_a_time(late):
    late.put(price="99")
    late.wait(50)
    late.put(price="98", rev=1)
    assert late.put(price="97", rev=2) == [("error", "a", "edit")]
    assert late.reason == "revision 1 is still on its way"


# -- once ----------------------------------------------------------------------------


def test_the_same_order_and_edit_again_is_no_other(late):
    late.put(price="99", time_ns=5)
    assert late.put(price="99", time_ns=9) == [("ack", "a", 0), ("pending", "a")]
    late.wait(50)
    late.put(price="98", rev=1)
    assert late.put(price="98", rev=1) == [], "on its way"
    late.wait(50)
    assert late.put(price="98", rev=1) == [("ack", "a", 1), ("open", "a")]
    assert len(late.market.open_orders()) == 1
    late.say(trade(97))
    assert late.put(price="99") == [("ack", "a", 0), ("closed", "a")]


def test_another_order_of_the_same_id_is_refused(hand):
    hand.put(price="99")
    assert hand.put(price="99", size="2") == [("error", "a", "order")]
    assert hand.reason == "the id 'a' is that of another order"
    assert hand.put("b", rev=0, reqid="paper.a") == [("error", "b", "order")]


# -- refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"size": "0"}, "a size must be > 0, got '0'"),
        ({"size": "-1"}, "a size must be > 0, got '-1'"),
        ({"size": "NaN"}, "a size must be a finite number, got 'NaN'"),
        ({"size": "0.0015"}, "a size must be a multiple of 0.001 in btcusdt.spot.sim"),
        ({"price": "Infinity"}, "a price must be a finite number"),
        ({"price": "100.25"}, "a price must be a multiple of 0.5 in btcusdt.spot.sim"),
        ({"account": "sim.main"}, "the account here is 'paper', not 'sim.main'"),
        ({"symbol": "ethusdt.spot"}, "the market here is 'btcusdt.spot', not 'eth"),
    ],
)
def test_what_is_no_order_of_this_market_is_refused(hand, fields, text):
    assert hand.put(**fields) == [("error", "a", "order")]
    assert text in hand.reason
    assert "\n" not in hand.reason
    assert hand.market.status("a") is None
    assert hand.put(price="99")[0] == ("ack", "a", 0), "its id is free"


def test_an_unknown_order_cant_be_canceled(hand):
    assert hand.cancel("x") == [("error", "x", "cancel")]
    assert hand.reason == "no order 'x' is known"


def test_post_only_never_takes(hand):
    assert hand.put(price="100.5", post_only=True) == [
        ("ack", "a", 0),
        ("canceled", "a"),
    ]
    assert hand.reason == "post-only: it would have taken"
    hand.put("b", price="100", post_only=True)
    assert hand.put("b", price="101", rev=1) == [("error", "b", "edit")]
    assert hand.market.status("b").price == 100


def test_reduce_only_is_refused_without_a_position(hand):
    assert hand.put(action="sell", reduce_only=True)[-1] == ("canceled", "a")
    assert hand.reason == "reduce-only: there is no position to reduce"


def test_reduce_only_is_cut_to_the_position():
    hand = Hand(position=Decimal("-1.5"))
    hand.say(*quote())
    assert hand.put("x", "sell", price="101", reduce_only=True)[-1] == ("canceled", "x")
    hand.put(price="99", size="4", reduce_only=True)
    assert hand.said[-1].size == Decimal("1.5")
    hand.put("b", price="98", size="1", reduce_only=True)
    assert hand.say(trade(97, 1)) == [("fill", "a", "1.000", "99.0")]
    assert hand.say(trade(97, 9)) == [
        ("fill", "a", "0.500", "99.0"), ("closed", "a"), ("canceled", "b"),
    ]  # fmt: skip
    assert hand.market.state.position == 0


def test_reduce_only_never_flips_what_others_closed_meanwhile():
    hand = Hand(position=Decimal(2))
    hand.say(*quote())
    hand.put(action="sell", price="101", size="2", reduce_only=True)
    hand.put("b", "sell", price="100", size="1.5")
    assert hand.say(trade(101.5, 9, 1)) == [
        ("fill", "a", "0.500", "101.0"), ("canceled", "a"),
    ]  # fmt: skip
    assert hand.reason == "reduce-only: the position is closed"


def test_ended_orders_are_forgotten_one_day(hand, monkeypatch):
    monkeypatch.setattr("piker.clearing._floor._KEPT", 3)
    for i in range(5):
        hand.put(f"o{i}", price="99")
        hand.cancel(f"o{i}")
    assert list(hand.market.state.orders) == ["o2", "o3", "o4"]
    assert hand.market.status("o1") is None
