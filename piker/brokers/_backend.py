"""What a backend and the daemons that host it say to each other.

A backend is a module or package ``piker.brokers.<name>``; which names it must have is
told by the table in :mod:`piker.data.validate`. It imports nothing of ``piker.data``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import trio

from piker.errors import PikerError
from piker.msgs import (
    Clock,
    FeedEvent,
    FeedInit,
    FramePoint,
    Match,
    MktPair,
    Quote,
    Tick,
)
from piker.service import Context

from ._session_notes import Note

#: Ticks of one market in order of arrival: full name, ticks.
TickBatch = tuple[str, list[Tick]]


@dataclass(frozen=True)
class Reached:
    """How far a stream has come: every trade before it has been sent.

    A backend that plays data by a clock of its own sends it, so that bars are opened as
    far as the data goes, and no further however late the data is.

    Attributes:
      fqme: the market.
      time_ns: by the venue's stamps, ns since the epoch.
    """

    fqme: str
    time_ns: int


@dataclass(frozen=True)
class OnClock:
    """A market runs on another clock from now on: its venue's time was measured anew.

    Attributes:
      fqme: the market.
      clock: the new one.
    """

    fqme: str
    clock: Clock


@dataclass(frozen=True)
class Lost:
    """Trades that the venue's stream and its lists of trades don't give.

    The venue's bars may have them: those of that time are asked for again.

    Attributes:
      fqme: the market.
      start_ns: stamp of the newest trade before them, ns since the epoch.
      end_ns: of the first one after.
    """

    fqme: str
    start_ns: int
    end_ns: int


#: What a backend's stream sends to datad.
FeedItem = TickBatch | FeedEvent | Reached | OnClock | Lost


@dataclass(frozen=True)
class ResumePoint:
    """From where a stream is to go on after an interruption.

    The backend sends again every trade with ``tid >= self.tid`` where the venue has
    ids, else with ``time_ns >= self.time_ns``; what is known already is dropped by
    whoever makes the bars.
    """

    time_ns: int
    tid: int = -1


@dataclass(frozen=True)
class HistoryConf:
    """How a backend's history may be asked for.

    Attributes:
      periods_s: bar lengths it has.
      max_bars: rows it gives for one request.
      requests_s: requests a second that old bars may take; a part of what the venue
        allows, so that trades that were missed can be asked for meanwhile.
      reach_bars: it has only so many of the newest, whatever is asked for; 0: no bound.
      ahead: the newest may be asked for before it is known what time it is there: a
        round trip less until a market is open.
      edition: what the bars are of, where one name can stand for several pasts: the
        seed of a simulated market. Stored bars of another edition are set aside.
    """

    periods_s: tuple[int, ...] = (60,)
    max_bars: int = 1000
    requests_s: float = 5.0
    reach_bars: int = 0
    ahead: bool = False
    edition: str = ""


class Started(Protocol):
    """What ``nursery.start()`` gives a task as its ``task_status``."""

    def started(self, value: tuple[list[FeedInit], dict[str, Quote]], /) -> None:
        """Hand *value* to who started the task."""


class GetBars(Protocol):
    """Asks for bars of one market.

    Args:
      period_s: bar length.
      end_s: epoch s; bars open before it.
      start_s: epoch s; bars open at or after it; as many as one request gives if None.

    Returns:
      dtype OHLCV, shape (n,), ascending in time, n >= 1.

    Raises:
      NoData: there are none (before the market was listed, or ever).
    """

    def __call__(
        self, period_s: int, end_s: int, start_s: int | None = None
    ) -> Awaitable[npt.NDArray[np.void]]: ...


OpenHistory = Callable[
    [MktPair], AbstractAsyncContextManager[tuple[GetBars, HistoryConf]]
]


class StreamQuotes(Protocol):
    """Streams markets until cancelled, or to the end of the data.

    First ``task_status.started((inits, first_quotes))``, a FeedInit and a Quote by
    full name; then sends FeedItems, trades in order by market. ``feed_is_live`` is set
    once what was missed has been sent and the rest is news. Markets on a session clock
    get bars as far as their trades, or a Reached, say; nothing else opens them.

    Raises: VenueUnreachable and the like; datad opens it again.
    """

    def __call__(
        self,
        send_chan: trio.MemorySendChannel[FeedItem],
        symbols: list[str],
        feed_is_live: trio.Event,
        *,
        resume: Mapping[str, ResumePoint],
        task_status: Started,
    ) -> Awaitable[None]: ...


class FrameSink(Protocol):
    """Takes what is recorded of markets; nothing of it waits."""

    def frame(self, received_ns: int, payload: bytes) -> None:
        """Take a frame, or a REST answer as `as_frame()` wraps it, as it came.

        *received_ns* is when, ns of `piker.msgs.boot_ns`.
        """

    def note(self, note: Note) -> None:
        """Take what is to be known between the frames."""

    def watch(self, fqme: str, reached: Callable[[], FramePoint]) -> None:
        """Take what tells from where a market's recording could go on now."""

    def event(self, event: FeedEvent) -> None:
        """Take what happened to a market, for whoever looks on."""


class StreamFrames(Protocol):
    """Streams the raw frames of markets of one venue, until cancelled.

    Over the connection that ``stream_quotes`` uses too, if there is one. What isn't
    news is fetched: from each market's point on, else from the whole minute. A market
    that the venue refuses, or doesn't list any more, is told as `Ended`.

    Raises: what the venue refuses all of them with; VenueUnreachable and the like.
    """

    def __call__(
        self,
        sink: FrameSink,
        symbols: list[str],
        *,
        points: Mapping[str, FramePoint],
    ) -> Awaitable[None]: ...


async def serve_search(
    ctx: Context, find: Callable[[str, int, str], Awaitable[list[Match]]]
) -> None:
    """Be a backend's ``open_symbol_search``: answer each pattern with its matches.

    Receives: ``(pattern, limit, kind)``, any kind if empty. Sends: matches, best first,
    or the error's text.
    """
    await ctx.started()
    async with ctx.open_stream() as stream:
        async for pattern, limit, kind in stream:
            try:
                await stream.send(await find(pattern, limit, kind))
            except PikerError as err:
                await stream.send(str(err))
