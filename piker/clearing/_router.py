"""emsd's core: requests, ticks and answers in; journal, then requests and news out.

    clients, ticks, brokers --> Router --journal--> send to brokers, tell clients

Sync and without a clock of its own: tasks hand in what comes and take what goes. What
it is handed is journaled before anything is done about it. Where the disk is full new
orders, edits and darks that would fire are held back, while cancels, and what brokers
say, go on; they are journaled once there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

import msgspec

from piker.config import ClearingConf, RiskConf
from piker.errors import JournalFull
from piker.log import get_logger
from piker.msgs import (
    NS,
    PAPER,
    Calendar,
    Cancel,
    ClientMsg,
    Edit,
    EmsMsg,
    Error,
    Order,
    Status,
    Tick,
)

from ._dialog import Dialog, Happening, Refuse, Send, Step, Tell, resp_of
from ._dialog_rules import step
from ._entry import begin, leave, trigger_of
from ._exact import shortest
from ._fates import dest_of
from ._journal import Journal
from ._market_state import MarketState
from ._prices import Prices
from ._rate import RateLimit
from ._refusal import Refusal
from ._risk import Known, check_edit, check_order
from ._statuses import status_of
from ._triggers import Fired, still_holds

log = get_logger(__name__)

#: After a refused cancel of what has expired, or is halted.
_AGAIN_NS: Final = 5 * NS

_WORDS: Final[dict[type, Literal["order", "edit", "cancel"]]] = {
    Order: "order",
    Edit: "edit",
    Cancel: "cancel",
}


#: Returns names of accounts, those that there are by now.
Accounts = Callable[[], tuple[str, ...]]


@dataclass(frozen=True)
class Origin:
    """Who asks.

    Attributes:
      refuse: told what won't be done.
      accounts: returns names that its orders may be sent for, by now.
    """

    refuse: Callable[[Error], None]
    accounts: Accounts = lambda: (PAPER,)


@dataclass(eq=False)
class Outlets:
    """Where a router's output goes; each never blocks.

    Attributes:
      request: takes what is asked of an order's broker.
      tell: takes what every client is told, once it is on the disk.
    """

    request: Callable[[Dialog, Literal["order", "edit", "cancel"]], None]
    tell: Callable[[EmsMsg], None]


_UNJUDGED: Final = "unjudged/"
#: A dark as it waited, and until when, ns by the market's clock.
_Late = tuple[Dialog, int]


@dataclass(eq=False)
class Router:
    """All orders that haven't ended, and the rules they go by.

    Attributes:
      dialogs: by oid, those that live.
      markets: by full name, those that are watched.
      held: of (account, market), base units.
      settled: order daemons whose positions are known.
      shut: accounts that can't be used, and why.
      halted: why trading is halted by command, empty if it isn't.
      unjudged: by market, darks that were cancelled or edited, and when, before it was
        known whether they had been reached while nobody looked.
    """

    journal: Journal
    outlets: Outlets
    clearing: ClearingConf = field(default_factory=ClearingConf)
    risk: RiskConf = field(default_factory=RiskConf)
    dialogs: dict[str, Dialog] = field(default_factory=dict)
    markets: dict[str, MarketState] = field(default_factory=dict)
    held: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    shut: dict[str, str] = field(default_factory=dict)
    halted: str = ""
    unjudged: dict[str, list[_Late]] = field(default_factory=dict)
    _at_broker: dict[str, set[str]] = field(default_factory=dict)
    _unwritten: dict[str, Dialog] = field(default_factory=dict)
    _untold: list[Status] = field(default_factory=list)
    _notes: dict[str, object] = field(default_factory=dict)
    _aside: set[str] = field(default_factory=set)
    _owed: dict[str, Fired] = field(default_factory=dict)
    _waits: bool = False

    def __post_init__(self) -> None:
        self._seq = self.journal.seq
        self._rate = RateLimit(self.risk.max_orders_per_s, time.monotonic())
        self.halted = self.journal.note("halted", str, "")
        for late in self.journal.notes(_UNJUDGED, _Late).values():
            self.unjudged.setdefault(late[0].order.symbol, []).append(late)
        for dialog in self.journal.live():
            self._keep(None, dialog)

    # -- what clients want ----------------------------------------------------

    def command(self, msg: ClientMsg, origin: Origin) -> None:
        """Do what a client asks, or refuse it."""
        dialog = self.find(msg.oid)
        try:
            match msg:
                case Order():
                    refusal = self._submit(msg, dialog, origin)
                case Edit():
                    refusal = self._edit(msg, dialog, origin)
                case Cancel():
                    refusal = self._cancel(msg, dialog, origin)
        except JournalFull as err:
            refusal = Refusal("journal", str(err))
        if refusal is not None:
            log.info("refused oid=%s: %s", msg.oid, refusal.reason)
            origin.refuse(
                Error(
                    time_ns=time.time_ns(),
                    oid=msg.oid,
                    request=_WORDS[type(msg)],
                    reason=refusal.reason,
                    gate=refusal.gate,
                    edit_id=msg.edit_id if isinstance(msg, Edit) else "",
                )
            )

    def find(self, oid: str) -> Dialog | None:
        """Return an order, whether it has ended or not; None if there is none."""
        known = self.dialogs.get(oid) or self._unwritten.get(oid)
        return known or self.journal.get(oid)

    def _submit(
        self, order: Order, dialog: Dialog | None, origin: Origin
    ) -> Refusal | None:
        if dialog is not None:
            return self._apply(
                dialog, Happening(kind="submit", order=order), origin, must=True
            )
        known = self._known(order, origin)
        refusal = check_order(order, known, self.risk)
        if refusal is not None:
            return refusal
        born = begin(order, known, self.markets[order.symbol], self.clearing)
        if isinstance(born, Refusal):
            return born
        if order.action != "alert":
            self._rate.take(time.monotonic())
        acts = (Tell(resp=resp_of(born)),)
        first = () if born.state == "dark" else (Send(what="order"),)
        self._commit(None, Step(dialog=born, acts=(*first, *acts)), origin, must=True)
        return None

    def _edit(
        self, edit: Edit, dialog: Dialog | None, origin: Origin
    ) -> Refusal | None:
        if dialog is None:
            return _unknown(edit.oid)
        if edit.edit_id in dialog.edits:
            tell = Tell(resp=resp_of(dialog), reason=dialog.why)
            told = status_of(dialog, tell, 0)
            self.outlets.tell(msgspec.structs.replace(told, edit_id=edit.edit_id))
            return None
        wanted = dialog.wish or dialog.to_send
        happening = Happening(kind="edit", order=wanted, edit_id=edit.edit_id)
        if not dialog.has_ended:
            if wanted.symbol not in self.markets:
                return Refusal(
                    "market",
                    f"{wanted.symbol} can't be seen yet, so no edit can be judged: ask"
                    " again once it is, or cancel",
                )
            known = self._known(wanted, origin, dialog)
            changed = check_edit(edit, wanted, known, self.risk)
            if isinstance(changed, Refusal):
                return changed
            if dialog.state != "dark":
                self._rate.take(time.monotonic())
            trigger = (
                trigger_of(changed, self.markets[changed.symbol])
                if dialog.state == "dark"
                else None
            )
            if isinstance(trigger, Refusal):
                return trigger
            happening = Happening(
                kind="edit",
                order=changed,
                edit_id=edit.edit_id,
                trigger=trigger,
                expires_ns=dialog.expires_ns,
            )
        return self._apply(dialog, happening, origin, must=True)

    def _cancel(
        self, cancel: Cancel, dialog: Dialog | None, origin: Origin
    ) -> Refusal | None:
        if dialog is None:
            return _unknown(cancel.oid)
        return self._apply(dialog, Happening(kind="cancel"), origin)

    def adopt(self, order: Order, reqid: str, filled: Decimal) -> None:
        """Look after an order that came to its broker from elsewhere, from now on.

        Args:
          order: as the broker has it, by `stranger_oid`.
          reqid: the broker's id of it.
          filled: base units, as it was found.
        """
        if self.find(order.oid) is not None:
            return
        dialog = Dialog(
            order=order,
            state="open",
            born_ns=time.time_ns(),
            reqid=reqid,
            filled=filled,
            limit=order.price or order.trigger,
            was_open=True,
        )
        tell = Tell(resp="open", reason="an order from elsewhere")
        self._commit(None, Step(dialog=dialog, acts=(tell,)), None, must=False)

    def _known(
        self, order: Order, origin: Origin | None, dialog: Dialog | None = None
    ) -> Known:
        """Return what the gates look at; *dialog*: the order's, if it has one."""
        state = self.markets.get(order.symbol)
        open_oids = self._at_broker.get(order.account, set())
        return Known(
            now_ns=state.now_ns() if state else time.time_ns(),
            mkt=state.mkt if state else None,
            calendar=state.calendar if state else Calendar(),
            prices=state.prices if state else Prices(),
            accounts=frozenset(origin.accounts() if origin else (order.account,)),
            shut=self.shut.get(order.account, ""),
            position=self._position(order),
            filled=dialog.filled if dialog else Decimal(0),
            open_orders=len(open_oids)
            - (dialog is not None and dialog.oid in open_oids),
            wait_s=self._rate.wait_s(time.monotonic()) if origin else 0.0,
            halted=bool(self.halted),
        )

    def _position(self, order: Order) -> Decimal | None:
        """Return what an order's account holds of its market, None if nobody knows."""
        if dest_of(order) not in self.settled:
            return None
        return self.held.get((order.account, order.symbol), Decimal(0))

    def halt(self, reason: str) -> None:
        """End what is at brokers, and let nothing fire, until :meth:`resume`."""
        reason = reason.strip() or "by command"  # no reason would read as no halt
        self._note("halted", reason)
        self.halted = reason
        for dialog in list(self.dialogs.values()):
            if dialog.state != "dark":
                self._apply(dialog, Happening(kind="cancel", reason=reason))

    def resume(self) -> None:
        """Trade again; what waits in the dark is looked at anew by who watches it."""
        self._note("halted", "")
        self.halted = ""
        aside, self._aside = self._aside, set()
        for state in self.markets.values():
            state.is_aside = bool(self._owed)
        for oid in sorted(aside & self.dialogs.keys()):
            if self.dialogs[oid].state == "dark":
                self._back_from_aside(self.dialogs[oid])

    def _back_from_aside(self, dialog: Dialog) -> None:
        """Fire what was reached while trading was halted, if it still holds."""
        state, trigger = self.markets[dialog.order.symbol], dialog.trigger
        assert trigger is not None
        why = "it was reached while trading was halted"
        if still_holds(trigger, state.last) or self.clearing.on_missed_cross == "fire":
            state.book.remove(dialog.oid)
            at = Tick("last", state.last, 0.0, state.now_ns())
            self.fire(Fired(dialog.oid, shortest(state.last), at), why)
        else:
            self._wait_in(state, dialog, dialog)
            self.report(
                dialog, f"{why}, and its price has come back since: it waits on"
            )

    # -- what markets do ------------------------------------------------------

    def ticks(self, fqme: str, ticks: list[Tick], last: float) -> None:
        """Take what a market said: fire what it reaches, end what it outlives."""
        state = self.markets[fqme]
        state.take(ticks, last)
        fresh = state.fresh(ticks)
        if len(fresh) < len(ticks):
            state.skipped = True
        if self._owed and fresh:
            self._send_owed(fqme, state)
        for fired in state.book.fire(fresh):
            self._reached(state, fired)
        # else what was skipped, or set aside, is still to be looked for
        if not (state.skipped or state.is_aside):
            state.note_seen()
        self.expire(fqme)

    def _reached(self, state: MarketState, fired: Fired) -> None:
        """Fire it, or where trading is halted, set it aside until it isn't."""
        if self.halted and not self.dialogs[fired.oid].is_alert:
            self._aside.add(fired.oid)
            state.is_aside = True  # the next emsd is to find it
        else:
            self.fire(fired)

    def fire(self, fired: Fired, reason: str = "") -> bool:
        """Send a dark order whose trigger was reached, or tell an alert.

        Returns whether it is done; else it waits on: the disk is full, or it is only to
        reduce a position that nobody knows yet.
        """
        dialog = self.dialogs[fired.oid]
        order, state = dialog.order, self.markets[dialog.order.symbol]
        if order.reduce_only and self._position(order) is None:
            self._hold_back(fired, state, f"what {order.account} holds isn't known")
            return False
        conf = self.clearing, self.risk
        known = self._known(order, None)
        event = leave(dialog, fired.price, state, known, conf, reason)
        try:
            self._apply(dialog, event, must=True)
        except JournalFull as err:
            self._hold_back(fired, state, str(err))
            return False
        return True

    def _hold_back(self, fired: Fired, state: MarketState, why: str) -> None:
        """Remember a dark that was reached, until it can be sent."""
        if fired.oid not in self._owed:
            log.error("%s reached its price and is held back: %s", fired.oid, why)
        self._owed[fired.oid] = fired
        state.is_aside = True  # the next emsd is to find it

    def _send_owed(self, fqme: str, state: MarketState) -> None:
        """Send what was held back in a market, if it can be sent by now."""
        for oid, fired in list(self._owed.items()):
            dialog = self.dialogs.get(oid)
            if dialog is None or dialog.state != "dark":
                del self._owed[oid]
            elif dialog.order.symbol == fqme and not self.halted:
                del self._owed[oid]
                self.fire(fired, "it was held back")
        state.is_aside = bool(self._owed or self._aside)

    def expire(self, fqme: str) -> None:
        """End what a market's clock has run out for."""
        state = self.markets[fqme]
        now_ns = state.now_ns()
        for _, oid in state.due(now_ns):
            dialog = self.dialogs.get(oid)
            if dialog is not None:
                self._end_in_time(dialog, now_ns)

    def expire_unwatched(self, now_ns: int) -> None:
        """End what has expired in markets that nobody has seen yet.

        Args:
          now_ns: time of day, ns since the epoch: no other clock is known.
        """
        for dialog in list(self.dialogs.values()):
            if dialog.order.symbol not in self.markets:
                self._end_in_time(dialog, now_ns)

    def _end_in_time(self, dialog: Dialog, now_ns: int) -> None:
        if 0 < dialog.expires_ns <= now_ns:
            self._apply(dialog, Happening(kind="expire", reason="it has expired"))
        elif self.halted and dialog.state == "open":
            self._apply(dialog, Happening(kind="cancel", reason=self.halted))

    def report(self, dialog: Dialog, reason: str) -> None:
        """Tell something about a dark order that waits on, or did."""
        told = Tell(resp=resp_of(dialog), reason=reason)
        self._commit(dialog, Step(dialog=dialog, acts=(told,)), None, must=False)

    # -- what is done about it ------------------------------------------------

    def apply(self, dialog: Dialog, event: Happening) -> None:
        """Take what a broker says of an order."""
        self._apply(dialog, event)
        state = self.markets.get(dialog.order.symbol)
        if event.kind == "refused_cancel" and dialog.why and state is not None:
            # its end is due, whatever the broker says: it is asked for again
            state.end_at(dialog.oid, state.now_ns() + _AGAIN_NS)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Journal what is applied in the block as one, at its end.

        Nothing may be awaited in it: what is asked and told in it goes out after it.
        """
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            self._write_all()

    def _apply(
        self,
        dialog: Dialog,
        event: Happening,
        origin: Origin | None = None,
        *,
        must: bool = False,
    ) -> Refusal | None:
        """Do what the table says; *must*: nothing, unless it can be journaled.

        Returns what it refuses, where somebody waits for that; all are told otherwise.
        """
        result = step(dialog, event)
        for act in result.acts:
            if isinstance(act, Refuse) and origin is not None:
                self._commit(dialog, result, origin, must=must)
                return Refusal("state", act.reason)
        self._commit(dialog, result, origin, must=must)
        return None

    def _commit(
        self, old: Dialog | None, result: Step, origin: Origin | None, *, must: bool
    ) -> None:
        new = result.dialog
        tells = [self._status(new, act) for act in result.acts if isinstance(act, Tell)]
        late = self._late(old, new)
        if new is not old or tells:
            self._write(new, tells, late, must=must)
        if late is not None:
            self.unjudged.setdefault(new.order.symbol, []).append(late)
        self._keep(old, new)
        for act in result.acts:
            if isinstance(act, Send):
                self.outlets.request(new, act.what)
            elif isinstance(act, Refuse) and origin is None:
                self._tell_refusal(new, act)
            elif not isinstance(act, Tell | Refuse):
                log.warning("oid=%s: %s", new.oid, act.reason)
        for tell in tells:
            self.outlets.tell(tell)

    def _write(
        self, new: Dialog, tells: list[Status], late: _Late | None, *, must: bool
    ) -> None:
        """Journal it, with what could not be journaled before."""
        if late is not None:
            self.note(_late_key(late), late)
        before = self._unwritten.get(new.oid)
        self._unwritten[new.oid] = new
        self._untold.extend(tells)
        if not must:
            if not self._waits:
                self._write_all()
            return
        try:
            self._journal_all()
        except JournalFull:
            del self._unwritten[new.oid], self._untold[len(self._untold) - len(tells) :]
            if before is not None:
                self._unwritten[new.oid] = before
            if late is not None:
                del self._notes[_late_key(late)]
            raise

    def _write_all(self) -> None:
        try:
            self._journal_all()
        except JournalFull as err:
            log.error("acting on what isn't journaled: %s", err)  # noqa: TRY400

    def _journal_all(self) -> None:
        if not (self._unwritten or self._untold or self._notes):
            return
        self.journal.write(self._unwritten.values(), self._untold, self._notes)
        self._unwritten.clear()
        self._untold.clear()
        self._notes.clear()

    def note(self, key: str, value: object) -> None:
        """Have *value* journaled with what is journaled next."""
        self._notes[key] = value

    def flush(self) -> None:
        """Journal what was noted, if there is room."""
        with suppress(JournalFull):
            self.journal.write(notes=self._notes)
            self._notes.clear()

    def _note(self, key: str, value: object) -> None:
        """Have *value* journaled now; raises JournalFull."""
        self.journal.write(notes={key: value})

    def _keep(self, old: Dialog | None, new: Dialog) -> None:
        """Remember an order as it is now, wherever it is looked for."""
        oid, state = new.oid, self.markets.get(new.order.symbol)
        if new.has_ended:
            self.dialogs.pop(oid, None)
        else:
            self.dialogs[oid] = new
        at_broker = self._at_broker.setdefault(new.order.account, set())
        if new.has_ended or new.state == "dark":
            at_broker.discard(oid)
        else:
            at_broker.add(oid)
        if state is not None:
            self._wait_in(state, old, new)

    def _late(self, old: Dialog | None, new: Dialog) -> _Late | None:
        """Return a dark as it waited, if what it missed wasn't looked for yet.

        It is journaled with what ends or edits it: the next emsd looks for it.
        """
        if old is None or old.state != "dark" or old.trigger is None:
            return None
        is_edited = new.state == "dark" and new.trigger != old.trigger
        state = self.markets.get(old.order.symbol)
        is_sure = state is not None and not state.is_unsure
        if is_sure or not (is_edited or new.state == "canceled"):
            return None
        return old, time.time_ns() if state is None else state.now_ns()

    def judged(self, fqme: str) -> None:
        """Have what was remembered of a market for judging forgotten."""
        for late in self.unjudged.pop(fqme, ()):
            self.note(_late_key(late), None)

    def _wait_in(self, state: MarketState, old: Dialog | None, new: Dialog) -> None:
        """Have the market's book hold what is dark, and its clock what ends by it."""
        if new.state != "dark":
            state.book.remove(new.oid)
        elif new.oid not in state.book:
            assert new.trigger is not None
            state.book.add(new.oid, new.trigger)
        elif old is not None and old.trigger != new.trigger:
            assert new.trigger is not None
            state.book.replace(new.oid, new.trigger)
        is_news = old is None or old.expires_ns != new.expires_ns
        if new.expires_ns and is_news and not new.has_ended:
            state.end_at(new.oid, new.expires_ns)

    def watch(self, fqme: str, state: MarketState) -> None:
        """Have a market: what waits for it waits in its book from now on."""
        self.markets[fqme] = state
        state.seen_ns = max(state.seen_ns, self.journal.note(f"seen/{fqme}", int, 0))
        for dialog in self.dialogs.values():
            if dialog.order.symbol == fqme:
                self._wait_in(state, None, dialog)

    # -- words ----------------------------------------------------------------

    def _status(self, dialog: Dialog, tell: Tell) -> Status:
        self._seq += 1
        return status_of(dialog, tell, self._seq)

    def _tell_refusal(self, dialog: Dialog, act: Refuse) -> None:
        self.outlets.tell(
            Error(
                time_ns=time.time_ns(),
                oid=dialog.oid,
                request=act.request,
                reason=act.reason,
                edit_id=act.edit_id,
            )
        )


def _late_key(late: _Late) -> str:
    dialog, until_ns = late
    assert dialog.trigger is not None
    return f"{_UNJUDGED}{dialog.oid}/{until_ns}/{dialog.trigger.level}"


def _unknown(oid: str) -> Refusal:
    return Refusal(
        "oid",
        f"no order {oid!r}; `piker orders ls` lists those there are",
    )
