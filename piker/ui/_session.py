"""One client of the tree, whatever it draws with: markets, orders, services, search.

    open_session --> Session --market()--> Market     windows and terminals hold these
                        |---- trading --> emsd
                        `---- services --> pikerd

Killing it touches no order, alert or feed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Final, Literal

import trio

from piker import config
from piker.data import Found, Search, open_search
from piker.errors import PikerError, ServiceError
from piker.log import get_logger
from piker.msgs import ServiceInfo
from piker.service import (
    Addr,
    call_endpoint,
    collapse_eg,
    maybe_open_pikerd,
    open_portal_to,
)
from piker.service._rpc import list_services

from ._annots import Annots
from ._market import QUOTES_HZ, Market, tell_one
from ._trading import Toast, Trading

log = get_logger(__name__)

#: Name of chart clients in the tree, and what they let others call.
CHART: Final = "chart"
CHART_MODULES: Final = ("piker.ui._annot_rpc",)

_LOOK_S: Final = 2.0


@dataclass(eq=False)
class Session:
    """What a chart client holds.

    Attributes:
      addr: of the tree.
      trading: its orders.
      quotes_hz: quotes a second of each market, at most.
      markets: that were looked at, by the name they were asked for.
      services: pikerd and its daemons as they were last seen.
      lost: why pikerd can't be reached, empty if it can.
      on_services: told after each look at the services.
      annots: what others have drawn in its charts.
    """

    addr: Addr
    trading: Trading
    quotes_hz: float = QUOTES_HZ
    markets: dict[str, Market] = field(default_factory=dict)
    services: list[ServiceInfo] = field(default_factory=list)
    lost: str = ""
    on_services: set[Callable[[], None]] = field(default_factory=set)
    annots: Annots = field(init=False)
    _nursery: trio.Nursery | None = None
    _search: Search | None = None
    _opening: dict[str, trio.Event] = field(default_factory=dict)
    _context: Context = field(default_factory=copy_context)

    def __post_init__(self) -> None:
        self.annots = Annots(self.redraw)

    def redraw(self, fqme: str = "", period_s: int = 0) -> None:
        """Read bars anew, of all markets if *fqme* is empty, of all lengths if 0."""
        for market in set(self.markets.values()):
            if fqme in ("", market.fqme):
                market.reread(period_s)

    async def market(self, name: str) -> Market:
        """Return a market, watched from now on; raises what its feed does."""
        while name in self._opening:
            await self._opening[name].wait()
        if name in self.markets:
            return self.markets[name]
        self._opening[name] = trio.Event()
        market = Market(name, self.quotes_hz)
        try:
            assert self._nursery is not None, "the session is open"
            await self._nursery.start(market.run)
            if market.fqme in self.markets:  # it was opened by another of its names
                market.close()
                market = self.markets[market.fqme]
            self.markets[name] = self.markets[market.fqme] = market
        finally:
            self._opening.pop(name).set()
        return market

    async def find(
        self, pattern: str, on_part: Callable[[Found], object] | None = None
    ) -> Found:
        """Search all brokers for markets; raises as :meth:`Search.find` does.

        Args:
          pattern: to be searched for.
          on_part: told what has come while others are waited for.
        """
        assert self._search is not None, "the session is open"
        return await self._search.find(pattern, limit=60, on_part=on_part)

    def start(
        self,
        work: Callable[[], Awaitable[object]],
        scope: trio.CancelScope | None = None,
    ) -> None:
        """Do something beside, e.g. what a key asked for; its errors are told.

        Args:
          work: to be done.
          scope: cancels it, e.g. as its window is closed.
        """
        assert self._nursery is not None, "the session is open"
        scope = scope or trio.CancelScope()
        # a toolkit's calls have a context of their own, which knows e.g. no folders
        self._context.run(self._nursery.start_soon, self._guarded, work, scope)

    async def _guarded(
        self, work: Callable[[], Awaitable[object]], scope: trio.CancelScope
    ) -> None:
        try:
            with scope:
                await work()
        except PikerError as err:
            self.toast(Toast(str(err), "bad"))
        except Exception as err:  # a key that fails isn't to close all windows
            log.exception("a fault in what was asked for")
            self.toast(Toast(f"a fault of piker itself: {err!r}", "bad"))

    def toast(self, toast: Toast) -> None:
        """Tell something at once."""
        self.trading.toast(toast.text, toast.tone)

    async def watch_services(self) -> None:
        """Look at the services for as long as the session lasts."""
        while True:
            try:
                async with open_portal_to(self.addr) as portal:
                    while True:
                        self.services = await call_endpoint(portal, list_services)
                        self.lost = ""
                        self._tell()
                        await trio.sleep(_LOOK_S)
            except PikerError as err:
                self.lost = str(err)
                self._tell()
            await trio.sleep(_LOOK_S)

    def _tell(self) -> None:
        for listener in tuple(self.on_services):
            tell_one(listener)


_current: Session | None = None


def current_session() -> Session:
    """Return this process's session; ServiceError if none is open."""
    if _current is None:
        raise ServiceError("this process shows no charts, or not yet")
    return _current


@asynccontextmanager
async def open_session(
    addr: Addr | None = None,
    mode: Literal["paper", "live"] = "paper",
    *,
    on_start: Callable[[str], None] | None = None,
    trades: bool = True,
    fqme: str = "",
    quotes_hz: float = QUOTES_HZ,
    annots: bool = False,
) -> AsyncIterator[Session]:
    """Be a client of the tree; a pikerd is started if none runs.

    Args:
      addr: of the registry, as configured by default.
      mode: ``live`` orders may go to accounts at brokers.
      on_start: told in a sentence that a pikerd was started.
      fqme: of live trading, the market whose broker's accounts may be used.
      trades: orders are shown and may be sent; else emsd isn't asked for.
      quotes_hz: quotes a second of each market, at most.
      annots: others may draw in its charts.

    Raises: RegistryUnreachable: there is no pikerd and none can be started.
    """
    addr = addr or config.registry_addr()
    async with (
        maybe_open_pikerd(
            CHART,
            addr,
            on_start=on_start,
            enable_modules=CHART_MODULES if annots else (),
        ),
        open_search() as search,
        collapse_eg(),
        trio.open_nursery() as tasks,
    ):
        trading = Trading(mode)
        session = Session(addr, trading, quotes_hz, _nursery=tasks, _search=search)
        tasks.start_soon(session.watch_services)
        if trades:
            tasks.start_soon(session.trading.run, fqme)
        with _current_is(session):
            yield session
        tasks.cancel_scope.cancel()


@contextmanager
def _current_is(session: Session) -> Iterator[None]:
    """Have a session be this process's."""
    global _current  # noqa: PLW0603
    before, _current = _current, session
    try:
        yield
    finally:
        _current = before
