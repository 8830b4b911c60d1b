"""A daemon kind for tests of supervision."""

from __future__ import annotations

import itertools
import os
import time

import trio

from piker.errors import ConfigError, ServiceError
from piker.service import (
    Context,
    DaemonSpec,
    current_services,
    daemon_life,
    endpoint,
    setup_actor_log,
)


@endpoint(started=int, sends=str | None)
async def _setup_persistent_toyd(ctx: Context, name: str, how: str = "") -> None:
    setup_actor_log(name)
    if how == "refuse":
        raise ConfigError("conf.toml: toy.speed: expected a number, got 'fast'")
    if how == "busy":
        raise ServiceError("the toy box is locked by pid 1")
    if how == "slow":
        await trio.sleep(20)
    if how == "crash":
        raise ZeroDivisionError("by a bug")
    if how == "exit":
        os._exit(3)
    count = itertools.count()

    def carving() -> str:
        return f"pid {os.getpid()} has carved {next(count)} toys"

    async with daemon_life(ctx, os.getpid(), carving if how == "tells" else None):
        try:
            await trio.sleep(0.3 if how in ("finish", "stuck") else float("inf"))
        finally:
            if how == "deaf":
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
    if how == "stuck":
        time.sleep(3600)


@endpoint(started=int)
async def whoami(ctx: Context) -> None:
    await ctx.started(os.getpid())


@endpoint(sends=int)
async def ticks(ctx: Context) -> None:
    await ctx.started()
    async with ctx.open_stream() as stream:
        i = 0
        while True:
            await stream.send(i)
            i += 1
            await trio.sleep(0.01)


@endpoint()
async def hang(ctx: Context, seconds: float) -> None:
    await ctx.started()
    time.sleep(seconds)


def toyd_init(name: str, how: str = "") -> DaemonSpec:
    return DaemonSpec(
        spawn_kwargs={"nonsense": 1} if how == "nonsense" else {},
        name=name,
        enable_modules=("tests.service.toyd",),
        setup=_setup_persistent_toyd,
        setup_kwargs={"name": name, "how": how},
    )


async def spawn_toyd(name: str, how: str = "") -> None:
    await trio.sleep(0.05)  # as one that looks something up first
    await current_services().start_actor(toyd_init(name, how))
