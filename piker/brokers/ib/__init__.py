"""IB: stocks, futures, options, fx, through its gateway: market data; live orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from piker.msgs import Match, MktPair

from ._feed import (
    get_mkt_info as get_mkt_info,
    open_history_client as open_history_client,
    stream_quotes as stream_quotes,
)
from ._fees import get_cost as get_cost
from ._norm import norm_trade as norm_trade, read_report as read_report
from ._symbols import find_matches, open_symbol_search as open_symbol_search
from ._trade import open_trade_dialog as open_trade_dialog

_datad_mods: tuple[str, ...] = ("piker.brokers.ib._symbols",)
_brokerd_mods: tuple[str, ...] = ("piker.brokers.ib._trade",)
#: Its client library lives on an asyncio loop: every process that hosts it has one.
_spawn_kwargs: dict[str, Any] = {"infect_asyncio": True}


@dataclass(frozen=True)
class Client:
    """Ask IB for things by hand; the process must have an asyncio loop."""

    async def mkt_info(self, fqme: str) -> MktPair:
        """Return a market; raises SymbolNotFound."""
        mkt, _ = await get_mkt_info(fqme)
        return mkt

    async def bars(
        self, fqme: str, period_s: int, end_s: int, start_s: int | None = None
    ) -> npt.NDArray[np.void]:
        """Return bars, dtype OHLCV; raises NoData."""
        async with open_history_client(await self.mkt_info(fqme)) as (get_bars, _):
            return await get_bars(period_s, end_s, start_s)

    async def search(self, pattern: str, limit: int = 20) -> list[Match]:
        """Return markets that fit *pattern*."""
        return await find_matches(pattern, limit)


@asynccontextmanager
async def get_client() -> AsyncIterator[Client]:
    """Yield a client of IB."""
    yield Client()
