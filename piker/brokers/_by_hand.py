"""A backend asked by hand: its ``get_client``, which is alike for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from piker.msgs import Match, MktPair

from ._backend import OpenHistory

GetMktInfo = Callable[[str], Awaitable[tuple[MktPair, Any]]]
#: Pattern, limit, kind.
FindMatches = Callable[[str, int, str], Awaitable[list[Match]]]


@dataclass(frozen=True)
class Client:
    """Asks a backend for things; one whose client lives on asyncio needs that loop."""

    _get_mkt_info: GetMktInfo
    _open_history: OpenHistory
    _find: FindMatches

    async def mkt_info(self, fqme: str) -> MktPair:
        """Return a market; raises SymbolNotFound."""
        mkt, _ = await self._get_mkt_info(fqme)
        return mkt

    async def bars(
        self, fqme: str, period_s: int, end_s: int, start_s: int | None = None
    ) -> npt.NDArray[np.void]:
        """Return bars, dtype OHLCV; raises NoData."""
        async with self._open_history(await self.mkt_info(fqme)) as (get_bars, _):
            return await get_bars(period_s, end_s, start_s)

    async def search(
        self, pattern: str, limit: int = 20, kind: str = ""
    ) -> list[Match]:
        """Return markets that fit *pattern*, of any kind unless it is given."""
        return await self._find(pattern, limit, kind)


def client_of(
    get_mkt_info: GetMktInfo, open_history: OpenHistory, find: FindMatches
) -> Callable[[], AbstractAsyncContextManager[Client]]:
    """Return a backend's ``get_client``, made of its endpoints and its search."""

    @asynccontextmanager
    async def get_client() -> AsyncIterator[Client]:
        """Yield what asks the backend for things."""
        yield Client(get_mkt_info, open_history, find)

    return get_client
