"""What is said of orders when nobody looks after them any more."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

from piker import config
from piker.errors import PikerError
from piker.msgs import EmsMsg, EmsState, Order, Status
from piker.service import Services

from ._dialog import Dialog
from ._fates import dest_of
from ._journal import journal_path, view_journal
from ._notify import Notifier, open_notifier

#: Whether it is on paper -> what one order does there, and what several do.
_VERBS: Final = {
    True: ("waits", "wait"),
    False: ("stays resting", "stay resting"),
}
_TMPFS: Final = {"tmpfs", "ramfs"}


def orders_left() -> str:
    """Return in a sentence which orders live on in the journal; empty if none does.

    Raises: JournalTooNew, JournalDamaged.
    """
    try:
        with view_journal(journal_path()) as journal:
            return left_text(journal.live())
    except FileNotFoundError:
        return ""


def left_text(dialogs: list[Dialog]) -> str:
    """Return in a sentence what becomes of *dialogs* while no emsd runs."""
    darks = sum(one.state == "dark" for one in dialogs)
    resting = Counter(dest_of(one.order) for one in dialogs if one.state != "dark")
    parts = []
    if darks:
        parts.append(f"{_count(darks, 'dark order or alert')} no longer watched")
    for dest, count in sorted(resting.items()):
        one, many = _VERBS[dest.startswith("paperboi.")]
        what = f"order {one}" if count == 1 else f"orders {many}"
        parts.append(f"{count} {what} at {dest.removeprefix('brokerd.')}")
    return "; ".join(parts)


def _count(count: int, what: str) -> str:
    head, _, tail = what.partition(" or ")
    many = f"{head}s or {tail}s" if count != 1 else what
    return f"{count} {many} {'are' if count != 1 else 'is'}"


def notice_of(msg: EmsMsg, told: EmsState | None) -> tuple[str, str] | None:
    """Return title and text of what a user is to be told of a message, None if nothing.

    Args:
      msg: what every client is told.
      told: the last EmsState before it.
    """
    if isinstance(msg, EmsState):
        return _notice_of_state(msg, told)
    if isinstance(msg, Status) and msg.req is not None and msg.seq:
        return _notice_of_order(msg, msg.req)
    return None


def _notice_of_state(msg: EmsState, told: EmsState | None) -> tuple[str, str] | None:
    before = told.unwatched if told else {}
    fresh = {name: why for name, why in msg.unwatched.items() if name not in before}
    if not fresh:
        return None
    lines = [f"{fqme}: {why}" for fqme, why in sorted(fresh.items())]
    return "piker: orders aren't watched", "\n".join(lines)


def _notice_of_order(msg: Status, order: Order) -> tuple[str, str] | None:
    if msg.resp == "triggered":
        kind = "alert" if order.action == "alert" else f"dark {order.action} sent"
        text = f"{order.symbol} reached {msg.trigger_price}"
        return f"piker: {kind}", f"{text}; {msg.reason}" if msg.reason else text
    if msg.resp == "dark_open" and "reached" in msg.reason:
        return "piker: a missed cross", f"{order.symbol}: {msg.reason}"
    if msg.resp == "error" and order.exec_mode == "dark":
        return "piker: a dark order was refused", f"{order.symbol}: {msg.reason}"
    return None


async def watch_over(services: Services) -> None:
    """Tell the user, from pikerd, when emsd is given up while orders wait for it.

    Args:
      services: pikerd's.
    """
    async with (
        open_notifier(config.load_config().clearing.notify) as notifier,
        services.subscribe() as events,
    ):
        async for event in events:
            if event.name == "emsd" and event.state in ("quarantined", "stopped"):
                _tell_left(notifier, event.reason)


def _tell_left(notifier: Notifier, reason: str) -> None:
    try:
        left = orders_left()
    except PikerError as err:
        left = str(err)
    if left:
        notifier.tell("piker: orders aren't looked after", f"{left}: emsd: {reason}")


def is_in_memory(path: Path) -> bool:
    """Tell whether *path* lies on a file system that a power cut empties."""
    there = os.path.realpath(path)
    best, kind = "", ""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            fields, _, rest = line.partition(" - ")
            point = fields.split()[4]
            inside = there == point or there.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, rest.split()[0]
    return kind in _TMPFS
