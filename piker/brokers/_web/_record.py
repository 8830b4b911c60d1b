"""``stream_frames`` of a web venue: its frames as they come, nothing missing.

taps of hubs --frames, as they came----------> sink
a MarketStream of its own --REST answers, notes--^   what it makes of them is dropped

The recorder's stream is one more member of the venue's connections: it knows what
*it* lacks, after a loss of the venue and after one of who records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._backend import FeedItem, FrameSink, Lost, OnClock, Reached
from piker.brokers._parts import Part
from piker.brokers._refetched import as_frame
from piker.brokers._sequence import Sequence
from piker.brokers._session_notes import Begun, Down, Dropped, Up
from piker.errors import SymbolNotFound, VenueRefused
from piker.msgs import Disconnected, Ended, FramePoint, Reconnected, boot_ns
from piker.service import collapse_eg

from ._hub import Hub
from ._market import MarketStream
from ._pages import Page, Since
from ._stream import OpenSource, Source, ask_clock, start_from

_AHEAD: Final = 64


async def record_markets(
    open_source: OpenSource,
    sink: FrameSink,
    symbols: list[str],
    *,
    points: Mapping[str, FramePoint],
) -> None:
    """Be a backend's ``stream_frames``, see :class:`piker.brokers.StreamFrames`."""
    async with AsyncExitStack() as stack:
        recording = _Recording(sink, set(symbols))
        markets: list[_Market] = []
        for fqme in symbols:
            with recording.refusal_of(fqme):
                source = await stack.enter_async_context(open_source(fqme))
                start_ns = await _start_ns(source, points.get(fqme))
                market = _Market(recording, source, start_ns, points.get(fqme))
                markets.append(market)
        recording.symbols |= {market.symbol for market in markets}
        for hub in {hub for market in markets for hub in market.source.hubs}:
            stack.enter_context(recording.tapped(hub))
        async with collapse_eg(), trio.open_nursery() as tasks:
            for market in markets:
                tasks.start_soon(market.run)


async def _start_ns(source: Source, point: FramePoint | None) -> int:
    """Return from where trades are wanted: bars that are forming are to be whole."""
    _, now_ns = await ask_clock(source)
    if point is not None and point.serial < 0:
        return point.time_ns
    return start_from(now_ns)


@dataclass(eq=False)
class _Recording:
    """What the markets of one recording share.

    Attributes:
      sink: takes what is recorded.
      fqmes: of the markets that the venue hasn't refused.
      symbols: of the markets still recorded, as the venue spells them.
    """

    sink: FrameSink
    fqmes: set[str]
    symbols: set[str] = field(default_factory=set)

    @contextmanager
    def refusal_of(self, fqme: str) -> Iterator[None]:
        """Go on without a market that the venue refuses, or doesn't list any more.

        Raises what it is refused with if no other is left.
        """
        try:
            yield
        except (VenueRefused, SymbolNotFound) as err:
            reason, now_ns = str(err), time.time_ns()
            self.sink.event(Ended(fqmes=(fqme,), reason=reason, time_ns=now_ns))
            self.fqmes.discard(fqme)
            if not self.fqmes:
                raise

    @contextmanager
    def tapped(self, hub: Hub) -> Iterator[None]:
        """Have the hub's frames of these markets recorded for the block."""
        hub.taps.add(self._take)
        try:
            yield
        finally:
            hub.taps.discard(self._take)

    def _take(self, received_ns: int, payload: bytes, parts: list[Part]) -> None:
        for part in parts:
            if part.symbol in self.symbols:
                self.sink.frame(received_ns, payload)
                return


@dataclass(eq=False)
class _Market:
    """One market of a recording."""

    recording: _Recording
    source: Source
    start_ns: int
    point: FramePoint | None

    def __post_init__(self) -> None:
        self.fqme, self.symbol = self.source.mkt.fqme, self.source.mkt.bs_mktid
        self.sink = self.recording.sink

    async def run(self) -> None:
        """Record until cancelled, or until the venue refuses the market.

        Raises VenueRefused if no other is left.
        """
        with self.recording.refusal_of(self.fqme):
            try:
                async with collapse_eg():
                    await self._stream()
            finally:
                self.recording.symbols.discard(self.symbol)

    async def _stream(self) -> None:
        send, receive = trio.open_memory_channel[FeedItem](_AHEAD)
        source, known = self.source, self.known
        async with (
            source.joined() as (member, *quotes),
            trio.open_nursery() as tasks,
        ):
            stream = MarketStream(
                fqme=self.fqme,
                hub=source.hub,
                member=member,
                fetch=self._fetch,
                send=send,
                note_live=self._note_up,
                start_ns=self.start_ns,
                has_snapshot=source.has_snapshot,
                now_ns=None if source.replay else source.time.now_ns,
                seq=_NotedSequence(known.serial if known else -1, self._note),
                last_ns=known.time_ns if known else 0,
            )
            self.sink.watch(self.fqme, lambda: self._reached(stream))
            tasks.start_soon(self._watch, receive)
            for line in source.quote_lines(quotes, send):
                tasks.start_soon(line.run)
            await stream.run()

    @property
    def known(self) -> FramePoint | None:
        """Where it goes on, None if it begins."""
        point = self.point
        return None if point is None or point.serial < 0 else point

    def _reached(self, stream: MarketStream) -> FramePoint:
        if stream.seq.expect < 0:
            return FramePoint(serial=-1, time_ns=self.start_ns)
        return FramePoint(serial=stream.seq.expect, time_ns=stream.last_ns)

    def _note(self, serial: int, dropped: list[int]) -> None:
        """Note what isn't waited for, or what is left out."""
        if dropped:
            self.sink.note(Dropped(symbol=self.symbol, serials=tuple(dropped)))
            return
        since_ns = 0 if self.known else self.start_ns
        self.sink.note(Begun(symbol=self.symbol, serial=serial, since_ns=since_ns))

    async def _fetch(self, since: Since) -> Page:
        page = await self.source.page(since)
        if page.parts:
            self.sink.frame(boot_ns(), as_frame(self.symbol, page.body))
        return page

    async def _watch(self, items: trio.MemoryReceiveChannel[FeedItem]) -> None:
        """Note what happens to the stream; what it tells is in the frames."""
        async for item in items:
            if isinstance(item, tuple | Reached | OnClock | Lost):
                continue
            if isinstance(item, Disconnected):
                self.sink.note(
                    Down(
                        symbols=(self.symbol,), reason=item.reason, time_ns=item.time_ns
                    )
                )
            elif isinstance(item, Reconnected):
                self._note_up()
            self.sink.event(item)

    def _note_up(self) -> None:
        self.sink.note(Up(symbols=(self.symbol,), time_ns=time.time_ns()))


class _NotedSequence(Sequence):
    """Tells what was decided of trades that are missing, for who plays it again."""

    def __init__(self, expect: int, note: Callable[[int, list[int]], None]) -> None:
        super().__init__(expect)
        self._note = note

    def start_at(self, serial: int | None = None) -> list[Part]:
        """Go on at *serial*, and tell so."""
        serial = self.lowest if serial is None else serial
        if serial > self.expect:
            self._note(serial, [])
        return super().start_at(serial)

    def drop_held(self, firsts: Iterable[int] | None = None) -> list[int]:
        """Leave out what is held back, and tell so."""
        dropped = super().drop_held(firsts)
        if dropped:
            self._note(-1, dropped)
        return dropped
