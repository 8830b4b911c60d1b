"""Stamps that lead the clock: one alone is left out, a venue that leads is followed."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from piker.data._stamps import AGREE_S, LEAD_NS, Stamps
from piker.msgs import Tick

NS = 1_000_000_000
NOW_NS = 1_700_000_000 * NS


def trade(tid: int, lead_s: float, now_ns: int = NOW_NS) -> Tick:
    return Tick("trade", 100.0, 1.0, now_ns + round(lead_s * NS), tid)


def feed(stamps: Stamps, leads: list[float], every_s: float = 0.5) -> list[int]:
    """Send a trade each *every_s* with these leads; return what went on, by id."""
    gone: list[int] = []
    for tid, lead_s in enumerate(leads):
        now_ns = NOW_NS + round(tid * every_s * NS)
        got = stamps.sort([trade(tid, lead_s, now_ns)], now_ns, tid * every_s)
        gone += [tick.tid for tick in got]
    return gone


@pytest.mark.parametrize("lead_s", [6, 60, 3599, 86_400, 10**9])
def test_a_stamp_that_leads_all_others_is_left_out(lead_s):
    stamps = Stamps()
    assert feed(stamps, [0, 0, lead_s, 0, 0, lead_s, 0]) == [0, 1, 3, 4, 6]
    assert stamps.left_out == 2
    assert stamps.lead_ns == stamps.agreed == 0


def test_a_batch_of_them_is_left_out_too():
    stamps = Stamps()
    got = stamps.sort([trade(i, 60) for i in range(500)], NOW_NS, 0.0)
    assert got == []
    assert stamps.sort([trade(500, 0)], NOW_NS, 10.0)[0].tid == 500
    assert stamps.left_out == 500


@pytest.mark.parametrize("lead_s", [6, 60, 86_400])
def test_a_venue_that_leads_is_followed_after_a_while_and_nothing_is_lost(lead_s):
    stamps = Stamps()
    leads = [lead_s + 0.1 * (i % 3) for i in range(40)]
    assert feed(stamps, leads) == list(range(40))
    assert stamps.left_out == 0
    assert stamps.agreed == 1
    assert lead_s <= stamps.lead_ns / NS <= lead_s + 0.2
    assert feed(stamps, [0, lead_s + 60, 0]) == [0, 2], "still guarded"


def test_what_is_caught_up_with_at_once_agrees_with_what_comes_live():
    """A minute of trades in one page, of a venue that leads by a minute."""
    stamps = Stamps()
    page = [trade(i, i) for i in range(60)]
    gone = [tick.tid for tick in stamps.sort(page, NOW_NS, 0.0)]
    assert gone == list(range(6))
    for i in range(8):
        now_ns = NOW_NS + i * NS
        got = stamps.sort([trade(60 + i, 60, now_ns)], now_ns, float(i))
        gone += [tick.tid for tick in got]
    assert gone == list(range(68))


def test_stamps_that_agree_with_nobody_are_never_followed():
    stamps = Stamps()
    leads = [60 * (1 + i * i) for i in range(100)]
    assert feed(stamps, leads) == []
    assert stamps.agreed == 0


def test_two_that_agree_are_too_few():
    assert feed(Stamps(), [60, 60], every_s=4) == []
    assert feed(Stamps(), [60, 60, 60], every_s=4) == [0, 1, 2]


def test_one_that_only_leads_a_bit_more_than_the_next_is_kept():
    """The clock is behind by about what is believed at once."""
    stamps = Stamps()
    leads = [4.9, 5.1, 4.9, 5.2, 5.3, 4.8, 5.1, 4.9]
    assert feed(stamps, leads) == list(range(8))
    assert stamps.left_out == 0


def test_one_that_is_held_goes_on_once_the_clock_is_there():
    stamps = Stamps()
    assert stamps.sort([trade(1, 20)], NOW_NS, 0.0) == []
    bid = Tick("bid", 99.0, 1.0, NOW_NS)
    assert stamps.sort([bid], NOW_NS + 14 * NS, 14.0) == [bid]
    got = stamps.sort([bid], NOW_NS + 15 * NS, 15.0)
    assert [tick.type for tick in got] == ["trade", "bid"]


def test_quotes_go_on_unless_they_are_absurd():
    stamps = Stamps()
    quotes = [Tick("bid", 99.0, 1.0, NOW_NS + at * NS) for at in (0, 60, 3600, 3601)]
    assert stamps.sort(quotes, NOW_NS, 0.0) == quotes[:3]
    assert stamps.left_out == 1


def test_a_new_stream_forgets_what_was_held():
    stamps = Stamps()
    stamps.sort([trade(1, 60)], NOW_NS, 0.0)
    stamps.begin(-5 * NS)
    assert stamps.lead_ns == 0
    assert stamps.sort([trade(2, 0)], NOW_NS, 1.0)[0].tid == 2
    assert stamps.left_out == 0
    stamps.begin(60 * NS)
    assert stamps.sort([trade(3, 64)], NOW_NS, 2.0)[0].tid == 3


@given(
    leads=st.lists(
        st.sampled_from([0.0, 0.3, -2.0, 4.0, 9.0, 70.0, 4000.0]), max_size=60
    ),
    every_s=st.sampled_from([0.01, 0.5, 2.0]),
)
def test_sane_stamps_always_go_on_at_once_and_in_order(leads, every_s):
    stamps, gone = Stamps(), []
    for tid, lead_s in enumerate(leads):
        now_ns = NOW_NS + round(tid * every_s * NS)
        got = stamps.sort([trade(tid, lead_s, now_ns)], now_ns, tid * every_s)
        ids = [tick.tid for tick in got]
        assert lead_s * NS > LEAD_NS or tid in ids
        gone += ids
    assert gone == sorted(gone)
    assert len(gone) == len(set(gone))
    if max(leads, default=0) * NS <= LEAD_NS or len(leads) * every_s < AGREE_S:
        assert not stamps.agreed
