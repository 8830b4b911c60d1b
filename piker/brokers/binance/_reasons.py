"""What may be done about what Binance refuses, by its code."""

from __future__ import annotations

from typing import Final

from piker.brokers._payload import Reason

# https://developers.binance.com/docs/binance-spot-api-docs/errors
_REASONS: Final[dict[int, Reason]] = {
    -1003: "limit",  # too many requests
    -1015: "limit",  # too many orders
    -1000: "unavailable",  # unknown error
    -1001: "unavailable",  # disconnected inside the venue
    -1007: "unavailable",  # timeout inside the venue
    -1008: "unavailable",  # server overloaded
    -1016: "unavailable",  # shutting down
    -1121: "market",
    -1122: "market",  # USD-M: the symbol's status doesn't allow it
}


def reason_of(code: int) -> Reason:
    """Return what may be done about a refusal of REST or of a stream."""
    return _REASONS.get(code, "other")
