"""``sim``: the embedded venue. No network, no key; the default backend.

Synthetic markets of several kinds, random-access in time, and recorded sessions of
real venues, decoded by those venues' own code, at any speed.
"""

from __future__ import annotations

from piker.brokers._by_hand import client_of

from ._feed import (
    get_mkt_info as get_mkt_info,
    open_history_client as open_history_client,
    stream_quotes as stream_quotes,
)
from ._fees import get_cost as get_cost
from ._info import (
    MarketInfo as MarketInfo,
    SessionInfo as SessionInfo,
    session_info as session_info,
)
from ._search import find_matches, open_symbol_search as open_symbol_search
from ._sessions import PlayReport as PlayReport, open_session as open_session
from ._universe import DEMO_FQME as DEMO_FQME

_datad_mods: tuple[str, ...] = ("piker.brokers.sim._search",)
_brokerd_mods: tuple[str, ...] = ()

get_client = client_of(get_mkt_info, open_history_client, find_matches)
