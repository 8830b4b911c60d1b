"""Structured-concurrency helpers of the seam: no actors, no processes."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from piker.service._tractor import (
    async_lifo_cache,
    collapse_eg,
    gather_contexts,
    maybe_open_context,
)

# -- collapse_eg ----------------------------------------------------------------


async def test_a_group_of_one_is_its_one_error():
    with pytest.raises(KeyError, match="x"):
        async with collapse_eg():
            raise BaseExceptionGroup("", [ExceptionGroup("", [KeyError("x")])])


async def test_a_group_of_two_stays_a_group():
    with pytest.raises(ExceptionGroup) as caught:
        async with collapse_eg():
            raise ExceptionGroup("", [KeyError(1), ValueError(2)])
    assert len(caught.value.exceptions) == 2


# -- gather_contexts --------------------------------------------------------------


def counted(log, value, *, enter=None, leave=None):
    @asynccontextmanager
    async def manager():
        if enter:
            raise enter
        log.append(("in", value))
        try:
            yield value
        finally:
            log.append(("out", value))
        if leave:
            raise leave

    return manager()


async def test_values_come_in_order_and_falsy_ones_too():
    log = []
    with trio.fail_after(10):
        async with gather_contexts([counted(log, v) for v in (None, 0, "", [])]) as got:
            assert got == (None, 0, "", [])
            assert len(log) == 4
    assert len(log) == 8


async def test_none_to_gather_is_an_error_not_a_hang():
    with pytest.raises(ValueError, match="at least one"):
        async with gather_contexts([]):
            pass


@pytest.mark.parametrize("where", ["enter", "leave", "body"])
async def test_one_failure_leaves_all_others(where):
    log = []
    fault = KeyError(where)
    kwargs = {where: fault} if where != "body" else {}
    managers = [counted(log, 1), counted(log, 2, **kwargs), counted(log, 3)]
    with trio.fail_after(10), pytest.raises(KeyError, match=where):
        async with gather_contexts(managers):
            if where == "body":
                raise fault
    assert sum(1 for k, _ in log if k == "in") == sum(1 for k, _ in log if k == "out")


# -- maybe_open_context -------------------------------------------------------------


class Opener:
    def __init__(self):
        self.opened = 0
        self.open = 0
        self.fail_next = None
        self.hang_next = False

    @asynccontextmanager
    async def __call__(self, **kwargs):
        self.opened += 1
        if self.fail_next:
            err, self.fail_next = self.fail_next, None
            raise err
        if self.hang_next:
            self.hang_next = False
            await trio.sleep_forever()
        self.open += 1
        try:
            yield (self.opened, kwargs)
        finally:
            self.open -= 1


async def test_users_of_one_key_share_and_the_last_closes(nursery):
    opener = Opener()
    async with maybe_open_context(opener, kwargs={"a": 1}, nursery=nursery) as (h1, v1):
        async with maybe_open_context(opener, kwargs={"a": 1}, nursery=nursery) as (
            h2,
            v2,
        ):
            assert (h1, h2) == (False, True)
            assert v1 is v2
        assert opener.open == 1
    assert opener.open == 0
    async with maybe_open_context(opener, kwargs={"a": 1}, nursery=nursery) as (h3, _):
        assert not h3
    assert opener.opened == 2


async def test_keys_are_counted_apart(nursery):
    opener = Opener()
    async with maybe_open_context(opener, kwargs={"a": 1}, nursery=nursery):
        async with maybe_open_context(opener, kwargs={"a": 2}, nursery=nursery) as (
            hit,
            _,
        ):
            assert not hit
            assert opener.open == 2
        assert opener.open == 1
    assert opener.open == 0


async def test_a_failed_enter_poisons_nothing(nursery):
    opener = Opener()
    opener.fail_next = KeyError("no")
    with pytest.raises(KeyError):
        async with maybe_open_context(opener, nursery=nursery):
            pass
    with trio.fail_after(10):
        async with maybe_open_context(opener, nursery=nursery) as (hit, _):
            assert not hit


async def test_a_cancelled_enter_poisons_nothing(nursery):
    opener = Opener()
    opener.hang_next = True
    with trio.move_on_after(0.05):
        async with maybe_open_context(opener, nursery=nursery):
            pass
    with trio.fail_after(10):
        async with maybe_open_context(opener, nursery=nursery) as (hit, (opened, _)):
            assert (hit, opened) == (False, 2)


async def test_one_users_cancel_leaves_the_enter_to_the_others(nursery):
    gate = trio.Event()

    @asynccontextmanager
    async def opener():
        await gate.wait()
        yield "value"

    async def give_up():
        with trio.move_on_after(0.05):
            async with maybe_open_context(opener, nursery=nursery):
                pass
        gate.set()

    async with trio.open_nursery() as users:
        users.start_soon(give_up)
        async with maybe_open_context(opener, nursery=nursery) as (_, value):
            assert value == "value"


async def test_all_waiters_hear_of_a_failed_enter(nursery):
    gate = trio.Event()

    @asynccontextmanager
    async def opener():
        await gate.wait()
        raise KeyError("late")
        yield

    heard = []

    async def use():
        with pytest.raises(KeyError):
            async with maybe_open_context(opener, nursery=nursery):
                pass
        heard.append(1)

    async with trio.open_nursery() as users:
        for _ in range(3):
            users.start_soon(use)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert len(heard) == 3


async def test_all_users_hear_of_a_failure_in_use(nursery):
    """And end with it, as if each had opened it for itself."""
    gate = trio.Event()

    @asynccontextmanager
    async def opener():
        async with collapse_eg(), trio.open_nursery() as tasks:

            @tasks.start_soon
            async def fail():
                await gate.wait()
                raise KeyError("in use")

            yield

    heard = []

    async def use(what):
        with pytest.raises(KeyError, match=what):
            async with maybe_open_context(opener, nursery=nursery) as _:
                try:
                    await trio.sleep_forever()
                except trio.Cancelled:
                    if what == "own":
                        raise KeyError(what) from None
                    raise
        heard.append(what)

    with trio.fail_after(10):
        async with trio.open_nursery() as users:
            for what in ("in use", "own", "in use"):
                users.start_soon(use, what)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert sorted(heard) == ["in use", "in use", "own"]
        gate = trio.Event()
        async with maybe_open_context(opener, nursery=nursery) as (hit, _):
            assert not hit


async def test_a_user_ends_with_a_manager_that_ends_by_itself(nursery):
    gate = trio.Event()

    @asynccontextmanager
    async def opener():
        async with trio.open_nursery() as tasks:

            @tasks.start_soon
            async def end():
                await gate.wait()
                tasks.cancel_scope.cancel()

            yield

    with trio.fail_after(10):
        async with maybe_open_context(opener, nursery=nursery):
            gate.set()
            await trio.sleep_forever()


async def test_the_last_user_hears_of_a_failed_leave(nursery):
    @asynccontextmanager
    async def opener():
        yield
        raise KeyError("leave")

    with pytest.raises(KeyError, match="leave"):
        async with maybe_open_context(opener, nursery=nursery):
            async with maybe_open_context(opener, nursery=nursery) as (hit, _):
                pass
            assert hit


# -- async_lifo_cache ----------------------------------------------------------------


async def test_all_arguments_make_the_key():
    calls = []

    @async_lifo_cache()
    async def add(a, b=1, *, c=0):
        calls.append((a, b, c))
        return a + b + c

    assert await add(1) == 2
    assert await add(1, 1) == 2
    assert await add(a=1, b=1, c=0) == 2
    assert calls == [(1, 1, 0)]
    assert await add(1, c=5) == 7
    assert await add(1, 2) == 3
    assert len(calls) == 3


async def test_concurrent_callers_compute_once():
    calls = []

    @async_lifo_cache()
    async def slow(x):
        calls.append(x)
        await trio.sleep(0.02)
        return object()

    got = []

    async def call():
        got.append(await slow(1))

    async with trio.open_nursery() as tasks:
        for _ in range(10):
            tasks.start_soon(call)
    assert calls == [1]
    assert len(set(map(id, got))) == 1


async def test_neither_errors_nor_cancels_are_cached():
    outcomes = [KeyError("first"), None]

    @async_lifo_cache()
    async def flaky():
        await trio.sleep(0.01)
        fault = outcomes.pop(0)
        if fault:
            raise fault
        return "ok"

    with pytest.raises(KeyError):
        await flaky()
    with trio.move_on_after(0.001):
        await flaky()
    assert await flaky() == "ok"


async def test_the_least_recently_used_goes_first():
    calls = []

    @async_lifo_cache(maxsize=2)
    async def get(x):
        calls.append(x)
        return x

    for x in (1, 2, 1, 3, 1, 2):
        await get(x)
    assert calls == [1, 2, 3, 2]
