"""The data side of Binance: what datad asks of a backend.

    spot:  aggTrade, bookTicker --one combined stream--> datad
    USD-M: aggTrade --/market--> datad <--/public-- bookTicker
    what is missed: aggTrades by REST, from the aggregate that is missing

Aggregates, not single trades, for only they can be fetched again without a key; each
says how many trades it stands for, so bars count trades as the venue's own do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

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
    Hub,
    RateBudget,
    Seats,
    Source,
    VenueTime,
    open_shared_hub,
    record_markets,
    replay_clock,
    run_local,
    stream_markets,
)
from piker.msgs import MktPair

from ._api import BROKER, BinanceConf, load_conf, open_api, service_of
from ._decode import decode_message
from ._sniff import Venue
from ._symbols import find_listed


class _Line(NamedTuple):
    """A connection to a service, and the channels that it tells of a market."""

    path: str
    channels: tuple[str, ...]


#: That of trades first. On USD-M a connection without a path is told what is public
#: only: whatever else it subscribes to is acknowledged, and nothing comes.
#: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice
_LINES: Final[dict[Venue, tuple[_Line, ...]]] = {
    "spot": (_Line("", ("aggTrade", "bookTicker")),),
    "usdtm": (_Line("/market", ("aggTrade",)), _Line("/public", ("bookTicker",))),
}
#: Streams that a connection takes, by the documents.
_STREAMS: Final[dict[Venue, int]] = {"spot": 1024, "usdtm": 200}
#: A URL of more than 8004 characters gets a 414, and a SUBSCRIBE of more than 4096
#: bytes no answer: as met, for the documents don't say.
_URL_MAX: Final = 8000
_FRAME_MAX: Final = 4000


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


@asynccontextmanager
async def _open_source(fqme: str) -> AsyncIterator[Source]:
    conf = load_conf()
    listed, venue = await find_listed(fqme)
    mkt = listed.mkt
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(open_api(venue, conf))
        hubs = [
            await stack.enter_async_context(
                _shared_hub(venue, line, conf, mkt.bs_mktid)
            )
            for line in _LINES[venue]
        ]
        yield Source(
            mkt=mkt,
            hub=hubs[0],
            fetch=partial(api.trades, mkt.bs_mktid),
            quote=partial(api.quote, mkt),
            ask_time=api.time,
            time=run_local(("time", api.service.rest), lambda: VenueTime(BROKER)),
            replay=replay_clock(BROKER, conf),
            quotes=hubs[1] if len(hubs) > 1 else None,
        )


#: The contract's: `piker.brokers.StreamQuotes` and `piker.brokers.StreamFrames`.
stream_quotes = partial(stream_markets, _open_source)
stream_frames = partial(record_markets, _open_source)


@asynccontextmanager
async def _shared_hub(
    venue: Venue, line: _Line, conf: BinanceConf, symbol: str
) -> AsyncIterator[Hub]:
    """Yield the connection that a market is on: the first with room for it."""
    base_url = service_of(venue, conf).ws.rstrip("/")
    most = _STREAMS[venue] // len(line.channels)
    seats = run_local(("seats", base_url, line), lambda: Seats(most))
    with seats.taken(symbol) as number:
        async with open_shared_hub(
            _dialect(base_url, line), conf, base_url, line, number
        ) as hub:
            yield hub


# -- what the stream wants to hear --------------------------------------------------
# https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams


def _dialect(base_url: str, line: _Line) -> Dialect:
    connects = run_local(("connects", base_url), lambda: RateBudget(240, 300.0))
    return Dialect(
        venue=BROKER,
        url=partial(_url, base_url, line),
        in_url=True,
        url_max=_URL_MAX,
        frame_max=_FRAME_MAX,
        subscribe=partial(_request, "SUBSCRIBE", line),
        unsubscribe=partial(_request, "UNSUBSCRIBE", line),
        decode=decode_message,
        frames_a_s=4,  # five are allowed, pings among them
        connects=connects,  # of an address, 300 within five minutes are allowed
        # of all connections together
        checks=run_local(("checks", base_url), lambda: RateBudget(1, 3.0)),
        urgent_checks=run_local(("urgent", base_url), lambda: RateBudget(2, 6.0)),
    )


def _streams(line: _Line, symbols: Sequence[str]) -> list[str]:
    return [
        f"{symbol.lower()}@{channel}" for symbol in symbols for channel in line.channels
    ]


def _url(base_url: str, line: _Line, symbols: Sequence[str]) -> str:
    return f"{base_url}{line.path}/stream?streams={'/'.join(_streams(line, symbols))}"


def _request(
    method: str, line: _Line, symbols: Sequence[str], req_id: int
) -> list[str]:
    frame = {"method": method, "params": _streams(line, symbols), "id": req_id}
    return [msgspec.json.encode(frame).decode()]
