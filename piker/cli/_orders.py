"""One session with emsd a command: what is asked, and waiting for what comes of it.

    command --> maybe_open_pikerd > open_ems --> send | update | cancel --> its stream

Whoever leaves loses nothing: an order lives on, its id finds it again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

import trio

from piker.brokers import check_broker
from piker.clearing import (
    EmsDown,
    EmsUp,
    OrderClient,
    TradesMsg,
    TradesStream,
    open_ems,
)
from piker.errors import OrderRefused, OrderUnknown
from piker.msgs import PAPER, EmsState, Error, Fqme, Order, Status
from piker.service import Addr, maybe_open_pikerd

from ._order_words import Typed, account_of, has_ended, order_of
from ._run import say

#: Until a broker has answered what is on its way to it: longer than an order daemon
#: waits for a line, or for its account, before it refuses.
ANSWER_S: Final = 25.0


@asynccontextmanager
async def session(
    addr: Addr,
    fqme: str = "",
    mode: Literal["paper", "live"] = "paper",
    after_seq: int = -1,
) -> AsyncIterator[tuple[OrderClient, TradesStream]]:
    """Be a client of emsd; a pikerd is started if none runs."""
    if fqme:
        check_broker(Fqme.parse(fqme).broker)  # a wrong name starts nothing
    async with (
        maybe_open_pikerd("orders", addr, on_start=say),
        open_ems(fqme, mode, after_seq=after_seq) as (client, trades, *_),
    ):
        yield client, trades


# -- place ----------------------------------------------------------------------------


async def place(
    addr: Addr,
    fqme: str,
    typed: Typed,
    oid: str,
    *,
    wait: bool,
    told: Callable[[Status], None],
) -> Status:
    """Send an order; return what has become of it.

    Args:
      addr: of the registry.
      fqme: full or short name of its market.
      typed: the order.
      oid: its id.
      wait: until it has ended, however long that takes.
      told: called with each thing that becomes of it.

    Raises: UsageError; OrderRefused; OrderUnknown.
    """
    account = account_of(typed.account, Fqme.parse(fqme).broker)
    order_of(typed, oid, fqme, account)  # nothing is started for what can't be meant
    mode: Literal["paper", "live"] = "paper" if account == PAPER else "live"
    async with session(addr, fqme, mode) as (client, trades):
        order = order_of(typed, oid, client.fqme, account)
        return await _send(client, trades, order, wait=wait, told=told)


async def alert(
    addr: Addr,
    fqme: str,
    price: Decimal,
    oid: str,
    *,
    wait: bool,
    told: Callable[[Status], None],
) -> Status:
    """Set an alert; return what has become of it. Raises as :func:`place` does."""
    async with session(addr, fqme) as (client, trades):
        order = Order(
            oid=oid, action="alert", symbol=client.fqme, size=Decimal(0), price=price,
            exec_mode="dark",
        )  # fmt: skip
        return await _send(client, trades, order, wait=wait, told=told)


async def _send(
    client: OrderClient,
    trades: TradesStream,
    order: Order,
    *,
    wait: bool,
    told: Callable[[Status], None],
) -> Status:
    await client.send(order)
    to_end = wait or (order.is_at_once and order.exec_mode == "live")

    def is_settled(status: Status) -> bool:
        told(status)
        if has_ended(status):
            return True
        return not to_end and status.resp != "pending"

    last = await _until(client, trades, order.oid, is_settled, forever=wait)
    if last.resp == "error" or (not to_end and _is_sent_back(last)):
        raise OrderRefused(last.reason)
    return last


def _is_sent_back(status: Status) -> bool:
    """Tell whether an order that was to rest never did, e.g. a post-only one."""
    return status.resp == "canceled" and not status.filled


async def _until(
    client: OrderClient,
    trades: TradesStream,
    oid: str,
    is_done: Callable[[Status], bool],
    *,
    forever: bool = False,
    refuses: Callable[[Error], bool] = lambda _: False,
) -> Status:
    """Return the first status of an order that *is_done*.

    Raises: OrderRefused: it was refused; OrderUnknown: no answer came in time.
    """
    with trio.move_on_after(float("inf") if forever else ANSWER_S):
        async for msg in trades:
            if isinstance(msg, Status) and msg.oid == oid and is_done(msg):
                return msg
            if isinstance(msg, Error) and msg.oid == oid and refuses(msg):
                raise OrderRefused(msg.reason)
            if isinstance(msg, EmsDown) and forever:
                say(f"waiting for emsd: {msg.reason}")
    raise OrderUnknown(_no_answer(client, oid))


def _no_answer(client: OrderClient, oid: str) -> str:
    down = client.state.down if client.state else {}
    why = "".join(f", {name} can't be reached ({down[name]})" for name in down)
    return (
        f"{oid} is noted, and what came of it isn't known after {ANSWER_S:g} s{why}:"
        " `piker orders ls` shows it"
    )


# -- edit, cancel ---------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """What is to be changed of an order; None stays."""

    price: Decimal | None = None
    size: Decimal | None = None
    trigger: Decimal | None = None

    def are_in(self, order: Order | None) -> bool:
        """Tell whether *order* is as it is wanted."""
        wanted = (
            (self.price, order.price if order else None),
            (self.size, order.size if order else None),
            (self.trigger, order.trigger if order else None),
        )
        return all(want is None or want == has for want, has in wanted)


@asynccontextmanager
async def _session_of(
    addr: Addr, oid: str
) -> AsyncIterator[tuple[OrderClient, TradesStream]]:
    """Be a client that may change an order: one of its broker's, if it is live."""
    async with session(addr) as (client, trades):
        known = client.dialogs.get(oid)
        order = known.req if known is not None else None
        if order is None or order.account == PAPER:
            yield client, trades
            return
        fqme = order.symbol
    async with session(addr, fqme, "live") as opened:
        yield opened


