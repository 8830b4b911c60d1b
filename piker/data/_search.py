"""Symbol search over backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from piker.brokers import BACKENDS, check_broker, get_brokermod
from piker.errors import PikerError, TransportClosed, VenueError
from piker.log import get_logger
from piker.msgs import Match
from piker.service import open_context

from ._daemon import maybe_spawn_datad
from .validate import get_eps

log = get_logger(__name__)

DEADLINE_S: Final = 10.0
_RETRY_S: Final = 0.1


async def search_symbols(
    pattern: str,
    brokers: list[str] | None = None,
    *,
    kind: str | None = None,
    limit: int = 20,
) -> list[Match]:
    """Return markets that fit *pattern*, best first, merged over backends.

    Args:
      pattern: some letters of a name, in any case.
      brokers: backends to ask; all that offer a search by default.
      kind: of market, e.g. ``future``; any by default.
      limit: of matches.

    Raises:
      BrokerNotFound: no backend of a given name.
      PikerError: what the only backend asked fails with.
    """
    asked = brokers or list(BACKENDS)
    for name in asked:
        check_broker(name)
    found: list[Match] = []
    faults: list[PikerError] = []

    async def ask(name: str) -> None:
        try:
            found.extend(await _ask(name, pattern, kind, limit))
        except PikerError as err:
            log.warning("search at %s failed: %s", name, err)
            faults.append(err)

    async with trio.open_nursery() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    if faults and not found:
        raise faults[0]
    return sorted(found, key=lambda match: (-match.score, match.fqme))[:limit]


async def _ask(broker: str, pattern: str, kind: str | None, limit: int) -> list[Match]:
    search = get_eps(get_brokermod(broker), "datad").get("open_symbol_search")
    if search is None:
        return []
    wanted = limit if kind is None else 50 * limit
    with trio.move_on_after(DEADLINE_S):
        while True:
            try:
                answer = await _answer(broker, search, (pattern, wanted))
                break
            except TransportClosed as err:
                log.debug("search again: %s", err)  # datad left, idle, or died just now
                await trio.sleep(_RETRY_S)
        if isinstance(answer, str):
            raise VenueError(answer)
        return [m for m in answer if kind is None or m.kind == kind]
    raise VenueError(f"search at {broker!r} took more than {DEADLINE_S:g} s")


async def _answer(
    broker: str, search: Callable[..., Any], asked: tuple[str, int]
) -> list[Match] | str:
    answer: list[Match] | str = ""
    async with (
        maybe_spawn_datad(broker) as portal,
        open_context(portal, search) as (ctx, _),
    ):
        async with ctx.open_stream() as stream:
            await stream.send(asked)
            answer = await stream.receive()
        await ctx.cancel()
    return answer
