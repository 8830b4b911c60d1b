"""What was typed about an order, made into a message; and orders as rows and sentences.

Pure: it asks nobody and prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, get_args

from piker.errors import UsageError
from piker.msgs import NS, PAPER, Order, Side, Status, Tif

if TYPE_CHECKING:
    from rich.console import RenderableType

    from piker.msgs import EmsState

TIFS: Final = get_args(Tif)
#: What an order is when nothing more comes of it.
ENDED: Final = frozenset({"closed", "canceled", "error"})
_WORDS: Final = {
    "pending": "pending",
    "open": "open",
    "dark_open": "dark",
    "triggered": "triggered",
    "fill": "open",
    "closed": "filled",
    "canceled": "cancelled",
    "error": "rejected",
}
_STYLES: Final = {
    "pending": "yellow",
    "open": "green",
    "dark": "cyan",
    "triggered": "bold cyan",
    "filled": "bold green",
    "cancelled": "dim",
    "rejected": "red",
}
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_OID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NUMBERS: Final = ("size", "filled", "price", "trigger")


@dataclass(frozen=True, kw_only=True)
class Typed:
    """An order as it was typed; numbers and times are texts still.

    Attributes:
      buy, sell: the size, of one of them.
      limit: price.
      market: at any price within the band.
      dark: held by emsd until its price is reached.
      trigger: price at which a dark one fires, where that isn't its limit.
      tif: how long it lives, empty where it wasn't said.
      until: end of a ``gtd`` one, ISO 8601; UTC where no zone is told.
      post_only, reduce_only: as of `Order`.
      account: as typed.
    """

    buy: str | None = None
    sell: str | None = None
    limit: str | None = None
    market: bool = False
    dark: bool = False
    trigger: str | None = None
    tif: str = ""
    until: str | None = None
    post_only: bool = False
    reduce_only: bool = False
    account: str = PAPER


def number_of(text: str, what: str) -> Decimal:
    """Return a size or a price; UsageError unless it is a number above 0."""
    if _NUMBER.fullmatch(text.strip()):
        try:
            value = Decimal(text.strip())
        except InvalidOperation:
            value = Decimal(0)
        if value > 0:
            return value
    raise UsageError(f"a {what} is a number above 0, got {text!r}")


def maybe_number(text: str | None, what: str) -> Decimal | None:
    """Return what :func:`number_of` does, None of nothing."""
    return None if text is None else number_of(text, what)


def checked_oid(text: str) -> str:
    """Return an order's id; UsageError if it can be none."""
    if not _OID.fullmatch(text):
        raise UsageError(f"an order's id is 1 to 64 of A-Za-z0-9_.:-, got {text!r}")
    return text


def account_of(text: str, broker: str) -> str:
    """Return an account as orders name it: ``paper``, or ``<broker>.<label>``.

    Args:
      text: as typed; ``<broker>.paper``, as ledgers name it, is ``paper``.
      broker: of the market.
    """
    if text in (PAPER, f"{broker}.{PAPER}"):
        return PAPER
    if text.startswith(f"{broker}.") and text.count(".") == 1 and text[-1] != ".":
        return text
    raise UsageError(
        f"no account {text!r} for a market of {broker}: it is paper, or {broker}.LABEL"
    )


def order_of(typed: Typed, oid: str, symbol: str, account: str) -> Order:
    """Return the order that was typed.

    Args:
      typed: what was.
      oid: its id.
      symbol: name of its market.
      account: as orders name it.

    Raises: UsageError: it can't be meant so.
    """
    action, size = _side(typed)
    if typed.market == (typed.limit is not None):
        raise UsageError("an order has either --limit PRICE or --market: give one")
    if typed.trigger is not None and not typed.dark and account == PAPER:
        raise UsageError(
            "--trigger is of an order that waits in the dark: add --dark; at an account"
            " of a broker it is a stop of the venue's own"
        )
    tif, expires_ns = _life(typed)
    return Order(
        oid=oid,
        action=action,
        symbol=symbol,
        size=size,
        exec_mode="dark" if typed.dark else "live",
        account=account,
        price=maybe_number(typed.limit, "limit"),
        otype="market" if typed.market else "limit",
        tif=tif,
        expires_ns=expires_ns,
        post_only=typed.post_only,
        reduce_only=typed.reduce_only,
        trigger=maybe_number(typed.trigger, "trigger"),
    )


