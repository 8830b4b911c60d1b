"""Actors' lives: the root, and children each in a scope of their own.

tractor ends a whole nursery when one child fails. A supervised child here has its
own nursery, hosted by a shielded task, so its death raises nothing by itself: who
opened it sees ``exit_code`` and decides.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import tractor
import trio

from piker import config
from piker._child import TRACTORS_OWN
from piker.errors import AddressInUse, RegistryUnreachable, ServiceError

from ._calls import is_under_way
from ._engine import Addr, engine
from ._errors import (
    TRANSPORT_ERRORS,
    is_of_listener,
    is_refused,
    remote_traceback,
    unbox,
)
from ._fork import fork_server
from ._guard import PARENT_ENV
from ._trionics import collapse_eg, leaves
from ._vars import piker_vars

SPAWN_DEADLINE_S = 20.0
END_DEADLINE_S = 3.0
REGISTER_DEADLINE_S = 5.0
_SWEEP_EVERY_S = 30.0
#: What a child imports first within its run, to tie its life to its parent's.
ARMED = f"{__package__}._armed"
_NOT_UP: tuple[type[Exception], ...] = (OSError, *TRANSPORT_ERRORS)

# -- the root -----------------------------------------------------------------


@asynccontextmanager
async def open_root_actor(
    *,
    name: str,
    registry_addr: Addr,
    enable_modules: tuple[str, ...] = (),
    be_registry: bool,
) -> AsyncIterator[Any]:
    """Open this process's actor runtime.

    Args:
      name: of the actor.
      registry_addr: where the registry is, or is to be.
      enable_modules: whose endpoints others may call.
      be_registry: keep the registry here; else one must be there already.

    Raises:
      AddressInUse: *be_registry*, and somebody listens there.
      RegistryUnreachable: not *be_registry*, and nobody does, or not in time: one that
        ends just then takes no more newcomers up, and tractor would wait for ever.
    """
    if engine.current_actor() is not None:
        raise ServiceError("an actor runtime is open in this process already")
    where = config.show_addr(registry_addr)
    is_up = is_over = False
    failures: list[Exception] = []
    until = float("inf") if be_registry else trio.current_time() + REGISTER_DEADLINE_S
    patience = trio.CancelScope(deadline=until)
    try:
        async with (
            _first_told(failures),
            collapse_eg(),
            _within(patience),
            engine.open_root_actor(
                name=name,
                registry_addr=registry_addr,
                enable_modules=list(enable_modules),
            ) as actor,
            trio.open_nursery() as chores,
        ):
            if (engine.local_registry() is not None) is not be_registry:
                if be_registry:
                    raise AddressInUse(f"another pikerd answers at {where}")
                raise RegistryUnreachable(f"no pikerd answers at {where}")
            chores.start_soon(_sweep_forever)
            is_up, patience.deadline = True, float("inf")
            with _noted([] if be_registry else failures):
                yield actor
            is_over = True
            chores.cancel_scope.cancel()
    except _NOT_UP as err:
        if is_over and not be_registry:
            return  # it ended while we took our leave of it
        if is_up:
            raise
        if be_registry:
            why = getattr(err, "strerror", None) or err
            raise AddressInUse(f"can't listen at {where}: {why}") from None
        # it may have gone since it was looked for
        if not (is_of_listener(err) or is_refused(err)):
            raise
        raise RegistryUnreachable(
            f"what listens at {where} is no pikerd, or one that is ending; try again"
        ) from None
    if patience.cancelled_caught:
        raise RegistryUnreachable(
            f"the pikerd at {where} takes nobody up, it may be ending; try again"
        )


@asynccontextmanager
async def _within(scope: trio.CancelScope) -> AsyncIterator[None]:
    with scope:
        yield


@contextmanager
def _noted(failures: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as err:
        failures.append(err)
        raise


@asynccontextmanager
async def _first_told(failures: list[Exception]) -> AsyncIterator[None]:
    """Tell what failed in a client's block, and not that its leave did, too."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours = [leaf for each in failures for leaf in leaves(each)]
        others = [each for each in leaves(group) if each not in ours]
        if not failures or not all(isinstance(each, _NOT_UP) for each in others):
            raise
        raise failures[0] from None


