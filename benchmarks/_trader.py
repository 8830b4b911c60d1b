"""Clients of emsd, a process each: they trade as told and say how long it took.

``python -m benchmarks._trader FQME JSON``; a parent tells ``[what,
kwargs]`` by ``_speak``.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import trio

from piker.clearing import OrderClient, new_oid, open_ems
from piker.data import Flume, Quote, open_feed
from piker.msgs import BrokerdFill, Order, Status
from piker.service import open_piker_runtime

from ._sessions import LOW, MIDDLE, TOP, is_loud
from ._speak import heard, say

_SIZE: Final = Decimal("0.001")
_FAR: Final = Decimal(50_000)
_WAIT_S: Final = 60.0


@dataclass(eq=False)
class Trader:
    """Somebody who trades in one market.

    Attributes:
      client: of emsd.
      fqme: the market.
    """

    client: OrderClient
    fqme: str

    def order(self, action: str, price: Decimal, **fields: Any) -> Order:
        """Return a new order."""
        told = {"oid": new_oid(), "symbol": self.fqme, "size": _SIZE, **fields}
        return Order(action=action, price=price, **told)

    async def until(self, oid: str, *resps: str) -> Status:
        """Return the next status of an order that says one of *resps*."""
        with trio.fail_after(_WAIT_S):
            async for msg in self.client.trades:
                if isinstance(msg, Status) and msg.oid == oid and msg.resp in resps:
                    return msg
        raise AssertionError("the stream never ends")

    # -- what it is told -----------------------------------------------------------

    async def fills(self, count: int) -> list[float]:
        """Return ms from the sending of each of *count* orders to its fill."""
        took = []
        for i in range(count):
            buys = i % 2 == 0
            order = self.order("buy" if buys else "sell", TOP if buys else LOW)
            began_ns = time.monotonic_ns()
            self.client.send_nowait(order)
            await self.until(order.oid, "fill")
            took.append(_ms_since(began_ns))
            await self.until(order.oid, "closed")
        return took

    async def darks(self, count: int) -> list[float]:
        """Return ms from the tick that fires each of *count* darks to its coming.

        The tick has datad's stamp, the fill that of the paper engine when it got the
        order: both by the market's clock.
        """
        took: list[float] = []
        async with (
            open_feed([self.fqme], every_tick=True) as feed,
            trio.open_nursery() as tasks,
        ):
            seen: deque[Quote] = deque(maxlen=2000)

            async def look() -> None:
                async for item in feed.messages:
                    if isinstance(item, Quote):
                        seen.append(item)

            tasks.start_soon(look)
            while len(took) < count:
                took += await self._dark(seen)
            tasks.cancel_scope.cancel()
        return took

    async def _dark(self, seen: Sequence[Quote]) -> list[float]:
        dark = self.order("buy", MIDDLE, exec_mode="dark")
        self.client.send_nowait(dark)
        fired = await self.until(dark.oid, "triggered")
        told = await self.until(dark.oid, "fill", "canceled")
        back = self.order("sell", LOW)
        self.client.send_nowait(back)
        await self.until(back.oid, "closed")
        if told.fill is None or fired.trigger_price is None:
            return []
        sent_ns = _sent_ns(seen, told.fill, float(fired.trigger_price))
        return [] if sent_ns is None else [(told.fill.broker_time_ns - sent_ns) / 1e6]

    async def rest(self, count: int) -> list[float]:
        """Leave *count* more orders that rest far away; return nothing."""
        left = {self._far(i).oid for i in range(count)}
        with trio.fail_after(10 * _WAIT_S):
            async for msg in self.client.trades:
                if isinstance(msg, Status) and msg.resp == "open":
                    left.discard(msg.oid)
                if not left:
                    break
        return []

    def _far(self, i: int) -> Order:
        order = self.order("buy", _FAR - i % 1000)
        self.client.send_nowait(order)
        return order

    async def opened(self, count: int) -> list[float]:
        """Return ms from the sending of each of *count* resting orders to its ack."""
        took = []
        for i in range(count):
            began_ns = time.monotonic_ns()
            order = self._far(i)
            await self.until(order.oid, "open")
            took.append(_ms_since(began_ns))
        return took

    async def arm(self, fqme: str, count: int) -> list[float]:
        """Leave *count* darks in a market, where nothing reaches them."""
        for i in range(count):
            far = self.order("buy", _FAR - i, exec_mode="dark", symbol=fqme)
            await self.client.send(far)
        return []

    async def cancels(self, fqme: str, seconds: float) -> list[list[float]]:
        """Return ms of cancels while another market is silent, and while it is loud.

        Args:
          fqme: the other market, see `is_loud`.
          seconds: to go on for, and until there is one of each.
        """
        silent: list[float] = []
        loud: list[float] = []
        async with open_feed([fqme]) as feed:
            (flume,) = feed.flumes.values()
        until = trio.current_time() + seconds
        while trio.current_time() < until or not (silent and loud):
            order = self._far(0)
            await self.until(order.oid, "open")
            before = is_loud(flume.clock.now_ns())
            began_ns = time.monotonic_ns()
            self.client.cancel_nowait(order.oid)
            await self.until(order.oid, "canceled")
            took = _ms_since(began_ns)
            if is_loud(flume.clock.now_ns()) is before:
                (loud if before else silent).append(took)
        return [silent, loud]

    async def rate(self, fqme: str) -> float:
        """Return ticks a second of a market that is loud."""
        async with open_feed([fqme], every_tick=True) as feed:
            (flume,) = feed.flumes.values()
            while not is_loud(flume.clock.now_ns()):
                await trio.sleep(0.01)
            return await _count(feed.messages, flume)


async def _count(messages: Any, flume: Flume) -> float:
    ticks = 0
    began_ns = time.monotonic_ns()
    async for item in messages:
        if not is_loud(flume.clock.now_ns()):
            break
        if isinstance(item, Quote):
            ticks += len(item.ticks)
    return ticks / (_ms_since(began_ns) / 1e3)


def _sent_ns(seen: Sequence[Quote], fill: BrokerdFill, price: float) -> int | None:
    """Return when the quote was sent that had *price* first, of the time before."""
    for quote in seen:
        age_ns = fill.broker_time_ns - quote.time_ns
        if 0 <= age_ns < 250_000_000 and any(
            tick.price == price and tick.type in ("trade", "last", "ask")
            for tick in quote.ticks
        ):
            return quote.time_ns
    return None


def _ms_since(began_ns: int) -> float:
    return (time.monotonic_ns() - began_ns) / 1e6


async def _main(addr: tuple[str, int], fqme: str) -> None:
    async with (
        open_piker_runtime("client", tuple(addr)),
        open_ems(fqme, after_seq=-1) as (client, *_),
    ):
        say(ready=True)
        trader = Trader(client, client.fqme)
        async for what, kwargs in heard():
            say(took=await getattr(trader, what)(**kwargs))


if __name__ == "__main__":
    signal.alarm(3600)  # the last bound of all
    trio.run(_main, json.loads(sys.argv[2])["addr"], sys.argv[1])
