"""A venue that tells bids and asks by a connection of their own; a full connection."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import msgspec
import trio

from piker.brokers._parts import Part
from piker.brokers._web import Page, RateBudget, Seats, Source, VenueTime, open_hub
from piker.brokers._web._dialect import Doubt, Member, Up
from piker.brokers._web._quotes import QuoteLine
from piker.brokers._web._record import record_markets
from piker.brokers._web._stream import stream_markets
from piker.brokers._web._time import Told
from piker.errors import VenueUnreachable
from piker.msgs import Asset, Quote, Tick, Warned, boot_ns
from tests.brokers._loopback import answer, open_server
from tests.brokers._recorded import MKT
from tests.brokers._ws_venue import open_ws_venue, request

A = "ausdt.spot.binance"


@asynccontextmanager
async def open_bench(**quotes):
    """Yield a venue's trades, its quotes, and what opens its market."""

    async def fetch(since):
        return Page([], is_last=True)

    async def ask_time():
        return Told.between(time.time_ns(), boot_ns(), boot_ns())

    async def quote():
        return Quote(fqme=A, last=1.0, ticks=[], time_ns=0)

    mkt = msgspec.structs.replace(MKT, dst=Asset(name="a"), bs_mktid="a")
    async with (
        open_ws_venue() as trades,
        open_ws_venue() as books,
        open_hub(trades.dialect(), reconnect_max_s=0.05) as hub,
        open_hub(books.dialect(**quotes), reconnect_max_s=0.05) as other,
    ):

        @asynccontextmanager
        async def open_source(fqme):
            yield Source(
                mkt, hub, fetch, quote, ask_time, VenueTime("x"), quotes=other
            )  # fmt: skip

        with trio.fail_after(40):
            yield trades, books, open_source


@asynccontextmanager
async def streaming(open_source):
    """Yield what comes of a market, once it is live."""
    send, receive = trio.open_memory_channel(100)
    live = trio.Event()

    async def stream(task_status):
        await stream_markets(
            open_source, send, [A], live, resume={}, task_status=task_status
        )

    async with trio.open_nursery() as tasks:
        await tasks.start(stream)
        await live.wait()
        yield receive
        tasks.cancel_scope.cancel()


async def ticks(receive, n: int) -> list[Tick]:
    """Return the next *n* ticks, nothing else among them."""
    found = []
    while len(found) < n:
        fqme, told = await receive.receive()
        assert fqme == A
        found += told
    return found


def book(bid: float, ask: float) -> dict:
    return {"k": "quote", "s": "a", "bid": bid, "ask": ask}


GONE = [Tick("bid", float("nan"), 0.0), Tick("ask", float("nan"), 0.0)]


async def test_a_lost_line_of_quotes_is_told_and_loses_no_trade():
    """No side is known then; the market is live, and never was down."""
    async with open_bench() as (trades, books, open_source):
        async with streaming(open_source) as receive:
            await books.wait_heard(1)
            await books.send(book(9.0, 11.0))
            assert [t.price for t in await ticks(receive, 2)] == [9.0, 11.0]
            port, books.port = books.port, 9  # where nobody listens
            await books.drop()
            assert repr(await ticks(receive, 2)) == repr(GONE)
            warned = await receive.receive()
            assert isinstance(warned, Warned)
            assert warned.reason.startswith("no bids and asks: x at")
            for serial in (1, 2, 3):
                assert repr(await ticks(receive, 2)) == repr(GONE), "at each try"
                await trades.trade("a", serial)
                while (told := await ticks(receive, 1))[0].type != "trade":
                    assert repr(told) == repr(GONE), "one more try in between"
                assert [t.tid for t in told] == [serial]
            books.port = port
            await books.wait_heard(2)
            await books.send(book(9.5, 0.0))
            while (told := await ticks(receive, 2))[0].price != 9.5:
                assert repr(told) == repr(GONE)
            assert repr(told[1]) == repr(GONE[1])
            await books.drop()
            assert repr(await ticks(receive, 2)) == repr(GONE)
            assert isinstance(await receive.receive(), Warned), "of the second loss too"


async def test_quotes_that_are_refused_leave_the_trades():
    async with open_server(answer(b"words", "403 No")) as server:
        url = {"url": lambda _: server.ws_url}
        async with open_bench(**url) as (trades, _, open_source):
            async with streaming(open_source) as receive:
                assert repr(await ticks(receive, 2)) == repr(GONE)
                assert "HTTP 403" in (await receive.receive()).reason
                await trades.trade("a", 1, 2)
                told: list[Tick] = []
                while len(told) < 2:
                    some = await ticks(receive, 1)
                    told += [tick for tick in some if tick.type == "trade"]
                assert [tick.tid for tick in told] == [1, 2]


async def test_a_lost_line_of_trades_is_a_loss_though_quotes_go_on():
    async with open_bench() as (trades, books, open_source):
        async with streaming(open_source) as receive:
            await books.wait_heard(1)
            await trades.drop()
            assert type(await receive.receive()).__name__ == "Disconnected"
            assert type(await receive.receive()).__name__ == "Reconnected"
            await books.send(book(9.0, 11.0))
            assert [t.price for t in await ticks(receive, 2)] == [9.0, 11.0]


