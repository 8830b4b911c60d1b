"""What IB says of orders, executions and fees, as values: pure; BadPayload for others.

what the library decodes --order_told, exec_told, fee_told--> messages of ours
messages of one order --Row--> OrderState     an execution, its fee --> VenueTrade
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from ib_async import Contract, Execution
from ib_async.objects import CommissionReport
from ib_async.order import Order, OrderState as LibState
from ib_async.util import UNSET_DOUBLE

from piker.brokers._live._mended import editions
from piker.brokers._live._venue import NewOrder, VenueTrade
from piker.brokers._payload import bad_payload, one_line
from piker.errors import BadPayload
from piker.msgs import NS

from ._order_rows import STATUSES, ZERO
from ._order_schemas import (
    ErrorTold,
    ExecTold,
    FeeTold,
    Holding,
    OrderTold,
    Side,
    StatusTold,
)
from ._reasons import without_accounts

#: Of numbers; what is more can't be one of a market.
_MOST: Final = Decimal(10) ** 15
_LEAST_EXPONENT: Final = -16
_MAX_S: Final = 9_000_000_000

_SIDES: Final[dict[str, Side]] = {
    "BUY": "buy", "BOT": "buy", "SELL": "sell", "SLD": "sell", "SSHORT": "sell",
    "SLONG": "buy",
}  # fmt: skip
#: Kinds of orders that have a limit, and those that wait for a price.
_LIMITED: Final = frozenset({"LMT", "LOC", "LIT", "STP LMT", "TRAIL LIMIT", "REL"})
_WAITING: Final = frozenset({"STP", "STP LMT", "STP PRT", "MIT", "LIT"})
_TRAILING: Final = frozenset({"TRAIL", "TRAIL LIMIT"})
#: Kinds of orders that `to_order` writes.
WRITTEN: Final = frozenset({"LMT", "MKT", "STP", "STP LMT"})

_COMBINATION: Final = "BAG"


# -- of the library --------------------------------------------------------------------


def order_told(
    contract: Contract, order: Order, state: LibState, *, is_over: bool = False
) -> OrderTold:
    """Return a message ``openOrder``, or ``completedOrder`` of one that is over."""
    kind = order.orderType
    trigger = order.auxPrice if kind in _WAITING else ZERO
    if kind in _TRAILING:
        trigger = order.trailStopPrice
    filled = number(order.filledQuantity) if is_over else None
    size = number(order.totalQuantity)
    if size < 0 or (filled or ZERO) < 0:
        raise _bad(order, f"a size of {min(size, filled or ZERO)}")
    return OrderTold(
        order_id=order.orderId if not is_over else 0,
        client_id=order.clientId if not is_over else 0,
        perm_id=order.permId,
        account=order.account,
        con_id=contract.conId,
        side=_side(order.action, order),
        kind=kind,
        # of one that is filled whole the list of those that are over tells 0
        size=max(size, filled or ZERO),
        limit=number(order.lmtPrice) if kind in _LIMITED else ZERO,
        trigger=number(trigger),
        tif=order.tif,
        ref=order.orderRef,
        outside_rth=order.outsideRth,
        status=_known(state.status, order),
        filled=filled,
        reason=one_line(without_accounts(state.completedStatus)) if is_over else "",
        is_over=is_over,
    )


def status_told(fields: list[str]) -> StatusTold:
    """Return a message ``orderStatus``: its fields, the number of the message first.

    ``3, orderId, status, filled, remaining, avgFillPrice, permId, parentId,
    lastFillPrice, clientId, whyHeld, mktCapPrice``
    """
    try:
        _, order_id, status, filled, _, _, perm_id, _, _, client_id, held, *_ = fields
        return StatusTold(
            order_id=int(order_id),
            client_id=int(client_id),
            perm_id=int(perm_id or 0),
            status=_known(status, fields),
            filled=_not_negative(number(filled), fields),
            why_held=one_line(held),
        )
    except ValueError as err:
        raise _bad(fields, one_line(err)) from None


def error_told(fields: list[str]) -> ErrorTold:
    """Return an error's message: ``4, version, id, code, text, ...``."""
    try:
        _, _, order_id, code, text, *_ = fields
        return ErrorTold(order_id=int(order_id), code=int(code), text=one_line(text))
    except ValueError as err:
        raise _bad(fields, err) from None


def exec_told(contract: Contract, execution: Execution) -> ExecTold:
    """Return a message ``execDetails``."""
    size = number(execution.shares)
    if size <= 0 or not execution.execId or len(execution.execId) > 100:
        raise _bad(execution, "an execution without its id or size")
    return ExecTold(
        exec_id=execution.execId,
        order_id=execution.orderId,
        client_id=execution.clientId,
        perm_id=execution.permId,
        account=execution.acctNumber,
        con_id=contract.conId,
        kind=contract.secType,
        currency=contract.currency.lower(),
        side=_side(execution.side, execution),
        size=size,
        price=number(execution.price),
        time_ns=_time_ns(execution.time),
        ref=execution.orderRef,
        liquidity=execution.lastLiquidity,
    )


