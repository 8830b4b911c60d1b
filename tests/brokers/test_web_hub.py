"""One connection for all markets, against a websocket server that behaves badly."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from piker.brokers._parts import Part
from piker.brokers._web import Page, _hub, _market, open_hub
from piker.brokers._web._dialect import AHEAD, Doubt, Down, Failed, Up
from piker.brokers._web._market import MarketStream
from piker.brokers._web._ws import open_socket
from piker.errors import MarketGone, RateLimited, VenueRefused, VenueUnreachable
from piker.msgs import NS, Tick, boot_ns
from piker.testing import free_port
from tests.brokers._loopback import answer, open_server
from tests.brokers._ws_venue import open_ws_venue

USUAL = {
    name: getattr(_hub, name) for name in ("PING_AFTER_S", "DEAD_AFTER_S", "_LOOK_S")
}
#: What is waited for: nobody who is held up is taken for silent.
PATIENT = {"PING_AFTER_S": 0.15, "DEAD_AFTER_S": 60.0, "_LOOK_S": 0.03, "_ACK_S": 60.0}
ACK_S = 0.3


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Look often, and give nothing up in the time of a test."""
    for name, value in PATIENT.items():
        monkeypatch.setattr(_hub, name, value)


@pytest.fixture
def quick(monkeypatch):
    """Wait for an answer for tenths of a second."""
    monkeypatch.setattr(_hub, "_ACK_S", ACK_S)


@pytest.fixture
def virtual(monkeypatch, autojump_clock):
    """Let silence last as long as it does, on a clock that jumps.

    Who is held up isn't silent then: what is sent on the loopback is there before.
    """
    autojump_clock.autojump_threshold = 0.02
    for name, value in USUAL.items():
        monkeypatch.setattr(_hub, name, value)
    return autojump_clock


@asynccontextmanager
async def open_bench(venue_options=None, **dialect):
    async with open_ws_venue(**(venue_options or {})) as venue:
        async with open_hub(venue.dialect(**dialect), reconnect_max_s=0.05) as hub:
            with trio.fail_after(60):
                yield venue, hub


async def until(member, kind, n: int = 1) -> list:
    """Return a member's items up to the *n*th of a kind."""
    items = []
    with trio.fail_after(20):
        while n:
            items.append(await member.items.receive())
            n -= isinstance(items[-1], kind)
    return items


async def serials(member, n: int) -> list[int]:
    """Return the serials of the next *n* trades, nothing else among them."""
    found = []
    with trio.fail_after(20):
        while len(found) < n:
            found += [part.first for part in await member.items.receive()]
    return found


def nothing_left(member) -> bool:
    return member.items.statistics().current_buffer_used == 0


# -- who comes and goes ----------------------------------------------------------------


async def test_markets_come_and_go_on_one_connection():
    async with open_bench() as (venue, hub):
        async with hub.join("A") as a:
            await until(a, Up)
            async with hub.join("B") as b, hub.join("A") as again:
                await until(b, Up)
                assert isinstance(await again.items.receive(), Up), "at once"
                await venue.trade("A", 1, 2)
                await venue.trade("B", 7)
                assert await serials(a, 2) == await serials(again, 2) == [1, 2]
                assert await serials(b, 1) == [7]
            await venue.wait_heard(3)
            assert venue.heard == [("sub", ["A"]), ("sub", ["B"]), ("unsub", ["B"])]
            await venue.trade("B", 8)
            await venue.trade("A", 3)
            assert await serials(a, 1) == [3]
        with trio.fail_after(10):
            while venue.conns:
                await trio.sleep(0.005)
        assert hub.stats.connects == 1
        async with hub.join("A") as a:
            await until(a, Up)
            assert hub.stats.connects == 2


async def test_a_url_that_subscribes_needs_no_request():
    async with open_bench(in_url=True, acks=0) as (venue, hub):
        async with hub.join("A") as a, hub.join("B") as b:
            await until(a, Up)
            await until(b, Up)
            assert venue.paths == ["/A,B"]
            assert venue.heard == []
            async with hub.join("C") as c:
                await until(c, Up)
                assert venue.heard == [("sub", ["C"])]
                await venue.drop()
                await until(c, Up)
                assert venue.paths[1:] == ["/A,B,C"]


