"""Symbol search over backends.

    pattern --> every datad at once --> what has come by the deadline, best first
                                  `---> who didn't answer, and why

A broker that fails or is slow costs the others nothing but the time of the deadline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, get_args

import trio

from piker.brokers import BACKENDS, check_broker, get_brokermod
from piker.errors import DeadlineExceeded, PikerError, UsageError, VenueError
from piker.log import get_logger
from piker.msgs import AssetType, Match
from piker.service import collapse_eg

from ._search_line import Question, SearchLine
from .validate import get_eps

log = get_logger(__name__)

DEADLINE_S: Final = 8.0
_KINDS: Final[tuple[str, ...]] = get_args(AssetType)
_SHORT_KINDS: Final = {"perp": "perpetual_future"}


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
      matches: best first.
      faults: by name of each backend that didn't answer, why; they may have more.
      waits_for: backends that may still answer, where this is told meanwhile.
    """

    matches: list[Match]
    faults: Mapping[str, PikerError]
    waits_for: tuple[str, ...] = ()


class Search:
    """A search that is kept open, for one question after the other."""

    def __init__(self, lines: Mapping[str, SearchLine]) -> None:
        self._lines = lines

    async def find(
        self,
        pattern: str,
        *,
        kind: str = "",
        limit: int = 20,
        deadline_s: float = DEADLINE_S,
        on_part: Callable[[Found], object] | None = None,
    ) -> Found:
        """Find markets that fit *pattern* at all brokers at once.

        Args:
          pattern: words of names or descriptions, all of which must fit, in any case.
          kind: of market, e.g. ``future`` or ``perp``; any if empty.
          limit: of matches.
          deadline_s: who takes longer is left out.
          on_part: told what has come each time a backend answers, or fails, while
            others are waited for.

        Raises:
          UsageError: no kind of that name.
          PikerError: what the only broker asked fails with.
          VenueError: several were asked, and none answered.
        """
        # what no name holds can't be sent: an argument that was no text, say
        text = pattern.encode(errors="replace").decode()
        question = (text, limit, known_kind(kind))
        matches: list[Match] = []
        faults: dict[str, PikerError] = {}
        waits_for = list(self._lines)

        async def ask(name: str, line: SearchLine) -> None:
            try:
                matches.extend(await _ask(name, line, question, deadline_s))
            except PikerError as err:
                faults[name] = err
            waits_for.remove(name)
            if waits_for and on_part is not None:
                on_part(_found(matches, faults, limit, tuple(waits_for)))

        async with trio.open_nursery() as tasks:
            for name, line in self._lines.items():
                tasks.start_soon(ask, name, line)
        faults = {name: faults[name] for name in self._lines if name in faults}
        if faults and len(faults) == len(self._lines):
            raise _none_answered(faults)
        for name, err in faults.items():
            log.warning("search at %s failed: %s", name, err)
        return _found(matches, faults, limit)


def _found(
    matches: list[Match],
    faults: Mapping[str, PikerError],
    limit: int,
    waits_for: tuple[str, ...] = (),
) -> Found:
    best = sorted(matches, key=lambda match: (-match.score, match.fqme))
    return Found(best[:limit], dict(faults), waits_for)


@asynccontextmanager
async def open_search(brokers: list[str] | None = None) -> AsyncIterator[Search]:
    """Yield a search of *brokers*, of all that offer one by default.

    Their daemons are found or started with the first question. Raises BrokerNotFound.
    """
    lines: dict[str, SearchLine] = {}
    for name in brokers or BACKENDS:
        check_broker(name)
        endpoint = get_eps(get_brokermod(name), "datad").get("open_symbol_search")
        if endpoint is not None:
            lines[name] = SearchLine(name, endpoint)
    async with collapse_eg(), trio.open_nursery() as tasks:
        for line in lines.values():
            tasks.start_soon(line.run)
        yield Search(lines)
        for line in lines.values():
            line.close()


async def search_symbols(
    pattern: str,
    brokers: list[str] | None = None,
    *,
    kind: str = "",
    limit: int = 20,
    deadline_s: float = DEADLINE_S,
) -> Found:
    """Ask a search of *brokers* once, see :func:`open_search`, :meth:`Search.find`."""
    async with open_search(brokers) as search:
        return await search.find(pattern, kind=kind, limit=limit, deadline_s=deadline_s)


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
    broker: str, line: SearchLine, question: Question, deadline_s: float
) -> list[Match]:
    with trio.move_on_after(deadline_s):
        return await line.ask(question)
    raise DeadlineExceeded(f"search at {broker!r} took more than {deadline_s:g} s")
