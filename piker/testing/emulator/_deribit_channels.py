"""Deribit's channels of the market: who hears what, at once or each 100 ms.

    trades.BTC-PERPETUAL.100ms   deals since the last time
    ticker.{instrument}.raw      once it changed
    book.{instrument}.100ms      a snapshot, then changes: each names the one before
    quote.{instrument}           best bid and ask, once they changed

By https://docs.deribit.com/subscriptions/. ``raw`` is for who is known; ``100ms`` and
``agg2``, a second, gather by the venue's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._core import Core, Frame
from ._deribit_channel import Channel, changed, find_channel
from ._deribit_rows import best, ticker, trade_row
from ._deribit_rpc import notification
from ._deribit_series import Deal, Series
from ._deribit_world import World
from ._tape import Item
from ._ws import Connection, text_frame


class Channels:
    """All channels of the market, see the module."""

    def __init__(self, core: Core, world: World) -> None:
        self._core, self._world = core, world
        self._known: dict[str, Channel | None] = {}
        self._by_series: dict[Series, dict[Channel, None]] = {}
        self._open: dict[Channel, None] = {}
        self._flushed: dict[int, int] = {}

    # -- who hears ----------------------------------------------------------------

    def find(self, name: str) -> Channel | None:
        """Return the channel of that name, None if there is none."""
        if name not in self._known:
            self._known[name] = find_channel(self._world, name)
        return self._known[name]

    def subscribe(self, conn: Connection, channel: Channel) -> None:
        """Have *conn* hear it, from its state now on."""
        if channel.name in conn.streams:
            return
        if channel.name not in self._core.listeners:
            for _ in self._world.catch_up():  # what passed while nobody was there
                pass
            self._begin(channel)
        for told in self._first(channel):
            conn.say(notification(channel.name, told))
        self._core.subscribe(conn, channel.name)

    def _begin(self, channel: Channel) -> None:
        channel.deals.clear()
        channel.is_due, channel.told = False, None
        self._open[channel] = None
        for series in channel.series:
            self._by_series.setdefault(series, {})[channel] = None

    def _forget(self, channel: Channel) -> None:
        self._open.pop(channel, None)
        for series in channel.series:
            self._by_series[series].pop(channel, None)

    # -- what is told -------------------------------------------------------------

    def frames(
        self, item: Item, touched: list[tuple[Series, list[Deal]]]
    ) -> Iterator[Frame]:
        """Yield what an item that has just passed makes, and the deals of it."""
        yield from self.due(item.due_ns // 1_000_000)
        for series, deals in touched:
            yield from self.touch(series, deals)
        # a deal or a message is of some instruments, quotes of the tape move them all
        some = {series for series, _ in touched}
        for channel in tuple(self._open):
            if channel.what in ("trades", "state"):
                continue
            series = channel.series[0]
            if series.source is item.market and (not some or series in some):
                yield from self._mark(channel)

    def touch(self, series: Series, deals: list[Deal]) -> Iterator[Frame]:
        """Yield what new deals of an instrument make."""
        for channel in tuple(self._by_series.get(series, ())):
            if channel.what == "trades":
                channel.deals += [(series, deal) for deal in deals]
                yield from self._mark(channel)

    def change_state(self, series: Series, state: str) -> Iterator[Frame]:
        """Yield what tells of an instrument that begins or ends."""
        told = {"timestamp": self._now_ms(), "state": state,
                "instrument_name": series.inst.name}  # fmt: skip
        for channel in tuple(self._by_series.get(series, ())):
            if channel.what == "state":
                yield from self._frame(channel, told)
            elif channel.what == "ticker":
                yield from self._mark(channel)

    def due(self, now_ms: int, *, is_over: bool = False) -> Iterator[Frame]:
        """Yield what was gathered, where its time has come, or all at the end."""
        for every_ms in (100, 1000):
            if self._flushed.get(every_ms) == now_ms // every_ms and not is_over:
                continue
            self._flushed[every_ms] = now_ms // every_ms
            for channel in tuple(self._open):
                if channel.is_due and channel.every_ms == every_ms:
                    yield from self._tell(channel)

    def _mark(self, channel: Channel) -> Iterator[Frame]:
        if channel.every_ms:
            channel.is_due = True
        else:
            yield from self._tell(channel)

    def _tell(self, channel: Channel) -> Iterator[Frame]:
        channel.is_due = False
        if not self._core.listeners.get(channel.name):
            return self._forget(channel)
        data = self._data(channel)
        if data is not None:
            yield from self._frame(channel, data)
        return None

    def _frame(self, channel: Channel, data: Any) -> Iterator[Frame]:
        conns = self._core.listeners.get(channel.name)
        if conns:
            yield Frame(conns, text_frame(notification(channel.name, data)))

    def _data(self, channel: Channel) -> Any:
        """Return what is to be told, None if nothing is."""
        if channel.what == "trades":
            rows = [trade_row(*one) for one in channel.deals]
            channel.deals.clear()
            return rows or None
        if channel.what == "book" and not channel.depth:
            return self._changes(channel)
        found = self._state(channel)
        if found == channel.told:
            return None
        channel.told = found
        return found

    def _state(self, channel: Channel) -> Any:
        (series,) = channel.series
        now_ms = self._now_ms()
        if channel.what == "ticker":
            return ticker(series, now_ms)
        quotes = series.quotes()
        time_ms = quotes.time_ms if quotes else now_ms
        if channel.what == "index":
            return {"timestamp": time_ms, "price": series.index_now(),
                    "index_name": series.inst.index}  # fmt: skip
        head = {"timestamp": time_ms, "instrument_name": series.inst.name}
        if channel.what == "quote":
            return head | best(quotes)
        bids, asks = series.levels(channel.depth)
        return head | {
            "change_id": quotes.update_id if quotes else 0,
            "bids": [list(one) for one in bids.items()][: channel.depth],
            "asks": [list(one) for one in asks.items()][: channel.depth],
        }

    def _first(self, channel: Channel) -> Iterator[Any]:
        """Yield what a new listener gets."""
        if channel.what in ("trades", "state"):
            return
        if channel.what == "book" and not channel.depth:
            (series,) = channel.series
            if series.has_book:  # else it comes once there is one
                yield self._snapshot(channel, series)
            return
        state = self._state(channel)
        if channel.told is None:  # else who hears it already is told of the change
            channel.told = state
        yield state

    def _snapshot(self, channel: Channel, series: Series) -> dict[str, Any]:
        """Return a book as who hears it already knows it."""
        if channel.told is None:
            quotes = series.quotes()
            channel.told = series.levels()
            channel.change_id = quotes.update_id if quotes else 0
        bids, asks = channel.told
        return {
            "type": "snapshot", "timestamp": self._now_ms(),
            "instrument_name": series.inst.name, "change_id": channel.change_id,
            "bids": [["new", *one] for one in bids.items()],
            "asks": [["new", *one] for one in asks.items()],
        }  # fmt: skip

    def _changes(self, channel: Channel) -> Any:
        """Return what changed in a book since it was told last, None if nothing."""
        (series,) = channel.series
        if channel.told is None:
            return self._snapshot(channel, series) if series.has_book else None
        quotes, now = series.quotes(), series.levels()
        sides = [
            changed(before, after)
            for before, after in zip(channel.told, now, strict=True)
        ]
        if not any(sides) or quotes is None:
            return None
        told: dict[str, Any] = {
            "type": "change", "timestamp": quotes.time_ms,
            "prev_change_id": channel.change_id, "instrument_name": series.inst.name,
            "change_id": max(quotes.update_id, channel.change_id + 1),
            "bids": sides[0], "asks": sides[1],
        }  # fmt: skip
        channel.told, channel.change_id = now, told["change_id"]
        return told

    def _now_ms(self) -> int:
        return self._core.server_ns() // 1_000_000
