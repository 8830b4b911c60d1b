"""What an order or an edit made on the chart would be, as things stand now.

    (action, price, Desk) --order_for--> Order | Say why not
    (Drag, Desk) ----------change_for--> ChangePrice | Say why not

Pure. Asked again later, and compared, they tell whether things stand as they did.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from piker.msgs import PAPER, Action, ExecMode, MktPair, Order, Side

from ._allocator import FLAT, Allocator, Lot, floored, is_closing, next_size, plain
from ._order_events import ChangePrice, Say
from ._order_lines import OrderLine, line_of, money

#: Which orders of real accounts are asked about: also those that wait in the dark, only
#: those that go at once, or none.
Confirms = Literal["all", "live", "none"]
BEING_CANCELLED: Final = "the order is being cancelled, so it can't be moved"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What is known when something happens.

    Attributes:
      mkt: the chart's market.
      alloc: what the order pane is set to.
      accounts: that orders may be sent for.
      position: of *alloc*'s account in the market.
      lines: of the market's open orders, of all accounts.
      under: ids of the orders below the cursor.
      last_price: newest, quote units; None if none is known.
      halted: why trading is halted, empty if it isn't.
      confirms: which real orders are asked about.
    """

    mkt: MktPair
    alloc: Allocator
    accounts: tuple[str, ...]
    position: Lot = FLAT
    lines: tuple[OrderLine, ...] = ()
    under: tuple[str, ...] = ()
    last_price: Decimal | None = None
    halted: str = ""
    confirms: Confirms = "all"

    def line(self, oid: str) -> OrderLine | None:
        """Return the line of an open order, None if there is none."""
        return next((line for line in self.lines if line.oid == oid), None)

    def asks(self, account: str, *, is_dark: bool) -> bool:
        """Tell whether an order for an account is to be asked about."""
        if account == PAPER or self.confirms == "none":
            return False
        return self.confirms == "all" or not is_dark


@dataclass(frozen=True)
class Drag:
    """A line that is being dragged.

    Attributes:
      line: as it was when it was taken.
      to: where it is held, quote units.
    """

    line: OrderLine
    to: Decimal


# -- a new order ---------------------------------------------------------------------


def order_for(
    action: Action, exec_mode: ExecMode, price: Decimal | None, desk: Desk
) -> Order | Say:
    """Return the order that is meant, without an id, or why there is none.

    Which way a dark one is triggered isn't told: emsd sees where the price is then, so
    a buy above it is a break-out, one below waits for a better price.

    Args:
      action: buy, sell or alert.
      exec_mode: of a buy or a sell.
      price: its limit, or what an alert waits for; quote units; None: there is none.
      desk: as things stand.
    """
    if price is None:
        return Say("the cursor is at no price: put it on the chart")
    if price <= 0:
        return Say(f"a price is more than 0, got {plain(price)}")
    if action == "alert":
        return Order(
            oid="",
            action=action,
            symbol=desk.mkt.fqme,
            size=Decimal(0),
            exec_mode="dark",
            price=price,
        )
    return _trade_for(action, exec_mode, price, desk)


def _trade_for(
    side: Side, exec_mode: ExecMode, price: Decimal, desk: Desk
) -> Order | Say:
    if why := _no_account(desk):
        return Say(why)
    working = _working(side, price, desk)
    found = next_size(desk.alloc, desk.mkt, side, price, desk.position, working)
    if not found.size:
        return Say(found.why)
    # What emsd takes while trading is halted: what makes a position smaller, at once.
    if desk.halted and not (found.closes and exec_mode == "live"):
        return Say(
            f"trading is halted: {desk.halted}; only live orders that close a position"
            " are taken until `piker resume`"
        )
    return Order(
        oid="",
        action=side,
        symbol=desk.mkt.fqme,
        size=found.size,
        exec_mode=exec_mode,
        account=desk.alloc.account,
        price=price,
        reduce_only=bool(desk.halted),
    )


