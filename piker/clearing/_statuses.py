"""What clients are told of an order."""

from __future__ import annotations

import time

from piker.msgs import Status

from ._dialog import Dialog, Tell
from ._fates import dest_of


def status_of(dialog: Dialog, tell: Tell, seq: int) -> Status:
    """Return what clients are told of a dialog, as it is now."""
    return Status(
        seq=seq,
        time_ns=time.time_ns(),
        oid=dialog.oid,
        resp=tell.resp,
        req=dialog.order,
        reqid=dialog.reqid,
        src=_source(dialog, tell),
        filled=dialog.filled,
        cancel_called=dialog.cancel_called,
        edit_id=dialog.edits[-1] if dialog.edits else "",
        reason=tell.reason,
        fill=tell.fill,
        trigger_price=tell.price,
    )


def _source(dialog: Dialog, tell: Tell) -> str:
    """Return who says so."""
    if tell.resp in ("dark_open", "triggered"):
        return "dark"
    if tell.resp == "pending" or dialog.limit is None:
        return "ems"
    return dest_of(dialog.order).removeprefix("brokerd.").partition(".")[0]
