"""What the screen asks of the session: asked in the screen's tasks, done in trio's.

Model --do, open, find ...--> Link --a channel--> serve() --> Session
      <----- then(...), in the same thread --------'
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from piker.data import Found
from piker.errors import PikerError
from piker.ui._market import Market
from piker.ui._order_events import Intent
from piker.ui._seek import Seeker
from piker.ui._session import Session

Work = Callable[[], Awaitable[object]]


class Link:
    """Hands work over; what goes wrong with it is told as a toast."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._seeker = Seeker(session)
        self._send, self._receive = trio.open_memory_channel[Work](float("inf"))

    async def serve(self) -> None:
        """Start what is asked for, until cancelled."""
        async for work in self._receive:
            self.session.start(work)

    def post(self, work: Work) -> None:
        """Have something done."""
        # sent, not started from here: tasks are to be born in trio's own context
        self._send.send_nowait(work)

    def do(self, intent: Intent) -> None:
        """Have emsd do something."""
        self.post(partial(self.session.trading.do, intent))

    def open(self, name: str, then: Callable[[Market], None]) -> None:
        """Look at a market."""

        async def work() -> None:
            then(await self.session.market(name))

        self.post(work)

    def find(self, pattern: str, then: Callable[[Found | PikerError], None]) -> None:
        """Search for markets; what was searched for before isn't any more."""
        self.post(self._seeker.find(pattern, then))

    def older(self, market: Market, period_s: int, then: Callable[[int], None]) -> None:
        """Load older bars of a period."""

        async def work() -> None:
            then(await market.load_older(period_s))

        self.post(work)

    def watch(self, market: Market, *, is_watched: bool) -> None:
        """Ask for a market's quotes, or for none."""
        market.look(self, is_looking=is_watched)
