"""The backend contract: which names a backend offers to which daemon.

``_eps`` is the table; :func:`get_eps` says what a backend offers of it, and
:func:`validate_backend` refuses what a stream starts with if it isn't to the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from piker.brokers import (
    broker_name as broker_name,
    rpc_modules as rpc_modules,
    spawn_kwargs as spawn_kwargs,
)
from piker.errors import BadPayload, UsageError
from piker.msgs import FeedInit, Quote

#: Kind of host -> names of the endpoints that it calls.
_eps: Final[dict[str, tuple[str, ...]]] = {
    "middleware": ("get_client",),
    "datad": (
        "get_mkt_info",
        "open_history_client",
        "open_symbol_search",
        "stream_frames",
        "stream_quotes",
    ),
    "brokerd": ("open_trade_dialog", "norm_trade"),
    "paperboi": ("get_cost",),
}


def get_eps(mod: ModuleType, kind: str) -> dict[str, Callable[..., Any]]:
    """Return the endpoints of *kind* that the backend offers, by name."""
    if kind not in _eps:
        raise UsageError(f"no kind of endpoints {kind!r}; kinds: {', '.join(_eps)}")
    found = {name: getattr(mod, name, None) for name in _eps[kind]}
    return {name: func for name, func in found.items() if func is not None}


def missing_eps(mod: ModuleType, kind: str) -> list[str]:
    """Return the names of *kind* that the backend doesn't offer."""
    offered = get_eps(mod, kind)
    return [name for name in _eps[kind] if name not in offered]


def validate_backend(
    mod: ModuleType, symbols: list[str], inits: list[FeedInit], quotes: dict[str, Quote]
) -> None:
    """Check what a backend's stream started with.

    Raises:
      BadPayload: not one FeedInit and one first quote for each symbol.
    """
    name = broker_name(mod)
    told = [init.mkt.fqme for init in inits]
    if sorted(told) != sorted(symbols):
        raise BadPayload(
            f"backend {name!r} was asked for {sorted(symbols)} and described "
            f"{sorted(told)}"
        )
    lacking = sorted(set(told) - set(quotes))
    if lacking:
        raise BadPayload(f"backend {name!r} gave no first quote for {lacking}")
