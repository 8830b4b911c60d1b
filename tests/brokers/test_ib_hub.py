"""What is known of orders at a gateway, by what is told and by lists of them."""

from __future__ import annotations

from decimal import Decimal

import trio
from msgspec.structs import replace

from piker.brokers.ib._order_asks import next_id, open_orders
from piker.brokers.ib._order_hub import OrderHub
from piker.brokers.ib._order_rows import key_of
from piker.brokers.ib._order_schemas import StatusTold
from tests.brokers.test_ib_order_decode import NUMBER, TOLD

D = Decimal


class Proxy:
    """Answers as it is told to."""

    deadline_s = 1.0

    def __init__(self) -> None:
        self.answers: dict = {}

    async def call(self, method, *args, **kwargs):
        await trio.lowlevel.checkpoint()
        return self.answers[method]


def status(told, status: str, filled="0", perm_id=None) -> StatusTold:
    return StatusTold(
        order_id=told.order_id, client_id=told.client_id, status=status,
        perm_id=told.perm_id if perm_id is None else perm_id, filled=D(filled),
    )  # fmt: skip


async def told_by(*words, account=NUMBER) -> tuple[OrderHub, list]:
    """Return a hub that was told all that, and what it tells of it."""
    states: list = []
    hub = OrderHub(Proxy(), None)
    hub.client_id, hub._is_up = TOLD.client_id, True
    hub._up.set()
    async with hub.sit(account, states.append):
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
