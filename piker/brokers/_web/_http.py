"""REST: requests inside a rate budget, with deadlines, answered in bytes.

get(path) --budget--> httpx --200--> the body
                            --429--> all wait as long as told, then again
                            --5xx, no connection--> again, a few times
                            --4xx--> VenueRefused, with the venue's own words
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from piker.brokers._payload import Failure
from piker.errors import (
    BadPayload,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import boot_ns

from ._backoff import Backoff
from ._budget import RateBudget
from ._errors import place_of, refused_status, unreachable

if TYPE_CHECKING:
    import httpx

log = get_logger(__name__)

#: A body larger than this is not what was asked for.
MAX_BODY: Final = 64 * 2**20
_TRIES: Final = 3
_LIMITED: Final = frozenset({418, 429})
_RETRY_AFTER_S: Final = 5.0  # where a venue doesn't say


class Answer(NamedTuple):
    """What came.

    Attributes:
      body: its bytes.
      sent_ns: when it was asked for, ns of `piker.msgs.boot_ns`; waits excluded.
      came_ns: when it was there.
    """

    body: bytes
    sent_ns: int
    came_ns: int


@dataclass(eq=False)
class Http:
    """One venue's REST service.

    Attributes:
      venue: its name, for errors.
      base_url: without a slash at its end.
      budget: shared by all who ask the venue from this process.
      deadline_s: for a whole request, waits and retries included.
      failure_of: finds the venue's own words in a body, None if it is no refusal.
      fails_with_200: whether a refusal may look like an answer.
      requests: sent so far.
    """

    venue: str
    base_url: str
    budget: RateBudget
    failure_of: Callable[[bytes], Failure | None]
    deadline_s: float = 10.0
    fails_with_200: bool = False
    requests: int = 0
    _client: httpx.AsyncClient = field(init=False, repr=False)

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        weight: float = 1.0,
    ) -> bytes:
        """Return the body of a JSON answer; raises what `ask` raises."""
        return (await self.ask(path, params, weight=weight)).body

    async def ask(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        weight: float = 1.0,
    ) -> Answer:
        """Return a JSON answer, and when it was asked for and came.

        Raises:
          VenueUnreachable: no answer within the deadline, or none that helps.
          VenueRefused: the venue said no.
          RateLimited: it asks for a longer pause than the deadline.
          BadPayload: the answer is not JSON.
        """
        backoff = Backoff(first_s=0.2, cap_s=2.0)
        last: VenueError | None = None
        tries = 0
        with trio.move_on_after(self.deadline_s):
            while tries < _TRIES:
                if self.budget.paused_s >= self.deadline_s:
                    raise self._limited()
                await self.budget.spend(weight)
                try:
                    return await self._ask(path, params, weight)
                except RateLimited as err:
                    last = err  # the budget waits as long as was asked for
                except (VenueUnreachable, BadPayload) as err:
                    last, tries = err, tries + 1
                    if tries < _TRIES:
                        await trio.sleep(backoff.next_s())
        raise last or VenueUnreachable(
            f"{self.venue} said nothing at {place_of(self.base_url)} within"
            f" {self.deadline_s:g} s"
        )

    async def _ask(
        self, path: str, params: Mapping[str, str | int] | None, weight: float
    ) -> Answer:
        import httpx

        self.requests += 1
        url, sent_ns = self.base_url + path, boot_ns()
        try:
            answer = await self._client.get(url, params=params)
        except (httpx.HTTPError, OSError, ValueError, BaseExceptionGroup) as err:
            if isinstance(err, httpx.ConnectError | httpx.ConnectTimeout):
                self.budget.give_back(weight)  # no request was sent
            raise unreachable(self.venue, url, err) from err
        came_ns = boot_ns()
        body, status = answer.content, answer.status_code
        if status in _LIMITED:
            raise self._limited(_retry_after_s(answer.headers.get("retry-after")))
        if _is_page(body):
            what = VenueUnreachable if status >= 500 else BadPayload
            raise what(
                f"{self.venue} sent a web page instead of data at {place_of(url)}"
                f" (HTTP {status})"
            )
        if status != 200 or self.fails_with_200:
            self._check(url, status, body)
        return Answer(body, sent_ns, came_ns)

    def _check(self, url: str, status: int, body: bytes) -> None:
        """Raise what a refusal means."""
        try:
            failure = self.failure_of(body)
        except BadPayload:
            if status == 200:
                raise
            failure = None
        if failure is not None and failure.reason == "limit":
            raise self._limited(_RETRY_AFTER_S)
        said = failure.text if failure is not None else ""
        if failure is not None and failure.reason == "unavailable":
            raise VenueUnreachable(f"{self.venue} is out of order: {said}")
        if status != 200:
            raise refused_status(self.venue, url, status, said)
        if failure is not None:
            raise VenueRefused(f"{self.venue} refused a request: {said}")

    def _limited(self, pause_s: float = 0.0) -> RateLimited:
        """Let nobody ask for so long; return why."""
        self.budget.pause(pause_s)
        return RateLimited(
            f"{self.venue} asks for a pause of {self.budget.paused_s:.0f} s:"
            " too many requests from this address"
        )


def _is_page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _retry_after_s(told: str | None) -> float:
    """Return what a Retry-After header says; dates and nonsense count as 5 s."""
    try:
        seconds = float(told or "")
    except ValueError:
        return _RETRY_AFTER_S
    return min(max(seconds, 0.1), 86_400.0)


@asynccontextmanager
async def open_http(
    venue: str,
    base_url: str,
    budget: RateBudget,
    *,
    proxy: str = "",
    failure_of: Callable[[bytes], Failure | None],
    fails_with_200: bool = False,
    deadline_s: float = 10.0,
) -> AsyncIterator[Http]:
    """Yield a client of a venue's REST service; connections are kept for its block.

    Args:
      venue: its name, for errors.
      base_url: scheme, host, port.
      budget: of the venue.
      proxy: URL of an HTTP proxy, empty for what the environment says.
      failure_of: see `Http`.
      fails_with_200: see `Http`.
      deadline_s: for each request.
    """
    import httpx

    http = Http(
        venue, base_url.rstrip("/"), budget, failure_of, deadline_s, fails_with_200
    )
    async with httpx.AsyncClient(
        proxy=proxy or None,
        timeout=deadline_s,
        limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
        headers={"User-Agent": "piker"},
    ) as http._client:  # noqa: SLF001 - made here
        yield http
