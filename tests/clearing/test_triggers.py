"""The dark book, against a naive look at every order at every tick."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from piker.clearing._prices import edge_price
from piker.clearing._refusal import Refusal
from piker.clearing._triggers import (
    COUNTS,
    DarkBook,
    Fired,
    Trigger,
    cross_trigger,
    crossed_in,
    still_holds,
    submit_price,
)
from piker.msgs import Tick, TickType
from tests.clearing._orders import FROM_100, MKT, D, market, order

TYPES = TickType.__args__
ACTIONS = ("buy", "sell", "alert")

#: Near to each other, so that levels are met exactly; a double holds none of most.
cents = st.integers(-30, 30).map(lambda i: D(1_000_000 + i).scaleb(-2))
triggers = st.builds(
    Trigger,
    level=cents,
    way=st.sampled_from(("above", "below")),
    action=st.sampled_from(ACTIONS),
)
odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0])
prices = cents.map(float) | odd
ticks = st.builds(Tick, st.sampled_from(TYPES), prices, st.just(1.0))
oids = st.integers(0, 15).map(str)


def trade(price, kind="trade"):
    return Tick(kind, price, 1.0)


def above(level, action="buy"):
    return Trigger(level=D(level), way="above", action=action)


def below(level, action="buy"):
    return Trigger(level=D(level), way="below", action=action)


class Naive:
    """Looks at each order at each tick, with exact decimals."""

    def __init__(self):
        self.waiting = {}

    def fire(self, ticks):
        fired = []
        for tick in ticks:
            if not math.isfinite(tick.price):
                continue
            price = Decimal(repr(tick.price))
            for oid, trigger in list(self.waiting.items()):
                if tick.type in COUNTS[trigger.action] and (
                    price >= trigger.level
                    if trigger.way == "above"
                    else price <= trigger.level
                ):
                    del self.waiting[oid]
                    fired.append(Fired(oid, price, tick))
        return fired


class Books(RuleBasedStateMachine):
    """The book and the naive one do the same, whatever is asked of them."""

    def __init__(self):
        super().__init__()
        self.book, self.naive = DarkBook(), Naive()

    @rule(oid=oids, trigger=triggers)
    def add(self, oid, trigger):
        if oid in self.naive.waiting:
            with pytest.raises(ValueError, match="waits in this book already"):
                self.book.add(oid, trigger)
            return
        self.book.add(oid, trigger)
        self.naive.waiting[oid] = trigger

    @rule(oid=oids)
    def remove(self, oid):
        assert self.book.remove(oid) == (self.naive.waiting.pop(oid, None) is not None)

    @rule(oid=oids, trigger=triggers)
    def replace(self, oid, trigger):
        was = self.naive.waiting.pop(oid, None)
        assert self.book.replace(oid, trigger) == (was is not None)
        if was is not None:
            self.naive.waiting[oid] = trigger

    @rule(ticks=st.lists(ticks, max_size=4))
    def fire(self, ticks):
        assert self.book.fire(ticks) == self.naive.fire(ticks)

    @invariant()
    def the_same_waits(self):
        assert {oid: self.book.get(oid) for oid in self.book} == self.naive.waiting
        assert len(self.book) == len(self.naive.waiting)


Books.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestBooks = Books.TestCase


@given(
    st.dictionaries(oids, triggers, max_size=16),
    st.lists(ticks, max_size=20),
    st.lists(st.integers(0, 20)),
)
def test_how_ticks_are_cut_into_quotes_is_no_matter(waiting, ticks, cuts):
    whole, parts = DarkBook(), DarkBook()
    for oid, trigger in waiting.items():
        whole.add(oid, trigger)
        parts.add(oid, trigger)
    edges = [0, *sorted(cuts), len(ticks)]
    fired = [
        one for start, end in pairwise(edges) for one in parts.fire(ticks[start:end])
    ]
    assert whole.fire(ticks) == fired
    assert len({one.oid for one in fired}) == len(fired)


@pytest.mark.parametrize("digits", [0, 1, 2, 5, 8])
@given(data=st.data())
def test_a_level_equal_to_the_ticks_decimal_is_reached_and_the_next_one_not(
    digits, data
):
    """Whatever the venue writes, up to 15 digits: its double is the level's."""
    units = data.draw(st.integers(1, 10**15 - 2))
    level, one = D(units).scaleb(-digits), D(1).scaleb(-digits)
    at, over, under = float(level), float(level + one), float(level - one)
    for trigger, on, off in (
        (above(level), (at, over), under),
        (below(level), (at, under), over),
    ):
        for price in on:
            book = DarkBook()
            book.add("it", trigger)
            assert [one.oid for one in book.fire([trade(price)])] == ["it"]
            assert still_holds(trigger, price)
        book = DarkBook()
        book.add("it", trigger)
        assert not book.fire([trade(off)])
        assert not still_holds(trigger, off)
        assert not still_holds(trigger, D(repr(off)))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", TYPES)
