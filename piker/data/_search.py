"""Symbol search over backends.

pattern --> every datad at once --> what has come by the deadline, best first
                              `---> who didn't answer, and why
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import trio

from piker.brokers import BACKENDS, check_broker, get_brokermod
from piker.errors import (
    DeadlineExceeded,
    PikerError,
    TransportClosed,
    UsageError,
    VenueError,
)
from piker.log import get_logger
from piker.msgs import AssetType, Match
from piker.service import open_context

from ._daemon import maybe_spawn_datad
from .validate import get_eps

log = get_logger(__name__)

DEADLINE_S: Final = 6.0
_RETRY_S: Final = 0.1
_KINDS: Final[tuple[str, ...]] = get_args(AssetType)
_SHORT_KINDS: Final = {"perp": "perpetual_future"}


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
      matches: best first.
      faults: by name of each backend that didn't answer, why; they may have more.
    """

    matches: list[Match]
    faults: Mapping[str, PikerError]


async def search_symbols(
    pattern: str,
    brokers: list[str] | None = None,
    *,
    kind: str = "",
    limit: int = 20,
    deadline_s: float = DEADLINE_S,
) -> Found:
    """Find markets that fit *pattern* at several backends at once.

    Args:
      pattern: words of names or descriptions, all of which must fit, in any case.
      brokers: backends to ask; all that offer a search by default.
      kind: of market, e.g. ``future`` or ``perp``; any if empty.
      limit: of matches.
      deadline_s: who takes longer is left out.

    Raises:
      BrokerNotFound: no backend of a given name.
      UsageError: no kind of that name.
      PikerError: what the only backend asked fails with.
      VenueError: several were asked, and none answered.
    """
    asked = list(dict.fromkeys(brokers or BACKENDS))
    for name in asked:
        check_broker(name)
    # what no name holds can't be sent: an argument that was no text, say
    text = pattern.encode(errors="replace").decode()
    question = (text, limit, known_kind(kind))
    matches: list[Match] = []
    faults: dict[str, PikerError] = {}

    async def ask(name: str) -> None:
        try:
            matches.extend(await _ask(name, question, deadline_s))
        except PikerError as err:
            faults[name] = err

    async with trio.open_nursery() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    if len(faults) == len(asked):
        raise _none_answered(faults)
    for name, err in faults.items():
        log.warning("search at %s failed: %s", name, err)
    matches.sort(key=lambda match: (-match.score, match.fqme))
    return Found(matches[:limit], faults)


def known_kind(kind: str) -> str:
    """Return the asset type that *kind* names, empty if empty; raises UsageError."""
    known = _SHORT_KINDS.get(kind, kind)
    if known and known not in _KINDS:
        raise UsageError(f"no kind {kind!r} of markets; kinds: {', '.join(_KINDS)}")
    return known


def _none_answered(faults: Mapping[str, PikerError]) -> PikerError:
    if len(faults) == 1:
        return next(iter(faults.values()))
    told = "; ".join(f"{name}: {err}" for name, err in faults.items())
    return VenueError(f"no broker answered: {told}")


async def _ask(
    broker: str, question: tuple[str, int, str], deadline_s: float
) -> list[Match]:
    search = get_eps(get_brokermod(broker), "datad").get("open_symbol_search")
    if search is None:
        return []
    with trio.move_on_after(deadline_s):
        while True:
            try:
                answer = await _answer(broker, search, question)
                break
            except TransportClosed as err:
                log.debug("search again: %s", err)  # datad left, idle, or died just now
                await trio.sleep(_RETRY_S)
        if isinstance(answer, str):
            raise VenueError(answer)
        return answer
    raise DeadlineExceeded(f"search at {broker!r} took more than {deadline_s:g} s")


async def _answer(
    broker: str, search: Callable[..., Any], question: tuple[str, int, str]
) -> list[Match] | str:
    answer: list[Match] | str = ""
    async with (
        maybe_spawn_datad(broker) as portal,
        open_context(portal, search) as (ctx, _),
    ):
        async with ctx.open_stream() as stream:
            await stream.send(question)
            answer = await stream.receive()
        await ctx.cancel()
    return answer
