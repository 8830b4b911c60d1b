"""The data side of Kraken: what datad asks of a backend.

trade, ticker of all markets --one websocket, v2--> datad
what is missed: the newest 50 trades that a subscription begins with, else Trades
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from piker.brokers._backend import (
    GetBars,
    HistoryConf,
)
from piker.brokers._symbols import Listed
from piker.brokers._web import (
    Dialect,
    RateBudget,
    Source,
    VenueTime,
    open_shared_hub,
    record_markets,
    replay_clock,
    run_local,
    stream_markets,
)
from piker.msgs import MktPair

from ._api import BROKER, MAX_BARS, load_conf, open_api
from ._decode import decode_message
from ._symbols import find_listed


async def get_mkt_info(fqme: str) -> tuple[MktPair, Listed]:
    """Return a market and what the venue lists; BadFqme, SymbolNotFound, VenueError."""
    listed = await find_listed(fqme)
    return listed.mkt, listed


@asynccontextmanager
async def open_history_client(
    mkt: MktPair,
) -> AsyncIterator[tuple[GetBars, HistoryConf]]:
    """Yield what gives a market's bars of 60 s; the venue has 720 of them."""
    listed = await find_listed(mkt.fqme)
    async with open_api(load_conf()) as api:

        async def get_bars(
            period_s: int, end_s: int, start_s: int | None = None
        ) -> npt.NDArray[np.void]:
            return await api.bars(listed, period_s, end_s, start_s)

        yield (
            get_bars,
            HistoryConf(
                max_bars=MAX_BARS,
                requests_s=api.bars_a_s,
                reach_bars=MAX_BARS - 2,
                ahead=True,
            ),
        )


@asynccontextmanager
async def _open_source(fqme: str) -> AsyncIterator[Source]:
    conf = load_conf()
    listed = await find_listed(fqme)
    base_url = conf.ws.rstrip("/")
    async with (
        open_api(conf) as api,
        open_shared_hub(_dialect(base_url), conf, base_url) as hub,
    ):
        yield Source(
            mkt=listed.mkt,
            hub=hub,
            fetch=partial(api.trades, listed),
            quote=partial(api.quote, listed),
            ask_time=api.time,
            time=run_local(("time", conf.rest), lambda: VenueTime(BROKER)),
            replay=replay_clock(BROKER, conf),
            has_snapshot=True,
        )


#: The contract's: `piker.brokers.StreamQuotes` and `piker.brokers.StreamFrames`.
stream_quotes = partial(stream_markets, _open_source)
stream_frames = partial(record_markets, _open_source)


# -- what the stream wants to hear --------------------------------------------------
# https://docs.kraken.com/api/docs/websocket-v2/trade
# https://docs.kraken.com/api/docs/websocket-v2/ticker


def _dialect(base_url: str) -> Dialect:
    connects = run_local(("connects", base_url), lambda: RateBudget(120, 600.0))
    return Dialect(
        venue=BROKER,
        url=lambda _symbols: f"{base_url}/v2",
        in_url=False,
        subscribe=partial(_requests, "subscribe"),
        unsubscribe=partial(_requests, "unsubscribe"),
        decode=decode_message,
        acks=2,  # of its trades, of its ticker
        heartbeat_s=10.0,  # one a second while nothing else is said
        connects=connects,  # of an address, some 150 within ten minutes are allowed
    )


def _requests(method: str, symbols: Sequence[str], req_id: int) -> list[str]:
    trade: dict[str, Any] = {"channel": "trade", "symbol": list(symbols)}
    ticker = {**trade, "channel": "ticker", "event_trigger": "bbo"}
    if method == "subscribe":
        trade["snapshot"] = True
    return [
        msgspec.json.encode(
            {"method": method, "params": params, "req_id": req_id}
        ).decode()
        for params in (trade, ticker)
    ]
