"""Requests to a client on an asyncio loop: each answer comes to its caller."""

import asyncio
import functools
import gc
import pickle
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from piker.brokers._aio import open_proxy
from piker.errors import Overrun, VenueUnreachable
from tests._infected import run_infected


def infected(test):
    """Run an async test as an actor with an asyncio loop."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        run_infected(functools.partial(test, *args, **kwargs))

    del run.__wrapped__  # else pytest-trio would run it
    run.__signature__ = __import__("inspect").signature(test)
    return run


class Unbuildable(Exception):
    """One that is neither pickled nor built from its text."""

    def __init__(self, one, two):
        super().__init__("told")
        self.one, self.two = one, two

    def __reduce__(self):
        raise TypeError("this is not to be pickled")


class Rude(BaseException):
    """What isn't even an Exception."""


@dataclass
class Client:
    """Does what is asked of it; counts what is under way."""

    running: set = field(default_factory=set)
    log: list = field(default_factory=list)
    shut: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, value, delay_s=0.0, swallow=False):
        self.running.add(value)
        try:
            try:
                await asyncio.sleep(delay_s)
            except asyncio.CancelledError:
                if not swallow:
                    raise
            return value
        finally:
            self.running.discard(value)

    async def pass_gate(self, value):
        self.running.add(value)
        await self.gate.wait()
        self.running.discard(value)
        self.log.append(value)

    async def fail(self, error):
        raise error

    async def break_off(self):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    async def sync_fail(self):
        return 1 // 0

    async def count(self, emit, until, every=0):
        try:
            for i in range(until):
                emit(i)
                if every and i % every == 0:
                    await asyncio.sleep(0)
        finally:
            self.log.append("counted")

    async def keep_counting(self, emit):
        try:
            i = 0
            while True:
                emit(i)
                i += 1
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0.01)
            self.log.append("ended")

    async def emit_then_fail(self, emit, error):
        emit("first")
        raise error

    async def hold(self):
        self.running.add("held")
        try:
            await asyncio.sleep(60)
        finally:
            self.running.discard("held")

    async def die(self):
        self.shut.set()
        await asyncio.sleep(60)


clients = []


@asynccontextmanager
async def open_client(opening=None, closing=None):
    """Yield a client; it is closed once, and dies of its own task's error."""
    if opening is not None:
        await opening()
    client = Client()
    clients.append(client)

    async def live():
        await client.shut.wait()
        raise ConnectionResetError("the venue hung up")

    try:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(live())
            yield client
            living.cancel()
    finally:
        client.log.append("closed")
        if closing is not None:
            await closing()


def tasks_now():
    return {task for task in asyncio.all_tasks() if not task.done()}


async def until(holds):
    """Wait until something holds: each loop needs its turns, and may get them late."""
    with trio.fail_after(20):
        while not holds():
            await trio.sleep(0.005)


@infected
async def test_ten_thousand_answers_each_come_to_their_caller():
    """Random delays and random patience: no answer at a wrong caller, no task left."""
    rng = random.Random(7)
    before, wrong, got, gave_up = tasks_now(), [], [], []

    async def ask(proxy, value, delay_s, patience_s, how):
        swallow = how == "swallow"
        try:
            if how == "deadline":
                view = proxy.within(patience_s)
                answer = await view.call(Client.echo, value, delay_s)
            elif how == "goes on":
                with trio.move_on_after(patience_s) as scope:
                    view = proxy.within(60, goes_on=True)
                    answer = await view.call(Client.echo, value, delay_s)
                if scope.cancelled_caught:
                    gave_up.append(value)
                    return
            else:
                with trio.move_on_after(patience_s) as scope:
                    answer = await proxy.call(Client.echo, value, delay_s, swallow)
                if scope.cancelled_caught:
                    gave_up.append(value)
                    return
        except VenueUnreachable:
            gave_up.append(value)
            return
        (got if answer == value else wrong).append((value, answer))

    async with open_proxy(open_client, venue="test") as proxy:
        async with trio.open_nursery() as nursery:
            for value in range(10_000):
                how = rng.choice(("scope", "deadline", "goes on", "swallow"))
                delay_s, patience_s = rng.random() * 3, rng.random() * 6
                nursery.start_soon(ask, proxy, value, delay_s, patience_s, how)
                if rng.random() < 0.005:
                    await trio.sleep(0.01)
        assert not wrong
        assert len(got) + len(gave_up) == 10_000
        assert len(got) > 1000
        assert len(gave_up) > 1000
        # those that go on do so to their end
        await until(lambda: not clients[-1].running and not proxy.running)
        assert proxy.waiting == 0
        assert proxy.stats.asked == 10_000
        assert await proxy.call(Client.echo, "still alive") == "still alive"
    await until(lambda: tasks_now() <= before)


