"""What happened, as bars and as ticks: of the tape, and from before it.

prints that passed --> TRADES;  quotes that passed --> BID, ASK, MIDPOINT, BID_ASK
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, Protocol

from ._candles import Candle, candles
from ._tape import LOTS, Book, Market
from ._tws_kinds import Listed

What = Literal["TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK"]
WHATS: Final[tuple[What, ...]] = ("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK")


class Bar(NamedTuple):
    """One bar; volume, average and trades are -1 where they aren't of trades."""

    time_s: int
    open: float
    high: float
    low: float
    close: float
    volume: float = -1
    average: float = -1
    trades: int = -1


class Traded(NamedTuple):
    """One trade."""

    time_s: int
    price: float
    size: float
    exchange: str = ""
    conditions: str = ""


class Quoted(NamedTuple):
    """A best bid and ask."""

    time_s: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class Past(Protocol):
    """What is known of a contract's past."""

    def first_s(self) -> int | None:
        """Return when it began, None if nothing is known."""
        ...

    def newest_s(self) -> int:
        """Return up to when it is known, 0 where that is the venue's clock."""
        ...

    def bars(self, what: What, period_s: int, start_s: int, end_s: int) -> list[Bar]:
        """Return the bars that begin in start <= time < end."""
        ...

    def trades(self) -> list[Traded]:
        """Return all trades, the oldest first."""
        ...

    def quotes(self) -> list[Quoted]:
        """Return all quotes, the oldest first."""
        ...


class TapePast:
    """What passed of a market of the tape; see `Past`.

    Args:
      listed: whose.
      market: likewise.
      books: that passed.
      now_ms: the venue's clock.
    """

    def __init__(
        self, listed: Listed, market: Market, books: list[Book],
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._listed, self._market, self._books = listed, market, books
        self._now_ms = now_ms

    def first_s(self) -> int | None:
        """See `Past`."""
        older = self._market.older
        if older is not None:
            start_ms: int = getattr(older, "start_ms", older.end_ms)
            return start_ms // 1000
        firsts = [one.time_ms for one in self._market.prints[:1]]
        firsts += [one.time_ms for one in self._books[:1]]
        return min(firsts) // 1000 if firsts else None

    def newest_s(self) -> int:
        """See `Past`."""
        return 0

    def bars(self, what: What, period_s: int, start_s: int, end_s: int) -> list[Bar]:
        """See `Past`; a period without a trade has no bar of trades."""
        end_ms = min(end_s * 1000 - 1, self._now_ms())
        found = candles(self._market, period_s * 1000, start_s * 1000, end_ms)
        if what == "TRADES":
            return [_of_trades(one) for one in found if one.trades]
        first_ms = self._books[0].time_ms if self._books else end_ms + 1
        step_ms = period_s * 1000
        first_ms = -(-first_ms // step_ms) * step_ms
        before = [_of_older(one) for one in found if one.open_ms < first_ms]
        start_ms = max(start_s * 1000, first_ms)
        return before + list(self._of_quotes(what, step_ms, start_ms, end_ms))

    def _of_quotes(
        self, what: What, step_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[Bar]:
        """Yield a bar for each period, a flat one if nothing was quoted in it."""
        books = self._books
        at = bisect_left(books, start_ms, key=_time_ms)
        last = books[max(0, at - 1)] if books else None
        for open_ms in range(start_ms, end_ms + 1, step_ms):
            upto = bisect_left(books, open_ms + step_ms, lo=at, key=_time_ms)
            some = books[at:upto] or ([last] if last else [])
            if some:
                yield _bar_of(what, open_ms // 1000, some)
                last = some[-1]
            at = upto

    def trades(self) -> list[Traded]:
        """See `Past`."""
        exchange = self._listed.primary or self._listed.exchanges[0]
        return [
            Traded(one.time_ms // 1000, one.price, lots / LOTS, exchange)
            for one in self._market.prints
            for lots in one.lots
        ]

    def quotes(self) -> list[Quoted]:
        """See `Past`."""
        return [
            Quoted(one.time_ms // 1000, one.bid, one.ask, one.bid_size, one.ask_size)
            for one in self._books
        ]


def _of_trades(one: Candle) -> Bar:
    volume = one.lots / LOTS
    return Bar(
        one.open_ms // 1000, one.open, one.high, one.low, one.close, volume,
        round(one.notional / volume, 6) if volume else one.close, one.trades,
    )  # fmt: skip


def _of_older(one: Candle) -> Bar:
    """Return a bar of quotes from before the tape, where no trade is off the middle."""
    return Bar(one.open_ms // 1000, one.open, one.high, one.low, one.close)


def _bar_of(what: What, time_s: int, books: list[Book]) -> Bar:
    if what == "BID_ASK":  # open and close are means, low is of bids, high of asks
        count = len(books)
        bids, asks = [one.bid for one in books], [one.ask for one in books]
        return Bar(
            time_s, sum(bids) / count, max(asks), min(bids), sum(asks) / count
        )  # fmt: skip
    prices = [_price(what, one) for one in books]
    return Bar(time_s, prices[0], max(prices), min(prices), prices[-1])


def _price(what: What, one: Book) -> float:
    if what == "BID":
        return one.bid
    return one.ask if what == "ASK" else middle(one)


def middle(one: Book | Quoted) -> float:
    """Return what is between bid and ask, without what a float adds to it."""
    return round((one.bid + one.ask) / 2, 10)


def _time_ms(one: Book) -> int:
    return one.time_ms


# -- pages of ticks ---------------------------------------------------------------


def page_from(
    ticks: list[Traded] | list[Quoted], at_s: int, count: int
) -> list[Traded] | list[Quoted]:
    """Return *count* ticks from a second on, and the rest of the last one's second."""
    first = bisect_left(ticks, at_s, key=_time_s)
    last = min(first + count, len(ticks)) - 1
    if last < first:
        return ticks[:0]
    return ticks[first : bisect_right(ticks, ticks[last].time_s, key=_time_s)]


def page_upto(
    ticks: list[Traded] | list[Quoted], at_s: int, count: int
) -> list[Traded] | list[Quoted]:
    """Return *count* ticks before a second, and the rest of the first one's second."""
    end = bisect_left(ticks, at_s, key=_time_s)
    first = max(0, end - count)
    if first >= end:
        return ticks[:0]
    return ticks[bisect_left(ticks, ticks[first].time_s, key=_time_s) : end]


def _time_s(one: Traded | Quoted) -> int:
    return one.time_s