def fee_told(report: CommissionReport) -> FeeTold:
    """Return a message ``commissionReport``."""
    if not report.execId:
        raise _bad(report, "a fee of nothing")
    return FeeTold(
        exec_id=report.execId,
        fee=number(report.commission),
        currency=report.currency.lower(),
    )


def holding_told(fields: list[str]) -> Holding:
    """Return a message ``position``.

    ``61, version, account, conId, symbol, secType, ..., position, avgCost``
    """
    try:
        _, _, account, con_id, _, kind, *_, size, _ = fields
        return Holding(
            account=account, con_id=int(con_id), kind=kind, size=number(size)
        )
    except ValueError as err:
        raise _bad(fields, one_line(err)) from None


def number(value: Any) -> Decimal:
    """Return a number as IB wrote it; what it leaves out is 0. Raises BadPayload."""
    if value in ("", None) or value == UNSET_DOUBLE:
        return ZERO
    try:
        # what a double can tell: IB counts in them, and 0.1 + 0.2 is no price
        exact = Decimal(f"{value:.15g}" if isinstance(value, float) else value)
    except (ArithmeticError, TypeError, ValueError):
        exact = Decimal("nan")
    exponent = exact.as_tuple().exponent
    if (
        not isinstance(exponent, int)
        or abs(exact) >= _MOST
        or exponent < _LEAST_EXPONENT
    ):
        raise BadPayload(f"not what ib documents: a number {str(value)[:40]!r}")
    # without an exponent: in JSON and ledgers it stands as it is
    return Decimal(f"{exact.normalize():f}") if exact else ZERO


def _side(word: str, raw: object) -> Side:
    if word not in _SIDES:
        raise _bad(raw, f"a side {word!r}")
    return _SIDES[word]


def _known(status: str, raw: object) -> str:
    if status not in STATUSES:
        raise _bad(raw, f"a status {one_line(status)!r}")
    return status


def _not_negative(amount: Decimal, raw: object) -> Decimal:
    if amount < 0:
        raise _bad(raw, f"a size of {amount}")
    return amount


def _time_ns(at: datetime) -> int:
    if at.tzinfo is None or not 0 <= at.timestamp() < _MAX_S:
        raise BadPayload(f"not what ib documents: a time {at!s:.40}")
    return int(at.replace(microsecond=0).timestamp()) * NS


def _bad(raw: object, why: object) -> BadPayload:
    # nothing else of it is shown: the number of an account stands in it
    names = ("execId", "permId", "perm_id", "orderId")
    told = [f"{name}={getattr(raw, name)!r}" for name in names if hasattr(raw, name)]
    return bad_payload("ib", " ".join(told or ["a message"]).encode(), why)


# -- what is sent ----------------------------------------------------------------------


def to_order(order: NewOrder, account: str, *, outside_rth: bool) -> Order:
    """Return an order as the library sends it.

    https://interactivebrokers.github.io/tws-api/basic_orders.html
    """
    kind = "LMT" if order.trigger is None else "STP LMT"
    if order.price is None:
        kind = "MKT" if order.trigger is None else "STP"
    return Order(
        action=order.side.upper(),
        totalQuantity=_plain(order.size),  # type: ignore[arg-type]  # as it is written
        orderType=kind,
        lmtPrice=_plain(order.price) if order.price is not None else UNSET_DOUBLE,
        auxPrice=_plain(order.trigger) if order.trigger is not None else UNSET_DOUBLE,
        tif=order.tif.upper(),
        orderRef=order.cl_id,
        account=account,
        outsideRth=outside_rth,
    )


def _plain(amount: Decimal) -> Decimal:
    """Return a number whose text has no exponent."""
    return Decimal(f"{amount:f}")


# -- executions ------------------------------------------------------------------------


def trade_of(told: ExecTold, fee: FeeTold | None) -> VenueTrade | None:
    """Return an execution as a trade; None of a combination's, whose legs are told.

    Args:
      told: it.
      fee: what it cost, None if that wasn't told yet: it is told again then.
    """
    if told.kind == _COMBINATION:
        return None
    paid_in = fee.currency if fee is not None else ""
    return VenueTrade(
        tid=told.exec_id,
        reqid=str(told.perm_id or ""),
        cl_id=told.ref,
        bs_mktid=str(told.con_id),
        side=told.side,
        price=told.price,
        size=told.size,
        fee=fee.fee if fee is not None else ZERO,
        fee_asset="" if paid_in == told.currency else paid_in,
        time_ns=told.time_ns,
        taker=told.liquidity == 2,
        has_editions=True,
    )


def newest_execs(told: Iterable[ExecTold]) -> list[ExecTold]:
    """Return executions in order of time, of corrected ones the newest alone."""
    by_id = {one.exec_id: one for one in told}
    kept = [
        one
        for one in by_id.values()
        if not any(each in by_id for each in editions(one.exec_id)[1])
    ]
    return sorted(kept, key=lambda one: (one.time_ns, one.exec_id))
