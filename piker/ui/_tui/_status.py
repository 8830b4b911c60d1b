"""The two lines at the bottom, and what is told over the chart.

orders: mode, what is staged, by what it is sized         one row
state: feed, history, emsd, daemons                       one row
notices: what doesn't work, and why; toasts               some rows over the chart
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from piker.msgs import NS, PAPER, ServiceInfo, SessionClock
from piker.ui._allocator import Allocator, compact, fill_bar, plain
from piker.ui._market import Market, age_of, now_text
from piker.ui._order_desk import Desk
from piker.ui._order_events import Say
from piker.ui._order_mode import mode_text, staged_order
from piker.ui._ticks import written

from ._cells import Ink, Piece, Row, Segment, fitted, one_cell
from ._entry import Entry
from ._lines import color_of, words_of
from ._model import Model
from ._palette import Palette
from ._panels import period_name
from ._plot import time_text

_MOST_BOXES: Final = 12
_NOTICE_ROWS: Final = 6
_ROWS_EACH: Final = 3
_DELAY_TOLD_S: Final = 2.0


# -- orders ---------------------------------------------------------------------------


def order_row(model: Model, desk: Desk, width: int, inks: Palette) -> Row:
    """Return what a key or a click does now: the mode, what is staged, its size."""
    if model.column is not None:
        return fitted(_values(model, inks), width, inks.panel)
    entry = model.entry
    pieces = [Piece((_mode(entry, desk, inks),))]
    if entry.is_busy:
        pieces += _staged(entry, desk, inks)
    elif entry.mode.cursor is not None:
        text = f"cursor {plain(entry.mode.cursor)}"
        pieces.append(Piece(((text, inks.panel),), 1))
    pieces.append(Piece(_sized_by(desk, inks), 2 if entry.is_busy else 0))
    if not entry.is_busy:
        pieces.append(Piece((("? tells the keys", inks.panel_faint),), 4))
    return fitted(pieces, width, inks.panel)


def _mode(entry: Entry, desk: Desk, inks: Palette) -> Segment:
    """Return what order mode is in, as loud as it is dangerous."""
    if entry.mode.drag is not None:
        return f" move-{entry.mode.drag.line.what} ", inks.tag(inks.theme.warn)
    text = f" {mode_text(entry.mode, desk)} "
    staged = entry.mode.staged
    if staged is None:
        return text, inks.panel_faint
    theme = inks.theme
    if desk.alloc.account != PAPER and staged != "alert":
        return text, inks.tag(theme.live)
    color = {"buy": theme.buy, "sell": theme.sell, "alert": theme.alert}[staged]
    return text, inks.tag(color)


def _staged(entry: Entry, desk: Desk, inks: Palette) -> list[Piece]:
    """Return what would be done, or why nothing would."""
    line, theme = entry.staged(desk), inks.theme
    keys = "enter submits  s live  esc lets go"
    if entry.mode.drag is not None:
        keys = "enter puts it there  esc lets go"
    if line is not None:
        text = f"{one_cell(words_of(line))} at {plain(line.price)}"
        return [
            Piece(((text, inks.on_panel(color_of(line, theme))),)),
            Piece(((keys, inks.panel_faint),), 3),
        ]
    order = staged_order(entry.mode, desk)
    why = order.text if isinstance(order, Say) else "it ended"
    return [Piece(((one_cell(why), inks.on_panel(theme.warn)),))]


def _sized_by(desk: Desk, inks: Palette) -> Row:
    """Return the account, the limit, and how much of it is used."""
    alloc = desk.alloc
    is_real = alloc.account != PAPER
    account = inks.on_panel(inks.theme.live, bold=True) if is_real else inks.panel
    bar = fill_bar(alloc, desk.mkt, desk.position)
    boxes = f"{bar.full}/{bar.slots}"
    if bar.slots <= _MOST_BOXES:
        full = bar.full + (bar.part > 0)
        boxes = "▮" * full + "▯" * (bar.slots - full)
    over = inks.on_panel(inks.theme.bad) if bar.is_over else inks.panel
    return (
        (one_cell(alloc.account), account),
        (f" {limit_text(alloc)} ", inks.panel),
        (boxes, over),
    )


def limit_text(alloc: Allocator) -> str:
    """Return a limit and its slots: ``$6k in 6 slots``."""
    limit = f"${compact(alloc.limit)}"
    if alloc.unit == "units":
        limit = f"{compact(alloc.limit)} units"
    return f"{limit} in {alloc.slots} slots"


def _values(model: Model, inks: Palette) -> list[Piece]:
    """Return the values of the bar that is pointed at."""
    chart = model.look.chart
    series = chart.series
    row = (model.column or 0) - series.start
    if not 0 <= row < len(series):
        return [Piece(((" there is no bar here", inks.panel_faint),))]
    digits = series.mkt.price_digits
    pieces = [Piece(((f" {time_text(int(series.time[row]), chart)}", inks.panel),))]
    columns = (series.open, series.high, series.low, series.close)
    for name, values in zip("OHLC", columns, strict=True):
        text = written(float(values[row]), digits)
        pieces.append(Piece(((f"{name} ", inks.panel_faint), (text, inks.panel))))
    volume = f"{float(series.volume[row]):.6g}"
    pieces.append(Piece((("V ", inks.panel_faint), (volume, inks.panel)), 1))
    return pieces


# -- state ----------------------------------------------------------------------------


def state_row(model: Model, width: int, inks: Palette) -> Row:
    """Return how the feed, the past, emsd and the daemons are."""
    session, theme = model.session, inks.theme
    trading = session.trading
    mode = f" {trading.mode} "
    is_live = trading.mode == "live"
    pieces = [
        Piece(((mode, inks.tag(theme.live) if is_live else inks.panel_faint),)),
        _feed(model.market, inks),
    ]
    if session.lost:
        pieces.append(_said("pikerd lost", theme.bad, inks))
    if trading.down:
        pieces.append(_said("emsd lost", theme.bad, inks))
    if trading.halted:
        pieces.append(_said("HALTED", theme.bad, inks))
    pieces += _waiting(model, inks)
    pieces += [Piece(((text, inks.panel_faint),), 2) for text in _history(model.market)]
    pieces += list(_daemons(session.services, inks))
    clock = model.market.flume.clock
    pieces.append(Piece(((f"{now_text(clock.now_ns())} UTC", inks.panel_faint),), 4))
    if model.market.losses:
        text = f"feed lost {model.market.losses}x"
        pieces.append(Piece(((text, inks.panel_faint),), 5))
    return fitted(pieces, width, inks.panel)


def _said(text: str, color: str, inks: Palette, rank: int = 0) -> Piece:
    return Piece(((text, inks.on_panel(color, bold=True)),), rank)


def _feed(market: Market, inks: Palette) -> Piece:
    theme = inks.theme
    if market.trouble:
        word = "ended" if market.trouble.startswith("ended") else "reconnecting"
        return _said(f"● {word}", theme.bad, inks)
    if is_closed(market):
        return _said("● closed", theme.warn, inks)
    late = abs(market.delay_s) > _DELAY_TOLD_S
    color = theme.warn if late else theme.up
    return _said(f"● live {age_of(market.delay_s)}", color, inks)


def is_closed(market: Market) -> bool:
    """Tell whether a market's hours are over now; a replay has its own."""
    clock = market.flume.clock
    if isinstance(clock, SessionClock):
        return False
    now_s = clock.now_ns() // NS
    return market.flume.calendar.next_open(now_s) != now_s


