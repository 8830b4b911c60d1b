"""The data side of ``sim``: what datad asks of a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import trio

from piker.brokers._backend import FeedItem, GetBars, HistoryConf, ResumePoint
from piker.errors import NoData, SymbolNotFound
from piker.msgs import (
    NS,
    FeedInit,
    MktPair,
    Quote,
    SessionClock,
    Tick,
    Warned,
)
from piker.tsp import fill_gaps

from ._sessions import PlayReport
from ._worlds import (
    BLOCK_NS,
    Replay,
    World,
    find,
    replay_clock,
    world_clock,
    world_end_ns,
)

_BATCH_TICKS = 512
_DUE_S = 0.002  # a batch that is due so soon is due now
_POLL_S = 0.05
_LEAP_NS = 600 * NS  # synthetic trades made at once
_BARS_1S = 1800
_BARS_MAX = 5000


async def get_mkt_info(fqme: str) -> tuple[MktPair, Replay | World]:
    """Return a market and where it comes from; BadFqme, SymbolNotFound."""
    await trio.lowlevel.checkpoint()
    found = find(fqme)
    return found.mkt, found


@asynccontextmanager
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetBars, HistoryConf]]:
    """Yield what gives a synthetic market's bars; a recording has none before it."""
    _, found = await get_mkt_info(mkt.fqme)

    async def get_bars(
        period_s: int, end_s: int, start_s: int | None = None
    ) -> npt.NDArray[np.void]:
        await trio.lowlevel.checkpoint()
        if isinstance(found, Replay):
            raise NoData(f"{mkt.fqme!r} is a recording: it has no history before it")
        return _bars(found, period_s, end_s, start_s)

    yield get_bars, HistoryConf(periods_s=(1, 60), max_bars=_BARS_MAX, requests_s=100)


def _bars(
    world: World, period_s: int, end_s: int, start_s: int | None
) -> npt.NDArray[np.void]:
    rows = _BARS_1S if period_s < 60 else _BARS_MAX
    end_s -= end_s % period_s
    least = end_s - rows * period_s
    start_s = max(least, 0 if start_s is None else start_s, 0)
    start_s -= start_s % period_s
    bars = world.synthetic.bars(start_s * NS, end_s * NS, period_s)
    if not len(bars):
        raise NoData(f"{world.mkt.fqme!r} has no bars from {start_s} to {end_s} s")
    return fill_gaps(bars, period_s, world.calendar, until_s=end_s)


