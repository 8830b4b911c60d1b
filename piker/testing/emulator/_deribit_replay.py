"""Instruments whose every message was recorded: they trade at what was told.

PlayedTape --messages--> Played: deals, a ticker, a book
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final

from ._deribit_names import NEVER_MS, Instrument
from ._deribit_played import PlayedTape, Told
from ._deribit_series import Deal, Quotes, Series
from ._tape import Market

_NAME: Final = re.compile(
    r"(?P<base>[A-Z0-9]+)(?:_(?P<quote>[A-Z0-9]+))?"
    r"(?:-(?P<day>PERPETUAL|\d{1,2}[A-Z]{3}\d{2}))?"
    r"(?:-(?P<strike>\d+(?:d\d+)?)-(?P<right>[CP]))?"
)
Levels = dict[float, float]


class Played(Series):
    """See the module.

    Attributes:
      told: its ticker as it was told last, None before.
      rows: its trades as they were told, by their ids' numbers.
    """

    def __init__(self, inst: Instrument, source: Market) -> None:
        super().__init__(inst, source, 1, count(10**12))
        self._best: Quotes | None = None
        self._levels: tuple[Levels, Levels] | None = None
        self._mark = self._index = 0.0

    # -- what is told -------------------------------------------------------------

    def hear(self, channel: str, row: dict[str, Any]) -> Deal | None:
        """Take what a channel tells of it; return the deal that it is, if it is one."""
        if channel == "trades":
            return self._trade(row)
        if channel == "book":
            self._book(row)
            return None
        if channel == "ticker":
            self.told = row
            self._mark = float(row.get("mark_price") or 0.0)
            self._index = float(row.get("index_price") or 0.0)
        change_id = self._best.update_id if self._best else 0
        bid, bid_amount, ask, ask_amount = (
            float(row.get(f"best_{name}") or 0.0)
            for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")
        )
        time_ms = int(row["timestamp"])
        self._best = Quotes(bid, bid_amount, ask, ask_amount, time_ms, change_id)
        return None

    def _trade(self, row: dict[str, Any]) -> Deal:
        index = float(row.get("index_price") or self._index)
        side = 1 if row.get("direction") == "buy" else -1
        deal = Deal(
            int(row["trade_seq"]), int(str(row["trade_id"]).rpartition("-")[2]),
            int(row["timestamp"]), float(row["price"]), float(row["amount"]), side,
            index, int(row.get("tick_direction", 0)),
        )  # fmt: skip
        self.rows[deal.tid] = row
        self.note(deal)
        return deal

    def _book(self, row: dict[str, Any]) -> None:
        """Take a snapshot or changes; changes before the first snapshot are nothing."""
        is_change = row.get("type") == "change"
        if is_change and self._levels is None:
            return
        before = self._levels if is_change and self._levels else ({}, {})
        bids, asks = (
            _changed(levels, row.get(side, []))
            for levels, side in zip(before, ("bids", "asks"), strict=True)
        )
        bids = dict(sorted(bids.items(), reverse=True))
        asks = dict(sorted(asks.items()))
        self._levels = bids, asks
        bid, bid_amount = next(iter(bids.items()), (0.0, 0.0))
        ask, ask_amount = next(iter(asks.items()), (0.0, 0.0))
        self._best = Quotes(bid, bid_amount, ask, ask_amount, int(row["timestamp"]),
                            int(row.get("change_id", 0)))  # fmt: skip

    # -- in place of what is made -------------------------------------------------

    @property
    def has_book(self) -> bool:
        """Whether a whole book was told."""
        return self._levels is not None

    def quotes(self) -> Quotes | None:
        """Return the best bid and ask that were told last."""
        return self._best if self.is_active else None

    def levels(self, depth: int = 10_000) -> tuple[Levels, ...]:
        """Return amounts by price of bids and asks, all that were told."""
        if self._levels is not None:
            bids, asks = (dict(list(one.items())[:depth]) for one in self._levels)
            return bids, asks
        best = self._best
        if best is None:
            return {}, {}
        return ({best.bid: best.bid_amount} if best.bid else {},
                {best.ask: best.ask_amount} if best.ask else {})  # fmt: skip

    def index_now(self) -> float:
        """Return the index that was told last."""
        return self._index

    def mark(self, index: float, time_ms: int) -> float:
        """Return the mark price that was told last."""
        del index, time_ms
        return self._mark

    def add(
        self, time_ms: int, price: float, amount: float, side: int, tid: int
    ) -> Deal:
        """Have an account trade; a recording isn't changed by it."""
        seq = self.deals[-1].seq if self.deals else 1
        return Deal(seq, tid, time_ms, price, amount, side, self._index, 0)


