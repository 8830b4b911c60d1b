"""Orders and their trades as TWS tells them: openOrder, orderStatus, execDetails ...

Each row is a message of the published protocol at version 178, field by field.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

from ._exchange import ZERO, Order, Trade
from ._tws_contracts import row_of
from ._tws_fields import UNSET
from ._tws_ticket import Ticket
from ._tws_times import stamp

_ZONE: Final = "US/Eastern"
#: What clients read as a whole number that isn't there.
UNSET_INT: Final = 2147483647


class Margins(NamedTuple):
    """What an order would do to an account: each is before, change and after."""

    initial: tuple[Decimal, Decimal, Decimal]
    maintenance: tuple[Decimal, Decimal, Decimal]
    equity: tuple[Decimal, Decimal, Decimal]
    commission: Decimal
    currency: str


def status_row(ticket: Ticket, status: str, order: Order | None) -> list[Any]:
    """Return an orderStatus, message 3.

    Args:
      order: as it was then.
    """
    filled = order.filled if order else ZERO
    left = order.left if order else ticket.written.size
    mean = order.paid / filled if order and filled else ZERO
    last = ticket.trades[-1].price if ticket.trades and filled else ZERO
    return [
        3, ticket.order_id, status, filled, left, mean, ticket.perm_id, 0, last,
        ticket.client_id, "", 0,
    ]  # fmt: skip


def _head(ticket: Ticket) -> list[Any]:
    """Return what an order is, up to its reference."""
    one = ticket.written
    return [
        *row_of(ticket.listed, ticket.exchange), one.action, one.size, one.kind,
        one.limit if one.limit is not None else "0.0",
        one.stop if one.stop is not None else "0.0", one.tif or "DAY", "",
        ticket.account, "", 0, one.ref,
    ]  # fmt: skip


def open_row(ticket: Ticket, status: str, margins: Margins | None = None) -> list[Any]:
    """Return an openOrder, message 5; with *margins* that of an order that isn't."""
    one = ticket.written
    told = _margins(margins)
    return [
        5, ticket.order_id, *_head(ticket), ticket.client_id, ticket.perm_id,
        one.outside_rth, one.hidden, "0", "",
        "",  # no shares' allocation
        "", "", "",  # nor of advisors
        "", "", "", UNSET, "", 0, "", -1, 0, UNSET, UNSET, UNSET, UNSET, UNSET,
        0, False, False, False, UNSET_INT, 3, False, False, UNSET, 0, 0, UNSET, 0, "",
        "",  # no delta neutral price, as there is no such order
        0, 0, UNSET, UNSET, UNSET, UNSET_INT, "",
        0, 0, 0,  # no legs, no prices of legs, no parameters
        UNSET_INT, UNSET_INT, "",  # no scale
        "",  # no hedge
        False, "", "IB", False, 0,
        "",  # no algorithm
        False, margins is not None, status, *told, False, False,
        0,  # no conditions
        "None", UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, 0, "", "", "", 0, False,
        False, False, 0,
        UNSET_INT, UNSET_INT, False,
        UNSET_INT, UNSET_INT, UNSET, UNSET, UNSET,
    ]  # fmt: skip


def _margins(margins: Margins | None) -> list[Any]:
    """Return the state of an order after its status."""
    if margins is None:
        return [UNSET] * 9 + [UNSET, UNSET, UNSET, "", ""]
    rows = (margins.initial, margins.maintenance, margins.equity)
    return [
        *(row[nth] for nth in range(3) for row in rows), margins.commission, UNSET,
        UNSET, margins.currency, "",
    ]  # fmt: skip


def completed_row(ticket: Ticket) -> list[Any]:
    """Return a completedOrder, message 101."""
    one, order = ticket.written, ticket.order
    filled = order.filled if order else ZERO
    state = f"Filled Size: {filled}" if filled else "Cancelled by Trader"
    return [
        101, *_head(ticket), ticket.perm_id, one.outside_rth, one.hidden, "0", "",
        "", "", "",
        "", "", "", UNSET, "", 0, "", -1, UNSET, UNSET, UNSET, UNSET, UNSET,
        0, False, False, UNSET_INT, 3, 0, UNSET, 0, "", "",
        0, 0, UNSET, UNSET, "",
        0, 0, 0,
        UNSET_INT, UNSET_INT, "",
        "",
        "", "IB", False, 0,
        "",
        False, ticket.status, False, False,
        0,
        UNSET, UNSET, 0, False, False, "", filled, 0, False, "", False, False, "0",
        stamp(ticket.ended_ms / 1000, 1, _ZONE), state,
        UNSET_INT, UNSET_INT, UNSET, UNSET, UNSET,
    ]  # fmt: skip


def exec_id(trade: Trade) -> str:
    """Return the id of a trade, which is its own for either side of it."""
    return f"0000e0d5.{trade.order.serial:08x}.{trade.tid:04x}.01"


def trade_row(ticket: Ticket, trade: Trade, req_id: int = -1) -> list[Any]:
    """Return an execDetails, message 11; *req_id* is -1 as it happens."""
    order = trade.order
    where = ticket.listed.primary or ticket.listed.exchanges[0]
    # a trade of an order of the screen has no number there, not 0
    order_id = ticket.order_id or UNSET_INT
    return [
        11, req_id, order_id, *row_of(ticket.listed, ticket.exchange),
        exec_id(trade), stamp(trade.time_ms / 1000, 1, _ZONE), ticket.account, where,
        "BOT" if order.side == "buy" else "SLD", trade.size, trade.price,
        ticket.perm_id, ticket.client_id, 0, order.filled, order.paid / order.filled,
        ticket.written.ref, "", UNSET, "", 1 if trade.is_maker else 2, False,
    ]  # fmt: skip


def commission_row(trade: Trade, profit: Decimal) -> list[Any]:
    """Return a commissionReport, message 59; *profit* is what the trade realized."""
    told: Any = profit - trade.fee if profit else UNSET
    return [59, 1, exec_id(trade), trade.fee, trade.fee_asset, told, UNSET, ""]
