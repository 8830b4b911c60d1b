"""What a client knows of its orders, and how it asks for more; toolkit-free.

    order mode --intents--> Trading --> emsd          emsd --> lines, fills, toasts

emsd is found when the client starts, and again whenever it was lost: a chart shows
prices without it, and says so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import trio

from piker.clearing import (
    EmsDown,
    EmsUp,
    OrderClient,
    TradesMsg,
    halt,
    open_ems,
)
from piker.errors import PikerError, UsageError
from piker.log import get_logger
from piker.msgs import PAPER, BrokerdPosition, EmsState, MktPair, Status

from ._market import tell_one
from ._order_events import (
    CancelAll,
    CancelOrders,
    ChangePrice,
    Halt,
    Intent,
    Submit,
)
from ._order_lines import FillMark, OrderLine, fill_marks, order_lines

log = get_logger(__name__)

_FILLS_KEPT: Final = 2000
_RETRY_S: Final = 1.0

#: How a message is meant: something went well, is to be looked at, or went wrong.
Tone = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Toast:
    """Something to be told at once.

    Attributes:
      text: one sentence.
      tone: how it is meant.
    """

    text: str
    tone: Tone = "note"


@dataclass(eq=False)
class Trading:
    """Orders, positions and what may be done.

    Attributes:
      mode: ``live`` orders may go to accounts at brokers.
      down: why emsd can't be reached, empty if it can.
      listeners: told after each message.
      on_toast: told what is to be told at once.
    """

    mode: Literal["paper", "live"] = "paper"
    down: str = "emsd isn't reached yet"
    listeners: set[Callable[[], None]] = field(default_factory=set)
    on_toast: set[Callable[[Toast], None]] = field(default_factory=set)
    _client: OrderClient | None = None
    _halt: Callable[[str], Awaitable[EmsState]] = halt
    _fills: deque[Status] = field(default_factory=lambda: deque(maxlen=_FILLS_KEPT))
    _marks: dict[str, tuple[FillMark, ...]] = field(default_factory=dict)
    _opened_ns: int = 0

    @property
    def dialogs(self) -> Mapping[str, Status]:
        """The newest status of each open order, by id."""
        return self._client.dialogs if self._client is not None else {}

    @property
    def positions(self) -> Mapping[tuple[str, str], BrokerdPosition]:
        """What accounts hold, by (account, market)."""
        return self._client.positions if self._client is not None else {}

    @property
    def state(self) -> EmsState | None:
        """What keeps orders from being worked."""
        return self._client.state if self._client is not None else None

    @property
    def halted(self) -> str:
        """Why trading is halted by command, empty if it isn't."""
        return self.state.halted if self.state is not None else ""

    def lines(self, mkt: MktPair) -> tuple[OrderLine, ...]:
        """Return the lines of a market's open orders."""
        return order_lines(self.dialogs, mkt)

    def fills(self, fqme: str) -> tuple[FillMark, ...]:
        """Return the fills of a market that were told, oldest first."""
        if fqme not in self._marks:
            self._marks[fqme] = fill_marks(self._fills, fqme)
        return self._marks[fqme]

    # -- emsd -----------------------------------------------------------------------

    async def run(self, fqme: str = "") -> None:
        """Be a client of emsd until cancelled; it is looked for as long as it lacks.

        Args:
          fqme: of live trading, the market whose broker's accounts may be used; where
            it takes no live orders, that is told, and paper is left.
        """
        self._opened_ns = time.time_ns()
        while True:
            try:
                await self._hold(fqme if self.mode == "live" else "")
            except UsageError as err:
                if self.mode == "live":
                    self.mode = "paper"
                    self.toast(f"only paper orders can be placed: {err}", "bad")
                    continue
                self._note_down(err)
            except PikerError as err:
                self._note_down(err)
            await trio.sleep(_RETRY_S)

    async def _hold(self, fqme: str) -> None:
        async with open_ems(fqme, self.mode) as (client, stream, *_):
            self._client, self.down = client, ""
            self._tell()
            async for msg in stream:
                self._take(msg)
                self._tell()

    def _note_down(self, err: PikerError) -> None:
        if str(err) != self.down:
            log.warning("no emsd: %s", err)
            self.toast(f"orders can't be placed: {err}", "bad")
        self._client, self.down = None, str(err)
        self._tell()

    @property
    def accounts(self) -> tuple[str, ...]:
        """Accounts that orders may be sent for; paper's first."""
        told = self._client.accounts if self._client is not None else ()
        return tuple(dict.fromkeys((PAPER, *told)))

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            tell_one(listener)

    def toast(self, text: str, tone: Tone = "note") -> None:
        """Have something told at once."""
        for listener in tuple(self.on_toast):
            tell_one(partial(listener, Toast(text, tone)))

    def _take(self, msg: TradesMsg) -> None:
        match msg:
            case EmsDown():
                self.down = msg.reason
                self.toast(f"lost emsd: {msg.reason}", "bad")
            case EmsUp():
                self.down = ""
                self.toast("emsd is back", "good")
            case Status():
                self._take_status(msg)

    def _take_status(self, status: Status) -> None:
        fill = status.fill
        if fill is not None:
            self._fills.append(status)
            self._marks.pop(fill.symbol, None)
        if status.time_ns < self._opened_ns:
            return  # what was before is no news
        order = status.req
        what = f"{order.action} {order.symbol}" if order is not None else status.oid
        if fill is not None:
            price, size = f"{fill.price:f}", f"{fill.size:f}"
            text = f"{fill.action} {size} {fill.symbol} at {price} on {fill.account}"
            self.toast(text, "good")
        elif status.resp == "triggered":
            self.toast(f"{what} fired at {status.trigger_price:f}")
        elif status.resp == "error":
            self.toast(f"{what} was refused: {status.reason}", "bad")
        elif status.resp == "canceled" and status.reason and not status.cancel_called:
            self.toast(f"{what} ended: {status.reason}")

    # -- what is asked ----------------------------------------------------------------

    async def do(self, intent: Intent) -> None:
        """Do what order mode wants of emsd; what comes of it is told, never raised."""
        try:
            await self._do(intent)
        except PikerError as err:
            self.toast(str(err), "bad")

    async def _do(self, intent: Intent) -> None:
        client: Any = self._client
        if isinstance(intent, Halt):
            await self._halt("by the chart's halt key")
            self.toast("trading is halted", "bad")
            return
        if client is None or self.down:
            self.toast(f"emsd isn't reached, so it isn't done: {self.down}", "bad")
            return
        match intent:
            case Submit(order):
                await client.send(order)
            case ChangePrice(oid, price, trigger, size):
                await client.update(oid, price=price, trigger=trigger, size=size)
            case CancelOrders(oids) | CancelAll(oids):
                async with trio.open_nursery() as tasks:
                    for oid in oids:
                        tasks.start_soon(self._cancel, oid)

    async def _cancel(self, oid: str) -> None:
        assert self._client is not None, "it was looked at"
        try:
            await self._client.cancel(oid)
        except PikerError as err:
            self.toast(str(err), "bad")
