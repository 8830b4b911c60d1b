"""The data side of ``sim``: what datad asks of a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from piker.brokers._backend import (
    FeedItem,
    GetBars,
    HistoryConf,
    ResumePoint,
    Started,
)
from piker.errors import NoData, SymbolNotFound
from piker.msgs import CLEARS, NS, FeedInit, MktPair, Quote, SessionClock, Tick
from piker.service import collapse_eg
from piker.tsp import fill_gaps

from ._player import play, synthesise
from ._worlds import (
    BLOCK_NS,
    Replay,
    World,
    edition,
    find,
    replay_clock,
    world_clock,
)

_BARS_MAX: Final = 1800
#: Bars back in which the trade before a time is looked for.
_REACHES: Final = (8, 128, _BARS_MAX)
_LOOK_AHEAD: Final = (
    4000  # frames in which a recorded market's first trade is looked for
)


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

    yield (
        get_bars,
        HistoryConf(
            periods_s=(1, 60), max_bars=_BARS_MAX, requests_s=50, edition=edition()
        ),
    )


def _bars(
    world: World, period_s: int, end_s: int, start_s: int | None
) -> npt.NDArray[np.void]:

    end_s -= end_s % period_s
    if start_s is None and not world.calendar.open_seconds(
        end_s - _BARS_MAX * period_s, end_s
    ):
        # closed for as long as that: the newest are of before
        end_s = world.calendar.prev_open(end_s - 1) // period_s * period_s + period_s
    least = end_s - _BARS_MAX * period_s
    start_s = max(least, 0 if start_s is None else start_s, 0)
    start_s -= start_s % period_s
    bars = world.synthetic.bars(start_s * NS, end_s * NS, period_s)
    if not len(bars):
        raise NoData(f"{world.mkt.fqme!r} has no bars from {start_s} to {end_s} s")
    if bars["time"][0] > start_s:
        bars = np.concatenate((_newest_before(world, period_s, start_s), bars))
    filled = fill_gaps(bars, period_s, world.calendar, until_s=end_s)
    return filled[np.searchsorted(filled["time"], start_s) :]


def _newest_before(world: World, period_s: int, start_s: int) -> npt.NDArray[np.void]:
    """Return the newest bar with a trade in it before a time; none if none is near.

    A flat bar at the start of what is asked for has its close.
    """
    for reach in _REACHES:
        at_s = max(start_s - reach * period_s, 0)
        bars = world.synthetic.bars(at_s * NS, start_s * NS, period_s)
        if len(bars):
            return bars[-1:]
    return bars


async def stream_quotes(
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Stream markets, see :class:`piker.brokers.StreamQuotes`."""
    found = {name: find(name) for name in symbols}
    inits = {name: _init(one, resume.get(name)) for name, one in found.items()}
    quotes = {name: await _first_quote(one, inits[name]) for name, one in found.items()}
    task_status.started((list(inits.values()), quotes))
    late = set(found)

    def note_live(name: str) -> None:
        late.discard(name)
        if not late:
            feed_is_live.set()

    async with collapse_eg(), trio.open_nursery() as tasks:
        for name, one in found.items():
            args = (send_chan, inits[name], resume.get(name), partial(note_live, name))
            if isinstance(one, Replay):
                tasks.start_soon(play, one, *args)
            else:
                tasks.start_soon(synthesise, one, *args)


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


async def _first_quote(found: Replay | World, init: FeedInit) -> Quote:
    if isinstance(found, Replay):
        ticks = await _opening_ticks(found)
    else:
        ticks = _last_print(found, init.start_ns)
    last = next((tick.price for tick in ticks if tick.type in CLEARS), float("nan"))
    return Quote(
        fqme=found.mkt.fqme, last=last, ticks=ticks, time_ns=init.clock.now_ns()
    )


async def _opening_ticks(replay: Replay) -> list[Tick]:
    """Return a recorded market's first trade; other ticks if it has none early on."""
    first: list[Tick] = []
    for at, batch in enumerate(replay.session.batches()):
        if batch.fqme == replay.mkt.fqme:
            if any(tick.type == "trade" for tick in batch.ticks):
                return batch.ticks
            first = first or batch.ticks
        if at == _LOOK_AHEAD:
            break
        if not at % 256:
            await trio.lowlevel.checkpoint()
    return first


def _last_print(world: World, at_ns: int) -> list[Tick]:
    """Return a synthetic market's price at a time, or the newest within days."""
    for back_ns in (0, 3600 * NS, 86_400 * NS, 4 * 86_400 * NS):
        seen = world.synthetic.trades(at_ns - back_ns, at_ns + BLOCK_NS)
        if len(seen):
            row = seen[-1] if back_ns else seen[0]
            return [Tick("last", float(row["price"]), 0.0, int(row["time_ns"]))]
    return []
