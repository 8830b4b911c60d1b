"""Finding actors by name, and only those that are there.

The registry lists who registered, not who lives: a killed actor stays in it and its
port may be given to another. So an address counts only once the actor behind it has
answered with the name and the uuid that the registry has. Evicted is who can't be
there; that this process can't connect says nothing of anybody else.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal

import tractor
import trio

from piker import config
from piker.errors import DeadlineExceeded, RegistryUnreachable, TransportClosed

from . import _peers
from ._engine import Addr, Uid, engine
from ._errors import TRANSPORT_ERRORS, causes, is_refused
from ._trionics import but_cancels, leaves

CONNECT_DEADLINE_S = 3.0
CLOSE_DEADLINE_S = 2.0
#: A busy machine may hold either side up for two seconds.
PROBE_DEADLINE_S = 5.0
_NOBODY_THERE: tuple[type[Exception], ...] = (*TRANSPORT_ERRORS, OSError)


@asynccontextmanager
async def open_portal_to(
    addr: Addr, *, deadline_s: float = CONNECT_DEADLINE_S
) -> AsyncIterator[tractor.Portal]:
    """Yield a portal over a connection of its own to the actor listening at *addr*.

    Raises TransportClosed if nobody listens, DeadlineExceeded if nobody answers.
    """
    async with _portal_over(await _connect(addr, deadline_s)) as portal:
        yield portal


@asynccontextmanager
async def _portal_over(chan: Any) -> AsyncIterator[tractor.Portal]:
    body_error: BaseException | None = None
    try:
        async with _open_closer(chan) as close_soon, _open_portal(chan) as portal:
            try:
                yield portal
            except BaseException as err:
                body_error = err
                raise
            finally:
                close_soon()
    except BaseException as err:
        verdict = _verdict(chan, body_error, err)
        if verdict is None:
            return
        if verdict is err:
            raise
        raise verdict from None
    finally:
        await engine.close_channel(chan)


def _verdict(
    chan: Any, body_error: BaseException | None, err: BaseException
) -> BaseException | None:
    """Return what a portal's user is to see instead of *err*; None for success."""
    found = [one for one in leaves(err) if not isinstance(one, trio.Cancelled)]
    if body_error is None:
        # else it broke while it was closed
        is_only_that = all(isinstance(e, TRANSPORT_ERRORS) for e in found)
        return None if found and is_only_that else err
    mine = but_cancels(body_error)
    if any(not isinstance(one, trio.Cancelled) for one in leaves(mine)):
        return mine
    if found and all(isinstance(one, Exception) for one in found):
        # the portal's reader failed, which cancelled the block
        peer = engine.uid_of(chan)[0]
        return TransportClosed(f"the connection to {peer!r} broke: {found[0]!r}")
    return err


@asynccontextmanager
async def _open_portal(chan: Any) -> AsyncIterator[tractor.Portal]:
    """Yield tractor's portal, entered out of reach of a cancel; that waits for nobody.

    Its reader shields itself. Started under a cancel it would stay in the start(),
    which then ends when the peer does.
    """
    async with trio.open_nursery() as tasks, AsyncExitStack() as stack:
        with trio.CancelScope(shield=True):
            portal = await stack.enter_async_context(engine.portal_to(chan, tasks))
        yield portal


@asynccontextmanager
async def _open_closer(chan: Any) -> AsyncIterator[Callable[[], None]]:
    """Yield what bounds, from its call on, the time until the block is left."""
    over = trio.Event()
    async with trio.open_nursery() as guards:
        try:
            yield lambda: guards.start_soon(_bound_close, chan, over)
        finally:
            over.set()


async def _bound_close(chan: Any, over: trio.Event) -> None:
    with trio.move_on_after(CLOSE_DEADLINE_S) as scope:
        scope.shield = True  # tractor's farewells wait shielded for a stuck peer
        await over.wait()
    if not over.is_set():
        _peers.abort(chan)


async def _connect(addr: Addr, deadline_s: float) -> Any:
    try:
        with trio.fail_after(deadline_s):
            return await engine.connect_channel(addr)
    except trio.TooSlowError:
        raise DeadlineExceeded(
            f"{config.show_addr(addr)} did not answer in {deadline_s:g} s"
        ) from None
    except _NOBODY_THERE as err:
        where = config.show_addr(addr)
        if own := [e for e in causes(err) if _is_ours(e)]:
            raise TransportClosed(f"can't connect to {where}: {own[0]}") from err
        raise TransportClosed(f"nobody answers at {where}: {err}") from err


def _is_ours(err: BaseException) -> bool:
    """Tell whether *err* is of this process or its network, not of who listens."""
    return isinstance(err, OSError) and not isinstance(err, ConnectionError)


async def probe(
    addr: Addr, *, deadline_s: float = PROBE_DEADLINE_S
) -> Uid | Literal["foreign"] | None:
    """Tell who listens at *addr*: an actor's (name, uuid), ``"foreign"``, or nobody."""
    me = ("probe", str(uuid.uuid4()))
    try:
        with trio.fail_after(deadline_s):
            stream = await trio.open_tcp_stream(*addr)
            await stream.aclose()
    except (OSError, trio.TooSlowError):
        return None
    try:
        with trio.fail_after(deadline_s):
            return await engine.probe(addr, me)
    except Exception:  # noqa: BLE001 - whatever it says, it doesn't speak our protocol
        return "foreign"


