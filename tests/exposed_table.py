"""What each kind of actor lets others call: the one place where it is written down.

Nothing else can be called. Who adds an endpoint adds it here, and thinks once more
about who may call it.
"""

from __future__ import annotations

#: Of every daemon, whatever its kind.
_ANY = {"piker.service._actor_rpc:dump_tasks"}

#: Of every datad.
_DATAD = _ANY | {
    "piker.data._daemon:_setup_persistent_datad",
    "piker.data._rpc:describe_markets",
    "piker.data._rpc:feed_stats",
    "piker.data._rpc:mend_store",
    "piker.data._rpc:open_feed_bus",
    "piker.data._rpc:open_frame_stream",
}

#: Of every paperboi.
_PAPERBOI = _ANY | {
    "piker.clearing._paper:_setup_persistent_paperboi",
    "piker.clearing._paper_rpc:open_paper_dialog",
}

#: Of every brokerd, but for its backend's own.
_BROKERD = _ANY | {
    "piker.brokers._daemon:_setup_persistent_brokerd",
    "piker.brokers._live._rpc:cancel_all",
    "piker.brokers._live._rpc:check_accounts",
    "piker.brokers._live._rpc:open_orders",
    "piker.brokers._live._rpc:sync_ledger",
}

#: Kind of actor -> ``module:endpoint``.
EXPOSED: dict[str, set[str]] = {
    "pikerd": {
        "piker.service._rpc:attach_client",
        "piker.service._rpc:dump_tasks",
        "piker.service._rpc:find_or_spawn",
        "piker.service._rpc:hold_tree",
        "piker.service._rpc:list_services",
        "piker.service._rpc:ping",
        "piker.service._rpc:restart_service",
        "piker.service._rpc:stop_service",
        "piker.service._rpc:stream_service_events",
    },
    "datad.sim": _DATAD | {"piker.brokers.sim._search:open_symbol_search"},
    "datad.binance": _DATAD | {"piker.brokers.binance._symbols:open_symbol_search"},
    "datad.kraken": _DATAD | {"piker.brokers.kraken._symbols:open_symbol_search"},
    "datad.deribit": _DATAD | {"piker.brokers.deribit._symbols:open_symbol_search"},
    "brokerd.sim": _BROKERD,
    "brokerd.binance": _BROKERD | {"piker.brokers.binance._trade:open_trade_dialog"},
    "brokerd.kraken": _BROKERD | {"piker.brokers.kraken._trade:open_trade_dialog"},
    "brokerd.deribit": _BROKERD | {"piker.brokers.deribit._trade:open_trade_dialog"},
    "datad.ib": _DATAD | {"piker.brokers.ib._symbols:open_symbol_search"},
    "brokerd.ib": _BROKERD | {"piker.brokers.ib._trade:open_trade_dialog"},
    "emsd": _ANY
    | {
        "piker.clearing._daemon:_setup_persistent_emsd",
        "piker.clearing._rpc:halt_trading",
        "piker.clearing._rpc:open_order_dialog",
        "piker.clearing._rpc:resume_trading",
        "piker.service._children_rpc:list_own_services",
        "piker.service._children_rpc:restart_own_service",
        "piker.service._children_rpc:stop_own_service",
    },
    "paperboi.sim": _PAPERBOI,
    "paperboi.binance": _PAPERBOI,
    "paperboi.kraken": _PAPERBOI,
    "paperboi.deribit": _PAPERBOI,
    "paperboi.ib": _PAPERBOI,
    "samplerd": _ANY
    | {
        "piker.data._sampling:_setup_persistent_samplerd",
        "piker.data._sampling:stream_steps",
    },
}
