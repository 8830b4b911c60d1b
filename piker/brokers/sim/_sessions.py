"""Recorded sessions of real venues, decoded by the venue's own code.

    file --frames--> the venue's decode_message --> batches of ticks, as recorded

What its frames are of is told by the file's first line, if it is a `SessionHead`, else
by the first frames themselves.

A session's markets are of broker ``sim`` and keep their origin in the name:
``btcusdt.usdtm.perp.binance.sim``. Nothing here waits: who plays a session decides
when a batch is due. A venue's trade stamps may lead the receive stamps by seconds
where the recorder's clock was late; that is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from piker.brokers._parts import Notice, Part
from piker.brokers._session_head import SessionHead
from piker.brokers._session_notes import Note
from piker.errors import BadFqme, BadPayload, SessionFileError
from piker.msgs import MktPair, Tick

from ._frames import iter_frames as iter_frames, iter_records, read_session_head
from ._mended import Mender

if TYPE_CHECKING:  # what plays nothing needs no venue's code
    from ._venues import Evidence

_SAMPLE_FRAMES = 4_000
_BAD_ALLOWED = 20  # bad frames that are never too many
_BAD_SHARE = 0.02  # of all frames so far; more is too many


class Batch(NamedTuple):
    """What one recorded frame says.

    Attributes:
      receive_ns: when the recorder got it, ns since the epoch.
      fqme: the market.
      ticks: not empty.
    """

    receive_ns: int
    fqme: str
    ticks: list[Tick]


@dataclass
class PlayReport:
    """What a playback met so far; its player reads it while it plays.

    Attributes:
      frames: read.
      batches: yielded.
      bad: frames that are not what the venue's documents say; left out.
      last_bad: why the last of them was, with its line.
      strangers: frames of markets that the session didn't show at its start.
      off_step: trades whose size is no multiple of the market's size tick.
      lost: trades that were missed and never fetched; of recordings by piker.
      last_ns: receive stamp of the newest frame.
    """

    frames: int = 0
    batches: int = 0
    bad: int = 0
    last_bad: str = ""
    strangers: int = 0
    off_step: int = 0
    lost: int = 0
    last_ns: int = 0


@dataclass(frozen=True)
class Session:
    """A recorded session that can be played, any number of times.

    Attributes:
      path: the file.
      venue: one of `VENUES`.
      mkts: its markets by the venue's symbol.
      origin_ns: receive stamp of the first frame, ns since the epoch.
      is_mended: its trades are put in order to be played, see `SessionHead`.
    """

    path: Path
    venue: str
    mkts: dict[str, MktPair]
    origin_ns: int
    is_mended: bool = False

    @property
    def fqmes(self) -> tuple[str, ...]:
        """The full names of its markets, in order of appearance."""
        return tuple(mkt.fqme for mkt in self.mkts.values())

    def batches(self, report: PlayReport | None = None) -> Iterator[Batch]:
        """Yield the ticks of each frame that has any, from the start of the file.

        Args:
          report: is kept up to date, if given.

        Raises:
          SessionFileError: as :func:`iter_frames` does, after what can be played; or
            if too many frames are bad.
        """
        for item in self.records(report):
            if isinstance(item, Batch):
                yield item

    def records(self, report: PlayReport | None = None) -> Iterator[Batch | Note]:
        """Yield what :meth:`batches` does, and the notes between them."""
        playback = _Playback(self, PlayReport() if report is None else report)
        try:
            for line, receive_ns, payload in iter_records(self.path):
                if isinstance(payload, bytes):
                    yield from playback.play(line, receive_ns, payload)
                else:
                    yield from playback.heed(payload)
        except SessionFileError:
            yield from playback.rest()
            raise
        yield from playback.rest()


@dataclass
class _Playback:
    """A session being played: its frames to batches."""

    session: Session
    report: PlayReport
    mender: Mender | None = None
    markets: dict[str, tuple[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        from ._venues import VENUES

        self.decode = VENUES[self.session.venue]
        if self.session.is_mended:
            self.mender = Mender()
        self.markets = {
            symbol: (mkt.fqme, 1 / float(mkt.size_tick))
            for symbol, mkt in self.session.mkts.items()
        }

    def play(self, line: int, receive_ns: int, payload: bytes) -> list[Batch]:
        """Return what a frame says."""
        self.report.frames += 1
        self.report.last_ns = receive_ns
        try:
            parts = self.decode(payload)
        except BadPayload as error:
            self._note_bad(line, error)
            return []
        if isinstance(parts, Notice):
            return []
        return self._batches(self.mender.put(parts) if self.mender else parts)

    def heed(self, note: Note) -> list[Batch | Note]:
        """Return what a note sets free, and it."""
        freed = self._batches(self.mender.heed(note)) if self.mender else []
        return [*freed, note]

    def rest(self) -> list[Batch]:
        """Return what waited for trades that were never fetched."""
        return self._batches(self.mender.rest()) if self.mender else []

    def _batches(self, parts: list[Part]) -> list[Batch]:
        report, batches = self.report, []
        if self.mender:
            report.lost = self.mender.lost
        for symbol, ticks, _, _ in parts:
            market = self.markets.get(symbol)
            if market is None:
                report.strangers += 1
            elif ticks:
                fqme, lots_per_unit = market
                report.off_step += _off_step(ticks, lots_per_unit)
                report.batches += 1
                batches.append(Batch(report.last_ns, fqme, ticks))
        return batches

    def _note_bad(self, line: int, error: BadPayload) -> None:
        report = self.report
        report.bad += 1
        report.last_bad = f"line {line}: {error}"
        if report.bad > max(_BAD_ALLOWED, report.frames * _BAD_SHARE):
            path = str(self.session.path)
            raise SessionFileError(
                f"session {path!r}: {report.bad} of {report.frames} frames"
                f" are bad, the last is {report.last_bad}"
            ) from error


def open_session(path: str | Path, venue: str | None = None) -> Session:
    """Return the recorded session in a file; reads its first frames only.

    Args:
      path: plain text, gzip or zstd.
      venue: one of `VENUES`; needed only where the frames don't tell.

    Raises:
      SessionFileError: if the file can't be read, is no session, or was recorded at
        another venue than *venue*.
    """
    from ._venues import VENUES

    path = Path(path)
    if venue is not None and venue not in VENUES:
        raise SessionFileError(
            f"no venue {venue!r} for sessions; known: {', '.join(VENUES)}"
        )
    head = read_session_head(path)
    if head is not None:
        return _open_told(path, venue, head)
    origin_ns, evidence = _sample(path, _SAMPLE_FRAMES)
    found = evidence.venue
    if found is None:
        raise SessionFileError(
            f"session {str(path)!r} starts with no market frames of a known venue:"
            f" {', '.join(VENUES)}"
        )
    told = venue or found
    if not evidence.votes(told):
        raise _recorded_elsewhere(path, found, told)
    return Session(path, told, _markets(path, told, evidence), origin_ns)


def _open_told(path: Path, venue: str | None, head: SessionHead) -> Session:
    """Open a session whose first line says what it holds."""
    from ._venues import VENUES, as_played

    if head.venue not in VENUES:
        raise SessionFileError(
            f"session {str(path)!r} was recorded at {head.venue}; what can be played:"
            f" {', '.join(VENUES)}"
        )
    if venue is not None and venue != head.venue:
        raise _recorded_elsewhere(path, head.venue, venue)
    origin_ns, _ = _sample(path, 1)
    try:
        mkts = {mkt.bs_mktid: as_played(mkt) for mkt in head.mkts}
    except BadFqme as error:
        raise _nameless(path, error) from error
    return Session(path, head.venue, mkts, origin_ns, head.mended)


def _recorded_elsewhere(path: Path, found: str, told: str) -> SessionFileError:
    return SessionFileError(
        f"session {str(path)!r} was recorded at {found}, not at {told}"
    )


def _sample(path: Path, frames: int) -> tuple[int, Evidence]:
    """Return the first receive stamp, and what the first frames show.

    A file that breaks within them is fine here, its player will say so at that line;
    one that breaks before the first is not.
    """
    from ._venues import Evidence

    evidence, origin_ns = Evidence(), -1
    try:
        for _, receive_ns, payload in islice(iter_frames(path), frames):
            if origin_ns < 0:
                origin_ns = receive_ns
            evidence.add(payload)
    except SessionFileError:
        if origin_ns < 0:
            raise
    if origin_ns < 0:
        raise SessionFileError(f"session {str(path)!r} is empty")
    return origin_ns, evidence


def _markets(path: Path, venue: str, evidence: Evidence) -> dict[str, MktPair]:
    try:
        return evidence.mkts(venue)
    except (BadFqme, ValueError) as error:
        raise _nameless(path, error) from error


def _nameless(path: Path, error: Exception) -> SessionFileError:
    return SessionFileError(
        f"session {str(path)!r} has a market without a name: {error}"
    )


def _off_step(ticks: list[Tick], lots_per_unit: float) -> int:
    """Return how many of *ticks*, if they are trades, are not of whole lots."""
    if ticks[0].type != "trade":
        return 0
    return sum(not _is_whole(tick.size * lots_per_unit) for tick in ticks)


def _is_whole(lots: float) -> bool:
    return abs(lots - round(lots)) <= 1e-9 * lots + 1e-9