async def test_who_joins_while_it_connects_again_is_told_when_it_is_up():
    async with open_bench() as (venue, hub):
        async with hub.join("A") as a:
            await until(a, Up)
            venue.acks = False
            await venue.drop()
            await until(a, Down)
            async with hub.join("B") as b, hub.join("A") as again:
                await venue.wait_conns(2)
                with trio.fail_after(20):
                    while {s for _, told in venue.owed for s in told["s"]} != {
                        "A",
                        "B",
                    }:
                        await trio.sleep(0.005)
                assert nothing_left(b)
                assert nothing_left(again)
                await venue.answer_owed()
                for member in (a, b, again):
                    await until(member, Up)
                    assert nothing_left(member), "once"
                await venue.trade("A", 1)
                await venue.trade("B", 1)
                assert await serials(again, 1) == await serials(b, 1) == [1]
                assert hub.stats.connects == 2


async def test_an_answer_for_each_channel_is_waited_for():
    async with open_bench(acks=2) as (venue, hub), hub.join("A") as a:
        await venue.wait_heard(1)
        await trio.sleep(0.1)
        assert nothing_left(a), "one of two"
        await venue.send({"k": "ack", "s": "A", "id": 2})
        await until(a, Up)


async def test_no_more_is_said_a_second_than_the_venue_takes(quick):
    async with open_bench(frames_a_s=3) as (venue, hub), trio.open_nursery() as tasks:

        async def come(symbol):
            async with hub.join(symbol) as member:
                await until(member, Up)
                times.append(trio.current_time())
                await trio.sleep_forever()

        times: list[float] = []
        began = trio.current_time()
        for n in range(5):
            await tasks.start(partial(_started, come, f"S{n}"))
            await venue.wait_heard(min(n + 1, 3))
        while len(times) < 5:
            await trio.sleep(0.01)
        assert 0.9 < times[-1] - began < 10
        assert hub.stats.connects == 1, "what waits to be said wants no answer yet"
        tasks.cancel_scope.cancel()


async def _started(come, symbol, task_status):
    task_status.started()
    await come(symbol)


# -- refusals --------------------------------------------------------------------------


async def test_a_refused_market_leaves_the_others():
    async with open_bench() as (venue, hub):
        venue.refuses = {"BAD"}
        async with hub.join("A") as a, hub.join("BAD") as bad, hub.join("B") as b:
            await until(a, Up)
            await until(b, Up)
            (failed,) = await until(bad, Failed)
            assert type(failed.error) is MarketGone
            assert str(failed.error) == "x refused 'BAD': no such pair"
            await venue.trade("A", 1)
            assert await serials(a, 1) == [1]
        assert hub.stats.connects == 1


@pytest.mark.parametrize("why", ["market", "other"])
async def test_who_was_subscribed_to_once_is_refused_for_good_only_if_it_is_gone(why):
    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        for member in (a, b):
            await until(member, Up)
        venue.refuses, venue.why = {"B"}, why
        await venue.drop()
        await until(a, Up)
        if why == "market":
            *_, failed = await until(b, Failed)
            assert type(failed.error) is MarketGone
            return
        _, *told = await until(b, Down, 6)
        assert {item.reason for item in told} == {
            "x takes no subscription now: no such pair"
        }
        venue.refuses = set()
        await until(b, Up)
        assert [type(item) for item in await until(a, Up)] == [Down, Up]
        assert nothing_left(a), "given up for it once"
        assert hub.stats.connects == 3


@pytest.mark.parametrize("why", ["market", "other"])
async def test_a_market_refused_the_first_time_is_refused_for_good(why):
    async with open_bench() as (venue, hub):
        venue.refuses, venue.why = {"A"}, why
        async with hub.join("A") as a:
            (failed,) = await until(a, Failed)
            assert type(failed.error) is (
                MarketGone if why == "market" else VenueRefused
            )


async def test_a_refusal_of_nobodys_request_is_only_noted():
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        await venue.send({"k": "refused", "s": "A", "id": 99, "text": "what?"})
        await venue.trade("A", 1)
        assert await serials(a, 1) == [1]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("403 No", Down), ("404 No", Failed), ("429 No", Down), ("418 No", Down),
        ("503 No", Down), ("302 No", Down), ("200 OK", Down),
    ],
)  # fmt: skip
async def test_a_handshake_that_is_refused(status, kind):
    """What may pass is tried again; what won't ends the markets."""
    async with (
        open_server(answer(b"words", status)) as server,
        open_ws_venue() as venue,
    ):
        dialect = venue.dialect(url=lambda _: server.ws_url)
        async with open_hub(dialect, reconnect_max_s=0.05) as hub, hub.join("A") as a:
            (told,) = await until(a, kind)
            what = told.reason if kind is Down else str(told.error)
            if kind is Down:
                await until(a, Down, 2)
                assert len(server.asked) >= 3
            assert f"HTTP {status[:3]}" in what


