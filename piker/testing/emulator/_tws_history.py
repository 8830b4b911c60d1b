"""Requests for history: bars, ticks, when it began.

By https://interactivebrokers.github.io/tws-api/{historical_bars,
historical_time_and_sales,head_timestamp}.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio

from piker.msgs import Calendar

from ._tws_fields import Fields, Wrong, invalid
from ._tws_kinds import Listed
from ._tws_past import (
    WHATS,
    Bar,
    Past,
    Quoted,
    TapePast,
    Traded,
    What,
    middle,
    page_from,
    page_upto,
)
from ._tws_times import DAY_S, bar_size, day_stamp, duration, stamp, time_of
from ._tws_wire import number

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

_SAID: Final = "Historical Market Data Service error message:"
_MOST_TICKS: Final = 1000
_MOST_BARS: Final = {1: 2000, 5: 20_000}  # by the seconds of a bar
_FARM: Final = "ushmds"


class _Asked(NamedTuple):
    """A request for bars."""

    listed: Listed
    what: What
    period_s: int
    start_s: int
    end_s: int
    is_liquid: bool
    form: int


@dataclass
class History:
    """Answers them.

    Attributes:
      takes_s: how long an answer takes.
      pasts: of markets whose past isn't the tape's.
    """

    venue: Tws
    takes_s: float = 0.0
    pasts: dict[Listed, Past] = field(default_factory=dict)

    def past(self, listed: Listed) -> Past | None:
        """Return what is known of a contract's past, None if that is nothing."""
        if listed not in self.pasts and listed.market is not None:
            books = self.venue.books[listed.market]
            now_ms = self.venue.now_ms
            self.pasts[listed] = TapePast(listed, listed.market, books, now_ms)
        return self.pasts.get(listed)

    def _now_s(self, listed: Listed) -> int:
        """Return when the next second of a contract's past begins."""
        past = self.past(listed)
        known_s = past.newest_s() if past is not None else 0
        return known_s or -(-self.venue.now_ms() // 1000)

    def _answer(
        self, session: Session, kind: str, req_id: int,
        make: Callable[[], Iterator[list[Any]]],
    ) -> None:  # fmt: skip
        session.answer(kind, req_id, make, after_s=self.takes_s, farm=_FARM)

    # -- bars ---------------------------------------------------------------------

    def bars(self, session: Session, fields: Fields) -> None:
        """Do ``reqHistoricalData``."""
        req_id = fields.request()
        request = tuple(fields.peek())
        listed = self.venue.contract(fields)
        asked = self._asked(listed, fields)
        if len(session.pending) >= self.venue.limits.open_history:
            raise Wrong(
                322,
                "Error processing request.-'bZ' : cause - Only 50 simultaneous API"
                " historical data requests allowed.",
            )
        kind = (listed.con_id, listed.exchanges[0], asked.what)
        self._count(asked.period_s, kind, request)
        make = partial(self._rows, req_id, asked)
        self._answer(session, "bars", req_id, make)

    def _count(
        self, period_s: int, kind: tuple[int, str, str], request: tuple[str, ...]
    ) -> None:
        try:
            self.venue.pacing.count(trio.current_time(), period_s, kind, request)
        except Wrong:
            self.venue.core.stats.limited += 1
            raise

    def _asked(self, listed: Listed, fields: Fields) -> _Asked:
        fields.skip()  # expired ones are never listed
        end_text, period_s = fields.text(), bar_size(fields.text())
        length_s, is_liquid = duration(fields.text()), fields.flag()
        what, form = _what(listed, fields.text()), fields.whole(1)
        if fields.flag():
            raise invalid("bars that are kept up to date aren't emulated")
        end_s = time_of(end_text, listed.zone) if end_text else self._now_s(listed)
        most = next(
            (most for upto, most in _MOST_BARS.items() if period_s <= upto), None
        )
        if most is not None and length_s > most * period_s:
            raise Wrong(162, f"{_SAID}invalid step: {period_s}")
        start_s = max(0, end_s - length_s)
        return _Asked(listed, what, period_s, start_s, end_s, is_liquid, form)

    def _rows(self, req_id: int, asked: _Asked) -> Iterator[list[Any]]:
        listed, form = asked.listed, asked.form
        found = self._wrong(self._found(asked), asked)
        if not found:
            exchange, what = listed.exchanges[0], asked.what.capitalize()
            text = f"HMDS query returned no data: {listed.local}@{exchange} {what}"
            raise Wrong(162, f"{_SAID}{text}")
        row: list[Any] = [
            17, req_id, stamp(asked.start_s, 1, listed.zone),
            stamp(asked.end_s, 1, listed.zone), len(found),
        ]  # fmt: skip
        for bar in found:
            at = (
                day_stamp(bar.time_s)
                if asked.period_s >= DAY_S
                else stamp(bar.time_s, form, listed.zone)
            )
            row += [at, *map(number, bar[1:7]), bar.trades]
        yield row

    def _found(self, asked: _Asked) -> list[Bar]:
        past = self.past(asked.listed)
        if past is None:
            return []
        period_s = asked.period_s
        start_s = -(-asked.start_s // period_s) * period_s
        found = past.bars(asked.what, period_s, start_s, asked.end_s)
        liquid = asked.listed.liquid
        if asked.is_liquid and liquid.weekly and period_s < DAY_S:
            found = [bar for bar in found if liquid.is_open(bar.time_s)]
        return found

    def _wrong(self, bars: list[Bar], asked: _Asked) -> list[Bar]:
        """Return *bars*, as wrong as a fault wants them."""
        fault = self.venue.core.faults.bars()
        match fault.how if fault else "":
            case "reversed":
                return [*bars[::-1], *bars[:3]]
            case "repeated":
                later_s = self._now_s(asked.listed) - asked.end_s
                start_s, end_s = asked.start_s + later_s, asked.end_s + later_s
                return self._found(asked._replace(start_s=start_s, end_s=end_s))
            case "overlap":
                first_s = asked.start_s - 10 * asked.period_s
                return self._found(asked._replace(start_s=first_s))
            case "cut":
                bars = bars[: -(-len(bars) // 2)]
            case "odd":
                bars[1::3] = map(_odd, bars[1::3])
            case "empty":
                bars = []
        return bars

    def cancel(self, session: Session, fields: Fields) -> None:
        """Do ``cancelHistoricalData``."""
        req_id = fields.skip().request()
        scope = session.pending.pop(req_id, None)
        if scope is None:
            text = f"No historical data query found for ticker id:{req_id}"
            raise Wrong(366, text)
        scope.cancel()
        text = f"{_SAID}API historical data query cancelled: {req_id}"
        session.error(req_id, 162, text)

    # -- when it began ------------------------------------------------------------

    def head(self, session: Session, fields: Fields) -> None:
        """Do ``reqHeadTimeStamp``."""
        req_id = fields.request()
        listed = self.venue.contract(fields)
        fields.skip(2)
        _what(listed, fields.text())
        form = fields.whole(1)
        self._answer(session, "head", req_id, partial(self._head, req_id, listed, form))

    def _head(self, req_id: int, listed: Listed, form: int) -> Iterator[list[Any]]:
        past = self.past(listed)
        first_s = past.first_s() if past is not None else None
        if first_s is None:
            raise Wrong(162, f"{_SAID}No head time stamp")
        at = str(first_s) if form == 2 else stamp(first_s, 1, "UTC")
        yield [88, req_id, at.removesuffix(" UTC").replace(" ", "-")]

    # -- ticks --------------------------------------------------------------------

    def ticks(self, session: Session, fields: Fields) -> None:
        """Do ``reqHistoricalTicks``."""
        req_id = fields.request()
        request = tuple(fields.peek())
        listed = self.venue.contract(fields)
        fields.skip()
        start, end, count = fields.text(), fields.text(), fields.whole()
        what = _what(listed, fields.text())
        if bool(start) == bool(end):
            raise invalid("Please specify one of start or end time")
        if not 1 <= count <= _MOST_TICKS or what in ("BID", "ASK"):
            raise invalid(f"no {count} ticks of {what} can be had at once")
        at_s = time_of(start or end, listed.zone)
        self._count(0, (listed.con_id, listed.exchanges[0], what), request)
        page = partial(page_from if start else page_upto, at_s=at_s, count=count)
        make = partial(self._ticks, req_id, listed, what, page)
        self._answer(session, "ticks", req_id, make)

    def _ticks(
        self, req_id: int, listed: Listed, what: What, page: Callable[..., Any]
    ) -> Iterator[list[Any]]:
        past = self.past(listed)
        row: list[Any] = []
        cut = partial(_one_session, listed.hours)
        if what == "TRADES":
            trades: list[Traded] = cut(page(past.trades())) if past else []
            for one in trades:
                row += [one.time_s, 0, number(one.price), number(one.size),
                        one.exchange, one.conditions]  # fmt: skip
            yield [98, req_id, len(trades), *row, 1]
            return
        quotes: list[Quoted] = cut(page(past.quotes())) if past else []
        for each in quotes:
            if what == "MIDPOINT":
                row += [each.time_s, 0, number(middle(each)), 0]
            else:
                row += [each.time_s, 0, *map(number, each[1:])]
        yield [96 if what == "MIDPOINT" else 97, req_id, len(quotes), *row, 1]


def _what(listed: Listed, text: str) -> What:
    """Return what is to be shown; raises Wrong."""
    found = next((one for one in WHATS if one == text), None)
    if found is None:
        raise invalid(f"{text!r} isn't emulated as what to show")
    if found == "TRADES" and not listed.has_trades:
        at = f"{listed.local}@{listed.exchanges[0]}"
        raise Wrong(162, f"{_SAID}HMDS query returned no data: {at} Trades")
    return found


def _one_session(hours: Calendar, ticks: list[Any]) -> list[Any]:
    """Return ticks up to the end of a session: none are told of two at once."""
    if not ticks or not hours.weekly:
        return ticks
    first_s = ticks[0].time_s
    is_other = [
        hours.open_seconds(first_s, one.time_s) < one.time_s - first_s for one in ticks
    ]
    return ticks[: is_other.index(True)] if any(is_other) else ticks


def _odd(bar: Bar) -> Bar:
    """Return *bar* as no bar can be."""
    if bar.time_s % 2:
        return bar._replace(high=bar.low, low=bar.high + 1)
    return bar._replace(close=-1.0)
