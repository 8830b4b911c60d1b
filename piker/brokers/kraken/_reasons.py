"""What may be done about what Kraken refuses, by its own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from piker.brokers._payload import Reason

# https://docs.kraken.com/api/docs/guides/spot-errors
# https://docs.kraken.com/api/docs/guides/spot-ratelimits
_REASONS: Final[dict[str, Reason]] = {
    "EAPI:Rate limit exceeded": "limit",
    "EGeneral:Too many requests": "limit",
    "EGeneral:Temporary lockout": "limit",
    "Exceeded msg rate": "limit",  # of the stream, whose refusals have no class
    "EService:Unavailable": "unavailable",
    "EService:Busy": "unavailable",
    "EService:Timeout": "unavailable",
    "EService:Deadline elapsed": "unavailable",
    "EGeneral:Internal error": "unavailable",
    "EQuery:Unknown asset pair": "market",
    "EQuery:Invalid asset pair": "market",
    "Currency pair not supported": "market",  # of the stream
}


def reason_of(errors: Iterable[str]) -> Reason:
    """Return what may be done about *errors*, each as the venue words it."""
    told = list(errors)
    for name, reason in _REASONS.items():
        if any(one.startswith(name) for one in told):  # more words may follow it
            return reason
    return "other"
