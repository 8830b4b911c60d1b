"""The rate budget of a venue: what fits, what is waited for, what is given back."""

from __future__ import annotations

import pytest
import trio

from piker.brokers._web import RateBudget, open_http
from piker.errors import VenueUnreachable
from piker.testing import free_port


async def spend(budget, *weights):
    """Spend; return how long that took."""
    began = trio.current_time()
    for weight in weights:
        await budget.spend(weight)
    return trio.current_time() - began


async def test_what_does_not_fit_waits_for_the_window(autojump_clock):
    budget = RateBudget(10, 60)
    assert await spend(budget, 4, 6) == 0
    await trio.sleep(20)
    assert await spend(budget, 1) == pytest.approx(40)
    with pytest.raises(ValueError, match="over the budget"):
        await budget.spend(11)


async def test_what_the_venue_never_heard_of_is_given_back(autojump_clock):
    budget = RateBudget(10, 60)
    await spend(budget, 4)
    await trio.sleep(20)
    await spend(budget, 6)
    budget.give_back(6)
    assert await spend(budget, 6) == 0
    budget.give_back(5)  # nobody spent that
    assert await spend(budget, 4) == pytest.approx(40), "the older one was kept"


async def test_a_pause_holds_back_whoever_asks(autojump_clock):
    budget = RateBudget(10, 60)
    budget.pause(3)
    budget.pause(1)
    assert budget.paused_s == pytest.approx(3)
    assert await spend(budget, 1) == pytest.approx(3)


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
        with trio.fail_after(1):
            await budget.spend()