class PlayedGroup:
    """All instruments of a recording, see `Group`."""

    def __init__(self, tape: PlayedTape) -> None:
        self._tape, self._passed = tape, 0
        source = self.source = tape.market
        names = dict.fromkeys((*tape.rows, *tape.names))
        insts = (_instrument(name, at, tape.rows.get(name))
                 for at, name in enumerate(names))  # fmt: skip
        self._series = {one.name: Played(one, source) for one in insts if one}

    @property
    def all(self) -> list[Series]:
        """All of them."""
        return list(self._series.values())

    def catch_up(self) -> Iterator[tuple[Series, list[Deal]]]:
        """Take all messages that passed since the last time."""
        while self._passed < len(self._tape.past):
            item = self._tape.past[self._passed]
            self._passed += 1
            yield from self._take(item)

    def _take(self, item: Told) -> Iterator[tuple[Series, list[Deal]]]:
        rows = item.data if isinstance(item.data, list) else [item.data]
        touched: dict[str, list[Deal]] = {}
        for row in rows:
            name = row["instrument_name"]
            if name in self._series:
                deal = self._series[name].hear(item.channel, row)
                touched.setdefault(name, []).extend([deal] if deal else [])
        for name, deals in touched.items():
            yield self._series[name], deals


def _changed(levels: Levels, changes: list[Any]) -> Levels:
    """Return a side of a book after changes, or as a snapshot of either form is."""
    found = dict(levels)
    for change in changes:
        *what, price, amount = change
        if what == ["delete"] or not amount:
            found.pop(price, None)
        else:
            found[price] = amount
    return found


def _instrument(name: str, number: int, row: Any) -> Instrument | None:
    """Return an instrument as it was listed, or as its name tells."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    base, quote, day = parts["base"], parts["quote"], parts["day"]
    told: dict[str, Any] = row or {}
    is_option, is_inverse = parts["strike"] is not None, day is not None and not quote
    kind: Any = "option" if is_option else "future" if day else "spot"
    counter = quote or "USD"
    tick = "0.0005" if is_option and is_inverse else "0.5"
    strike = Decimal(parts["strike"].replace("d", ".")) if is_option else None
    return Instrument(
        name, int(told.get("instrument_id", 100_001 + number)), kind, base,
        base if is_option and is_inverse else counter, counter,
        (base if is_inverse else counter) if day else "",
        told.get("settlement_period", "perpetual" if day == "PERPETUAL" else (
            "month" if day else "")),
        int(told.get("expiration_timestamp", _expires_ms(day))),
        int(told.get("creation_timestamp", 0)),
        _decimal(told, "tick_size", tick), _decimal(told, "contract_size", "1"),
        _decimal(told, "min_trade_amount", "0.1" if is_option else "1"),
        tuple((_decimal(one, "above_price", "0"), _decimal(one, "tick_size", tick))
              for one in told.get("tick_size_steps", ())),
        strike, parts["right"] or "",
        _decimal(told, "maker_commission", "0"),
        _decimal(told, "taker_commission", "0.0005"), is_inverse=is_inverse,
    )  # fmt: skip


def _decimal(row: dict[str, Any], name: str, default: str) -> Decimal:
    value = row.get(name)
    return Decimal(default if value is None else repr(value))


def _expires_ms(day: str | None) -> int:
    if day in (None, "PERPETUAL"):
        return NEVER_MS
    found = datetime.strptime(f"{day.zfill(7)}+0000", "%d%b%y%z")
    return int(found.replace(hour=8, tzinfo=UTC).timestamp() * 1000)
