"""Faults on command: what an emulated venue is told to do wrong.

    POST /_emulator/fault {"kind": "disconnect", "at": [120], "how": "rst"}

Those with ``at`` strike when the market-data frame of that number is due; frames are
numbered from 0 over the emulator's life, as they are sent to whoever listens. Without
``at`` they strike at once, or at the next frame. What a fault keeps from the stream is
lost there, REST still tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from piker.errors import UsageError

from ._fault_base import Count, Fault as _Fault, Seconds
from ._tws_faults import Answer, Connectivity, Farm, Limbo, Mute, Notice, Reset


class Disconnect(_Fault, frozen=True):
    """Cut the connections that listen, or all of them if it is at once.

    Attributes:
      at: numbers of the frames in whose place it strikes.
      how: a close frame; a reset; half a frame and then a reset.
      missed: trades that pass while nobody is connected, at full speed.
    """

    at: tuple[Count, ...] = ()
    how: Literal["clean", "rst", "mid_frame"] = "clean"
    missed: Count = 0


class Silence(_Fault, frozen=True):
    """Say nothing on the connections that are open, and leave them open.

    Attributes:
      at: numbers of the first frames that it strikes; without *frames*, of the
        last ones before it.
      frames: market-data frames that each connection loses first.
      seconds: of silence after those. What comes due then is lost; at full speed the
        tape waits for whoever else listens.
      pongs: pings and requests are still answered.
    """

    at: tuple[Count, ...] = ()
    frames: Count = 0
    seconds: Seconds = 0
    pongs: bool = True


class Garbage(_Fault, frozen=True):
    """Send something that is no message of the venue's.

    Attributes:
      at: see `Disconnect`.
      replace: in place of the frame; else before it.
      text: what; if None, one after the other of `GARBAGE`.
    """

    at: tuple[Count, ...] = ()
    replace: bool = False
    text: str | None = None


class Flood(_Fault, frozen=True):
    """Send a file's frames to all websockets, at once and as fast as they are read.

    It is done once each has read them.

    Attributes:
      path: of the file; each frame has its length before it, four bytes, big end first.
    """

    path: str


class Truncate(_Fault, frozen=True):
    """Send the first half of a message's JSON, as a whole frame."""

    at: tuple[Count, ...] = ()


class Duplicate(_Fault, frozen=True):
    """Send a frame twice, or as many times as *times*."""

    at: tuple[Count, ...] = ()
    times: Annotated[int, Meta(ge=2)] = 2


class Reorder(_Fault, frozen=True):
    """Send *span* frames in reverse order."""

    at: tuple[Count, ...] = ()
    span: Annotated[int, Meta(ge=2)] = 2


class Http(_Fault, frozen=True):
    """Answer requests with an error of the venue's front.

    Attributes:
      status: e.g. 429, 418, 403, 500; 200 with *html* is a page in place of data.
      count: requests that it strikes; 0 is all until it is cleared.
      path: only those whose path starts so.
      retry_after: seconds in that header, none if None.
      html: the body is a page, not JSON.
    """

    status: Annotated[int, Meta(ge=200, le=599)] = 500
    count: Count = 1
    path: str = ""
    retry_after: Count | None = None
    html: bool = False


class Bars(_Fault, frozen=True):
    """Answer requests for bars wrongly.

    Attributes:
      how: in reverse order, some of them twice; the newest ones, whatever was asked
        for; none; with ten of before what was asked for; the first half only; each
        third one with prices that are none, or a low above its high.
      count: requests that it strikes; 0 is all until it is cleared.
    """

    how: Literal["reversed", "repeated", "empty", "overlap", "cut", "odd"] = "empty"
    count: Count = 1


class Upgrade(_Fault, frozen=True):
    """Refuse the next *count* websocket handshakes with *status*; 0 is all."""

    status: Annotated[int, Meta(ge=200, le=599)] = 503
    count: Count = 1


class Slow(_Fault, frozen=True):
    """Take time: before a connection is looked at, before each answer of REST."""

    accept_s: Seconds = 0
    response_s: Seconds = 0


class Refuse(_Fault, frozen=True):
    """Don't listen for *seconds*: connecting is refused. Open connections stay."""

    seconds: Seconds = 1


class Skew(_Fault, frozen=True):
    """Let the venue's clock be off by *ms*.

    That is its server time and the stamps of events; on sim's tape, which is made by
    that clock, also those of trades.
    """

    ms: int = 0


