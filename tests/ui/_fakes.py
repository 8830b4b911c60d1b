"""Markets, orders and a session without a tree, of the client's own types."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from piker.msgs import (
    PAPER,
    Asset,
    BrokerdFill,
    BrokerdPosition,
    Calendar,
    EmsState,
    MktPair,
    Order,
    Status,
)
from piker.tsp import OHLCV
from piker.ui._market import Market
from piker.ui._order_events import CancelAll, CancelOrders, ChangePrice, Submit
from piker.ui._session import Session
from piker.ui._trading import Toast, Trading
from tests.clearing._orders import market as mkt_of

NS = 10**9
#: 2026-01-05, a Monday, 00:00 UTC.
START_S = 1_767_571_200
BTC = "btcusdt.spot.sim"


def walk(
    n: int, period_s: int, *, seed: int = 1, price: float = 67_000.0
) -> np.ndarray:
    """Return bars of a market that wanders; OHLCV, shape (n,)."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, price * 4e-4, (n, 8)).cumsum(axis=1)
    base = price + np.concatenate(([0.0], steps[:-1, -1])).cumsum()
    paths = np.concatenate((base[:, None], base[:, None] + steps), axis=1).round(2)
    bars = np.zeros(n, OHLCV)
    bars["time"] = START_S + np.arange(n) * period_s
    bars["open"], bars["close"] = paths[:, 0], paths[:, -1]
    bars["high"], bars["low"] = paths.max(axis=1), paths.min(axis=1)
    bars["volume"] = rng.exponential(3.0, n).round(3)
    bars["count"] = rng.integers(1, 50, n)
    return bars


class Rows:
    def __init__(self, bars: np.ndarray, start: int) -> None:
        self._bars, self.start = bars, start

    def __len__(self) -> int:
        return len(self._bars)

    def to_structured(self) -> np.ndarray:
        return self._bars


class Buffer:
    """A buffer of bars that a test may change."""

    def __init__(self, bars: np.ndarray, period_s: int) -> None:
        self.bars, self.period_s, self.epoch = bars, period_s, 1

    def last(self, n: int) -> Rows:
        start = max(len(self.bars) - n, 0)
        return Rows(self.bars[start:], start)

    def since(self, time_s: float) -> Rows:
        start = int(np.searchsorted(self.bars["time"], time_s))
        return Rows(self.bars[start:], start)

    def bounds(self) -> tuple[int, int]:
        return 0, len(self.bars)


class Clock:
    """A market's clock that stands still."""

    def __init__(self) -> None:
        self.ns = (START_S + 300 * 60) * NS

    def now_ns(self) -> int:
        return self.ns


def fake_market(
    mkt: MktPair | None = None,
    *,
    bars: int = 300,
    seed: int = 1,
    price: float = 67_000.0,
) -> Market:
    """Return a market that is watched, with its bars and best prices."""
    mkt = mkt or mkt_of(size_tick="0.00001")
    minutes = walk(bars, 60, seed=seed, price=price)
    flume = SimpleNamespace(
        mkt=mkt,
        fqme=mkt.fqme,
        clock=Clock(),
        calendar=Calendar(),
        rt_shm=Buffer(walk(bars, 1, seed=seed, price=price), 1),
        hist_shm=Buffer(minutes, 60),
    )
    market = Market(mkt.fqme)
    market._feed = SimpleNamespace(flumes={mkt.fqme: flume})
    tick = float(mkt.price_tick)
    last = float(minutes["close"][-1])
    touch = market.touch
    touch.last, touch.before = last, last - tick
    touch.bid, touch.bid_size, touch.ask, touch.ask_size = (
        last,
        0.512,
        last + tick,
        1.25,
    )
    market.delay_s = 0.012
    return market


def order(action="buy", price="66000", size="0.1", **more: Any) -> Order:
    told = {"oid": f"o{price}", "symbol": BTC, "price": Decimal(price), **more}
    return Order(action=action, size=Decimal(size), **told)


def status(order: Order, resp="open", **more: Any) -> Status:
    return Status(seq=1, time_ns=0, oid=order.oid, resp=resp, req=order, **more)


def fill(
    side="buy", price="66900", size="0.1", at_s: int = START_S, tid="t1"
) -> Status:
    told = BrokerdFill(
        oid="f1", reqid="r", tid=tid, seq=1, account=PAPER, symbol=BTC, action=side,
        size=Decimal(size), price=Decimal(price), cost=Decimal(0), time_ns=at_s * NS,
        broker_time_ns=at_s * NS,
    )  # fmt: skip
    return status(order(side, price, size, oid="f1"), "fill", fill=told)


