"""The panels around the chart, as rows of cells: L1, orders, positions, watchlist.

Pure: they read the model and change nothing.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from piker.msgs import PAPER, BrokerdPosition, Status
from piker.ui._allocator import plain
from piker.ui._market import Market
from piker.ui._order_lines import position_mark
from piker.ui._theme import Theme
from piker.ui._ticks import written

from ._cells import Piece, Row, fitted, one_cell, width_of
from ._model import Model
from ._palette import Palette
from ._tables import Cells, Column, table

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_STATES: Final = {
    "pending": "sent",
    "triggered": "fired",
    "open": "live",
    "fill": "live",
    "dark_open": "dark",
}
_ORDERS: Final = (
    Column("side"),
    Column("size", is_right=True),
    Column("price", is_right=True),
    Column("state"),
    Column("account", rank=1, most=16),
    Column("market", rank=2, most=24),
)
_POSITIONS: Final = (
    Column("size", is_right=True),
    Column("entry", is_right=True),
    Column("pnl", is_right=True),
    Column("", is_right=True, rank=1),
    Column("account", rank=2, most=16),
    Column("market", rank=3, most=24),
)
_WATCHLIST: Final = (
    Column("", most=30),
    Column("last", is_right=True),
    Column("bid", is_right=True, rank=1),
    Column("ask", is_right=True, rank=2),
)


def period_name(period_s: int) -> str:
    """Return a period in few letters: ``1m``, ``4h``."""
    unit_s, letter = next(each for each in _UNITS if period_s % each[0] == 0)
    return f"{period_s // unit_s}{letter}"


def price_text(price: float, digits: int) -> str:
    """Return a price, ``-`` of one that isn't known."""
    return written(price, digits) if math.isfinite(price) else "-"


def _size_text(size: float) -> str:
    return f"{size:.4g}" if math.isfinite(size) else "-"


def _way(market: Market, theme: Theme) -> tuple[str, str]:
    """Return an arrow and a colour for which way the price went last."""
    touch = market.touch
    if not (math.isfinite(touch.last) and math.isfinite(touch.before)):
        return " ", theme.text
    return ("▲", theme.up) if touch.last >= touch.before else ("▼", theme.down)


# -- the best prices ------------------------------------------------------------------


def header(model: Model, width: int, inks: Palette) -> list[Row]:
    """Return what is shown, and its best prices: in two rows where one is too short."""
    first, second = _title(model, inks), _touch(model, inks)
    one = [*first, *second]
    if sum(width_of(piece.row) + 2 for piece in one if piece.rank < 2) <= width + 2:
        return [fitted(one, width, inks.panel)]
    return [fitted(part, width, inks.panel) for part in (first, second)]


def _title(model: Model, inks: Palette) -> list[Piece]:
    market, chart = model.market, model.look.chart
    arrow, color = _way(market, inks.theme)
    digits = market.flume.mkt.price_digits
    flags = ["log"] * chart.view.span.log + ["by hand"] * (not chart.view.fits)
    last = price_text(market.touch.last, digits)
    return [
        Piece(((f" {one_cell(market.fqme)}", inks.title),)),
        Piece(((period_name(model.period_s), inks.panel),)),
        Piece(((f"{last}{arrow}", inks.on_panel(color, bold=True)),)),
        Piece(((" ".join(flags), inks.panel_faint),) if flags else (), 3),
        *_newest(model, inks),
    ]


def _newest(model: Model, inks: Palette) -> list[Piece]:
    """Return the values of the newest bar, as far as there is room for them."""
    series = model.look.chart.series
    if not len(series):
        return []
    digits = series.mkt.price_digits
    columns = {"O": series.open, "H": series.high, "L": series.low}
    said = {name: written(float(each[-1]), digits) for name, each in columns.items()}
    said["V"] = _size_text(float(series.volume[-1]))
    return [
        Piece(((f"{name} ", inks.panel_faint), (text, inks.panel)), 4)
        for name, text in said.items()
    ]


def _touch(model: Model, inks: Palette) -> list[Piece]:
    touch, mkt = model.market.touch, model.market.flume.mkt
    digits, theme = mkt.price_digits, inks.theme

    def side(name: str, price: float, size: float, color: str) -> Piece:
        text = price_text(price, digits)
        return Piece(
            (
                (f" {name} ", inks.panel_faint),
                (text, inks.on_panel(color)),
                (f" x{_size_text(size)}", inks.panel),
            )
        )

    spread = touch.ask - touch.bid
    text = price_text(spread, digits)
    return [
        side("bid", touch.bid, touch.bid_size, theme.buy),
        side("ask", touch.ask, touch.ask_size, theme.sell),
        Piece(((" spr ", inks.panel_faint), (text, inks.panel)), 1),
    ]


# -- orders and positions -------------------------------------------------------------


def orders(model: Model, size: tuple[int, int], inks: Palette) -> list[Row]:
    """Return the open orders and alerts, those of the market that is shown first."""
    shown = model.market.fqme
    found = [each for each in model.session.trading.dialogs.values() if each.req]
    found.sort(key=lambda each: (_symbol(each) != shown, _symbol(each), -_price(each)))
    lines = [_order_line(model, each, inks) for each in found]
    title = f"{len(found)} orders" if len(found) != 1 else "1 order"
    return table(
        title, _headed(_ORDERS, lines), lines, size, (inks.title, inks.panel_faint)
    )


