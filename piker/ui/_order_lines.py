"""What a chart shows of orders, fills and positions, as values that are only drawn.

    open orders (Status by oid) --order_lines--> OrderLine ...
    statuses of fills           --fill_marks---> FillMark ...
    BrokerdPosition             --position_mark-> PositionMark
    where labels want to be     --label_spots--> where they lie, none on another

Pure: values in, values out; the drawing is elsewhere. A colour is a purpose of the
theme. "real" is what is for an account at a broker, "paper" what isn't.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from piker.msgs import PAPER, Action, BrokerdPosition, MktPair, Order, Side, Status

from ._allocator import (
    DOLLARS,
    Allocator,
    compact,
    lot_of,
    plain,
    slots_text,
    slots_used,
)

#: ``solid``: rests at the broker or the paper engine; ``dotted``: emsd holds it;
#: ``dashed``: on its way.
LineStyle = Literal["solid", "dotted", "dashed"]
#: Which part of an order its line is at, so which a drag changes.
Part = Literal["price", "trigger"]

_STYLES: Final[dict[str, LineStyle]] = {
    "pending": "dashed",
    "triggered": "dashed",
    "open": "solid",
    "fill": "solid",
    "dark_open": "dotted",
}


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """An open order or alert, or one that is staged.

    Attributes:
      oid: of the order; empty of one that is staged.
      price: where the line is, quote units.
      what: buy, sell or alert; the theme's colour of that name is the line's.
      style: of the line.
      label: account, size and value, in a few words.
      account: that it is for.
      size: base units still open; 0 of an alert.
      filled: base units so far.
      drag: the part of the order that a drag changes; None: it can't be dragged.
      is_real: it is for an account at a broker, and to look so.
    """

    oid: str
    price: Decimal
    what: Action
    style: LineStyle
    label: str
    account: str = PAPER
    size: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)
    drag: Part | None = None
    is_real: bool = False


def order_lines(dialogs: Mapping[str, Status], mkt: MktPair) -> tuple[OrderLine, ...]:
    """Return the lines of a market's open orders, from the lowest price up.

    Args:
      dialogs: the newest status of each order, of all markets; what has ended is left
        out, and so is what has no price, as a market order on its way.
      mkt: the market.
    """
    lines = [
        line
        for status in dialogs.values()
        if (line := _line_of(status, mkt)) is not None
    ]
    return tuple(sorted(lines, key=lambda line: (line.price, line.oid)))


def _line_of(status: Status, mkt: MktPair) -> OrderLine | None:
    order, style = status.req, _STYLES.get(status.resp)
    if order is None or style is None or order.symbol != mkt.fqme:
        return None
    if order.action == "alert" and status.resp == "triggered":
        return None  # that is its end
    return line_of(
        order,
        mkt,
        style,
        filled=status.filled,
        is_ending=status.cancel_called,
    )


def line_of(
    order: Order,
    mkt: MktPair,
    style: LineStyle,
    *,
    filled: Decimal = Decimal(0),
    is_ending: bool = False,
) -> OrderLine | None:
    """Return the line of an order, None if it has no price.

    Args:
      order: as it is in force.
      mkt: its market.
      style: of the line; what is dotted is shown at its trigger.
      filled: base units so far.
      is_ending: its cancel is under way, so it can't be dragged any more.
    """
    part, price = _level(order, style)
    if price is None:
        return None
    size = max(order.size - filled, Decimal(0))
    is_real = order.action != "alert" and order.account != PAPER
    return OrderLine(
        oid=order.oid,
        price=price,
        what=order.action,
        style=style,
        label=_label(order, price, size, mkt, is_ending=is_ending),
        account=order.account,
        size=size,
        filled=filled,
        drag=None if is_ending else part,
        is_real=is_real,
    )


def _level(order: Order, style: LineStyle) -> tuple[Part, Decimal | None]:
    """Return where the line of an order is: what it waits for, or else its limit."""
    waits = style == "dotted" or order.action == "alert"
    if order.trigger is not None and (waits or order.price is None):
        return "trigger", order.trigger
    return "price", order.price


def _label(
    order: Order, price: Decimal, size: Decimal, mkt: MktPair, *, is_ending: bool
) -> str:
    if order.action == "alert":
        text = f"alert {plain(price)}"
    else:
        value = mkt.worth(size, price)
        text = f"{order.account} {plain(size)} ~{money(value, mkt)}"
        if order.price is None:
            text += " at the market"
        elif order.price != price:
            text += f" limit {plain(order.price)}"
    return f"{text} cancelling" if is_ending else text


def money(value: Decimal | Fraction, mkt: MktPair) -> str:
    """Return quote units of a market in a few characters: ``$1.25k``, ``0.5 btc``."""
    return money_of(value, mkt.src.name if mkt.src is not None else "usd")


def money_of(value: Decimal | Fraction, asset: str) -> str:
    """Return an amount of an asset in a few characters."""
    if asset not in DOLLARS:
        return f"{compact(value)} {asset}"
    return f"-${compact(-value)}" if value < 0 else f"${compact(value)}"


# -- fills ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FillMark:
    """An arrow where a part of an order was executed.

    Attributes:
      time_ns: of the execution, by the market's clock.
      price: quote units.
      side: which way.
      size: base units.
      account: that it was for.
      oid: of the order.
      tid: the broker's trade id, unique in the account.
    """

    time_ns: int
    price: Decimal
    side: Side
    size: Decimal
    account: str
    oid: str
    tid: str


def fill_marks(statuses: Iterable[Status], fqme: str) -> tuple[FillMark, ...]:
    """Return the fills of a market, oldest first, each once.

    Args:
      statuses: of any orders, of any kind; what is told again is the same.
      fqme: full name of the market.
    """
    found: dict[tuple[str, str], FillMark] = {}
    for status in statuses:
        fill = status.fill
        if fill is None or fill.symbol != fqme:
            continue
        found[fill.account, fill.tid] = FillMark(
            time_ns=fill.broker_time_ns,
            price=fill.price,
            side=fill.action,
            size=fill.size,
            account=fill.account,
            oid=fill.oid,
            tid=fill.tid,
        )
    return tuple(sorted(found.values(), key=lambda mark: mark.time_ns))


# -- positions -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PositionMark:
    """What an account holds of a market.

    Attributes:
      account: which.
      price: mean entry price (ppu), quote units.
      size: base units, negative of a short.
      direction: of it.
      slots: how many it takes, as text: ``:2.5x``.
      pnl: what closing it at the last price would bring, as text; empty if no price is
        known.
      sign: of that: 1, 0 or -1; the theme's ``up`` and ``down`` go with it.
      is_real: the account is at a broker.
    """

    account: str
    price: Decimal
    size: Decimal
    direction: Literal["long", "short"]
    slots: str
    pnl: str
    sign: int
    is_real: bool


def position_mark(
    position: BrokerdPosition | None,
    mkt: MktPair,
    alloc: Allocator,
    last_price: Decimal | float | None,
) -> PositionMark | None:
    """Return a position's mark, None if it is flat.

    Args:
      position: of the market, None if there never was one.
      mkt: the market.
      alloc: its limit and slots are what the position is measured by.
      last_price: newest, quote units; None or ``nan`` if none is known.
    """
    if position is None or not position.size:
        return None
    pnl, sign = _pnl(position, mkt, last_price)
    return PositionMark(
        account=position.account,
        price=position.avg_price,
        size=position.size,
        direction="long" if position.size > 0 else "short",
        slots=slots_text(slots_used(alloc, mkt, lot_of(position))),
        pnl=pnl,
        sign=sign,
        is_real=position.account != PAPER,
    )


def _pnl(
    position: BrokerdPosition, mkt: MktPair, last_price: Decimal | float | None
) -> tuple[str, int]:
    """Return what closing it would bring, as text, and that one's sign."""
    if last_price is None or not math.isfinite(last_price):
        return "", 0
    entry = Fraction(position.avg_price)
    # a float counts as its shortest decimal, which the venue wrote
    last = Fraction(str(last_price))
    if mkt.is_inverse and (entry <= 0 or last <= 0):
        return "", 0
    pnl = mkt.profit(position.size, entry, last)
    sign = (pnl > 0) - (pnl < 0)
    text = f"{'+' if sign > 0 else ''}{money_of(pnl, mkt.paid_in or 'usd')}"
    if entry and last:
        # what it was worth when it was got, in what it pays
        paid = abs(mkt.worth(position.size, position.avg_price))
        paid = paid / entry if mkt.is_inverse else paid
        text += f" ({float(100 * pnl / paid):+.2f}%)"
    return text, sign


