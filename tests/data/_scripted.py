"""A feed bus in the test's own process, over a backend that does what a test says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace

import trio
import trio.testing

from piker.data import _buffers, _bus
from piker.errors import SymbolNotFound
from piker.msgs import (
    Asset,
    FeedInit,
    MktPair,
    Quote,
    SessionClock,
    Tick,
    WallClock,
)
from piker.testing import private_dirs

START_S = 1_700_000_000
NS = 1_000_000_000


def make_mkt(fqme: str) -> MktPair:
    return MktPair(
        dst=Asset(name=fqme.partition("usdt.")[0]), src=Asset(name="usdt"),
        price_tick=Decimal("0.01"), size_tick=Decimal("0.001"), bs_mktid=fqme,
        broker="scripted", venue="spot",
    )  # fmt: skip


def trade(tid: int, at_s: float | None = None, price: float = 100.0) -> Tick:
    at_s = START_S + tid if at_s is None else at_s
    return Tick("trade", price, 0.001, int(at_s * NS), tid)


@dataclass(eq=False)
class Upstream:
    """One opening of a market, as the venue sees it."""

    send: trio.MemorySendChannel
    is_live: trio.Event
    resume: object
    closed: trio.Event = field(default_factory=trio.Event)
    end: trio.Event = field(default_factory=trio.Event)
    fault: BaseException | None = None

    async def put(self, *ticks: Tick) -> None:
        await self.send.send((self.fqme, list(ticks)))

    fqme: str = ""

    def fail(self, fault: BaseException | None = None) -> None:
        """End the stream, with *fault* if there is one."""
        self.fault = fault
        self.end.set()


@dataclass(eq=False)
class Backend:
    """What the venue does: knobs for a test to turn, and what it has seen."""

    clock: object = field(default_factory=WallClock)
    start_ns: int = 0
    live_at_once: bool = True
    first: Tick = field(default_factory=lambda: Tick("last", 99.0, 0.0))
    close_s: float = 0.0
    close_fault: BaseException | None = None
    faults: dict[str, list[BaseException]] = field(
        default_factory=lambda: defaultdict(list)
    )
    unknown: set[str] = field(default_factory=set)
    ups: list[Upstream] = field(default_factory=list)
    open_now: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_open: int = 0
    opened: trio.Event = field(default_factory=trio.Event)

    async def get_mkt_info(self, fqme: str):
        await trio.lowlevel.checkpoint()
        if fqme in self.unknown:
            raise SymbolNotFound(f"no market {fqme!r}")
        return make_mkt(fqme), None

    async def stream_quotes(self, send, symbols, is_live, *, resume, task_status):
        (fqme,) = symbols
        await trio.lowlevel.checkpoint()
        if self.faults[fqme]:
            raise self.faults[fqme].pop(0)
        init = FeedInit(mkt=make_mkt(fqme), clock=self.clock, start_ns=self.start_ns)
        first = Quote(fqme=fqme, last=self.first.price, ticks=[self.first], time_ns=0)
        up = Upstream(send, is_live, resume.get(fqme))
        up.fqme = fqme
        self.open_now[fqme] += 1
        self.most_open = max(self.most_open, self.open_now[fqme])
        try:
            task_status.started(([init], {fqme: first}))
            if self.live_at_once:
                is_live.set()
            self.ups.append(up)
            self.opened.set()
            self.opened = trio.Event()
            await up.end.wait()
            if up.fault is not None:
                raise up.fault
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.close_s)
            self.open_now[fqme] -= 1
            up.closed.set()
            if self.close_fault is not None:
                raise self.close_fault

    async def next_up(self, seen: int) -> Upstream:
        """Wait for opening number *seen*, from 0."""
        while len(self.ups) <= seen:
            await self.opened.wait()
        return self.ups[seen]


def replay_clock(speed: float = 0.0) -> SessionClock:
    return SessionClock(name="test", origin_ns=START_S * NS, started_ns=0, speed=speed)


class Bench:
    """The bus under test, its backend, and the steps a test makes."""

    def __init__(self, bus, backend: Backend, steps) -> None:
        self.bus, self.backend, self._steps = bus, backend, steps

    def step(self, time_s: int) -> None:
        for send in self._steps:
            send.send_nowait(time_s)


@asynccontextmanager
async def open_bench(
    tmp_path, monkeypatch, backend: Backend | None = None, conf: str = ""
) -> AsyncIterator[Bench]:
    """Open a bus whose markets aren't stored, unless *conf* speaks of the store."""
    backend = backend or Backend()
    if "store" not in conf:
        head, _, rest = conf.partition("[data]\n")
        conf = f"{head}[data]\nstore = false\n{rest}"
    mod = SimpleNamespace(
        __name__="piker.brokers.scripted",
        get_mkt_info=backend.get_mkt_info,
        stream_quotes=backend.stream_quotes,
    )
    steps: list[trio.MemorySendChannel] = []

    @asynccontextmanager
    async def open_steps(clock):
        send, receive = trio.open_memory_channel(1000)
        steps.append(send)
        yield receive

    ring = tmp_path / "shm"
    ring.mkdir(exist_ok=True)
    monkeypatch.setattr(_buffers, "shm_dir", lambda: ring)
    monkeypatch.setattr(_bus, "open_sample_stream", open_steps)
    with private_dirs(tmp_path / "dirs", conf):
        async with _bus.open_bus(mod) as bus:
            yield Bench(bus, backend, steps)


async def settle() -> None:
    """Let every task that can run do so."""
    await trio.testing.wait_all_tasks_blocked(0.001)


def taken(sub) -> list:
    """Return and remove what waits for a subscriber."""
    items = []
    while (letter := sub._box.take()) is not None:
        items.append(letter[0])
    return items
