"""The data side of IB: what datad asks of a backend.

reqMktData of each market --one gateway--> datad
what is missed: lists of past trades, else bars
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from math import isnan
from typing import Final

import numpy as np
import numpy.typing as npt
import trio
from ib_async import BarData

from piker.brokers._aio import MethodProxy
from piker.brokers._backend import (
    FeedItem,
    GetBars,
    HistoryConf,
    ResumePoint,
    Started,
)
from piker.brokers._web import run_local
from piker.errors import SymbolNotFound, VenueUnreachable
from piker.msgs import NS, FeedInit, Fqme, MktPair, Quote, SessionClock, Tick, WallClock
from piker.service import collapse_eg

from ._bars import MAX_BARS, PERIODS_S, History
from ._client import Client
from ._conf import load_conf, replay_clock
from ._link import open_link
from ._markets import Known
from ._odd import Recent, odd
from ._stream import MarketStream
from ._symbols import cache_contract, find_known

#: Old bars are asked for so often; those of a second more seldom still, see `_pacing`.
_REQUESTS_S: Final = 1.0
#: So long a frame may take: IB is slow with old ones.
_BARS_S: Final = 60.0
_MINUTE_NS: Final = 60 * NS
#: Bars are whole so long after their end.
_SETTLED_NS: Final = 5 * NS


async def get_mkt_info(fqme: str) -> tuple[MktPair, Known]:
    """Return a market and what IB says of it; BadFqme, SymbolNotFound, VenueError."""
    known = await find_known(fqme)
    return known.mkt, known


@asynccontextmanager
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetBars, HistoryConf]]:
    """Yield what gives a market's bars of 1 s and of 60 s."""
    async with open_link("datad") as proxy:
        known = await cache_contract(proxy, mkt.fqme)
        now_ns = await _clock_of(proxy)
        history = History(
            name=mkt.fqme,
            ask=partial(_ask_bars, proxy, known),
            calendar=known.calendar,
            has_volume=not (known.is_by_middle or known.is_index),
            now_s=lambda: now_ns() / NS,
            odd_s=odd(),
            recent=run_local(("ib spans", known.contract.conId), Recent),
        )

        async def get_bars(
            period_s: int, end_s: int, start_s: int | None = None
        ) -> npt.NDArray[np.void]:
            return await history.bars(period_s, end_s, start_s)

        yield (
            get_bars,
            HistoryConf(periods_s=PERIODS_S, max_bars=MAX_BARS, requests_s=_REQUESTS_S),
        )


async def _ask_bars(
    proxy: MethodProxy[Client], known: Known, end_s: int, span: str, size: str
) -> list[BarData]:
    what = "MIDPOINT" if known.is_by_middle else "TRADES"
    return await proxy.within(_BARS_S).call(
        Client.bars, known.contract, end_s, span, size, what
    )


async def stream_quotes(
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Stream markets, see :class:`piker.brokers.StreamQuotes`."""
    inits: dict[str, FeedInit] = {}
    quotes: dict[str, Quote] = {}
    late = set(symbols)

    def note_live(fqme: str) -> None:
        late.discard(fqme)
        if not late:
            feed_is_live.set()

    async def stream_one(proxy: MethodProxy[Client], fqme: str) -> None:
        known = await _found(proxy, fqme, was_there=fqme in resume)
        now_ns = await _clock_of(proxy)
        start_ns = start_from(now_ns())
        stream = MarketStream(
            known=known,
            proxy=proxy,
            send=send_chan,
            note_live=partial(note_live, fqme),
            start_ns=start_ns,
            point=resume.get(fqme),
            now_ns=now_ns,
        )
        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(stream.run)
            await stream.wait_quoted()
            inits[fqme] = _init(known, replay_clock(load_conf()), start_ns)
            quotes[fqme] = _first_quote(known, stream)
            if len(inits) == len(symbols):
                task_status.started((list(inits.values()), quotes))
                begun.set()
            await begun.wait()
            stream.begin()

    begun = trio.Event()
    async with (
        open_link("datad") as proxy,
        collapse_eg(),
        trio.open_nursery() as tasks,
    ):
        for fqme in symbols:
            tasks.start_soon(stream_one, proxy, fqme)


async def _found(proxy: MethodProxy[Client], fqme: str, *, was_there: bool) -> Known:
    """Return a market; one that was there is not to be had now, unless it expired.

    In the night, when its servers are away, IB says of any that there is none.
    """
    try:
        return await cache_contract(proxy, fqme)
    except SymbolNotFound as err:
        day = Fqme.parse(fqme).expiry_date
        if not was_there or (day and day < datetime.now(UTC).date()):
            raise
        raise VenueUnreachable(f"{err}, where it was a while ago") from None


async def _clock_of(proxy: MethodProxy[Client]) -> Callable[[], int]:
    """Return what tells the time there, ns since the epoch."""
    if load_conf().clock == "wall":
        return time.time_ns
    ahead_ns = await proxy.call(Client.time_s) * NS - time.time_ns()
    return lambda: time.time_ns() + ahead_ns


def start_from(now_ns: int) -> int:
    """Return from where on trades are wanted, as history has whole bars until there."""
    return (now_ns - _SETTLED_NS) // _MINUTE_NS * _MINUTE_NS


def _init(known: Known, clock: SessionClock | None, start_ns: int) -> FeedInit:
    return FeedInit(
        mkt=known.mkt,
        clock=clock or WallClock(),
        calendar=known.calendar,
        has_volume=not (known.is_by_middle or known.is_index),
        start_ns=start_ns,
    )


def _first_quote(known: Known, stream: MarketStream) -> Quote:
    """Return the newest that was told; a closed market's last is its close."""
    ticks = list(stream.newest.values())
    last = stream.tape.last
    if isnan(last) and not isnan(stream.tape.close):
        last = stream.tape.close
        ticks.append(Tick("last", last, 0.0))
    return Quote(fqme=known.mkt.fqme, last=last, ticks=ticks, time_ns=time.time_ns())
