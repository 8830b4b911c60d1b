"""Orders as clients of an emulated TWS give them, change them and end them.

    placeOrder, cancelOrder, reqGlobalCancel --> Ticket --> Exchange; what comes of it
    is the Teller's

By https://interactivebrokers.github.io/tws-api/{order_submission,cancel_order,
message_codes}.html.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ._exchange import Refused, Why
from ._tws_contracts import Query
from ._tws_fields import Fields, Wrong, invalid
from ._tws_margin import kept, margin
from ._tws_order_rows import Margins, open_row
from ._tws_ticket import Ticket, Written, read

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
}
_UNKNOWN: Final = (201, f"{_REJECTED}The order can't be accepted.")
_FIRST_PERM_ID: Final = 1_480_000_001


@dataclass
class Desk:
    """See the module.

    Attributes:
      next_ids: lower than it no order's id may be that is new, by client.
      binds: client 0 takes orders of the screen as its own.
      is_old: cancels are refused with the codes of an older TWS.
    """

    venue: Tws
    next_ids: dict[int, int] = field(default_factory=dict)
    binds: bool = False
    is_old: bool = False
    _by_id: dict[tuple[int, int], Ticket] = field(default_factory=dict)
    _perm_ids: Iterator[int] = field(default_factory=lambda: count(_FIRST_PERM_ID))
    _bound: Iterator[int] = field(default_factory=lambda: count(-1, -1))

    def next_id(self, client_id: int) -> int:
        """Return an id that an order of a client may have."""
        return self.next_ids.get(client_id, 1)

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

    def _ticket(self, client_id: int, order_id: int, written: Written) -> Ticket:
        listed = self.venue.contracts.one(written.contract)
        return Ticket(
            order_id, client_id, next(self._perm_ids), listed,
            written.contract.exchange, self._account_of(written), written,
        )  # fmt: skip

    def _placing(
        self, session: Session, order_id: int, written: Written
    ) -> Callable[[], None]:
        client_id = session.client_id
        if order_id < self.next_id(client_id):
            raise Wrong(103, "Duplicate order id")
        ticket = self._ticket(client_id, order_id, written)

        def do() -> None:
            self.next_ids[client_id] = max(order_id + 1, self.next_id(client_id))
            self._by_id[client_id, order_id] = ticket
            self._send(ticket)

        return do

    def _send(self, ticket: Ticket) -> None:
        """Bring an order to the exchange; raises Wrong if that won't have it.

        One that is refused for its margin is known from then on, and inactive.
        """
        teller = self.venue.teller
        teller.tickets[ticket.perm_id] = ticket
        order = ticket.written.to_order(
            ticket.listed.key, ticket.account, str(ticket.perm_id), time.time_ns()
        )
        try:
            ticket.order = self.venue.accounts.margin.place(order)
        except Refused as refused:
            if refused.why == "funds":
                teller.tell_refused(ticket, refusal(refused))
                return
            del teller.tickets[ticket.perm_id]
            self._by_id.pop((ticket.client_id, ticket.order_id), None)
            raise refusal(refused) from None

    def _changing(self, ticket: Ticket, written: Written) -> Callable[[], None]:
        if ticket.status == "Filled":
            raise Wrong(104, "Cannot modify a filled order.")
        if ticket.is_over:
            raise Wrong(103, "Duplicate order id")
        old = ticket.written
        if written.kind != old.kind:
            text = "Order modify failed. Cannot change to the new order type."
            raise Wrong(329, text)
        listed = self.venue.contracts.one(written.contract)
        account = written.account or ticket.account
        same = listed is ticket.listed and account == ticket.account
        if not same or written.action != old.action:
            text = "Order being modified does not match the original order."
            raise Wrong(105, text)

        def do() -> None:
            order = ticket.order
            assert order is not None, "it was taken"
            ticket.written = written
            try:
                self.venue.accounts.margin.amend(
                    order, size=written.size, price=written.limit, stop=written.stop
                )
            except Refused as refused:
                ticket.written = old
                raise refusal(refused) from None

        return do

    def _look_at(self, session: Session, order_id: int, written: Written) -> None:
        """Tell what an order would do."""
        ticket = self._ticket(session.client_id, order_id, written)
        listed, account = ticket.listed, ticket.account
        engine = self.venue.accounts.margin
        order = written.to_order(listed.key, account, "", 0)
        try:
            engine.check(order)
        except Refused as refused:
            raise refusal(refused) from None
        price = order.price or order.stop or engine.mark(listed.key)
        held = engine.position(account, listed.key).size
        signed = order.size if order.side == "buy" else -order.size
        more = margin(listed, price, abs(held + signed) - abs(held))
        used, worth = engine.used(account), engine.worth(account)
        fee, currency = engine.fee_of(order, price)
        told = Margins(
            (used, more, used + more),
            (kept(used), kept(more), kept(used + more)),
            (worth, -fee, worth - fee), fee, currency,
        )  # fmt: skip
        session.tell(*open_row(ticket, "PreSubmitted", told))

    # -- ends ---------------------------------------------------------------------

    def cancel(self, session: Session, fields: Fields) -> None:
        """Do ``cancelOrder``."""
        order_id = fields.skip().request()

        def do() -> None:
            ticket = self._by_id.get((session.client_id, order_id))
            if ticket is None or ticket.is_over:
                raise self._no_cancel(order_id, ticket)
            self._end(ticket)

        self.venue.asks.do(session, "cancel", order_id, do)

    def _no_cancel(self, order_id: int, ticket: Ticket | None) -> Wrong:
        """Return how a cancel of what isn't there, or is over, is refused."""
        if self.is_old:
            if ticket is None:
                return Wrong(135, f"Can't find order with id ={order_id}")
            return Wrong(136, "This order cannot be cancelled.")
        text = f"OrderId {order_id} that needs to be cancelled"
        if ticket is None:
            return Wrong(10147, f"{text} is not found.")
        return Wrong(10148, f"{text} can not be cancelled, state: {ticket.status}.")

    def _end(self, ticket: Ticket) -> None:
        assert ticket.order is not None, "it isn't over"
        self.venue.teller.tell_ending(ticket)
        self.venue.accounts.margin.cancel(ticket.order)

    def cancel_all(self, session: Session, _fields: Fields) -> None:
        """Do ``reqGlobalCancel``: all orders, whoever gave them."""

        def do() -> None:
            for ticket in list(self.venue.teller.tickets.values()):
                if not ticket.is_over:
                    self._end(ticket)

        self.venue.asks.do(session, "cancel_all", -1, do)

    # -- the screen, and the day --------------------------------------------------

    def place_by_hand(self, asked: Any) -> Ticket:
        """Place an order as its owner does at TWS's own screen.

        Args:
          asked: account, symbol, side, price and size.

        Raises: Refused.
        """
        listed = self.venue.listing.by_key[asked.symbol]
        written = Written(
            Query.by_id(listed.con_id, listed.exchanges[0]),
            "BUY" if asked.side == "buy" else "SELL",
            asked.size, "LMT", asked.price, None, "DAY", asked.account, "",
        )  # fmt: skip
        try:
            ticket = self._ticket(0, 0, written)
            if self.binds:
                self._bind(ticket)
            self._send(ticket)
        except Wrong as wrong:
            raise Refused("funds", str(wrong)) from None
        return ticket

    def close(self) -> None:
        """End the day, and the orders that are good for it.

        What was done and over on it is not told any more.
        """
        for ticket in list(self.venue.teller.tickets.values()):
            if not ticket.is_over and ticket.order and ticket.written.tif != "GTC":
                self.venue.accounts.margin.cancel(ticket.order)
        self.venue.teller.day_ms = self.venue.now_ms() + 1

    def bind(self, session: Session, fields: Fields) -> None:
        """Do ``reqAutoOpenOrders``: only client 0 may."""
        if session.client_id != 0:
            text = "Error processing request.-'bZ' : cause - Only the default client"
            raise Wrong(322, f"{text} (i.e 0) can auto bind orders")
        self.binds = fields.skip().flag()

    def bind_open(self, session: Session) -> None:
        """Have client 0 take the open orders of the screen as its own."""
        for ticket in self.venue.teller.tickets.values():
            if not ticket.client_id and not ticket.order_id and not ticket.is_over:
                self._bind(ticket)
                session.tell(100, ticket.perm_id, 0, ticket.order_id)

    def _bind(self, ticket: Ticket) -> None:
        ticket.order_id = next(self._bound)
        self._by_id[0, ticket.order_id] = ticket


def refusal(refused: Refused) -> Wrong:
    """Return how a refusal of the exchange is told."""
    return Wrong(*_WHYS.get(refused.why, _UNKNOWN))
