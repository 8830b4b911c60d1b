"""What answers a request about an order: pure, but for a short wait.

a word, what is known of its order --> the order, if that is an answer; or what a
refusal means
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import trio

from piker.brokers._live._venue import NewOrder, OrderGone, OrderRejected, OrderState
from piker.errors import VenueError
from piker.msgs import MktPair

from ._order_hub import Word
from ._order_reasons import (
    CANCELLED,
    NOT_CANCELLABLE,
    OF_CANCELS,
    error_of,
    is_notice,
)
from ._order_rows import INACTIVE, PENDING, Row
from ._order_schemas import ErrorTold, ExecTold, OrderTold

#: A cancel of what is being cancelled is refused with its state.
_IS_ENDING: Final = "state: PendingCancel"
#: A cancel is asked for again after so long, where it can't be done yet.
_AGAIN_S: Final = 0.3


def _refused(word: Word) -> VenueError | None:
    """Return what an error means for who placed or changed an order, if it is one."""
    if not isinstance(word, ErrorTold) or is_notice(word.code):
        return None
    if word.code == CANCELLED or word.code in OF_CANCELS:
        return None  # its end is told by itself
    return error_of(word.code, word.text)


async def placed(word: Word, row: Row | None) -> Row | None:
    """Return an order once IB has taken it, or it is over."""
    if (refused := _refused(word)) is not None:
        raise refused
    if row is None or not row.order.perm_id or row.status in PENDING:
        return None
    if row.status == INACTIVE:
        raise OrderRejected(f"ib: {row.reason or 'it holds the order as inactive'}")
    return row


async def amended(order: NewOrder, word: Word, row: Row | None) -> Row | None:
    """Return an order once it is told as it is wanted."""
    if (refused := _refused(word)) is not None:
        raise refused
    if row is not None and row.is_over:
        raise OrderGone(f"ib: the order is over: {row.reason or row.status}")
    wanted = (order.price or 0, order.trigger or 0, order.size)
    if isinstance(word, OrderTold) and wanted == (word.limit, word.trigger, word.size):
        return row
    return None


async def ended(word: Word, row: Row | None) -> Row | None:
    """Return an order once it is over."""
    if row is not None and row.is_over:
        return row
    if not isinstance(word, ErrorTold) or is_notice(word.code):
        return None
    if word.code == CANCELLED or _IS_ENDING in word.text:
        return None  # it goes on
    if word.code == NOT_CANCELLABLE:
        await trio.sleep(_AGAIN_S)  # it may be on its way to the exchange
    raise error_of(word.code, word.text)


def not_ours(row: Row, client_id: int) -> str:
    """Say why an order can't be changed, and what would do."""
    if not row.order.order_id:
        return (
            "an order placed in TWS by hand is changed there; a client of id 0"
            " (brokerd_id = 0 in [brokers.ib]) may change it, too"
        )
    return (
        f"it is an order of another client of ib's gateway, id {row.order.client_id},"
        f" and this one is {client_id}: that client or TWS may change it"
    )


def of_execs(execs: list[ExecTold], mkt: MktPair, now_ns: int) -> OrderState:
    """Return an order of which executions alone are told: it is over."""
    filled = sum((one.size for one in execs), Decimal(0))
    last = execs[-1]
    return OrderState(
        cl_id=last.ref,
        reqid=str(last.perm_id),
        bs_mktid=mkt.bs_mktid,
        side=last.side,
        price=Decimal(0),
        size=filled,
        filled=filled,
        state="closed",
        time_ns=now_ns,
    )