async def test_a_page_in_place_of_a_handshake_passes():
    """One that stands between us and the venue sends such, with 403, now and then."""
    async with (
        open_server(answer(b"\n<html>no</html>", "403 No")) as server,
        open_ws_venue() as venue,
    ):
        dialect = venue.dialect(url=lambda _: server.ws_url)
        async with open_hub(dialect, reconnect_max_s=0.05) as hub, hub.join("A") as a:
            (told, *_) = await until(a, Down, 2)
            assert "web page instead of a websocket" in told.reason
            assert "HTTP 403" in told.reason


async def test_who_was_let_in_once_is_not_refused_for_good():
    async with open_server(answer(b"words", "404 No")) as server:
        async with open_bench() as (venue, hub), hub.join("A") as a:
            await until(a, Up)
            port, venue.port = venue.port, server.port
            await venue.drop()
            told = await until(a, Down, 3)
            assert [type(item) for item in told] == [Down] * 3
            assert "refused a request: HTTP 404" in told[-1].reason
            venue.port = port
            await until(a, Up)


@pytest.mark.parametrize("reason", ["limit", "unavailable"])
async def test_a_subscription_refused_for_now_is_asked_for_again(reason):
    async with open_bench() as (venue, hub):
        venue.acks = False
        async with hub.join("A") as a:
            await venue.wait_heard(1)
            refusal = {"k": "refused", "s": "A", "id": 2, "text": "x", "why": reason}
            await venue.send(refusal)
            (down,) = await until(a, Down)
            assert down.reason == "x takes no subscription now: x"
            venue.acks = True
            await until(a, Up)


@pytest.mark.parametrize("what", ["refusal", "no answer"])
async def test_one_that_can_not_be_had_now_leaves_the_others_alone(
    what, quick, monkeypatch
):
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        venue.acks = what == "refusal"
        venue.refuses, venue.why = {"B"}, "limit"
        async with hub.join("B") as b, trio.open_nursery() as tasks:
            tasks.start_soon(_talk, venue)
            (down,) = await until(b, Down)
            assert (
                down.reason
                == {
                    "refusal": "x takes no subscription now: no such pair",
                    "no answer": "x didn't answer: B",
                }[what]
            )
            venue.acks, venue.refuses = True, set()
            monkeypatch.setattr(_hub, "_ACK_S", 60.0)
            await until(b, Up)
            assert venue.heard[-2:] == [("unsub", ["B"]), ("sub", ["B"])]
            tasks.cancel_scope.cancel()
        assert nothing_left(a)
        assert hub.stats.connects == 1


async def test_a_market_that_left_before_its_answer_costs_nobody_the_connection(quick):
    """Twice: a symbol that fails again is a reason to give a connection up."""
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        venue.acks = False
        for heard in (1, 2):
            async with hub.join("B"):
                await venue.wait_heard(2 * heard)
            await trio.sleep(3 * ACK_S)
        assert nothing_left(a)
        assert hub.stats.connects == 1


async def test_nobody_there_is_tried_again_ever_more_seldom():
    url = f"ws://127.0.0.1:{free_port()}"
    async with open_ws_venue() as venue:
        async with open_hub(
            venue.dialect(url=lambda _: url), reconnect_max_s=30
        ) as hub:
            async with hub.join("A") as a:
                began = trio.current_time()
                (down, *_) = await until(a, Down, 4)
                assert "refused" in down.reason
                assert trio.current_time() - began > 0.12 + 0.25 + 0.5


async def test_a_handshake_never_answered_holds_for_nothing(monkeypatch):
    """It took ten seconds to fail; that is no success after which waits begin anew."""
    waits = []

    class Noted(_hub.Backoff):
        def next_s(self, held_s=0.0):
            waits.append(held_s)
            return 0.01

    monkeypatch.setattr(_hub, "Backoff", Noted)

    async def never(stream):
        await trio.sleep(0.2)

    async with open_server(never) as server, open_ws_venue() as venue:
        async with open_hub(venue.dialect(url=lambda _: server.ws_url)) as hub:
            async with hub.join("A") as a:
                await until(a, Down, 2)
    assert waits[0] == 0
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        await trio.sleep(0.2)
        await venue.drop()
        await until(a, Up)
        assert 0.15 < waits[-1] < 10