def test_which_ticks_count(action, kind):
    book = DarkBook()
    book.add("it", above("100", action))
    looks = {
        "buy": ("ask", "last", "trade"),
        "sell": ("bid", "last", "trade"),
        "alert": ("trade", "utrade", "last"),
    }
    assert bool(book.fire([trade(101.0, kind)])) == (kind in looks[action])


def test_the_oldest_tick_fires_first_and_each_order_once():
    book = DarkBook()
    book.add("far", above("102"))
    book.add("near", above("101"))
    book.add("other", below("99"))
    got = book.fire([trade(100.5), trade(101.5), trade(98.0), trade(103.0)])
    assert [(one.oid, one.price) for one in got] == [
        ("near", D("101.5")),
        ("other", D("98.0")),
        ("far", D("103.0")),
    ]
    assert not book.fire([trade(103.0), trade(90.0)])
    assert len(book) == 0


def test_an_edit_that_comes_too_late_arms_nothing():
    book = DarkBook()
    book.add("it", above("100"))
    assert book.fire([trade(100.0)])
    assert not book.replace("it", above("200"))
    assert "it" not in book
    assert not book.remove("it")


def test_a_tick_between_the_edges_asks_nobody(monkeypatch):
    """So that it costs the same, however many wait."""
    book = DarkBook()
    for i in range(1, 500):
        book.add(f"up{i}", above(D(100) + D(i).scaleb(-2), ACTIONS[i % 3]))
        book.add(f"down{i}", below(D(100) - D(i).scaleb(-2), ACTIONS[i % 3]))

    def asked(tick):
        raise AssertionError(tick)

    (crosses,) = book._rules.values()
    with monkeypatch.context() as patched:
        patched.setattr(crosses, "fire", asked)
        assert not book.fire([trade(100.0, kind) for kind in TYPES])
        with pytest.raises(AssertionError):
            book.fire([trade(100.01)])
    assert [one.oid for one in book.fire([trade(100.01)])] == ["up1"]


def test_a_level_past_all_doubles_waits_for_ever():
    book = DarkBook()
    book.add("up", above("1e400"))
    book.add("down", below("-1e400"))
    assert not book.fire([trade(1e308), trade(-1e308), trade(math.inf)])
    assert book.remove("up")
    assert book.remove("down")


# -- what it waits for ----------------------------------------------------------


@given(st.sampled_from(ACTIONS), cents, cents)
def test_a_cross_is_where_the_price_isnt(action, level, last):
    for given_last in (last, float(last)):
        trigger = cross_trigger(action, level, given_last)
        assert trigger.way == ("above" if level >= last else "below")
        assert (trigger.level, trigger.action) == (level, action)
        assert still_holds(trigger, given_last) == (level == last)


@pytest.mark.parametrize("last", [None, math.nan, D("nan"), math.inf])
def test_without_a_price_there_is_no_cross(last):
    refusal = cross_trigger("buy", D("100.50"), last)
    assert isinstance(refusal, Refusal)
    assert refusal.gate == "trigger"
    assert "no price is known yet" in refusal.reason
    assert "100.5 " in refusal.reason


