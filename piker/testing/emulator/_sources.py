"""Where a tape comes from: recorded sessions, or sim's generator.

ticks of a market --Collector--> prints and books, in order of their due time
"""

from __future__ import annotations

import gc
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from math import isnan
from pathlib import Path
from typing import Any, Final

from piker.brokers.sim._sessions import Batch, Session, open_session
from piker.brokers.sim._shape import SimMarket
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.errors import UsageError
from piker.msgs import Tick
from piker.tsp import fill_gaps

from ._tape import LOTS, Book, Item, Market, Print, Tape

_MS: Final = 1_000_000


# -- recorded sessions ------------------------------------------------------------


def tape_of_sessions(paths: Iterable[Path], *, past_s: float = 0) -> Tape:
    """Return the tape of recorded sessions, played together by their stamps.

    The venue's clock is the recorder's less the least delay seen, so that no trade is
    stamped later than the clock at which it passes.

    Args:
      paths: files of sessions; each market may be in one of them only.
      past_s: how much of it has passed before the start, seconds.

    Raises:
      SessionFileError: if one can't be read.
      UsageError: if two hold the same market.
    """
    paths = list(paths)
    known = _read.pop(_named(paths, past_s), None) if _read else None
    return known or _read_tape(paths, past_s)


#: Tapes that nobody plays yet, by what they were read from.
_read: dict[tuple[Any, ...], Tape] = {}
_READ_MOST: Final = 8


def read_ahead(paths: Iterable[Path], *, past_s: float = 0) -> None:
    """Have the tape of recorded sessions ready for processes forked from now on.

    Raises:
      SessionFileError: as `tape_of_sessions` does, of which the next call in this
        process takes the tape.
    """
    paths = list(paths)
    name = _named(paths, past_s)
    if name not in _read:
        while len(_read) >= _READ_MOST:
            del _read[next(iter(_read))]
        _read[name] = _read_tape(paths, past_s)
        gc.freeze()  # no fork's collector is to look at it, which would unshare it


def _named(paths: list[Path], past_s: float) -> tuple[Any, ...]:
    """Return what tells a tape from others: its files as they are, and its past."""
    found = []
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return (past_s, *found)


