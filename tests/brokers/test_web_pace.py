"""Who floods us is read more slowly, who doesn't isn't."""

from __future__ import annotations

import trio

from piker.brokers._web._pace import Pace


async def test_what_comes_in_its_time_is_never_waited_for(autojump_clock):
    pace = Pace(500, 0.25)
    for _ in range(10_000):
        await trio.sleep(0.001)
        before = trio.current_time()
        await pace.took(1)
        assert trio.current_time() == before
    await trio.sleep(10)
    before = trio.current_time()
    await pace.took(499)  # all at once
    assert trio.current_time() == before


async def test_a_flood_is_read_at_the_pace(autojump_clock):
    pace, began = Pace(500, 0.25), trio.current_time()
    for count in (4096, 100, 700, 5000, 104) * 10:
        await pace.took(count)
    assert trio.current_time() - began >= 100_000 / 2_000 * 0.99
    assert trio.current_time() - began <= 100_000 / 2_000