async def silent(stream):
    await trio.sleep_forever()


async def trickling(stream):
    while True:
        await stream.send_all(b"H")
        await trio.sleep(0.05)


@pytest.mark.parametrize("how", [silent, trickling])
async def test_a_handshake_has_a_deadline(how):
    async with open_server(how) as server:
        began = trio.current_time()
        with pytest.raises(VenueUnreachable, match=r"^x can't be reached at ws://127"):
            async with open_socket("x", server.ws_url, deadline_s=0.4):
                pass
        assert 0.3 < trio.current_time() - began < 10


async def test_closing_waits_for_no_answer():
    async with open_ws_venue() as venue:
        url = f"ws://127.0.0.1:{venue.port}/"
        async with open_socket("x", url) as sock:
            await venue.wait_conns(1)
            venue.conns[0].pause_reading()
            await sock.send('{"m": "x", "s": [], "id": 1}')
            began = trio.current_time()
        assert trio.current_time() - began < 8, "the library's own patience is 10 s"


# -- lost connections ------------------------------------------------------------------


async def test_all_are_told_of_a_loss_and_of_the_return():
    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        for member in (a, b):
            await until(member, Up)
        for n in range(3):
            await venue.trade("A", n)
            await venue.drop()
            for member in (a, b):
                items = await until(member, Up)
                assert [type(i) for i in items if not isinstance(i, list)] == [Down, Up]
            assert [type(i) for i in items] == [Down, Up]
        assert hub.stats.connects == 4


async def test_a_closing_word_is_told():
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        await venue.conns[0].aclose(1008, "too old")
        (down,) = await until(a, Down)
        assert "1008" in down.reason
        assert "too old" in down.reason


async def test_an_answer_that_is_lost_is_asked_for_on_another_connection(quick):
    async with open_bench() as (venue, hub):
        venue.acks = False
        async with hub.join("A") as a, trio.open_nursery() as tasks:
            tasks.start_soon(_talk, venue)  # silence is another fault
            (down,) = await until(a, Down)
            assert "didn't answer: A" in down.reason
            venue.acks = True
            await until(a, Up)
            tasks.cancel_scope.cancel()


async def _talk(venue, every_s=0.02):
    while True:
        await venue.send({"k": "heartbeat"})
        await trio.sleep(every_s)


async def test_a_decoder_with_a_bug_ends_nothing(caplog):
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        await venue.send({"k": "bug"})
        (down,) = await until(a, Down)
        assert "ZeroDivisionError" in down.reason
        await until(a, Up)
        assert [r.levelname for r in caplog.records if r.exc_info] == ["ERROR"]


async def test_a_stream_that_lags_is_given_up():
    async with open_bench() as (_, hub), hub.join("A") as a:
        await until(a, Up)
        hub.distrust("A", "the stream of A lags")
        (down,) = await until(a, Down)
        assert down.reason == "the stream of A lags"
        await until(a, Up)
        await trio.sleep(0.2)
        assert nothing_left(a), "once"


async def test_one_stream_that_lags_is_asked_for_again_by_itself():
    """Only if that doesn't help are all given up, and not for one market for ever."""
    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        for member in (a, b):
            await until(member, Up)
        for connects in (1, 2, 2, 2):
            hub.distrust("A", "the stream of A lags")
            hub.distrust("A", "of it another told too")
            down, _ = await until(a, Up)
            assert down.reason == "the stream of A lags"
            assert hub.stats.connects == connects
        assert [type(item) for item in await until(b, Up)] == [Down, Up]
        assert nothing_left(b)
        again = [("unsub", ["A"]), ("sub", ["A"])]
        both = [said for said in venue.heard if said[1] == ["A", "B"]]
        assert venue.heard == [both[0], *again, both[1], *again, *again]
        await venue.trade("A", 1)
        assert await serials(a, 1) == [1]


