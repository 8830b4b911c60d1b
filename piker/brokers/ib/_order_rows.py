"""An order as several messages tell of it: pure.

OrderTold: its terms | StatusTold: how far it is --> Row --> OrderState
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from piker.brokers._live._venue import OrderState, State
from piker.errors import BadPayload

from ._order_schemas import OrderTold, StatusTold

ZERO: Final = Decimal(0)

#: On its way: IB's servers haven't taken it yet.
PENDING: Final = frozenset({"PendingSubmit", "ApiPending"})
INACTIVE: Final = "Inactive"
CANCELLED: Final = frozenset({"Cancelled", "ApiCancelled", INACTIVE})
FILLED: Final = "Filled"
#: All that there are.
STATUSES: Final = (
    PENDING | CANCELLED | {"PreSubmitted", "Submitted", "PendingCancel", FILLED}
)


@dataclass(frozen=True)
class Row:
    """An order as several messages tell of it.

    Attributes:
      order: the newest message with its terms.
      status: the newest word on how far it is.
      filled: base units; it only rises.
      reason: why it ended, if that was told.
    """

    order: OrderTold
    status: str
    filled: Decimal = ZERO
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in CANCELLED or self.status == FILLED


def is_other(row: Row, told: OrderTold | StatusTold) -> bool:
    """Tell whether a message is of another order, which has the same number."""
    known = row.order.perm_id
    return bool(known and told.perm_id and known != told.perm_id)


def with_order(row: Row | None, told: OrderTold) -> Row:
    """Return what is known of an order after a message with its terms."""
    status = told.status
    filled = max(row.filled if row else ZERO, told.filled or ZERO)
    if status == FILLED:
        filled = max(filled, told.size)
    if row is not None and row.is_over:
        status = row.status  # it stays so, whatever comes late
    reason = told.reason or (row.reason if row else "")
    return Row(told, status, filled, reason)


def with_status(row: Row, told: StatusTold) -> Row:
    """Return what is known of an order after a word on how far it is."""
    filled = max(row.filled, told.filled)
    status = row.status if row.is_over else told.status
    order = row.order
    if told.perm_id and not order.perm_id:  # given since
        order = replace(order, perm_id=told.perm_id)
    return Row(order, status, filled, row.reason)


def state_of(row: Row, time_ns: int) -> OrderState:
    """Return an order as of *time_ns*, which IB doesn't tell."""
    order = row.order
    if not order.perm_id:
        raise BadPayload("not what ib documents: an order without its number")
    size = max(order.size, row.filled)
    state: State = "open"
    if row.status == FILLED or 0 < size <= row.filled:
        state = "closed"
    elif row.status in CANCELLED:
        state = "canceled"
    return OrderState(
        cl_id=order.ref,
        reqid=str(order.perm_id),
        bs_mktid=str(order.con_id),
        side=order.side,
        price=order.limit,
        size=size,
        filled=row.filled,
        state=state,
        time_ns=time_ns,
        reason=row.reason if state == "canceled" else "",
        trigger=order.trigger,
    )


def rows_of(told: Iterable[OrderTold | StatusTold]) -> list[Row]:
    """Return the orders of a list of messages, each with the last word on it."""
    rows: dict[tuple[int, int, int], Row] = {}
    for one in told:
        if isinstance(one, OrderTold):
            key = key_of(one)
            rows[key] = with_order(rows.get(key), one)
        elif (key := key_of(one)) in rows:
            rows[key] = with_status(rows[key], one)
    return list(rows.values())


def key_of(told: OrderTold | StatusTold) -> tuple[int, int, int]:
    """Return what tells one order from all others: its client's number for it.

    One that has none, placed in TWS or over, has its own for good.
    """
    if told.order_id and told.client_id >= 0:
        return (told.client_id, told.order_id, 0)
    return (0, 0, told.perm_id)