def _waiting(model: Model, inks: Palette) -> Iterator[Piece]:
    """Yield what keeps orders from being worked, in a few words."""
    state = model.session.trading.state
    for name in state.down if state is not None else ():
        yield _said(f"{one_cell(name)} lost", inks.theme.warn, inks, 1)
    for name in state.unwatched if state is not None else ():
        yield _said(f"{one_cell(name)} unwatched", inks.theme.warn, inks, 1)


def _history(market: Market) -> Iterator[str]:
    """Yield how far the past of a market is loaded, where it isn't yet."""
    for period_s, told in sorted(market.progress.items()):
        if told.done < 1:
            still = " stands still" if told.reason else ""
            yield f"history {period_name(period_s)} {told.done * 100:.0f}%{still}"


def _daemons(services: list[ServiceInfo], inks: Palette) -> Iterator[Piece]:
    """Yield what is odd about daemons: their states, and how often they came anew."""
    for info in services:
        if info.state in {"quarantined", "backoff", "unresponsive"}:
            text = f"{one_cell(info.name)} {info.state}"
            yield _said(text, inks.theme.bad, inks, 1)
    anew = [
        f"{one_cell(each.name)} {each.restarts}" for each in services if each.restarts
    ]
    if anew:
        yield Piece(((f"restarts {' '.join(anew)}", inks.panel_faint),), 3)


# -- over the chart -------------------------------------------------------------------


def notices(model: Model, width: int, inks: Palette) -> tuple[tuple[str, Ink], ...]:
    """Return what is told over the chart: what doesn't work, then the newest toasts."""
    theme = inks.theme
    colors = {"good": theme.up, "note": theme.cross, "bad": theme.bad}
    told = [(text, theme.bad) for text in _troubles(model)]
    told += [(toast.text, colors[toast.tone]) for toast in model.toasts]
    if model.market.news:
        told.append((f"{model.market.fqme}: {model.market.news}", colors["note"]))
    rows: list[tuple[str, Ink]] = []
    for text, color in told:
        lines = _wrapped(one_cell(text), width)
        rows.extend((line, inks.tag(color)) for line in lines)
    return tuple(rows[:_NOTICE_ROWS])


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of a box."""
    if width < 8:
        return []
    lines = textwrap.wrap(
        text, width - 2, max_lines=_ROWS_EACH, placeholder=" …", break_long_words=True
    )
    widest = max(map(len, lines), default=0)
    return [f" {line.ljust(widest)} " for line in lines]


def _troubles(model: Model) -> Iterator[str]:
    """Yield what doesn't work, and why, the worst first."""
    session, trading = model.session, model.session.trading
    if session.lost:
        yield f"pikerd can't be reached: {session.lost}"
    if trading.halted:
        yield f"trading is halted: {trading.halted}; `piker resume` ends that"
    if trading.down:
        yield f"orders can't be placed: {trading.down}"
    if model.market.trouble:
        yield f"no quotes: {model.market.trouble}"
    for info in session.services:
        if info.state == "quarantined":
            yield f"{info.name} is quarantined: {info.reason}"
    yield from _lesser_troubles(model)


def _lesser_troubles(model: Model) -> Iterator[str]:
    state = model.session.trading.state
    for name, why in (state.down if state is not None else {}).items():
        yield f"orders for {name} wait: {why}"
    for told in model.market.progress.values():
        if told.reason and told.done < 1:
            yield f"history stands still: {told.reason}"
    for study in model.look.chart.studies:
        if study.trouble:
            yield f"{study.wanted.title} isn't drawn: {study.trouble}"
