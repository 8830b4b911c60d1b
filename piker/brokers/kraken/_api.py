"""Kraken's public REST service: what piker asks it for.

https://docs.kraken.com/api/docs/rest-api/get-server-time
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from piker.brokers._parts import side_tick
from piker.brokers._symbols import Listed
from piker.brokers._web import (
    Http,
    Page,
    RateBudget,
    RestUrl,
    Since,
    Told,
    WebConf,
    WsUrl,
    open_http,
    open_shared,
    run_local,
)
from piker.config import load_broker_config
from piker.errors import BadPayload, NoData, VenueError
from piker.log import get_logger
from piker.msgs import NS, Quote, Tick

from ._listing import parse_asset_pairs
from ._rest import (
    parse_error,
    parse_ohlc,
    parse_tickers,
    parse_time_ns,
    parse_trades,
)

log = get_logger(__name__)

BROKER: Final = "kraken"
#: Rows of one OHLC answer; older ones can't be had.
MAX_BARS: Final = 720
_MAX_TRADES: Final = 1000
_BUDGET_S: Final = 10.0
_US_NS: Final = 1000


class KrakenConf(WebConf, frozen=True, kw_only=True):
    """The table ``[brokers.kraken]``.

    Attributes:
      rest, ws: base URLs.
      ws_auth: base URL of the websocket for orders.
      private_requests: REST requests about an account within any 45 seconds: calls
        for trades count twice. The venue lets 15 to 20 come at once, by the account's
        tier, and one more in three seconds to one.
      orders: orders and changes of them within any ten seconds.
      requests: REST requests within any ten seconds; the venue wants about one a
        second of an address, whatever else asks from there.
    """

    rest: RestUrl = "https://api.kraken.com"
    ws: WsUrl = "wss://ws.kraken.com"
    ws_auth: WsUrl = "wss://ws-auth.kraken.com"
    requests: Annotated[int, Meta(ge=1, le=10_000)] = 10
    private_requests: Annotated[int, Meta(ge=2, le=10_000)] = 15
    orders: Annotated[int, Meta(ge=1, le=10_000)] = 20


def load_conf() -> KrakenConf:
    """Return what ``conf.toml`` says; raises ConfigError."""
    return load_broker_config(BROKER, KrakenConf)


@dataclass(frozen=True)
class Api:
    """The REST service; raises what :meth:`Http.get` raises."""

    http: Http

    @property
    def bars_a_s(self) -> float:
        """Requests a second that old bars may take: half of what is allowed."""
        return self.http.budget.weight / self.http.budget.window_s / 2

    async def _get(self, what: str, **params: str | int) -> bytes:
        return await self.http.get(f"/0/public/{what}", params)

    async def time(self) -> Told:
        """Ask what time it is at the venue; it tells whole seconds."""
        answer = await self.http.ask("/0/public/Time")
        half_ns = NS // 2
        venue_ns = parse_time_ns(answer.body) + half_ns
        return Told.between(venue_ns, answer.sent_ns, answer.came_ns, half_ns)

    async def listed(self) -> list[Listed]:
        """Return all markets, with their volumes of a day if they can be had."""
        listed, left_out = parse_asset_pairs(await self._get("AssetPairs"))
        if left_out:
            log.info("%d markets of kraken have no name here", left_out)
        try:
            quotes = parse_tickers(await self._get("Ticker"))
        except VenueError as err:
            log.warning("no volumes of kraken: %s", err)
            return listed
        return [
            msgspec.structs.replace(one, volume=quotes[one.rest_name].quote_volume)
            if one.rest_name in quotes
            else one
            for one in listed
        ]

    async def quote(self, listed: Listed) -> Quote:
        """Return the best bid and ask and the last price."""
        told = parse_tickers(await self._get("Ticker", pair=listed.rest_name))
        if not told:
            raise BadPayload(f"kraken gave no quote of {listed.mkt.fqme!r}")
        (now, *_) = told.values()
        ticks = [Tick("last", now.last, 0.0)] if now.last else []
        ticks.append(side_tick("bid", now.bid, now.bid_size, 0))
        ticks.append(side_tick("ask", now.ask, now.ask_size, 0))
        last = now.last or float("nan")
        return Quote(fqme=listed.mkt.fqme, last=last, ticks=ticks, time_ns=0)

    async def trades(self, listed: Listed, since: Since) -> Page:
        """Return a page of trades, oldest first."""
        # exclusive, and finer than the microseconds that stamps are told in
        since_ns = max(0, since.time_ns - _US_NS)
        body = await self._get(
            "Trades", pair=listed.rest_name, since=since_ns, count=_MAX_TRADES
        )
        parts = parse_trades(body, listed.mkt.bs_mktid).parts
        rows = sum(part.last - part.first + 1 for part in parts)
        return Page(parts, rows < _MAX_TRADES, body)

    async def bars(
        self, listed: Listed, period_s: int, end_s: int, start_s: int | None
    ) -> npt.NDArray[np.void]:
        """Return bars, see :class:`piker.brokers.GetBars`; the venue has the newest."""
        fqme = listed.mkt.fqme
        if period_s != 60:
            raise NoData(f"{fqme!r} has no bars of {period_s} s")
        params = {} if start_s is None else {"since": max(0, start_s - 1)}
        body = await self._get("OHLC", pair=listed.rest_name, interval=1, **params)
        bars = parse_ohlc(body)
        kept = (bars["time"] < end_s) & (bars["time"] >= (start_s or 0))
        if not kept.any():
            raise NoData(f"{fqme!r} has no bars before {end_s} s")
        return bars[kept]


@asynccontextmanager
async def open_api(conf: KrakenConf) -> AsyncIterator[Api]:
    """Yield the REST service; users of this process share its connections."""
    budget = run_local(
        ("budget", conf.rest), lambda: RateBudget(conf.requests, _BUDGET_S)
    )

    @asynccontextmanager
    async def opener() -> AsyncIterator[Api]:
        async with open_http(
            BROKER,
            conf.rest,
            budget,
            proxy=conf.proxy,
            failure_of=parse_error,
            fails_with_200=True,
            deadline_s=conf.deadline_s,
        ) as http:
            yield Api(http)

    async with open_shared(opener, ("api", conf.rest, conf.proxy)) as api:
        yield api
