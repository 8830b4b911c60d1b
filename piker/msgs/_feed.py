"""What datad and its clients say to each other, besides quotes."""

from __future__ import annotations

from piker.types import Struct

from ._calendar import Calendar
from ._clock import Clock, WallClock
from ._mkt import MktPair
from ._ticks import Quote


class FeedInit(Struct, frozen=True, kw_only=True, tag="feed_init"):
    """What a backend says of a market before its first quote.

    Attributes:
      mkt: the market.
      clock: the clock it runs on.
      calendar: its trading hours; always open by default.
      has_volume: whether its trades carry sizes.
      start_ns: trades from this venue time on follow; bars before it are history's.
    """

    mkt: MktPair
    clock: Clock = WallClock()
    calendar: Calendar = Calendar()
    has_volume: bool = True
    start_ns: int = 0


class ShmToken(Struct, frozen=True, kw_only=True, tag="shm"):
    """Where a shared-memory buffer of bars lies, and what it is.

    Attributes:
      path: absolute path of the mapped file.
      fqme: the market.
      period_s: bar length in seconds.
      capacity: rows it can hold.
    """

    path: str
    fqme: str
    period_s: int
    capacity: int


class FlumeMsg(Struct, frozen=True, kw_only=True, tag="flume"):
    """One market of a feed, as datad describes it to a client.

    Attributes:
      init: what the backend said of it.
      first_quote: the newest known when the client came.
      rt_shm: the buffer of 1 s bars.
      hist_shm: the buffer of 60 s bars.
      missed: trades refetched into the bars since the source was lost.
      down: why there are no quotes now, empty if there are.
    """

    init: FeedInit
    first_quote: Quote
    rt_shm: ShmToken
    hist_shm: ShmToken
    missed: int = 0
    down: str = ""


class Disconnected(Struct, frozen=True, kw_only=True, tag="disconnected"):
    """The source behind these markets went away; quotes stop, buffers stay readable.

    Attributes:
      fqmes: markets concerned.
      reason: one sentence.
      time_ns: wall clock.
    """

    fqmes: tuple[str, ...]
    reason: str
    time_ns: int


class Reconnected(Struct, frozen=True, kw_only=True, tag="reconnected"):
    """The source is back.

    Attributes:
      fqmes: markets concerned.
      missed: trades that were refetched into the bars and not sent as ticks; -1
        where it isn't known.
      time_ns: wall clock.
    """

    fqmes: tuple[str, ...]
    missed: int
    time_ns: int


#: Why a market ended whose source came to its end in order.
NO_MORE_DATA = "the source has no more data"


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """The source has no more data for these markets: a replay reached its end."""

    fqmes: tuple[str, ...]
    reason: str
    time_ns: int


class Warned(Struct, frozen=True, kw_only=True, tag="warned"):
    """Something about a market is odd, e.g. the venue's clock or a trade too late."""

    fqmes: tuple[str, ...]
    reason: str
    time_ns: int


class HistoryProgress(Struct, frozen=True, kw_only=True, tag="history"):
    """How far the past of a market is loaded; who comes later is told the newest.

    Attributes:
      fqmes: the market, alone.
      period_s: of the bars.
      done: 0 to 1; at 1 all is there that the depth asked for has, and the venue.
      oldest_s: bars from there on are loaded, epoch s.
      bars: loaded so far, from the store or the venue.
      reason: why it stands still, empty if it doesn't.
      time_ns: wall clock.
    """

    fqmes: tuple[str, ...]
    period_s: int
    done: float
    oldest_s: int
    bars: int
    reason: str
    time_ns: int


class MendProgress(Struct, frozen=True, kw_only=True, tag="mend"):
    """How far the holes of a market's stored bars are asked for.

    Attributes:
      done: 0 to 1; at 1 it is at its end.
      filled: bars that lacked and are stored by now.
      left: periods looked at for which the venue has no bar.
      notes: what is odd, a sentence each, since the last of these.
    """

    done: float
    filled: int
    left: int
    notes: tuple[str, ...] = ()

    @property
    def lacked(self) -> int:
        """How many bars weren't there, of the periods looked at."""
        return self.filled + self.left


FeedEvent = Disconnected | Reconnected | Ended | Warned | HistoryProgress
FeedMsg = Quote | FeedEvent


class Credit(Struct, frozen=True, kw_only=True, tag="credit"):
    """A client has consumed *n* more messages: so many more may be sent."""

    n: int


class Pause(Struct, frozen=True, kw_only=True, tag="pause"):
    """A client wants no quotes for now; bars and events go on."""


class Resume(Struct, frozen=True, kw_only=True, tag="resume"):
    """A client wants quotes again."""


FeedCommand = Credit | Pause | Resume


class Match(Struct, frozen=True, kw_only=True, tag="match"):
    """One answer of a symbol search.

    Attributes:
      fqme: full name.
      kind: asset type of the market.
      score: 0..100, how well it fits the pattern.
      description: a few words, may be empty.
    """

    fqme: str
    kind: str
    score: float
    description: str = ""
