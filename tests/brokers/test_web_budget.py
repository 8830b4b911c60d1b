"""A venue's rate limit: never exceeded in any window, whoever asks and leaves."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from piker.brokers._web import RateBudget, open_http
from piker.errors import VenueUnreachable
from piker.testing import free_port

#: A user: how long after the one before it comes, its weight, when it gives up.
users = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.1, 0.9, 1.0, 3.3]),
        st.sampled_from([1, 1, 2, 5, 0.1, 0.7]),
        st.sampled_from([None, None, None, 0.0, 0.5, 4.0]),
    ),
    max_size=40,
)


async def spend_all(budget, come, pauses=()):
    """Return (when, weight, number) of each that was let through."""
    spent = []

    async def user(number, weight, patience_s):
        scope = trio.CancelScope()
        if patience_s is not None:
            scope.deadline = trio.current_time() + patience_s
        with scope:
            await budget.spend(weight)
            spent.append((trio.current_time(), weight, number))

    async with trio.open_nursery() as tasks:
        for number, (after_s, weight, patience_s) in enumerate(come):
            await trio.sleep(after_s)
            tasks.start_soon(user, number, weight, patience_s)
            await trio.testing.wait_all_tasks_blocked()
            if number in pauses:
                budget.pause(2.5)
    return spent


@settings(max_examples=200, deadline=None)
@given(
    come=users, weight=st.sampled_from([5, 7, 20]), window_s=st.sampled_from([1, 10])
)
def test_no_window_holds_more_than_the_budget(come, weight, window_s):
    async def main():
        return await spend_all(RateBudget(weight, window_s), come)

    spent = trio.run(main, clock=MockClock(autojump_threshold=0))
    for at, _, _ in spent:
        inside = sum(w for t, w, _ in spent if at <= t < at + window_s - 1e-6)
        assert inside <= weight + 1e-6
    patient = {i for i, one in enumerate(come) if one[2] is None}
    assert patient <= {number for _, _, number in spent}, "who waits gets through"
    assert [n for _, _, n in spent] == sorted(n for _, _, n in spent), "in turn"


async def test_what_is_spent_is_back_after_the_window_and_not_before(autojump_clock):
    budget, began = RateBudget(10, 60.0), trio.current_time()
    for _ in range(10):
        await budget.spend()
    assert trio.current_time() == began
    await budget.spend()
    assert trio.current_time() - began == pytest.approx(60)


async def test_a_large_weight_waits_for_just_enough(autojump_clock):
    budget, began = RateBudget(10, 60.0), trio.current_time()
    for weight in (4, 4, 2):
        await budget.spend(weight)
        await trio.sleep(1)
    await budget.spend(6)
    assert trio.current_time() - began == pytest.approx(61), "the first two are back"


async def test_more_than_ever_fits_is_refused(autojump_clock):
    with pytest.raises(ValueError, match="11 is over the budget 10"):
        await RateBudget(10, 60.0).spend(11)


async def test_a_pause_holds_all_back_and_only_grows(autojump_clock):
    budget, began = RateBudget(10, 1.0), trio.current_time()
    budget.pause(5)
    budget.pause(2)
    assert budget.paused_s == 5
    await budget.spend()
    assert trio.current_time() - began == pytest.approx(5)
    assert budget.paused_s == 0


async def test_a_pause_that_comes_while_one_waits_counts(autojump_clock):
    come = [(0.0, 5, None), (0.0, 5, None), (0.0, 1, None)]
    began = trio.current_time()
    spent = await spend_all(RateBudget(5, 1.0), come, pauses={1})
    assert [round(at - began, 6) for at, _, _ in spent] == [0, 2.5, 3.5]


async def test_who_gives_up_has_spent_nothing(autojump_clock):
    budget = RateBudget(2, 100.0)
    await budget.spend(1)
    with trio.move_on_after(5):
        await budget.spend(2)
    began = trio.current_time()
    await budget.spend(1)
    assert trio.current_time() == began


async def test_sums_of_fractions_never_lock_it(autojump_clock):
    budget = RateBudget(1.0, 1.0)
    for i in range(3000):
        await budget.spend([0.1, 0.2, 0.7][i % 3])
    with trio.fail_after(5):
        await budget.spend(1.0)


async def spend(budget, *weights):
    """Spend; return how long that took."""
    began = trio.current_time()
    for weight in weights:
        await budget.spend(weight)
    return trio.current_time() - began


async def test_what_the_venue_never_heard_of_is_given_back(autojump_clock):
    budget = RateBudget(10, 60)
    await spend(budget, 4)
    await trio.sleep(20)
    await spend(budget, 6)
    budget.give_back(6)
    assert await spend(budget, 6) == 0
    budget.give_back(5)  # nobody spent that
    assert await spend(budget, 4) == pytest.approx(40), "the older one was kept"


async def test_a_refused_connection_costs_nothing():
    """Else a venue that comes up is kept waiting for what it never was asked."""
    budget = RateBudget(1, 1000)
    async with open_http(
        "nowhere",
        f"http://127.0.0.1:{free_port()}",
        budget,
        failure_of=lambda body: None,
    ) as http:
        with pytest.raises(VenueUnreachable, match="refused"):
            await http.get("/time")
        assert http.requests == 3
        with trio.fail_after(10):
            await budget.spend()


async def test_what_weighs_nothing_waits_for_a_pause_and_behind_nobody(autojump_clock):
    budget, began = RateBudget(2, 10.0), trio.current_time()
    await budget.spend(2)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(budget.spend, 2)
        await trio.testing.wait_all_tasks_blocked()
        await budget.spend(0)
        assert trio.current_time() == began
        budget.pause(3)
        await budget.spend(0)
        assert trio.current_time() == began + 3
    assert trio.current_time() == began + 10