def position(size="0.1", price="66900", account=PAPER, symbol=BTC) -> BrokerdPosition:
    return BrokerdPosition(
        broker="sim", account=account, symbol=symbol, size=Decimal(size),
        avg_price=Decimal(price),
    )  # fmt: skip


class Client:
    """What a client of emsd knows, as a test says it."""

    def __init__(self) -> None:
        self.dialogs: dict[str, Status] = {}
        self.positions: dict[tuple[str, str], BrokerdPosition] = {}
        self.accounts = (PAPER,)
        self.state = EmsState(time_ns=0, halted="", down={}, unwatched={})

    def put(self, *statuses: Status) -> None:
        for each in statuses:
            self.dialogs[each.oid] = each

    def hold(self, *positions: BrokerdPosition) -> None:
        for each in positions:
            self.positions[each.account, each.symbol] = each


def fake_session(*markets: Market, mode="paper") -> Session:
    """Return a session whose client of emsd is a `Client`."""
    trading = Trading(mode)
    trading._client, trading.down = Client(), ""
    session = Session(("127.0.0.1", 1), trading)
    for market in markets:
        session.markets[market.fqme] = market
    return session


class FakeLink:
    """Notes what is asked for; opens the markets that it knows."""

    def __init__(self, session: Session, *others: Market) -> None:
        self.session = session
        self.done: list[Any] = []
        self.watched: dict[str, bool] = {}
        self.asked_older: list[tuple[str, int]] = []
        self.sought: list[str] = []
        self.found: Any = None
        self.is_emsd = False
        self._others = {market.fqme: market for market in others}

    def do(self, intent: Any) -> None:
        self.done.append(intent)
        if self.is_emsd:
            self._act(intent)

    def _act(self, intent: Any) -> None:
        """Do as emsd would, in short."""
        dialogs = self.session.trading._client.dialogs
        match intent:
            case Submit(order):
                resp = "open" if order.exec_mode == "live" else "dark_open"
                dialogs[order.oid] = status(order, resp)
            case ChangePrice(oid, price, _, size) if oid in dialogs:
                old = dialogs[oid].req
                new = {"price": price or old.price, "size": size or old.size}
                order = msgspec.structs.replace(old, **new)
                dialogs[oid] = msgspec.structs.replace(dialogs[oid], req=order)
            case CancelOrders(oids) | CancelAll(oids):
                for oid in oids:
                    dialogs.pop(oid, None)

    def open(self, name: str, then: Any) -> None:
        market = self.session.markets.get(name) or self._others.get(name)
        if market is None:
            self.session.toast(Toast(f"no market {name!r}", "bad"))
            return
        self.session.markets[name] = market
        then(market)

    def find(self, pattern: str, then: Any) -> None:
        self.sought.append(pattern)
        if self.found is not None:
            then(self.found)

    def older(self, market: Market, period_s: int, then: Any) -> None:
        self.asked_older.append((market.fqme, period_s))
        then(0)

    def watch(self, market: Market, *, is_watched: bool) -> None:
        self.watched[market.fqme] = is_watched

    def post(self, work: Any) -> None:
        with contextlib.suppress(StopIteration):
            work().send(None)


def coin(name: str) -> MktPair:
    """Return another market of the sim, e.g. ``ethusdt.spot.sim`` of ``eth``."""
    return MktPair(
        dst=Asset(name=name), src=Asset(name="usdt"), price_tick=Decimal("0.01"),
        size_tick=Decimal("0.001"), bs_mktid=name, broker="sim", venue="spot",
    )  # fmt: skip


def near(market: Market, part: float) -> str:
    """Return a price so far from the last one, e.g. 0.01 for a percent above it."""
    return str(round(market.touch.last * (1 + part), 2))


def busy(client: Client, market: Market, fills: Any) -> None:
    """Have orders, an alert, a position and a fill in a market."""
    client.put(
        status(order("buy", near(market, -0.004), "0.0149")),
        status(order("sell", near(market, 0.003), "0.0149"), "dark_open"),
        status(order("alert", near(market, 0.0015), "0"), "dark_open"),
    )
    client.hold(position("0.0149", near(market, -0.001)))
    fills.append(fill("buy", near(market, -0.001), "0.0149", START_S + 288 * 60))
