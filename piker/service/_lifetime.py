"""A daemon's life, from its inside: set up once, then beat until told to end."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from piker import config, log as _log

from . import _tractor as tr

BEAT_S = 1.0
_adopted = False
_stacks: list[Any] = []  # keeps the file that faulthandler writes to open


def adopt_tree_vars() -> None:
    """Use the directories this child's tree runs with; cheap when done before."""
    global _adopted  # noqa: PLW0603 - a child belongs to one tree for its life
    told = tr.piker_vars().get("dirs")
    if told and not _adopted and tr.in_child():
        config.use_dirs(config.Dirs(**told))
        _adopted = True


def setup_actor_log(name: str) -> None:
    """Set up this actor's log, once: its file, and stderr where the tree wants it.

    Also has SIGUSR1 write the stacks of all threads beside it: a wedged actor answers
    no call but still handles a signal.
    """
    wanted = tr.piker_vars().get("log", {})
    folder = Path(config.state_dir()) / "log"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _log.setup_logging(
        name,
        wanted.get("level", "info"),
        console=bool(wanted.get("console", False)),
        file=folder / f"{name}.log",
    )
    stacks = (folder / f"{name}.stacks").open("w", encoding="utf-8")
    faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)
    _stacks[:] = [stacks]


@asynccontextmanager
async def daemon_life(
    ctx: tr.Context, started: Any = None, doing: Callable[[], str] | None = None
) -> AsyncIterator[None]:
    """Be a supervised daemon for the length of the block.

    Says ``started()``, then beats on the lifetime stream as often as the tree's policy
    says, until cancelled. After the block the setup has as long to return as a silence
    may last. Usage::

        async with daemon_life(ctx):
            await trio.sleep_forever()

    Args:
      ctx: the setup's, which sends ``str | None``.
      started: what who starts the daemon gets.
      doing: asked at each beat for one sentence on what the daemon is doing, e.g. how
        far history is loaded, for `piker services`; empty if nothing is to be told. To
        be cheap; what it raises ends the daemon.
    """
    await ctx.started(started)
    async with ctx.open_stream() as stream, trio.open_nursery() as tasks:
        tasks.start_soon(_beat, stream, doing)
        yield
        tasks.cancel_scope.cancel()


async def _beat(stream: tr.MsgStream[Any], doing: Callable[[], str] | None) -> None:
    beat_s = tr.piker_vars().get("beat_s", BEAT_S)
    while True:
        await stream.send(doing() if doing is not None else None)
        await trio.sleep(beat_s)
        tr.sweep_contexts()