def _read_tape(paths: list[Path], past_s: float) -> Tape:
    sessions = [open_session(path) for path in paths]
    mkts = [mkt for session in sessions for mkt in session.mkts.values()]
    names = [mkt.bs_mktid for mkt in mkts]
    if len(set(names)) < len(names):
        raise UsageError(f"two of the sessions hold the same market: {sorted(names)}")
    batches = list(heapq.merge(*map(Session.batches, sessions)))
    late_ns = min(
        (batch.receive_ns - tick.time_ns for batch in batches for tick in batch.ticks
         if tick.type == "trade"),
        default=0,
    )  # fmt: skip
    firsts = _first_tids(batches)
    markets = {
        mkt.fqme: Market(mkt, firsts.get(mkt.fqme, 0) // 2 + 1, firsts.get(mkt.fqme, 1))
        for mkt in mkts
    }
    items = sorted(_collect(markets, batches, late_ns), key=lambda item: item.due_ns)
    origin_ns = min(session.origin_ns for session in sessions) - late_ns
    tape = Tape(markets, deque(items), origin_ns + int(past_s * 1e9))
    tape.take_due(tape.origin_ns - 1)
    return tape


def _first_tids(batches: list[Batch]) -> dict[str, int]:
    first: dict[str, int] = {}
    for batch in batches:
        for tick in batch.ticks:
            if tick.type == "trade":
                first.setdefault(batch.fqme, tick.tid)
    return first


def _collect(
    markets: dict[str, Market], batches: list[Batch], late_ns: int
) -> Iterator[Item]:
    collectors = {fqme: Collector(market) for fqme, market in markets.items()}
    for batch in batches:
        yield from collectors[batch.fqme].add(batch.receive_ns - late_ns, batch.ticks)
    yield from chain.from_iterable(one.close() for one in collectors.values())


# -- sim's generator --------------------------------------------------------------


class SimPast:
    """What a market of ``sim`` did before its tape; made when it is asked for."""

    def __init__(self, source: Synthetic, end_ns: int, length_s: float) -> None:
        self.source = source
        self.end_ms = end_ns // _MS
        self.start_ms = self.end_ms - int(length_s * 1000)

    def bars(
        self, period_s: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, float, float, float, float, float, int]]:
        """Yield rows of OHLCV, flat ones too, as the venues have them."""
        step_ms = period_s * 1000
        first_ms = -(-max(start_ms, self.start_ms) // step_ms) * step_ms
        if first_ms >= end_ms:
            return
        warm_ms = first_ms - 3_600_000  # for the close that a flat bar has
        bars = self.source.bars(warm_ms * _MS, end_ms * _MS, period_s)
        if len(bars):
            end_s = -(-end_ms // step_ms) * period_s
            bars = fill_gaps(bars, period_s, until_s=end_s)
        for row in bars[bars["time"] >= first_ms // 1000]:
            yield row.item()


class LiveTape(Tape):
    """Markets of ``sim`` as the wall clock goes, stamped now."""

    is_live = True

    def __init__(
        self,
        fqmes: Iterable[str],
        past_s: float,
        skew_ms: int = 0,
        history_s: float = 0.0,
        find: Callable[[str], SimMarket] = find_market,
    ) -> None:
        now_ns = (time.time_ns() // _MS + skew_ms) * _MS
        start_ns = now_ns - int(past_s * 1e9)
        found = [find(name) for name in fqmes]
        # ids rise from one run to the next: a market has less than 16 trades a second
        first = start_ns // 1_000_000_000 * 16
        markets = {one.fqme: Market(one.mkt, first, first) for one in found}
        super().__init__(markets, deque(), start_ns)
        self._sources = [
            (Synthetic(one), Collector(markets[one.fqme])) for one in found
        ]
        if history_s:
            for market, (source, _) in zip(
                markets.values(), self._sources, strict=True
            ):
                market.older = SimPast(source, start_ns, history_s)
        self._made_ns = start_ns
        self.take_due(now_ns)

    @property
    def is_done(self) -> bool:
        """Never."""
        return False

    def refill(self, now_ns: int) -> None:
        """Make all that is due up to *now_ns*, to whole milliseconds."""
        to_ns = now_ns // _MS * _MS
        if to_ns <= self._made_ns:
            return
        made: list[Item] = []
        for source, collector in self._sources:
            for tick in source.ticks(self._made_ns, to_ns):
                made += collector.add(tick.time_ns, [tick])
            made += collector.close()
        self.items += sorted(made, key=lambda item: item.due_ns)
        self._made_ns = to_ns


# -- from ticks to items ---------------------------------------------------------


class Collector:
    """Turns one market's ticks into items, in their order.

    A print is out once the trade after it, or `close`, shows that it is whole.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._agg_id = market.first_agg_id
        self._tid = market.first_tid
        self._update_id = market.first_tid * 8
        self._time_ms = self._nth = 0
        self._open: tuple[float, int, int] | None = None  # price, side, ms
        self._lots: list[int] = []
        self._due_ns = 0
        self._bid: Tick | None = None

    def add(self, due_ns: int, ticks: list[Tick]) -> Iterator[Item]:
        """Take *ticks*, yield what is whole by them."""
        for tick in ticks:
            if tick.type == "trade":
                yield from self._add_trade(due_ns, tick)
            elif tick.type == "bid":
                self._bid = tick
            elif tick.type == "ask" and self._bid is not None:
                yield self._book(due_ns, self._bid, tick)

    def close(self) -> Iterator[Print]:
        """Yield the open print, if there is one."""
        if self._open is None:
            return
        price, side, time_ms = self._open
        self._nth = self._nth + 1 if time_ms == self._time_ms else 0
        self._time_ms = time_ms
        yield Print(
            self.market,
            self._due_ns,
            time_ms,
            self._nth,
            price,
            side,
            self._agg_id,
            self._tid,
            tuple(self._lots),
            sum(self._lots),
        )
        self._agg_id += 1
        self._tid += len(self._lots)
        self._open, self._lots = None, []

    def _add_trade(self, due_ns: int, tick: Tick) -> Iterator[Print]:
        time_ms = max(tick.time_ns // _MS, self._open[2] if self._open else 0)
        key = (tick.price, tick.side, max(time_ms, self._time_ms))
        if self._open != key:
            yield from self.close()
            self._open = key
        self._due_ns = due_ns
        self._lots.append(round(tick.size * LOTS))

    def _book(self, due_ns: int, bid: Tick, ask: Tick) -> Book:
        self._update_id += 1
        time_ms = ask.time_ns // _MS or due_ns // _MS
        return Book(
            self.market,
            due_ns,
            time_ms,
            self._update_id,
            0.0 if isnan(bid.price) else bid.price,
            bid.size,
            0.0 if isnan(ask.price) else ask.price,
            ask.size,
        )