def sweep_contexts() -> int:
    """Drop what tractor keeps of finished plain calls; return how many."""
    actor = engine.current_actor()
    stale = _stale_contexts(actor) if actor is not None else []
    for key in stale:
        actor._contexts.pop(key, None)  # noqa: SLF001
    return len(stale)


def _stale_contexts(actor: Any) -> list[Any]:
    """Return keys of contexts nobody uses any more: each plain call leaves one."""
    live = {cid for (_, cid) in actor._rpc_tasks}  # noqa: SLF001
    return [
        key
        for key, ctx in actor._contexts.items()  # noqa: SLF001
        if not (key[1] in live or is_under_way(key[1]) or ctx._stream_opened)  # noqa: SLF001
        and _is_spent(ctx)
    ]


def _is_spent(ctx: Any) -> bool:
    """Tell whether a context is of a plain call and holds no answer to be read."""
    if not engine.is_caller(ctx):
        return ctx._scope_nursery is None  # noqa: SLF001
    seen = engine.feeder_of(ctx).statistics()
    waited_for = seen.tasks_waiting_receive or seen.current_buffer_used
    return ctx._remote_func_type == "asyncfunc" and not waited_for  # noqa: SLF001


async def _sweep_forever() -> None:
    while True:
        await trio.sleep(_SWEEP_EVERY_S)
        sweep_contexts()


