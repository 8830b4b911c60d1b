"""What a recorded session holds: read from its first line to its last, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from piker.brokers._session_notes import Done, Down, Gone, Note, Up
from piker.errors import SessionFileError
from piker.types import Struct

from ._sessions import Batch, PlayReport, Session, open_session


class Gap(Struct, frozen=True, kw_only=True):
    """A time in which the recorder lacked frames of a market.

    Attributes:
      fqme: the market, as it is played.
      reason: why, one sentence.
      from_ns: when it was noticed, ns since the epoch.
      to_ns: when all that was missed had been fetched; 0: it never was.
    """

    fqme: str
    reason: str
    from_ns: int
    to_ns: int = 0


class MarketInfo(Struct, frozen=True, kw_only=True):
    """One market of a session.

    Attributes:
      fqme: its name as it is played.
      trades: single trades, those that stand for several counted so.
      first_ns: the venue's stamp of the first, ns since the epoch; 0 if there is none.
      last_ns: of the last.
      gone: why nothing more comes of it; empty while it goes on, or ends with the file.
    """

    fqme: str
    trades: int = 0
    first_ns: int = 0
    last_ns: int = 0
    gone: str = ""


class SessionInfo(Struct, frozen=True, kw_only=True):
    """What a session file holds.

    Attributes:
      path: the file.
      venue: where it was recorded.
      file_bytes: its size.
      frames: whole ones.
      bad: of them say nothing that the venue documents.
      first_ns: receive stamp of the first, ns since the epoch; 0 if there is none.
      last_ns: of the last.
      markets: in order of appearance.
      gaps: in order.
      lost: trades that were missed and never fetched.
      torn: why it ends, or breaks, too early; empty if it doesn't.
      in_order: whether its recorder ended in order, as far as it says.
    """

    path: str
    venue: str
    file_bytes: int
    frames: int
    bad: int
    first_ns: int
    last_ns: int
    markets: tuple[MarketInfo, ...]
    gaps: tuple[Gap, ...]
    lost: int
    torn: str
    in_order: bool


def session_info(path: str | Path) -> SessionInfo:
    """Return what a session file holds; reads all of it.

    Raises:
      SessionFileError: it can't be read, or is no session.
    """
    path = Path(path)
    session = open_session(path)
    report, seen, torn = PlayReport(), _Seen(session), ""
    try:
        for item in session.records(report):
            seen.take(item)
    except SessionFileError as error:
        torn = str(error)
    return SessionInfo(
        path=str(path),
        venue=session.venue,
        file_bytes=path.stat().st_size,
        frames=report.frames,
        bad=report.bad,
        first_ns=session.origin_ns,
        last_ns=report.last_ns,
        markets=tuple(MarketInfo(fqme=k, **vars(v)) for k, v in seen.markets.items()),
        gaps=tuple(seen.gaps),
        lost=report.lost,
        torn=torn,
        in_order=seen.in_order,
    )


@dataclass
class _Tally:
    trades: int = 0
    first_ns: int = 0
    last_ns: int = 0
    gone: str = ""


class _Seen:
    """What was met so far."""

    def __init__(self, session: Session) -> None:
        self.markets = {fqme: _Tally() for fqme in session.fqmes}
        self.gaps: list[Gap] = []
        self.in_order = False
        self._fqmes = {symbol: mkt.fqme for symbol, mkt in session.mkts.items()}
        self._open: dict[str, int] = {}

    def take(self, item: Batch | Note) -> None:
        """Count a batch, or heed a note."""
        if isinstance(item, Batch):
            self._count(item)
        elif isinstance(item, Down):
            self._begin_gap(item)
        elif isinstance(item, Up):
            for symbol in item.symbols:
                self._end_gap(symbol, item.time_ns)
        elif isinstance(item, Gone):
            self._end_markets(item)
        elif isinstance(item, Done):
            self.in_order = True

    def _count(self, batch: Batch) -> None:
        tally = self.markets[batch.fqme]
        for tick in batch.ticks:
            if tick.type == "trade":
                tally.trades += tick.count
                tally.first_ns = tally.first_ns or tick.time_ns
                tally.last_ns = max(tally.last_ns, tick.time_ns)

    def _begin_gap(self, down: Down) -> None:
        """Begin a gap of each market; one that goes on under another name is one."""
        for symbol in down.symbols:
            if symbol in self._fqmes and symbol not in self._open:
                self._open[symbol] = len(self.gaps)
                self.gaps.append(
                    Gap(
                        fqme=self._fqmes[symbol],
                        reason=down.reason,
                        from_ns=down.time_ns,
                    )
                )

    def _end_markets(self, gone: Gone) -> None:
        for symbol in gone.symbols:
            if symbol in self._fqmes:
                self.markets[self._fqmes[symbol]].gone = gone.reason

    def _end_gap(self, symbol: str, time_ns: int) -> None:
        at = self._open.pop(symbol, None)
        if at is not None:
            self.gaps[at] = msgspec.structs.replace(self.gaps[at], to_ns=time_ns)