# -- labels --------------------------------------------------------------------------


def label_spots(
    ys: Sequence[float], height: float, top: float, bottom: float
) -> list[float]:
    """Return where labels lie that none covers another and none is outside.

    They keep their order and are moved as little as can be (the sum of the squares of
    the ways is the least there is). Where there is no room for all they overlap evenly;
    a label that is higher than all the room lies in its middle.

    Args:
      ys: middles where they want to be, pixels, finite, in any order; of equal ones the
        first is the upper.
      height: of each label, pixels.
      top, bottom: between which all of them is to be.

    Returns: the middles, pixels, in the order of *ys*.
    """
    if not ys:
        return []
    low, high = top + height / 2, bottom - height / 2
    if low > high:
        low = high = (top + bottom) / 2
    gap = min(height, (high - low) / (len(ys) - 1)) if len(ys) > 1 else 0.0
    order = sorted(range(len(ys)), key=lambda i: ys[i])
    # Less their gaps, labels that must not pass each other are a rising sequence; the
    # nearest one within bounds is the nearest of all, held to the bounds.
    wanted = [ys[i] - rank * gap for rank, i in enumerate(order)]
    room = high - (len(ys) - 1) * gap
    spots = [0.0] * len(ys)
    for rank, (i, nearest) in enumerate(zip(order, _rising(wanted), strict=True)):
        spot = min(max(nearest, low), max(room, low)) + rank * gap
        spots[i] = min(spot, high)  # a rounding may lie between the two
    return spots


def _rising(values: Sequence[float]) -> list[float]:
    """Return the nearest sequence to *values* that never falls, by least squares.

    Pool adjacent violators: neighbours that are out of order become their mean.
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, more = pools.pop()
            total, count = total + before, count + more
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
