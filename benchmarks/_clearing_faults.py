"""Daemons killed under a stream of orders: what was promised, and what is there then.

client: orders, darks, alerts, edits, cancels, some each second --> emsd --> paperboi
one kind of daemon is SIGKILLed at random moments; then all is ended, and compared:
what the client was told | the journal | the ledger | the account's position
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

import trio

from piker.accounting import read_ledger
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._universe import find_market
from piker.clearing import (
    BrokerdPosition,
    Order,
    OrderClient,
    Status,
    new_oid,
    open_ems,
)
from piker.clearing._journal import journal_path, verify_journal, view_journal
from piker.data import Feed, HistoryProgress, open_feed
from piker.errors import OrderRefused, OrderUnknown, PikerError
from piker.msgs import Quote
from piker.service import Policy
from piker.testing import TestTree, open_test_pikerd
from piker.testing._tree import start_test_pikerd

FQME: Final = "btcusdt.spot.sim"
KINDS: Final = ("emsd", "paperboi.sim", "datad.sim", "samplerd", "pikerd")
NS: Final = 10**9
CONF: Final = """
[paper]
latency_ms = 5
cancel_latency_ms = 5
[risk]
max_orders_per_s = 0
max_open_orders = 0
"""
PATIENT: Final = Policy(max_deaths=1_000_000, delays_s=(0.0,))
_TICK: Final = Decimal("0.01")
#: Requests a second.
RATE: Final = 25.0
#: Share of the kills that wait until orders are taken again; the rest hit a tree that
#: is still coming up.
_TRADING: Final = 0.75
#: What a market did within so many seconds emsd may not have heard of yet.
_LAG_S: Final = 5


@dataclass
class Outcome:
    """What came of it.

    Attributes:
      kind: of daemon that was killed.
      kills: how many.
      orders: that the client was told are taken.
      fills: in the ledger.
      fired: darks and alerts.
      reported: darks whose missed cross was told.
      unknown: requests without an answer in time.
      lost: promises that weren't kept, a sentence each.
      doubled: what is there more than once, likewise.
      wrong: sums that aren't, likewise.
    """

    kind: str
    kills: int = 0
    orders: int = 0
    fills: int = 0
    fired: int = 0
    reported: int = 0
    unknown: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Dark:
    """A dark order or alert that was taken; from and to when it waited, epoch ns."""

    order: Order
    since_ns: int
    until_ns: int = 0
    was_edited: bool = False


@dataclass(eq=False)
class _Stream:
    """The client that asks for things, and remembers what it was told."""

    client: OrderClient
    feed: Feed
    rng: random.Random
    outcome: Outcome
    acked: dict[str, Order] = field(default_factory=dict)
    darks: dict[str, _Dark] = field(default_factory=dict)
    fills: Counter[str] = field(default_factory=Counter)
    ended: set[str] = field(default_factory=set)
    fired: Counter[str] = field(default_factory=Counter)
    reported: set[str] = field(default_factory=set)
    price: Decimal = Decimal(0)

    async def hear(self) -> None:
        async for msg in self.client.trades:
            if isinstance(msg, Status):
                self._hear(msg)

    def _hear(self, msg: Status) -> None:
        if msg.resp == "fill" and msg.fill is not None:
            self.fills[msg.fill.tid] += 1
        if msg.resp == "triggered" and msg.seq:
            self.fired[msg.oid] += 1
        if "nobody looked" in msg.reason:
            self.reported.add(msg.oid)
        if msg.resp in ("closed", "canceled", "error", "triggered"):
            self.ended.add(msg.oid)
            dark = self.darks.get(msg.oid)
            if dark is not None and not dark.until_ns:
                dark.until_ns = time.time_ns()

    async def trades_again(self) -> None:
        """Wait until an order is taken, from now on; what hinders that is a fault."""
        taken = len(self.acked)
        with trio.move_on_after(60):
            while len(self.acked) == taken:
                await trio.sleep(0.05)
            return
        self.outcome.lost.append("no order was taken for 60 s")

    async def watch(self) -> None:
        mkt = self.feed.flumes[FQME].mkt
        async for quote in self.feed.stream:
            if quote.last == quote.last:
                self.price = mkt.quantize(quote.last, "price")

    async def ask_on(self) -> None:
        """Ask for something, some times a second, for ever."""
        async with trio.open_nursery() as tasks:
            while True:
                tasks.start_soon(self._ask_one)
                await trio.sleep(self.rng.expovariate(RATE))

    async def _ask_one(self) -> None:
        roll = self.rng.random()
        try:
            if roll < 0.45:
                await self._send(self._live())
            elif roll < 0.65:
                await self._send(self._dark())
            elif roll < 0.8:
                await self._edit()
            else:
                await self._cancel()
        except OrderRefused:
            pass
        except OrderUnknown:
            self.outcome.unknown += 1

    def _live(self) -> Order:
        side = self.rng.choice(["buy", "sell"])
        crosses = self.rng.random() < 0.6
        away = (2 if crosses else -200) * (1 if side == "buy" else -1)
        return Order(
            oid=new_oid(),
            action=side,
            symbol=FQME,
            size=Decimal(self.rng.randint(1, 40)) * Decimal("0.0001"),
            price=self.price + away,
        )

    def _dark(self) -> Order:
        action = self.rng.choice(["buy", "sell", "alert"])
        steps = self.rng.choice([-2000, -200, -40, -8, 8, 40, 200, 2000])
        return Order(
            oid=new_oid(),
            action=action,
            symbol=FQME,
            exec_mode="dark",
            size=Decimal("0.001") if action != "alert" else Decimal(0),
            price=self.price + steps * _TICK,
        )

    async def _send(self, order: Order) -> None:
        since_ns = time.time_ns()
        status = await self.client.send(order)
        self.acked[order.oid] = order
        if order.exec_mode == "dark" and status.resp == "dark_open":
            self.darks[order.oid] = _Dark(order, since_ns=time.time_ns())
        elif order.exec_mode == "dark":
            self.darks[order.oid] = _Dark(order, since_ns, until_ns=since_ns)

    async def _edit(self) -> None:
        oid = self._some()
        if oid is None:
            return
        if oid in self.darks:
            self.darks[oid].was_edited = True
        await self.client.update(
            oid, price=self.price + self.rng.randint(-500, 500) * _TICK
        )

    async def _cancel(self) -> None:
        oid = self._some()
        if oid is not None:
            dark = self.darks.get(oid)
            if dark is not None and not dark.until_ns:
                dark.until_ns = time.time_ns()
            await self.client.cancel(oid)

    def _some(self) -> str | None:
        open_now = list(self.client.dialogs)
        return self.rng.choice(open_now) if open_now else None

    async def end_all(self) -> None:
        """Cancel all that lives, until nothing does."""
        with trio.move_on_after(60):
            while self.client.dialogs or self.client._asked:
                for oid in list(self.client.dialogs):
                    dark = self.darks.get(oid)
                    if dark is not None and not dark.until_ns:
                        dark.until_ns = time.time_ns()
                    self.client.cancel_nowait(oid)
                await trio.sleep(0.5)
            await trio.sleep(0.5)
            return
        self.outcome.lost.append(
            f"no end of {list(self.client.dialogs.values())[:3]}, no answer to"
            f" {[asked.msg for asked in self.client._asked.values()][:3]}"
        )


async def _kill(tree: TestTree, kind: str) -> bool:
    """SIGKILL a daemon if it is up, and have pikerd started again."""
    try:
        info = (await tree.infos()).get(kind)
    except PikerError:
        return False  # pikerd is away
    if info is None or info.pid <= 0 or info.state != "running":
        return False
    try:
        os.kill(info.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False  # of the kill before; its supervisor hasn't noticed yet
    if kind == "pikerd":
        assert tree.pikerd is not None
        await tree.pikerd.wait()
        await start_test_pikerd(tree)
    return True


async def trade_and_kill(
    folder: Path,
    kind: str,
    kills: int,
    seed: int,
    gap_s: tuple[float, float] = (0.2, 2.0),
) -> Outcome:
    """Trade in a private tree, kill daemons of a kind meanwhile, and compare.

    Args:
      folder: an empty one.
      kind: one of `KINDS`.
      kills: how often.
      seed: of all that is random.
      gap_s: between two kills, least and most.
    """
    outcome = Outcome(kind)
    rng = random.Random(f"{seed}-{kind}")
    how = {"embedded": False} if kind == "pikerd" else {"policy": PATIENT}
    opening = open_test_pikerd(folder, conf=CONF, deadline_s=120 + 15 * kills, **how)
    async with opening as tree:
        async with open_feed(FQME) as feed, open_ems(FQME) as (client, *_):
            stream = _Stream(client, feed, rng, outcome)
            async with trio.open_nursery() as tasks:
                tasks.start_soon(stream.hear)
                tasks.start_soon(stream.watch)
                while not stream.price:
                    await trio.sleep(0.05)
                asking = trio.CancelScope()
                tasks.start_soon(_within, asking, stream.ask_on)
                await trio.sleep(2.0)
                while outcome.kills < kills:
                    outcome.kills += await _kill(tree, kind)
                    if rng.random() < _TRADING:
                        await stream.trades_again()
                    await trio.sleep(rng.uniform(*gap_s))
                await trio.sleep(2.0)
                asking.cancel()
                # what was missed can be known by then
                await _loaded(feed, time.time_ns())
                await trio.sleep(2.0)
                await stream.end_all()
                tasks.cancel_scope.cancel()
            positions = dict(client.positions)
        _compare(stream, positions)
    return outcome


async def _loaded(feed: Feed, since_ns: int) -> None:
    """Wait until the datad of after *since_ns* quotes and has loaded its past."""
    with trio.fail_after(60):
        async for msg in feed.messages:
            told = feed._progress.values()
            if (
                isinstance(msg, Quote)
                and msg.time_ns > since_ns
                and all(
                    isinstance(one, HistoryProgress) and one.done >= 1 for one in told
                )
            ):
                return


async def _within(scope: trio.CancelScope, ask: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await ask()


def _compare(
    stream: _Stream, positions: dict[tuple[str, str], BrokerdPosition]
) -> None:
    """Compare what was told with what is on disk."""
    outcome = stream.outcome
    ledger = read_ledger("sim", "paper")
    booked: dict[str, Decimal] = {}
    net = Decimal(0)
    for txn in ledger.txns:
        booked[txn.oid] = booked.get(txn.oid, Decimal(0)) + abs(txn.size)
        net += txn.size
    outcome.orders, outcome.fills = len(stream.acked), len(ledger.txns)
    outcome.fired = len(stream.fired)
    outcome.reported = len(stream.reported)
    verify_journal(journal_path())
    with view_journal(journal_path()) as journal:
        for oid, order in stream.acked.items():
            dialog = journal.get(oid)
            if dialog is None:
                outcome.lost.append(f"{oid} was taken and is nowhere")
                continue
            if not dialog.has_ended:
                outcome.lost.append(f"{oid} should have ended and is {dialog.state}")
            there = booked.pop(oid, Decimal(0))
            if dialog.filled != there:
                outcome.wrong.append(
                    f"{oid}: {dialog.filled} filled, the ledger has {there}"
                )
            if there > max(order.size, dialog.order.size):
                outcome.doubled.append(f"{oid}: {there} of {order.size} filled")
            if oid not in stream.ended:
                outcome.lost.append(f"{oid} ended, and the client never heard so")
        for oid, size in booked.items():
            if journal.get(oid) is None:
                outcome.wrong.append(f"{size} filled of {oid}, which nobody knows")
    tids = {txn.tid for txn in ledger.txns}
    for tid in tids - stream.fills.keys():
        outcome.lost.append(f"fill {tid} was never told")
    for tid, times in stream.fills.items():
        if times > 1:
            outcome.doubled.append(f"fill {tid} was told {times} times")
        if tid not in tids:
            outcome.wrong.append(f"fill {tid} was told and isn't in the ledger")
    for oid, times in stream.fired.items():
        if times > 1:
            outcome.doubled.append(f"{oid} fired {times} times")
    held = positions.get(("paper", FQME))
    size = held.size if held else Decimal(0)
    replayed = ledger.positions().get(FQME)
    if size != net or (replayed.size if replayed else Decimal(0)) != net:
        outcome.wrong.append(f"position {size}, fills sum to {net}")
    _compare_darks(stream)


def _compare_darks(stream: _Stream) -> None:
    """Find darks whose cross nobody fired or told of."""
    source = Synthetic(find_market(FQME), seed=7)
    for oid, dark in stream.darks.items():
        if dark.was_edited or oid in stream.fired or oid in stream.reported:
            continue
        start_s = dark.since_ns // NS + 1
        end_s = (dark.until_ns or time.time_ns()) // NS - _LAG_S
        if end_s <= start_s:
            continue
        bars = source.bars(start_s * NS, end_s * NS, 1)
        if not len(bars):
            continue
        first = float(bars["open"][0])
        level = float(dark.order.price)
        crossed = (
            bool((bars["high"] >= level).any())
            if level >= first
            else bool((bars["low"] <= level).any())
        )
        if crossed:
            stream.outcome.lost.append(f"the cross of {oid} at {level} was never told")