def _side(typed: Typed) -> tuple[Side, Decimal]:
    if (typed.buy is None) == (typed.sell is None):
        raise UsageError("an order has either --buy SIZE or --sell SIZE: give one")
    if typed.buy is not None:
        return "buy", number_of(typed.buy, "size")
    assert typed.sell is not None
    return "sell", number_of(typed.sell, "size")


def _life(typed: Typed) -> tuple[Tif, int]:
    if typed.tif and typed.tif not in TIFS:
        raise UsageError(f"--tif is one of {', '.join(TIFS)}, got {typed.tif!r}")
    if typed.until is None:
        if typed.tif == "gtd":
            raise UsageError("--tif gtd wants its end: give it with --until TIME")
        is_now = typed.market and not typed.dark and typed.trigger is None
        tif: Any = typed.tif or ("ioc" if is_now else "gtc")
        return tif, 0
    if typed.tif not in ("", "gtd"):
        raise UsageError(f"--until is of a gtd order, got --tif {typed.tif} with it")
    return "gtd", time_of(typed.until)


def time_of(text: str) -> int:
    """Return an ISO 8601 time, ns since the epoch; UTC where no zone is told."""
    try:
        at = datetime.fromisoformat(text.strip())
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return int(at.timestamp()) * NS + at.microsecond * 1000
    except (ValueError, OverflowError):
        raise UsageError(
            f"a time is written as 2026-11-28T20:30, UTC, got {text!r}"
        ) from None


# -- what is told ------------------------------------------------------------------


def state_word(status: Status) -> str:
    """Return in a word what an order is."""
    if status.cancel_called and status.resp not in ENDED:
        return "cancelling"
    return _WORDS[status.resp]


def has_ended(status: Status) -> bool:
    """Tell whether nothing more comes of an order."""
    is_alert = status.req is not None and status.req.action == "alert"
    return status.resp in ENDED or (is_alert and status.resp == "triggered")


def row_of(status: Status) -> dict[str, Any]:
    """Return an order as JSON has it: decimals are texts, what isn't there is null."""
    order = status.req
    row: dict[str, Any] = {
        "oid": status.oid,
        "state": state_word(status),
        "market": order.symbol if order else None,
        "account": order.account if order else None,
        "action": order.action if order else None,
        "type": _type_of(order) if order else None,
        "size": order.size if order else None,
        "filled": status.filled,
        "limit": order.price if order and order.action != "alert" else None,
        "trigger": _trigger_of(order) if order else None,
        "tif": order.tif if order else None,
        "until": show_time(order.expires_ns) if order and order.expires_ns else None,
        "post_only": order.post_only if order else None,
        "reduce_only": order.reduce_only if order else None,
        "reason": status.reason,
        "time": show_time(status.time_ns),
    }
    return row


def _type_of(order: Order) -> str:
    if order.action == "alert":
        return "alert"
    if order.is_stop:
        return "stop" if order.otype == "market" else "stop limit"
    return f"dark {order.otype}" if order.exec_mode == "dark" else order.otype


def _trigger_of(order: Order) -> Decimal | None:
    if order.trigger is None and (order.action == "alert" or order.exec_mode == "dark"):
        return order.price
    return order.trigger