async def test_quotes_that_stopped_are_found_out(autojump_clock):
    """A quiet line isn't given up, one that the venue has news to is; what it says."""
    asked = Quote(fqme=A, last=1.0, time_ns=0, ticks=[
        Tick("last", 1.0, 0.0), Tick("bid", 9.0, 7.0), Tick("ask", 11.0, 1.0),
    ])  # fmt: skip
    fault: list[Exception] = []

    async def ask():
        if fault:
            raise fault[0]
        return asked

    items, receive = trio.open_memory_channel(100)
    send, sent = trio.open_memory_channel(100)
    distrusted: list[str] = []
    hub = SimpleNamespace(
        distrust=lambda symbol, reason: distrusted.append(f"{symbol}: {reason}"),
        dialect=SimpleNamespace(checks=RateBudget(1, 3.0)),
    )
    line = QuoteLine(A, hub, Member("a", receive, items), ask, send)

    def taken():
        found = []
        while sent.statistics().current_buffer_used:
            found.append(sent.receive_nowait())
        return found

    async with trio.open_nursery() as tasks:
        tasks.start_soon(line.run)
        await items.send(Up())
        await trio.sleep(100)
        told = [(A, asked.ticks[1:])]
        assert (taken(), distrusted) == (told, []), "none was known, one is now"
        sides = [Tick("bid", 9.0, 6.0), Tick("ask", 11.0, 1.0)]
        await items.send([Part("a", sides)])
        await trio.sleep(100)
        assert (taken(), distrusted) == ([(A, sides)], []), "quiet, as it should be"
        asked.ticks[1] = Tick("bid", 9.1, 7.0)
        fault.append(VenueUnreachable("away"))
        await trio.sleep(100)
        assert (taken(), distrusted) == ([], [])
        fault.clear()
        await trio.sleep(100)
        assert taken() == [(A, asked.ticks[1:])]
        assert distrusted == [f"a: the quotes of {A} lag behind its venue"]
        asked.ticks[1] = Tick("bid", 9.2, 7.0)
        await items.send(Doubt())  # it is our side that lost something
        await trio.sleep(100)
        assert taken() == [(A, asked.ticks[1:])]
        assert len(distrusted) == 1
        tasks.cancel_scope.cancel()


async def test_both_lines_are_recorded():
    recorded = []

    class Sink:
        def frame(self, received_ns, payload):
            recorded.append(payload)

        def event(self, event):
            recorded.append(type(event))

        def note(self, note): ...

        def watch(self, fqme, reached): ...

    async with open_bench() as (trades, books, open_source):
        async with trio.open_nursery() as tasks:
            tasks.start_soon(
                partial(record_markets, open_source, Sink(), [A], points={})
            )
            await trades.wait_heard(1)
            await books.wait_heard(1)
            await trades.trade("a", 1)
            await until(lambda: len(recorded) == 1)
            await books.send(book(9.0, 11.0))
            await until(lambda: len(recorded) == 2)
            await books.drop()
            await until(lambda: len(recorded) == 3)
            await trades.trade("a", 2)
            await until(lambda: len(recorded) == 4)
            tasks.cancel_scope.cancel()
    kinds = [one if isinstance(one, type) else json.loads(one)["k"] for one in recorded]
    assert kinds == ["trade", "quote", Warned, "trade"]


async def test_who_leaves_is_unsubscribed_before_who_comes():
    """A connection that is full has no room for both."""
    async with open_ws_venue() as venue, open_hub(venue.dialect()) as hub:
        async with hub.join("stays"):
            async with hub.join("leaves"):
                await until(lambda: len(venue.heard) == 1)
            async with hub.join("comes"):
                await until(lambda: len(venue.heard) == 3)
    assert venue.heard[1:] == [("unsub", ["leaves"]), ("sub", ["comes"])]


# -- what fits -------------------------------------------------------------------------


async def test_who_does_not_fit_in_a_url_is_subscribed_to_in_pieces():
    """And unsubscribed from in pieces, too."""
    names = [f"S{number:02}" for number in range(20)]
    async with open_ws_venue() as venue, trio.open_nursery() as tasks:
        room = len(f"ws://127.0.0.1:{venue.port}/") + len(",".join(names[:8]))
        piece = len(request("unsub", names[:5], 999_999_999)[0])
        dialect = venue.dialect(in_url=True, url_max=room, frame_max=piece)
        left, ups = trio.Event(), []

        async def come(hub, name):
            async with hub.join(name) as member:
                for _ in range(2):
                    while not isinstance(await member.items.receive(), Up):
                        pass
                    ups.append(name)
                await left.wait()

        async with open_hub(dialect, reconnect_max_s=0.05) as hub:
            async with hub.join("stays"):
                for name in names:
                    tasks.start_soon(come, hub, name)
                await until(lambda: len(ups) == 20)
                del venue.heard[:]
                await venue.drop()
                await until(lambda: len(ups) == 40)
                assert venue.paths[1][1:].split(",") == [
                    "stays",
                    *list(hub._members)[1:7],
                ]
                assert [len(symbols) for _, symbols in venue.heard] == [5, 5, 4]
                left.set()
                await until(lambda: len(venue.heard) == 7)
                assert {kind for kind, _ in venue.heard[3:]} == {"unsub"}
                assert sorted(s for _, some in venue.heard[3:] for s in some) == names


async def until(holds):
    with trio.fail_after(20):
        while not holds():
            await trio.sleep(0.005)


def test_seats():
    """One for each market, whoever has it; the first with room for who comes anew."""
    seats = Seats(2)
    with seats.taken("A") as a, seats.taken("B") as b:
        with seats.taken("C") as c, seats.taken("A") as again:
            assert (a, b, c, again) == (0, 0, 1, 0)
        with seats.taken("D") as d:
            assert d == 1, "A is still had"
    with seats.taken("D") as d:
        assert d == 0
