"""What fills on paper, how much of it, and at which price: a rule a test."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from piker.clearing import PaperRules
from piker.msgs import BrokerdFill, Tick
from tests.clearing._paper import AT_ONCE, MS, Hand, no, quote, trade


@pytest.fixture
def hand():
    """A market of 5 at 100 bid and 5 at 100.5 asked, where all counts at once."""
    hand = Hand(replace(AT_ONCE, trade_lag_ns=100 * MS))
    hand.say(*quote())
    hand.wait(100)  # no trade from before is told any more
    return hand


FILLED = [("fill", "a", "1.000", "100.0"), ("closed", "a")]


# -- resting: the queue --------------------------------------------------------------


def test_what_is_displayed_at_the_touch_goes_first(hand):
    hand.put()
    assert hand.say(trade(size=4.999)) == []
    assert hand.say(trade(size=0.001)) == [], "the last of those ahead"
    assert hand.say(trade(size=0.4)) == [("fill", "a", "0.400", "100.0")]
    assert hand.say(trade(size=9)) == [("fill", "a", "0.600", "100.0"), ("closed", "a")]


def test_one_trade_serves_those_ahead_and_then_us(hand):
    hand.put()
    assert hand.say(trade(size=5.25)) == [("fill", "a", "0.250", "100.0")]


def test_a_smaller_display_means_that_some_ahead_are_gone(hand):
    hand.put()
    hand.say(*quote(bid_size=2))
    hand.say(*quote(bid_size=7))
    hand.wait(100)
    assert hand.say(trade(size=2)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_who_comes_later_stands_behind(hand):
    hand.put()
    hand.say(*quote(bid_size=50))
    assert hand.say(trade(size=5)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_a_trade_that_a_quote_showed_before_moves_nobody_twice(hand):
    hand.put()
    hand.say(*quote(bid_size=3))  # 2 are traded, as is told below
    assert hand.say(trade(size=2)) == []
    assert hand.say(trade(size=3)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_nor_does_it_move_who_joined_in_between(hand):
    hand.say(*quote(bid_size=3))
    hand.put()
    assert hand.say(trade(size=2)) == [], "shown before"
    assert hand.say(trade(size=3)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_nor_who_joined_a_level_that_was_just_reached(hand):
    hand.say(*quote(99, 5, 99.5, 5))
    hand.put(price="99")
    assert hand.say(trade(99, 50)) == [], "it may be what made the display what it is"
    hand.wait(100)
    assert hand.say(trade(99, 5.5)) == [("fill", "a", "0.500", "99.0")]


def test_a_quote_that_shows_a_told_trade_changes_nothing(hand):
    hand.put()
    hand.say(trade(size=2))
    hand.say(*quote(bid_size=3))
    assert hand.say(trade(size=3)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_an_order_that_improves_the_touch_has_nobody_ahead(hand):
    hand.say(*quote(ask=102))
    hand.put(price="101", size="1")
    assert hand.say(trade(101, 1)) == [("fill", "a", "1.000", "101.0"), ("closed", "a")]


def test_a_level_that_the_touch_left_has_nobody_ahead(hand):
    hand.put()
    hand.say(*quote(99.5, 5, 101, 5))
    assert hand.say(trade(100, 1)) == FILLED


def test_a_buyer_trades_with_no_bid_unless_the_level_is_bare(hand):
    hand.put()
    assert hand.say(trade(100, 50, side=1)) == []
    hand.say(*quote(99.5, 5, 100, 5))
    assert hand.say(trade(100, 1, side=1)) == FILLED


def test_a_trade_of_an_unknown_side_counts(hand):
    hand.put()
    assert hand.say(trade(100, 6, side=0)) == FILLED


def test_below_the_touch_the_queue_is_unknown_until_it_is_reached(hand):
    hand.put(price="99")
    assert hand.say(trade(99, 50)) == [], "the quote comes later"
    hand.say(*quote(99, 7, 99.5, 5))
    hand.wait(100)
    assert hand.say(trade(99, 7)) == []
    assert hand.say(trade(99, 1)) == [("fill", "a", "1.000", "99.0"), ("closed", "a")]


def test_the_place_is_kept_while_the_touch_is_elsewhere(hand):
    hand.put()
    hand.say(trade(size=4))
    hand.say(*quote(101, 5, 102, 5))
    hand.say(*quote(100, 50, 102, 5))
    assert hand.say(trade(size=1)) == []
    assert hand.say(trade(size=1)) == FILLED


def test_a_trade_through_the_price_fills_at_once_and_no_more_than_was_traded(hand):
    hand.put(size="3")
    assert hand.say(trade(99.5, 2)) == [("fill", "a", "2.000", "100.0")]
    assert hand.say(trade(99, 2)) == [("fill", "a", "1.000", "100.0"), ("closed", "a")]


def test_a_trade_is_shared_once_over_all_the_best_price_first(hand):
    hand.say(*quote(99, 5, 102, 5))
    hand.put("low", price="100")
    hand.put("high", price="101")
    hand.put("later", price="101")
    assert hand.say(trade(99.5, 2.5)) == [
        ("fill", "high", "1.000", "101.0"), ("closed", "high"),
        ("fill", "later", "1.000", "101.0"), ("closed", "later"),
        ("fill", "low", "0.500", "100.0"),
    ]  # fmt: skip


def test_a_trade_is_shared_over_both_sides(hand):
    hand.say(*quote(98, 5, 103, 5))
    hand.put("buy", price="101", size="2")
    hand.put("sell", "sell", price="100", size="2")
    assert hand.say(trade(100.5, 3, side=1)) == [
        ("fill", "sell", "2.000", "100.0"), ("closed", "sell"),
        ("fill", "buy", "1.000", "101.0"),
    ]  # fmt: skip


def test_ours_at_a_level_come_in_order_with_others_between(hand):
    hand.put("a")
    hand.say(*quote(bid_size=8))
    hand.put("b")
    assert hand.say(trade(size=6)) == FILLED
    assert hand.say(trade(size=3)) == []
    assert hand.say(trade(size=0.5)) == [("fill", "b", "0.500", "100.0")]


def test_sells_are_the_mirror_of_buys(hand):
    hand.put(action="sell", price="100.5")
    assert hand.say(trade(100.5, 5, side=1)) == []
    assert hand.say(trade(100.5, 50, side=-1)) == []
    assert hand.say(trade(100.5, 0.5, side=1)) == [("fill", "a", "0.500", "100.5")]
    assert hand.say(trade(101, 9, side=1))[0] == ("fill", "a", "0.500", "100.5")
    assert hand.market.state.position == -1000


@pytest.mark.parametrize("kind", ["utrade", "dark_trade", "last"])
def test_only_trades_of_the_market_fill(hand, kind):
    hand.put()
    assert hand.say(Tick(kind, 99.0, 9.0)) == []


def test_a_quote_alone_fills_nothing_that_rests(hand):
    hand.put()
    assert hand.say(*quote(98, 5, 99, 5)) == []


def test_a_trade_told_twice_counts_once(hand):
    hand.put(size="2")
    assert hand.say(trade(99, 1, tid=7)) == [("fill", "a", "1.000", "100.0")]
    assert hand.say(trade(99, 1, tid=7)) == []
    assert hand.say(trade(99, 1, tid=6)) == []
    assert hand.say(trade(99, 1, tid=8))[-1] == ("closed", "a")


def test_sizes_and_prices_are_exact(hand):
    hand.put(size="0.3")
    for _ in range(3):
        hand.say(trade(99, 0.1))
    assert hand.said[-1].status == "closed"
    assert sum(m.size for m in hand.said if is_fill(m)) == Decimal("0.300")


def is_fill(msg) -> bool:
    return isinstance(msg, BrokerdFill)


# -- takers --------------------------------------------------------------------------


def test_a_taker_gets_what_is_displayed_at_the_price_it_has(hand):
    assert hand.put(price="101", size="3") == [
        ("ack", "a", 0), ("open", "a"), ("fill", "a", "3.000", "100.5"),
        ("closed", "a"),
    ]  # fmt: skip
    assert hand.said[-2].taker


def test_what_is_displayed_is_taken_once(hand):
    hand.put(price="101", size="3")
    assert hand.put("b", price="101", size="3")[2:] == [("fill", "b", "2.000", "100.5")]
    assert hand.say(*quote()) == [], "nothing new in it"
    assert hand.say(*quote(ask_size=5.5)) == [("fill", "b", "0.500", "100.5")]
    assert hand.say(*quote(ask_size=4)) == [], "what we took is gone from it"
    assert hand.say(*quote(ask_size=4.25)) == [("fill", "b", "0.250", "100.5")]
    assert hand.say(*quote(ask=101, ask_size=9)) == [
        ("fill", "b", "0.250", "101.0"), ("closed", "b"),
    ]  # fmt: skip


def test_who_waits_for_more_gets_no_trade_twice(hand):
    hand.put(price="101", size="9")
    assert hand.say(trade(100.5, 5, side=1)) == [], "it was from what we had taken"
    hand.say(*quote(ask=101.5))
    assert hand.say(trade(101, 1)) == [("fill", "a", "1.000", "101.0")], "it rests now"
    assert not hand.said[-1].taker


def test_ioc_is_canceled_with_what_is_left(hand):
    assert hand.put(price="101", size="7", tif="ioc") == [
        ("ack", "a", 0), ("open", "a"), ("fill", "a", "5.000", "100.5"),
        ("canceled", "a"),
    ]  # fmt: skip
    assert (hand.said[-1].filled, hand.said[-1].remaining) == (5, 0)
    assert hand.put("b", price="99", tif="ioc")[-1] == ("canceled", "b")


def test_fok_is_filled_whole_or_not_at_all(hand):
    assert hand.put(price="101", size="7", tif="fok") == [
        ("ack", "a", 0), ("open", "a"), ("canceled", "a"),
    ]  # fmt: skip
    assert hand.reason == "not all of it was to be had at once"
    assert hand.put("b", price="101", size="5", tif="fok")[2:] == [
        ("fill", "b", "5.000", "100.5"), ("closed", "b"),
    ]  # fmt: skip
    assert hand.put("c", price="101", size="1", tif="fok")[-1] == ("canceled", "c"), (
        "what is displayed was taken"
    )


def test_fok_counts_what_is_behind_the_display_where_that_is_sold():
    hand = Hand(replace(AT_ONCE, slippage_ticks=2))
    hand.say(*quote(ask_size=2))
    assert hand.put(price="101.5", size="5", tif="fok")[-1] == ("canceled", "a")
    assert hand.put("b", price="101.5", size="4", tif="fok")[2:] == [
        ("fill", "b", "2.000", "100.5"), ("fill", "b", "2.000", "101.5"),
        ("closed", "b"),
    ]  # fmt: skip


def test_slippage_is_paid_for_what_exceeds_the_display():
    hand = Hand(replace(AT_ONCE, slippage_ticks=2))
    hand.say(*quote(ask_size=2))
    assert hand.put(price="102.5", size="9")[2:] == [
        ("fill", "a", "2.000", "100.5"),
        ("fill", "a", "2.000", "101.5"),
        ("fill", "a", "2.000", "102.5"),
    ]  # fmt: skip
    assert hand.say(*quote(ask_size=2)) == []
    assert hand.put("b", "sell", price="99", size="6")[2:] == [
        ("fill", "b", "5.000", "100.0"), ("fill", "b", "1.000", "99.0"),
        ("closed", "b"),
    ]  # fmt: skip


def test_an_empty_side_is_not_crossed_and_its_queue_is_unknown(hand):
    hand.say(no("ask"), no("bid"))
    assert hand.put(price="200")[-1] == ("open", "a")
    assert hand.say(trade(200, 50)) == []
    assert hand.say(trade(199.5, 0.5)) == [("fill", "a", "0.500", "200.0")]


# -- a feed that can't be trusted ----------------------------------------------------


def test_nothing_is_filled_while_the_feed_is_disconnected(hand):
    hand.put()
    hand.lose()
    assert hand.say(trade(99, 50)) == []
    assert hand.put("b", price="101") == [("ack", "b", 0), ("pending", "b")]
    assert hand.reason == "waits for the market: the feed is disconnected"
    for oid, tif in (("c", "ioc"), ("d", "fok")):
        assert hand.put(oid, price="101", tif=tif)[-1] == ("canceled", oid)
    hand.find()
    assert hand.say(trade(99, 50)) == [], "no quote yet"
    assert hand.say(*quote()) == [
        ("open", "b"), ("fill", "b", "1.000", "100.5"), ("closed", "b"),
    ]  # fmt: skip
    assert hand.say(trade(99.5, 1)) == FILLED


def test_a_place_in_the_queue_outlives_a_lost_feed(hand):
    hand.put()
    hand.say(trade(size=4))
    hand.lose()
    hand.find()
    hand.say(*quote(bid_size=9))
    assert hand.say(trade(size=2)) == FILLED


def test_a_replay_that_begins_again_turns_the_clock_back():
    hand = Hand(PaperRules())
    hand.say(*quote())
    hand.put()
    hand.wait(300)
    hand.put("b", price="101")
    hand.lose()
    hand.ms -= 60_000
    assert hand.find() == [("pending", "b")]
    hand.put("c", price="101")
    hand.say(*quote())
    assert hand.said[-1].status == "closed"
    assert hand.wait(49)[-1] == ("closed", "c")
    assert hand.said[-1].time_ns == (1_000_301 - 60_000 + 50) * MS
    assert hand.say(trade(99.5, 1, time_ns=hand.ns - MS)) == FILLED


def test_nothing_is_filled_on_a_crossed_quote(hand):
    hand.put()
    hand.say(Tick("bid", 101.0, 5.0))
    assert hand.say(trade(99, 50)) == []
    assert hand.put("b", price="101")[-1] == ("pending", "b")
    assert hand.reason == "waits for the market: the quote is crossed"
    hand.say(Tick("ask", 101.5, 5.0))
    assert hand.market.status("b").status == "open"
    assert hand.say(trade(100.5, 6)) == [
        ("fill", "b", "1.000", "101.0"),
        ("closed", "b"),
    ], "behind the five that are displayed"


def test_a_crossing_within_one_frame_is_none(hand):
    hand.put("b", price="102")
    hand.put(price="100")
    assert hand.say(*quote(101, 5, 101.5, 5)) == []
    assert hand.say(*quote(99, 5, 99.5, 5)) == []
    assert hand.say(trade(100, 1)) == FILLED


def test_nothing_is_filled_in_a_market_that_was_silent_for_too_long():
    hand = Hand(replace(AT_ONCE, max_quote_age_ns=500 * MS))
    hand.say(*quote())
    hand.wait(501)
    assert hand.put(price="101")[-1] == ("pending", "a")
    assert hand.reason == "waits for the market: the feed was silent for over 0.5 s"
    assert hand.say(Tick("bid", 100.0, 4.0))[-1] == ("closed", "a")


def test_a_trade_from_too_long_ago_fills_nothing():
    hand = Hand(replace(AT_ONCE, max_quote_age_ns=500 * MS))
    hand.say(*quote())
    hand.put()
    assert hand.say(trade(99, 5, time_ns=hand.ns - 500 * MS)) == []
    ahead_ns = hand.ns + 9000 * MS
    assert hand.say(trade(99, 5, time_ns=ahead_ns)) == FILLED, "a skewed clock"


def test_before_the_first_quote_an_order_waits():
    hand = Hand()
    assert hand.put()[-1] == ("pending", "a")
    assert hand.say(trade(99, 5)) == []
    assert hand.cancel() == [("canceled", "a")]
    assert hand.say(*quote()) == []


# -- what is told --------------------------------------------------------------------


def test_a_fill_says_all_there_is_to_it():
    def cost(mkt, price, size, taker):
        return price * size * (Decimal("0.002") if taker else Decimal("0.001"))

    hand = Hand(PaperRules(latency_ns=0, get_cost=cost))
    hand.say(*quote())
    hand.put(price="100.5", size="0.5")
    fill = hand.said[-2]
    assert (fill.tid, fill.reqid, fill.symbol, fill.account, fill.seq) == (
        "paper.a.1", "paper.a", "btcusdt.spot.sim", "paper", 0,
    )  # fmt: skip
    assert fill.broker_time_ns == hand.ns
    assert fill.cost == Decimal("0.1005")
    hand.put("b", price="99", size="2")
    hand.say(trade(98, 1), trade(98, 1))
    fills = [msg for msg in hand.said if is_fill(msg)]
    assert [fill.tid for fill in fills] == ["paper.a.1", "paper.b.1", "paper.b.2"]
    assert fills[-1].cost == Decimal("0.099")


def test_the_cost_of_a_tick_does_not_depend_on_orders_that_rest_elsewhere(hand):
    for i in range(3000):
        hand.put(f"o{i}", price=str(Decimal(99) - Decimal(i) / 2 % 90))
    books = hand.market.state.books
    seen = []
    books[1].levels = Watched(books[1].levels, seen)
    hand.say(*quote(bid_size=4), trade(100, 1), *quote(99.5, 3), trade(99.5, 1))
    assert len(seen) < 5


class Watched(dict):
    """Notes each level that is looked at."""

    def __init__(self, levels, seen) -> None:
        super().__init__(levels)
        self.seen = seen

    def __getitem__(self, key):
        self.seen.append(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.seen.append(key)
        return super().get(key, default)
