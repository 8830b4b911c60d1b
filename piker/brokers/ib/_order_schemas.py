"""What IB says of orders, executions, fees and holdings; only what is used.

Made on the asyncio side of what the library decodes of the wire, whose numbers are
doubles there: the shortest decimal of each is what IB wrote.

https://interactivebrokers.github.io/tws-api/order_submission.html (openOrder,
orderStatus), https://interactivebrokers.github.io/tws-api/executions_commissions.html
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from piker.types import Struct

Side = Literal["buy", "sell"]


class OrderTold(Struct, frozen=True, kw_only=True, gc=False):
    """An order as it is: a message ``openOrder``, or ``completedOrder``.

    ``orderId=7 LMT BUY 100 @ 187.5 GTC ref='3f..' clientId=6136 permId=1748213021
    account=DU1234567 status=PreSubmitted``

    Attributes:
      order_id: of the client that placed it; 0 of one that has none.
      client_id: which client that is; 0 of TWS itself.
      perm_id: the same for good, in all of an account's sessions; 0 if not given yet.
      account: number.
      con_id: of the contract.
      kind: ``LMT``, ``STP``, ``STP LMT``, ``MKT``, ``TRAIL`` ...
      size: whole size.
      limit, trigger: quote units, 0 of an order without one.
      tif: ``DAY``, ``GTC``, ``IOC``, ``FOK`` ...
      ref: the text that its client gave it.
      outside_rth: it counts outside the regular hours, too.
      status: see `StatusTold`.
      filled: of one that is over, how much; None where that isn't told.
      reason: of one that is over, IB's words.
      is_over: told in the list of those.
    """

    order_id: int
    client_id: int
    perm_id: int
    account: str
    con_id: int
    side: Side
    kind: str
    size: Decimal
    limit: Decimal
    trigger: Decimal
    tif: str
    ref: str
    outside_rth: bool
    status: str
    filled: Decimal | None = None
    reason: str = ""
    is_over: bool = False


class StatusTold(Struct, frozen=True, kw_only=True, gc=False):
    """How far an order is: a message ``orderStatus``.

    ``orderId=7 status=Submitted filled=40 remaining=60 permId=1748213021
    clientId=6136``

    Attributes:
      status: ``PendingSubmit``, ``ApiPending``: on its way; ``PreSubmitted``: IB holds
        it, for its time or its trigger; ``Submitted``: at the exchange;
        ``PendingCancel``; ``Filled``, ``Cancelled``, ``ApiCancelled``: over;
        ``Inactive``: IB refused it, or holds it off the market.
      filled: base units, so far.
      why_held: e.g. ``locate``, of a short sale that waits for shares.
    """

    order_id: int
    client_id: int
    perm_id: int
    status: str
    filled: Decimal
    why_held: str = ""


class ExecTold(Struct, frozen=True, kw_only=True, gc=False):
    """A part of an order that was executed: a message ``execDetails``.

    ``execId=0000e0d5.5f1a0c3e.01.01 side=BOT shares=40 price=187.5 permId=1748213021
    time='20261127 15:04:05 US/Eastern' acctNumber=DU1234567 orderRef='3f..'``

    Attributes:
      exec_id: unique; of a correction the same but for what follows the last point.
      currency: that prices are in.
      kind: of the contract, e.g. ``STK``; of a combination ``BAG``, whose legs are told
        by themselves.
      time_ns: IB's, whole seconds.
      liquidity: 1: it rested, 2: it took, 3: it was routed away; 0: not told.
    """

    exec_id: str
    order_id: int
    client_id: int
    perm_id: int
    account: str
    con_id: int
    kind: str
    currency: str
    side: Side
    size: Decimal
    price: Decimal
    time_ns: int
    ref: str = ""
    liquidity: int = 0


class FeeTold(Struct, frozen=True, kw_only=True, gc=False):
    """What an execution cost: a message ``commissionReport``, some time after it.

    Attributes:
      fee: < 0 of a rebate.
      currency: in which it is paid.
    """

    exec_id: str
    fee: Decimal
    currency: str


class ErrorTold(Struct, frozen=True, kw_only=True, gc=False):
    """IB says that something is wrong, or only odd.

    Attributes:
      order_id: of the order or request it is about, -1 of none.
      code: https://interactivebrokers.github.io/tws-api/message_codes.html
      text: IB's words.
    """

    order_id: int
    code: int
    text: str


class Unread(Struct, frozen=True, kw_only=True, gc=False):
    """A message that couldn't be read.

    Attributes:
      what: which kind of message, and why.
    """

    what: str


class Holding(Struct, frozen=True, kw_only=True, gc=False):
    """What an account holds of a contract: a message ``position``.

    Attributes:
      size: < 0 of a short.
    """

    account: str
    con_id: int
    kind: str
    size: Decimal


#: What happens, in order.
Told = OrderTold | StatusTold | ExecTold | FeeTold | ErrorTold | Holding | Unread