@pytest.mark.parametrize("level", ["nan", "inf", "-inf", "snan"])
def test_a_level_that_is_no_number_is_refused(level):
    assert isinstance(cross_trigger("alert", D(level), 1.0), Refusal)


@given(triggers)
def test_a_trigger_comes_back_from_the_journal_as_it_was(trigger):
    raw = msgspec.json.encode(trigger)
    assert msgspec.json.decode(raw, type=Trigger) == trigger


@given(triggers, st.lists(st.tuples(cents, cents), max_size=5))
def test_bars_that_were_missed_are_crossed_as_their_trades_would(trigger, spans):
    highs = np.array([float(max(span)) for span in spans])
    lows = np.array([float(min(span)) for span in spans])
    met = any(
        still_holds(trigger, price)
        for low, high in zip(lows, highs, strict=True)
        for price in (float(low), float(high))
    )
    assert crossed_in(trigger, highs, lows) == met


def test_bars_without_a_price_cross_nothing():
    empty = np.array([np.nan])
    assert not crossed_in(above("1"), empty, empty)
    assert not crossed_in(below("1"), empty[:0], empty[:0])


# -- what it is sent with -------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "trigger", "price", "sent"),
    [
        # waits for a better price: its own, never worse
        (order("buy", "99"), below("99"), 98.5, "99"),
        (order("sell", "101"), above("101", "sell"), 103.0, "101"),
        # breaks out: what fired it and five ticks
        (order("buy", "101"), above("101"), 101.02, "101.07"),
        (order("sell", "99"), below("99", "sell"), 98.5, "98.45"),
        # has a trigger of its own: its own price
        (order("buy", "101.5", trigger="101"), above("101"), 101.02, "101.5"),
        (order("sell", "98", trigger="99"), below("99", "sell"), 98.5, "98"),
        # to the market, once it is there
        (order("buy", None, trigger="99", otype="market"), below("99"), 98.5, "98.55"),
        # nothing below the last tick
        (order("sell", "0.05"), below("0.05", "sell"), 0.03, "0.01"),
        # from a decimal, too
        (order("buy", "101"), above("101"), D("101.02"), "101.07"),
    ],
)
def test_what_limit_it_is_sent_with(made, trigger, price, sent):
    assert submit_price(made, trigger, price, MKT) == D(sent)


@given(
    st.sampled_from(["0.01", "0.25", "5", "0.00000001"]),
    st.integers(10, 10**12),
    st.integers(0, 9),
    st.sampled_from(["buy", "sell"]),
)
def test_a_break_out_pays_exactly_the_ticks_more(step, ticks, slip, side):
    mkt = market(step)
    at = ticks * D(step)
    trigger = (above if side == "buy" else below)(at, side)
    sent = submit_price(order(side, at), trigger, float(at), mkt, slip)
    assert sent == at + slip * D(step) * (1 if side == "buy" else -1)


@pytest.mark.parametrize(
    ("side", "price", "slip", "sent"),
    [
        ("buy", 99.99, 1, "100"),
        ("buy", 99.99, 4, "100.05"),
        ("buy", 100.02, 1, "100.05"),
        ("sell", 100.02, 1, "99.95"),
        ("sell", 100.05, 1, "100"),
        ("sell", 99.99, 1, "99.98"),
    ],
)
def test_what_is_sent_is_of_the_step_there(side, price, slip, sent):
    mkt = market(price_steps=FROM_100)
    trigger = (above if side == "buy" else below)(D(price), side)
    made = order(side, "99" if side == "sell" else "101")
    assert submit_price(made, trigger, price, mkt, slip) == D(sent)


@given(st.floats(90, 110), st.floats(0, 100), st.sampled_from(["buy", "sell"]))
def test_the_edge_of_a_band_is_of_the_step_there(now, band, side):
    mkt = market(price_steps=FROM_100)
    at = D(repr(now))
    edge = edge_price(side, at, band, mkt)
    assert edge > 0
    assert not edge % mkt.step_at(edge)
    beyond = edge - at if side == "buy" else at - edge
    assert beyond >= 0 or edge == mkt.price_tick
    assert beyond <= max(at * D(repr(band)) / 100, D("0.05"))
