"""Trades of a recording in the order of their serials, each once.

frames as recorded --put--> parts in order; what comes after a hole waits for it
Begun              --heed-> what waited for trades that won't come
end of the file    --rest-> what still waits
"""

from __future__ import annotations

from piker.brokers._parts import Part
from piker.brokers._sequence import Sequence
from piker.brokers._session_notes import Begun, Dropped, Note

#: So many parts wait at most: then their hole is given up.
_HELD_MAX = 300_000


class Mender:
    """Puts the trades of all markets of a session in order, as it is played.

    Attributes:
      lost: serials that never came.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._by_symbol: dict[str, Sequence] = {}
        self._since_ns: dict[str, int] = {}

    def put(self, parts: list[Part]) -> list[Part]:
        """Take what a frame says; return what is to be played now."""
        ready: list[Part] = []
        for part in parts:
            if part.first < 0:
                ready.append(part)
                continue
            seq = self._sequence(part.symbol)
            seq.push(part, ready)
            if seq.held > _HELD_MAX:
                ready += self._start(seq, seq.lowest)
        return self._wanted(ready) if self._since_ns else ready

    def heed(self, note: Note) -> list[Part]:
        """Take a note; return what is to be played now."""
        if isinstance(note, Dropped):
            self._sequence(note.symbol).drop_held(note.serials)
        if not isinstance(note, Begun):
            return []
        if note.since_ns:
            self._since_ns.setdefault(note.symbol, note.since_ns)
        return self._wanted(self._start(self._sequence(note.symbol), note.serial))

    def rest(self) -> list[Part]:
        """Return what still waits: the recording ended before its hole was mended."""
        ready: list[Part] = []
        for seq in self._by_symbol.values():
            while seq.held:
                ready += self._start(seq, seq.lowest)
        return self._wanted(ready)

    def _sequence(self, symbol: str) -> Sequence:
        seq = self._by_symbol.get(symbol)
        if seq is None:
            seq = self._by_symbol[symbol] = Sequence()
        return seq

    def _start(self, seq: Sequence, serial: int) -> list[Part]:
        if 0 <= seq.expect < serial:
            self.lost += serial - seq.expect
        return seq.start_at(serial)

    def _wanted(self, parts: list[Part]) -> list[Part]:
        """Leave out trades from before the recording's beginning."""
        since = self._since_ns
        return [
            part._replace(ticks=[t for t in part.ticks if t.time_ns >= least_ns])
            if part.first >= 0
            and (least_ns := since.get(part.symbol, 0))
            and part.ticks
            and part.ticks[0].time_ns < least_ns
            else part
            for part in parts
        ]
