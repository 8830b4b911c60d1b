"""What may be done about what Deribit refuses, by the code of its error."""

from __future__ import annotations

from typing import Any, Final

from piker.brokers._payload import Reason, one_line

from ._schemas import Error

# https://docs.deribit.com/articles/errors
_REASONS: Final[dict[int, Reason]] = {
    10028: "limit",  # too_many_requests
    10066: "limit",  # too_many_concurrent_requests
    10040: "unavailable",  # retry
    10041: "unavailable",  # settlement_in_progress
    10047: "unavailable",  # matching_engine_queue_full
    10048: "unavailable",  # not_on_this_server
    11051: "unavailable",  # system_maintenance
    11094: "unavailable",  # internal_server_error
    13028: "unavailable",  # temporarily_unavailable
    13503: "unavailable",  # unavailable
    13888: "unavailable",  # timed_out
    10020: "market",  # invalid_or_unsupported_instrument
    13020: "market",  # not_found: no such instrument
    -32000: "unavailable",
    -32603: "unavailable",  # internal error
}


#: How an error ends that says that a key, or its secret, is none of the venue's.
WRONG_KEYS: Final = "error 13004"
#: What would work, by the same document.
_CURES: Final = {13004: "mend the account's key and secret in brokers.toml"}


def reason_of(error: Error) -> Reason:
    """Return what may be done about an error of the venue."""
    reason = _REASONS.get(error.code, "other")
    if reason == "other" and "instrument" in _param_of(error.data):
        return "market"
    return reason


def words_of(error: Error) -> str:
    """Return an error in one line: its message, its reason, its code."""
    why = error.data.get("reason") if isinstance(error.data, dict) else error.data
    text = error.message + (f" ({why})" if isinstance(why, str) and why else "")
    if cure := _CURES.get(error.code):
        text = f"{text}, {cure}"
    return one_line(f"{text}: error {error.code}")


def _param_of(data: Any) -> str:
    param = data.get("param") if isinstance(data, dict) else None
    return param if isinstance(param, str) else ""
