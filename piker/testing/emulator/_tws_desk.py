"""Orders: what clients ask for, what comes of it, and who is told.

    placeOrder, cancelOrder --> Ticket --> Exchange --events--> openOrder, orderStatus,
    execDetails, commissionReport to the client whose order it is

By https://interactivebrokers.github.io/tws-api/{order_submission,cancel_order,
open_orders,executions_commissions,message_codes}.html.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ._exchange import Event, Order, Refused, Trade, Why
from ._tws_contracts import Query
from ._tws_fields import Fields, Wrong, invalid
from ._tws_hours import day_start_s
from ._tws_margin import kept, margin
from ._tws_order_rows import (
    Margins,
    commission_row,
    completed_row,
    open_row,
    status_row,
    trade_row,
)
from ._tws_ticket import Ticket, Written, read
from ._tws_times import time_of

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

_REJECTED: Final = "Order rejected - reason:"
#: Code and words of what the exchange refuses.
_WHYS: Final[dict[Why, tuple[int, str]]] = {
    "symbol": (200, "No security definition has been found for the request"),
    "halted": (201, f"{_REJECTED}Trading in this contract is halted."),
    "tick": (
        110,
        "The price does not conform to the minimum price variation for this contract.",
    ),
    "lot": (10243, "Fractional-sized order cannot be placed via API."),
    "price_range": (201, f"{_REJECTED}The price is out of range."),
    "size_range": (201, f"{_REJECTED}The size is out of range."),
    "funds": (
        201,
        f"{_REJECTED}We are unable to accept your order. Your Available Funds are"
        " insufficient.",
    ),
    "many": (201, f"{_REJECTED}Too many orders are open."),
    "over": (104, "Cannot modify a filled order."),
}  # fmt: skip
_UNKNOWN: Final = (201, f"{_REJECTED}The order can't be accepted.")
_FIRST_PERM_ID: Final = 1_480_000_001
_STATUSES: Final = {
    "waiting": "PreSubmitted", "open": "Submitted", "filled": "Filled",
    "canceled": "Cancelled", "expired": "Cancelled", "rejected": "Inactive",
}  # fmt: skip


@dataclass
class Desk:
    """See the module.

    Attributes:
      tickets: all there ever were, by permanent id, the oldest first.
      next_id: lower than it no order's id may be that is new.
      binds: clients that take orders of the screen as their own.
      master: the client that is told of all orders, -1 for none.
    """

    venue: Tws
    tickets: dict[int, Ticket] = field(default_factory=dict)
    next_id: int = 1
    binds: set[int] = field(default_factory=set)
    master: int = -1
    _by_id: dict[tuple[int, int], Ticket] = field(default_factory=dict)
    _perm_ids: Iterator[int] = field(default_factory=lambda: count(_FIRST_PERM_ID))
    _bound: Iterator[int] = field(default_factory=lambda: count(-1, -1))

    # -- orders of clients --------------------------------------------------------

    def place(self, session: Session, fields: Fields) -> None:
        """Do ``placeOrder``: a new order, or a change of one."""
        order_id = fields.request()
        written = read(fields)
        if written.what_if:
            self._look_at(session, order_id, written)
            return
        known = self._by_id.get((session.client_id, order_id))
        if known is None:
            do, kind = self._placing(session, order_id, written), "place"
        else:
            do, kind = self._changing(known, written), "amend"
        self.venue.asks.do(session, kind, order_id, do)

    def _account_of(self, written: Written) -> str:
        names = self.venue.accounts.names
        if not written.account and len(names) > 1:
            raise invalid("You must specify an account")
        if written.account and written.account not in names:
            raise invalid(f"Invalid account code {written.account!r}")
        return written.account or names[0]

    def _placing(
        self, session: Session, order_id: int, written: Written
    ) -> Callable[[], None]:
        if order_id < self.next_id:
            raise Wrong(103, "Duplicate order id")
        listed = self.venue.contracts.one(written.contract)
        ticket = Ticket(
            order_id, session.client_id, next(self._perm_ids), listed,
            written.contract.exchange, self._account_of(written), written,
        )  # fmt: skip
        self.next_id = order_id + 1

        def do() -> None:
            self._by_id[session.client_id, order_id] = ticket
            self._send(ticket)

        return do

    def _send(self, ticket: Ticket) -> None:
        """Bring an order to the exchange; raises Wrong."""
        self.tickets[ticket.perm_id] = ticket
        written, key = ticket.written, ticket.listed.key
        order = written.to_order(
            key, ticket.account, str(ticket.perm_id), time.time_ns()
        )
        try:
            ticket.order = self.venue.accounts.margin.place(order)
        except Refused as refused:
            del self.tickets[ticket.perm_id]
            if refused.why != "funds":
                self._by_id.pop((ticket.client_id, ticket.order_id), None)
                raise _refusal(refused) from None
            ticket.status, ticket.ended_ms = "Inactive", self.venue.now_ms()
            self._tell_all(ticket, *_errors(ticket, _refusal(refused)))
            self._tell_status(ticket, None)

    def _changing(self, ticket: Ticket, written: Written) -> Callable[[], None]:
        if ticket.status == "Filled":
            raise Wrong(104, "Cannot modify a filled order.")
        if ticket.is_over:
            raise Wrong(103, "Duplicate order id")
        old = ticket.written
        if written.kind != old.kind:
            raise Wrong(329, "Order modify failed. Cannot change to the new type.")
        listed = self.venue.contracts.one(written.contract)
        account = written.account or ticket.account
        if listed is not ticket.listed or (written.action, account) != (
            old.action, ticket.account,
        ):  # fmt: skip
            text = "Order being modified does not match the original order."
            raise Wrong(105, text)

        def do() -> None:
            order = ticket.order
            assert order is not None, "it isn't over"
            ticket.written = written
            try:
                self.venue.accounts.margin.amend(
                    order, size=written.size, price=written.limit, stop=written.stop
                )
            except Refused as refused:
                ticket.written = old
                raise _refusal(refused) from None

        return do

    def _look_at(self, session: Session, order_id: int, written: Written) -> None:
        """Tell what an order would do."""
        listed = self.venue.contracts.one(written.contract)
        account = self._account_of(written)
        engine = self.venue.accounts.margin
        order = written.to_order(listed.key, account, "", 0)
        book = engine.books[listed.key]
        try:
            engine.check(order)
        except Refused as refused:
            raise _refusal(refused) from None
        price = order.price or order.stop or engine.mark(listed.key)
        held = engine.position(account, listed.key).size
        signed = order.size if order.side == "buy" else -order.size
        more = margin(listed, price, abs(held + signed) - abs(held))
        used = engine.used(account, listed.currency)
        worth = engine.worth(account, listed.currency)
        fee, currency = engine.fees.of(
            (book.rules.base, book.rules.quote), order.side, price, order.size,
            is_maker=False,
        )  # fmt: skip
        told = Margins(
            (used, more, used + more),
            (kept(used), kept(more), kept(used + more)),
            (worth, -fee, worth - fee), fee, currency,
        )  # fmt: skip
        ticket = Ticket(
            order_id, session.client_id, next(self._perm_ids), listed,
            written.contract.exchange, account, written,
        )  # fmt: skip
        session.tell(*open_row(ticket, "PreSubmitted", told))

    # -- ends ---------------------------------------------------------------------

    def cancel(self, session: Session, fields: Fields) -> None:
        """Do ``cancelOrder``."""
        order_id = fields.skip().whole()
        ticket = self._by_id.get((session.client_id, order_id))

        def do() -> None:
            text = f"OrderId {order_id} that needs to be cancelled"
            if ticket is None:
                raise Wrong(10147, f"{text} is not found.")
            if ticket.is_over or ticket.order is None:
                state = f"can not be cancelled, state: {ticket.status}."
                raise Wrong(10148, f"{text} {state}")
            self.end(ticket)

        self.venue.asks.do(session, "cancel", order_id, do)

    def end(self, ticket: Ticket) -> None:
        """End an order that is not over."""
        assert ticket.order is not None, "it isn't over"
        if not self.venue.accounts.muted:
            self._tell_all(ticket, status_row(ticket, "PendingCancel", ticket.order))
        self.venue.accounts.margin.cancel(ticket.order)

    def cancel_all(self, session: Session, _fields: Fields) -> None:
        """Do ``reqGlobalCancel``: all orders, whoever gave them."""

        def do() -> None:
            for ticket in list(self.tickets.values()):
                if not ticket.is_over:
                    self.end(ticket)

        self.venue.asks.do(session, "cancel_all", -1, do)

    # -- the screen ---------------------------------------------------------------

    def place_by_hand(self, asked: Any) -> Ticket:
        """Place an order as its owner does at TWS's own screen.

        Args:
          asked: account, symbol, side, price and size.

        Raises: Refused.
        """
        listed = self.venue.listing.by_key[asked.symbol]
        query = Query.by_id(listed.con_id, listed.exchanges[0])
        action = "BUY" if asked.side == "buy" else "SELL"
        written = Written(
            query, action, asked.size, "LMT", asked.price, None, "DAY", asked.account,
            "",
        )  # fmt: skip
        order_id = next(self._bound) if 0 in self.binds else 0
        ticket = Ticket(
            order_id, 0, next(self._perm_ids), listed, listed.exchanges[0],
            asked.account, written,
        )  # fmt: skip
        if order_id:
            self._by_id[0, order_id] = ticket
        try:
            self._send(ticket)
        except Wrong as wrong:
            raise Refused("funds", str(wrong)) from None
        return ticket

    def close(self) -> None:
        """End orders that are good for the day."""
        for ticket in list(self.tickets.values()):
            if not ticket.is_over and ticket.order and ticket.written.tif != "GTC":
                self.venue.accounts.margin.cancel(ticket.order)

    def bind(self, session: Session, fields: Fields) -> None:
        """Do ``reqAutoOpenOrders``: only client 0 may."""
        if session.client_id != 0:
            text = "Error processing request.-'bZ' : cause - Only the default client"
            session.error(-1, 322, f"{text} (i.e 0) can auto bind orders")
            return
        if fields.skip().flag():
            self.binds.add(0)
        else:
            self.binds.discard(0)

    # -- questions ----------------------------------------------------------------

    def open(self, session: Session, _fields: Fields) -> None:
        """Do ``reqOpenOrders``: those of this client; of the screen too if it is 0."""
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
            since_ms = day_start_s(self.venue.now_ms() / 1000) * 1000
            for ticket in self.tickets.values():
                is_wanted = ticket.client_id or not is_api or ticket.order_id
                if ticket.is_over and ticket.ended_ms >= since_ms and is_wanted:
                    yield completed_row(ticket)
            yield [102]

        session.answer("completed", -1, rows)

    def executions(self, session: Session, fields: Fields) -> None:
        """Do ``reqExecutions``: today's trades that a filter lets pass."""
        req_id = fields.skip().whole()
        client_id, account, since = fields.whole(), fields.text(), fields.text()
        symbol, sec_type, exchange = (fields.text() for _ in range(3))
        side = {"BUY": "buy", "SELL": "sell"}.get(fields.text().upper(), "")
        today_s = day_start_s(self.venue.now_ms() / 1000)
        since_s = time_of(since, "US/Eastern") if since else today_s

        def fits(ticket: Ticket, trade: Trade) -> bool:
            one = ticket.listed
            return (
                client_id in (0, ticket.client_id)
                and account in ("", ticket.account)
                and trade.time_ms >= since_s * 1000
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

    def hear(self, event: Event) -> None:
        """Tell whose order it is what happened."""
        cl_id = event.order.cl_id
        ticket = self.tickets.get(int(cl_id)) if cl_id.isdigit() else None
        if ticket is None:
            return
        status = _STATUSES[event.order.state]
        match event.what:
            case "accepted":
                self._tell_accepted(ticket, event.order)
            case "traded" if event.trade:
                self._tell_trade(ticket, event.trade, event.order)
            case "ended":
                text = f"Order Canceled - reason:{event.order.why}"
                self._over(ticket, status)
                self._tell_all(ticket, *_errors(ticket, Wrong(202, text)))
                self._tell_all(ticket, status_row(ticket, status, event.order))
            case _:
                self._tell(ticket, status, event.order)

    def _tell_accepted(self, ticket: Ticket, order: Order) -> None:
        self._tell(ticket, "PreSubmitted", order)
        if order.state == "open":
            self._tell(ticket, "Submitted", order)

    def _tell_trade(self, ticket: Ticket, trade: Trade, order: Order) -> None:
        ticket.trades.append(trade)
        status = _STATUSES[order.state]
        if status == "Filled":
            self._over(ticket, status)
        self._tell_all(ticket, trade_row(ticket, trade))
        self._tell(ticket, status, order)
        profit = self._profit(trade)
        for session in self._whose(ticket):
            session.answer("commission", -1, partial(_commission, trade, profit))
        self.venue.books_of.changed(ticket.account, ticket.listed.key)

    def _over(self, ticket: Ticket, status: str) -> None:
        ticket.status, ticket.ended_ms = status, self.venue.now_ms()

    def _tell(self, ticket: Ticket, status: str, order: Order) -> None:
        """Tell an order and its status."""
        if not ticket.is_over:
            ticket.status = status
        self._tell_all(
            ticket, open_row(ticket, status), status_row(ticket, status, order)
        )

    def _tell_status(self, ticket: Ticket, order: Order | None) -> None:
        status = ticket.status
        self._tell_all(
            ticket, open_row(ticket, status), status_row(ticket, status, order)
        )

    def _tell_all(self, ticket: Ticket, *rows: list[Any]) -> None:
        for session in self._whose(ticket):
            for row in rows:
                session.tell(*row)

    def _whose(self, ticket: Ticket) -> list[Session]:
        sessions = self.venue.sessions
        wanted = dict.fromkeys((ticket.client_id, self.master))
        return [sessions[one] for one in wanted if one in sessions]


def _errors(ticket: Ticket, wrong: Wrong) -> list[list[Any]]:
    return [[4, 2, ticket.order_id, wrong.code, str(wrong), ""]]


def _commission(trade: Trade, profit: Decimal) -> list[list[Any]]:
    return [commission_row(trade, profit)]


def _refusal(refused: Refused) -> Wrong:
    return Wrong(*_WHYS.get(refused.why, _UNKNOWN))