def _no_account(desk: Desk) -> str:
    """Say why the pane's account can't be used, empty if it can."""
    account, broker = desk.alloc.account, desk.mkt.broker
    if account not in desk.accounts:
        there = ", ".join(sorted(desk.accounts)) or "none yet"
        return f"no account {account!r} to send orders for; there is: {there}"
    if account != PAPER and account.partition(".")[0] != broker:
        return (
            f"{desk.mkt.fqme} is traded at {broker}, the account {account!r} isn't:"
            f" take one of {broker}'s, or paper"
        )
    return ""


def _working(side: Side, price: Decimal, desk: Desk) -> tuple[Lot, ...]:
    """Return the account's open orders that a new one comes on top of.

    Of those that close a position: what takes a profit and what stops a loss are each
    other's choice, so only those on the same side of the price now.
    """
    same = [
        line
        for line in desk.lines
        if line.what == side and line.account == desk.alloc.account and line.size
    ]
    last = desk.last_price
    if last is not None and is_closing(side, desk.position):
        same = [line for line in same if (line.price >= last) == (price >= last)]
    return tuple(Lot(line.size, line.price) for line in same)


# -- a line that is dragged ----------------------------------------------------------


def change_for(drag: Drag, desk: Desk) -> ChangePrice | Say | None:
    """Return the edit that a drag is, or why there is none; None: it went nowhere."""
    line, to = desk.line(drag.line.oid), drag.to
    if why := _no_move(drag, line):
        return Say(why)
    assert line is not None, "else there is no move"
    if to == line.price:
        return None
    if line.drag == "trigger":
        return ChangePrice(line.oid, trigger=to)
    return ChangePrice(line.oid, price=to, size=_size_at(line, to, desk))


def _no_move(drag: Drag, line: OrderLine | None) -> str:
    """Say why a line, as it is now, can't be put where it is held; empty if it can."""
    if line is None:
        return "the order ended while it was dragged"
    # Its trigger was meant, and now there is a limit at the broker.
    if (line.style == "dotted") != (drag.line.style == "dotted"):
        return "the order fired while it was dragged; it stays as it is"
    if line.drag is None:
        return BEING_CANCELLED
    return "" if drag.to > 0 else f"a price is more than 0, got {plain(drag.to)}"


def _size_at(line: OrderLine, price: Decimal, desk: Desk) -> Decimal | None:
    """Return the size at which an order is worth what it was, None if it stays.

    Only where orders are sized by what they cost, and of those alone that open a
    position: what closes one closes as much of it at any price.
    """
    if line.what == "alert" or line.filled or desk.alloc.unit != "currency":
        return None
    if line.account != desk.alloc.account or is_closing(line.what, desk.position):
        return None
    if desk.mkt.is_inverse:  # a size is so many quote units at any price
        return None
    value = Fraction(line.size) * Fraction(line.price)
    size = floored(value / Fraction(price), desk.mkt)
    return size if size not in (0, line.size) else None


def dragged_line(drag: Drag, desk: Desk) -> OrderLine | None:
    """Return a line where it is held now, as it is drawn; None if it has ended."""
    line = desk.line(drag.line.oid)
    if line is None:
        return None
    change = change_for(drag, desk)
    size = change.size if isinstance(change, ChangePrice) else None
    moved = Order(
        oid=line.oid,
        action=line.what,
        symbol=desk.mkt.fqme,
        size=size if size is not None else line.size,
        account=line.account,
        price=drag.to,
    )
    return line_of(moved, desk.mkt, line.style)


# -- what is asked -------------------------------------------------------------------


def question_of(order: Order, mkt: MktPair) -> str:
    """Return what is asked before a real order is sent."""
    assert order.price is not None, "orders of the chart have a price"
    value = mkt.worth(order.size, order.price)
    what = f"{order.action} {plain(order.size)} {order.symbol} at {plain(order.price)}"
    when = "" if order.exec_mode == "live" else " once that price is reached"
    return f"{what}{when}, ~{money(value, mkt)}, with real money on {order.account}?"


def question_about(change: ChangePrice, line: OrderLine) -> str:
    """Return what is asked before a real order is changed."""
    to = change.price if change.price is not None else change.trigger
    assert to is not None, "a drag changes one of them"
    size = "" if change.size is None else f", the size to {plain(change.size)}"
    return (
        f"move the {line.what} of {plain(line.size)} on {line.account} from"
        f" {plain(line.price)} to {plain(to)}{size}, with real money?"
    )
