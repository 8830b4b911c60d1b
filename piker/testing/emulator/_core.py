"""An emulated venue's state: its tape and clock, who listens, what is to go wrong.

Venue (binance, kraken): what frames and answers say
Core: tape, clock, subscriptions, faults, counters
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

import trio

from piker.errors import UsageError

from ._faults import Faults
from ._stats import Stats
from ._tape import Item, Tape
from ._ws import Connection

if TYPE_CHECKING:
    from ._accounts import Accounts
    from ._tws_faults import OwnFault

_SPEED_MAX: Final = 1e6
#: What says, in place of a venue, that it isn't there.
PAGE: Final = b"<!DOCTYPE html><html><head><title>Error</title></head></html>"


class Reply(NamedTuple):
    """An answer of REST.

    Attributes:
      status: of HTTP.
      body: its bytes.
      headers: besides length and date.
      kind: its content type.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"


class Frame(NamedTuple):
    """A message of market data and who gets it.

    Attributes:
      conns: who listens to its stream.
      wire: the message as a websocket frame.
      cut: length of what is before the bare message, for who asked for that; the
        last byte is left out too. 0 if there is no such form.
    """

    conns: list[Connection]
    wire: bytes
    cut: int = 0

    def of(self, conn: Connection) -> bytes:
        """Return the message in the form that *conn* asked for, JSON."""
        text = conn.payload_of(self.wire)
        return text if conn.combined or not self.cut else text[self.cut : -1]

    def send(self) -> None:
        """Send it to all who listen, each in the form it asked for."""
        bare = b""
        for conn in self.conns:
            if conn.combined or not self.cut:
                conn.push(self.wire)
            else:
                bare = bare or conn.framed(self.of(conn))
                conn.push(bare)


class Private(Protocol):
    """A venue's private side: orders and accounts.

    Attributes:
      accounts: behind it.
    """

    accounts: Accounts

    def takes(self, method: str, path: str) -> bool:
        """Tell whether a request of REST is one of these."""
        ...

    async def rest(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> Reply | None:
        """Answer a request of REST; None: the connection is to break.

        Args:
          query: as it came, still encoded.
          headers: by their names in lower case.
        """
        ...


class Venue(Protocol):
    """What makes an emulated venue this one and no other.

    Attributes:
      private: its private side, None where that isn't emulated.
    """

    private: Private | None

    def frames(self, item: Item) -> Iterator[Frame]:
        """Yield the messages that *item*, which has just passed, makes."""
        ...

    def due(self) -> Iterator[Frame]:
        """Yield the messages that the clock makes, not an item."""
        ...

    def prepare(self, item: Item) -> None:
        """Make ahead what of *item*'s messages can be: nobody waits for it yet."""
        ...

    def answer(self, path: str, query: dict[str, str]) -> Reply:
        """Return the answer to a GET."""
        ...

    def refusal(self, url: str) -> int:
        """Return the status that a websocket is refused with, 0 if it isn't."""
        ...

    def opened(self, conn: Connection) -> None:
        """Greet a new websocket."""
        ...

    def heard(self, conn: Connection, payload: bytes) -> None:
        """Do what a client's message asks for."""
        ...

    def counted(self, conn: Connection) -> bool:
        """Count a client's frame of any kind; False if it was one too many."""
        ...

    async def keep(self, conn: Connection) -> None:
        """Send pings or heartbeats while *conn* lives."""
        ...


@runtime_checkable
class OwnProtocol(Protocol):
    """A venue that speaks a protocol of its own, on the port of its control paths.

    Attributes:
      greeting: first bytes of whoever speaks it.
    """

    greeting: bytes

    async def talk(self, stream: trio.SocketStream, head: bytes) -> None:
        """Serve a client that has sent *head* so far, until it or we are done."""
        ...

    def strike(self, fault: OwnFault) -> None:
        """Let a fault strike that only this protocol has."""
        ...

    def clear(self) -> None:
        """Take those back."""
        ...


class Core:
    """See the module.

    Attributes:
      tape: what the markets say.
      speed: of the tape's clock; 0 is as fast as clients take it.
      faults: in force.
      stats: counters.
      listeners: connections by stream, in order of subscription.
      websockets: open ones.
      changed: is set, and replaced, when somebody subscribes or leaves.
      is_closed: nobody can connect, for a while.
    """

    def __init__(self, tape: Tape, speed: float) -> None:
        self.tape = tape
        self.speed = speed
        self.faults = Faults()
        self.stats = Stats()
        self.listeners: dict[str, list[Connection]] = {}
        self.websockets: dict[Connection, None] = {}
        self.changed = trio.Event()
        #: When the clock last went on at another speed, and where the tape was then.
        self._since: float | None = None
        self._since_ns = tape.origin_ns

    # -- time ----------------------------------------------------------------------

    @property
    def is_full_speed(self) -> bool:
        """Whether the tape waits for clients, not for a clock."""
        return not self.speed and not self.tape.is_live

    def start_clock(self) -> None:
        """Let the tape's clock go."""
        self._since = time.monotonic()

    def set_speed(self, speed: float) -> None:
        """Have the tape's clock go at *speed* from now on.

        Raises: UsageError where the tape has no clock of its own, or *speed* isn't a
        number above 0.
        """
        if self.is_full_speed or self.tape.is_live:
            goes = "time goes" if self.tape.is_live else "fast as clients read"
            raise UsageError(f"a tape that goes as {goes} has no speed to set")
        if not 0 < speed <= _SPEED_MAX:
            raise UsageError(
                f"a speed is a number above 0, up to {_SPEED_MAX:,.0f}, not {speed:g}"
            )
        self._since_ns = self.clock_ns()
        if self._since is not None:
            self._since = time.monotonic()
        self.speed = speed

    def clock_ns(self) -> int:
        """Return up to where the tape has passed."""
        if self.tape.is_live:
            return time.time_ns() + self._skew_ns
        if self.is_full_speed:
            return self.tape.last_ns
        if self._since is None:
            return self._since_ns
        passed_s = (time.monotonic() - self._since) * self.speed
        return self._since_ns + int(passed_s * 1e9)

    def server_ns(self) -> int:
        """Return what the venue says the time is."""
        skew_ns = 0 if self.tape.is_live else self._skew_ns
        return self.clock_ns() + skew_ns

    @property
    def _skew_ns(self) -> int:
        return self.faults.skew_ms * 1_000_000

    # -- who listens ---------------------------------------------------------------

    def subscribe(self, conn: Connection, stream: str) -> None:
        """Let *conn* listen to *stream*; once is enough."""
        if stream in conn.streams or conn.is_closing:
            return
        conn.streams[stream] = None
        self.listeners.setdefault(stream, []).append(conn)
        self.stats.subscribed[stream] += 1
        self._note_change()

    def unsubscribe(self, conn: Connection, stream: str) -> None:
        """Let *conn* no longer listen to *stream*."""
        if stream in conn.streams:
            del conn.streams[stream]
            self.listeners[stream].remove(conn)
            if not self.listeners[stream]:
                del self.listeners[stream]

    def drop(self, conn: Connection) -> None:
        """Forget a connection."""
        for stream in list(conn.streams):
            self.unsubscribe(conn, stream)
        self.websockets.pop(conn, None)
        self._note_change()

    def hearing(self) -> list[Connection]:
        """Return who listens to something, less those for whom the tape waits."""
        found = {conn: None for conns in self.listeners.values() for conn in conns}
        now = trio.current_time()
        return [conn for conn in found if conn.lose or conn.silent_until <= now]

    def _note_change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()
