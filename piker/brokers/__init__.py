"""Backends by name, and what they share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from piker.config import BROKERS
from piker.errors import BrokerNotFound

from ._backend import (
    FeedItem as FeedItem,
    FrameSink as FrameSink,
    GetBars as GetBars,
    HistoryConf as HistoryConf,
    Lost as Lost,
    OnClock as OnClock,
    Reached as Reached,
    ResumePoint as ResumePoint,
    Started as Started,
    StreamFrames as StreamFrames,
    StreamQuotes as StreamQuotes,
    TickBatch as TickBatch,
    serve_search as serve_search,
)
from ._cost import (
    GetCost as GetCost,
    cost_at_rate as cost_at_rate,
    cost_by_rates as cost_by_rates,
)
from ._mods import (
    broker_name as broker_name,
    rpc_modules as rpc_modules,
    spawn_kwargs as spawn_kwargs,
)

#: Backends that ship with piker.
BACKENDS: tuple[str, ...] = BROKERS


def check_broker(name: str) -> None:
    """Raise BrokerNotFound unless a backend is called *name*.

    Imports none: what a backend is made of is its daemons' affair, and a client that
    only names it starts that much sooner.
    """
    if name not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise BrokerNotFound(f"no broker {name!r}; known: {known}")


def get_brokermod(name: str) -> ModuleType:
    """Return the backend called *name*; raises BrokerNotFound."""
    check_broker(name)
    return importlib.import_module(f"{__name__}.{name}")


def iter_brokermods() -> Iterator[ModuleType]:
    """Yield all backends."""
    for name in BACKENDS:
        yield get_brokermod(name)


from ._daemon import (  # noqa: E402 - it looks backends up by what stands above
    brokerd_init as brokerd_init,
    maybe_spawn_brokerd as maybe_spawn_brokerd,
    spawn_brokerd as spawn_brokerd,
)