async def test_a_subscription_is_ended_before_it_is_asked_for_again():
    """Though its rest is over by the time that the venue may be told anything."""
    async with open_bench(frames_a_s=2) as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        async with hub.join("B") as b:
            await until(b, Up)
            async with hub.join("C") as c:
                await trio.testing.wait_all_tasks_blocked()
                hub.distrust("A", "the stream of A lags")
                await until(c, Up)
                await until(a, Up)
                assert venue.heard[2:] == [
                    ("sub", ["C"]), ("unsub", ["A"]), ("sub", ["A"]),
                ]  # fmt: skip


# -- silence ---------------------------------------------------------------------------


async def test_a_quiet_venue_that_answers_pings_is_not_dead(virtual):
    async with open_bench() as (_, hub), hub.join("A") as a:
        await until(a, Up)
        await trio.sleep(3 * USUAL["DEAD_AFTER_S"])
        assert nothing_left(a)
        assert hub.stats.connects == 1


async def test_the_venues_own_pings_are_a_sign_of_life(virtual, monkeypatch):
    monkeypatch.setattr(_hub, "PING_AFTER_S", 60.0)
    options = {"ping_interval": 1.0, "ping_timeout": None}
    async with open_bench(options) as (_, hub), hub.join("A") as a:
        await until(a, Up)
        await trio.sleep(3 * USUAL["DEAD_AFTER_S"])
        assert nothing_left(a)


async def test_a_venue_that_says_nothing_at_all_is_dead(virtual):
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        for conn in venue.conns:  # who doesn't read answers no ping
            conn.pause_reading()
        began = trio.current_time()
        (down,) = await until(a, Down)
        assert "said nothing for 4 s" in down.reason
        # the read under way may still have answered a ping
        assert trio.current_time() - began < 7
        await until(a, Up)


async def test_pings_alone_are_no_heartbeat(virtual):
    async with open_bench(heartbeat_s=3) as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(partial(_talk, venue, every_s=0.5))
            await trio.sleep(6)
            assert nothing_left(a), "heartbeats come"
            tasks.cancel_scope.cancel()
        (down,) = await until(a, Down)
        assert "sent no heartbeat for 3 s" in down.reason


async def test_a_line_is_dead_after_the_machine_slept(monkeypatch):
    """No silence is seen: the clock that measures it slept too."""
    async with open_bench() as (_, hub), hub.join("A") as a:
        await until(a, Up)
        monkeypatch.setattr(_hub, "boot_ns", lambda: boot_ns() + 3600 * NS)
        (down,) = await until(a, Down)
        assert down.reason == "this machine was asleep for 3600 s"
        await until(a, Up)
        await trio.sleep(3 * PATIENT["_LOOK_S"])
        assert nothing_left(a), "once"


# -- who doesn't read, and what can't be read ------------------------------------------


async def test_who_does_not_read_holds_up_nobody_and_fills_no_memory():
    """It is told once that something is left out, and of all that the line is up to."""
    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        for member in (a, b):
            await until(member, Up)
        for n in range(2 * AHEAD):
            await venue.trade("B", n)  # a batch each: A has heard the one before
            await venue.trade("A", n)
            assert await serials(a, 1) == [n]
        assert b.items.statistics().current_buffer_used == AHEAD + 1
        await venue.drop()
        await until(a, Down)
        async with hub.join("B") as other:
            await until(other, Up)
        await until(a, Up)
        await venue.trade("B", 2 * AHEAD)
        await venue.trade("A", 2 * AHEAD)
        assert await serials(a, 1) == [2 * AHEAD]
        assert await serials(b, AHEAD) == list(range(AHEAD))
        assert [type(item) for item in await until(b, Up)] == [Doubt, Down, Up]
        assert [type(item) for item in await until(b, Doubt)] == [Doubt]
        await venue.trade("B", 7)
        assert await serials(b, 1) == [7], "there is room again"


