"""When a daemon is restarted: the whole table, and the numbers."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, strategies as st

from piker.msgs import State
from piker.service._policy import NEXT, Backoff, Event, Policy, Pulse, next_state

# What each event makes of a state; . is no change.
TABLE = """
-             up missed beat died retry exhausted stop ended restart
starting      running . . backoff . . stopping stopped stopping
running       . unresponsive . backoff . . stopping stopped stopping
unresponsive  . . running backoff . . stopping stopped stopping
backoff       . . . . starting quarantined stopped . starting
quarantined   . . . . . . stopped . starting
stopping      . . . stopped . . . stopped .
stopped       . . . . . . . . starting
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
EVENTS = HEAD[1:]
PAIRS = [
    (row[0], event, row[0] if cell == "." else cell)
    for row in ROWS
    for event, cell in zip(EVENTS, row[1:], strict=True)
]


def test_the_table_names_every_state_and_event():
    assert set(EVENTS) == set(get_args(Event))
    assert {row[0] for row in ROWS} == set(get_args(State)) == set(NEXT)


@pytest.mark.parametrize(("state", "event", "then"), PAIRS)
def test_every_pair_of_state_and_event(state, event, then):
    assert next_state(state, event) == then


def test_nothing_but_a_command_leaves_quarantine_or_a_stop():
    for held in ("quarantined", "stopped"):
        leaving = {e for e in EVENTS if next_state(held, e) == "starting"}
        assert leaving == {"restart"}


def test_delays_grow_and_the_last_one_stays():
    backoff = Backoff(Policy(max_deaths=100))
    delays = [backoff.died(now, 1.0) for now in range(9)]
    assert delays == [0, 0, 0.5, 1, 2, 4, 4, 4, 4]


@pytest.mark.parametrize(("uptime_s", "delay"), [(59.9, 4), (60.0, 0), (4000.0, 0)])
def test_a_minute_up_forgives_the_delay(uptime_s, delay):
    backoff = Backoff(Policy(max_deaths=100))
    for now in range(6):
        backoff.died(now, 0.0)
    assert backoff.died(7 + uptime_s, uptime_s) == delay


def test_the_sixth_death_within_a_minute_is_quarantine():
    backoff = Backoff()
    told = [backoff.died(now * 10.0, 9.0) for now in range(6)]
    assert None not in told[:5]
    assert told[5] is None


def test_deaths_a_minute_old_no_longer_count():
    backoff = Backoff()
    told = [backoff.died(now * 12.0, 11.0) for now in range(40)]
    assert None not in told  # five in any 60 s: as bad as it may get


# how long each run was up; 0: it never was -> how many seconds apart they end
@pytest.mark.parametrize("apart_s", [20.0, 61.0, 4000.0])
@pytest.mark.parametrize(
    ("uptimes_s", "quarantined_at"),
    [
        ([0] * 6, 6),
        ([0] * 5 + [15], None),
        ([0] * 5 + [15] + [0] * 5, None),
        ([0] * 5 + [15] + [0] * 6, 12),
        ([15] + [0] * 6, 7),
        ([15] * 40, None),
    ],
)
def test_six_failed_starts_in_a_row_are_quarantine_however_long_each_took(
    apart_s, uptimes_s, quarantined_at
):
    backoff = Backoff()
    told = [backoff.died(i * apart_s, up) for i, up in enumerate(uptimes_s, 1)]
    assert None not in told[:-1]
    assert (told[-1] is None) is (quarantined_at is not None)
    if quarantined_at:
        assert len(told) == quarantined_at
        assert str(backoff) == "failed to start 6 times in a row"
        backoff.forgive()
        assert [backoff.died(1e6 + i * 20, 0) for i in range(6)].index(None) == 5


def test_a_command_forgives_all_deaths():
    backoff = Backoff()
    for _ in range(6):
        backoff.died(0.0, 0.0)
    backoff.forgive()
    assert [backoff.died(1.0, 0.0) for _ in range(3)] == [0, 0, 0.5]


@given(st.lists(st.floats(0.001, 100.0), max_size=60))
def test_quarantine_is_six_deaths_in_the_window_and_nothing_else(lives_s):
    policy, now, times = Policy(), 0.0, []
    backoff = Backoff(policy)
    for life_s in lives_s:
        now += life_s
        times.append(now)
        recent = [t for t in times if t > now - policy.window_s]
        assert (backoff.died(now, life_s) is None) is (len(recent) > policy.max_deaths)


# -- heartbeats ---------------------------------------------------------------


def silence(ticks: int) -> list[str]:
    pulse = Pulse()
    pulse.tick()  # it has just come up
    return [pulse.tick() for _ in range(ticks)]


def test_five_silent_ticks_are_unresponsive_and_ten_are_death():
    assert silence(10) == ["ok"] * 4 + ["missed"] * 5 + ["kill"]


def test_one_beat_makes_up_for_all_that_were_missed():
    pulse = Pulse()
    for _ in range(9):
        pulse.tick()
    pulse.beat()
    assert pulse.tick() == "ok"
    assert pulse.missed == 0
    assert [pulse.tick() for _ in range(5)][-1] == "missed"


def test_a_supervisor_that_slept_holds_nothing_against_anybody():
    """However long its sleep was, it is one tick; what was sent meanwhile is read."""
    pulse = Pulse()
    for _ in range(1000):
        assert pulse.tick() == "ok"  # the first tick after each sleep
        pulse.beat()


@given(st.lists(st.booleans(), max_size=200))
def test_only_silence_in_a_row_kills(beats):
    pulse, silent = Pulse(), -1
    for beaten in beats:
        if beaten:
            pulse.beat()
        silent = 0 if beaten or silent < 0 else silent + 1
        expected = "kill" if silent >= 10 else "missed" if silent >= 5 else "ok"
        assert pulse.tick() == expected
