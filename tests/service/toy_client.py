"""A client in a process of its own: ``python -m tests.service.toy_client HOW ...``.

Reads where its tree is from the environment; says what it does on stdout.
"""

from __future__ import annotations

import os
import signal
import sys

import msgspec
import trio

from piker import config
from piker.errors import PikerError
from piker.service import (
    _rpc,
    call_endpoint,
    maybe_open_pikerd,
    maybe_spawn_daemon,
    open_context,
    open_piker_runtime,
    open_portal_to,
)
from piker.service._mngr import open_services
from piker.service._rpc import stream_service_events
from tests.service import toyd
from tests.service._procs import in_thread


def say(*words: object) -> None:
    print(*words, flush=True)


async def spawn(name: str, count: str) -> None:
    """Ask for one daemon from *count* tasks at once; say which processes served."""
    pids = set()

    async def ask():
        async with maybe_spawn_daemon(name, {"name": name}) as portal:
            pids.add(await call_endpoint(portal, toyd.whoami))

    async with open_piker_runtime(f"client{os.getpid()}"):
        async with trio.open_nursery() as tasks:
            for _ in range(int(count)):
                tasks.start_soon(ask)
    say("pids", *pids)


async def attach(name: str) -> None:
    async with open_piker_runtime(name):
        say("ready")
        await trio.sleep_forever()


async def lazy(name: str) -> None:
    """Open the stream of events and never look at it."""
    async with (
        open_piker_runtime(name),
        open_portal_to(config.registry_addr()) as portal,
    ):
        async with open_context(portal, stream_service_events) as (ctx, _):
            async with ctx.open_stream():
                say("ready")
                await trio.sleep_forever()


async def listen(name: str) -> None:
    """Say each state that *name* was in, and each it comes to."""
    async with (
        open_piker_runtime("listen"),
        open_portal_to(config.registry_addr()) as portal,
    ):
        async with open_context(portal, stream_service_events) as (ctx, past):
            say("past", *(event.state for event in past if event.name == name))
            async with ctx.open_stream() as stream:
                async for event in stream:
                    if event.name == name:
                        say(event.state, event.pid)


async def calls(name: str) -> None:
    """Call pikerd as each line of stdin says, and say the answer."""
    async with (
        open_piker_runtime(name),
        open_portal_to(config.registry_addr()) as portal,
    ):
        say("ready")
        while line := await in_thread(sys.stdin.readline):
            what, kwargs = msgspec.json.decode(line)
            try:
                answer = await call_endpoint(portal, getattr(_rpc, what), **kwargs)
            except PikerError as err:
                answer = {"error": type(err).__name__, "text": str(err)}
            say(msgspec.json.encode(answer).decode())


async def maybe(name: str) -> None:
    """Be in a tree, started if there is none; stay until stdin ends."""
    async with maybe_open_pikerd(name, on_start=lambda told: say("started", told)):
        from piker.service import running_info

        say("pid", running_info(config.registry_addr())["pid"])
        await in_thread(sys.stdin.read)


async def cut_off() -> None:
    """Open a table of daemons within what is cancelled already."""
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_services():
            await trio.sleep_forever()


HOWS = {f.__name__: f for f in (spawn, attach, lazy, listen, calls, maybe, cut_off)}

if __name__ == "__main__":
    # else a Ctrl-C stays ignored where a shell started the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    how, *args = sys.argv[1:]
    trio.run(HOWS[how], *args)
