"""The terminal chart without its terminal: what is looked at, and what keys do to it.

    keys, mouse --act()--> Model --> Link --> session
    session's listeners --> changed() --> whoever draws asks for a frame

No toolkit: the app hands over what was pressed, and draws what :mod:`._frame` makes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from functools import partial
from typing import Final

from piker.msgs import PAPER
from piker.ui._allocator import Allocator, default_for
from piker.ui._chart import STYLES
from piker.ui._keys import KeyAction, key_for, on_chart
from piker.ui._market import Market
from piker.ui._order_desk import Confirms
from piker.ui._order_events import CursorMoved, Escaped, Intent, Pressed
from piker.ui._session import Session
from piker.ui._theme import ThemeName
from piker.ui._times import local_zone, next_period
from piker.ui._trading import Toast
from piker.ui.indicators import Wanted

from ._entry import Entry
from ._link import Link
from ._look import Look
from ._taps import TermAction

#: How long a toast stays, seconds; one that something went wrong, longer.
TOAST_S: Final = 6.0
BAD_TOAST_S: Final = 12.0
_TOASTS: Final = 4
_ZOOM_PRICES: Final = 1.25

#: Presses of a key closer than that are one that is held: nobody taps so fast.
REPEAT_S: Final = 0.06


@dataclass(eq=False)
class Model:
    """What the terminal shows.

    Attributes:
      session: its markets and orders.
      link: to have things done.
      market: that is shown.
      period_s: of its bars.
      wanted: indicators.
      theme: name of the colours.
      zone: whose clock the time axis shows.
      confirms: which real orders are asked about.
      watched: markets of the watchlist.
      has_panes: orders, positions and watchlist are shown.
      has_watchlist: it is, if they are.
      column: index of the bar whose values are shown, None for none.
      chart_size: width and height of the chart as it was drawn last, None before.
      is_by_keys: the cursor stands where keys put it, and the mouse leaves it there.
      question: about real money, that waits for an answer; empty if none does.
      changed: told when something is to be drawn anew.
      monotonic: clock of taps and toasts, seconds.
    """

    session: Session
    link: Link
    market: Market
    period_s: int = 60
    wanted: Sequence[Wanted] = ()
    theme: ThemeName = "dark"
    zone: tzinfo = UTC
    confirms: Confirms = "all"
    watched: list[Market] = field(default_factory=list)
    has_panes: bool = True
    has_watchlist: bool = True
    column: int | None = None
    chart_size: tuple[int, int] | None = None
    is_by_keys: bool = False
    question: str = ""
    changed: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    _looks: dict[tuple[str, int], Look] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _toasts: deque[tuple[float, Toast]] = field(
        default_factory=lambda: deque(maxlen=_TOASTS)
    )
    _heard: set[Market] = field(default_factory=set)
    _asked: int = 0
    _pressed: tuple[str, float] = ("", 0.0)

    def __post_init__(self) -> None:
        self.session.trading.listeners.add(self._tell)
        self.session.trading.on_toast.add(self._toasted)
        self.session.on_services.add(self._tell)
        self.show(self.market)

    def _tell(self) -> None:
        self.changed()

    # -- what is looked at ------------------------------------------------------------

    @property
    def look(self) -> Look:
        """The chart that is shown."""
        key = (self.market.fqme, self.period_s)
        if key not in self._looks:
            look = self._looks[key] = Look.at(self.market, self.period_s, self.wanted)
            look.chart.zone = self.zone
            if self.chart_size is not None:  # a key may come before it is drawn
                look.refresh()
                look.arrange(*self.chart_size)
        return self._looks[key]

    @property
    def entry(self) -> Entry:
        """Order entry on the market that is shown."""
        market = self.market
        if market.fqme not in self._entries:
            self._entries[market.fqme] = Entry(
                market,
                self.session.trading,
                self,
                self._row_prices,
                alloc=default_for(market.flume.mkt),
                confirms=self.confirms,
            )
        return self._entries[market.fqme]

    def _row_prices(self, price: Decimal) -> tuple[float, float]:
        return self.look.row_prices(price)

    @property
    def toasts(self) -> list[Toast]:
        """What is to be told now, the newest first."""
        now_s = self.monotonic()
        return [toast for until_s, toast in reversed(self._toasts) if until_s > now_s]

    def show(self, market: Market) -> None:
        """Show a market; it joins the watchlist."""
        self._asked += 1
        if market is not self.market:
            # what was staged, and where, was meant for the other one as it was then
            self.entry.feed(Escaped())
            self.entry.feed(CursorMoved(None))
            self.is_by_keys, self.column, self.question = False, None, ""
        self.market = market
        self.watch(market)

    def watch(self, market: Market) -> None:
        """Have a market in the watchlist."""
        if all(market.fqme != other.fqme for other in self.watched):
            self.watched.append(market)
        self._rewatch()
        self.changed()

    def _rewatch(self) -> None:
        """Ask for the quotes of what is in sight, and of nothing else."""
        wanted = {self.market}
        if self.has_panes and self.has_watchlist:
            wanted |= set(self.watched)
        for market in wanted - self._heard:
            market.listeners.add(self._tell)
            self.link.watch(market, is_watched=True)
        for market in self._heard - wanted:
            market.listeners.discard(self._tell)
            self.link.watch(market, is_watched=False)
        self._heard = wanted

    def open(self, name: str, *, is_shown: bool = True) -> None:
        """Look at a market by its name, and show it."""
        if not is_shown:
            self.link.open(name, self.watch)
            return
        if name not in self.session.markets:
            self.say(f"waiting for {name} ...")
        self._asked += 1
        self.link.open(name, partial(self._show_asked, self._asked))

    def _show_asked(self, number: int, market: Market) -> None:
        """Show a market, unless another was asked for, or shown, since."""
        if number == self._asked:
            self.show(market)

    def load_older(self) -> None:
        """Load older bars if they come in sight."""
        look = self.look
        if look.wants_older():

            def then(bars: int) -> None:
                look.got_older(bars)
                self.changed()

            self.link.older(look.market, look.period_s, then)

    # -- Doer, of order entry ---------------------------------------------------------

    def do(self, intent: Intent) -> None:
        """Have emsd do something."""
        self.link.do(intent)

    def ask(self, question: str) -> None:
        """Ask about real money."""
        self.question = question
        self.changed()

    def answer(self, *, is_yes: bool) -> None:
        """Take the answer to it."""
        self.question = ""
        self.entry.answer(is_yes=is_yes)
        self.changed()

    def say(self, text: str) -> None:
        """Tell something at once."""
        self._toasted(Toast(text))

    def _toasted(self, toast: Toast) -> None:
        stays_s = BAD_TOAST_S if toast.tone == "bad" else TOAST_S
        if self._toasts and self._toasts[-1][1] == toast:
            self._toasts.pop()  # said again it is said once, for longer
        self._toasts.append((self.monotonic() + stays_s, toast))
        self.changed()

    def set_alloc(self, entry: Entry, alloc: Allocator) -> None:
        """Set what the next orders of a market are sized by, and for which account."""
        entry.alloc = alloc
        if alloc.account != PAPER:
            self._toasted(
                Toast(f"orders are for {alloc.account} now: real money", "bad")
            )
        self.changed()

    # -- keys -------------------------------------------------------------------------

    def act(self, action: TermAction, combo: str = "") -> bool:
        """Do what a key says; False if it isn't for the chart but for the app."""
        done = self._view(action) or self._walk(action) or self._order(action, combo)
        if done:
            self.changed()
        return done

    def _view(self, action: TermAction) -> bool:
        look, view = self.look, self.look.chart.view
        match action:
            case "zoom_in" | "zoom_out":
                look.change_zoom(1 if action == "zoom_in" else -1)
            case "reset_view":
                look.reset()
            case "pan_left" | "pan_right":
                self._pan_or_step(1 if action == "pan_left" else -1)
            case "page_left" | "page_right":
                half = view.width // 2
                look.pan(half if action == "page_left" else -half)
            case "price_out" | "price_in":
                factor = _ZOOM_PRICES if action == "price_out" else 1 / _ZOOM_PRICES
                look.zoom_prices(factor)
            case "toggle_log":
                view.span.log, view.fits = not view.span.log, True
            case "next_style":
                shown = "candles" if look.chart.style == "auto" else look.chart.style
                styles = STYLES[1:]
                at = (styles.index(shown) + 1) % len(styles)
                look.chart.style = styles[at]
            case "query":
                newest = look.chart.series.end - 1
                has_bars = len(look.chart.series) > 0
                self.column = newest if self.column is None and has_bars else None
            case _:
                return False
        return True

    def _pan_or_step(self, sign: int) -> None:
        """Pan, or go on to another bar while one's values are shown."""
        look, series = self.look, self.look.chart.series
        if self.column is None:
            look.pan(sign * max(look.zoom.scale.cells, 2) * 2)
            return
        step = look.zoom.scale.bars
        self.column = min(max(self.column - sign * step, series.start), series.end - 1)
        x = look.zoom.cell_of(look.chart.view, self.column)
        if not 0 <= x < look.chart.view.width:
            look.pan(sign * look.chart.view.width // 2)

    def _walk(self, action: TermAction) -> bool:
        """Do what changes what is looked at."""
        match action:
            case "previous_period" | "next_period":
                step = 1 if action == "next_period" else -1
                self.period_s = next_period(self.period_s, step)
                self.column = None
            case "next_market" | "previous_market":
                names = [market.fqme for market in self.watched]
                step = 1 if action == "next_market" else -1
                at = (names.index(self.market.fqme) + step) % len(names)
                self.show(self.watched[at])
            case "toggle_utc":
                self.zone = local_zone() if self.zone is UTC else UTC
                for look in self._looks.values():
                    look.chart.zone = self.zone
            case "toggle_theme":
                self.theme = "light" if self.theme == "dark" else "dark"
            case "toggle_panes":
                self.has_panes = not self.has_panes
                self._rewatch()
            case "toggle_watchlist":
                self.has_watchlist = not self.has_watchlist
                self._rewatch()
            case _:
                return False
        return True

    def _order(self, action: TermAction, combo: str) -> bool:
        entry = self.entry
        match action:
            case "stage_buy" | "stage_sell" | "stage_alert":
                if entry.mode.cursor is None:
                    self._to_last()
                entry.stage(action)
            case "live":
                entry.toggle_live()
            case "cancel" | "halt":
                self._press(action, combo)
            case "set_slots":
                entry.digit(combo, self.monotonic())
            case "enter":
                entry.enter()
            case "clear":
                self._clear()
            case "pick":
                entry.pick()
            case "nudge_up" | "nudge_down":
                self.is_by_keys = True
                sign = 1 if action == "nudge_up" else -1
                entry.nudge(lambda price: self.look.moved(price, sign))
            case _:
                return self._cursor(action)
        return True

    def _press(self, action: KeyAction, combo: str) -> None:
        """Press a key; one that is held is one, though a terminal tells many."""
        now_s = self.monotonic()
        before, self._pressed = self._pressed, (combo, now_s)
        is_repeat = before[0] == combo and now_s - before[1] < REPEAT_S
        key = on_chart(combo) or key_for(action)
        self.entry.feed(Pressed(key, now_s, is_repeat))

    def _clear(self) -> None:
        """Let go of what there is; told twice it tells how to leave."""
        mode = self.entry.mode
        if (mode.cursor, self.column) == (None, None) and not self.entry.is_busy:
            self.say("ctrl-q leaves the chart, orders stay; ? tells the keys")
        self.entry.escape()
        self.column, self.is_by_keys = None, False

    # -- the cursor -------------------------------------------------------------------

    def _cursor(self, action: TermAction) -> bool:
        match action:
            case "cursor_last":
                self._to_last()
            case "cursor_up" | "cursor_down":
                self._move(lambda price: self.look.moved(price, _sign(action)))
            case "tick_up" | "tick_down":
                mkt = self.market.flume.mkt
                self._move(lambda price: price + _sign(action) * mkt.step_at(price))
            case "line_up" | "line_down":
                self._to_line(_sign(action))
            case _:
                return False
        return True

    def _to_last(self) -> None:
        last = self.market.touch.last
        self.is_by_keys = True
        if last > 0:
            self.entry.move(last)
        else:
            self.say(f"no price of {self.market.fqme} is known yet")

    def _move(self, to: Callable[[Decimal], Decimal | float]) -> None:
        """Move the cursor; it begins at the last price."""
        cursor = self.entry.mode.cursor
        if cursor is None:
            self._to_last()
        else:
            price = to(cursor)
            self.is_by_keys = True
            self.entry.move(price if price > 0 else cursor)

    def _to_line(self, sign: int) -> None:
        """Put the cursor on the next order's line above, or below."""
        prices = [line.price for line in self.entry.desk().lines]
        cursor = self.entry.mode.cursor
        if cursor is not None:
            prices = [price for price in prices if (price - cursor) * sign > 0]
        if prices:
            self.is_by_keys = True
            self.entry.move(min(prices) if sign > 0 else max(prices))
        else:
            self.say(f"there is no order {'above' if sign > 0 else 'below'}")


def _sign(action: TermAction) -> int:
    return 1 if action.endswith("_up") else -1
