"""Live orders, many at once, while their daemon is killed again and again.

orders placed, changed, cancelled | others who take them | SIGKILL, at any instant
    --> venue, ledger, position, journal and what was told agree
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from piker.errors import OrderError
from tests.brokers._live import Live, order
from tests.brokers._matrix import Case, Found, Runner
from tests.clearing._trade import Trader

#: Orders that live at once, and edits of one.
_MOST, _EDITS = 12, 10
_TRADERS = 4
#: Between the account's own best prices and those of the rest of the book.
_BIDS, _ASKS = (59_100, 59_400), (59_600, 59_900)
#: A step of prices at all venues.
_STEP = 5
_BACK_S = 40.0


@dataclass
class Stormed:
    """What came of it.

    Attributes:
      kills: how many hit a process.
      orders, edits, cancels, fills: how many there were.
      wrong: what doesn't agree, empty if all does.
    """

    kills: int = 0
    orders: int = 0
    edits: int = 0
    cancels: int = 0
    fills: int = 0
    wrong: list[str] = field(default_factory=list)


class Storm(Runner):
    """Trades and kills, at random, the same at the same seed but for the timing."""

    def __init__(self, live: Live, me: Trader, seed: int) -> None:
        super().__init__(live, me)
        self.rng = random.Random(seed)
        self.came = Stormed()
        self.taken: set[str] = set()
        self.edits: Counter[str] = Counter()

    async def ride(self, kills: int) -> Stormed:
        """Kill the order daemon so often while orders rest and fill."""
        async with trio.open_nursery() as tasks:
            for _ in range(_TRADERS):
                tasks.start_soon(self._trade)
            tasks.start_soon(self._take)
            for _ in range(kills):
                if self.rng.random() < 0.75:  # else it is killed as it begins
                    await self._until_taken()
                await trio.sleep(self.rng.uniform(0.02, 0.8))
                await self._kill_once(f"brokerd.{self.at.broker}")
            tasks.cancel_scope.cancel()
        found = Found(Case("storm"))
        await self._settle(found)
        told = (await self.live.told())["trades"]
        self.came.wrong, self.came.fills = found.wrong, len(told)
        return self.came

    async def _until_taken(self) -> None:
        """Wait until another order was taken."""
        before = len(self.taken)
        with trio.fail_after(_BACK_S):
            while len(self.taken) == before:
                await trio.sleep(0.01)

    async def _kill_once(self, name: str) -> None:
        """Kill a daemon, and wait until another is there."""
        service = self.live.tree.services.service_tasks.get(name)
        if service is None or not service.pid or service.pid < 0:
            return
        pid = service.pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.came.kills += 1
        with trio.fail_after(_BACK_S):
            while service.pid == pid or service.state != "running":
                await service.changed.wait()

    async def _trade(self) -> None:
        """Place, change and cancel orders, for ever."""
        while True:
            alive, dice = list(self.me.dialogs), self.rng.random()
            one = self.rng.choice(alive) if alive else ""
            with suppress(OrderError), trio.move_on_after(2):
                if not one or (len(alive) < _MOST and dice < 0.6):
                    await self._place()
                elif dice < 0.8 and self.edits[one] < _EDITS:
                    await self._change(one)
                else:
                    self.came.cancels += 1
                    await self.me.client.cancel(one)
            heard = len(self.me.heard)
            self._listen()
            now = self.me.heard[heard:]
            self.taken |= {msg.oid for msg in now if getattr(msg, "resp", "") == "open"}
            await trio.sleep(self.rng.uniform(0, 0.03))

    async def _place(self) -> None:
        action = self.rng.choice(["buy", "sell"])
        lots = self.rng.randint(1, 9)
        one = order(self._price(action), f"0.0{lots}", action, self.at)
        self.oids.append(one.oid)
        self.came.orders += 1
        await self.me.client.send(one)

    async def _change(self, oid: str) -> None:
        status = self.me.dialogs[oid]
        assert status.req is not None
        self.came.edits += 1
        self.edits[oid] += 1
        price = self.at.price(self._price(status.req.action))
        await self.me.client.update(oid, price=price)

    def _price(self, action: str) -> int:
        return self.rng.randrange(*(_BIDS if action == "buy" else _ASKS), _STEP)

    async def _take(self) -> None:
        """Be the others, who take some of what the account rests."""
        while True:
            await trio.sleep(self.rng.uniform(0.02, 0.1))
            side = self.rng.choice(["buy", "sell"])
            price = _BIDS[0] if side == "sell" else _ASKS[1]
            await self.live.outside(side, price, f"0.0{self.rng.randint(1, 9)}")
