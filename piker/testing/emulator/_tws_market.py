"""Market data as it happens: lines of quotes and trades, single ticks.

    an item of the tape --> what of it is new --> messages to each who asked for it

By https://interactivebrokers.github.io/tws-api/{tick_types,tick_data,delayed_data,
tick_by_tick}.html. TWS tells the state a few times a second; here each trade and each
quote is told, none together with another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from ._core import Frame
from ._tape import Book, Item, Market, Print
from ._tws_fields import Fields, Wrong, invalid
from ._tws_kinds import Listed
from ._tws_recorded import Told
from ._tws_ticks import (
    SINGLE,
    UNKNOWN,
    State,
    Sub,
    first_rows,
    of_book,
    of_print,
    of_told,
)
from ._tws_wire import packed

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

#: Documented numbers of generic ticks; of these, 233 and 375 are told.
_GENERIC: Final = frozenset(
    (100, 101, 104, 105, 106, 162, 165, 221, 225, 232, 233, 236, 256, 258, 292, 293,
     294, 295, 318, 375, 411, 456, 460, 577, 586, 587, 588, 595, 614, 619, 623)
)  # fmt: skip
#: What is said of market data that isn't told.
DENIED: Final = {
    354: "Requested market data is not subscribed.Delayed market data is available.",
    10089: "Requested market data requires additional subscription for API.",
    10090: "Part of requested market data is not subscribed. Subscription-independent"
    " ticks are still active.",
    10091: "Part of requested market data requires additional subscription for API.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10168: "Requested market data is not subscribed. Delayed market data is not"
    " enabled.",
    10197: "No market data during competing live session",
}
#: Said of a line that is told for all that.
_PARTS: Final = frozenset({10090, 10091})
_FARMS: Final = {
    "STK": "usfarm", "OPT": "usopt", "FUT": "usfuture", "CASH": "cashfarm",
    "CRYPTO": "cryptofarm",
}  # fmt: skip


def farm_of(listed: Listed) -> str:
    """Return the farm that tells a contract's market data."""
    return _FARMS[listed.sec_type]


