"""A dialog with a paperboi, as emsd holds one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import trio

from piker.clearing import maybe_spawn_paperboi, open_paper_dialog
from piker.errors import TransportClosed
from piker.msgs import (
    BrokerdCancel,
    BrokerdFill,
    BrokerdMsg,
    BrokerdOrder,
    BrokerdPosition,
    DialogInit,
    Reconcile,
    Reconciled,
)
from piker.service import open_context

BTC = "btcusdt.spot.sim"


def order(oid="a", action="buy", price="1", size="0.5", **fields) -> BrokerdOrder:
    told = {"rev": 0, "account": "paper", "symbol": "btcusdt.spot"}
    return BrokerdOrder(
        oid=oid, action=action, price=Decimal(price), size=Decimal(size),
        time_ns=time.time_ns(), **{**told, **fields},
    )  # fmt: skip


class Talk:
    """What was said, and what is asked."""

    def __init__(self, init: DialogInit, stream) -> None:
        self.init = init
        self.stream = stream
        self.said: list[BrokerdMsg] = []
        self._came: deque[BrokerdMsg] = deque()

    async def send(self, msg) -> None:
        await self.stream.send(msg)

    async def cancel(self, oid="a") -> None:
        await self.send(BrokerdCancel(oid=oid, account="paper", time_ns=0))

    async def until(self, kind, **fields) -> BrokerdMsg:
        """Return the next message of a kind with these values."""
        with trio.fail_after(20):
            while True:
                msg = await self.next()
                self.said.append(msg)
                if isinstance(msg, kind) and all(
                    getattr(msg, name) == value for name, value in fields.items()
                ):
                    return msg

    async def next(self) -> BrokerdMsg:
        """Return the next message, whether it came alone or not."""
        while not self._came:
            told = await self.stream.receive()
            self._came.extend(told if isinstance(told, list) else [told])
        return self._came.popleft()

    async def reconcile(self, after_seq=0, *oids) -> list[BrokerdMsg]:
        at = len(self.said)
        await self.send(Reconcile(account="paper", after_seq=after_seq, oids=oids))
        await self.until(Reconciled)
        return self.said[at:]

    def fills(self) -> list[BrokerdFill]:
        return [msg for msg in self.said if isinstance(msg, BrokerdFill)]


@asynccontextmanager
async def talk(broker="sim", *, tell=True) -> AsyncIterator[Talk]:
    """Hold a dialog; it has asked what became of things if *tell*."""
    async with AsyncExitStack() as stack:
        init, stream = await _open(stack, broker)
        told = Talk(init, stream)
        if tell:
            await told.reconcile()
        yield told


async def _open(stack: AsyncExitStack, broker: str):
    """Open a dialog, also with one that comes just after one that died."""
    give_up_at = trio.current_time() + 15
    while True:
        try:
            async with AsyncExitStack() as opening:
                enter = opening.enter_async_context
                portal = await enter(maybe_spawn_paperboi(broker))
                ctx, init = await enter(open_context(portal, open_paper_dialog))
                stream = await enter(ctx.open_stream())
                await stack.enter_async_context(opening.pop_all())
        except TransportClosed:
            if trio.current_time() > give_up_at:
                raise
            await trio.sleep(0.05)
        else:
            return init, stream


def held(talk: Talk) -> BrokerdPosition:
    """Return the newest position told."""
    return [msg for msg in talk.said if isinstance(msg, BrokerdPosition)][-1]
