"""What goes wrong on the way to a venue, as errors of ours: one sentence each."""

from __future__ import annotations

import errno
import socket
import ssl
from urllib.parse import urlsplit

from piker.errors import RateLimited, VenueError, VenueRefused, VenueUnreachable

_SHOWN = 160

#: Statuses of who asks too often.
LIMITED = frozenset({418, 429})
#: Of who is kept out for a while: by Binance's firewall, of who asks too often.
FORBIDDEN = 403

_WORDS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was reset",
    errno.EHOSTUNREACH: "there is no way to the host",
    errno.ENETUNREACH: "there is no way to its network",
    errno.ETIMEDOUT: "it doesn't answer",
}


def place_of(url: str) -> str:
    """Return scheme, host and port of *url*: what an error may show of it."""
    parts = urlsplit(url)
    host = parts.hostname or parts.path
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # no number, or none of a port
        port = ""
    return f"{parts.scheme}://{host}{port}" if parts.scheme else host


def unreachable(venue: str, url: str, err: BaseException) -> VenueUnreachable:
    """Return why *venue* can't be reached at *url* now."""
    return VenueUnreachable(
        f"{venue} can't be reached at {place_of(url)}: {reason_of(err)}"
    )


def reason_of(err: BaseException) -> str:
    """Return what *err* and the errors behind it mean, in a few words."""
    known = (_known_reason(one) for one in _chain(err))
    told = next((reason for reason in known if reason), "")
    text = " ".join(str(err).split())[:_SHOWN]
    return told or text or type(err).__name__


def _known_reason(err: BaseException) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {err.verify_message}"
    if isinstance(err, ssl.SSLError):
        return "it doesn't speak TLS there"
    if isinstance(err, socket.gaierror):
        return "its name can't be looked up"
    if isinstance(err, TimeoutError) or "Timeout" in type(err).__name__:
        return "it doesn't answer"
    return _WORDS.get(err.errno or 0, "") if isinstance(err, OSError) else ""


def _chain(err: BaseException) -> list[BaseException]:
    """Return *err* and what it came from, groups taken apart."""
    found: list[BaseException] = []
    ahead: list[BaseException | None] = [err]
    while ahead and len(found) < 50:
        one = ahead.pop(0)
        if one is None or one in found:
            continue
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            ahead += one.exceptions
        ahead += [one.__cause__, one.__context__]
    return found


def refused_status(venue: str, url: str, status: int, said: str) -> VenueError:
    """Return what an HTTP *status* that isn't 200 means; *said* is the body's text."""
    text = " ".join(said.split())[:_SHOWN]
    more = f": {text}" if text else ""
    if status in LIMITED:
        return RateLimited(
            f"{venue} asks for a pause: HTTP {status} from {place_of(url)}{more}"
        )
    if status == FORBIDDEN:
        return RateLimited(
            f"{venue} keeps this address out for now: HTTP {status} from"
            f" {place_of(url)}{more}"
        )
    if 300 <= status < 400:
        return VenueUnreachable(
            f"{venue} isn't at {place_of(url)}: it sends us elsewhere (HTTP {status})"
        )
    if status >= 500 or status in {408, 425}:
        return VenueUnreachable(
            f"{venue} is out of order: HTTP {status} from {place_of(url)}{more}"
        )
    return VenueRefused(
        f"{venue} refused a request: HTTP {status} from {place_of(url)}{more}"
    )