@asynccontextmanager
async def sigterm_cancels(on_term: Callable[[], None]) -> AsyncIterator[None]:
    """Cancel the block on SIGTERM, after calling *on_term*."""
    async with collapse_eg(), trio.open_nursery() as tasks:

        async def wait(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    on_term()
                    tasks.cancel_scope.cancel()

        await tasks.start(wait)
        yield
        tasks.cancel_scope.cancel()


# -- children -----------------------------------------------------------------

_spawned: ContextVar[Child | None] = ContextVar("piker_spawned", default=None)
_open_process = trio.lowlevel.open_process


async def _open_noted_process(*args: Any, **kwargs: Any) -> trio.Process:
    """Open a process and tell the child being spawned which it is.

    tractor waits for ever for a child that dies before it has called home, and tells
    nobody its pid until then. And tell the process whose it is.
    """
    child = _spawned.get()
    env = {**(kwargs.pop("env", None) or os.environ), PARENT_ENV: str(os.getpid())}
    if child is None:
        return await _open_process(*args, env=env, **kwargs)
    command = _with_our_start(*args[0])
    with child.stderr.open("ab") if child.stderr else nullcontext() as stderr:
        child.proc = await _open_child_process(child, command, env, stderr)
    child.has_process.set()
    return child.proc


async def _open_child_process(
    child: Child, command: list[str], env: dict[str, str], stderr: IO[bytes] | None
) -> trio.Process:
    cwd = _cwd()
    if server := fork_server():
        files = {2: stderr.fileno()} if stderr else {}
        proc = await server.open_process(
            child.name, command, env=env, cwd=cwd, files=files, spawns=child.spawns
        )
        if proc is not None:
            return proc
    return await _open_process(command, env=env, cwd=cwd, stderr=stderr)


def _with_our_start(*command: str) -> list[str]:
    """Return tractor's command for a child with our module in place of its own."""
    return ["piker._child" if word == TRACTORS_OWN else word for word in command]


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed: imports need one
        return "/"


trio.lowlevel.open_process = _open_noted_process


@dataclass(eq=False)
class Child:
    """A child actor, from the side of its parent; *addr* is for who looked it up."""

    name: str
    portal: Any = None
    addr: Addr | None = None
    proc: trio.Process | None = None
    failure: BaseException | None = None
    stderr: Path | None = None
    has_process: trio.Event = field(default_factory=trio.Event)
    end: trio.Event = field(default_factory=trio.Event)
    spawn_scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    end_deadline_s: float = END_DEADLINE_S
    spawns: bool = False

    @property
    def pid(self) -> int:
        """Process id, -1 before there is one."""
        return self.proc.pid if self.proc else -1

    @property
    def exit_code(self) -> int | None:
        """None while it lives; negative is the signal that ended it."""
        return self.proc.poll() if self.proc else None

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.proc is not None and self.proc.poll() is None:
            self.proc.kill()

    async def wait(self) -> int:
        """Wait for the process to end; return its exit code."""
        await self.has_process.wait()
        assert self.proc is not None
        return await self.proc.wait()


@asynccontextmanager
async def open_child(
    name: str,
    *,
    enable_modules: tuple[str, ...],
    infect_asyncio: bool = False,
    spawn_deadline_s: float = SPAWN_DEADLINE_S,
    end_deadline_s: float = END_DEADLINE_S,
    stderr: Path | None = None,
    spawns: bool = False,
) -> AsyncIterator[Child]:
    """Start a child actor; the block's end ends it, gracefully or by SIGKILL.

    Its death during the block raises nothing: wait for ``child.wait()`` beside it. What
    it writes to stderr, before it has a log and where it crashes, goes to the file
    *stderr*, or to this process's. One that *spawns* has children of its own, and is
    given a fork server for them if this process has one.

    Raises:
      ServiceError: it died, failed an import, or took too long, before it was up.
    """
    child = Child(name, end_deadline_s=end_deadline_s, stderr=stderr, spawns=spawns)
    enable_modules = (ARMED, *enable_modules)
    async with collapse_eg(), trio.open_nursery() as host:
        with trio.move_on_after(spawn_deadline_s):
            await host.start(_host, child, enable_modules, infect_asyncio)
        if child.portal is None:
            host.cancel_scope.cancel()
            child.kill()
            raise ServiceError(_why_not_up(child, spawn_deadline_s))
        try:
            yield child
        finally:
            child.end.set()


def _why_not_up(child: Child, deadline_s: float) -> str:
    if child.failure is not None:
        return f"{child.name!r} failed to start: {_one_line(child.failure)}"
    if child.exit_code is not None:
        return f"{child.name!r} exited with {child.exit_code} before it was up"
    return f"{child.name!r} was not up in {deadline_s:g} s"


def _one_line(err: BaseException) -> str:
    first = leaves(err)[0]
    if isinstance(first, tractor.RemoteActorError):
        first = unbox(first, "child")
    return " ".join(str(first).split()) or repr(first)


async def _host(
    child: Child,
    enable_modules: tuple[str, ...],
    infect_asyncio: bool,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold one child's own nursery open until it is told to end it.

    An error of the nursery (e.g. the child's failed import) is kept, not raised.
    """
    _spawned.set(child)
    keep = trio.CancelScope()
    try:
        with keep:
            async with engine.open_nursery() as nursery:
                async with trio.open_nursery() as spawn:
                    spawn.start_soon(_watch_spawn, child, spawn.cancel_scope)
                    child.portal = await engine.start_actor(
                        nursery,
                        child.name,
                        enable_modules=list(enable_modules),
                        infect_asyncio=infect_asyncio,
                    )
                    spawn.cancel_scope.cancel()
                _check_up(child)
                # From here on all is bounded by deadlines of ours; and a cancelled
                # nursery of tractor's would ask the dead to cancel, for 0.5 s.
                # A cancel of just now comes up here: behind the shield this task would
                # wait for an end that nobody orders.
                await trio.lowlevel.checkpoint_if_cancelled()
                keep.shield = True
                task_status.started()
                await child.end.wait()
                await _end(child)
    except (Exception, BaseExceptionGroup) as err:
        if any(isinstance(e, trio.Cancelled) for e in leaves(err)):
            raise
        child.failure = err
        if remote := remote_traceback(err):
            child.failure.add_note(remote)
        child.kill()
        if child.portal is None:
            task_status.started()


def _check_up(child: Child) -> None:
    if child.portal is None:
        raise child.failure or ServiceError("it never called home")


async def _watch_spawn(child: Child, scope: trio.CancelScope) -> None:
    """Give up on a child that is dead before it has called home."""
    code = await child.wait()
    child.failure = ServiceError(f"exited with {code} before it was up")
    scope.cancel()


async def _end(child: Child) -> None:
    """End the child: ask, wait, kill. The caller is shielded; this is bounded."""
    proc = child.proc
    assert proc is not None
    if proc.poll() is None:
        with trio.move_on_after(child.end_deadline_s):
            async with trio.open_nursery() as asking:
                asking.start_soon(_ask_to_end, child)
                await proc.wait()
                asking.cancel_scope.cancel()
    if proc.poll() is None:
        proc.kill()
    await proc.wait()


async def _ask_to_end(child: Child) -> None:
    with suppress(Exception):  # it may be dead or deaf: the deadline decides
        await child.portal.cancel_actor()
    await trio.sleep_forever()


__all__ = ["Child", "open_child", "open_root_actor", "piker_vars"]