async def test_trades_for_which_there_was_no_room_are_fetched(monkeypatch):
    """datad takes nothing of a market while it waits for its history."""
    monkeypatch.setattr(_market, "_DOUBT_S", 0.02)
    send, sent = trio.open_memory_channel(4)
    newest = 0

    async def fetch(since):
        first = max(0, since.serial)
        trades = [(n, Tick("trade", 1.0, 1.0, 1, n)) for n in range(first, newest + 1)]
        return Page([Part("B", [tick], n, n) for n, tick in trades], is_last=True)

    async def take(tids, last):
        with trio.fail_after(20):
            while not tids or tids[-1] < last:
                _, ticks = await sent.receive()
                tids += [tick.tid for tick in ticks]

    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        await until(a, Up)
        stream = MarketStream("b.x", hub, b, fetch, send, lambda: None, start_ns=0)
        tids = []
        async with trio.open_nursery() as tasks:
            tasks.start_soon(stream.run)
            await take(tids, 0)
            for newest in range(1, 2 * AHEAD):
                await venue.trade("B", newest)
                await venue.trade("A", newest)
                assert await serials(a, 1) == [newest]
            assert b.items.statistics().current_buffer_used == AHEAD + 1
            assert b.was_full
            await take(tids, newest)
            assert tids == list(range(2 * AHEAD))
            tasks.cancel_scope.cancel()
        assert hub.stats.connects == 1


async def test_bad_frames_are_counted_and_logged_once_a_kind(caplog):
    caplog.set_level(logging.WARNING)
    kinds = [
        lambda i: f"garbage {i}",
        lambda i: '{"k": "trade", "s": "A"}',
        lambda i: b"\x00\xff" + bytes([i % 256]),
        lambda i: "[" * 3,
    ]
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        began = trio.current_time()
        for i in range(250):
            await venue.send(*(kind(i) for kind in kinds))
        await venue.trade("A", 5)
        items = await until(a, list)
        assert [part.first for part in items[-1]] == [5]
        assert hub.stats.bad == 1000
        assert hub.stats.frames == 1002
        assert sum(hub._faults.counts.values()) == 1000
        doubts = [item for item in items if isinstance(item, Doubt)]
        took_s = trio.current_time() - began
        assert 1 <= len(doubts) <= 1 + took_s, "one a second"
        assert hub.stats.connects == 1
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == len(hub._faults.counts) == 2  # quotations make no kind


async def test_a_bad_frame_soon_after_another_is_told_of_too(virtual):
    async with open_bench() as (venue, hub), hub.join("A") as a, hub.join("B") as b:
        for member in (a, b):
            await until(member, Up)
        await venue.send("garbage")
        await until(a, Doubt)
        began = trio.current_time()
        await venue.send("garbage", "more", {"k": "heartbeat"})
        await until(a, Doubt)
        assert 0.9 < trio.current_time() - began < 1.1
        await until(b, Doubt, 2)
        await trio.sleep(1.5)
        assert nothing_left(a), "each once"


async def test_a_bad_first_frame_of_a_connection_is_told_of():
    async with open_bench() as (venue, hub):
        venue.greets = ["garbage"]
        async with hub.join("A") as a:
            for _ in range(20):
                await until(a, Doubt)
                await venue.drop()
                await until(a, Down)


async def test_who_leaves_takes_no_frame_from_who_stays():
    async with open_bench() as (venue, hub), hub.join("A") as stays:
        await until(stays, Up)
        for n in range(5):
            async with hub.join("A") as leaves:
                await until(leaves, Up)
                await venue.trade("A", 2 * n)
                assert await serials(leaves, 1) == [2 * n]
                await venue.trade("A", 2 * n + 1)
            assert await serials(stays, 2) == [2 * n, 2 * n + 1]


async def test_taps_see_frames_as_they_came():
    async with open_bench() as (venue, hub), hub.join("A") as a:
        await until(a, Up)
        seen = []
        hub.taps.add(lambda ns, frame, parts: seen.append((ns, frame, parts)))
        await venue.trade("A", 1)
        assert await serials(a, 1) == [1]
        await venue.send("garbage", {"k": "heartbeat"})
        await venue.trade("A", 2)
        await until(a, list)
        assert [parts[0].first for _, _, parts in seen] == [1, 2]
        assert seen[0][1] == b'{"k": "trade", "s": "A", "n": 1}'
        assert 0 < seen[0][0] <= seen[1][0]


async def test_a_refusal_that_comes_as_a_hub_ends_is_no_fault(monkeypatch):
    """It comes in a group with the end's own cancel."""

    async def be_refused_at_the_end(hub):
        try:
            await trio.sleep_forever()
        except trio.Cancelled as end:
            both = [end, RateLimited("too often")]
            raise BaseExceptionGroup("at once", both) from None

    monkeypatch.setattr(_hub.Hub, "_connect", be_refused_at_the_end)
    async with open_ws_venue() as venue, open_hub(venue.dialect()) as hub:
        async with hub.join("A"):
            await trio.testing.wait_all_tasks_blocked()