class Latency(_Fault, frozen=True):
    """Let all that comes in or goes out take *ms*; a round trip is twice that."""

    ms: Seconds = 0


class Asked(_Fault, frozen=True):
    """Do something wrong with the next private request of a kind, once.

    Attributes:
      on: ``place``, ``amend``, ``cancel``, ``cancel_all``, ``status``, ``open``,
        ``trades``, ``account``, ``token``, ``subscribe``; any if empty.
      how: ``unheard``: the connection breaks and nothing is done; ``unanswered``: it
        is done, and then the connection breaks; ``unsure``: it is done, and the answer
        says that nobody knows; ``refused``: nothing is done, the venue is out of
        order; ``half``: of an amend that cancels and places, the connection breaks
        in between; ``late``: it is done *seconds* later; ``slow``: it is done, and
        answered *seconds* later; ``stale``: answered as things were *seconds* ago;
        ``page``: with a web page; ``odd``: with a number where a text belongs;
        ``silent``: it is done and never answered; ``twice``: it is done, and a
        websocket tells so twice; ``swapped``: it is done, and a websocket tells so
        after the next answer.
      seconds: see *how*.
      says: what is said where it is refused, in place of what is usual.
    """

    on: str = ""
    how: Literal[
        "unheard", "unanswered", "unsure", "refused", "half", "late", "slow", "stale",
        "page", "odd", "silent", "twice", "swapped",
    ] = "unanswered"  # fmt: skip
    seconds: Seconds = 0.5
    says: str = ""

    @property
    def strikes(self) -> str:
        """Which kind of request, any if empty."""
        return self.on


class Told(_Fault, frozen=True):
    """Do something wrong with the next event of an account, once.

    Attributes:
      what: ``accepted``, ``triggered``, ``amended``, ``traded``, ``ended``; any if
        empty.
      how: it is lost; told twice; after the next one; or *seconds* late.
      seconds: see *how*.
    """

    what: str = ""
    how: Literal["lost", "twice", "swapped", "late"] = "lost"
    seconds: Seconds = 0.5

    @property
    def strikes(self) -> str:
        """Which kind of event, any if empty."""
        return self.what


class Token(_Fault, frozen=True):
    """Let the next token live for *seconds* only, whatever is said of it: deribit."""

    seconds: Seconds = 0.5


AnyFault = (
    Disconnect | Silence | Garbage | Flood | Truncate | Duplicate | Reorder | Http
    | Bars | Upgrade | Slow | Refuse | Skew | Latency | Asked | Told
    | Answer | Limbo | Farm | Connectivity | Reset | Notice | Mute
    | Token
)  # fmt: skip
#: Those that strike at frames.
FrameFault = Disconnect | Silence | Garbage | Truncate | Duplicate | Reorder

#: What a venue might send when something in it breaks; text frames, but for the bytes.
GARBAGE: tuple[str | bytes, ...] = (
    "<html><body>502 Bad Gateway</body></html>",
    "null",
    '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","p":[]}}',
    b"\x00\xff\xfe\x80garbage",
    "[[[[[[[[",
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USDT","price":"x"}]}',
    "",
)

_Counted = TypeVar("_Counted", Upgrade, Bars, Limbo)
_Private = TypeVar("_Private", Asked, Told)

_DECODER = msgspec.json.Decoder(AnyFault)


def parse_fault(text: bytes | str) -> AnyFault:
    """Return the fault that *text*, JSON, describes.

    Raises:
      UsageError: if it describes none.
    """
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"not a fault: {error}") from error


def frames_of(path: str) -> Iterator[bytes]:
    """Yield the frames of a file, see `Flood`; raises UsageError."""
    try:
        told = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"no frames to send: {error}") from error
    at = 0
    while at < len(told):
        size = int.from_bytes(told[at : at + 4])
        yield told[at + 4 : at + 4 + size]
        at += 4 + size


