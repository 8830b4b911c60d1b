"""What may be done about what IB refuses: its codes and words as errors of ours.

https://www.interactivebrokers.com/campus/ibkr-api-page/tws-api-error-codes/
An answer is ``(reqId, code, text)``; a reqId of -1 is about the connection.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from piker.brokers._payload import one_line
from piker.errors import (
    MarketGone,
    NoData,
    RateLimited,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)


class ContractsLost(VenueUnreachable):
    """IB says that there is no contract; and its servers that know it are lost."""


#: What a farm has.
Served = Literal["data", "history", "contracts"]

#: Codes that say something of a request, and don't end it, beside IB's warnings.
_NOTES: Final = frozenset({
    165,  # of the historical data service
    399, 404,  # of an order, which goes on
    10090, 10091,  # a part isn't subscribed to: all else is told
    10167,  # delayed data is shown in place of live data
    10349,  # an order's time in force was set
})  # fmt: skip

NO_SECURITY: Final = 200
CLIENT_ID_IN_USE: Final = 326
HISTORY: Final = 162

#: Too many messages, lines of market data, requests at once, or of depth.
_LIMITS: Final = frozenset({100, 101, 10190, 10187})
#: The gateway lives, but has lost its servers or is busy.
_PASSING: Final = frozenset({
    366,  # a query of historical data is gone
    502, 503, 504, 507, 1100, 1101, 1300, 2103, 2105, 2110, 2157,
    10182,  # live updates ended with the connection
    10197,  # another session of the user shows live data
    10225,  # a subscription was ended by a bust
})  # fmt: skip
#: Accounts are numbered ``U1234567``, ``DU1234567``, ``F12345``.
_ACCOUNT: Final = re.compile(r"\b[A-Z]{1,3}\d{5,10}\b")
_NO_DATA_WORDS: Final = ("no data", "hmds query returned no data", "no historical")
#: Of its servers of the past: somebody is logged in elsewhere; it ended the query.
_PASSING_WORDS: Final = ("different ip", "query cancelled")
_LIMIT_WORDS: Final = ("pacing violation", "simultaneous", "max rate", "max number")


def without_accounts(text: str) -> str:
    """Return IB's words without numbers of accounts, which nobody is shown."""
    return _ACCOUNT.sub("***", text)


def is_note(code: int) -> bool:
    """Whether a code says something of a request, and doesn't end it."""
    return code in _NOTES or 2100 <= code < 2200


def error_of(code: int, text: str, what: str = "") -> VenueError:
    """Return what IB's *code* and *text* mean for who asked.

    Args:
      code: as IB numbers it.
      text: IB's words.
      what: what was asked for, e.g. ``bars of 'tsla.nasdaq.ib'``.
    """
    words = one_line(text)
    kind = _kind(code, words.lower())
    about = f" {what}" if what else ""
    return kind(f"ib refuses{about}: {words or 'it says no more'} (code {code})")


def _kind(code: int, words: str) -> type[VenueError]:
    if any(each in words for each in _LIMIT_WORDS) or code in _LIMITS:
        return RateLimited
    if code == HISTORY and any(each in words for each in _NO_DATA_WORDS):
        return NoData
    if code == HISTORY and any(each in words for each in _PASSING_WORDS):
        return VenueUnreachable
    if code == NO_SECURITY:
        return MarketGone
    return VenueUnreachable if code in _PASSING else VenueRefused


# -- about the connection --------------------------------------------------------------

#: What a code says of the line between the gateway and IB's servers.
#: ``lost``; ``back`` with subscriptions gone; ``kept``: back, and they go on.
LINE: Final[dict[int, Literal["lost", "back", "kept"]]] = {
    1100: "lost",
    1101: "back",
    1102: "kept",
    2110: "lost",
}
#: What a code says of a farm, a part of IB's servers: its name is the end of the text.
FARM: Final[dict[int, tuple[Served, bool]]] = {
    2103: ("data", False),
    2104: ("data", True),
    2105: ("history", False),
    2106: ("history", True),
    2107: ("history", True),  # inactive: it wakes when it is asked
    2108: ("data", True),
    2157: ("contracts", False),
    2158: ("contracts", True),
    2159: ("contracts", True),  # inactive; not in IB's list
}
_FARMS_TOLD: Final = re.compile(
    r"farms are( not)? connected: ?(.*?)(?=\. The |\.?\s*$)", re.DOTALL
)
_FARM_NAME: Final = re.compile(r"(?:.*:|upon demand\.)\s*(\S.*?)\s*$", re.DOTALL)


def farm_of(text: str) -> str:
    """Return the farm that a notice is about, empty if it names none.

    ``Market data farm connection is broken:usfarm`` is about ``usfarm``, and so is one
    that ``is inactive but should be available upon demand.usfarm``.
    """
    found = _FARM_NAME.search(text)
    return one_line(found[1]) if found else ""


def farms_told(text: str) -> list[tuple[str, Served, bool]]:
    """Return farms, what they serve and whether they are there, as 1101 and 1102 say.

    ``... - data maintained. The following farms are connected: cashfarm; usfarm.nj. The
    following farms are not connected: cashhmds.`` They need not say it.
    """
    return [
        (one_line(name.strip()), _served_by(name), not is_lost)
        for is_lost, names in _FARMS_TOLD.findall(text)
        for name in names.split(";")
        if name.strip()
    ]


def _served_by(farm: str) -> Served:
    if "hmds" in farm:
        return "history"
    return "contracts" if "secdef" in farm else "data"
