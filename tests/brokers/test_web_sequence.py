"""Each trade once and in order, however parts come: against a model of a market."""

from __future__ import annotations

import time
from collections.abc import Iterable

from hypothesis import given, strategies as st

from piker.brokers._parts import Part
from piker.brokers._sequence import FAR, Sequence
from piker.msgs import Tick


def part(first: int, last: int | None = None) -> Part:
    last = first if last is None else last
    ticks = [Tick("trade", 1.0, 1.0, i, i) for i in range(first, last + 1)]
    return Part("X", ticks, first, last)


def pushed(seq: Sequence, parts: Iterable[Part]) -> list[Part]:
    ready: list[Part] = []
    for one in parts:
        seq.push(one, ready)
    return ready


def serials(ready: list[Part]) -> list[int]:
    """Return what went, as ticks say it; each part is to say the same."""
    for one in ready:
        assert [tick.tid for tick in one.ticks] == list(range(one.first, one.last + 1))
    return [tick.tid for one in ready for tick in one.ticks]


@st.composite
def arrivals(draw):
    """A market's serials, and parts of it in any order, some lost, some twice."""
    first = draw(st.sampled_from([0, 1, 500, 10**12]))
    n = draw(st.integers(1, 40))
    parts = [part(first + i) for i in range(n)]
    for _ in range(draw(st.integers(0, 12))):  # aggregates of any cut, overlapping
        at = draw(st.integers(0, n - 1))
        parts.append(part(first + at, first + draw(st.integers(at, n - 1))))
    rng = draw(st.randoms(use_true_random=True))
    rng.shuffle(parts)
    lost = draw(st.integers(0, len(parts)))
    return first, n, parts[lost:], rng


@given(arrivals(), st.booleans())
def test_each_trade_goes_once_and_in_order(arrived, know_first):
    first, n, parts, rng = arrived
    seq, gone = Sequence(), []
    if know_first:
        gone += serials(seq.start_at(first))
    start_when = rng.randrange(len(parts) + 1)
    for i, one in enumerate(parts):
        if i == start_when and not know_first:
            gone += serials(seq.start_at(first))
        ready: list[Part] = []
        seq.push(one, ready)
        gone += serials(ready)
        assert gone == list(range(first, first + len(gone)))
        assert not gone or seq.expect == first + len(gone)
        if seq.hole is not None:
            assert seq.hole[0] == seq.expect <= seq.hole[1]
    gone += serials(seq.start_at(first))
    # what is still missing is fetched again: all of it, from what is expected on
    tail = [part(i) for i in range(max(seq.expect, first), first + n)]
    gone += serials(pushed(seq, tail))
    assert gone == list(range(first, first + n))
    assert seq.hole is None
    assert seq.held == 0


@given(st.randoms(use_true_random=True), st.integers(1, 60))
def test_what_is_known_is_counted_and_never_goes_again(rng, n):
    seq = Sequence()
    seq.start_at(0)
    order = [rng.randrange(n) for _ in range(3 * n)]
    gone = serials(pushed(seq, (part(i) for i in order)))
    gone += serials(pushed(seq, (part(i) for i in range(n))))
    assert gone == list(range(n))
    assert seq.known == len(order)


def test_nothing_goes_before_it_is_known_where_to_begin():
    seq = Sequence()
    assert pushed(seq, [part(7), part(5), part(9, 12)]) == []
    assert seq.hole is None
    assert seq.held == 3
    assert serials(seq.start_at()) == [5]
    assert seq.hole == (6, 6)
    assert serials(pushed(seq, [part(6)])) == [6, 7]
    assert seq.hole == (8, 8)


def test_who_starts_within_an_aggregate_gets_the_rest_of_it():
    seq = Sequence()
    pushed(seq, [part(5, 9), part(3, 6)])
    assert serials(seq.start_at(6)) == [6, 7, 8, 9]
    assert seq.expect == 10


def test_a_start_never_goes_back():
    seq = Sequence()
    seq.start_at(5)
    assert seq.start_at(3) == seq.start_at() == []
    assert seq.expect == 5
    assert serials(pushed(seq, [part(4), part(5)])) == [5]


def test_what_is_given_up_may_come_all_the_same_and_is_left_out():
    seq = Sequence()
    seq.start_at(1)
    pushed(seq, [part(4), part(5)])
    assert serials(seq.start_at()) == [4, 5]
    assert pushed(seq, [part(2), part(1, 3), part(3)]) == []
    assert serials(pushed(seq, [part(3, 7)])) == [6, 7]


def test_the_longer_of_two_held_parts_counts():
    seq = Sequence()
    seq.start_at(1)
    pushed(seq, [part(3), part(3, 6), part(3, 4)])
    assert serials(pushed(seq, [part(1, 2)])) == [1, 2, 3, 4, 5, 6]


def test_a_serial_absurdly_far_ahead_is_not_waited_for():
    seq = Sequence()
    seq.start_at(10)
    pushed(seq, [part(11 + FAR), part(2**62)])
    assert seq.far == 2
    assert seq.held == 0
    assert pushed(seq, [part(10 + FAR)]) == []
    assert seq.hole == (10, 9 + FAR)


def test_nor_one_that_came_before_it_was_known_how_far_ahead_it_is():
    seq = Sequence()
    pushed(seq, [part(2**62), part(7), part(7 + FAR)])
    assert serials(seq.start_at()) == [7]
    assert seq.far == 1
    assert seq.hole == (8, 6 + FAR)


def test_damaged_serials_are_left_out_when_told_so():
    seq = Sequence()
    seq.start_at(1)
    pushed(seq, [part(1), part(900), part(1000, 1005)])
    seq.drop_held()
    assert seq.hole is None
    assert seq.far == 2
    assert serials(pushed(seq, [part(2)])) == [2]


def test_what_is_left_out_for_want_of_room_leaves_nothing_behind():
    """A venue may be closed for hours while its stream goes on."""
    seq, ready = Sequence(expect=1), []
    for first in (5, 3, 9, 7):
        seq.push(part(first), ready)
    for first in range(10, 20_000):
        seq.push(part(first), ready)
        assert seq.drop_held([first]) == [first]
    assert len(seq._firsts) < 3000
    assert seq.hole == (1, 2)
    assert serials(pushed(seq, map(part, (1, 2, 4, 6, 8)))) == list(range(1, 10))


def test_a_large_hole_is_filled_in_a_time_that_grows_with_it_not_with_its_square():
    """A busy market while the venue doesn't give what is missing."""
    n = 60_000
    seq, ready = Sequence(expect=0), []
    held = [part(i) for i in range(n, 2 * n)]
    filling = [part(i) for i in range(n)]
    began = time.process_time()
    for one in held:
        seq.push(one, ready)
        assert seq.hole == (0, n - 1)
    for one in filling:
        seq.push(one, ready)
    assert time.process_time() - began < 5
    assert [one.first for one in ready] == list(range(2 * n))
    assert seq.held == 0
    assert seq.lowest == -1