@dataclass
class MarketData:
    """Who is told what; see the module.

    Attributes:
      denied: why market data isn't told, by contract.
    """

    venue: Tws
    denied: dict[Listed, int] = field(default_factory=dict)
    _subs: dict[Market, list[Sub]] = field(default_factory=dict)
    _states: dict[Market, State] = field(default_factory=dict)

    # -- requests -----------------------------------------------------------------

    def subscribe(self, session: Session, fields: Fields) -> None:
        """Do ``reqMktData``."""
        req_id = fields.skip().request()
        listed = self.venue.contract(fields)
        if fields.flag():
            raise invalid("delta neutral contracts aren't emulated")
        sub = Sub(session, req_id, listed, "", _generics(fields.text()))
        is_snapshot = fields.flag()
        self._refuse(session, req_id)
        self._permit(sub)
        lines = sum(not one.kind for one in session.subs.values())
        if not is_snapshot and lines >= self.venue.limits.lines:
            raise Wrong(101, "Max number of tickers has been reached")
        if not is_snapshot:
            self._add(sub)
        ends = [[57, 1, req_id]] if is_snapshot else []
        session.answer("market", req_id, lambda: [*self._first(sub), *ends])

    def subscribe_single(self, session: Session, fields: Fields) -> None:
        """Do ``reqTickByTickData``."""
        req_id = fields.request()
        listed = self.venue.contract(fields)
        kind = fields.text()
        self._refuse(session, req_id)
        if kind not in SINGLE:
            raise invalid(f"Invalid tick-by-tick type: {kind!r}")
        if SINGLE[kind] < 3 and not listed.has_trades:
            at = f"{listed.exchanges[0]} {listed.sec_type}"
            text = f"Failed to request tick-by-tick data:No market data for {at}"
            raise Wrong(10189, text)
        singles = sum(bool(one.kind) for one in session.subs.values())
        if singles >= self.venue.limits.tick_by_tick:
            text = "Max number of tick-by-tick requests has been reached"
            raise Wrong(10190, text)
        sub = Sub(session, req_id, listed, kind)
        self._permit(sub)
        self._add(sub)

    def cancel(self, session: Session, fields: Fields) -> None:
        """Do ``cancelMktData``."""
        self._cancel(session, fields.skip().request())

    def cancel_single(self, session: Session, fields: Fields) -> None:
        """Do ``cancelTickByTickData``."""
        self._cancel(session, fields.request())

    def _cancel(self, session: Session, req_id: int) -> None:
        sub = session.subs.get(req_id)
        if sub is None:
            raise Wrong(300, f"Can't find EId with tickerId:{req_id}")
        self.remove(sub)

    def set_type(self, session: Session, fields: Fields) -> None:
        """Do ``reqMarketDataType``."""
        session.market_type = fields.skip().whole(1)

    def _refuse(self, session: Session, req_id: int) -> None:
        if req_id in session.subs:
            raise Wrong(102, "Duplicate ticker ID")

    def _permit(self, sub: Sub) -> None:
        """Say what keeps a line from being told; raises Wrong if nothing is told."""
        code = self.denied.get(sub.listed, 0)
        if not code:
            return
        if code in _PARTS:
            sub.session.error(sub.req_id, code, DENIED[code])
            return
        wants_delayed = sub.session.market_type in (3, 4) and not sub.kind
        if code != 10167 or not wants_delayed:
            code = 354 if code == 10167 else code
            raise Wrong(code, f"{DENIED[code]} {sub.listed.local}")
        sub.session.error(sub.req_id, code, DENIED[code])
        sub.is_delayed = True

    # -- who listens --------------------------------------------------------------

    def _add(self, sub: Sub) -> None:
        sub.session.subs[sub.req_id] = sub
        core, conn = self.venue.core, sub.session.conn
        if sub.listed.market is not None:
            self._subs.setdefault(sub.listed.market, []).append(sub)
        core.subscribe(conn, _stream(sub))

    def remove(self, sub: Sub) -> None:
        """End a subscription."""
        del sub.session.subs[sub.req_id]
        if sub.listed.market is not None:
            self._subs[sub.listed.market].remove(sub)
        others = {_stream(one) for one in sub.session.subs.values()}
        if _stream(sub) not in others:
            self.venue.core.unsubscribe(sub.session.conn, _stream(sub))

    def forget(self) -> None:
        """End all subscriptions, and say nothing of it."""
        for session in self.venue.sessions.values():
            self.leave(session)

    def leave(self, session: Session) -> None:
        """End all subscriptions of a client."""
        for sub in list(session.subs.values()):
            self.remove(sub)

    def deny(self, listed: Listed, code: int) -> None:
        """Tell a contract's market data no more; *code* 0: again."""
        if not code:
            self.denied.pop(listed, None)
            return
        self.denied[listed] = code
        market = listed.market
        for sub in self._subs.get(market, ()) if market is not None else ():
            sub.session.error(sub.req_id, code, DENIED[code])

    # -- what is told -------------------------------------------------------------

    def _first(self, sub: Sub) -> list[str]:
        market = sub.listed.market
        state = self._states.get(market) if market is not None else None
        return list(first_rows(sub, state or State()))

    def renew(self, farm: str) -> None:
        """Tell all lines of a farm that is up again how things are; all if empty."""
        for session in self.venue.sessions.values():
            for sub in session.subs.values():
                if farm in ("", farm_of(sub.listed)) and self._is_told(sub):
                    for row in () if sub.kind else self._first(sub):
                        session.conn.put(packed(row))

    def frames(self, item: Item | Told) -> Iterator[Frame]:
        """Yield what an item of the tape is to each who asked for it."""
        state = self._states.setdefault(item.market, State())
        rows_of = self._rows_of(state, item)
        subs = self._subs.get(item.market)
        if not subs:
            return
        is_sure = not self.denied and self.venue.system.is_all_up
        for sub in tuple(subs):
            if is_sure or self._is_told(sub):
                for row in rows_of(sub):
                    yield Frame([sub.session.conn], packed(row))

    def _rows_of(
        self, state: State, item: Item | Told
    ) -> Callable[[Sub], Iterator[str]]:
        """Return what makes an item's messages, and note its news."""
        is_recorded = self.venue.is_recorded
        if isinstance(item, Told):
            return partial(of_told, item=item)
        if isinstance(item, Book):
            news = state.quote(item)
            return partial(of_book, item=item, news=[] if is_recorded else news)
        return partial(
            of_print, item=item, state=state, news=state.take(item),
            is_recorded=is_recorded,
        )  # fmt: skip

    def open_at(self, market: Market, bid: float, ask: float, last: float) -> None:
        """Have a market begin at prices whose sizes nobody knows; 0: unknown too."""
        self._states[market] = State((bid, UNKNOWN), (ask, UNKNOWN), last)

    def note(self, item: Item) -> None:
        """Take what passed before anybody could ask."""
        state = self._states.setdefault(item.market, State())
        if isinstance(item, Print):
            state.take(item)
        else:
            state.quote(item)

    def _is_told(self, sub: Sub) -> bool:
        code = self.denied.get(sub.listed, 0)
        if code and code not in _PARTS and not sub.is_delayed:
            return False
        return self.venue.system.is_up(farm_of(sub.listed))


def _stream(sub: Sub) -> str:
    return f"{sub.listed.key} {sub.kind}".strip()


def _generics(text: str) -> frozenset[int]:
    """Return the numbers of a list of generic ticks; raises Wrong."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) in _GENERIC for part in found):
        raise invalid(f"Incorrect generic tick list of {text}")
    return frozenset(map(int, found))
