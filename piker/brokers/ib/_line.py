"""One line of market data, on the asyncio side: subscribed, and again when it is lost.

reqMktData --ticks--> emit(RawTick)
connection lost, back --> emit(Lost), emit(Subscribed)     IB refuses --> raised
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from ib_async import Contract

from piker.brokers._payload import one_line
from piker.errors import MarketGone, VenueError, VenueUnreachable

from ._gateway import Farm, Gateway, LineDown, LineEvent
from ._reasons import error_of, is_note

#: Ticks that say that something was traded: each is told, in order; of all others the
#: newest will do.
TRADES: Final = frozenset({4, 48, 68, 77})
#: So many of those may wait to be taken, see `key_of`.
TRADES_ROOM: Final = 8192
#: Ticks may be on their way for so long after servers were lost.
ON_WAY_S: Final = 1.0
#: A line that goes on telling nothing is asked for anew after twice as long each time,
#: so many times as long at most.
_QUIET_MOST: Final = 10
#: What a line tells as it begins comes within so long.
_BEGINS_S: Final = 5.0


class RawTick(NamedTuple):
    """A tick as IB told it.

    Attributes:
      kind: IB's number, see :mod:`._decode`.
      price: nan if it has none.
      size: nan if it has none.
      text: of a kind that is a text, else empty.
      serial: of a kind in `TRADES`: rises by one; -1 of others.
    """

    kind: int
    price: float
    size: float
    text: str
    serial: int = -1


class Subscribed(NamedTuple):
    """From here on the line's ticks are told; some from before may be lost.

    Attributes:
      is_new: IB tells bids and asks anew; else they are what they were.
      is_doubt: the line told nothing for long, which may have been right.
    """

    is_new: bool = True
    is_doubt: bool = False


class Begun(NamedTuple):
    """IB has the subscription: what it knows of the market follows, if anything."""


class Lost(NamedTuple):
    """The line is lost; *reason* says why."""

    reason: str


class Note(NamedTuple):
    """IB says something of the line, which goes on."""

    text: str


class FarmNote(NamedTuple):
    """A part of IB's servers that has market data is lost, or back: maybe this line's.

    Attributes:
      name: of the part.
      is_up: whether it is there.
    """

    name: str
    is_up: bool


LineItem = RawTick | Subscribed | Begun | Lost | Note | FarmNote


def key_of(item: LineItem) -> tuple[str, int] | None:
    """Return what *item* takes the place of, if nobody took the one before yet.

    A trade takes the place of one that came `TRADES_ROOM` trades before it: who finds a
    serial missing knows that some were lost.
    """
    if not isinstance(item, RawTick):
        return None  # each is kept
    if item.serial >= 0:
        return ("trade", item.serial % TRADES_ROOM)
    return ("tick", item.kind)


@dataclass(eq=False)
class Line:
    """A subscription to one contract's market data; a `Sink`.

    IB tells of a line that it serves no more, mostly; one that says nothing is asked
    for anew now and then, for all that could be told of it by anybody is its silence.

    Attributes:
      gateway: where.
      contract: whose, with its ``conId`` and exchange.
      generic: numbers of ticks that are told only if they are asked for.
      emit: takes what it says; never blocks.
    """

    gateway: Gateway
    contract: Contract
    generic: str
    emit: Callable[[LineItem], None]
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _refused: tuple[int, str] | None = None
    _req_id: int = -1
    _serial: int = 0
    _heard_at: float = -inf
    _asked_at: float = -inf
    _quiet: int = 1
    _is_stale: bool = False
    _lost_at: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Tell until cancelled; raises what IB refuses the line with."""
        self.gateway.listeners.add(self._hear)
        try:
            await self.gateway.ready()
            self._subscribe()
            while True:
                await self._wait()
                if self._refused is not None:
                    raise self._fault(*self._refused)
                self._renew()
        finally:
            self.gateway.listeners.discard(self._hear)
            self._leave()

    async def _wait(self) -> None:
        """Wait for what happens next; while nothing does, look after the line."""
        while not self._news.is_set():
            now = time.monotonic()
            patience_s = self._quiet * self.gateway.conf.quiet_s
            wait_s = max(self._heard_at, self._asked_at) + patience_s - now
            if wait_s <= 0:
                self._doubt(now)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
        self._news.clear()

    def _doubt(self, now: float) -> None:
        """Ask for the line anew: it has told nothing for long."""
        self._asked_at = now
        self._quiet = min(2 * self._quiet, _QUIET_MOST)
        is_cut = any(farm.serves == "data" for farm in self.gateway.farms.values())
        if self.gateway.state == "up" and not is_cut:
            self._leave()
            self._subscribe(is_doubt=True)

    def tick(self, kind: int, price: float, size: float, text: str) -> None:
        """Take a tick."""
        self._heard_at = time.monotonic()
        if self._heard_at > self._asked_at + _BEGINS_S:
            self._quiet = 1
        serial = -1
        if kind in TRADES:
            serial = self._serial
            self._serial += 1
        self.emit(RawTick(kind, price, size, text, serial))

    def begun(self) -> None:
        """Take note that IB has the subscription."""
        self.emit(Begun())

    def error(self, code: int, text: str) -> None:
        """Take what IB says of the line."""
        if is_note(code):
            self.emit(Note(one_line(text)))
        else:
            self._leave()  # once it may be told again it would be, to nobody
            self._refused = code, text
            self._news.set()

    def _fault(self, code: int, text: str) -> VenueError:
        """Return what ended the line: not that there is no such contract, it is known.

        IB says so, too, in the night, when its servers are away.
        """
        fault = error_of(code, text, f"market data of {self.contract.symbol}")
        if isinstance(fault, MarketGone):
            return VenueUnreachable(str(fault))
        return fault

    def _hear(self, event: LineEvent) -> None:
        """Tell of an event in the step it is heard in: the next ticks are of after it.

        A process that hung hears all at once. Told later, trades of after a loss would
        pass for ones of before it, and nothing that was lost would be fetched.
        """
        if self._asked_at == -inf:
            return  # how it came to be up is no news
        if isinstance(event, LineDown):
            self.emit(Lost(event.reason))
        elif isinstance(event, Farm):
            if event.serves == "data":
                self._on_farm(event)
        elif event.is_new:
            self._forget()
            self._is_stale = True
        else:
            self._tell(Subscribed(is_new=False))
        self._news.set()

    def _on_farm(self, farm: Farm) -> None:
        """Tell of servers; ask anew once they are back, if it told nothing meanwhile.

        What was asked for before is served again by some, and by some it never is.
        """
        self.emit(FarmNote(farm.name, farm.is_up))
        if not farm.is_up:
            self._lost_at[farm.name] = time.monotonic()
        elif self._heard_at < self._lost_at.pop(farm.name, -inf) + ON_WAY_S:
            self._leave()
            self._is_stale = True

    def _renew(self) -> None:
        """Ask anew if that is wanted, and can be now; when it can it is told."""
        if self._is_stale and self.gateway.state == "up":
            self._subscribe()

    def _tell(self, began: Subscribed) -> None:
        """Tell that ticks follow, and which servers are lost: IB says so once only."""
        self.emit(began)
        for farm in self.gateway.farms.values():
            if farm.serves == "data":
                self._lost_at.setdefault(farm.name, time.monotonic())
                self.emit(FarmNote(farm.name, farm.is_up))

    def _subscribe(self, *, is_doubt: bool = False) -> None:
        client = self.gateway.ib.client
        self._is_stale, self._asked_at = False, time.monotonic()
        self._req_id = client.getReqId()
        self.gateway.ib.wrapper.sinks[self._req_id] = self
        self._tell(Subscribed(is_doubt=is_doubt))
        client.reqMktData(self._req_id, self.contract, self.generic, False, False, [])

    def _forget(self) -> int:
        """Take no more; return the request's id, -1 if it is of a connection before.

        Ids are counted anew on each: it may be another line's now.
        """
        req_id, self._req_id = self._req_id, -1
        sinks = self.gateway.ib.wrapper.sinks
        if sinks.get(req_id) is not self:
            return -1
        del sinks[req_id]
        return req_id

    def _leave(self) -> None:
        req_id = self._forget()
        if req_id >= 0 and self.gateway.ib.client.isReady():
            self.gateway.ib.client.cancelMktData(req_id)
