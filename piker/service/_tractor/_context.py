"""Contexts between actors: opened, typed, watched and bounded.

    caller --open_context(portal, endpoint)--> [actor: endpoint(ctx, ...)]
           <-- started, stream messages, result or error --

An endpoint ends when its caller dies, a caller is told when its endpoint's process
dies, nothing waits for ever, and only who shows the tree's cookie is served.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec
import tractor
import trio

from piker.errors import DeadlineExceeded, PikerError, TransportClosed

from . import _peers
from ._calls import starting
from ._engine import BUFFER_SIZE, engine
from ._errors import TRANSPORT_ERRORS, PeerGone, unbox
from ._payload import decode, encode
from ._trionics import but_cancels, leaves
from ._vars import check_cookie, own_cookie

START_DEADLINE_S = 15.0
EXIT_DEADLINE_S = 3.0
END_REASON_S = 0.25

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class EndpointSpec:
    """The types an endpoint speaks."""

    started: Any = None
    sends: Any = Any
    receives: Any = Any
    returns: Any = None
    params: dict[str, Any] = field(default_factory=dict)


class MsgStream(Generic[T]):
    """One end of a two-way stream of typed messages."""

    def __init__(self, stream: Any, kind: Any, ctx: Context) -> None:
        self._stream = stream
        self._kind = kind
        self._ctx = ctx
        self._peer = ctx.peer[0]

    async def send(self, value: Any) -> None:
        """Send *value*; TransportClosed if the far end is gone, or has ended the call.

        Why it has is what who receives, or the end of the call, is told.
        """
        await self.send_encoded(encode(value))

    async def send_encoded(self, raw: bytes) -> None:
        """Send what :func:`encode` made, e.g. once for many streams."""
        try:
            await engine.send_over(self._stream, raw)
        except tractor.RemoteActorError as err:
            why = unbox(err, self._peer)
            raise TransportClosed(f"{self._peer!r} ended the call: {why}") from None
        except TRANSPORT_ERRORS as err:
            raise TransportClosed(f"{self._peer!r} is gone: {err!r}") from None

    async def receive(self) -> T:
        """Return the next message; ``trio.EndOfChannel`` after the last."""
        try:
            raw = await self._stream.receive()
        except tractor.RemoteActorError as err:
            raise unbox(err, self._peer) from None
        except (trio.ClosedResourceError, trio.EndOfChannel):
            await self._ctx.raise_why_ended()
            raise trio.EndOfChannel from None
        return decode(raw, self._kind)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


class Context:
    """One end of a call between actors."""

    _guards: trio.Nursery  # set by whoever runs the call, before its block or body

    def __init__(
        self, ctx: Any, spec: EndpointSpec, exit_deadline_s: float = EXIT_DEADLINE_S
    ) -> None:
        self._ctx = ctx
        self._spec = spec
        self._exit_deadline_s = exit_deadline_s
        self._caller = engine.is_caller(ctx)
        self._body: trio.CancelScope | None = None
        self.cancel_called = False

    @property
    def peer(self) -> tuple[str, str]:
        """Name and uuid of the actor at the other end."""
        return engine.uid_of(self._ctx.chan)

    async def started(self, value: Any = None) -> None:
        """Tell the caller that the endpoint is up; *value* is what it gets."""
        await self._ctx.started(encode(value))

    @asynccontextmanager
    async def open_stream(self) -> AsyncIterator[MsgStream[Any]]:
        """Open the stream of this call; once.

        Its end says so to the far end, shielded; where that doesn't get through in
        time, the connection is broken.
        """
        spec = self._spec
        kind = spec.sends if self._caller else spec.receives
        over = trio.Event()
        try:
            async with engine.open_stream(self._ctx, BUFFER_SIZE) as stream:
                try:
                    with engine.direct(self._ctx):
                        yield MsgStream(stream, kind, self)
                finally:
                    engine.forget_stream(self._ctx, stream)
                    self._guards.start_soon(
                        _bound_exit, self._ctx.chan, over, self._exit_deadline_s
                    )
        finally:
            over.set()

    async def cancel(self) -> None:
        """Cancel the far end; in the caller the block ends at its next checkpoint."""
        self.cancel_called = True
        await self._ctx.cancel()
        if self._body is not None:
            self._body.cancel()

    async def wait_for_result(self) -> Any:
        """Return what the endpoint returned; raises what it raised. Caller only."""
        try:
            raw = await engine.result_of(self._ctx)
        except tractor.RemoteActorError as err:
            raise unbox(err, self.peer[0]) from None
        return decode(raw, self._spec.returns)

    async def raise_why_ended(self) -> None:
        """Raise the error that ended the endpoint, if one did.

        The end of its stream arrives before its error; a caller is to see the error.
        """
        if self._caller and not self.cancel_called:
            with trio.move_on_after(END_REASON_S):
                await self.wait_for_result()

    def abort(self) -> None:
        """Break the connection this call runs over, now."""
        _peers.abort(self._ctx.chan)


# -- the serving side ---------------------------------------------------------

_on_call: list[Callable[[], None]] = []


def on_call(hook: Callable[[], None]) -> None:
    """Have *hook* run before each endpoint call in this process; keep it cheap."""
    _on_call.append(hook)


def _params(func: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(func)
    names = list(inspect.signature(func).parameters)[1:]
    return {name: hints.get(name, Any) for name in names}


def endpoint(
    *,
    started: Any = None,
    sends: Any = Any,
    receives: Any = Any,
    returns: Any = None,
) -> Callable[
    [Callable[Concatenate[Context, P], Awaitable[T]]],
    Callable[Concatenate[Context, P], Awaitable[T]],
]:
    """Make ``async def f(ctx: Context, ...)`` callable from other actors.

    Args:
      started: type of what it gives to ``ctx.started()``.
      sends: type of the messages it streams to its caller.
      receives: type of the messages its caller streams to it.
      returns: type of its result.
    """

    def decorate(func: Callable[Concatenate[Context, P], Awaitable[T]]) -> Any:
        spec = EndpointSpec(started, sends, receives, returns)

        async def wrapper(
            ctx: tractor.Context, cookie: str = "", args: bytes = b""
        ) -> Any:
            check_cookie(cookie)
            for hook in _on_call:
                hook()
            if not spec.params:
                spec.params.update(_params(func))
            raws = msgspec.msgpack.decode(args, type=dict[str, msgspec.Raw])
            kwargs = {k: decode(v, spec.params.get(k, Any)) for k, v in raws.items()}
            return await _serve(func, Context(ctx, spec), kwargs)

        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(wrapper, name, getattr(func, name))
        wrapper.__endpoint__ = spec  # type: ignore[attr-defined]
        wrapper.__wrapped_endpoint__ = func  # type: ignore[attr-defined]
        return tractor.context(wrapper)

    return decorate


async def _serve(
    func: Callable[..., Awaitable[Any]], ctx: Context, kwargs: dict[str, Any]
) -> bytes:
    """Run an endpoint's body until it ends or its caller is gone."""
    chan = ctx._ctx.chan  # noqa: SLF001
    gone = False
    result: Any = None
    try:
        async with trio.open_nursery() as tasks:

            async def watch() -> None:
                nonlocal gone
                await _peers.wait_gone(chan)
                gone = True
                tasks.cancel_scope.cancel()

            ctx._guards = tasks  # noqa: SLF001
            tasks.start_soon(watch)
            result = await func(ctx, **kwargs)
            tasks.cancel_scope.cancel()
    except BaseException as err:
        found = leaves(err)
        if exits := [e for e in found if isinstance(e, SystemExit | KeyboardInterrupt)]:
            # tractor would leave the actor wedged (a5) or end it (main)
            raise RuntimeError(
                f"endpoint {func.__name__} raised {exits[0]!r}"
            ) from None
        if _peers.is_gone(chan) and all(
            isinstance(e, (trio.Cancelled, *TRANSPORT_ERRORS)) for e in found
        ):
            raise PeerGone(func.__name__) from None
        if len(found) == 1 and found[0] is not err:
            raise found[0] from None
        raise
    if gone or _peers.is_gone(chan):
        raise PeerGone(func.__name__)
    return encode(result)


