"""Deribit's connection on asyncio: requests by their ids, heartbeats, tokens, ends."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial, wraps

import pytest
import trio

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers._web import RateBudget
from piker.brokers.deribit import _calls
from piker.brokers.deribit._calls import Calls, open_calls
from piker.brokers.deribit._socket import open_rpc_socket
from piker.errors import MarketGone, RateLimited, VenueRefused, VenueUnreachable
from tests._infected import run_infected
from tests.brokers._rpc_venue import LATE, Refused, open_rpc_venue

KEYS = Keys(Secret("an-id-of-a-key"), Secret("what-signs-with-it"))


def infected(test):
    """Run an async test in an actor with an asyncio loop."""

    @wraps(test)
    def run(**fixtures) -> None:
        run_infected(partial(test, **fixtures), deadline_s=30)

    return run


@asynccontextmanager
async def open_asked(**options):
    """Yield a venue, and what asks it."""
    async with open_rpc_venue() as venue:
        usual = {"deadline_s": 10.0, "reconnect_max_s": 0.05}
        calls = Calls("x", venue.url, RateBudget(10**6, 1.0), **(usual | options))
        async with open_calls(calls):
            yield venue, calls


# -- requests --------------------------------------------------------------------------


@infected
async def test_answers_find_who_asked_in_whatever_order_they_come():
    async with open_asked() as (venue, calls):
        venue.on["public/echo"] = lambda _: LATE
        got: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            got[number] = (await calls.call("public/echo", {"n": number})).body

        draw = random.Random(7)
        async with trio.open_nursery() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number)
            await venue.wait_heard("public/echo", 200)
            while venue.late:
                last = draw.random() < 0.5
                await venue.answer_late(lambda params: params["n"], last=last)
        for number in range(200):
            assert got[number].endswith(b'"result": %d}' % number)


@infected
async def test_a_request_that_is_given_up_leaves_nothing_for_the_next():
    async with open_asked(deadline_s=1.0) as (venue, calls):
        venue.on["public/echo"] = lambda _: LATE
        with pytest.raises(VenueUnreachable):
            await calls.call("public/echo", {"n": 1}, tries=1)
        await venue.answer_late(lambda _: "too late", last=False)
        venue.on["public/echo"] = lambda params: params["n"]
        assert b'"result": 2' in (await calls.call("public/echo", {"n": 2})).body
        assert venue.connects == 1


@pytest.mark.parametrize(
    ("code", "data", "kind"),
    [
        (10028, None, RateLimited),
        (13009, {"reason": "token has expired"}, VenueRefused),
        (10020, None, MarketGone),
        (-32602, {"reason": "wrong format", "param": "instrument_name"}, MarketGone),
        (-32602, {"reason": "wrong format", "param": "count"}, VenueRefused),
        (11051, None, VenueUnreachable),
    ],
)
def test_what_the_venue_refuses_is_told_by_its_code(code, data, kind):
    async def main() -> None:
        async with open_asked() as (venue, calls):

            def refuse(_):
                raise Refused({"code": code, "message": "no_such_luck", "data": data})

            venue.on["public/echo"] = refuse
            with pytest.raises(kind, match="no_such_luck") as caught:
                await calls.call("public/echo", {}, tries=1)
            assert "\n" not in str(caught.value)
            venue.on["public/echo"] = lambda _: 1  # and the line is as good as before
            calls.budget._closed_until = 0.0
            await calls.call("public/echo")
            assert venue.connects == 1

    run_infected(main)


@infected
async def test_a_limit_is_waited_for_and_asked_again(monkeypatch):
    monkeypatch.setattr(_calls, "_PAUSE_S", 0.05)
    async with open_asked() as (venue, calls):
        left = [1, 1]

        def limited(_):
            if left:
                left.pop()
                raise Refused({"code": 10028, "message": "too_many_requests"})
            return "done"

        venue.on["public/echo"] = limited
        assert b'"done"' in (await calls.call("public/echo")).body
        assert len(venue.asked("public/echo")) == 3


@infected
async def test_a_lost_connection_is_opened_again_and_what_only_looks_asked_again():
    async with open_asked() as (venue, calls):
        await calls.call("public/get_time")
        venue.on["public/echo"] = lambda _: LATE
        async with trio.open_nursery() as tasks:

            async def ask() -> None:
                assert b'"again"' in (await calls.call("public/echo")).body

            tasks.start_soon(ask)
            await venue.wait_heard("public/echo")
            venue.on["public/echo"] = lambda _: "again"
            await venue.drop()
        assert venue.connects == 2


@infected
async def test_who_asks_while_nobody_is_there_hears_why():
    async with open_asked() as (venue, calls):
        calls.url = "ws://127.0.0.1:9/ws/api/v2"
        await trio.sleep(0.05)
        await venue.drop()
        with pytest.raises(VenueUnreachable, match=r"can't be reached at ws://127"):
            await calls.call("public/get_time")


# -- heartbeats ------------------------------------------------------------------------


@infected
async def test_the_venue_is_answered_when_it_asks_whether_we_are_there():
    async with open_asked() as (venue, calls):
        await calls.call("public/get_time")
        assert venue.asked("public/set_heartbeat") == [{"interval": 10}]
        beat = {
            "jsonrpc": "2.0",
            "method": "heartbeat",
            "params": {"type": "heartbeat"},
        }
        await venue.send(beat)
        assert not venue.asked("public/test")
        await venue.send({**beat, "params": {"type": "test_request"}})
        await venue.wait_heard("public/test")


# -- who asks --------------------------------------------------------------------------


def granting(lives_s, seen):
    """Return what answers public/auth, and notes what it was asked with."""

    def grant(params):
        seen.append(params)
        return {
            "access_token": f"access-{len(seen)}",
            "refresh_token": f"refresh-{len(seen)}",
            "expires_in": lives_s,
            "scope": "trade:read_write",
            "token_type": "bearer",
        }

    return grant


@infected
async def test_a_token_is_renewed_before_it_ends():
    async with open_rpc_venue() as venue:
        seen = []
        venue.on["public/auth"] = granting(1.4, seen)
        budget = RateBudget(10**6, 1.0)
        async with open_calls(Calls("x", venue.url, budget, keys=KEYS)) as calls:
            await calls.call("public/get_time")
            assert calls.scope == "trade:read_write"
            await venue.wait_heard("public/auth", 3)
        first, *later = seen
        assert first == {
            "grant_type": "client_credentials",
            "client_id": "an-id-of-a-key",
            "client_secret": "what-signs-with-it",
        }
        assert [one["grant_type"] for one in later] == ["refresh_token"] * len(later)
        assert later[0]["refresh_token"] == "refresh-1"
        assert later[1]["refresh_token"] == "refresh-2"
        assert venue.connects == 1


@infected
async def test_keys_that_the_venue_does_not_take_are_told_and_not_shown():
    async with open_rpc_venue() as venue:

        def refuse(_):
            raise Refused({"code": 13004, "message": "invalid_credentials"})

        venue.on["public/auth"] = refuse
        calls = Calls("x", venue.url, RateBudget(9, 1.0), keys=KEYS)
        async with open_calls(calls):
            with pytest.raises(VenueRefused, match="invalid_credentials") as caught:
                await calls.call("public/get_time")
        assert "signs" not in str(caught.value) + repr(calls)


@infected
async def test_an_answer_without_a_token_shows_nothing_of_itself():
    async with open_rpc_venue() as venue:
        venue.on["public/auth"] = lambda _: {"acces_token": "hidden-token"}
        calls = Calls("x", venue.url, RateBudget(9, 1.0), keys=KEYS)
        async with open_calls(calls):
            with pytest.raises(VenueUnreachable, match="no token") as caught:
                await calls.call("public/get_time")
        assert "hidden" not in str(caught.value)


# -- the socket ------------------------------------------------------------------------


@infected
async def test_a_socket_gives_frames_by_the_batch_and_then_says_why_it_ended():
    async with open_rpc_venue() as venue, open_rpc_socket("x", venue.url) as sock:
        for n in range(50):
            began = trio.current_time()
            await venue.send({"jsonrpc": "2.0", "method": "subscription", "params": n})
        frames = []
        while len(frames) < 50:
            _, batch = await sock.receive()
            frames += batch
        assert b'"params": 49' in frames[-1]
        assert began <= sock.last_heard <= trio.current_time()
        await trio.sleep(0.2)
        heard = sock.last_heard
        await sock.ping()
        with trio.fail_after(10):
            while sock.last_heard <= heard + 0.1:
                await trio.sleep(0.01)
        await venue.drop()
        with pytest.raises(VenueUnreachable):
            await sock.receive()
        with pytest.raises(VenueUnreachable):
            await sock.send("{}")


@infected
async def test_what_an_answer_to_a_subscription_leaves_out_is_refused():
    async with open_rpc_venue() as venue, open_rpc_socket("x", venue.url) as sock:
        venue.on["public/subscribe"] = lambda _: ["trades.A.100ms", "quote.A"]
        await sock.send(
            '{"jsonrpc":"2.0","id":7,"method":"public/subscribe","params":{"channels":'
            '["trades.A.100ms","quote.A","trades.B.100ms","quote.B"]}}'
        )
        frames = []
        while len(frames) < 2:
            _, batch = await sock.receive()
            frames += batch
        from piker.brokers.deribit._decode import decode_message

        refusal, ack = map(decode_message, frames)
        assert (refusal.kind, refusal.symbol, refusal.req_id) == ("refused", "B", 7)
        assert refusal.reason == "market"
        assert (ack.kind, ack.req_id) == ("ack", 7)
