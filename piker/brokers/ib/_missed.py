"""The trades of a gap, fetched from IB's list of past ones.

from a second to a second --a thousand a request--> ticks, in order
                          --can't be had------------> from which second on
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from piker.brokers._aio import MethodProxy
from piker.brokers._web import run_local
from piker.errors import NoData, RateLimited, VenueError, VenueRefused
from piker.log import get_logger
from piker.msgs import Tick

from ._client import TICKS_MAX, Client
from ._decode import Ids
from ._markets import Known
from ._odd import Recent, odd
from ._past import to_ticks

log = get_logger(__name__)

#: Lists that are fetched of one gap.
_PAGES_MAX: Final = 5
#: One that isn't answered is asked for again after so long.
_AGAIN_S: Final = (1.0, 2.0, 5.0)


@dataclass(eq=False)
class Missed:
    """Fetches what was missed of one market.

    Attributes:
      known: the market.
      proxy: asks IB.
      warn: told why what was missed can't be had yet.
    """

    known: Known
    proxy: MethodProxy[Client]
    warn: Callable[[str], Awaitable[None]]

    def _beginning(self, at_s: int) -> int:
        """Return from which second on to ask: *at_s*, or the newest not asked lately.

        From whatever line of ours: IB counts them together.
        """
        recent = run_local(("ib beginnings", self.known.contract.conId), Recent)
        return recent.unlike(range(at_s, -1, -1))

    async def fetch(
        self, since_s: int, cut_s: int, send: Callable[[list[Tick]], Awaitable[None]]
    ) -> int:
        """Send the trades of a gap; return from when on they lack, 0 if none does.

        Args:
          since_s: its first second.
          cut_s: its last.
          send: takes them, in order.
        """
        if self.known.is_by_middle or self.known.is_index:
            return since_s  # there are no trades to list
        ids, at_s = Ids(), since_s
        for _ in range(_PAGES_MAX):
            try:
                ticks, newest_s, is_full = await self._page(at_s, cut_s, ids)
            except VenueError as err:
                log.info("%s: trades can't be fetched: %s", self.known.mkt.fqme, err)
                return at_s
            await send(ticks)
            if not is_full or newest_s >= cut_s:
                return 0
            if newest_s < at_s:
                return at_s  # it began before, and was full before it got there
            at_s = newest_s + 1
        return at_s

    async def _page(
        self, at_s: int, cut_s: int, ids: Ids
    ) -> tuple[list[Tick], int, bool]:
        """Return trades from a second on, the last one's second, whether more follow.

        One that isn't answered is asked for again: if it is the line that is lost,
        whoever waits here is cancelled. Raises VenueError.
        """
        most = TICKS_MAX - odd() // 4  # whole seconds: none asks sooner after it began
        for wait_s in (*_AGAIN_S, None):
            begin_s = self._beginning(at_s)
            try:
                told = await self.proxy.call(
                    Client.trades, self.known.contract, begin_s, most
                )
            except NoData:
                return [], 0, False
            except (RateLimited, VenueRefused):
                raise
            except VenueError as err:
                if wait_s is None:
                    raise
                await self.warn(f"what was missed can't be fetched yet: {err}")
                await trio.sleep(wait_s)
            else:
                wanted = [one for one in told if one.time.timestamp() >= at_s]
                ticks, newest_s = to_ticks(wanted, ids, cut_s)
                return ticks, newest_s, len(told) >= most
        raise AssertionError("the last try returns or raises")