async def stream_quotes(
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: trio.TaskStatus[
        tuple[list[FeedInit], dict[str, Quote]]
    ] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Stream markets, see :class:`piker.brokers.StreamQuotes`."""
    found = {name: find(name) for name in symbols}
    inits = {name: _init(one, resume.get(name)) for name, one in found.items()}
    quotes = {name: _first_quote(one, inits[name]) for name, one in found.items()}
    task_status.started((list(inits.values()), quotes))
    waiting = set(found)

    async def run(name: str, one: Replay | World) -> None:
        is_live = trio.Event()
        play = _play if isinstance(one, Replay) else _synthesise
        async with trio.open_nursery() as tasks:
            tasks.start_soon(note_live, name, is_live)
            await play(send_chan, one, inits[name], resume.get(name), is_live)  # type: ignore[operator]
            is_live.set()

    async def note_live(name: str, is_live: trio.Event) -> None:
        await is_live.wait()
        waiting.discard(name)
        if not waiting:
            feed_is_live.set()

    async with trio.open_nursery() as tasks:
        for name, one in found.items():
            tasks.start_soon(run, name, one)


def _init(found: Replay | World, point: ResumePoint | None) -> FeedInit:
    if isinstance(found, Replay):
        return FeedInit(mkt=found.mkt, clock=replay_clock(found))
    clock = world_clock()
    if isinstance(clock, SessionClock) and not clock.speed:
        now_ns = point.time_ns if point else clock.origin_ns
    else:
        now_ns = clock.now_ns()
    if now_ns // NS >= found.expires_s:
        raise SymbolNotFound(f"{found.mkt.fqme!r} has expired")
    return FeedInit(
        mkt=found.mkt,
        clock=clock,
        calendar=found.calendar,
        start_ns=now_ns // BLOCK_NS * BLOCK_NS,
    )


def _first_quote(found: Replay | World, init: FeedInit) -> Quote:
    fqme = found.mkt.fqme
    tick: Tick | None = None
    if isinstance(found, Replay):
        for batch in found.session.batches():
            trades = [t for t in batch.ticks if t.type == "trade"]
            if batch.fqme == fqme and trades:
                tick = trades[0]
                break
    else:
        at_ns = init.start_ns
        for back_ns in (0, 3600 * NS, 86_400 * NS, 4 * 86_400 * NS):
            seen = found.synthetic.trades(at_ns - back_ns, at_ns + BLOCK_NS)
            if len(seen):
                row = seen[0] if not back_ns else seen[-1]
                price = float(
                    found.synthetic.ticks(int(row["time_ns"]), int(row["time_ns"]) + 1)[
                        -1
                    ].price
                )
                tick = Tick("last", price, 0.0, int(row["time_ns"]))
                break
    last = tick.price if tick else float("nan")
    return Quote(
        fqme=fqme,
        last=last,
        ticks=[tick] if tick else [],
        time_ns=init.clock.now_ns(),
    )


async def _play(
    send: trio.MemorySendChannel[FeedItem],
    replay: Replay,
    init: FeedInit,
    point: ResumePoint | None,
    is_live: trio.Event,
) -> None:
    """Send a recorded market's ticks as they come due by the session's clock."""
    clock, fqme = init.clock, replay.mkt.fqme
    assert isinstance(clock, SessionClock)
    report = PlayReport()
    due: list[Tick] = []
    skip_to = point.tid if point else -1
    for batch in _reported(replay, report):
        if batch.fqme != fqme:
            continue
        if skip_to >= 0:
            tids = [t.tid for t in batch.ticks if t.type == "trade"]
            if not tids or tids[-1] < skip_to:
                continue
            skip_to = -1
        if clock.speed:
            wait_s = clock.delay_s(batch.receive_ns)
            if wait_s > _DUE_S:
                due = await _send_due(send, fqme, due)
                is_live.set()
                await trio.sleep(wait_s)
        elif point is None or batch.ticks[-1].time_ns > point.time_ns:
            is_live.set()
        due += batch.ticks
        if len(due) >= _BATCH_TICKS:
            due = await _send_due(send, fqme, due)
    await _send_due(send, fqme, due)
    if report.bad:
        text = f"{report.bad} bad frames were left out, the last: {report.last_bad}"
        await send.send(Warned(fqmes=(fqme,), reason=text, time_ns=clock.now_ns()))


def _reported(replay: Replay, report: PlayReport) -> Any:
    return replay.session.batches(report)


async def _send_due(
    send: trio.MemorySendChannel[FeedItem], fqme: str, due: list[Tick]
) -> list[Tick]:
    if due:
        await send.send((fqme, due))
    return []


async def _synthesise(
    send: trio.MemorySendChannel[FeedItem],
    world: World,
    init: FeedInit,
    point: ResumePoint | None,
    is_live: trio.Event,
) -> None:
    """Send a synthetic market's ticks as its clock passes them."""
    clock, fqme = init.clock, world.mkt.fqme
    full_speed = isinstance(clock, SessionClock) and not clock.speed
    at_ns = init.start_ns
    if point is not None:
        # ids rise by the minute: from the minute before on, all that is asked for
        at_ns = point.time_ns // BLOCK_NS * BLOCK_NS - BLOCK_NS
    end_ns = min(world_end_ns(clock), world.expires_s * NS)
    while at_ns < end_ns:
        now_ns = end_ns if full_speed else clock.now_ns()
        to_ns = min(now_ns, at_ns + _LEAP_NS, end_ns)
        if to_ns > at_ns:
            ticks = world.synthetic.ticks(at_ns, to_ns)
            at_ns = to_ns
            for i in range(0, len(ticks), _BATCH_TICKS):
                await send.send((fqme, ticks[i : i + _BATCH_TICKS]))
        if full_speed or at_ns >= now_ns:
            is_live.set()
        if at_ns >= now_ns:
            await trio.sleep(_POLL_S)
        else:
            await trio.lowlevel.checkpoint()