ERRORS = (
    ValueError("plain"),
    VenueUnreachable("ours"),
    Unbuildable(1, object()),
    Rude("rude"),
    SystemExit(3),
    KeyboardInterrupt(),
    ExceptionGroup("some", [ValueError("a"), Unbuildable(2, 3)]),
    RuntimeError("a" * 10_000),
    TimeoutError(),
    GeneratorExit(),
    type("Local", (Exception,), {})("made here"),
)


@infected
async def test_an_exception_of_any_type_reaches_its_caller_alone():
    """The very object, also one that can't be pickled; the next request works."""
    async with open_proxy(open_client, venue="test") as proxy:
        for error in ERRORS:
            others = []

            async def other(value, others=others):
                others.append(await proxy.call(Client.echo, value, 0.01))

            async with trio.open_nursery() as nursery:
                for value in range(5):
                    nursery.start_soon(other, value)
                with pytest.raises(BaseException) as caught:  # noqa: PT011
                    await proxy.call(Client.fail, error)
                assert caught.value is error
            assert sorted(others) == list(range(5))
            assert await proxy.call(Client.echo, repr(error)) == repr(error)
        with pytest.raises(TypeError):
            pickle.dumps(ERRORS[2])


@infected
async def test_a_request_that_the_client_breaks_off_is_an_error_of_the_venue():
    async with open_proxy(open_client, venue="test") as proxy:
        with pytest.raises(VenueUnreachable, match=r"Client.break_off was broken"):
            await proxy.call(Client.break_off)
        with pytest.raises(ZeroDivisionError):
            await proxy.call(Client.sync_fail)
        assert await proxy.call(Client.echo, 1) == 1


@infected
async def test_the_deadline_is_told_and_ends_the_work():
    async with open_proxy(open_client, venue="test", deadline_s=0.05) as proxy:
        with pytest.raises(
            VenueUnreachable, match=r"test didn't answer Client.hold within 0.05 s"
        ):
            await proxy.call(Client.hold)
        await until(lambda: not clients[-1].running and not proxy.running)
        with pytest.raises(VenueUnreachable):
            await proxy.within(0.02, goes_on=True).call(Client.pass_gate, 5)
        await until(lambda: clients[-1].running == {5})
        assert (proxy.waiting, proxy.running) == (0, 1)
        clients[-1].gate.set()
        await until(lambda: not proxy.running)
        assert clients[-1].log == [5]
        assert proxy.stats.late == 2


@infected
async def test_a_request_that_is_let_go_before_it_begins_leaves_nothing():
    async with open_proxy(open_client, venue="test") as proxy:
        for _ in range(10):
            with trio.CancelScope() as scope:
                scope.cancel()
                await proxy.call(Client.hold)
        await until(lambda: not proxy.running)
        assert proxy.waiting == 0
        assert not clients[-1].running


@infected
async def test_answers_and_errors_leave_no_garbage_behind():
    """10,000 requests more cost no memory: nothing is kept of what is over."""
    async with open_proxy(open_client, venue="test") as proxy:
        for rounds in range(3):
            for _ in range(500):
                with pytest.raises(ValueError, match="no"):
                    await proxy.call(Client.fail, ValueError("no"))
                await proxy.call(Client.echo, 1)
            if rounds == 0:
                gc.collect()
                before = len(gc.get_objects())
        gc.collect()
        assert len(gc.get_objects()) - before < 500


# -- streams ------------------------------------------------------------------------


@infected
async def test_a_stream_gives_all_in_order_and_ends():
    async with open_proxy(open_client, venue="test") as proxy:
        got = []
        async with proxy.stream(Client.count, 50_000, 100, room=50_000) as batches:
            async for batch in batches:
                got += batch
        assert got == list(range(50_000))
        assert proxy.waiting == 0


@infected
async def test_a_stream_that_isnt_read_ends_loudly_and_alone():
    async with open_proxy(open_client, venue="test") as proxy:
        async with proxy.stream(Client.keep_counting, room=10**7) as well:
            await anext(well)
            async with proxy.stream(Client.count, 200, room=100) as batches:
                await trio.sleep(0.05)
                got = []
                with pytest.raises(Overrun, match=r"Client.count: over 100 items"):
                    async for batch in batches:
                        got += batch
                assert got == []  # what has a hole is no stream
            assert await anext(well)
        assert clients[-1].log == ["counted", "ended"]  # it is awaited


