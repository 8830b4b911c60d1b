"""Markets that a connection serves badly: what the others have to bear for them."""

from __future__ import annotations

from itertools import pairwise

import trio

from piker.brokers._web._trust import Trust

HOUR_S = 3600.0


async def fail(trust, symbol, up, *, until_s=HOUR_S) -> tuple[list[float], list[float]]:
    """Have a market fail 7 s after each cure; return when all were cut off, its rests.

    A connection comes up a second after it was given up.
    """
    lost, rests = [], []
    while trio.current_time() < until_s:
        await trio.sleep(7)
        told = trust.judge([symbol], up)
        if told is None:
            lost.append(trio.current_time())
        else:
            rests.append(told[symbol])
        await trio.sleep(1.0 if told is None else told[symbol])
    return lost, rests


async def test_one_that_is_never_served_cuts_the_others_off_once_in_ten_minutes(
    autojump_clock,
):
    lost, rests = await fail(Trust(30.0), "A", {"A", "B"})
    assert len(lost) == 6
    assert lost[0] < 20, "asking again didn't help"
    assert rests[0] <= 0.25
    assert 15 <= max(rests[-9:]) <= 30


async def test_many_that_are_never_served_cut_the_others_off_once_a_minute(
    autojump_clock,
):
    trust, lost = Trust(30.0), []
    bad = [f"S{n}" for n in range(40)]

    async def keep_failing(symbol):
        lost.extend((await fail(trust, symbol, {*bad, "B"}))[0])

    async with trio.open_nursery() as tasks:
        for symbol in bad:
            tasks.start_soon(keep_failing, symbol)
    lost.sort()
    assert lost[0] < 10, "together"
    assert all(b - a >= 60 for a, b in pairwise(lost))
    assert len(lost) <= 12


async def test_who_shares_a_connection_with_nobody_gives_it_up_at_once(autojump_clock):
    lost, rests = await fail(Trust(30.0), "A", {"A"})
    assert len(lost) > 400
    assert rests == []
    trust = Trust(30.0)
    assert trust.judge(["A"], set()) is None, "nor is anybody up"
    assert trust.judge(["A", "B"], {"A", "B"}) is None


async def test_what_was_cured_by_a_rest_rests_briefly_the_next_time(autojump_clock):
    trust, up = Trust(30.0), {"A", "B"}
    _, rests = await fail(trust, "A", up, until_s=300)
    assert rests[-1] > 5
    await trio.sleep(150)
    assert trust.judge(["A"], up)["A"] <= 0.25