# -- the calling side ---------------------------------------------------------


@dataclass(eq=False)
class _Call:
    """What is known of one call when it ends."""

    peer: str
    chan: Any
    what: str
    completed: bool = False
    gone: bool = False
    late: bool = False
    ctx: Context | None = None
    body_error: BaseException | None = None
    over: trio.Event = field(default_factory=trio.Event)

    def verdict(self, err: BaseException | None) -> BaseException | None:
        """Return what the caller is to see instead of *err*; None for success."""
        mine = self.body_error
        noise: tuple[type[BaseException], ...] = (
            trio.Cancelled,
            trio.EndOfChannel,
            tractor.RemoteActorError,
        )
        if self.gone:
            noise += TRANSPORT_ERRORS
        if mine is not None and any(
            not isinstance(e, noise) or isinstance(e, PikerError) for e in leaves(mine)
        ):
            return but_cancels(mine)
        found = leaves(err) if err is not None else []
        cancelled = [e for e in found if isinstance(e, trio.Cancelled)]
        if cancelled and trio.current_effective_deadline() == -float("inf"):
            return err if len(cancelled) == len(found) else cancelled[0]
        if self.late:
            return DeadlineExceeded(f"{self.peer!r} did not start {self.what} in time")
        if self.completed or (self.ctx is not None and self.ctx.cancel_called):
            return None
        if self.gone:
            return TransportClosed(f"{self.peer!r} is gone")
        return self._remote(found) or err

    def _remote(self, found: list[BaseException]) -> BaseException | None:
        boxed = [e for e in found if isinstance(e, tractor.RemoteActorError)]
        boxed.sort(key=lambda e: isinstance(e, tractor.ContextCancelled))
        if boxed:
            return unbox(boxed[0], self.peer)
        if any(isinstance(e, TRANSPORT_ERRORS) for e in found):
            return TransportClosed(f"{self.peer!r} is gone")
        return None


