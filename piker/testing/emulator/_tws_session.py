"""One client of an emulated TWS: its requests, and the answers to them.

a message --number--> whose request it is --> rows, each a message
'--> Wrong: an error of that request
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import trio

from ._tws_faults import Answer
from ._tws_fields import Fields, Wrong, invalid
from ._tws_names import NAMES
from ._tws_pacing import Rate
from ._tws_wire import NotSpoken, TwsConnection, message, packed

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_ticks import Sub

#: What a request comes to: messages, each a list of fields, or their text.
Rows = Iterable[list[Any] | str]
_STRIKES: Final = 3  # of too many messages a second, before the connection ends
JUNK: Final = (999, "<html><body>502 Bad Gateway</body></html>", "\x00\x01")


class Session:
    """A client that has started the API.

    Attributes:
      venue: whose client it is.
      conn: to it.
      client_id: as it names itself.
      subs: its subscriptions of market data, by request.
      pending: requests for history that wait for their answer.
      market_type: 1 live, 2 frozen, 3 delayed, 4 both: what it asked for.
      updates: the account whose values it is told as they change, empty for none.
      multi: accounts told to requests, by their ids; empty for all.
      has_positions: it is told positions as they change.
    """

    def __init__(
        self, venue: Tws, conn: TwsConnection, client_id: int, tasks: trio.Nursery
    ) -> None:
        self.venue = venue
        self.conn = conn
        self.client_id = client_id
        self.subs: dict[int, Sub] = {}
        self.pending: dict[int, trio.CancelScope] = {}
        self.market_type = 1
        self.updates = ""
        self.multi: dict[int, str] = {}
        self.has_positions = False
        self.asked_symbols = -1e9
        self._rate = Rate()
        self._tasks = tasks
        self._kept: list[bytes] = []

    # -- telling ------------------------------------------------------------------

    def tell(self, *fields: Any) -> None:
        """Send a message."""
        self.conn.tell(*fields)

    def error(self, req_id: int, code: int, text: str) -> None:
        """Send an error or a notice."""
        self.conn.tell_error(req_id, code, text)

    def answer(
        self, kind: str, req_id: int, make: Callable[[], Rows], *,
        after_s: float = 0, farm: str = "",
    ) -> None:  # fmt: skip
        """Answer a request, as a fault wants it if there is one.

        Args:
          kind: as `Answer` names it.
          req_id: of the request, -1 if it has none.
          make: makes the messages; may raise Wrong, and must not wait.
          after_s: it takes so long.
          farm: that has the answer; while it is down there is none.
        """
        fault = self.venue.core.faults.answer(kind)
        if fault is None and not after_s and self.venue.system.has(farm):
            self._give(self._made(req_id, make))
            return
        scope = trio.CancelScope()
        if req_id >= 0:
            self.pending[req_id] = scope

        async def later() -> None:
            with scope:
                if fault is None or fault.how != "error":  # no farm is asked for that
                    await self.venue.system.wait_for(farm)
                await trio.sleep(after_s)
                await self._give_wrong(fault, req_id, make)
            if self.pending.get(req_id) is scope:
                del self.pending[req_id]

        self._tasks.start_soon(later)

    def _made(self, req_id: int, make: Callable[[], Rows]) -> bytes:
        try:
            return b"".join(
                [
                    packed(row) if isinstance(row, str) else message(*row)
                    for row in make()
                ]
            )
        except Wrong as wrong:
            return message(4, 2, req_id, wrong.code, str(wrong), "")

    def _give(self, told: bytes) -> None:
        if self.conn.is_closing:
            return
        kept, self._kept = self._kept, []
        self.conn.put(b"".join([told, *kept]))

    async def _give_wrong(
        self, fault: Answer | None, req_id: int, make: Callable[[], Rows]
    ) -> None:
        match fault.how if fault else "":
            case "never":
                await trio.sleep_forever()
            case "late" if fault:
                await trio.sleep(fault.seconds)
                self._give(self._made(req_id, make))
            case "twice":
                told = self._made(req_id, make)
                self._give(told + told)
            case "swapped":
                self._kept.append(self._made(req_id, make))
            case "error" if fault:
                self.error(req_id, fault.code, "Error processing request.-'bZ'")
            case "garbage":
                self._give(message(*JUNK))
            case "cut":
                told = self._made(req_id, make)
                self.conn.put(told[: len(told) // 2])
                self.venue.core.drop(self.conn)
                await self.conn.reset()
            case _:
                self._give(self._made(req_id, make))

    # -- what comes ---------------------------------------------------------------

    async def run(self) -> None:
        """Do what the client asks for, until it leaves."""
        while True:
            try:
                fields = await self.conn.request()
            except NotSpoken:
                return
            if self.conn.is_closing:
                continue  # nothing more is heard of it, but that it leaves
            if not self._is_counted():
                await self.conn.reset()
                return
            self.heard(Fields(fields))

    def _is_counted(self) -> bool:
        """Count a message; tell whether the connection may go on."""
        most = self.venue.limits.messages
        if not self._rate.is_over(trio.current_time(), most):
            return True
        text = "Max rate of messages per second has been exceeded:max=50 rec=51 (1)"
        self.error(-1, 100, text)
        self.venue.core.stats.limited += 1
        return self._rate.strikes < _STRIKES

    def heard(self, fields: Fields) -> None:
        """Do what one message asks for."""
        try:
            number = fields.whole(-1)
            stats = self.venue.core.stats
            stats.requests[NAMES.get(number, str(number))] += 1
            self.venue.requests.get(number, _not_emulated)(self, fields)
        except Wrong as wrong:
            self.error(fields.req_id, wrong.code, str(wrong))

    def start(self, task: Callable[..., Any], *args: Any) -> None:
        """Have something done beside; it ends with the connection."""
        self._tasks.start_soon(task, *args)


def _not_emulated(_session: Session, _fields: Fields) -> None:
    raise invalid("this request isn't emulated")
