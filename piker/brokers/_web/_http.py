"""REST: requests inside a rate budget, with deadlines, answered in bytes.

get(path) --budget--> httpx --200--> the body
                            --429, 403--> all wait as long as told, then again
                            --5xx, no connection--> again, a few times
                            --4xx--> VenueRefused, with the venue's own words
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from math import inf, isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from piker.brokers._payload import Failure
from piker.errors import (
    BadPayload,
    MarketGone,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import boot_ns

from ._backoff import Backoff
from ._budget import RateBudget
from ._errors import FORBIDDEN, LIMITED, place_of, refused_status, unreachable

if TYPE_CHECKING:
    import httpx

log = get_logger(__name__)

#: A body larger than this is not what was asked for.
MAX_BODY: Final = 64 * 2**20
_TRIES: Final = 3
_RETRY_AFTER_S: Final = 5.0  # where a venue doesn't say
_PAUSE_S: Final = (0.1, 3 * 86_400.0)  # what it may say: Binance bans for three days


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
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
        tries: int = _TRIES,
    ) -> Answer:
        """Return a JSON answer, and when it was asked for and came.

        Args:
          path: with a query of its own, if it is signed as it stands.
          params: of the query.
          weight: to be spent.
          headers: besides the usual ones; they may hold a key.
          method: of HTTP.
          body: of the request, a form.
          tries: how often it may be sent.

        Raises:
          VenueUnreachable: no answer within the deadline, or none that helps.
          VenueRefused: the venue said no; MarketGone: it has no such market.
          RateLimited: it asks for a longer pause than the deadline, or keeps us out.
          BadPayload: the answer is not JSON.
        """
        backoff = Backoff(first_s=0.2, cap_s=2.0)
        last: VenueError | None = None
        failed, is_sent = 0, False
        with trio.move_on_after(self.deadline_s):
            while failed < tries:
                if self.budget.paused_s >= self.deadline_s:
                    raise self._limited()
                await self.budget.spend(weight)
                is_sent = True
                try:
                    return await self._ask(path, params, weight, headers, method, body)
                except RateLimited as err:
                    last = err  # the budget waits as long as was asked for
                    failed += tries == 1
                except (VenueUnreachable, BadPayload) as err:
                    last, failed = err, failed + 1
                    if failed < tries:
                        await trio.sleep(backoff.next_s())
        if last is None and not is_sent:
            raise RateLimited(
                f"{self.venue} may not be asked for now: what its rate limit allows in"
                f" {self.budget.window_s:g} s is spent"
            )
        raise last or VenueUnreachable(
            f"{self.venue} gave no answer at {place_of(self.base_url)} within"
            f" {self.deadline_s:g} s"
        )

    async def _ask(
        self,
        path: str,
        params: Mapping[str, str | int] | None,
        weight: float,
        headers: Mapping[str, str] | None,
        method: str,
        form: bytes | None,
    ) -> Answer:
        import httpx

        self.requests += 1
        url, sent_ns = self.base_url + path, boot_ns()
        try:
            async with self._client.stream(
                method, url, params=params, headers=headers, content=form
            ) as answer:
                body = await self._read(answer)
        except httpx.InvalidURL as err:
            raise VenueRefused(f"{self.venue}: {url!r} is no URL: {err}") from err
        except (httpx.HTTPError, OSError, ValueError, BaseExceptionGroup) as err:
            if isinstance(err, httpx.ConnectError | httpx.ConnectTimeout):
                self.budget.give_back(weight)  # no request was sent
            raise unreachable(self.venue, url, err) from err
        came_ns, status = boot_ns(), answer.status_code
        if status in LIMITED:
            raise self._limited(_retry_after_s(answer.headers))
        if 300 <= status < 400:
            raise refused_status(self.venue, url, status, "")
        if _is_page(body):
            what = VenueUnreachable if status >= 500 else BadPayload
            raise what(
                f"{self.venue} sent a web page instead of data at {place_of(url)}"
                f" (HTTP {status})"
            )
        if status != 200 or self.fails_with_200:
            self._check(url, status, body)
        return Answer(body, sent_ns, came_ns)

    async def _read(self, answer: httpx.Response) -> bytes:
        """Return a body of sane size."""
        pieces: list[bytes] = []
        size = 0
        with trio.CancelScope() as scope:
            async for piece in answer.aiter_bytes():
                size += len(piece)
                if size > MAX_BODY:
                    pieces.clear()
                    scope.cancel()  # where it reads: httpx's generators end in order
                else:
                    pieces.append(piece)
        if size > MAX_BODY:
            raise BadPayload(
                f"{self.venue} sent more than {MAX_BODY >> 20} MiB at"
                f" {place_of(self.base_url)}"
            )
        return b"".join(pieces)

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
        if failure is not None and failure.reason == "market":
            raise MarketGone(f"{self.venue} has no such market: {said}")
        if status == FORBIDDEN:
            self.budget.pause(_RETRY_AFTER_S)
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


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Return for how long a Retry-After asks; 5 s where it says nothing or nonsense."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        seconds = _seconds_until(told, headers.get("date", ""))
    least_s, most_s = _PAUSE_S
    return min(max(seconds, least_s), most_s) if isfinite(seconds) else _RETRY_AFTER_S


def _seconds_until(told: str, now: str) -> float:
    """Return seconds from *now* to *told*, HTTP dates, by the venue's clock if it says.

    Infinite if *told* is none.
    """
    began_s = _date_s(now)
    return _date_s(told) - (began_s if isfinite(began_s) else time.time())


def _date_s(told: str) -> float:
    try:
        return parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):
        return inf


def _trusted(base_url: str) -> ssl.SSLContext | bool:
    """Return whom TLS is to trust: nobody where there is to be none.

    To load those who are trusted takes 30 ms, most of what a client's start does.
    """
    return _nobody() if base_url.startswith("http:") else True


@cache
def _nobody() -> ssl.SSLContext:
    """Return what trusts nobody; it takes 4 ms to make."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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

    Raises VenueRefused for a proxy that can't be used.
    """
    import httpx

    http = Http(
        venue, base_url.rstrip("/"), budget, failure_of, deadline_s, fails_with_200
    )
    try:
        client = httpx.AsyncClient(
            proxy=proxy or None,
            verify=_trusted(base_url),
            timeout=deadline_s,
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
            headers={"User-Agent": "piker"},
        )
    except ImportError as err:
        raise VenueRefused(
            f"{venue} can't be asked through the proxy that is configured: {err}"
        ) from err
    except (httpx.InvalidURL, ValueError):  # its text quotes pieces of a password
        raise VenueRefused(
            f"{venue} can't be asked through the proxy that is configured: its URL is"
            " none, SCHEME://[USER:PASSWORD@]HOST[:PORT]"
        ) from None
    async with client as http._client:  # noqa: SLF001 - made here
        yield http
