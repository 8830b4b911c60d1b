"""A client of emsd, as tests drive one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import trio

from piker.clearing import Order, Status, new_oid, open_ems
from piker.data import open_feed
from piker.errors import OrderRefused

BTC = "btcusdt.spot.sim"
#: No latency, so that what is sent is there at once; as many orders as a test likes.
CONF = """
[paper]
latency_ms = 0
cancel_latency_ms = 0
[risk]
max_orders_per_s = 0
max_open_orders = 0
"""


class Trader:
    """An open session, and all that was heard in it."""

    def __init__(self, opened) -> None:
        self.client, self.trades, self.positions, self.accounts, self.dialogs = opened
        self.heard: list = []

    async def until(self, kind=Status, deadline_s=20, resp_in=(), **fields):
        """Return the next message of a kind with these values."""
        with trio.fail_after(deadline_s):
            while True:
                msg = await self.trades.receive()
                self.heard.append(msg)
                if resp_in and getattr(msg, "resp", "") not in resp_in:
                    continue
                if isinstance(msg, kind) and all(
                    getattr(msg, name) == value for name, value in fields.items()
                ):
                    return msg

    async def until_is(self, resp: str, oid: str) -> None:
        """Wait until an order was said to be that, by now or before."""
        if resp not in self.resps(oid):
            await self.until(resp=resp, oid=oid)

    async def fire(self, oid: str) -> None:
        """Move what waits to where the price is, until it is reached."""
        with trio.fail_after(60):
            while "triggered" not in self.resps(oid):
                with trio.move_on_after(3):
                    await self.until(resp="triggered", oid=oid)
                    return
                with suppress(OrderRefused):  # it was reached meanwhile
                    await self.client.update(oid, price=await price_now())

    def resps(self, oid: str) -> list[str]:
        """Return what became of an order, as far as it was heard."""
        return [
            msg.resp for msg in self.heard if isinstance(msg, Status) and msg.oid == oid
        ]


@asynccontextmanager
async def trading(fqme=BTC, **how) -> AsyncIterator[Trader]:
    async with open_ems(fqme, **how) as opened:
        yield Trader(opened)


async def price_now(fqme=BTC) -> Decimal:
    """Return the newest price."""
    async with open_feed(fqme) as feed:
        flume = feed.flumes[fqme]
        return flume.mkt.quantize(flume.first_quote.last, "price")


def order(price, action="buy", size="0.001", **fields) -> Order:
    told = {"oid": new_oid(), "symbol": BTC, **fields}
    price = None if price is None else Decimal(price)
    return Order(action=action, price=price, size=Decimal(size), **told)
