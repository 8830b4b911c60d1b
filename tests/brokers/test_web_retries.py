"""REST: what is tried again, what is waited for, and what is said if neither helps."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from piker.brokers._web import RateBudget, open_http
from piker.brokers.binance._rest import parse_error
from piker.errors import BadPayload, RateLimited, VenueRefused, VenueUnreachable
from tests.testing._emulated import open_local, write_session

TIME = "/api/v3/time"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return write_session(tmp_path_factory.mktemp("session") / "session.txt")


@asynccontextmanager
async def open_both(session, deadline_s=5.0, **fault):
    """Open an emulated venue with a fault of REST, and a client of it."""
    faults = [{"kind": "http", "path": TIME, **fault}] if fault else []
    async with (
        open_local("binance.spot", session=session, faults=faults) as venue,
        open_http(
            "binance",
            venue.http_url,
            RateBudget(100, 60),
            failure_of=parse_error,
            deadline_s=deadline_s,
        ) as http,
    ):
        yield venue, http


async def test_a_pause_that_is_asked_for_holds_for_all(session):
    async with open_both(session, status=429, retry_after=1, count=1) as (venue, http):
        began = trio.current_time()
        async with trio.open_nursery() as asking:
            for _ in range(3):
                asking.start_soon(http.get, TIME)
        assert trio.current_time() - began >= 1
        asked = (await venue.stats())["statuses"]
        assert asked["429"] == 1
        assert asked["200"] == 3


async def test_a_pause_longer_than_the_deadline_is_an_error_at_once(session):
    async with open_both(session, status=429, retry_after=60, count=0) as (venue, http):
        with trio.fail_after(2):
            for _ in range(5):
                with pytest.raises(RateLimited, match="a pause of 60 s"):
                    await http.get(TIME)
        assert (await venue.stats())["requests"][TIME] == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"status": 502}, VenueUnreachable, "out of order: code -1000"),
        ({"status": 503, "html": True}, VenueUnreachable, "a web page instead of data"),
        ({"status": 200, "html": True}, BadPayload, "a web page instead of data"),
    ],
    ids=["5xx", "page of a 5xx", "page"],
)
async def test_what_may_pass_is_tried_three_times(session, fault, kind, words):
    async with open_both(session, count=2, **fault) as (venue, http):
        assert b"serverTime" in await http.get(TIME)
        await venue.fault("http", path=TIME, count=0, **fault)
        with pytest.raises(kind, match=words) as caught:
            await http.get(TIME)
        assert "\n" not in str(caught.value)
        assert (await venue.stats())["requests"][TIME] == 3 + 3


async def test_a_refusal_is_not_tried_again(session):
    async with open_both(session) as (venue, http):
        with pytest.raises(VenueRefused, match=r"HTTP 400.*code -1121"):
            await http.get("/api/v3/klines", {"symbol": "NOSUCH", "interval": "1m"})
        assert (await venue.stats())["requests"]["/api/v3/klines"] == 1


async def test_no_answer_within_the_deadline(session):
    async with open_both(session, deadline_s=0.4) as (venue, http):
        await venue.fault("slow", response_s=5)
        with trio.fail_after(2), pytest.raises(VenueUnreachable, match="binance"):
            await http.get(TIME)
