"""Bids and asks of one market, where its venue tells them on a line of their own.

    parts --> ticks, as they come      lost: no side is known any more, and a warning
    silence --asked by REST--> the same: it is quiet; another: that is sent, and the
                               line given up

Whether the market is live is for its trades to say: they go on whatever becomes of
this line, and what is lost of it isn't fetched: the next quote takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._backend import FeedItem
from piker.brokers._parts import side_tick
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import ASKS, BIDS, Quote, Tick, Warned

from ._dialect import Doubt, Down, Failed, Item, Member, Up
from ._hub import Hub
from ._silence import Silence

log = get_logger(__name__)

#: Whether the line is too quiet is looked at so often.
_LOOK_S: Final = 1.0
_SIDES: Final = BIDS | ASKS


@dataclass(eq=False)
class QuoteLine:
    """One market's bids and asks.

    Attributes:
      fqme: full name.
      hub: of its venue's quotes.
      member: of the hub, for its symbol.
      ask: gives the newest quote.
      send: takes items for datad.
    """

    fqme: str
    hub: Hub
    member: Member
    ask: Callable[[], Awaitable[Quote]]
    send: trio.MemorySendChannel[FeedItem]
    _prices: dict[str, float] = field(default_factory=dict)
    _is_lost: bool = False
    _silence: Silence = field(default_factory=Silence)

    async def run(self) -> None:
        """Stream until cancelled."""
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._watch_quiet)
            async for item in self.member.items:
                await self._on_item(item)
            tasks.cancel_scope.cancel()

    async def _on_item(self, item: Item) -> None:
        if isinstance(item, list):
            ticks = [tick for part in item if part.first < 0 for tick in part.ticks]
            if ticks:
                self._silence.hear()
                await self._tell(ticks)
        elif isinstance(item, Up):
            self._is_lost = False
            self._silence.begin()
        elif isinstance(item, Doubt):
            self._prices.clear()  # what was left out may have told others
        elif isinstance(item, Down):
            await self._lose(item.reason)
        elif isinstance(item, Failed):
            await self._lose(str(item.error))

    async def _tell(self, ticks: list[Tick]) -> None:
        self._prices |= _prices(ticks)
        await self.send.send((self.fqme, ticks))

    async def _lose(self, reason: str) -> None:
        """Have what was bid and asked forgotten, and say why once a loss.

        Forgotten with each try to connect again: while its trades are down too, quotes
        get to nobody.
        """
        gone = [side_tick("bid", None, None, 0), side_tick("ask", None, None, 0)]
        await self.send.send((self.fqme, gone))
        self._prices.clear()
        if self._is_lost:
            return
        self._is_lost = True
        reason = f"no bids and asks: {reason}"
        await self.send.send(
            Warned(fqmes=(self.fqme,), reason=reason, time_ns=time.time_ns())
        )

    async def _watch_quiet(self) -> None:
        """Check a quiet line; take turns with all that is checked at the venue."""
        turns = self.hub.dialect.checks
        while True:
            await trio.sleep(_LOOK_S)
            heard = self._silence.heard
            if not self._silence.is_long or self._has_news(heard):
                continue
            await turns.spend()
            if self._has_news(heard):
                turns.give_back()
                continue
            self._silence.note_check()
            await self._check_quiet(heard)

    def _has_news(self, heard: int) -> bool:
        """Whether it is lost, or has told something since, if only to be taken."""
        waiting = self.member.items.statistics().current_buffer_used
        return self._is_lost or heard != self._silence.heard or bool(waiting)

    async def _check_quiet(self, heard: int) -> None:
        """Ask the venue for its quote; if that has another price, the line is stale.

        After a loss, or a doubt, it is news to us and says nothing of the line.
        """
        try:
            quote = await self.ask()
        except VenueError as err:
            log.info("%s: its quote can't be had: %s", self.fqme, err)
            return
        ticks = [tick for tick in quote.ticks if tick.type in _SIDES]
        await trio.sleep(_LOOK_S)  # the line may be about to tell it
        if self._has_news(heard):
            return
        known = dict(self._prices)
        if repr(known) == repr(_prices(ticks)):  # in which nan is nan
            return
        await self._tell(ticks)
        if known:
            reason = f"the quotes of {self.fqme} lag behind its venue"
            self.hub.distrust(self.member.symbol, reason)


def _prices(ticks: list[Tick]) -> dict[str, float]:
    return {tick.type: tick.price for tick in ticks}
