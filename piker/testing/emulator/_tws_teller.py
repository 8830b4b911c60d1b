"""What clients are told of orders: as something happens, and when they ask.

    an event of the exchange --> openOrder, orderStatus, execDetails, commissionReport
    reqOpenOrders, reqAllOpenOrders, reqCompletedOrders, reqExecutions

By https://interactivebrokers.github.io/tws-api/{open_orders,executions_commissions}.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ._exchange import Event, Order, Trade
from ._tws_fields import Fields, Wrong
from ._tws_order_rows import (
    commission_row,
    completed_row,
    open_row,
    status_row,
    trade_row,
)
from ._tws_ticket import Ticket
from ._tws_times import time_of

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

_ZONE: Final = "US/Eastern"
_STATUSES: Final = {
    "waiting": "PreSubmitted", "open": "Submitted", "filled": "Filled",
    "canceled": "Cancelled", "expired": "Cancelled", "rejected": "Inactive",
}  # fmt: skip


@dataclass
class Teller:
    """See the module.

    Attributes:
      tickets: all there ever were, by permanent id, the oldest first.
      master: the client that is told of all orders, -1 for none.
      day_ms: when the day began; what was before is told no more. Tests end it: at a
        midnight of the clock something would change under their hands.
    """

    venue: Tws
    tickets: dict[int, Ticket] = field(default_factory=dict)
    master: int = -1
    day_ms: int = 0

    # -- questions ----------------------------------------------------------------

    def open(self, session: Session, _fields: Fields) -> None:
        """Do ``reqOpenOrders``: those of this client; of the screen too if it is 0."""
        if session.client_id == 0:
            self.venue.desk.bind_open(session)
        self._tell_open(session, lambda one: one.client_id == session.client_id)

    def open_of_all(self, session: Session, _fields: Fields) -> None:
        """Do ``reqAllOpenOrders``."""
        self._tell_open(session, lambda one: True)

    def _tell_open(self, session: Session, wanted: Callable[[Ticket], bool]) -> None:
        def rows(stale_s: float = 0.0) -> Iterator[list[Any]]:
            for ticket in list(self.tickets.values()):
                order = self._as_of(ticket, stale_s)
                if wanted(ticket) and order is not None:
                    status = _STATUSES[order.state]
                    yield open_row(ticket, status)
                    yield status_row(ticket, status, order)
            yield [53, 1]

        self.venue.asks.tell(session, "open", "open", -1, rows)

    def _as_of(self, ticket: Ticket, stale_s: float) -> Order | None:
        """Return an open order, as it was so long ago; None if it wasn't open."""
        if not stale_s:
            return None if ticket.is_over else ticket.order
        then_ms = self.venue.now_ms() - int(stale_s * 1000)
        found = self.venue.accounts.margin.open_at(ticket.account, then_ms)
        cl_id = str(ticket.perm_id)
        return next((one for one in found if one.cl_id == cl_id), None)

    def completed(self, session: Session, fields: Fields) -> None:
        """Do ``reqCompletedOrders``: those that ended today."""
        is_api = fields.flag()

        def rows() -> Iterator[list[Any]]:
            for ticket in self.tickets.values():
                is_wanted = ticket.client_id or not is_api or ticket.order_id
                if ticket.is_over and ticket.ended_ms >= self.day_ms and is_wanted:
                    yield completed_row(ticket)
            yield [102]

        session.answer("completed", -1, rows)

    def executions(self, session: Session, fields: Fields) -> None:
        """Do ``reqExecutions``: today's trades that a filter lets pass."""
        req_id = fields.skip().request()
        client_id, account, since = fields.whole(), fields.text(), fields.text()
        symbol, sec_type, exchange = (fields.text() for _ in range(3))
        side = {"BUY": "buy", "SELL": "sell"}.get(fields.text().upper(), "")
        since_ms = time_of(since, _ZONE) * 1000 if since else 0

        def fits(ticket: Ticket, trade: Trade) -> bool:
            one = ticket.listed
            return (
                client_id in (0, ticket.client_id)
                and account in ("", ticket.account)
                and trade.time_ms >= max(self.day_ms, since_ms)
                and symbol in ("", one.symbol)
                and sec_type in ("", one.sec_type)
                and exchange in ("", ticket.exchange, *one.exchanges)
                and side in ("", trade.order.side)
            )

        def rows() -> Iterator[list[Any]]:
            found = [
                (ticket, trade)
                for ticket in self.tickets.values()
                for trade in ticket.trades
                if fits(ticket, trade)
            ]
            found.sort(key=lambda pair: pair[1].time_ms)
            for ticket, trade in found:
                yield trade_row(ticket, trade, req_id)
                yield commission_row(trade, self._profit(trade))
            yield [55, 1, req_id]

        self.venue.asks.tell(session, "trades", "executions", req_id, rows)

    def _profit(self, trade: Trade) -> Decimal:
        return self.venue.accounts.margin.profit_of(trade)

    # -- events -------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Take what happened to an order, whoever is told of it, and when."""
        ticket = self._ticket_of(event.order)
        if ticket is None:
            return
        ticket.order = self.venue.accounts.margin.orders[event.order.serial]
        ticket.status = _STATUSES[event.order.state]
        if event.trade is not None:
            ticket.trades.append(event.trade)
        if ticket.is_over:
            ticket.ended_ms = self.venue.now_ms()

    def hear(self, event: Event) -> None:
        """Tell whose order it is what happened."""
        ticket = self._ticket_of(event.order)
        if ticket is None:
            return
        status = _STATUSES[event.order.state]
        match event.what:
            case "accepted":
                self._tell(ticket, "PreSubmitted", event.order)
                if event.order.state == "open":
                    self._tell(ticket, status, event.order)
            case "traded" if event.trade:
                self._tell_all(ticket, trade_row(ticket, event.trade))
                self._tell(ticket, status, event.order)
                self._tell_commission(ticket, event.trade)
                self.venue.books_of.changed(ticket.account, ticket.listed.key)
            case "ended":
                text = f"Order Canceled - reason:{event.order.why}"
                self._tell_all(
                    ticket, _error(ticket, Wrong(202, text)),
                    status_row(ticket, status, event.order),
                )  # fmt: skip
            case _:
                self._tell(ticket, status, event.order)

    def _ticket_of(self, order: Order) -> Ticket | None:
        return self.tickets.get(int(order.cl_id)) if order.cl_id.isdigit() else None

    def _tell_commission(self, ticket: Ticket, trade: Trade) -> None:
        """Tell what a trade cost; that comes by itself, and may come late."""
        rows = [commission_row(trade, self._profit(trade))]
        for session in self._whose(ticket):
            session.answer("commission", -1, lambda: rows)

    def _tell(self, ticket: Ticket, status: str, order: Order) -> None:
        """Tell an order and its status."""
        self._tell_all(
            ticket, open_row(ticket, status), status_row(ticket, status, order)
        )

    def tell_refused(self, ticket: Ticket, wrong: Wrong) -> None:
        """Tell that an order was refused; it is known, and inactive, from then on."""
        ticket.status, ticket.ended_ms = "Inactive", self.venue.now_ms()
        self._tell_all(
            ticket, _error(ticket, wrong), open_row(ticket, "Inactive"),
            status_row(ticket, "Inactive", None),
        )  # fmt: skip

    def tell_ending(self, ticket: Ticket) -> None:
        """Tell that an order is about to end, unless that is to be kept silent."""
        if not self.venue.accounts.muted:
            self._tell_all(ticket, status_row(ticket, "PendingCancel", ticket.order))

    def _tell_all(self, ticket: Ticket, *rows: list[Any]) -> None:
        for session in self._whose(ticket):
            for row in rows:
                session.tell(*row)

    def _whose(self, ticket: Ticket) -> list[Session]:
        sessions = self.venue.sessions
        wanted = dict.fromkeys((ticket.client_id, self.master))
        return [sessions[one] for one in wanted if one in sessions]


def _error(ticket: Ticket, wrong: Wrong) -> list[Any]:
    return [4, 2, ticket.order_id, wrong.code, str(wrong), ""]