class Faults:
    """The faults in force.

    Attributes:
      at: those to come, by frame number.
      next: those that strike at the next frame.
      slow: see `Slow`.
      skew_ms: see `Skew`.
      latency_s: see `Latency`.
      fired: how often each kind struck.
    """

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Take all faults back; what they did stays done."""
        self.at: dict[int, list[FrameFault]] = {}
        self.next: list[FrameFault] = []
        self.slow = Slow()
        self.skew_ms = 0
        self.latency_s = 0.0
        self._http: list[tuple[Http, int]] = []
        self._bars: list[tuple[Bars, int]] = []
        self._upgrade: list[tuple[Upgrade, int]] = []
        self._limbo: list[tuple[Limbo, int]] = []
        self._answers: list[tuple[Answer, int]] = []
        self._privates: list[Asked | Told] = []
        self._tokens: list[Token] = []
        self._garbage = 0

    def set(self, fault: AnyFault) -> None:
        """Put *fault* in force; some are the server's."""
        match fault:
            case Http() | Bars() | Upgrade() | Limbo() | Answer():
                self._waiting(type(fault)).append((fault, fault.count))
            case Slow():
                self.slow = fault
            case Skew():
                self.skew_ms = fault.ms
            case Latency():
                self.latency_s = fault.ms / 1000
            case Asked() | Told():
                self._privates.append(fault)
            case Token():
                self._tokens.append(fault)
            case (
                Refuse() | Flood() | Reset() | Farm() | Connectivity() | Notice()
                | Mute()
            ):  # fmt: skip
                pass  # the server's, or the venue's
            case _ if fault.at:
                for number in fault.at:
                    self.at.setdefault(number, []).append(fault)
            case _:
                self.next.append(fault)

    def _waiting(self, kind: type[Http | Bars | Upgrade | Limbo | Answer]) -> list[Any]:
        lists: dict[type, list[Any]] = {
            Http: self._http, Bars: self._bars, Upgrade: self._upgrade,
            Limbo: self._limbo, Answer: self._answers,
        }  # fmt: skip
        return lists[kind]

    def note(self, fault: AnyFault) -> None:
        """Count that *fault* struck."""
        self.fired[type(fault).__name__.lower()] += 1

    def due(self, number: int) -> list[FrameFault]:
        """Return what strikes at the frame of that number."""
        found = self.next + self.at.pop(number, [])
        self.next = []
        for fault in found:
            self.note(fault)
        return found

    def http(self, path: str) -> Http | None:
        """Return what strikes a request of *path*."""
        for at, (fault, left) in enumerate(self._http):
            if path.startswith(fault.path):
                if left == 1:
                    del self._http[at]
                elif left:
                    self._http[at] = (fault, left - 1)
                self.note(fault)
                return fault
        return None

    def answer(self, kind: str) -> Answer | None:
        """Return what strikes an answer of that kind."""
        for at, (fault, left) in enumerate(self._answers):
            if fault.on in ("", kind):
                if left == 1:
                    del self._answers[at]
                elif left:
                    self._answers[at] = (fault, left - 1)
                self.note(fault)
                return fault
        return None

    def limbo(self) -> Limbo | None:
        """Return what strikes a new connection."""
        return self._first(self._limbo)

    def private(self, kind: type[_Private], what: str) -> _Private | None:
        """Return what strikes a private request, or event, of that name, once."""
        for fault in self._privates:
            if isinstance(fault, kind) and fault.strikes in ("", what):
                self._privates.remove(fault)
                self.note(fault)
                return fault
        return None

    def has_asked(self, what: str) -> bool:
        """Tell whether something is to go wrong with just this request."""
        return any(
            isinstance(fault, Asked) and fault.on == what for fault in self._privates
        )

    def token(self) -> Token | None:
        """Return what strikes the next token."""
        if not self._tokens:
            return None
        fault = self._tokens.pop(0)
        self.note(fault)
        return fault

    def upgrade(self) -> Upgrade | None:
        """Return what strikes a websocket handshake."""
        return self._first(self._upgrade)

    def bars(self) -> Bars | None:
        """Return what strikes a request for bars."""
        return self._first(self._bars)

    def _first(self, waiting: list[tuple[_Counted, int]]) -> _Counted | None:
        """Take the first of *waiting* once more, if there is one."""
        if not waiting:
            return None
        fault, left = waiting[0]
        if left == 1:
            del waiting[0]
        elif left:
            waiting[0] = (fault, left - 1)
        self.note(fault)
        return fault

    def garbage(self, fault: Garbage) -> str | bytes:
        """Return what to send for *fault*."""
        if fault.text is not None:
            return fault.text
        self._garbage += 1
        return GARBAGE[(self._garbage - 1) % len(GARBAGE)]