async def edit(addr: Addr, oid: str, changes: Changes) -> Status:
    """Change an order; return it as it is in force then.

    Raises: OrderRefused; OrderUnknown.
    """
    async with _session_of(addr, oid) as (client, trades):
        first = await client.update(
            oid, price=changes.price, size=changes.size, trigger=changes.trigger
        )
        if changes.are_in(first.req):
            return first

        def is_done(status: Status) -> bool:
            return changes.are_in(status.req) or has_ended(status)

        last = await _until(
            client, trades, oid, is_done,
            refuses=lambda err: err.edit_id == first.edit_id,
        )  # fmt: skip
    if not changes.are_in(last.req):
        raise OrderRefused(f"{oid} has ended before it was changed: {last.reason}")
    return last


async def cancel(addr: Addr, oid: str) -> tuple[Status, bool]:
    """End an order; return what it ended as, and whether it was open till then.

    Raises: OrderRefused: it can't be ended, e.g. it was filled; OrderUnknown.
    """
    async with session(addr) as (client, trades):
        was_open = oid in client.dialogs
        last = await client.cancel(oid)
        if not has_ended(last):
            last = await _until(
                client, trades, oid, has_ended,
                refuses=lambda err: err.request == "cancel",
            )  # fmt: skip
    if last.resp != "canceled":
        raise OrderRefused(f"{oid} was {_ended_as(last)} before it could be cancelled")
    return last, was_open


def _ended_as(status: Status) -> str:
    return "filled" if status.resp == "closed" else status.reason or status.resp


async def cancel_all(addr: Addr) -> tuple[list[Status], list[str]]:
    """End all orders there are, and alerts.

    Returns: what ended; a sentence for each that couldn't be cancelled.
    """
    async with session(addr) as (client, trades):
        waiting = set(client.dialogs)
        for oid in waiting:
            client.cancel_nowait(oid)
        ended: list[Status] = []
        faults: list[str] = []
        with trio.move_on_after(ANSWER_S):
            while waiting:
                msg = await trades.receive()
                if isinstance(msg, Status) and msg.oid in waiting and has_ended(msg):
                    waiting.discard(msg.oid)
                    ended.append(msg)
                elif isinstance(msg, Error) and msg.oid in waiting:
                    waiting.discard(msg.oid)
                    faults.append(f"{msg.oid}: {msg.reason}")
        faults += [_no_answer(client, oid) for oid in sorted(waiting)]
    faults += [
        f"{each.oid} was {_ended_as(each)} before it could be cancelled"
        for each in ended
        if each.resp != "canceled"
    ]
    return [each for each in ended if each.resp == "canceled"], faults


# -- looking --------------------------------------------------------------------------


@dataclass(frozen=True)
class Orders:
    """Orders as they were at one time.

    Attributes:
      statuses: of each, oldest first.
      state: what keeps orders from being worked.
      lost: why emsd can't be asked just now, empty if it can.
    """

    statuses: tuple[Status, ...]
    state: EmsState | None
    lost: str = ""


async def look(addr: Addr, *, ended: bool) -> Orders:
    """Return the open orders; with *ended* also what has ended lately."""
    async with session(addr, after_seq=0 if ended else -1) as (client, trades):
        return _seen(client, _ended_in(trades) if ended else {})


def _ended_in(trades: TradesStream) -> dict[str, Status]:
    """Return what was told of orders that have ended, by id."""
    found: dict[str, Status] = {}
    while True:
        try:
            _note_ended(trades.receive_nowait(), found)
        except trio.WouldBlock:
            return found


def _note_ended(msg: TradesMsg, found: dict[str, Status]) -> None:
    if isinstance(msg, Status) and msg.req is not None and has_ended(msg):
        found[msg.oid] = msg


def _seen(client: OrderClient, ended: dict[str, Status], lost: str = "") -> Orders:
    known = {**ended, **client.dialogs}
    return Orders(tuple(known[oid] for oid in sorted(known)), client.state, lost)


async def follow(
    addr: Addr,
    *,
    ended: bool,
    show: Callable[[Orders], None] | None = None,
    put: Callable[[TradesMsg], None] | None = None,
) -> None:
    """Watch orders for ever.

    Args:
      addr: of the registry.
      ended: what has ended is shown too.
      show: takes all orders whenever one has changed.
      put: takes each thing told; first of all each open order.
    """
    async with session(addr, after_seq=0 if ended else -1) as (client, trades):
        past = _ended_in(trades) if ended else {}
        if put is not None:
            for status in _seen(client, past).statuses:
                put(status)
        if show is not None:
            show(_seen(client, past))
        lost = ""
        async for msg in trades:
            if ended:
                _note_ended(msg, past)
            if isinstance(msg, EmsDown | EmsUp):
                lost = msg.reason if isinstance(msg, EmsDown) else ""
            if put is not None:
                put(msg)
            if show is not None:
                show(_seen(client, past, lost))
