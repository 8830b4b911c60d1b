"""``samplerd``: one timer per market clock, shared by everything that samples.

    datad, clients --open_sample_stream(clock)--> [samplerd] --step time--> them

Deadlines are absolute, so steps never drift; a late step is sent at once, and says the
newest time, so who opens bars up to it has no hole. The daemon holds no market data: it
can die and be started again at will, and no buffer needs it to be read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from piker.errors import PikerError, ServiceError
from piker.log import get_logger
from piker.msgs import NS, Clock, SessionClock, WallClock
from piker.service import (
    Context,
    DaemonSpec,
    Portal,
    collapse_eg,
    current_services,
    daemon_life,
    endpoint,
    maybe_spawn_daemon,
    open_context,
    setup_actor_log,
)

log = get_logger(__name__)

NAME = "samplerd"
#: Steps a second at most, however fast a clock runs; a step says the newest time.
MAX_STEPS_HZ = 50.0
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


# -- the daemon: runs in samplerd -----------------------------------------------


@dataclass(eq=False)
class _Ticker:
    """The timer of one clock, and who listens to it."""

    clock: Clock
    listeners: set[trio.MemorySendChannel[int]] = field(default_factory=set)
    newest_s: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(eq=False)
class _Sampler:
    """All timers of this actor."""

    nursery: trio.Nursery
    tickers: dict[str, _Ticker] = field(default_factory=dict)


_sampler: _Sampler | None = None


def _current_sampler() -> _Sampler:
    if _sampler is None:
        raise ServiceError("this process is not samplerd")
    return _sampler


@endpoint()
async def _setup_persistent_samplerd(ctx: Context) -> None:
    """Be samplerd until pikerd cancels it."""
    global _sampler  # noqa: PLW0603 - one sampler per actor
    setup_actor_log(NAME)
    async with trio.open_nursery() as nursery:
        _sampler = _Sampler(nursery)
        async with daemon_life(ctx):
            await trio.sleep_forever()


@endpoint(sends=int)
async def stream_steps(ctx: Context, clock: Clock) -> None:
    """Stream the steps of a clock, one for each second of its time.

    Args:
      clock: one at full speed has no steps: its data drives it.
    Sends: ``int``, market time in epoch seconds; strictly increasing; at most
      ``MAX_STEPS_HZ`` a second, so a fast clock's steps are more than 1 s apart.
    Ends: when cancelled.
    """
    sampler = _current_sampler()
    # a listener that isn't looking loses old steps, never the newest
    send, receive = trio.open_memory_channel[int](2)
    ticker = sampler.tickers.get(clock.key)
    if ticker is None:
        ticker = sampler.tickers[clock.key] = _Ticker(clock)
        sampler.nursery.start_soon(_run_ticker, sampler, ticker)
    ticker.listeners.add(send)
    try:
        await ctx.started()
        async with ctx.open_stream() as stream:
            async for _ in receive:
                await stream.send(ticker.newest_s)
    finally:
        ticker.listeners.discard(send)
        if not ticker.listeners:
            ticker.scope.cancel()
            if sampler.tickers.get(clock.key) is ticker:
                del sampler.tickers[clock.key]


async def _run_ticker(sampler: _Sampler, ticker: _Ticker) -> None:
    clock = ticker.clock
    with ticker.scope:
        if isinstance(clock, SessionClock) and not clock.speed:
            await trio.sleep_forever()
        ticker.newest_s = clock.now_ns() // NS  # its step is gone by
        while True:
            await trio.sleep(_until_next_step_s(clock, ticker.newest_s))
            now_s = clock.now_ns() // NS
            if now_s <= ticker.newest_s:
                continue  # woken early, or the wall clock was set back: wait
            ticker.newest_s = now_s
            for listener in ticker.listeners:
                # one that is full has a wake-up pending, and will see the newest
                with suppress(trio.WouldBlock):
                    listener.send_nowait(now_s)


def _until_next_step_s(clock: Clock, newest_s: int) -> float:
    """Return seconds to sleep until the clock's next whole second."""
    now_ns = clock.now_ns()
    speed = clock.speed if isinstance(clock, SessionClock) else 1.0
    next_ns = (max(now_ns // NS, newest_s) + 1) * NS
    return min(max((next_ns - now_ns) / NS / speed, 1 / MAX_STEPS_HZ), 1.0)


# -- its life: runs in pikerd -----------------------------------------------------


def samplerd_init() -> DaemonSpec:
    """Describe the daemon; starts nothing."""
    return DaemonSpec(
        name=NAME,
        enable_modules=(__name__, "piker.service._actor_rpc"),
        setup=_setup_persistent_samplerd,
    )


async def spawn_samplerd() -> None:
    """Start samplerd under this process's services."""
    await current_services().actor_n.start_actor(samplerd_init())


@asynccontextmanager
async def maybe_spawn_samplerd() -> AsyncIterator[Portal]:
    """Yield a portal to samplerd, started first if it isn't up."""
    async with maybe_spawn_daemon(NAME) as portal:
        yield portal


# -- the client: runs anywhere ----------------------------------------------------


@asynccontextmanager
async def open_sample_stream(
    clock: Clock | None = None, period_s: int = 1
) -> AsyncIterator[trio.MemoryReceiveChannel[int]]:
    """Yield a channel of step times of *clock*, one for each period; survives samplerd.

    Args:
      clock: the wall clock by default.
      period_s: steps are multiples of it, in epoch seconds of the market.
    """
    clock = clock or WallClock()
    send, receive = trio.open_memory_channel[int](2)
    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(_follow, clock, period_s, send)
        yield receive
        tasks.cancel_scope.cancel()


async def _follow(
    clock: Clock, period_s: int, send: trio.MemorySendChannel[int]
) -> None:
    """Relay a clock's steps; find samplerd again whenever it is lost."""
    tries = 0
    done_s = 0

    async def relay() -> None:
        nonlocal tries, done_s
        async with (
            maybe_spawn_samplerd() as portal,
            open_context(portal, stream_steps, clock=clock) as (ctx, _),
            ctx.open_stream() as steps,
        ):
            async for step_s in steps:
                tries = 0
                at_s = step_s - step_s % period_s
                if at_s > done_s:
                    done_s = at_s
                    await send.send(at_s)

    while True:
        try:
            await relay()
        except PikerError as err:
            level = log.warning if not tries else log.debug
            level("lost samplerd: %s", err)
        await trio.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
        tries += 1
