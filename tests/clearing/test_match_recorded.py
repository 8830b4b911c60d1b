"""Paper fills on real data: no more than the recorded market could have filled."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest

from piker.brokers._parts import Notice
from piker.brokers.binance import get_cost
from piker.brokers.binance._decode import decode_message
from piker.clearing import PaperMarket, PaperRules
from piker.msgs import (
    Asset,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdStatus,
    MktPair,
    Tick,
)
from tests._data import binance_session
from tests.clearing._checker import Checker

MS = 10**6
SESSIONS = ["btcusdt_20240808", "btcusdt_20240809", "ethusdt_20240808"]
RULES = PaperRules(get_cost=get_cost)

Input = tuple[str, int, object]


def market_of(session: str) -> MktPair:
    """Return the recorded market: its steps are those its frames are written in."""
    return MktPair(
        dst=Asset(name=session[:3]), src=Asset(name="usdt"), venue="spot",
        price_tick=Decimal("0.01"), size_tick=Decimal("0.00001"), broker="binance",
        bs_mktid=session[:7].upper(),
    )  # fmt: skip


def frames(session: str) -> Iterator[tuple[int, list[Tick]]]:
    """Yield the ticks of each frame and when it came, ns since the epoch."""
    with gzip.open(binance_session(f"spot_hft/{session}.gz")) as file:
        for line in file:
            came_ns, _, payload = line.partition(b" ")
            parts = decode_message(payload)
            if not isinstance(parts, Notice):
                yield int(came_ns), parts[0].ticks


class Trader:
    """Seeded: keeps orders around the touch of a market, moves and cancels them."""

    def __init__(self, mkt: MktPair) -> None:
        self.mkt = mkt
        self.random = random.Random(7)
        self.best: dict[str, float] = {}
        self.live: dict[str, BrokerdOrder] = {}
        self.serial = 0

    def see(self, ticks: list[Tick], answers: list[BrokerdMsg]) -> None:
        self.best |= {tick.type: tick.price for tick in ticks if tick.type != "trade"}
        for msg in answers:
            if isinstance(msg, BrokerdStatus) and msg.status in ("closed", "canceled"):
                self.live.pop(msg.oid, None)

    def act(self, now_ns: int) -> Iterator[Input]:
        """Yield what it does now: rarely anything."""
        chance = self.random.random()
        if len(self.best) < 2 or chance > 0.02:
            return
        if self.live and chance < 0.004:
            yield "cancel", now_ns, self.random.choice(list(self.live))
        elif self.live and chance < 0.007:
            yield "change", now_ns, self._edit(self.random.choice(list(self.live)))
        elif len(self.live) < 12:
            yield "submit", now_ns, self._order()

    def _price(self, action: str) -> Decimal:
        """Return mostly the touch; at times a bit better, worse, or beyond it."""
        near, way = ("bid", 1) if action == "buy" else ("ask", -1)
        step = self.random.choice([0, 0, 0, 0, 1, -1, -50, -300, 200])
        touch = self.mkt.quantize(self.best[near], "price")
        return touch + way * step * self.mkt.price_tick

    def _order(self) -> BrokerdOrder:
        self.serial += 1
        action = self.random.choice(["buy", "sell"])
        order = BrokerdOrder(
            oid=f"o{self.serial}", rev=0, account="paper", time_ns=0, action=action,
            symbol=self.mkt.bs_fqme, price=self._price(action),
            size=self.mkt.size_tick * self.random.choice([1, 300, 5000, 90_000]),
            tif="ioc" if self.serial % 9 == 0 else "gtc",
            post_only=self.serial % 7 == 0,
        )  # fmt: skip
        self.live[order.oid] = order
        return order

    def _edit(self, oid: str) -> BrokerdOrder:
        old = self.live[oid]
        self.live[oid] = msgspec.structs.replace(
            old, rev=old.rev + 1, reqid=f"paper.{oid}", price=self._price(old.action)
        )
        return self.live[oid]


def give(market: PaperMarket, one: Input) -> list[BrokerdMsg]:
    return getattr(market, one[0])(*one[1:])


@pytest.mark.parametrize("session", SESSIONS)
def test_paper_fills_are_what_the_recorded_market_could_have_filled(session):
    mkt = market_of(session)
    market, trader, checker = PaperMarket(mkt, RULES), Trader(mkt), Checker()
    log: list[Input] = []
    said: list[list[BrokerdMsg]] = []
    for came_ns, ticks in frames(session):
        for one in [*trader.act(came_ns - 1), ("ticks", came_ns, ticks)]:
            answers = give(market, one)
            log.append(one)
            said.append(answers)
            told = one[2] if one[0] == "ticks" else []
            checker.step(told, answers)
            trader.see(told, answers)
    seen = checker.seen
    assert seen["at"] > 20, seen
    assert seen["through"] > 20, seen
    assert seen["taken"] > 20, seen
    assert seen["canceled"] > 20, seen
    fills = [msg for each in said for msg in each if isinstance(msg, BrokerdFill)]
    assert len({fill.tid for fill in fills}) == len(fills)
    assert all(fill.cost == fill.price * fill.size / 1000 for fill in fills)

    types = {"ticks": list[Tick], "cancel": str}
    again = PaperMarket(mkt, RULES)
    for (name, time_ns, told), answers in zip(log, said, strict=True):
        stored = msgspec.msgpack.encode(told)
        read = msgspec.msgpack.decode(stored, type=types.get(name, BrokerdOrder))
        assert give(again, (name, time_ns, read)) == answers
