"""IB's ticks make ticks of ours: each trade once, whichever kinds tell it."""

from __future__ import annotations

from collections import Counter
from math import inf, isnan, nan

import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers.ib._decode import IDS_A_SECOND, Tape, trade_id
from piker.brokers.ib._line import RawTick
from piker.brokers.ib._schemas import parse_epoch_s, parse_rt_volume
from piker.errors import BadPayload
from piker.msgs import Calendar, Tick

NS = 10**9
START_S = 1_795_974_468
NOW_NS = START_S * NS


def price(kind: int, at: float, size: float = 0.0) -> RawTick:
    return RawTick(kind, at, size, "")


def size(kind: int, amount: float) -> RawTick:
    return RawTick(kind, nan, amount, "")


def volume(
    kind: int, at: float, amount: float, time_ms: int, total: float = 0.0
) -> RawTick:
    text = f"{at};{amount};{time_ms};{total};{at};true"
    return RawTick(kind, nan, nan, text)


def played(raws, tape: Tape | None = None) -> list[Tick]:
    tape = tape or Tape()
    return [tick for raw in raws for tick in tape.take(raw, NOW_NS)]


def trades(ticks) -> list[Tick]:
    return [tick for tick in ticks if tick.type == "trade"]


# -- trades -----------------------------------------------------------------------


def test_a_trade_told_by_both_kinds_is_one():
    ms = START_S * 1000 + 783
    for kinds in ((48, 77), (77, 48)):
        found = played([volume(kind, 174.72, 448, ms) for kind in kinds])
        assert found == [Tick("trade", 174.72, 448, NOW_NS, trade_id(START_S, 0))]


def test_two_trades_that_are_alike_are_two():
    ms = START_S * 1000
    for kinds in ((48, 77, 48, 77), (48, 48, 77, 77), (77, 77, 48, 48)):
        seen, raws = Counter(), []
        for kind in kinds:
            seen[kind] += 5
            raws.append(volume(kind, 1.0, 5, ms, seen[kind]))
        found = played(raws)
        assert [tick.tid for tick in found] == [
            trade_id(START_S, 0),
            trade_id(START_S, 1),
        ]


def test_a_trade_that_is_not_reported_is_told_as_such():
    tape, ms = Tape(), START_S * 1000
    assert played([volume(48, 1.5, 7, ms)], tape) == []
    found = played([volume(77, 2.0, 1, ms + 5000)], tape)
    assert found == [
        Tick("utrade", 1.5, 7, NOW_NS),
        Tick("trade", 2.0, 1, (START_S + 5) * NS, trade_id(START_S + 5, 0)),
    ]


def test_one_that_nothing_follows_is_told_after_a_while():
    tape, ms = Tape(), START_S * 1000
    played([volume(48, 1.5, 7, ms)], tape)
    assert tape.flush(ms + 1000) == []
    assert tape.flush(ms + 3000) == [Tick("utrade", 1.5, 7, NOW_NS)]
    assert tape.flush(ms + 9000) == []


def test_where_reported_trades_are_never_told_all_are_trades():
    tape, ms = Tape(), START_S * 1000
    found = played([volume(48, 1.5, n + 1, ms + n * 300) for n in range(40)], tape)
    assert tape.is_alone
    assert tape.was_short, "those that were taken for unreportable lack"
    sizes = [tick.size for tick in trades(found)]
    assert sizes[-20:] == list(range(21, 41))


