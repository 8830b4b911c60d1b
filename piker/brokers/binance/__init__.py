"""Binance, spot and USD-M futures: market data; spot: live orders, with a key."""

from __future__ import annotations

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

_datad_mods: tuple[str, ...] = ("piker.brokers.binance._symbols",)
_brokerd_mods: tuple[str, ...] = ("piker.brokers.binance._trade",)

get_client = client_of(get_mkt_info, open_history_client, find_matches)
