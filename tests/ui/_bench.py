"""A session and markets with no tree: real buffers of bars, filled by no daemon."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import trio
from msgspec.structs import replace

from piker.data import Found
from piker.data._past import read_past
from piker.data._shm import Row, ShmArray, ShmWriter
from piker.errors import SymbolNotFound
from piker.msgs import (
    Asset,
    BrokerdFill,
    BrokerdPosition,
    Calendar,
    Match,
    MktPair,
    Order,
    Quote,
    Status,
    Tick,
    WallClock,
)
from piker.tsp import OHLCV
from piker.ui._market import Market
from piker.ui._session import Session
from piker.ui._trading import Trading

START_S = 1_790_000_000 // 86_400 * 86_400


def mkt_of(name: str = "btcusdt", tick: str = "0.01") -> MktPair:
    return MktPair(
        dst=Asset(name=name[:3], atype="crypto"),
        src=Asset(name=name[3:], atype="crypto"),
        price_tick=Decimal(tick),
        size_tick=Decimal("0.00001"),
        bs_mktid=name.upper(),
        broker="sim",
        venue="spot",
    )


def walk(n: int, period_s: int, seed: int = 7, price: float = 60_000.0) -> np.ndarray:
    """Return bars of a price that walks about, the newest ends at a round time."""
    rng = np.random.default_rng(seed)
    scale = price / 5000 * (period_s / 60) ** 0.5
    close = price + np.cumsum(rng.normal(scale=scale, size=n))
    opened = np.concatenate((close[:1], close[:-1]))
    reach = np.abs(rng.normal(scale=scale / 2, size=n))
    bars = np.empty(n, OHLCV)
    bars["time"] = START_S + (np.arange(n) - n) * period_s
    bars["open"], bars["close"] = np.round(opened, 2), np.round(close, 2)
    bars["high"] = np.round(np.maximum(opened, close) + reach, 2)
    bars["low"] = np.round(np.minimum(opened, close) - reach, 2)
    bars["volume"] = np.round(rng.exponential(3.0, n), 5)
    bars["count"] = rng.integers(1, 50, n)
    return bars


class Flume:
    """One market of a feed, whose bars a test writes."""

    def __init__(self, folder, mkt: MktPair, bars_1s: np.ndarray, bars_60s: np.ndarray):
        self.mkt, self.fqme = mkt, mkt.fqme
        self.clock, self.calendar = WallClock(), Calendar()
        self.writers, self._arrays = {}, {}
        for period_s, bars in ((1, bars_1s), (60, bars_60s)):
            writer = ShmWriter.open(
                folder / f"{mkt.fqme}.{period_s}",
                fqme=mkt.fqme,
                period_s=period_s,
                capacity=65_536,
            )
            for at in range(0, len(bars), 50):
                writer.extend(bars[at : at + 50])
            self.writers[period_s] = writer
            self._arrays[period_s] = ShmArray.attach(writer.token)

    @property
    def rt_shm(self):
        return self._arrays[1]

    @property
    def hist_shm(self):
        return self._arrays[60]

    async def read(self, start_s=None, end_s=None, period_s=60):
        held = self._arrays[60 if period_s % 60 == 0 else 1]
        return await read_past(self.mkt, held, (start_s, end_s), period_s)

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


class BenchMarket(Market):
    """A market that is fed by a test."""

    def begin(self, flume: Flume) -> None:
        self.paused = True

        async def pause():
            self.paused = True

        async def resume():
            self.paused = False

        self._feed = SimpleNamespace(
            flumes={flume.fqme: flume}, pause=pause, resume=resume
        )

    def trade(self, price: float, size: float = 1.0, *, new_bar: bool = False) -> None:
        """Have a trade come: in the newest bars, or in new 1 s bars."""
        for period_s, writer in self.flume.writers.items():
            _, last = writer.bounds
            was = writer.row(last - 1)
            if new_bar and period_s == 1:
                writer.append(Row(was.time + 1, price, price, price, price, size, 1))
                continue
            row = Row(
                was.time, was.open, max(was.high, price), min(was.low, price), price,
                was.volume + size, was.count + 1,
            )  # fmt: skip
            writer.rewrite(last - 1, row, (0, 0, 0, 0), writer.marks)
        self.say(price)

    def say(self, price: float) -> None:
        """Have a quote come."""
        half = float(self.flume.mkt.price_tick) * 3
        ticks = [
            Tick("bid", price - half, 1.25),
            Tick("ask", price + half, 0.75),
        ]
        now_ns = self.flume.clock.now_ns()
        self._take(Quote(fqme=self.fqme, last=price, ticks=ticks, time_ns=now_ns))
        self._tell()


def open_market(folder, name="btcusdt", n=5000, seed=7, price=60_000.0) -> BenchMarket:
    """Return a market with *n* bars of each period."""
    mkt = mkt_of(name)
    flume = Flume(folder, mkt, walk(n, 1, seed, price), walk(n, 60, seed, price))
    market = BenchMarket(mkt.fqme)
    market.begin(flume)
    market.say(float(flume.rt_shm.last(1).close[-1]))
    return market


class BenchSession(Session):
    """Knows its markets only."""

    async def market(self, name: str) -> Market:
        if name not in self.markets:
            raise SymbolNotFound(f"no market {name!r} here")
        return self.markets[name]


@asynccontextmanager
async def open_bench(folder, *names: str):
    """Yield a session with some markets and no tree behind it."""
    session = BenchSession(("127.0.0.1", 1), Trading())
    ems = FakeEms(session.trading)
    session.trading._client, session.trading.down = ems, ""
    session._search = FakeSearch()
    session.trading._halt = ems.halt
    names = names or ("btcusdt",)
    async with trio.open_nursery() as tasks:
        session._nursery = tasks
        for i, name in enumerate(names):
            market = open_market(folder, name, seed=7 + i, price=60_000.0 / (1 + 9 * i))
            session.markets[market.fqme] = market
        try:
            yield session
        finally:
            tasks.cancel_scope.cancel()
            for market in session.markets.values():
                market.flume.close()


class FakeEms:
    """What a `Trading` holds of emsd; it takes all orders and fills none by itself."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self.dialogs: dict[str, Status] = {}
        self.positions: dict[tuple[str, str], BrokerdPosition] = {}
        self.accounts = ("paper", "sim.real")
        self.state = None
        self.asked: list[tuple] = []

    async def send(self, order: Order) -> None:
        self.asked.append(("send", order))
        await trio.lowlevel.checkpoint()
        waits = order.exec_mode == "dark" or order.action == "alert"
        self.tell(order, "dark_open" if waits else "open")

    async def update(self, oid, *, price=None, trigger=None, size=None) -> None:
        self.asked.append(("update", oid, price, trigger, size))
        await trio.lowlevel.checkpoint()
        status = self.dialogs[oid]
        changes = {"price": price, "trigger": trigger, "size": size}
        changes = {key: value for key, value in changes.items() if value is not None}
        self.tell(replace(status.req, **changes), status.resp)

    async def cancel(self, oid) -> None:
        self.asked.append(("cancel", oid))
        await trio.lowlevel.checkpoint()
        self.dialogs.pop(oid, None)
        self._trading._tell()

    async def halt(self, reason: str = "") -> None:
        self.asked.append(("halt", reason))
        await trio.lowlevel.checkpoint()

    def tell(self, order: Order, resp: str) -> None:
        status = Status(seq=1, time_ns=1, oid=order.oid, resp=resp, req=order)
        self.dialogs[order.oid] = status
        self._trading._tell()

    def fill(self, oid: str, price: Decimal, time_ns: int) -> None:
        """Have an order filled as a whole."""
        order = self.dialogs.pop(oid).req
        fill = BrokerdFill(
            oid=oid, reqid="1", account=order.account, symbol=order.symbol,
            action=order.action, price=price, size=order.size, tid=oid, seq=1,
            cost=Decimal(0),
            broker_time_ns=time_ns, time_ns=time_ns,
        )  # fmt: skip
        status = Status(
            seq=2, time_ns=2, oid=oid, resp="closed", req=order, filled=order.size,
            fill=fill,
        )  # fmt: skip
        size = order.size if order.action == "buy" else -order.size
        self.positions[order.account, order.symbol] = BrokerdPosition(
            broker="sim", account=order.account, symbol=order.symbol, size=size,
            avg_price=price,
        )  # fmt: skip
        self._trading._take_status(status)
        self._trading._tell()


class FakeSearch:
    """Finds some markets, whatever is asked."""

    async def find(self, pattern: str, *, limit: int = 20, on_part=None) -> Found:
        await trio.lowlevel.checkpoint()
        names = ("btcusdt.spot.sim", "dogeusdt.spot.kraken")
        matches = [Match(fqme=name, kind="crypto", score=90.0) for name in names]
        return Found(matches, {})