def show_time(time_ns: int) -> str:
    """Return a time as ISO 8601, UTC, to the millisecond."""
    try:
        at = datetime.fromtimestamp(time_ns // NS, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ns % NS // 1_000_000:03}Z"


def phrase(order: Order) -> str:
    """Return in words what an order wants."""
    if order.action == "alert":
        level = order.price if order.price is not None else order.trigger
        return f"alert at {level:f} in {order.symbol}"
    words = [order.action, f"{order.size:f}", order.symbol]
    words.append("at the market" if order.price is None else f"at {order.price:f}")
    if order.exec_mode == "dark" or order.is_stop:
        words.append(f"once {_trigger_of(order):f} is reached")
    if order.tif != "gtc" and order.otype != "market":
        words.append(f"({order.tif})")
    return " ".join(words)


def sentence(status: Status) -> str:
    """Return what has become of an order: its id comes first."""
    text = f"{status.oid} {state_word(status)}"
    if status.req is not None:
        text += f": {phrase(status.req)}"
    if status.filled and status.resp != "closed":
        text += f", {status.filled:f} filled"
    if status.fill is not None:
        text += f" ({status.fill.size:f} at {status.fill.price:f})"
    return f"{text}; {status.reason}" if status.reason else text


def state_notes(state: EmsState | None) -> list[str]:
    """Return a sentence for each thing that keeps orders from being worked."""
    if state is None:
        return []
    notes = [f"trading is halted: {state.halted}"] if state.halted else []
    notes += [f"{name} can't be reached: {why}" for name, why in state.down.items()]
    notes += [f"{fqme} isn't watched: {why}" for fqme, why in state.unwatched.items()]
    return notes


def orders_view(statuses: Iterable[Status], notes: Iterable[str]) -> RenderableType:
    """Return orders as a table, with *notes* below it."""
    from rich.console import Group
    from rich.text import Text

    from ._show import new_table

    found = list(statuses)
    rows = [row_of(status) for status in found]
    columns = _columns(rows)
    whose = ["account"] if _are_live(rows) else []
    first = ("order", *whose, "market", "what")
    table = new_table(*first, *columns, "state", right=_NUMBERS)
    table.padding = (0, 1, 0, 0)
    for column in table.columns[len(first) - 2 : len(first)]:
        column.no_wrap, column.overflow = False, "ellipsis"  # the others aren't cut
    for row in rows:
        table.add_row(
            row["oid"],
            *(row[name] or "-" for name in whose),
            row["market"] or "-",
            _what(row),
            *(_cell(row, name) for name in columns),
            Text(row["state"], style=_STYLES.get(row["state"], "yellow")),
        )
    said = [
        Text(f"{each.oid}: {each.reason}", style="dim") for each in found if each.reason
    ]
    return Group(table, *said, *(Text(note, style="bold yellow") for note in notes))


def _are_live(rows: list[dict[str, Any]]) -> bool:
    """Return whether any order is of another account than paper."""
    return any(row["account"] not in (None, PAPER) for row in rows)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return which columns of numbers and ends say anything."""
    has_both = any(_cell(row, "trigger") != "-" for row in rows)
    is_timed = any(_cell(row, "tif") != "-" for row in rows)
    last = ["trigger"] if has_both else []
    return ["size", "filled", "price", *last, *(["tif"] if is_timed else [])]


def _what(row: dict[str, Any]) -> str:
    if row["action"] in (None, "alert"):
        return row["action"] or "-"
    return f"{row['action']} {row['type']}"


def _cell(row: dict[str, Any], name: str) -> str:
    """Return what a table shows: as the price its limit, or else its trigger.

    A trigger is shown where there are both, how long it lives where that isn't usual.
    """
    limit, trigger = row["limit"], row["trigger"]
    if name == "tif":
        is_usual = row["tif"] == "gtc" or row["type"] == "market"
        return "-" if is_usual else row["tif"] or "-"
    if name == "trigger":
        return _number(trigger) if limit and trigger != limit else "-"
    return _number((limit or trigger) if name == "price" else row[name])


def _number(value: Decimal | None) -> str:
    return f"{value.normalize():,f}" if value else "-"
