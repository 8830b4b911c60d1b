"""All that is open ended at once: looked at until it is, whatever the venue says."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio
from msgspec.structs import replace

from piker.brokers._live._end_all import Ending
from piker.brokers._live._venue import OrderState
from piker.brokers.binance._order_decode import parse_canceled
from piker.brokers.kraken._order_decode import parse_count
from piker.errors import BadPayload, VenueUnreachable

ONE = OrderState(
    cl_id="", reqid="1", bs_mktid="A", side="buy", price=Decimal(1), size=Decimal(2),
    filled=Decimal(0), state="open", time_ns=0,
)  # fmt: skip
TWO = replace(ONE, reqid="2", bs_mktid="B")
DOWN = VenueUnreachable("it is down")


class Venue:
    """A session that answers as it is told: looks, then ends, the last of each again.

    Attributes:
      asked: in which markets all was to be ended.
    """

    account = "binance.main"

    def __init__(self, looks, ends=(0,)) -> None:
        self.looks, self.ends, self.asked = list(looks), list(ends), []

    async def open_orders(self):
        return self._next(self.looks)

    async def cancel_all(self, bs_mktids):
        self.asked.append(list(bs_mktids))
        return self._next(self.ends)

    def _next(self, answers):
        told = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(told, Exception):
            raise told
        return told


async def ended(venue, mkts=()):
    ending = Ending(venue, lambda: set(mkts))
    await ending.run()
    return ending.done()


@pytest.mark.parametrize(
    ("looks", "ends", "count"),
    [
        ([[], []], [0], 0),
        ([[ONE, TWO], []], [2], 2),
        # its answer was lost, and asked again there was nothing
        ([[ONE, TWO], []], [0], 2),
        ([[ONE, TWO], []], [DOWN], 2),
        # one came and went between two looks
        ([[ONE], []], [2], 2),
        # a list that is old, one that can't be had
        ([[ONE], [ONE], DOWN, []], [1, 0], 1),
        ([DOWN, []], [3], 3),
    ],
)
async def test_what_was_open_is_counted(autojump_clock, looks, ends, count):
    done = await ended(Venue(looks, ends))
    assert (done.ended, done.resting, done.fault) == (count, (), "")


@pytest.mark.parametrize(
    ("looks", "ends", "ids", "fault"),
    [
        ([[ONE, TWO], [TWO]], [1, DOWN], ["2"], "it is down"),
        ([[ONE], [ONE]], [1], ["1"], "the venue lists it still"),
        ([DOWN], [1], [], "it is down"),
        ([[ONE], DOWN], [1], ["1"], "it is down"),
    ],
)
async def test_what_rests_is_told(autojump_clock, looks, ends, ids, fault):
    done = await ended(venue := Venue(looks, ends))
    assert [each.reqid for each in done.resting] == ids
    assert done.fault == fault
    assert len(venue.asked) == 5


async def test_what_is_known_to_be_open_is_ended_though_no_list_has_it(autojump_clock):
    venue = Venue([[TWO], []])
    await ended(venue, "A")
    assert venue.asked == [["A", "B"]]


async def test_a_first_look_that_takes_long_is_not_waited_for(autojump_clock):
    venue = Venue([[]], [1])
    began, asked_at = trio.current_time(), []

    async def look():
        await trio.sleep(9)
        return []

    async def end(_mkts):
        asked_at.append(trio.current_time() - began)
        return 1

    venue.open_orders, venue.cancel_all = look, end
    assert (await ended(venue)).ended == 1
    assert asked_at == [2]


async def test_it_takes_a_minute_at_most(autojump_clock):
    venue, began = Venue([[ONE]]), trio.current_time()

    async def end(_mkts):
        await trio.sleep(1000)

    venue.cancel_all = end
    done = await ended(venue)
    assert (len(done.resting), done.fault) == (1, "it takes too long")
    assert trio.current_time() - began == 60


def test_what_the_venues_count():
    order = b'{"symbol": "A", "orderId": 28, "status": "CANCELED"}'
    listed = b'{"orderListId": 1, "orderReports": [%s, %s]}' % (order, order)
    assert parse_canceled(b"[%s, %s]" % (order, listed)) == 3
    assert parse_count(b'{"error": [], "result": {"count": 4}}') == 4
    for wrong in (b"{}", b'{"error": [], "result": {"count": -1}}', b"[]", b"7"):
        with pytest.raises(BadPayload):
            parse_count(wrong)
