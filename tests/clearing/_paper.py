"""A paper market driven by hand: orders and ticks in few words."""

from __future__ import annotations

from decimal import Decimal
from math import nan

from piker.clearing import PaperMarket, PaperRules
from piker.msgs import (
    Asset,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdStatus,
    MktPair,
    Tick,
)

MS = 10**6
MKT = MktPair(
    dst=Asset(name="btc"), src=Asset(name="usdt"), price_tick=Decimal("0.5"),
    size_tick=Decimal("0.001"), bs_mktid="BTCUSDT", broker="sim", venue="spot",
)  # fmt: skip
AT_ONCE = PaperRules(latency_ns=0, cancel_latency_ns=0)


def order(oid="a", action="buy", price="100", size="1", **fields) -> BrokerdOrder:
    """Return a new order, or a change of one where *rev* is given."""
    if fields.get("rev"):
        fields.setdefault("reqid", f"paper.{oid}")
    told = {"rev": 0, "account": "paper", "time_ns": 1, "symbol": "btcusdt.spot"}
    return BrokerdOrder(
        oid=oid, action=action, price=Decimal(price), size=Decimal(size),
        **{**told, **fields},
    )  # fmt: skip


def quote(bid=100, bid_size=5, ask=100.5, ask_size=5) -> list[Tick]:
    """Return a best bid and ask."""
    return [Tick("bid", bid, bid_size), Tick("ask", ask, ask_size)]


def no(side) -> Tick:
    """Return the quote of a side that has none."""
    return Tick(side, nan, 0.0)


def trade(price=100, size=1.0, side=-1, time_ns=0, tid=-1) -> Tick:
    """Return a trade, its taker a seller."""
    return Tick("trade", price, size, time_ns, tid, side)


def short(msg) -> tuple:
    """Return what a message says, in few words."""
    match msg:
        case BrokerdOrderAck():
            return ("ack", msg.oid, msg.rev)
        case BrokerdStatus():
            return (msg.status, msg.oid)
        case BrokerdFill():
            return ("fill", msg.oid, str(msg.size), str(msg.price))
        case BrokerdError():
            return ("error", msg.oid, msg.request)
    raise AssertionError(msg)


class Hand:
    """A market whose time goes on by what it is told, in milliseconds."""

    def __init__(self, rules=AT_ONCE, **kwargs) -> None:
        self.market = PaperMarket(MKT, rules, **kwargs)
        self.ms = 1_000_000
        self.said: list = []

    def _note(self, msgs) -> list[tuple]:
        self.said += msgs
        return [short(msg) for msg in msgs]

    @property
    def ns(self) -> int:
        return self.ms * MS

    def wait(self, ms) -> list[tuple]:
        self.ms += ms
        return self._note(self.market.advance(self.ns))

    def say(self, *ticks, after_ms=1) -> list[tuple]:
        self.ms += after_ms
        return self._note(self.market.ticks(self.ns, ticks))

    def put(self, *args, **fields) -> list[tuple]:
        asked = order(*args, **fields)
        act = self.market.change if asked.rev else self.market.submit
        return self._note(act(self.ns, asked))

    def cancel(self, oid="a") -> list[tuple]:
        return self._note(self.market.cancel(self.ns, oid))

    def lose(self) -> list[tuple]:
        return self._note(self.market.connection_lost(self.ns))

    def find(self) -> list[tuple]:
        return self._note(self.market.connection_back(self.ns))

    @property
    def reason(self) -> str:
        return self.said[-1].reason
