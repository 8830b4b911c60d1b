"""Whether an order may be taken, or leave: each gate refuses by name, in a sentence.

    Order --gates, in order--> Refusal of the first that says no | None: it may
    Edit --> the order as it would be --the same gates

Pure: what is known of market, account and time is handed in. A cancel passes no gate.
A dark order passes when it comes, as it is, and again when it fires, as it is sent; it
was counted for the rate when it came.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from piker.config import RiskConf
from piker.msgs import Edit, Order

from . import _gates as gates
from ._exact import plain
from ._gates import Known as Known, reducible as reducible
from ._refusal import Refusal

Gate = Callable[[Order, Known, RiskConf], str]

_LIVE: Final = frozenset({"live"})
_SENT: Final = _LIVE | {"dark"}
_ALL: Final = _SENT | {"alert"}
#: What is asked, in this order, and of whom: alerts, darks as they come, what leaves.
GATES: Final[tuple[tuple[str, Gate, frozenset[str]], ...]] = (
    ("shape", gates.shape, _ALL),
    ("unbuilt", gates.unbuilt, _ALL),
    ("market", gates.market, _ALL),
    ("account", gates.account, _SENT),
    ("halt", gates.halt, _SENT),
    ("size", gates.size, _ALL),
    ("lot", gates.lot, _SENT),
    ("tick", gates.tick, _ALL),
    ("limits", gates.limits, _SENT),
    ("stop", gates.stop, _LIVE),
    ("tif", gates.tif, _ALL),
    ("hours", gates.hours, _LIVE),
    ("max_size", gates.max_size, _SENT),
    ("max_notional", gates.max_notional, _SENT),
    ("price_band", gates.price_band, _LIVE),
    ("reduce_only", gates.reduce_only, _LIVE),
    ("max_open_orders", gates.max_open_orders, _LIVE),
    ("rate", gates.rate, _SENT),
)


def check_order(order: Order, known: Known, conf: RiskConf) -> Refusal | None:
    """Return why *order* may not be taken, None if it may.

    Args:
      order: as the client sent it, or `as_sent` of a dark one that fired.
      known: of its market and account.
      conf: limits.
    """
    kind = "alert" if order.action == "alert" else order.exec_mode
    for name, gate, whom in GATES:
        if kind in whom or gate is gates.shape:
            reason = gate(order, known, conf)
            if reason:
                return Refusal(name, reason)
    return None


def check_edit(
    edit: Edit, order: Order, known: Known, conf: RiskConf
) -> Order | Refusal:
    """Return the order as *edit* makes it, or why it may not.

    Args:
      edit: asked for.
      order: as it is in force.
      known: of its market and account, with what is filled of it; of its account's
        open orders, itself left out.
      conf: limits.
    """
    changes = {
        name: value
        for name in ("price", "size", "trigger")
        if (value := getattr(edit, name)) is not None
    }
    if not changes:
        return Refusal(
            "shape", "an edit changes a price, a size or a trigger, got none"
        )
    if edit.trigger is not None and order.trigger is None:
        return Refusal(
            "shape",
            f"{order.oid!r} has no trigger of its own to change: change its price",
        )
    changed = msgspec.structs.replace(order, **changes)
    refusal = check_order(changed, known, conf)
    if refusal is None and edit.size is not None and edit.size <= known.filled:
        return Refusal(
            "size",
            f"{plain(known.filled)} of {order.oid!r} is filled already, a whole"
            f" size of {plain(edit.size)} came; ask for more than that, or cancel"
            " the rest",
        )
    return refusal or changed


def as_sent(order: Order, price: Decimal) -> Order:
    """Return *order* as it leaves for its broker: live, with a limit of *price*.

    What was a market order never rests.
    """
    return msgspec.structs.replace(
        order,
        exec_mode="live",
        otype="limit",
        price=price,
        trigger=None,
        tif="ioc" if order.otype == "market" else order.tif,
        expires_ns=0 if order.otype == "market" else order.expires_ns,
    )