@asynccontextmanager
async def open_context(
    portal: tractor.Portal,
    func: Callable[..., Any],
    *,
    start_deadline_s: float = START_DEADLINE_S,
    exit_deadline_s: float = EXIT_DEADLINE_S,
    **kwargs: Any,
) -> AsyncIterator[tuple[Context, Any]]:
    """Call the endpoint *func* in the actor behind *portal*.

    Yields the context and what the endpoint gave to ``started()``. The block's end
    waits for the endpoint's result unless ``ctx.cancel()`` was called; an error or a
    cancel of the block cancels the endpoint.

    Args:
      portal: to the actor.
      func: the endpoint, as imported here.
      start_deadline_s: for the endpoint's ``started()``.
      exit_deadline_s: for the far end to let go after a cancel or an error.
      **kwargs: of the endpoint; ``cookie`` and ``args`` can't be names of its own.

    Raises:
      TransportClosed: the far end's process or connection is gone.
      DeadlineExceeded: it did not start in time.
      PikerError: what the endpoint raised; RemoteFailure if it wasn't one of ours.
    """
    call = _Call(engine.uid_of(portal.channel)[0], portal.channel, func.__name__)
    spec: EndpointSpec = func.__endpoint__  # type: ignore[attr-defined]
    failure: BaseException | None = None
    try:
        async with (
            _open_guards(call, start_deadline_s) as guards,
            _started(
                portal.open_context(func, cookie=own_cookie(), args=encode(kwargs))
            ) as (raw_ctx, first),
        ):
            ctx = call.ctx = Context(raw_ctx, spec, exit_deadline_s)
            ctx._guards = guards  # noqa: SLF001
            with _body(call, ctx, guards, exit_deadline_s):
                yield ctx, decode(first, spec.started)
    except BaseException as err:  # noqa: BLE001 - raised again below, as what it means
        failure = err
    verdict = call.verdict(failure)
    if verdict is None:
        return
    if verdict is failure:
        raise verdict
    raise verdict from None


@asynccontextmanager
async def _started(call: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter *call*; until it has started no sweep may take it."""
    async with AsyncExitStack() as stack:
        with starting():
            answer = await stack.enter_async_context(call)
        yield answer


@asynccontextmanager
async def _open_guards(
    call: _Call, start_deadline_s: float
) -> AsyncIterator[trio.Nursery]:
    """Watch the peer and the deadline for the length of a call."""
    async with trio.open_nursery() as guards:
        guards.start_soon(_watch_peer, call, guards.cancel_scope)
        guards.start_soon(_watch_start, call, start_deadline_s, guards.cancel_scope)
        try:
            yield guards
            call.completed = True
        finally:
            call.over.set()
        guards.cancel_scope.cancel()


@contextmanager
def _body(
    call: _Call, ctx: Context, guards: trio.Nursery, exit_deadline_s: float
) -> Iterator[None]:
    """Run the caller's block: note what it raises, bound what comes after it."""
    try:
        with trio.CancelScope() as ctx._body:  # noqa: SLF001
            yield
    except BaseException as err:
        call.body_error = err
        raise
    finally:
        if call.body_error is not None or ctx.cancel_called:
            guards.start_soon(_bound_exit, call.chan, call.over, exit_deadline_s)


async def call_endpoint(
    portal: tractor.Portal,
    func: Callable[..., Any],
    *,
    deadline_s: float = START_DEADLINE_S,
    **kwargs: Any,
) -> Any:
    """Call an endpoint that answers at once; return what it gave to ``started()``.

    Raises what :func:`open_context` raises; DeadlineExceeded after *deadline_s*.
    """
    async with open_context(portal, func, start_deadline_s=deadline_s, **kwargs) as (
        ctx,
        answer,
    ):
        await ctx.cancel()
    return answer


async def _watch_peer(call: _Call, scope: trio.CancelScope) -> None:
    await _peers.wait_gone(call.chan)
    call.gone = True
    _peers.abort(call.chan)  # else tractor asks the dead to cancel, and waits 0.5 s
    scope.cancel()


async def _watch_start(call: _Call, deadline_s: float, scope: trio.CancelScope) -> None:
    await trio.sleep(deadline_s)
    if call.ctx is None:
        call.late = True
        _peers.abort(call.chan)  # else what we asked for would go on unseen
        scope.cancel()


async def _bound_exit(chan: Any, over: trio.Event, deadline_s: float) -> None:
    """Break the connection if the far end doesn't let go: tractor waits shielded."""
    with trio.move_on_after(deadline_s) as scope:
        scope.shield = True
        await over.wait()
    if not over.is_set():
        _peers.abort(chan)
