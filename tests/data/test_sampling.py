"""samplerd: absolute deadlines, steps that lag nobody and outlive the daemon."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import trio

from piker.data import _sampling, open_sample_stream
from piker.data._sampling import MAX_STEPS_HZ, _run_ticker, _Sampler, _Ticker
from piker.msgs import NS, SessionClock, VenueClock, WallClock
from piker.service import Policy

START_S = 1_700_000_000


class Wall:
    """A wall clock that follows trio's mock clock, and may be set."""

    def __init__(self, monkeypatch, clock) -> None:
        self.clock, self.set_ns, self.rate = clock, START_S * NS, 1.0
        fake = SimpleNamespace(
            time_ns=self.now_ns, monotonic_ns=self.mono_ns,
            clock_gettime_ns=lambda _: self.mono_ns(), CLOCK_BOOTTIME=7,
        )  # fmt: skip
        monkeypatch.setattr("piker.msgs._clock.time", fake)

    def now_ns(self) -> int:
        return self.set_ns + round(self.mono_ns() * self.rate)

    def mono_ns(self) -> int:
        return round(self.clock.current_time() * NS)


@pytest.fixture
def wall(monkeypatch, autojump_clock):
    return Wall(monkeypatch, autojump_clock)


@pytest.fixture
async def listen(nursery):
    """Run a ticker of a clock; returns what records its steps."""

    def start(clock, size=1000):
        ticker = _Ticker(clock)
        send, receive = trio.open_memory_channel(size)
        ticker.listeners.add(send)
        nursery.start_soon(_run_ticker, _Sampler(nursery), ticker)
        return receive

    return start


def drain(receive) -> list[int]:
    steps = []
    while True:
        try:
            steps.append(receive.receive_nowait())
        except trio.WouldBlock:
            return steps


@pytest.mark.parametrize("rate", [0.997, 1.0, 1.003])
async def test_steps_never_drift(listen, wall, autojump_clock, rate):
    """Sleeps are a little long, or short; each step is at its second all the same."""
    wall.rate = rate
    steps, seen, late_ns = listen(WallClock()), 0, 0
    with trio.move_on_after(1800):
        async for step in steps:
            late_ns = max(late_ns, wall.now_ns() - step * NS)
            seen += 1
    assert abs(seen - 1800 * rate) <= 1
    assert late_ns < 25_000_000


async def test_each_second_has_its_step(listen, wall, autojump_clock):
    steps = listen(WallClock())
    await trio.sleep(100.5)
    assert drain(steps) == list(range(START_S + 1, START_S + 101))


async def test_a_late_step_is_made_good_at_once(listen, wall, autojump_clock):
    steps = listen(WallClock())
    await trio.sleep(3.5)
    drain(steps)
    wall.set_ns += 600 * NS  # suspended for ten minutes
    await trio.sleep(1)
    assert drain(steps) == [START_S + 604]
    await trio.sleep(2)
    assert drain(steps) == [START_S + 605, START_S + 606]


async def test_a_wall_clock_set_back_is_waited_for(listen, wall, autojump_clock):
    steps = listen(WallClock())
    await trio.sleep(10.5)
    drain(steps)
    wall.set_ns -= 30 * NS
    await trio.sleep(30)
    assert drain(steps) == []
    await trio.sleep(2)
    assert drain(steps) == [START_S + 11, START_S + 12]


async def test_a_venues_clock_is_not_set_with_the_wall(listen, wall, autojump_clock):
    """It steps at its own seconds, whatever this machine's clock is set to."""
    steps = listen(VenueClock(name="x", ahead_ns=(START_S + 120) * NS))
    await trio.sleep(10.5)
    wall.set_ns -= 3600 * NS
    await trio.sleep(10)
    wall.set_ns += 7200 * NS
    await trio.sleep(10)
    assert drain(steps) == list(range(START_S + 121, START_S + 151))


async def test_a_fast_clock_steps_so_often_and_skips_no_time(
    listen, wall, autojump_clock
):
    clock = SessionClock(name="x", origin_ns=0, started_ns=0, speed=5000.0)
    steps = listen(clock, 100_000)
    await trio.sleep(10)
    seen = drain(steps)
    assert seen == sorted(set(seen))
    assert len(seen) <= 10 * MAX_STEPS_HZ + 1
    assert seen[-1] > 49_000


async def test_a_clock_at_full_speed_has_no_steps(listen, wall, autojump_clock):
    steps = listen(SessionClock(name="x", origin_ns=0, started_ns=0, speed=0.0))
    await trio.sleep(100)
    assert drain(steps) == []


async def test_a_listener_that_does_not_look_delays_nobody(
    nursery, wall, autojump_clock
):
    ticker = _Ticker(WallClock())
    stuck, _stuck = trio.open_memory_channel(2)
    send, receive = trio.open_memory_channel(1000)
    ticker.listeners |= {stuck, send}
    nursery.start_soon(_run_ticker, _Sampler(nursery), ticker)
    await trio.sleep(50.5)
    assert len(drain(receive)) == 50


# -- the daemon -----------------------------------------------------------------


@pytest.mark.tree
async def test_steps_outlive_samplerd(open_test_pikerd):
    """SIGKILL and SIGSTOP it: the steps of three listeners go on, none goes back."""
    policy = Policy(beat_s=0.1, kill_beats=40)  # none is killed for being held up
    async with open_test_pikerd(policy=policy) as tree:
        async with (
            open_sample_stream() as wall_steps,
            open_sample_stream(period_s=60) as minutes,
            open_sample_stream(_session(tree), period_s=60) as fast,
        ):
            first = [await wall_steps.receive() for _ in range(2)]
            with trio.fail_after(10):
                while abs(first[-1] - time.time()) >= 1:  # we were held up
                    first.append(await wall_steps.receive())
            service = tree.services.service_tasks["samplerd"]
            for sig in (signal.SIGKILL, signal.SIGSTOP):
                pid = service.pid
                os.kill(pid, sig)
                with trio.fail_after(40):
                    while service.pid in (pid, -1) or service.state != "running":
                        await service.changed.wait()
                    drain(wall_steps)
                    steps = [await wall_steps.receive() for _ in range(3)]
                assert steps[-1] - time.time() < 1
                assert steps[-1] > first[-1]
                assert all(b > a for a, b in pairwise(first[-1:] + steps))
                first = steps
            fast_steps = drain(fast)
            assert all(step % 60 == 0 for step in fast_steps)
            assert fast_steps == sorted(set(fast_steps))
            assert all(step % 60 == 0 for step in drain(minutes))
        assert service.restarts in (2, 3)  # one more, should it be held up for 4 s


def _session(tree) -> SessionClock:
    return SessionClock(
        name="fast", origin_ns=0, started_ns=time.monotonic_ns(), speed=600.0
    )


@pytest.mark.tree
async def test_timers_end_with_their_last_listener(open_test_pikerd):
    async with open_test_pikerd() as tree:
        async with open_sample_stream() as one, open_sample_stream() as two:
            first, second = await one.receive(), await two.receive()
            with trio.fail_after(10):
                while first < second:  # we were held up between them
                    first = await one.receive()
                while second < first:
                    second = await two.receive()
            assert first == second
        pid = tree.services.service_tasks["samplerd"].pid
        async with open_sample_stream() as three:
            await three.receive()
        assert tree.services.service_tasks["samplerd"].pid == pid
        assert _sampling.samplerd_init().setup_kwargs == {}