@st.composite
def told(draw):
    """Draw trades, each reported or not, and how the two kinds tell them."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from([1.0, 1.5, 2.0]),
                st.integers(1, 3),
                st.integers(0, 700),
                st.booleans(),
            ),
            max_size=60,
        )
    )
    ms, both, reported = START_S * 1000, [], []
    for at, amount, later_ms, is_reported in rows:
        ms += later_ms
        both.append((48, at, amount, ms))
        if is_reported:
            reported.append((77, at, amount, ms))
    # each kind tells in order; a trade is told by both within a few ticks
    merged, waiting = [], []
    for row in both:
        if (77, *row[1:]) in reported:
            reported.remove((77, *row[1:]))
            pair = [row, (77, *row[1:])]
            merged += draw(st.permutations(pair))
        else:
            merged.append(row)
    return merged, waiting


@settings(max_examples=200)
@given(told())
def test_what_is_reported_is_a_trade_and_the_rest_is_not(case):
    """Each trade once, as long as some are reported at all."""
    merged, _ = case
    run = most = 0
    known = Counter((at, n, ms) for kind, at, n, ms in merged if kind == 77)
    for kind, at, n, ms in merged:
        if kind == 77:
            run = 0
        elif not known[at, n, ms]:
            run += 1
            most = max(most, run)
    if most > 15:
        return  # taken for a market that reports none
    tape = Tape()
    found = played([volume(*row) for row in merged], tape)
    found += tape.flush(10**15)
    expected = Counter((at, n) for kind, at, n, ms in merged if kind == 77)
    assert Counter((t.price, t.size) for t in trades(found)) == expected
    everything = Counter((at, n) for kind, at, n, ms in merged if kind == 48)
    unreported = Counter((t.price, t.size) for t in found if t.type == "utrade")
    assert unreported == everything - expected


@settings(max_examples=100)
@given(st.lists(st.integers(-3000, 3000), max_size=50))
def test_ids_and_stamps_never_fall(steps):
    tape, ms = Tape(), START_S * 1000
    raws = []
    for step in steps:
        ms += step
        raws.append(volume(77, 1.0, 1, ms))
    found = trades(played(raws, tape))
    tids = [tick.tid for tick in found]
    assert tids == sorted(set(tids))
    assert [t.time_ns for t in found] == sorted(t.time_ns for t in found)
    assert all(t.tid // IDS_A_SECOND == t.time_ns // NS for t in found)


def test_what_is_told_again_is_no_other_trade():
    tape, ms = Tape(), START_S * 1000
    one, two = volume(77, 1.0, 5, ms, 100), volume(77, 1.0, 5, ms, 105)
    assert len(trades(played([one, two, one, two, two], tape))) == 2
    assert not tape.short


def test_what_comes_out_of_order_is_noticed():
    tape, ms = Tape(), START_S * 1000
    played([volume(77, 1.0, 5, ms + 9, 105), volume(77, 1.0, 5, ms, 100)], tape)
    assert tape.short


def test_what_ib_counts_and_does_not_tell_is_noticed():
    tape, ms = Tape(), START_S * 1000
    played([volume(77, 1.0, 5, ms, 100), volume(77, 1.0, 5, ms + 9, 105)], tape)
    assert not tape.short
    played([volume(77, 1.0, 5, ms + 20, 150)], tape)
    assert tape.short == 1
    assert tape.was_short


# -- bids and asks ----------------------------------------------------------------


def test_bids_and_asks():
    found = played(
        [price(1, 9.9, 3), size(0, 4), price(2, 10.0, 5), size(3, 6), price(4, 10.0, 1)]
    )
    assert found == [
        Tick("bid", 9.9, 3),
        Tick("bsize", 9.9, 4),
        Tick("ask", 10.0, 5),
        Tick("asize", 10.0, 6),
        Tick("last", 10.0, 1),
    ]


@pytest.mark.parametrize(
    "gone", [price(1, -1.0, 0), price(1, 0.0, 0), size(0, 0), price(1, 9.9, 0)]
)
def test_a_side_that_is_gone(gone):
    (tick,) = played([price(1, 9.9, 3), gone])[1:]
    assert tick.type == "bid"
    assert isnan(tick.price)


def test_a_price_below_zero_is_one():
    assert played([price(1, -37.6, 10)]) == [Tick("bid", -37.6, 10)]


def test_a_size_without_a_price_says_nothing():
    assert played([size(0, 5), size(3, 5), size(0, 0)]) == []


@pytest.mark.parametrize("order", [(48, 77), (77, 48)])
@pytest.mark.parametrize("together", [1, 3])
def test_trades_that_are_reported_after_many_that_were_not_are_one(order, together):
    """In the early morning of a dear share 20 odd lots on end are no wonder."""
    tape = Tape()
    ms = START_S * 1000
    odd = [volume(48, 10.0, 7, ms + nth, 7 * nth + 7) for nth in range(30)]
    before = len(trades(played(odd, tape)))
    assert tape.is_alone
    assert before
    raws = []
    for first in range(0, 12, together):
        block = range(first, first + together)
        raws += [
            volume(kind, 11.0, 100, ms + 1000 + nth, (300 + nth) * 100)
            for kind in order
            for nth in block
        ]
    tape.short = 0
    found = trades(played(raws, tape))
    assert [(t.price, t.size) for t in found] == [(11.0, 100.0)] * 12
    assert not tape.is_alone
    assert tape.short, "odd lots were told for reported ones: the bars are asked for"
    odd = [volume(48, 10.0, 7, ms + 2000 + nth, 7 * nth + 7) for nth in range(90)]
    assert not trades(played(odd, tape)), "it is known now that it has reported ones"


def test_delayed_ticks_are_ticks():
    tape = Tape()
    raws = [price(66, 9.9, 3), price(67, 10.0, 5), price(68, 10.0, 1), size(74, 100)]
    assert [t.type for t in played(raws, tape)] == ["bid", "ask", "last"]
    time = RawTick(88, nan, nan, str(START_S - 900))
    found = played([time, size(74, 120), size(74, 120)], tape)
    second = START_S - 900
    assert found == [Tick("trade", 10.0, 20, second * NS, trade_id(second, 0))]


def test_delayed_ticks_that_become_live_are_counted_once():
    """An account may get its data while it is logged in: the next line is live."""
    tape = Tape()
    played([price(68, 10.0, 1), size(74, 100), size(74, 120)], tape)
    tape.begin()
    raws = [
        size(8, 120),
        volume(77, 10.5, 5, START_S * 1000, 125),
        volume(48, 10.5, 5, START_S * 1000, 125),
        size(8, 125),
    ]
    assert [(t.price, t.size) for t in trades(played(raws, tape))] == [(10.5, 5)]


@pytest.mark.parametrize("none", [0.0, -1.0])
def test_an_option_that_never_traded_has_no_last_and_no_close(none):
    tape = Tape()
    assert played([price(4, none), price(68, none), price(9, none)], tape) == []
    assert isnan(tape.last)
    assert isnan(tape.close)


def test_what_trades_below_nothing_has_a_last():
    tape = Tape()
    assert played([price(4, 0.0, 2), price(4, -1.0, 3), price(9, -37.63)], tape) == [
        Tick("last", 0.0, 2.0),
        Tick("last", -1.0, 3.0),
    ]
    assert tape.close == -37.63


def test_money_trades_at_the_middle():
    tape = Tape(by_middle=True)
    raws = [price(1, 1.0, 9), price(2, 3.0, 9), size(0, 4), price(2, 4.0, 9)]
    assert [(t.price, t.size) for t in trades(played(raws, tape))] == [(2, 0), (2.5, 0)]
    assert tape.last == 2.5


def test_an_index_trades_as_its_last_changes():
    tape = Tape(is_index=True)
    raws = [price(4, 10.0), price(4, 10.0), price(4, 11.0)]
    assert [(t.price, t.size) for t in trades(played(raws, tape))] == [(10, 0), (11, 0)]


def test_nothing_is_made_up_of_what_is_told_while_it_is_closed():
    """A line begins with the last there was, at a weekend too: no bar is to have it."""
    into_s = (START_S - 4 * 86_400) % (7 * 86_400)
    closed = Calendar(weekly=((0, into_s), (into_s + 1, 7 * 86_400)))
    index = Tape(is_index=True, calendar=closed)
    assert played([price(4, 10.0)], index) == [Tick("last", 10.0, 0.0)]
    money = Tape(by_middle=True, calendar=closed)
    found = played([price(1, 1.0, 9), price(2, 3.0, 9)], money)
    assert [tick.type for tick in found] == ["bid", "ask"]
    assert money.last == 2.0
    (again,) = trades(money.take(price(2, 4.0, 9), NOW_NS + NS))
    assert (again.price, again.time_ns) == (2.5, NOW_NS + NS)


def test_the_close_is_kept_and_not_told():
    tape = Tape()
    assert played([price(9, 12.5), price(7, 1.0), size(8, 4), size(21, 9)], tape) == []
    assert tape.close == 12.5


# -- what can't be read -----------------------------------------------------------


@settings(max_examples=300)
@given(
    st.lists(
        st.builds(
            RawTick,
            st.integers(-1, 110),
            st.one_of(st.floats(), st.sampled_from([nan, inf, -1.0])),
            st.floats(),
            st.one_of(
                st.text(max_size=30),
                st.lists(st.text("0123456789.;-e", max_size=8), max_size=7).map(
                    ";".join
                ),
            ),
        ),
        max_size=20,
    ),
    st.booleans(),
    st.booleans(),
)
def test_whatever_comes_nothing_is_raised(raws, by_middle, is_index):
    tape = Tape(by_middle=by_middle, is_index=is_index)
    for tick in played(raws, tape):
        assert tick.type in {
            "trade", "utrade", "last", "bid", "ask", "bsize", "asize"
        }  # fmt: skip
        if tick.type == "trade":
            assert tick.time_ns > 0
            assert tick.size >= 0
            assert not isnan(tick.price)


@pytest.mark.parametrize("text", ["", "1;2;3", "a;1;2;3;4;true", "1;2;x;3;4;true"])
def test_texts_that_ib_does_not_document(text):
    with pytest.raises(BadPayload):
        parse_rt_volume(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "9" * 20])
def test_times_that_are_none(text):
    with pytest.raises(BadPayload):
        parse_epoch_s(text)
