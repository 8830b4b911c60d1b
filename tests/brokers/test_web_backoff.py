"""Waits before the next try: doubled, capped, jittered, begun anew after a success."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from piker.brokers._web import Backoff


def waits(n: int, draw: float = 0.999999, **options) -> list[float]:
    backoff = Backoff(draw=lambda: draw, **options)
    return [backoff.next_s() for _ in range(n)]


def test_they_double_up_to_the_cap():
    got = waits(10, first_s=0.25, cap_s=30)
    assert got == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30], rel=1e-5)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 12))
def test_chance_shortens_each_by_half_at_most(draw, n):
    full = waits(n, first_s=0.25, cap_s=30)
    for got, most in zip(waits(n, draw, first_s=0.25, cap_s=30), full, strict=True):
        assert most / 2.0001 <= got <= most * 1.0001


def test_chance_is_drawn_each_time():
    backoff = Backoff(first_s=1, cap_s=1)
    got = {backoff.next_s() for _ in range(50)}
    assert len(got) > 40
    assert max(got) - min(got) > 0.3


def test_no_number_of_tries_is_too_many():
    backoff = Backoff(cap_s=30, draw=lambda: 0.5)
    for _ in range(5000):
        assert backoff.next_s() <= 30


@pytest.mark.parametrize(("held_s", "anew"), [(0, False), (9.99, False), (10, True)])
def test_only_what_held_long_enough_was_a_success(held_s, anew):
    backoff = Backoff(first_s=0.25, cap_s=30, reset_after_s=10, draw=lambda: 0.999999)
    for _ in range(5):
        backoff.next_s()
    assert backoff.next_s(held_s) == pytest.approx(0.25 if anew else 8, rel=1e-5)
    assert backoff.next_s() == pytest.approx(0.5 if anew else 16, rel=1e-5)
