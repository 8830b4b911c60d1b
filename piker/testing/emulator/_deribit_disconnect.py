"""Orders that end with the connection that placed them, at the emulated Deribit.

By https://docs.deribit.com/api-reference/session-management/
private-enable_cancel_on_disconnect: off, unless the connection or its account has it
on; a logout ends none; orders of other connections stay.
"""

from __future__ import annotations

from typing import Any

from ._deribit_margin import Margins
from ._deribit_rpc import Session
from ._deribit_said import Said, one_of

_SCOPES = ("connection", "account")


class Disconnects:
    """See the module.

    Attributes:
      accounts: whose new connections begin with it.
    """

    def __init__(self, margins: Margins) -> None:
        self._margins = margins
        self.accounts: set[str] = set()

    def act(self, method: str, session: Session, params: dict[str, Any]) -> Any:
        """Do what a method asks for; raises Said."""
        assert session.token is not None, "it is private"
        name = session.token.account.name
        scope = one_of(params, "scope", _SCOPES, "connection")
        if scope == "connection" and session.conn is None:
            raise Said(10030, "must_be_websocket_request")
        if method.startswith("get"):
            is_on = session.cancels if scope == "connection" else name in self.accounts
            return {"scope": scope, "enabled": bool(is_on)}
        is_on = method.startswith("enable")
        if scope == "connection":
            session.cancels = is_on
        elif is_on:
            self.accounts.add(name)
        else:
            self.accounts.discard(name)
        return "ok"

    def begin(self, session: Session) -> None:
        """Have a connection that is known now be as its account has it."""
        if session.cancels is None and session.token is not None:
            session.cancels = session.token.account.name in self.accounts

    def end(self, session: Session) -> None:
        """Have orders end with a connection, if that is how it is."""
        for order in session.placed if session.cancels else ():
            if not order.is_over:
                self._margins.end(order, "cancel_on_disconnect")
