"""Orders asked for together: each is told as if it had been asked for alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from piker.brokers.kraken._order_schemas import Descr, OrderRow
from piker.brokers.kraken._queries import Queries
from piker.errors import BadPayload, VenueRefused, VenueUnreachable

ROW = OrderRow(
    status="open", descr=Descr("XBTUSDT", "buy", Decimal(1)), vol=Decimal(1),
    vol_exec=Decimal(0),
)  # fmt: skip


class Venue:
    """Answers in a second; knows all orders but those of *lacks*."""

    def __init__(self, lacks=(), *, refuses=False) -> None:
        self.lacks, self.refuses, self.asked, self.down = lacks, refuses, [], None

    async def __call__(self, reqids):
        self.asked.append((trio.current_time(), reqids))
        await trio.sleep(1)
        if self.down:
            raise self.down
        if self.refuses and set(reqids) & set(self.lacks):
            raise VenueRefused("EOrder:Unknown order")
        return {each: ROW for each in reqids if each not in self.lacks}


async def ask_all(queries, reqids):
    """Return what was told of each, an error of one it can't be."""
    told = {}

    async def one(reqid):
        try:
            told[reqid] = await queries.row(reqid)
        except Exception as err:  # noqa: BLE001
            told[reqid] = err

    async with trio.open_nursery() as tasks:
        for reqid in reqids:
            tasks.start_soon(one, reqid)
    return told


async def test_what_is_wanted_at_once_is_asked_for_at_once(autojump_clock):
    venue, ids = Venue(), [str(i) for i in range(120)]
    told = await ask_all(Queries(venue), ids)
    assert told == dict.fromkeys(ids, ROW)
    assert [len(asked) for _, asked in venue.asked] == [50, 50, 20]
    assert sorted(one for _, asked in venue.asked for one in asked) == sorted(ids)


async def test_an_answer_is_of_a_request_after_it_was_wanted(autojump_clock):
    venue = Venue()
    queries, began = Queries(venue), trio.current_time()
    async with trio.open_nursery() as tasks:
        tasks.start_soon(queries.row, "a")
        await trio.sleep(0.5)
        await queries.row("a")
    assert [at - began for at, _ in venue.asked] == [0, 1]


@pytest.mark.parametrize("refuses", [True, False])
async def test_one_that_is_unknown_is_nobody_elses_trouble(autojump_clock, refuses):
    venue, ids = Venue(lacks=["3"], refuses=refuses), [str(i) for i in range(6)]
    told = await ask_all(Queries(venue), ids)
    kind = VenueRefused if refuses else BadPayload
    assert isinstance(told.pop("3"), kind)
    assert told == dict.fromkeys((one for one in ids if one != "3"), ROW)
    assert len(venue.asked) <= 7


async def test_an_outage_is_told_to_all_at_once(autojump_clock):
    venue, ids = Venue(), [str(i) for i in range(40)]
    venue.down = VenueUnreachable("it is down")
    queries = Queries(venue)
    told = await ask_all(queries, ids)
    assert {type(one) for one in told.values()} == {VenueUnreachable}
    assert len({id(one) for one in told.values()}) == 40
    assert len(venue.asked) == 1
    venue.down = None
    assert await queries.row("1") == ROW


async def test_who_leaves_takes_nobody_along(autojump_clock):
    venue = Venue()
    queries, told = Queries(venue), []

    async def want(reqid, patience_s=100.0):
        with trio.move_on_after(patience_s):
            told.append((reqid, await queries.row(reqid)))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(want, "first", 0.5)
        await trio.testing.wait_all_tasks_blocked()
        tasks.start_soon(want, "gone", 0.2)
        tasks.start_soon(want, "leads", 0.9)
        tasks.start_soon(want, "stays")
    assert told == [("stays", ROW)]
    assert not queries._wanted
    assert "gone" not in [each for _, asked in venue.asked for each in asked]
