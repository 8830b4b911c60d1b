"""IB's ticks as ticks of ours, one market's at a time; pure.

RawTicks, in order --Tape.take()--> Ticks: bids, asks, last, trades

========================= ==============================================================
77, reported trades       ``trade``
48, all trades            ``utrade``, if 77 doesn't tell it too: those that IB calls
                          unreportable, e.g. of odd lots or averaged prices
1, 2 with their sizes     ``bid``, ``ask``; 0 and 3, of the size alone: ``bsize``,
                          ``asize``
4                         ``last``
========================= ==============================================================

``dark_trade`` is for venues that say that a trade was made off the exchanges: IB's
ticks don't. Where 77 doesn't come, 48 is all there is, and its trades are ``trade``.

What IB lists of past trades has whole seconds and no ids, so a trade that is told live
is stamped so too: it is the same one wherever it is told. Its id is made here: the
second, and its place among the trades of that second, see `trade_id`.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import isfinite, isnan, nan
from typing import Final

from piker.brokers._parts import side_tick
from piker.errors import BadPayload
from piker.msgs import NS, Calendar, Tick

from ._line import RawTick
from ._schemas import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    CLOSE,
    DELAYED,
    LAST,
    LAST_TIME,
    RT_TRADE_VOLUME,
    RT_VOLUME,
    VOLUME,
    RtVolume,
    parse_epoch_s,
    parse_rt_volume,
)

#: Ids of one second.
IDS_A_SECOND: Final = 100_000
#: A trade of 48 that 77 hasn't told within so much of the stream's time it won't tell.
_ALONE_MS: Final = 2000
#: So many trades of 48 without any of 77: there are none of 77 in this market.
_NO_77: Final = 20
#: Trades of 77 that are remembered, to know them in 48 again.
_KNOWN_MAX: Final = 4096
#: A trade that is told twice by one kind is told again within so many.
_RECENT_MAX: Final = 32
#: Prices that, without a size, say that there is none: a last, a close.
_NONE: Final = (-1.0, 0.0)
#: The day's volume may be told in steps as coarse as this.
_SHORT: Final = 1e-6


def trade_id(second: int, place: int) -> int:
    """Return the id of the trade that is the *place*th of a second, from 0 on."""
    return second * IDS_A_SECOND + min(place, IDS_A_SECOND - 1)


@dataclass(eq=False)
class Ids:
    """Gives trades their stamps and ids, which never fall."""

    second: int = 0
    _place: int = 0

    def stamp(self, second: int) -> tuple[int, int]:
        """Return (time_ns, tid) of the next trade, told to be of *second*."""
        if second > self.second:
            self.second, self._place = second, 0
        tid = trade_id(self.second, self._place)
        self._place += 1
        return self.second * NS, tid


@dataclass(eq=False)
class Tape:
    """One market's ticks, from the start of a subscription.

    Attributes:
      by_middle: whether its trades aren't told at all: the middle of bid and ask is
        its price, and each change of that a trade of no size.
      is_index: whether each ``last`` is one of no size.
      calendar: its hours; nothing is made a trade of while it is closed.
      ids: of its trades; goes on over subscriptions.
      last: the newest price traded, or that IB calls the last; nan before the first.
      close: the last session's, nan if it isn't told.
      last_trade_s: when IB says that it traded last, epoch s; 0 if it doesn't say.
      short: how many gaps were seen since this was set to 0: trades that came out of
        order, or that IB's count of the day has and its ticks lack.
      was_short: whether any ever were.
      odd: ticks that couldn't be read.
      is_alone: whether 48 is all there is.
    """

    by_middle: bool = False
    is_index: bool = False
    calendar: Calendar = field(default_factory=Calendar)
    ids: Ids = field(default_factory=Ids)
    last: float = nan
    close: float = nan
    last_trade_s: int = 0
    short: int = 0
    was_short: bool = False
    odd: int = 0
    is_alone: bool = False
    _sides: dict[int, float] = field(default_factory=dict)
    _middle: float = nan
    _known: Counter[tuple[float, float, int]] = field(default_factory=Counter)
    _order: list[tuple[float, float, int]] = field(default_factory=list)
    _held: list[RtVolume] = field(default_factory=list)
    _only_48: int = 0
    _has_77: bool = False
    _alone_told: deque[tuple[float, float, int]] = field(
        default_factory=lambda: deque(maxlen=_RECENT_MAX)
    )
    _total: dict[int, float] = field(default_factory=dict)
    _recent: dict[int, deque[RtVolume]] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget what a new subscription tells anew, or what came in between."""
        self._sides.clear()
        self._known.clear()
        self._order.clear()
        self._held.clear()
        self._total.clear()
        self._middle = nan

    def take(self, raw: RawTick, now_ns: int) -> list[Tick]:
        """Return what a tick says, nothing if it is of no kind that matters.

        Args:
          raw: as it came.
          now_ns: when, ns since the epoch; of what IB gives no time of.
        """
        kind = DELAYED.get(raw.kind, raw.kind)
        if kind in {BID, ASK, BID_SIZE, ASK_SIZE}:
            return self._on_side(kind, raw, now_ns)
        if kind == LAST:
            return self._on_last(raw, now_ns)
        if kind == VOLUME:
            # a live one counts trades that are told, too
            return self._on_volume(raw.size, now_ns) if kind != raw.kind else []
        if kind == CLOSE and _is_price(raw.price) and raw.price not in _NONE:
            self.close = raw.price
        try:
            return self._on_text(kind, raw.text)
        except BadPayload:
            self.odd += 1
            return []

    def _on_text(self, kind: int, text: str) -> list[Tick]:
        if kind in {RT_VOLUME, RT_TRADE_VOLUME}:
            return self._on_trade(kind, parse_rt_volume(text))
        if kind == LAST_TIME:
            self.last_trade_s = parse_epoch_s(text)
        return []

    # -- bids and asks ----------------------------------------------------------------

    def _on_side(self, kind: int, raw: RawTick, now_ns: int) -> list[Tick]:
        is_bid = kind in {BID, BID_SIZE}
        side = BID if is_bid else ASK
        has_price = kind == side
        price = raw.price if has_price else self._sides.get(side, nan)
        size = raw.size if isfinite(raw.size) else 0.0
        # no size is no bid: IB tells a price of -1 or 0 with it
        if not _is_price(price) or size <= 0:
            if self._sides.pop(side, None) is None and not has_price:
                return []
            return [side_tick("bid" if is_bid else "ask", None, None, 0)]
        self._sides[side] = price
        if has_price:
            tick = Tick("bid" if is_bid else "ask", price, size)
        else:
            tick = Tick("bsize" if is_bid else "asize", price, size)
        return [tick, *self._on_middle(now_ns)]

    def _on_middle(self, now_ns: int) -> list[Tick]:
        """Return the trade of no size that a change of the middle is, where it is."""
        if not self.by_middle or len(self._sides) < 2:
            return []
        middle = (self._sides[BID] + self._sides[ASK]) / 2
        if middle == self._middle:
            return []
        self._middle = self.last = middle
        if not self.calendar.is_open(now_ns // NS):
            return []
        return [self._trade(middle, 0.0, now_ns // NS)]

    # -- trades -----------------------------------------------------------------------

    def _on_last(self, raw: RawTick, now_ns: int) -> list[Tick]:
        size = raw.size if isfinite(raw.size) else 0.0
        if not _is_price(raw.price) or (raw.price in _NONE and size <= 0):
            return []
        before, self.last = self.last, raw.price
        is_news = raw.price != before and self.calendar.is_open(now_ns // NS)
        if self.is_index and is_news:
            return [self._trade(raw.price, 0.0, now_ns // NS)]
        return [Tick("last", raw.price, size)]

    def _on_volume(self, total: float, now_ns: int) -> list[Tick]:
        """Return the trade that a day's volume shows, where trades aren't told."""
        if not isfinite(total):
            return []
        before = self._total.get(VOLUME)
        self._total[VOLUME] = total
        if before is None or total <= before or isnan(self.last):
            return []
        return [
            self._trade(self.last, total - before, self.last_trade_s or now_ns // NS)
        ]

    def _on_trade(self, kind: int, told: RtVolume) -> list[Tick]:
        if not _is_price(told.price) or not 0 < told.size < 1e300 or told.time_ms <= 0:
            self.odd += 1
            return []
        if self._is_told_again(kind, told):
            return []
        self._count(kind, told)
        is_reported = kind == RT_TRADE_VOLUME
        return self._on_reported(told) if is_reported else self._on_any(told)

    def _on_reported(self, told: RtVolume) -> list[Tick]:
        """Return what a trade of 77 is, nothing if 48 alone told it before."""
        key = told.price, told.size, told.time_ms
        self._note_77()
        self.last = told.price
        if key in self._alone_told:
            self._alone_told.remove(key)
            return []
        self._note_known(told)
        freed = self._alone(told.time_ms)
        return [*freed, self._trade(told.price, told.size, told.time_ms // 1000)]

    def _on_any(self, told: RtVolume) -> list[Tick]:
        """Return what a trade of 48 is, nothing if 77 told it or still may."""
        key = told.price, told.size, told.time_ms
        if self._known[key] > 0:
            self._known[key] -= 1
            return []
        self._only_48 += not self._has_77
        if self.is_alone or self._only_48 > _NO_77:
            return self._all_alone(told)
        self._held.append(told)
        return self._alone(told.time_ms)

    def _note_known(self, told: RtVolume) -> None:
        """Remember a reported trade; one that 48 told before is no other."""
        key = told.price, told.size, told.time_ms
        for at, held in enumerate(self._held):
            if (held.price, held.size, held.time_ms) == key:
                del self._held[at]
                return
        self._known[key] += 1
        self._order.append(key)
        if len(self._order) > _KNOWN_MAX:
            for old in self._order[: _KNOWN_MAX // 2]:
                self._known[old] -= 1
                if self._known[old] <= 0:
                    del self._known[old]
            del self._order[: _KNOWN_MAX // 2]

    def _alone(self, now_ms: int) -> list[Tick]:
        """Return trades of 48 that 77 should have told by now."""
        due = [one for one in self._held if one.time_ms + _ALONE_MS < now_ms]
        self._held = [one for one in self._held if one not in due]
        return [Tick("utrade", t.price, t.size, t.time_ms * 10**6) for t in due]

    def _all_alone(self, told: RtVolume) -> list[Tick]:
        """Return trades of a market that has none of 77."""
        if not self.is_alone:
            self.is_alone = True
            # those told for unreportable before were not
            self.short, self.was_short = self.short + 1, True
        found = [*self._held, told]
        self._held = []
        self.last = told.price
        self._alone_told.extend((t.price, t.size, t.time_ms) for t in found)
        return [self._trade(t.price, t.size, t.time_ms // 1000) for t in found]

    def _note_77(self) -> None:
        """Take note that a market has trades of 77, though it had none for long."""
        self._has_77, self._only_48 = True, 0
        if self.is_alone:
            self.is_alone = False
            # those told for reported ones before were not, maybe
            self.short, self.was_short = self.short + 1, True

    def flush(self, now_ms: int) -> list[Tick]:
        """Return the trades of 48 that nothing was told of for a while."""
        return self._alone(now_ms)

    def _is_told_again(self, kind: int, told: RtVolume) -> bool:
        """Whether the very same was told before: a day's volume never stands still."""
        recent = self._recent.setdefault(kind, deque(maxlen=_RECENT_MAX))
        if told.total > 0 and told in recent:
            return True
        recent.append(told)
        return False

    def _count(self, kind: int, told: RtVolume) -> None:
        """Compare a day's volume with the trades: IB may tell less than there were."""
        before = self._total.get(kind)
        self._total[kind] = told.total
        if before is None or kind != (RT_VOLUME if self.is_alone else RT_TRADE_VOLUME):
            return
        if told.total - before > told.size + _SHORT * told.total or told.total < before:
            self.short, self.was_short = self.short + 1, True

    def _trade(self, price: float, size: float, second: int) -> Tick:
        time_ns, tid = self.ids.stamp(second)
        return Tick("trade", price, size, time_ns, tid)


def _is_price(price: float) -> bool:
    return isfinite(price) and abs(price) < 1e300
