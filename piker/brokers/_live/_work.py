"""What is asked of the venue about one order, to its end: placed, changed, ended.

    request --> the venue --> a state, or why not
                   `--Unsure--> asked for by its id, until it can come no more

Nothing is sent again that may have arrived, but a cancel, which ends an order once.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from piker.brokers._web import Backoff
from piker.errors import VenueError
from piker.log import get_logger
from piker.msgs import BrokerdOrder

from ._client_ids import client_id
from ._live_order import LiveOrder
from ._venue import (
    FilledMeanwhile,
    NoLine,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Replaced,
    Session,
    Unsure,
)

log = get_logger(__name__)

#: An order that was there, and isn't to be found for so long, is lost.
_LOST_S: Final = 30.0
#: Of a request whose end nobody knows and that doesn't say until when it may come.
_LATE_NS: Final = 5_000_000_000
_CANCELS: Final = 5
#: A cancel waits so long for a line that is down: it is what matters then.
_LINE_S: Final = 15.0


class OrderWork:
    """Works on orders of one account; one request of an order at a time."""

    def __init__(self, session: Session) -> None:
        """Ask *session*."""
        self._session = session

    # -- placing ------------------------------------------------------------------

    async def place(self, order: LiveOrder, asked: BrokerdOrder) -> OrderState:
        """Place an order; return it as it is.

        Raises: OrderRejected, NotSent: it isn't there, and won't be.
        """
        try:
            return await self._session.place(order.to_place(asked))
        except Unsure as err:
            found = await self._fate(order, client_id(asked.oid, asked.rev), err)
        if found is None:
            raise NotSent("it never came to the venue, whose connection broke")
        return found

    async def _fate(
        self, order: LiveOrder, cl_id: str, unsure: Unsure
    ) -> OrderState | None:
        """Return what became of an order that may have arrived; None: it never will."""
        log.warning("order %s: %s; asking for it", order.oid, unsure)
        until_ns = unsure.until_ns or self._session.now_ns() + _LATE_NS
        pauses = _pauses()
        while True:
            told = [each for each in order.states.values() if each.cl_id == cl_id]
            if told:  # by an event
                return told[0]
            # what is asked for after that time would be there
            is_late = self._session.now_ns() >= until_ns
            try:
                found = await self._session.find(order.mkt, cl_id)
            except VenueError as err:
                log.warning("order %s can't be asked for: %s", order.oid, err)
            else:
                if found is not None or is_late:
                    return found
            await trio.sleep(pauses.next_s())

    # -- changing -----------------------------------------------------------------

    async def amend(self, order: LiveOrder, asked: BrokerdOrder) -> Replaced:
        """Put a new revision in place of the one in force.

        Raises: OrderRejected, NotSent: the one in force is as it was; OrderGone: it is
          over.
        """
        state = order.state
        assert state is not None, "it is there"
        if state.is_over:
            raise OrderGone(f"the order is {state.state}")
        if state.filled and asked.trigger is not None:
            raise OrderRejected(
                "the stop has fired and is filled in part: cancel what is left of it"
            )
        if state.filled and not self._session.amends_in_place:
            return await self._swap(order, state, asked)
        try:
            return await self._session.amend(state, order.to_amend(asked))
        except FilledMeanwhile:
            return await self._swap(order, state, asked)
        except Unsure as err:
            if self._session.amends_in_place:
                return await self._fate_in_place(order, state, asked, err)
            return await self._fate_of_amend(order, state, asked, err)

    async def _swap(
        self, order: LiveOrder, state: OrderState, asked: BrokerdOrder
    ) -> Replaced:
        """End the one in force, and place what is left of the whole then.

        In one step it would be too much by what is filled in between.
        """
        old = await self.cancel(order, state)
        order.take(old)
        if old.state == "closed":
            raise OrderGone("it was filled meanwhile")
        if asked.size <= order.filled:
            return Replaced(old=old, new=None, reason="no more than what is filled is")
        try:
            return Replaced(old=old, new=await self.place(order, asked))
        except (OrderRejected, NotSent) as err:
            return Replaced(old=old, new=None, reason=str(err))

    async def _fate_of_amend(
        self, order: LiveOrder, state: OrderState, asked: BrokerdOrder, unsure: Unsure
    ) -> Replaced:
        """Return what became of both halves."""
        new = await self._fate(order, client_id(asked.oid, asked.rev), unsure)
        old = await self._look(order, state)
        if new is None and not old.is_over:
            raise NotSent("the change never came to the venue, whose connection broke")
        if new is None:
            return Replaced(
                old=old, new=None, reason="the connection broke in the middle of it"
            )
        if not old.is_over:  # which the venue rules out
            log.error("order %s rests twice: its older revision is ended", order.oid)
            old = await self.cancel(order, old)
        return Replaced(old=old, new=new)

    async def _fate_in_place(
        self, order: LiveOrder, state: OrderState, asked: BrokerdOrder, unsure: Unsure
    ) -> Replaced:
        """Return what became of a change of the order where it is."""
        log.warning("change of order %s: %s; asking for it", order.oid, unsure)
        until_ns = unsure.until_ns or self._session.now_ns() + _LATE_NS
        pauses = _pauses()
        while True:
            is_late = self._session.now_ns() >= until_ns
            now = await self._look(order, state)
            if order.is_wanted(now, asked):
                return Replaced(old=None, new=now)
            if now.is_over:
                order.take(now)
                raise OrderGone(f"the order is {now.state}")
            if is_late:
                raise NotSent(
                    "the change never came to the venue, whose connection broke"
                )
            await trio.sleep(pauses.next_s())

    async def _look(self, order: LiveOrder, state: OrderState) -> OrderState:
        """Return how a revision is now; asks until the venue answers.

        Raises: OrderRejected: the venue, which had it, doesn't know it any more.
        """
        pauses, gone_at = _pauses(), math.inf
        while True:
            told = order.states.get(state.reqid)
            if told is not None and told.is_over:  # by an event
                return told
            try:
                found = await self._session.find(order.mkt, state.cl_id, state.reqid)
            except VenueError as err:
                log.warning("order %s can't be asked for: %s", order.oid, err)
            else:
                if found is not None:
                    return found
                log.warning("order %s isn't to be found", order.oid)
                gone_at = min(gone_at, trio.current_time() + _LOST_S)
            if trio.current_time() >= gone_at:
                raise OrderRejected(
                    f"the venue doesn't know the order any more, which it had as "
                    f"{state.reqid}: look there"
                )
            await trio.sleep(pauses.next_s())

    # -- ending -------------------------------------------------------------------

    async def cancel(self, order: LiveOrder, state: OrderState) -> OrderState:
        """End a revision; return it as it ended, filled meanwhile or not.

        Raises: OrderRejected, NotSent: it is as it was.
        """
        until = trio.current_time() + _LINE_S
        for _ in range(_CANCELS):
            try:
                return await self._cancel_once(state, until)
            except OrderGone:
                pass
            except Unsure as err:
                log.warning("cancel of order %s: %s; asking for it", order.oid, err)
                await self._wait_until(err)
            now = await self._look(order, state)
            if now.is_over:
                return now
        raise OrderRejected("the venue doesn't end it, as often as it was asked to")

    async def _cancel_once(self, state: OrderState, until: float) -> OrderState:
        """Ask for the end, as soon as there is a line to ask over."""
        while True:
            try:
                return await self._session.cancel(state)
            except NoLine:  # it has waited for one
                if trio.current_time() >= until:
                    raise

    async def _wait_until(self, unsure: Unsure) -> None:
        """Wait until a request whose end nobody knows can't be done any more."""
        until_ns = unsure.until_ns or self._session.now_ns() + _LATE_NS
        while self._session.now_ns() < until_ns:  # noqa: ASYNC110 - the venue's clock
            await trio.sleep(0.1)


def _pauses() -> Backoff:
    """Return the waits between two questions about one order."""
    return Backoff(first_s=0.15, cap_s=1.0)
