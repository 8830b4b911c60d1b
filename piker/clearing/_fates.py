"""What a broker's message is to an order: which happening, of which order."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

from piker.msgs import (
    PAPER,
    BrokerdCancel,
    BrokerdError,
    BrokerdFill,
    BrokerdOrder,
    BrokerdOrderAck,
    BrokerdStatus,
    Fqme,
    OpenOrder,
    Order,
    SentTif,
)

from ._dialog import Dialog, Happening, Kind

#: A broker's message about one order.
Fate = BrokerdOrderAck | BrokerdStatus | BrokerdFill | BrokerdError

_KINDS: Final[dict[str, Kind | None]] = {
    "pending": None,
    "open": "open",
    "closed": "closed",
    "canceled": "gone",
    "unknown": "absent",
}
_REFUSED: Final[dict[str, Kind]] = {
    "order": "refused_order",
    "edit": "refused_edit",
    "cancel": "refused_cancel",
}


def happening_of(msg: Fate, *, is_answer: bool) -> Happening | None:
    """Return what *msg* is to its order, None if nothing comes of it.

    Args:
      msg: about one order.
      is_answer: it answers a Reconcile, so an order that is open there was found.
    """
    match msg:
        case BrokerdOrderAck():
            return Happening(kind="ack", reqid=msg.reqid, rev=msg.rev)
        case BrokerdFill():
            return Happening(kind="fill", reqid=msg.reqid, fill=msg)
        case BrokerdError():
            return Happening(
                kind=_REFUSED[msg.request],
                reqid=msg.reqid or None,
                rev=msg.rev,
                reason=msg.reason,
            )
        case BrokerdStatus():
            kind = _KINDS[msg.status]
            if is_answer and msg.status in ("open", "pending"):
                kind = "found"  # it is there, whether it rests already or not
            if kind is None:
                return None
            return Happening(
                kind=kind,
                reqid=msg.reqid or None,
                rev=msg.rev,
                status=msg,
                reason=msg.reason,
            )


# -- the other way: what a broker is asked for ---------------------------------------


def dest_of(order: Order) -> str:
    """Return the daemon that an order of this account and market goes to."""
    if order.account == PAPER:
        return f"paperboi.{_names(order.symbol)[0]}"
    return f"brokerd.{order.account.partition('.')[0]}"


@lru_cache(maxsize=4096)
def _names(fqme: str) -> tuple[str, str]:
    """Return a market's broker, and its name without that."""
    market = Fqme.parse(fqme)
    return market.broker, market.bs_fqme


def request_of(
    dialog: Dialog, what: Literal["order", "edit", "cancel"], time_ns: int
) -> BrokerdOrder | BrokerdCancel:
    """Return what is sent to the broker for a dialog, as it is now."""
    order = dialog.to_send
    if what == "cancel":
        return BrokerdCancel(
            oid=order.oid,
            account=order.account,
            time_ns=time_ns,
            reqid=dialog.reqid,
        )
    assert order.action != "alert", "an alert is never sent"
    return BrokerdOrder(
        oid=order.oid,
        rev=dialog.rev,
        account=order.account,
        time_ns=time_ns,
        symbol=_names(order.symbol)[1],
        action=order.action,
        price=dialog.price_to_send,
        size=order.size,
        reqid=dialog.reqid if what == "edit" else None,
        reduce_only=order.reduce_only,
        **_terms_of(order),
    )


def _terms_of(order: Order) -> dict[str, Any]:
    """Return how long an order lives at its broker, and what it waits for there."""
    tif: SentTif = "gtc"
    if order.tif in ("ioc", "fok"):
        tif = order.tif
    elif order.otype == "market" and not order.is_stop:
        tif = "ioc"
    return {
        "tif": tif,
        "post_only": order.post_only,
        "trigger": order.trigger if order.is_stop else None,
        "otype": order.otype if order.is_stop else "limit",
    }


def open_order_of(dialog: Dialog) -> OpenOrder:
    """Return how an order that may be at the broker is told in a Reconcile."""
    order = dialog.to_send
    assert order.action != "alert", "an alert is never sent"
    return OpenOrder(
        rev=dialog.rev,
        symbol=_names(order.symbol)[1],
        action=order.action,
        price=dialog.price_to_send,
        size=order.size,
        reqid=dialog.reqid or "",
        **_terms_of(order),
    )
