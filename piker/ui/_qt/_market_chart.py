"""A market in a canvas: its bars of one period, older ones as one pans left."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Final

from PySide6.QtGui import QFont

from piker.ui._chart import Chart, Style
from piker.ui._market import Market
from piker.ui._overlay import Overlay
from piker.ui._series import Change
from piker.ui._session import Session
from piker.ui._study import Study
from piker.ui._theme import Theme
from piker.ui._times import local_zone
from piker.ui._trading import Toast
from piker.ui.indicators import Wanted

from ._axes import Tag
from ._canvas import ChartCanvas

#: Older bars are loaded once so much of the picture's width is left of what there is.
_AHEAD: Final = 0.5


class MarketChart:
    """What one canvas shows.

    Attributes:
      canvas: the widget.
      period_s: bar length.
      markets: the first is the one that is traded, the others lie over it.
    """

    def __init__(
        self,
        session: Session,
        market: Market,
        period_s: int,
        look: tuple[Theme, QFont],
        start: Callable[[Callable[[], Awaitable[object]]], None],
    ) -> None:
        """Show a market's newest bars; *start* does things while its window lives."""
        self._session, self._start = session, start
        self.period_s, self.markets = period_s, [market]
        self._loading = False
        self._wanted: tuple[Wanted, ...] = ()
        self._unfollow: list[Callable[[], None]] = []
        self._was_empty = True
        self._troubles: set[str] = set()
        self.shows_touch = True
        market.refresh(period_s)
        self.canvas = ChartCanvas(self._chart(market), *look)
        self.canvas.tags = self._tags
        self.canvas.viewed.connect(self.maybe_load_older)
        self._follow()

    @property
    def market(self) -> Market:
        """The one that is traded."""
        return self.markets[0]

    @property
    def chart(self) -> Chart:
        """What the canvas shows."""
        return self.canvas.chart

    def _chart(self, market: Market) -> Chart:
        return Chart(market.series(self.period_s), calendar=market.flume.calendar)

    # -- what is shown ----------------------------------------------------------------

    def show_markets(self, markets: list[Market], period_s: int | None = None) -> None:
        """Show other markets, or the same in bars of another length."""
        self.markets = markets
        self.period_s = period_s or self.period_s
        for market in markets:
            market.refresh(self.period_s)
        before = self.canvas.chart
        chart = self._chart(self.market)
        chart.style, chart.zone, chart.region = before.style, before.zone, None
        chart.view.span.log = before.view.span.log
        chart.view.resize(before.view.width, before.view.height)
        chart.overlays = [
            Overlay(market.series(self.period_s), i)
            for i, market in enumerate(markets[1:])
        ]
        chart.studies = self._studies(chart)
        chart.annots = self._session.annots.of(self.market.fqme, self.period_s)
        self.canvas.show_chart(chart)
        self._follow()
        self.reset()

    def _studies(self, chart: Chart) -> list[Study]:
        studies = [Study(wanted) for wanted in self._wanted]
        for study in studies:
            study.keep_up(chart.series)
        return studies

    def _tell_troubles(self) -> None:
        """Tell of indicators that fail, each sentence once."""
        for study in self.chart.studies:
            if study.trouble and study.trouble not in self._troubles:
                self._troubles.add(study.trouble)
                self._session.toast(Toast(study.trouble, "bad"))

    def show_studies(self, wanted: tuple[Wanted, ...]) -> None:
        """Show other indicators."""
        self._wanted = wanted
        self.chart.studies = self._studies(self.chart)
        self._tell_troubles()
        self.canvas.look()

    def show_annots(self) -> None:
        """Show what others have drawn by now."""
        annots = self._session.annots.of(self.market.fqme, self.period_s)
        if annots != self.chart.annots:
            self.chart.annots = annots
            self.canvas.forget()

    def show_style(self, style: Style) -> None:
        """Draw bars in another way."""
        self.chart.style = style
        self.canvas.look()

    def show_log(self, *, is_log: bool) -> None:
        """Show prices on a log scale, or on a linear one."""
        self.chart.view.span.log = is_log
        self.chart.view.fits = True
        self.canvas.look()

    def show_zone(self, *, utc: bool) -> None:
        """Show times of UTC, or of this machine's zone."""
        self.chart.zone = UTC if utc else local_zone()
        self.canvas.look()

    def reset(self) -> None:
        """Show the newest bars."""
        self.chart.view.reset(self.chart.series.end)
        self.canvas.look()
        self.maybe_load_older()

    # -- what changes ------------------------------------------------------------------

    def refresh(self) -> None:
        """Take what is new of the bars, and show it."""
        changes = [market.refresh(self.period_s) for market in self.markets]
        if self.shows_touch and not any(changes):
            self.canvas.update_tip()  # best prices moved, with no trade

    def _take(self, change: Change) -> None:
        """Show what changed, whoever found it."""
        self.canvas.take(change)
        self._tell_troubles()
        if self._was_empty:
            self._was_empty = False
            self.reset()
        elif change.first == self.chart.series.start:
            self.maybe_load_older()  # they were read anew

    def _follow(self) -> None:
        """Hear of changes of what is shown now, and of nothing else."""
        self.close()
        self._was_empty = not len(self.chart.series)
        first, *others = self.markets
        self._unfollow = [first.follow(self.period_s, self._take)]
        for market in others:
            self._unfollow.append(
                market.follow(self.period_s, lambda _change: self.canvas.look())
            )

    def close(self) -> None:
        """Hear of nothing any more."""
        for unfollow in self._unfollow:
            unfollow()
        self._unfollow.clear()

    def maybe_load_older(self) -> None:
        """Load older bars before one pans to where there are none yet."""
        view, series = self.chart.view, self.chart.series
        ahead = (view.right - view.left) * _AHEAD
        if self._loading or not len(series) or view.left - ahead > series.start:
            return
        self._loading = True
        self._start(self._load_older)

    async def _load_older(self) -> None:
        shown = (self.market, self.period_s)
        try:
            put = await self.market.load_older(self.period_s)
            for other in self.markets[1:]:
                await other.load_older(self.period_s)
        finally:
            self._loading = False
        if shown != (self.market, self.period_s):
            self.maybe_load_older()  # of what is shown now
        elif put:
            for study in self.chart.studies:
                study.keep_up(self.chart.series)
            self.canvas.look()
            self.maybe_load_older()

    def _tags(self) -> list[Tag]:
        """Return the labels of the best prices, with what is displayed there."""
        if not self.shows_touch:
            return []
        theme, touch = self.canvas.picture.theme, self.market.touch
        sides = (
            (touch.ask, touch.ask_size, theme.sell),
            (touch.bid, touch.bid_size, theme.buy),
        )  # fmt: skip
        view = self.chart.view
        return [
            Tag(view.y(price), f"{size:,.4g}", color)
            for price, size, color in sides
            if math.isfinite(price)
        ]