def _headed(columns: tuple[Column, ...], lines: list[Cells]) -> tuple[Column, ...]:
    """Return the columns; the first one's head would stand where the title does."""
    return (columns[0]._replace(title=""), *columns[1:]) if lines else columns[:1]


def _symbol(status: Status) -> str:
    return status.req.symbol if status.req is not None else ""


def _price(status: Status) -> Decimal:
    order = status.req
    if order is None:
        return Decimal(0)
    waits = status.resp == "dark_open" and order.trigger is not None
    return (order.trigger if waits else order.price) or Decimal(0)


def _order_price(model: Model, symbol: str, price: Decimal) -> str:
    if not price:
        return "market"
    market = model.session.markets.get(symbol)
    if market is None:
        return plain(price)
    return written(float(price), market.flume.mkt.price_digits)


def _order_line(model: Model, status: Status, inks: Palette) -> Cells:
    order = status.req
    assert order is not None, "others are left out"
    theme = inks.theme
    color = {"buy": theme.buy, "sell": theme.sell, "alert": theme.alert}[order.action]
    is_here = order.symbol == model.market.fqme
    text = inks.panel if is_here else inks.panel_faint
    state = _STATES.get(status.resp, status.resp)
    if status.cancel_called:
        state = "cancelling"
    is_alert = order.action == "alert"
    account = "" if is_alert else order.account
    is_real = account not in {"", PAPER}
    size = "" if is_alert else plain(order.size)
    if status.filled:
        size = f"{plain(status.filled)}/{size}"
    price = _price(status)
    return (
        (order.action, inks.on_panel(color)),
        (size, text),
        (_order_price(model, order.symbol, price), text),
        ("" if is_alert else state, text),
        (one_cell(account), inks.on_panel(theme.live, bold=True) if is_real else text),
        ("" if is_here else one_cell(order.symbol), text),
    )


def held(model: Model) -> list[BrokerdPosition]:
    """Return the positions that aren't flat, that of the shown market first."""
    found = [each for each in model.session.trading.positions.values() if each.size]
    shown = model.market.fqme
    return sorted(
        found, key=lambda each: (each.symbol != shown, each.symbol, each.account)
    )


def positions(model: Model, size: tuple[int, int], inks: Palette) -> list[Row]:
    """Return what accounts hold, and what closing it would bring."""
    lines = [_position_line(model, each, inks) for each in held(model)]
    title = f"{len(lines)} positions" if len(lines) != 1 else "1 position"
    return table(
        title, _headed(_POSITIONS, lines), lines, size, (inks.title, inks.panel_faint)
    )


def _position_line(model: Model, position: BrokerdPosition, inks: Palette) -> Cells:
    theme = inks.theme
    market = model.session.markets.get(position.symbol)
    pnl, part, ink, entry = "-", "", inks.panel, plain(position.avg_price)
    if market is not None:
        mkt = market.flume.mkt
        mark = position_mark(position, mkt, model.entry.alloc, market.touch.last)
        entry = written(float(position.avg_price), mkt.price_digits)
        if mark is not None and mark.pnl:
            pnl, _, part = mark.pnl.removesuffix(")").partition(" (")
            color = {1: theme.up, -1: theme.down}.get(mark.sign, theme.text)
            ink = inks.on_panel(color)
    is_real = position.account != PAPER
    is_here = position.symbol == model.market.fqme
    return (
        (plain(position.size), inks.panel),
        (entry, inks.panel),
        (pnl, ink),
        (part, ink),
        (
            one_cell(position.account),
            inks.on_panel(theme.live, bold=True) if is_real else inks.panel,
        ),
        ("" if is_here else one_cell(position.symbol), inks.panel_faint),
    )


# -- watchlist ------------------------------------------------------------------------


def watchlist(model: Model, size: tuple[int, int], inks: Palette) -> list[Row]:
    """Return the markets that are watched, with their quotes."""
    lines = [_watch_line(model, market, inks) for market in model.watched]
    first = _first_watched(model, size[1])
    columns = _WATCHLIST
    return table(
        "watchlist", columns, lines[first:], size, (inks.title, inks.panel_faint)
    )


def _first_watched(model: Model, height: int) -> int:
    """Return the first market shown, so that the one on the chart is among them."""
    at = next(
        (i for i, each in enumerate(model.watched) if each.fqme == model.market.fqme), 0
    )
    return max(at - max(height - 3, 0), 0)


def watched_at(model: Model, row: int, height: int) -> Market | None:
    """Return the market in a row of the watchlist, None if there is none."""
    at = row - 1 + _first_watched(model, height)
    return model.watched[at] if row >= 1 and 0 <= at < len(model.watched) else None


def _watch_line(model: Model, market: Market, inks: Palette) -> Cells:
    arrow, color = _way(market, inks.theme)
    digits, touch = market.flume.mkt.price_digits, market.touch
    is_shown = market.fqme == model.market.fqme
    name = one_cell(market.fqme)
    ink = inks.title if is_shown else inks.panel
    if market.trouble:
        ink = inks.on_panel(inks.theme.bad)
    last = f"{price_text(touch.last, digits)}{arrow}"
    return (
        (f"{'▸' if is_shown else ' '}{name}", ink),
        (last, inks.on_panel(color)),
        (price_text(touch.bid, digits), inks.panel_faint),
        (price_text(touch.ask, digits), inks.panel_faint),
    )
