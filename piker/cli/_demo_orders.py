"""The demo's trading: a market order, and a dark one that waits for a price. On paper.

first quote --> open_ems --> buy at the market --> sell half of it from the dark
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import trio

from piker.errors import PikerError
from piker.msgs import BrokerdPosition, MktPair, Order, Status

from ._order_words import has_ended, sentence
from ._run import say

if TYPE_CHECKING:
    from piker.clearing import OrderClient, TradesMsg

#: Quote units that the demo buys for.
WORTH: Final = 200
_LINES: Final = 4


@dataclass(eq=False)
class Desk:
    """What the demo has traded.

    Attributes:
      orders: ids of those that were taken.
      fills: how many there were.
      position: in the market, base units.
      settled: set once nothing more is to be waited for.
      lines: the newest things that became of orders, in words.
    """

    orders: set[str] = field(default_factory=set)
    fills: int = 0
    position: Decimal = Decimal(0)
    settled: trio.Event = field(default_factory=trio.Event)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))

    def take(self, msg: TradesMsg) -> None:
        """Take what was told."""
        if isinstance(msg, BrokerdPosition):
            self.position = msg.size
        if not isinstance(msg, Status):
            return
        if msg.resp != "error":
            self.orders.add(msg.oid)
        self.fills += msg.resp == "fill"
        self.lines.append(sentence(msg).partition(" ")[2])

    def view(self) -> str:
        """Return it in a few lines."""
        return "\n".join([*self.lines, f"held on paper: {self.position:f}"])


async def trade(desk: Desk, mkt: MktPair, last: float) -> None:
    """Buy at the market, sell half of that from the dark; take what is told, for ever.

    What goes wrong is said: the market is shown all the same.

    Args:
      desk: takes note.
      mkt: which market.
      last: its price, quote units.
    """
    from piker.clearing import open_ems

    try:
        async with open_ems(mkt.fqme) as (client, trades, *_):
            await _buy(client, desk, size_of(mkt, last))
            async for msg in trades:
                desk.take(msg)
                if isinstance(msg, BrokerdPosition) and len(desk.orders) == 1:
                    await _sell_in_the_dark(client, desk, mkt, msg)
                elif _is_enough(msg):
                    desk.settled.set()
    except PikerError as err:
        say(f"no orders in this demo: {err}")
    finally:
        desk.settled.set()


def size_of(mkt: MktPair, last: float) -> Decimal:
    """Return what the demo buys, at least twice the market's smallest size."""
    least = 2 * mkt.size_tick
    return max(mkt.quantize(WORTH / last / float(mkt.multiplier)), least)


def _is_enough(msg: TradesMsg) -> bool:
    """Tell whether nothing more need be waited for: the dark order is held."""
    if not isinstance(msg, Status) or msg.req is None:
        return False
    is_dark = msg.req.exec_mode == "dark"
    return is_dark or (has_ended(msg) and not msg.filled)


async def _buy(client: OrderClient, desk: Desk, size: Decimal) -> None:
    from piker.clearing import new_oid

    order = Order(
        oid=new_oid(), action="buy", symbol=client.fqme, size=size, otype="market"
    )
    desk.orders.add((await client.send(order)).oid)


async def _sell_in_the_dark(
    client: OrderClient, desk: Desk, mkt: MktPair, held: BrokerdPosition
) -> None:
    """Sell half once the price is back at what was paid, or as soon as it is above."""
    from piker.clearing import new_oid

    half = max(mkt.quantize(held.size / 2), mkt.size_tick)
    order = Order(
        oid=new_oid(), action="sell", symbol=client.fqme, size=half, exec_mode="dark",
        price=mkt.order_price(held.avg_price),
    )  # fmt: skip
    desk.orders.add((await client.send(order)).oid)
