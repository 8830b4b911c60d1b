"""Binance's REST services, spot and USD-M: what piker asks them for.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api
https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import nan
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
import trio
from msgspec import Meta

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
from piker.errors import NoData, VenueError
from piker.log import get_logger
from piker.msgs import MktPair, Quote, Tick
from piker.service import collapse_eg

from ._listing import parse_exchange_info
from ._rest import (
    parse_agg_trades,
    parse_book_tickers,
    parse_error,
    parse_klines,
    parse_time_ns,
    parse_volumes,
)
from ._sniff import Venue

log = get_logger(__name__)

BROKER: Final = "binance"
_NS_PER_MS: Final = 1_000_000
_MAX_ROWS: Final = 1000
_INTERVALS: Final = {1: "1s", 60: "1m"}

Weight = Annotated[int, Meta(ge=100, le=1_000_000)]


class BinanceConf(WebConf, frozen=True, kw_only=True):
    """The table ``[brokers.binance]``.

    Attributes:
      spot_rest, spot_ws, usdtm_rest, usdtm_ws: base URLs; what a request or a stream
        goes by, as ``/market`` of USD-M's trades, is put behind.
      spot_ws_api: URL of the websocket API, over which orders go.
      spot_orders: orders that may be sent in ten seconds; the venue allows 100 an
        account.
      spot_weight, usdtm_weight: request weight that may be used in a minute; the venue
        allows 6000 and 2400 an address, whatever else asks from there.
    """

    spot_rest: RestUrl = "https://api.binance.com"
    spot_ws: WsUrl = "wss://stream.binance.com:9443"
    spot_ws_api: WsUrl = "wss://ws-api.binance.com:443/ws-api/v3"
    spot_weight: Weight = 4800
    spot_orders: Annotated[int, Meta(ge=1, le=100_000)] = 90
    usdtm_rest: RestUrl = "https://fapi.binance.com"
    usdtm_ws: WsUrl = "wss://fstream.binance.com"
    usdtm_weight: Weight = 1900


def load_conf() -> BinanceConf:
    """Return what ``conf.toml`` says; raises ConfigError."""
    return load_broker_config(BROKER, BinanceConf)


@dataclass(frozen=True)
class Service:
    """One of the venue's two services.

    Attributes:
      venue: which.
      rest, ws: base URLs.
      weight: that may be used in a minute.
      path: before each request's own.
      periods_s: bar lengths it has.
      weights: of requests.
    """

    venue: Venue
    rest: str
    ws: str
    weight: int
    path: str
    periods_s: tuple[int, ...]
    weights: dict[str, int]

    @property
    def bars_a_s(self) -> float:
        """Requests a second that old bars may take: half of what is allowed."""
        return min(10.0, self.weight / 60 / 2 / self.weights["klines"])


# https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
_SPOT_WEIGHTS: Final = {
    "time": 1, "exchangeInfo": 20, "aggTrades": 4, "klines": 2,
    "ticker/bookTicker": 2, "ticker/24hr": 80,
}  # fmt: skip
_USDTM_WEIGHTS: Final = {
    "time": 1, "exchangeInfo": 1, "aggTrades": 20, "klines": 5,
    "ticker/bookTicker": 2, "ticker/24hr": 40,
}  # fmt: skip


def service_of(venue: Venue, conf: BinanceConf) -> Service:
    """Return one of the two, as configured."""
    if venue == "spot":
        return Service(
            "spot", conf.spot_rest, conf.spot_ws, conf.spot_weight,
            "/api/v3", (1, 60), _SPOT_WEIGHTS,
        )  # fmt: skip
    return Service(
        "usdtm", conf.usdtm_rest, conf.usdtm_ws, conf.usdtm_weight,
        "/fapi/v1", (60,), _USDTM_WEIGHTS,
    )  # fmt: skip


@dataclass(frozen=True)
class Api:
    """REST of one service; raises what :meth:`Http.get` raises."""

    service: Service
    http: Http

    async def _get(self, what: str, **params: str | int) -> bytes:
        weight = self.service.weights[what]
        return await self.http.get(f"{self.service.path}/{what}", params, weight=weight)

    async def time(self) -> Told:
        """Ask what time it is at the venue."""
        path, weight = f"{self.service.path}/time", self.service.weights["time"]
        answer = await self.http.ask(path, weight=weight)
        return Told.between(parse_time_ns(answer.body), answer.sent_ns, answer.came_ns)

    async def listed(self) -> list[Listed]:
        """Return all markets, with their volumes of a day if they can be had."""
        listed, left_out = parse_exchange_info(
            await self._get("exchangeInfo"), self.service.venue
        )
        if left_out:
            log.info("%d markets of %s have no name here", left_out, self.service.rest)
        try:
            volumes = parse_volumes(await self._get("ticker/24hr"))
        except VenueError as err:
            log.warning("no volumes of %s: %s", self.service.rest, err)
            return listed
        return [
            msgspec.structs.replace(
                one, volume=max(0.0, volumes.get(one.mkt.bs_mktid, 0.0))
            )
            for one in listed
        ]

    async def quote(self, mkt: MktPair) -> Quote:
        """Return the best bid and ask and the last price."""
        ticks: list[Tick] = []

        async def ask_book() -> None:
            body = await self._get("ticker/bookTicker", symbol=mkt.bs_mktid)
            for part in parse_book_tickers(body):
                ticks.extend(part.ticks)

        async with collapse_eg(), trio.open_nursery() as tasks:
            tasks.start_soon(ask_book)
            body = await self._get("aggTrades", symbol=mkt.bs_mktid, limit=1)
        last = nan
        for part in parse_agg_trades(body, mkt.bs_mktid):
            for tick in part.ticks:
                last = tick.price
                ticks.append(Tick("last", last, 0.0, tick.time_ns))
        newest_ns = max((tick.time_ns for tick in ticks), default=0)
        return Quote(fqme=mkt.fqme, last=last, ticks=ticks, time_ns=newest_ns)

    async def trades(self, symbol: str, since: Since) -> Page:
        """Return a page of aggregates, oldest first."""
        if since.serial >= 0:
            params = {"fromId": since.serial}
        else:
            params = {"startTime": since.time_ns // _NS_PER_MS}
        body = await self._get("aggTrades", symbol=symbol, limit=_MAX_ROWS, **params)
        parts = parse_agg_trades(body, symbol)
        rows = sum(part.last - part.first + 1 for part in parts)
        return Page(parts, rows < _MAX_ROWS, body)

    async def bars(
        self, mkt: MktPair, period_s: int, end_s: int, start_s: int | None
    ) -> npt.NDArray[np.void]:
        """Return bars, see :class:`piker.brokers.GetBars`."""
        if period_s not in self.service.periods_s:
            raise NoData(f"{mkt.fqme!r} has no bars of {period_s} s")
        last_ms = (end_s - end_s % -period_s) * 1000 - 1
        params = {"endTime": last_ms}
        if start_s is not None:
            params["startTime"] = max(start_s, 0) * 1000
        if last_ms > params.get("startTime", 0):
            body = await self._get(
                "klines",
                symbol=mkt.bs_mktid,
                interval=_INTERVALS[period_s],
                limit=_MAX_ROWS,
                **params,
            )
            bars = parse_klines(body)
            bars = bars[bars["time"] < end_s]
            if len(bars):
                return bars
        raise NoData(f"{mkt.fqme!r} has no bars before {end_s} s")


@asynccontextmanager
async def open_api(venue: Venue, conf: BinanceConf) -> AsyncIterator[Api]:
    """Yield the REST of a service; users of this process share its connections."""
    service = service_of(venue, conf)
    budget = run_local(
        ("budget", service.rest), lambda: RateBudget(service.weight, 60.0)
    )

    @asynccontextmanager
    async def opener() -> AsyncIterator[Api]:
        async with open_http(
            BROKER,
            service.rest,
            budget,
            proxy=conf.proxy,
            failure_of=parse_error,
            deadline_s=conf.deadline_s,
        ) as http:
            yield Api(service, http)

    async with open_shared(opener, ("api", service.rest, conf.proxy)) as api:
        yield api
