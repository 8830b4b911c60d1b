"""The data side of Deribit: what datad asks of a backend.

trades, quote of all markets --one websocket, JSON-RPC on asyncio--> datad
what is missed: get_last_trades, from the serial that comes next
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import trio

from piker.brokers._backend import (
    GetBars,
    HistoryConf,
)
from piker.brokers._parts import Part
from piker.brokers._symbols import Listed
from piker.brokers._web import (
    Dialect,
    Hub,
    RateBudget,
    Source,
    VenueTime,
    open_shared_hub,
    record_markets,
    replay_clock,
    run_local,
    stream_markets,
)
from piker.msgs import MktPair, Quote, Tick

from ._api import BROKER, MAX_BARS, Api, load_conf, open_api
from ._decode import decode_message
from ._socket import open_rpc_socket
from ._symbols import find_listed

#: Channels of one subscription: the venue takes 500.
_MARKETS_A_FRAME: Final = 250
#: Markets whose quote is asked for at once; others wait for what the stream tells.
_QUOTES_AT_ONCE: Final = 10
_TOLD_S: Final = 5.0


async def get_mkt_info(fqme: str) -> tuple[MktPair, Listed]:
    """Return a market and what the venue lists; BadFqme, SymbolNotFound, VenueError."""
    listed = await find_listed(fqme)
    return listed.mkt, listed


@asynccontextmanager
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetBars, HistoryConf]]:
    """Yield what gives a market's bars of 60 s."""
    listed = await find_listed(mkt.fqme)
    async with open_api(load_conf()) as api:

        async def get_bars(
            period_s: int, end_s: int, start_s: int | None = None
        ) -> npt.NDArray[np.void]:
            return await api.bars(listed, period_s, end_s, start_s)

        yield get_bars, HistoryConf(max_bars=MAX_BARS, requests_s=api.bars_a_s)


@asynccontextmanager
async def _open_source(fqme: str) -> AsyncIterator[Source]:
    conf = load_conf()
    listed = await find_listed(fqme)
    async with (
        open_api(conf) as api,
        open_shared_hub(_dialect(conf.url), conf, conf.url) as hub,
    ):
        yield Source(
            mkt=listed.mkt,
            hub=hub,
            fetch=partial(api.trades, listed),
            quote=partial(_first_quote, api, hub, listed),
            ask_time=api.time,
            time=run_local(("time", conf.ws), lambda: VenueTime(BROKER)),
            replay=replay_clock(BROKER, conf),
        )


#: The contract's: `piker.brokers.StreamQuotes` and `piker.brokers.StreamFrames`.
stream_quotes = partial(stream_markets, _open_source)
stream_frames = partial(record_markets, _open_source)


async def _first_quote(api: Api, hub: Hub, listed: Listed) -> Quote:
    """Return a market's newest quote: asked for, or, of many at once, as it is told.

    A subscription begins with the best bid and ask. So a chain is there as soon as it
    is subscribed to, and what may be asked for is left for the trades.
    """
    asking = run_local(("quotes", hub), lambda: trio.CapacityLimiter(_QUOTES_AT_ONCE))
    if asking.borrowed_tokens >= _QUOTES_AT_ONCE:
        told = await _told_quote(hub, listed.mkt)
        if told is not None:
            return told
    async with asking:
        return await api.quote(listed)


async def _told_quote(hub: Hub, mkt: MktPair) -> Quote | None:
    """Return the first bid and ask that the stream tells; None if it is long silent."""
    found: list[list[Tick]] = []
    came = trio.Event()

    def tap(_: int, __: bytes, parts: list[Part]) -> None:
        for part in parts:
            if part.symbol == mkt.bs_mktid and part.first < 0:
                found.append(part.ticks)
                came.set()

    hub.taps.add(tap)
    try:
        with trio.move_on_after(_TOLD_S):
            await came.wait()
    finally:
        hub.taps.discard(tap)
    if not found:
        return None
    return Quote(fqme=mkt.fqme, last=float("nan"), ticks=found[-1], time_ns=0)


# -- what the stream wants to hear --------------------------------------------------
# https://docs.deribit.com/subscriptions/trades/tradesinstrument_nameinterval
# https://docs.deribit.com/subscriptions/market-data/quoteinstrument_name


def _dialect(url: str) -> Dialect:
    connects = run_local(("connects", url), lambda: RateBudget(60, 60.0))
    return Dialect(
        venue=BROKER,
        url=lambda _symbols: url,
        in_url=False,
        subscribe=partial(_requests, "public/subscribe"),
        unsubscribe=partial(_requests, "public/unsubscribe"),
        decode=decode_message,
        heartbeat_s=25.0,  # one in ten seconds while nothing else is said
        frames_a_s=3.0,  # so many subscriptions; ten at once
        connects=connects,
        markets_max=_MARKETS_A_FRAME,
        open_socket=open_rpc_socket,
    )


def _requests(method: str, symbols: Sequence[str], req_id: int) -> list[str]:
    channels = [
        channel
        for symbol in symbols
        # "raw" trades want a key, which datad doesn't have
        for channel in (f"trades.{symbol}.100ms", f"quote.{symbol}")
    ]
    asked = {
        "jsonrpc": "2.0", "id": req_id, "method": method,
        "params": {"channels": channels},
    }  # fmt: skip
    return [msgspec.json.encode(asked).decode()]
