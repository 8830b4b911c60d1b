"""Deribit: options, futures, perpetuals, spot: market data; live orders, with a key.

Its client lives on an asyncio loop in the actor, which the spawn kwargs ask for.
"""

from __future__ import annotations

from typing import Any

from piker.brokers._by_hand import client_of

from ._feed import (
    get_mkt_info as get_mkt_info,
    open_history_client as open_history_client,
    stream_frames as stream_frames,
    stream_quotes as stream_quotes,
)
from ._fees import get_cost as get_cost
from ._norm import norm_trade as norm_trade
from ._symbols import find_matches, open_symbol_search as open_symbol_search
from ._trade import open_trade_dialog as open_trade_dialog

_spawn_kwargs: dict[str, Any] = {"infect_asyncio": True}
_datad_mods: tuple[str, ...] = ("piker.brokers.deribit._symbols",)
_brokerd_mods: tuple[str, ...] = ("piker.brokers.deribit._trade",)

get_client = client_of(get_mkt_info, open_history_client, find_matches)
