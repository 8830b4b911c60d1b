"""The status bar: what mode it is in, how the feed is, what is being done."""

from __future__ import annotations

from typing import Final

from PySide6.QtWidgets import QLabel, QStatusBar

from piker.msgs import PAPER
from piker.ui._market import Market, age_of
from piker.ui._session import Session

from ._look import tone
from ._order_layer import OrderDesk

_SAID_MS: Final = 8000


class StatusBar(QStatusBar):
    """What is to be known at a glance."""

    def __init__(self, session: Session, desk: OrderDesk) -> None:
        """Show nothing yet."""
        super().__init__()
        self._session, self._desk, self._news = session, desk, ""
        self.mode, self.account, self.feed = QLabel(), QLabel(), QLabel()
        self.history, self.services = QLabel(), QLabel()
        self.addPermanentWidget(self.account)
        for widget in (self.history, self.services, self.feed, self.mode):
            self.addPermanentWidget(widget)
        self.setSizeGripEnabled(False)

    def say(self, text: str) -> None:
        """Show a sentence for a while."""
        self.showMessage(text, _SAID_MS)

    def refresh(self, market: Market | None) -> None:
        """Show how things stand now."""
        mode = self._desk.text()
        _put(self.mode, f"mode:{mode}", "" if mode == "view" else "note")
        account = self._desk.alloc.account
        _put(self.account, account, "faint" if account == PAPER else "live")
        _put(self.feed, *feed_text(market))
        self._tell_news(market)
        _put(self.history, history_text(market), "faint")
        _put(self.services, *services_text(self._session))

    def _tell_news(self, market: Market | None) -> None:
        """Say once what is odd about a market; who points at its state reads it."""
        news = f"{market.fqme}: {market.news}" if market and market.news else ""
        if news and news != self._news:
            self.say(news)
        self._news = news
        self.feed.setToolTip(news)


def _put(label: QLabel, text: str, purpose: str) -> None:
    if label.text() != text:
        label.setText(text)
    if label.property("tone") != purpose:
        tone(label, purpose)


def feed_text(market: Market | None) -> tuple[str, str]:
    """Return how a market's feed is, and the tone of that."""
    if market is None:
        return "no market", "faint"
    if market.trouble.startswith("ended"):
        return market.trouble, "note"
    if market.trouble:
        return f"reconnecting: {market.trouble}", "bad"
    return f"live, {age_of(market.delay_s)}", "good"


def history_text(market: Market | None) -> str:
    """Return how far the past is loaded; empty once it is."""
    if market is None:
        return ""
    going = [
        f"{each.period_s} s {each.done * 100:.0f}% {each.reason}".strip()
        for each in market.progress.values()
        if each.done < 1
    ]
    return f"history {', '.join(going)}" if going else ""


def services_text(session: Session) -> tuple[str, str]:
    """Return what of the tree is odd: restarts, quarantines; and the tone of that."""
    if session.lost:
        return f"pikerd: {session.lost}", "bad"
    held = [each for each in session.services if each.state == "quarantined"]
    if held:
        told = (f"{each.name} quarantined: {each.reason}" for each in held)
        return "; ".join(told), "bad"
    restarts = sum(each.restarts for each in session.services)
    if restarts:
        return f"{restarts} restart{'s' * (restarts > 1)}", "note"
    return "", "faint"
