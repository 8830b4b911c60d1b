"""The data side of Binance: what datad asks of a backend.

    aggTrade, bookTicker of all markets --one combined stream a service--> datad
    what is missed: aggTrades by REST, from the aggregate that is missing

Aggregates, not single trades, for only they can be fetched again without a key; each
says how many trades it stands for, so bars count trades as the venue's own do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import trio

from piker.brokers._backend import (
    FeedItem,
    FrameSink,
    GetBars,
    HistoryConf,
    ResumePoint,
    Started,
)
from piker.brokers._symbols import Listed
from piker.brokers._web import (
    Dialect,
    Hub,
    RateBudget,
    Source,
    VenueTime,
    open_hub,
    open_shared,
    record_markets,
    replay_clock,
    run_local,
    stream_markets,
)
from piker.msgs import FramePoint, MktPair

from ._api import BROKER, BinanceConf, load_conf, open_api, service_of
from ._decode import decode_message
from ._sniff import Venue
from ._symbols import find_listed

_CHANNELS: Final = ("aggTrade", "bookTicker")


async def get_mkt_info(fqme: str) -> tuple[MktPair, Listed]:
    """Return a market and what the venue lists; BadFqme, SymbolNotFound, VenueError."""
    listed, _ = await find_listed(fqme)
    return listed.mkt, listed


@asynccontextmanager
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetBars, HistoryConf]]:
    """Yield what gives a market's bars: of 60 s, and on spot of 1 s."""
    async with open_api(_venue_of(mkt), load_conf()) as api:

        async def get_bars(
            period_s: int, end_s: int, start_s: int | None = None
        ) -> npt.NDArray[np.void]:
            return await api.bars(mkt, period_s, end_s, start_s)

        service = api.service
        yield (
            get_bars,
            HistoryConf(service.periods_s, 1000, service.bars_a_s, ahead=True),
        )


def _venue_of(mkt: MktPair) -> Venue:
    return "usdtm" if mkt.venue == "usdtm" else "spot"


async def stream_quotes(
    send_chan: trio.MemorySendChannel[FeedItem],
    symbols: list[str],
    feed_is_live: trio.Event,
    *,
    resume: Mapping[str, ResumePoint],
    task_status: Started = trio.TASK_STATUS_IGNORED,
) -> None:
    """Stream markets, see :class:`piker.brokers.StreamQuotes`."""
    await stream_markets(
        _open_source,
        send_chan,
        symbols,
        feed_is_live,
        resume=resume,
        task_status=task_status,
    )


async def stream_frames(
    sink: FrameSink, symbols: list[str], *, points: Mapping[str, FramePoint]
) -> None:
    """Stream markets' raw frames, see :class:`piker.brokers.StreamFrames`."""
    await record_markets(_open_source, sink, symbols, points)


@asynccontextmanager
async def _open_source(fqme: str) -> AsyncIterator[Source]:
    conf = load_conf()
    listed, venue = await find_listed(fqme)
    mkt = listed.mkt
    async with open_api(venue, conf) as api, _shared_hub(venue, conf) as hub:
        yield Source(
            mkt=mkt,
            hub=hub,
            fetch=partial(api.trades, mkt.bs_mktid),
            quote=partial(api.quote, mkt),
            ask_time=api.time,
            time=run_local(("time", api.service.rest), lambda: VenueTime(BROKER)),
            replay=replay_clock(BROKER, conf),
        )


@asynccontextmanager
async def _shared_hub(venue: Venue, conf: BinanceConf) -> AsyncIterator[Hub]:
    base_url = service_of(venue, conf).ws.rstrip("/")
    opener = partial(
        open_hub,
        _dialect(base_url),
        proxy=conf.proxy,
        reconnect_max_s=conf.reconnect_max_s,
    )
    async with open_shared(opener, ("hub", base_url, conf.proxy)) as hub:
        yield hub


# -- what the stream wants to hear --------------------------------------------------
# https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams


def _dialect(base_url: str) -> Dialect:
    connects = run_local(("connects", base_url), lambda: RateBudget(240, 300.0))
    return Dialect(
        venue=BROKER,
        url=partial(_url, base_url),
        in_url=True,
        subscribe=partial(_request, "SUBSCRIBE"),
        unsubscribe=partial(_request, "UNSUBSCRIBE"),
        decode=decode_message,
        frames_a_s=4,  # five are allowed, pings among them
        connects=connects,  # of an address, 300 within five minutes are allowed
    )


def _streams(symbols: Sequence[str]) -> list[str]:
    return [
        f"{symbol.lower()}@{channel}" for symbol in symbols for channel in _CHANNELS
    ]


def _url(base_url: str, symbols: Sequence[str]) -> str:
    return f"{base_url}/stream?streams={'/'.join(_streams(symbols))}"


def _request(method: str, symbols: Sequence[str], req_id: int) -> list[str]:
    frame = {"method": method, "params": _streams(symbols), "id": req_id}
    return [msgspec.json.encode(frame).decode()]
