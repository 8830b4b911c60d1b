"""Live markets as a table: what quotes say, and the last closes of their 1 s bars.

Pure but for the reading of shared bars: fed by messages, asked for a view.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from piker.errors import ShmError
from piker.msgs import (
    NS,
    Disconnected,
    Ended,
    FeedEvent,
    FeedMsg,
    HistoryProgress,
    Quote,
    Reconnected,
    Warned,
)

from ._show import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from piker.data import Feed, Flume

_LEVELS = " ▁▂▃▄▅▆▇█"
_EVENTS_SHOWN = 4
_SPARK_WIDTH = 24
_SPARK_MIN_WIDTH = 10
#: Width of the columns of numbers, with what separates them.
_NUMBERS_WIDTH = 66


@dataclass
class _Row:
    """One market as its quotes tell it."""

    first: float = math.nan
    last: float = math.nan
    before: float = math.nan
    bid: tuple[float, float] = (math.nan, 0.0)
    ask: tuple[float, float] = (math.nan, 0.0)
    trades: int = 0
    trouble: str = ""

    def take(self, quote: Quote) -> None:
        for tick in quote.ticks:
            if tick.type == "bid":
                self.bid = (tick.price, tick.size)
            elif tick.type == "ask":
                self.ask = (tick.price, tick.size)
            elif tick.type in {"trade", "dark_trade"}:
                self.trades += tick.count
        self.trades += quote.missed
        if not math.isnan(quote.last) and quote.last != self.last:
            self.before, self.last = self.last, quote.last
            if math.isnan(self.first):
                self.first = quote.last


@dataclass(eq=False)
class Board:
    """The markets of a feed on a terminal.

    Attributes:
      feed: whose markets they are.
      quotes: how many were taken.
    """

    feed: Feed
    quotes: int = 0
    _rows: dict[str, _Row] = field(default_factory=dict)
    _events: deque[FeedEvent] = field(
        default_factory=lambda: deque(maxlen=_EVENTS_SHOWN)
    )

    def __post_init__(self) -> None:
        for fqme, flume in self.feed.flumes.items():
            self._rows[fqme] = _Row()
            self._rows[fqme].take(flume.first_quote)

    def take(self, item: FeedMsg) -> None:
        """Take a message of the feed."""
        if isinstance(item, Quote):
            self.quotes += 1
            self._rows[item.fqme].take(item)
            return
        if isinstance(item, HistoryProgress):
            return  # `piker services` tells it
        self._events.append(item)
        for fqme in item.fqmes:
            if not isinstance(item, Warned) and fqme in self._rows:
                self._rows[fqme].trouble = _trouble(item)

    def view(self, width: int) -> RenderableType:
        """Return all markets as a table *width* wide, the newest events below it."""
        longest = max(len(_label(*item)) for item in self._rows.items())
        room = width - longest - _NUMBERS_WIDTH
        spark_width = min(_SPARK_WIDTH, room) if room >= _SPARK_MIN_WIDTH else 0
        table = new_board_table(spark_width)
        for fqme, row in self._rows.items():
            table.add_row(*self._cells(fqme, row, spark_width))
        return Group(table, *map(event_line, self._events))

    def chart(self, fqme: str, width: int, rows: int) -> RenderableType:
        """Return the last 1 s closes of a market, *rows* lines below a head."""
        flume = self.feed.flumes[fqme]
        closes = _closes(flume, width)
        digits = flume.mkt.price_digits
        low, high = (min(closes), max(closes)) if closes else (math.nan, math.nan)
        head = f"the last {len(closes)} closes of 1 s bars, from {_price(low, digits)}"
        return Group(
            Text(f"{head} to {_price(high, digits)}", style="dim"),
            Text("\n".join(spark(closes, width, rows)), style="cyan"),
        )

    def _cells(self, fqme: str, row: _Row, spark_width: int) -> list[Text]:
        flume = self.feed.flumes[fqme]
        digits = flume.mkt.price_digits
        cells = [
            Text(_label(fqme, row), style="red" if row.trouble else ""),
            Text(_price(row.last, digits), style=_way(row.last - row.before)),
            Text(_percent(row.first, row.last), style=_way(row.last - row.first)),
            Text(_price(row.bid[0], digits)),
            Text(_price(row.ask[0], digits)),
            Text(f"{row.trades:,}"),
        ]
        if spark_width > 0:
            closes = _closes(flume, spark_width)
            cells.append(Text(spark(closes, spark_width, 1)[0], style="cyan"))
        return cells


def new_board_table(spark_width: int) -> Table:
    """Return the empty table of markets; without sparklines if there's no room."""
    numbers = ("last", "change", "bid", "ask", "trades")
    more = ("1 s closes",) if spark_width > 0 else ()
    table = new_table("market", *numbers, *more, right=numbers)
    for at, name in enumerate(numbers, 1):
        table.columns[at].min_width = 7 if name in {"change", "trades"} else 10
    return table


def event_line(event: FeedEvent) -> Text:
    """Return an event of a feed as a line."""
    at = datetime.fromtimestamp(event.time_ns / NS, UTC)
    kind = type(event).__name__.lower()
    if isinstance(event, Reconnected):
        many = "an unknown number of" if event.missed < 0 else f"{event.missed:,}"
        text, style = f"{many} trades refetched into the bars", "green"
    else:
        text, style = event.reason, "yellow" if isinstance(event, Warned) else "red"
    names = ", ".join(event.fqmes)
    return Text.assemble((f"{at:%H:%M:%S} ", "dim"), (kind, style), f" {names}: {text}")


def spark(values: Sequence[float], width: int, rows: int) -> list[str]:
    """Return *values*, the newest *width* of them, as bars of block characters.

    Args:
      values: oldest first; ``nan`` leaves a gap.
      width: characters a line; what is missing is blank, on the left.
      rows: lines, each has 8 steps.
    """
    shown = list(values)[-width:]
    known = [value for value in shown if not math.isnan(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    steps = 8 * rows
    heights = [_height(value, low, high, steps) for value in shown]
    lines = []
    for row in reversed(range(rows)):
        cells = (_LEVELS[max(0, min(8, height - 8 * row))] for height in heights)
        lines.append("".join(cells).rjust(width))
    return lines


def _height(value: float, low: float, high: float, steps: int) -> int:
    """Return 1..*steps*; half of it if all values are one, 0 for no value."""
    if math.isnan(value):
        return 0
    if high == low:
        return steps // 2
    return 1 + round((value - low) / (high - low) * (steps - 1))


def _closes(flume: Flume, n: int) -> list[float]:
    try:
        return [float(close) for close in flume.rt_shm.last(n).close]
    except ShmError:
        return []  # its writer is just being replaced: the next look has them


def _label(fqme: str, row: _Row) -> str:
    return f"{fqme} {row.trouble}" if row.trouble else fqme


def _trouble(event: FeedEvent) -> str:
    if isinstance(event, Disconnected):
        return "no source"
    return "ended" if isinstance(event, Ended) else ""


def _price(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _percent(first: float, last: float) -> str:
    if math.isnan(first) or math.isnan(last) or not first:
        return "-"
    return f"{(last / first - 1) * 100:+.2f}%"


def _way(change: float) -> str:
    if math.isnan(change) or not change:
        return ""
    return "green" if change > 0 else "red"
