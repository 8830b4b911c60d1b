"""What piker asks Deribit for, keys needed for none of it.

https://docs.deribit.com/api-reference
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from piker.brokers._symbols import Listed
from piker.brokers._web import (
    Page,
    RateBudget,
    Since,
    Told,
    WebConf,
    WsUrl,
    open_shared,
    run_local,
)
from piker.config import load_broker_config
from piker.errors import NoData
from piker.log import get_logger
from piker.msgs import Quote, Tick

from ._answers import parse_chart, parse_quote, parse_time_ns, parse_trades
from ._decode import quote_ticks
from ._listing import parse_instrument, parse_instruments

if TYPE_CHECKING:
    from ._calls import Calls

log = get_logger(__name__)

BROKER: Final = "deribit"
#: Rows of one answer with bars; it would give some more.
MAX_BARS: Final = 5000
_MAX_TRADES: Final = 1000
_BUDGET_S: Final = 5.0
_MS_NS: Final = 1_000_000
_DAY_MS: Final = 86_400_000


class DeribitConf(WebConf, frozen=True, kw_only=True):
    """The table ``[brokers.deribit]``.

    Attributes:
      ws: base URL of the websocket, for data, orders and what is looked up.
      requests: within any five seconds, of who has no key; the venue takes twenty a
        second, and a hundred at once.
      private_requests: likewise about an account, orders left out.
      orders: orders and changes of them within any four seconds; the venue takes five
        a second of the smallest tier, and twenty at once, cancels among them, which
        don't wait.
    """

    ws: WsUrl = "wss://www.deribit.com"
    requests: Annotated[int, Meta(ge=1, le=100_000)] = 100
    private_requests: Annotated[int, Meta(ge=2, le=100_000)] = 100
    orders: Annotated[int, Meta(ge=1, le=100_000)] = 15

    @property
    def url(self) -> str:
        """Where the websocket is."""
        return f"{self.ws.rstrip('/')}/ws/api/v2"


def load_conf() -> DeribitConf:
    """Return what ``conf.toml`` says; raises ConfigError."""
    return load_broker_config(BROKER, DeribitConf)


def soon_ms() -> int:
    """Return a time that hasn't come at the venue yet, whatever our clock shows.

    As of when lists are to end, ms since the epoch.
    """
    return time.time_ns() // _MS_NS + _DAY_MS


@dataclass(frozen=True)
class Api:
    """What needs no key; raises what `Calls.call` raises."""

    calls: Calls

    @property
    def bars_a_s(self) -> float:
        """Requests a second that old bars may take: half of what is allowed."""
        return self.calls.budget.weight / self.calls.budget.window_s / 2

    async def _ask(self, what: str, **params: Any) -> bytes:
        return (await self.calls.call(f"public/{what}", params)).body

    async def time(self) -> Told:
        """Ask what time it is at the venue; it tells milliseconds."""
        answer = await self.calls.call("public/get_time")
        half_ns = _MS_NS // 2
        venue_ns = parse_time_ns(answer.body) + half_ns
        return Told.between(venue_ns, answer.sent_ns, answer.came_ns, half_ns)

    async def listed(self) -> list[Listed]:
        """Return all markets."""
        body = await self._ask("get_instruments", currency="any", expired=False)
        listed, left_out = parse_instruments(body)
        if left_out:
            log.info("%d instruments of deribit are no markets here", left_out)
        return listed

    async def instrument(self, symbol: str) -> Listed:
        """Return one market, listed or not any more, by the venue's name."""
        body = await self._ask("get_instrument", instrument_name=symbol)
        return parse_instrument(body)

    async def quote(self, listed: Listed) -> Quote:
        """Return the best bid and ask and the last price."""
        symbol = listed.mkt.bs_mktid
        now = parse_quote(await self._ask("ticker", instrument_name=symbol), symbol)
        last = now.last_price or float("nan")
        ticks = [Tick("last", last, 0.0)] if now.last_price else []
        ticks += quote_ticks(now)
        return Quote(fqme=listed.mkt.fqme, last=last, ticks=ticks, time_ns=0)

    async def trades(self, listed: Listed, since: Since) -> Page:
        """Return a page of trades, oldest first."""
        symbol = listed.mkt.bs_mktid
        asked = {"instrument_name": symbol, "count": _MAX_TRADES, "sorting": "asc"}
        if since.serial >= 0:
            what = "get_last_trades_by_instrument"
            asked["start_seq"] = since.serial
        else:
            what = "get_last_trades_by_instrument_and_time"
            asked["start_timestamp"] = since.time_ns // _MS_NS
            asked["end_timestamp"] = soon_ms()
        body = await self._ask(what, **asked)
        page = parse_trades(body, symbol)
        return Page(page.parts, not page.has_more, body)

    async def bars(
        self, listed: Listed, period_s: int, end_s: int, start_s: int | None
    ) -> npt.NDArray[np.void]:
        """Return bars, see :class:`piker.brokers.GetBars`."""
        mkt = listed.mkt
        if period_s != 60:
            raise NoData(f"{mkt.fqme!r} has no bars of {period_s} s")
        begin_s = max(0, end_s - MAX_BARS * 60 if start_s is None else start_s)
        last_ms = end_s * 1000 - 1
        if begin_s * 1000 > last_ms:
            raise NoData(f"{mkt.fqme!r} has no bars before {end_s} s")
        body = await self._ask(
            "get_tradingview_chart_data",
            instrument_name=mkt.bs_mktid,
            start_timestamp=begin_s * 1000,
            end_timestamp=last_ms,
            resolution="1",
        )
        bars = parse_chart(body, float(mkt.size_tick) if mkt.is_inverse else 0.0)
        # it may begin with the bar that the start lies in
        kept = (bars["time"] < end_s) & (bars["time"] >= begin_s)
        if not kept.any():
            raise NoData(f"{mkt.fqme!r} has no bars from {begin_s} to {end_s} s")
        return bars[kept]


@asynccontextmanager
async def open_api(conf: DeribitConf) -> AsyncIterator[Api]:
    """Yield what needs no key; users of this process share its connection."""
    budget = run_local(
        ("budget", conf.ws), lambda: RateBudget(conf.requests, _BUDGET_S)
    )

    @asynccontextmanager
    async def opener() -> AsyncIterator[Api]:
        from ._calls import Calls, open_calls

        calls = Calls(
            BROKER,
            conf.url,
            budget,
            proxy=conf.proxy,
            deadline_s=conf.deadline_s,
            reconnect_max_s=conf.reconnect_max_s,
        )
        async with open_calls(calls):
            yield Api(calls)

    async with open_shared(opener, ("api", conf.ws, conf.proxy)) as api:
        yield api
