"""What a venue has against what we know: pure.

    known orders, the venue's open ones, answers to questions so far
        --> what each known order is, what is still to be asked, whose else's there are

Called again with the answers until nothing is left to be asked. See
docs/reconciliation.md for what holds of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec.structs import replace

from piker.types import Struct

from ._client_ids import revisions
from ._venue import OrderState, VenueTrade

#: Of states of one order, which is the later one.
_RANKS: Final = {"open": 0, "canceled": 1, "closed": 2}


class Known(Struct, frozen=True, kw_only=True):
    """An order of ours that isn't known to have ended.

    Attributes:
      oid: emsd's id of it.
      newest: the newest revision that may have been sent.
      symbol: full name of its market.
      reqid: the venue's id of a revision, empty if none was ever told.
      seen: how it was last told, by whom ever; None if it never was.
    """

    oid: str
    newest: int
    symbol: str
    reqid: str = ""
    seen: OrderState | None = None


class Question(Struct, frozen=True, kw_only=True):
    """Ask the venue for an order by its id.

    Attributes:
      oid: whose revision it is.
      symbol: full name of the market.
      cl_id: the client's id.
      reqid: the venue's, empty if it isn't known.
    """

    oid: str
    symbol: str
    cl_id: str
    reqid: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
      found: how orders are at the venue now, by oid: their revision in force.
      absent: oids that never came there.
      ask: what is to be asked before the rest can be told.
      strangers: open orders that aren't ours.
      doubled: older revisions that rest beside a newer one: to be ended.
      warnings: what should not be, one sentence each.
    """

    found: dict[str, OrderState] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    ask: tuple[Question, ...] = ()
    strangers: tuple[OrderState, ...] = ()
    doubled: tuple[OrderState, ...] = ()
    warnings: tuple[str, ...] = ()


#: Answers by cl_id: an order, or None of one that the venue never had.
Answers = Mapping[str, OrderState | None]


def reconcile(
    known: Iterable[Known], open_orders: Iterable[OrderState], answers: Answers
) -> Plan:
    """Return what follows of what is known and what the venue says.

    Args:
      known: orders of ours.
      open_orders: all that the venue has open, ours and others'; may be some seconds
        old.
      answers: to questions of plans before.
    """
    by_cl_id = {order.cl_id: order for order in open_orders if order.cl_id}
    by_reqid = {order.reqid: order for order in open_orders}
    found: dict[str, OrderState] = {}
    absent: list[str] = []
    ask: list[Question] = []
    warnings: list[str] = []
    doubled: list[OrderState] = []
    ours: set[str] = set()
    for one in known:
        ids = [cl_id for cl_id, _ in revisions(one.oid, one.newest)]
        resting = [by_cl_id[cl_id] for cl_id in ids if cl_id in by_cl_id]
        ours |= {order.reqid for order in resting}
        if len(resting) > 1:
            warnings.append(_rests_twice(one, resting))
            doubled += resting[1:]
        verdict = _verdict(one, ids, resting, by_reqid, answers)
        match verdict:
            case Question():
                ask.append(verdict)
            case OrderState():
                found[one.oid] = verdict
                ours.add(verdict.reqid)
            case "absent":
                absent.append(one.oid)
            case "lost":
                assert one.seen is not None, "it was told before"
                found[one.oid] = one.seen
                warnings.append(
                    f"the venue doesn't know order {one.oid!r} any more, which it had "
                    f"as {one.seen.reqid}"
                )
    strangers = tuple(order for order in open_orders if order.reqid not in ours)
    return Plan(
        found, tuple(absent), tuple(ask), strangers, tuple(doubled), tuple(warnings)
    )


def _verdict(
    one: Known,
    ids: list[str],
    resting: list[OrderState],
    by_reqid: Mapping[str, OrderState],
    answers: Answers,
) -> OrderState | Question | Literal["absent", "lost"]:
    """Return how an order is, or what is to be asked to know it."""
    if resting:
        return resting[0]  # the newest revision
    if one.reqid in by_reqid:  # one from elsewhere has another's id, or none
        return by_reqid[one.reqid]
    for cl_id in ids:
        if cl_id not in answers:
            reqid = one.reqid if len(ids) == 1 else ""
            return Question(oid=one.oid, symbol=one.symbol, cl_id=cl_id, reqid=reqid)
        answer = answers[cl_id]
        if answer is not None:
            return answer
    # no revision is there: one that was told of can't have been made up
    return "absent" if one.seen is None else "lost"


def _rests_twice(one: Known, resting: list[OrderState]) -> str:
    shown = ", ".join(order.reqid for order in resting)
    return f"order {one.oid!r} rests more than once: {shown}"


def later(now: OrderState | None, told: OrderState) -> OrderState:
    """Return which of two states of one order at the venue is the later one.

    What is filled only rises, and what is over stays so: whatever comes late, or out of
    an old list, changes nothing. Price and size are those of the later time, where the
    venue changes orders in their place.
    """
    if now is None:
        return told
    best, newest = _further(now, told), max(now, told, key=lambda one: one.time_ns)
    terms = (newest.price, newest.size, newest.trigger)
    if terms == (best.price, best.size, best.trigger):
        return best
    price, size, trigger = terms
    return replace(
        best, price=price, size=size, trigger=trigger, time_ns=newest.time_ns
    )


def _further(now: OrderState, told: OrderState) -> OrderState:
    """Return which of two states has come further; *now* if neither has."""
    was, new = _RANKS[now.state], _RANKS[told.state]
    if told.filled != now.filled:
        # a cancel that came before the fill that it counts
        best = told if told.filled > now.filled else now
        other = now if best is told else told
        if best.state == "open" and other.is_over:
            return _with_end(best, other)
        return best
    return told if new > was else now


def _with_end(best: OrderState, end: OrderState) -> OrderState:
    """Return a state that is filled further, ended as another says."""
    is_whole = best.filled >= best.size
    return replace(best, state="closed" if is_whole else end.state, reason=end.reason)


# -- trades ----------------------------------------------------------------------------


def oid_of(
    trade: VenueTrade, by_cl_id: Mapping[str, str], by_reqid: Mapping[str, str]
) -> str:
    """Return whose order a trade is of, empty of one from elsewhere."""
    return by_cl_id.get(trade.cl_id, "") or by_reqid.get(trade.reqid, "")


def fresh(trades: Iterable[VenueTrade], has: Iterable[str]) -> Iterator[VenueTrade]:
    """Yield trades that aren't booked, each once."""
    seen = set(has)
    for trade in trades:
        if trade.tid not in seen:
            seen.add(trade.tid)
            yield trade