# -- the registry -------------------------------------------------------------


async def _ask_registry(addr: Addr | None, call: str, /, **kwargs: Any) -> Any:
    local = engine.local_registry()
    if local is not None and addr in (None, engine.registry_addr()):
        return await getattr(local, call)(**kwargs)
    addr = addr or engine.registry_addr()
    if addr is None:
        raise RegistryUnreachable("this process knows no registry")
    try:
        with trio.fail_after(CONNECT_DEADLINE_S):
            async with open_portal_to(addr) as portal:
                return await portal.run_from_ns("self", call, **kwargs)
    except (TransportClosed, DeadlineExceeded, trio.TooSlowError) as err:
        raise RegistryUnreachable(
            f"no pikerd answers at {config.show_addr(addr)}: {str(err) or 'too slow'}"
        ) from None


async def registered(registry_addr: Addr | None = None) -> list[tuple[Uid, Addr]]:
    """Return what the registry lists, oldest first; RegistryUnreachable."""
    return engine.registry_rows(await _ask_registry(registry_addr, "get_registry"))


async def evict(uid: Uid, registry_addr: Addr | None = None) -> None:
    """Take a dead actor out of the registry."""
    with suppress(KeyError, tractor.RemoteActorError):  # somebody was faster
        await _ask_registry(registry_addr, "unregister_actor", uid=uid)


async def register_self(registry_addr: Addr | None = None) -> None:
    """Put this actor into the registry (again): a new pikerd knows nobody."""
    me = engine.uid_of(engine.current_actor())
    args = engine.register_args(me, engine.own_addr())
    await _ask_registry(registry_addr, "register_actor", **args)


@asynccontextmanager
async def find_actor(
    name: str, registry_addr: Addr | None = None
) -> AsyncIterator[tractor.Portal | None]:
    """Yield a portal to the living actor called *name*, None if there is none.

    Each portal has a connection of its own. Dead entries met on the way are evicted.

    Raises:
      RegistryUnreachable: no pikerd.
      DeadlineExceeded: it, or who has its port by now, doesn't answer.
      TransportClosed: this process can't connect to anybody, e.g. out of files.
    """
    rows = [row for row in await registered(registry_addr) if row[0][0] == name]
    for uid, addr in reversed(rows):
        chan = await _try_entry(uid, addr, registry_addr)
        if chan is None:
            continue
        async with _portal_over(chan) as portal:
            yield portal
        return
    yield None


@asynccontextmanager
async def find_actors(
    name: str, registry_addr: Addr | None = None
) -> AsyncIterator[list[tractor.Portal]]:
    """Yield portals to all living actors called *name*, oldest first.

    One that doesn't answer is left out; else as :func:`find_actor`.
    """
    portals: list[tractor.Portal] = []
    async with AsyncExitStack() as stack:
        for uid, addr in await registered(registry_addr):
            if uid[0] != name:
                continue
            with suppress(DeadlineExceeded):
                chan = await _try_entry(uid, addr, registry_addr)
                if chan is not None:
                    portals.append(await stack.enter_async_context(_portal_over(chan)))
        yield portals


async def _try_entry(uid: Uid, addr: Addr, registry_addr: Addr | None) -> Any:
    """Return a channel to *uid* at *addr*, None if it isn't (there)."""
    try:
        chan = await _connect(addr, CONNECT_DEADLINE_S)
    except TransportClosed as err:
        if is_refused(err):
            await evict(uid, registry_addr)
        elif any(_is_ours(e) for e in causes(err)):
            raise
        return None
    if engine.uid_of(chan) == uid:
        return chan
    await engine.close_channel(chan)
    await evict(uid, registry_addr)
    return None


@asynccontextmanager
async def wait_for_actor(
    name: str, registry_addr: Addr | None = None, *, deadline_s: float = 15.0
) -> AsyncIterator[tractor.Portal]:
    """Yield a portal to *name* once it is there; DeadlineExceeded if that is late."""
    with trio.move_on_after(deadline_s) as scope:
        pause_s = 0.01
        while True:
            async with find_actor(name, registry_addr) as portal:
                if portal is not None:
                    scope.deadline = float("inf")
                    yield portal
                    return
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)
    if scope.cancelled_caught:
        raise DeadlineExceeded(f"no actor {name!r} came up in {deadline_s:g} s")


@asynccontextmanager
async def query_actor(
    name: str, regaddr: Addr | None = None
) -> AsyncIterator[tuple[Addr | None, tractor.Portal | None]]:
    """Yield ``(address, portal)`` of the living actor *name*; two None if none."""
    async with find_actor(name, regaddr) as portal:
        addr = None
        if portal is not None:
            uid = engine.uid_of(portal.channel)
            addr = dict(await registered(regaddr)).get(uid)
        yield addr, portal


class Address:
    """A transport address; compare by :meth:`unwrap`."""

    def __init__(self, host: str, port: int) -> None:
        self._addr = (host, port)

    def unwrap(self) -> Addr:
        """Return ``(host, port)``."""
        return self._addr

    def __repr__(self) -> str:
        return config.show_addr(self._addr)


def wrap_address(addr: Address | Addr | list[Any]) -> Address:
    """Return *addr*, raw or wrapped, as an :class:`Address`."""
    if isinstance(addr, Address):
        return addr
    host, port = addr
    return Address(str(host), int(port))
