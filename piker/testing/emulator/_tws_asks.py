"""Requests about orders, and what is to go wrong with them: see `Asked`.

a request --> is the line to IB up? --> a fault of its kind? --> done; told, or not
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from ._exchange import Event
from ._faults import Asked
from ._tws_fields import Wrong
from ._tws_session import JUNK

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

#: What the answer to a request is: the first event that comes of it.
_ANSWERS: Final = {"place": "accepted", "amend": "amended"}
_REFUSALS: Final = {
    "cancel": (161, "Cancel attempted when order is not in a cancellable state."),
    "place": (201, "Order rejected - reason:The system is not available."),
    "amend": (201, "Order rejected - reason:The system is not available."),
}
_OUT_OF_ORDER: Final = (322, "Error processing request.-'bZ' : cause - Server error")
_UNSURE: Final = (504, "Not connected")

Do = Callable[[], None]


@dataclass
class Asks:
    """See the module."""

    venue: Tws
    _waiting: deque[Do] = field(default_factory=deque)

    # -- requests that do something -----------------------------------------------

    def do(self, session: Session, kind: str, order_id: int, act: Do) -> None:
        """Do what a client asks for, or what a fault makes of it.

        Args:
          kind: as `Asked` names it.
          order_id: to which an error is told.
          act: does it; may raise Wrong.
        """
        act = partial(self._safely, session, order_id, act)
        if self.venue.system.is_cut:
            self._waiting.append(act)
            return
        fault = self.venue.core.faults.private(Asked, kind)
        if fault is None:
            act()
        else:
            self._do_wrong(session, fault, kind, order_id, act)

    def run_waiting(self) -> None:
        """Do what waited for the line to IB."""
        while self._waiting:
            self._waiting.popleft()()

    def _safely(self, session: Session, order_id: int, act: Do) -> None:
        try:
            act()
        except Wrong as wrong:
            session.error(order_id, wrong.code, str(wrong))

    def _do_wrong(
        self, session: Session, fault: Asked, kind: str, order_id: int, act: Do
    ) -> None:
        """Do it as a fault wants it, and at once: other requests come after it."""
        match fault.how:
            case "unheard" | "half":
                self._break(session)
            case "refused":
                session.error(order_id, *_REFUSALS.get(kind, _OUT_OF_ORDER))
            case "late":
                self._break(session)
                self.venue.start(_after_s, fault.seconds, act)
            case "slow":
                tell = partial(self.venue.accounts.tell_held, self._hold(act))
                self.venue.start(_after_s, fault.seconds, tell)
            case "stale":
                act()
            case _:
                self._mute(kind, act)
                self._after(session, fault, order_id)

    def _hold(self, act: Do) -> list[Event]:
        """Do something, and return its events untold."""
        accounts = self.venue.accounts
        held: list[Event] = []
        accounts.held = held
        try:
            act()
        finally:
            accounts.held = None
        return held

    def _mute(self, kind: str, act: Do) -> None:
        """Do something, without the event that answers it."""
        accounts = self.venue.accounts
        accounts.muted = frozenset({_ANSWERS.get(kind, "nothing")})
        try:
            act()
        finally:
            accounts.muted = frozenset()

    def _after(self, session: Session, fault: Asked, order_id: int) -> None:
        """Say what is said in place of an answer."""
        match fault.how:
            case "unanswered":
                self._break(session)
            case "unsure":
                session.error(order_id, *_UNSURE)
            case "page":
                session.tell(*JUNK)
            case "odd":  # a status whose sizes are no numbers
                session.tell(3, order_id, "Submitted", "x", "y", "", 0, 0, 0, 0, "", 0)
            case "silent":
                pass

    def _break(self, session: Session) -> None:
        self.venue.core.drop(session.conn)
        session.conn.break_off()

    # -- questions ----------------------------------------------------------------

    def tell(
        self, session: Session, kind: str, answer: str, req_id: int,
        rows: Callable[..., Iterator[list[Any]]],
    ) -> None:  # fmt: skip
        """Answer a question about orders, or as a fault wants it.

        Args:
          kind: as `Asked` names it.
          answer: as `Answer` names it.
          req_id: of the request, -1 if it has none.
          rows: makes the answer, of so many seconds ago where that is asked for.
        """
        fault = self.venue.core.faults.private(Asked, kind)
        if fault is None:
            session.answer(answer, req_id, rows)
        else:
            self._tell_wrong(session, fault, req_id, rows)

    def _tell_wrong(
        self, session: Session, fault: Asked, req_id: int,
        rows: Callable[..., Iterator[list[Any]]],
    ) -> None:  # fmt: skip
        def tell(*args: float) -> None:
            for row in rows(*args):
                session.tell(*row)

        match fault.how:
            case "unheard" | "unanswered" | "half" | "late":
                self._break(session)
            case "refused" | "unsure":
                session.error(req_id, *_OUT_OF_ORDER)
            case "stale":
                tell(fault.seconds)
            case "page":
                session.tell(*JUNK)
            case "odd":
                for row in rows():
                    session.tell(*("x" if field == 0 else field for field in row))
            case "slow":
                session.start(_after_s, fault.seconds, tell)


async def _after_s(seconds: float, act: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    act()
