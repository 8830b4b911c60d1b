"""What is known of orders at a gateway, by what is told and by lists of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio
from msgspec.structs import replace

from piker.brokers._live._secrets import Secret
from piker.brokers._live._venue import NewOrder, OrderGone, OrderRejected
from piker.brokers.ib._client import Client
from piker.brokers.ib._conf import IbConf
from piker.brokers.ib._order_answers import ended
from piker.brokers.ib._order_asks import next_id, open_orders
from piker.brokers.ib._order_hub import OrderHub
from piker.brokers.ib._order_rows import Row, key_of, state_of
from piker.brokers.ib._order_schemas import ErrorTold, StatusTold
from piker.brokers.ib._orders import AccountNumber, IbSession
from piker.errors import (
    BadFqme,
    BadPayload,
    SymbolNotFound,
    VenueRefused,
    VenueUnreachable,
)
from tests.brokers.test_ib_order_decode import NUMBER, TOLD
from tests.brokers.test_ib_wire import market

D = Decimal


class Proxy:
    """Answers as it is told to; a contract of no number is refused."""

    deadline_s = 1.0

    def __init__(self) -> None:
        self.answers: dict = {}

    async def call(self, method, *args, **kwargs):
        await trio.lowlevel.checkpoint()
        if method not in self.answers:
            raise VenueRefused("ib refuses: Error validating request (code 321)")
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def status(told, status: str, filled="0", perm_id=None) -> StatusTold:
    return StatusTold(
        order_id=told.order_id, client_id=told.client_id, status=status,
        perm_id=told.perm_id if perm_id is None else perm_id, filled=D(filled),
    )  # fmt: skip


class Tasks:
    """Notes what is begun."""

    def __init__(self) -> None:
        self.begun: list = []

    def start_soon(self, act, *args) -> None:
        self.begun.append((act.__name__, *args))


async def told_by(*words, client_id=TOLD.client_id) -> tuple[OrderHub, list]:
    """Return a hub that was told all that, and what it tells of it."""
    states: list = []
    hub = OrderHub(Proxy(), Tasks())
    hub.client_id, hub._is_up = client_id, True
    hub._up.set()
    async with hub.sit(NUMBER, states.append):
        states.clear()
        for word in words:
            await hub._take(word)
    return hub, states


async def test_a_list_takes_back_nothing_that_was_told_after_it():
    """A list and what is told right behind it come to us in any order."""
    changed = replace(TOLD, limit=TOLD.limit + 1)
    hub, _ = await told_by(TOLD, changed)
    hub.proxy.answers[open_orders] = [TOLD, status(TOLD, "Submitted")]
    assert len(await hub.open_rows()) == 1
    assert hub.rows[key_of(TOLD)].order == changed


async def test_a_number_that_is_given_again_is_another_order():
    """Who resets the ids of orders in TWS has them begin anew."""
    again = replace(TOLD, perm_id=TOLD.perm_id + 1, status="Submitted", size=D(5))
    hub, states = await told_by(
        TOLD, status(TOLD, "Filled", filled=str(TOLD.size)),
        again, status(again, "Submitted"),
    )  # fmt: skip
    assert [one.state for one in states[-2:]] == ["open", "open"]
    assert (states[-1].size, states[-1].filled) == (5, 0)
    hub.proxy.answers[open_orders] = []
    assert (await hub.row_of(str(again.perm_id))).order == again
    assert await hub.row_of(str(TOLD.perm_id)) is None


async def test_a_number_for_good_may_be_told_by_a_status_first():
    new = replace(TOLD, perm_id=0, status="PendingSubmit")
    hub, states = await told_by(new, status(TOLD, "Submitted"))
    assert [one.reqid for one in states] == [str(TOLD.perm_id)]
    assert (await hub.row_of(str(TOLD.perm_id))).order == replace(
        TOLD, status="PendingSubmit"
    )


async def test_a_status_of_another_order_of_that_number_changes_nothing():
    hub, states = await told_by(
        TOLD, status(TOLD, "Filled", filled="5", perm_id=TOLD.perm_id + 1)
    )
    assert not hub.rows[key_of(TOLD)].is_over
    assert all(getattr(one, "state", "open") == "open" for one in states)


async def test_nothing_is_known_of_a_new_number():
    hub, _ = await told_by(TOLD, status(TOLD, "Filled", filled=str(TOLD.size)))
    hub.proxy.answers[next_id] = TOLD.order_id
    assert await hub.new_id() == TOLD.order_id
    assert key_of(TOLD) not in hub.rows


# -- what isn't ours -------------------------------------------------------------------

BY_HAND = replace(TOLD, client_id=0, order_id=-3, ref="")


async def test_what_was_made_inactive_in_tws_is_left_to_its_owner():
    """As client 0 we may end it: an order that was set aside there, e.g. to be sent."""
    for aside in (
        replace(BY_HAND, status="Inactive"),
        replace(BY_HAND, status="Inactive", order_id=0),
    ):
        hub, _ = await told_by(aside, client_id=0)
        assert hub._tasks.begun == []
    hub, _ = await told_by(replace(TOLD, status="Inactive"))
    assert hub._tasks.begun == [("_end_inactive", TOLD.order_id)]


@pytest.mark.parametrize("kind", ["TRAIL", "TRAIL LIMIT", "REL", "MIT"])
async def test_an_order_of_a_kind_that_can_not_be_written_is_not_changed(kind):
    """It would be sent as a plain stop, or as a limit order."""
    hub, _ = await told_by(replace(BY_HAND, kind=kind), client_id=0)
    session = IbSession("ib.main", AccountNumber(Secret(NUMBER)), hub, IbConf())
    (row,) = hub.rows.values()
    mkt = market("tsla", "stock")
    to = NewOrder(mkt=mkt, cl_id="x", side="buy", price=D(1), size=D(1))
    with pytest.raises(OrderRejected, match=f"a {kind} order"):
        await session.amend(state_of(row, 1), to)


@pytest.mark.parametrize("fault", [VenueRefused, BadPayload, BadFqme])
async def test_a_market_that_can_not_be_had_is_none(fault):
    """Whoever wants it waits for whatever may pass, and all else behind it."""
    hub, _ = await told_by()
    session = IbSession("ib.main", AccountNumber(Secret(NUMBER)), hub, IbConf())
    with pytest.raises(SymbolNotFound):
        await session.mkt_of("0")  # a combination's
    hub.proxy.answers[Client.market_of] = fault("odd")
    with pytest.raises(SymbolNotFound, match="odd"):
        await session.mkt_of("7")
    hub.proxy.answers[Client.market_of] = VenueUnreachable("away")
    with pytest.raises(VenueUnreachable):
        await session.mkt_of("8")


# -- a cancel that is on its way -------------------------------------------------------


async def test_a_cancel_that_is_on_its_way_is_waited_for():
    """Asked for again it is refused, and the first goes on."""
    text = "OrderId 7 that needs to be cancelled can not be cancelled, state: "
    row = Row(TOLD, "PendingCancel")
    again = ErrorTold(order_id=7, code=10148, text=f"{text}PendingCancel.")
    assert await ended(again, row) is None
    over = ErrorTold(order_id=7, code=10148, text=f"{text}Filled.")
    with pytest.raises(OrderGone):
        await ended(over, row)