@infected
async def test_a_full_stream_keeps_the_newest_of_each_key_and_all_without():
    async with open_proxy(open_client, venue="test") as proxy:

        def key(i):
            return None if i % 100 == 0 else i % 7

        async with proxy.stream(Client.count, 1000, room=50, key=key) as batches:
            await trio.sleep(0.05)
            batch = await anext(batches)
        assert [i for i in batch if i % 100 == 0] == list(range(0, 1000, 100))
        newest = {i % 7: i for i in range(1000) if i % 100}
        assert sorted(i for i in batch if i % 100) == sorted(newest.values())
        assert batch == sorted(batch)


@infected
async def test_what_ends_a_streams_source_comes_out_after_what_it_told():
    async with open_proxy(open_client, venue="test") as proxy:
        for error in (ValueError("no more"), Unbuildable(1, 2), Rude("x")):
            got = []
            with pytest.raises(type(error)) as caught:
                async with proxy.stream(Client.emit_then_fail, error) as batches:
                    async for batch in batches:
                        got += batch
            assert caught.value is error
            assert got == ["first"]
        assert await proxy.call(Client.echo, 1) == 1


# -- the client's life --------------------------------------------------------------


@infected
async def test_the_client_is_closed_with_what_it_was_doing():
    before = tasks_now()
    async with trio.open_nursery() as nursery:
        async with open_proxy(open_client, venue="test") as proxy:
            client = clients[-1]

            async def hold():
                with pytest.raises(VenueUnreachable, match="broken off|closed"):
                    await proxy.call(Client.hold)

            heard = trio.Event()

            async def listen():
                with pytest.raises(VenueUnreachable):
                    async with proxy.stream(Client.keep_counting) as batches:
                        async for _ in batches:
                            heard.set()

            nursery.start_soon(hold)
            nursery.start_soon(listen)
            await heard.wait()
            await until(lambda: client.running == {"held"})
        assert not client.running
        assert client.log == ["ended", "closed"]
    with pytest.raises(VenueUnreachable, match="it was closed"):
        await proxy.call(Client.echo, 1)
    await until(lambda: tasks_now() <= before)


@infected
async def test_a_client_that_dies_is_told_to_all_and_ends_nothing_else(caplog):
    async with open_proxy(open_client, venue="test") as other:
        async with open_proxy(open_client, venue="test") as proxy:
            told = []

            async def hold():
                with pytest.raises(VenueUnreachable) as caught:
                    await proxy.call(Client.hold)
                told.append(str(caught.value))

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(hold)
                await until(lambda: proxy.waiting == 3)
                with pytest.raises(VenueUnreachable):
                    await proxy.call(Client.die)
            assert "the venue hung up" in await proxy.wait_closed()
            with pytest.raises(VenueUnreachable, match="the venue hung up"):
                await proxy.call(Client.echo, 1)
            assert await other.call(Client.echo, 2) == 2
        assert len(told) == 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    caplog.clear()


@infected
async def test_what_fails_as_it_opens_comes_out_as_it_is(caplog):
    for error in (VenueUnreachable("nobody listens"), Unbuildable(1, 2), OSError("x")):

        async def fail(error=error):
            await asyncio.sleep(0)
            raise error

        with pytest.raises(type(error)) as caught:
            async with open_proxy(functools.partial(open_client, fail), venue="test"):
                pytest.fail("it isn't open")
        assert caught.value is error
    assert not caplog.records


@infected
@pytest.mark.parametrize("where", ["opening", "open", "closing"])
async def test_a_cancel_at_any_time_ends_it_cleanly(where, caplog):
    before = tasks_now()
    began = []

    async def slow():
        began.append(where)
        await asyncio.sleep(0.5 if where == "opening" else 0.05)

    opener = functools.partial(
        open_client,
        slow if where == "opening" else None,
        slow if where == "closing" else None,
    )
    start = trio.current_time()
    for at_s in (0.0, 0.001, 0.02):
        with trio.move_on_after(at_s) as scope:
            async with open_proxy(opener, venue="test") as proxy:
                if where != "closing":
                    await proxy.call(Client.hold)
        assert scope.cancelled_caught or where == "closing"
    assert trio.current_time() - start < 10
    await until(lambda: tasks_now() <= before)
    assert not caplog.records


@infected
async def test_the_loops_handler_hears_of_nothing():
    """No exception is left for asyncio to complain about at the end of a task."""
    heard = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    for _ in range(20):
        with trio.move_on_after(0.002):
            async with open_proxy(open_client, venue="test") as proxy:
                await proxy.call(Client.hold)
        async with open_proxy(open_client, venue="test") as proxy:
            with pytest.raises(Rude):
                await proxy.call(Client.fail, Rude())
    gc.collect()
    await trio.sleep(0.05)
    assert not heard
