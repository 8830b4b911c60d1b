"""What it takes to start a daemon, and which kinds there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from piker._forkserver import Preload

#: Kind of daemon -> ``module:function`` that starts one; run inside pikerd. Strings,
#: since service knows no daemon: each package brings its own.
SPAWNERS: Final[dict[str, str]] = {
    "brokerd": "piker.brokers._daemon:spawn_brokerd",
    "datad": "piker.data._daemon:spawn_datad",
    "emsd": "piker.clearing._daemon:spawn_emsd",
    "paperboi": "piker.clearing._paper:spawn_paperboi",
    "samplerd": "piker.data._sampling:spawn_samplerd",
}

#: ``module:function`` that return the daemons pikerd starts when it comes up, by name.
AT_BOOT: Final[tuple[str, ...]] = ("piker.clearing._daemon:wanted_at_boot",)

#: ``module:function`` of tasks that pikerd runs beside its supervision.
BESIDE: Final[tuple[str, ...]] = ("piker.clearing._farewell:watch_over",)

#: What daemons import, for their fork server; save what starts threads, as polars does,
#: and IB's library: 0.15 s and 6 MB in each tree, for the one daemon that wants it.
PRELOAD: Final = Preload(
    first=(
        *dict.fromkeys(spawner.partition(":")[0] for spawner in SPAWNERS.values()),
        "piker.service._actor_rpc",
        "argparse",  # tractor's start
        "caio.linux_aio",
        "numpy.ma",
    ),
    idle=(
        "piker.brokers.sim",
        "piker.brokers.binance",
        "piker.brokers.kraken",
        "piker.brokers.deribit",
    ),
)

#: What pikerd itself lets others call.
PIKERD_MODULES: Final[tuple[str, ...]] = ("piker.service._rpc",)

#: Order in which daemons are ended; kinds not named come first.
TEARDOWN: Final[tuple[str, ...]] = ("emsd", "paperboi", "brokerd", "datad", "samplerd")


@dataclass(frozen=True, kw_only=True)
class DaemonSpec:
    """One daemon; pure data, made by ``<kind>_init``.

    Attributes:
      name: actor name, ``<kind>`` or ``<kind>.<broker>``.
      enable_modules: whose endpoints others may call.
      setup: the endpoint that is its life, ``_setup_persistent_<kind>``.
      setup_kwargs: of it.
      spawn_kwargs: of the process, e.g. ``infect_asyncio``; the backend's wish.
      supervises: whether it has daemons of its own, which pikerd shows and commands.
    """

    name: str
    enable_modules: tuple[str, ...]
    setup: Callable[..., Any]
    setup_kwargs: dict[str, Any] = field(default_factory=dict)
    spawn_kwargs: dict[str, Any] = field(default_factory=dict)
    supervises: bool = False


def kind_of(name: str) -> str:
    """Return the kind of the daemon called *name*."""
    return name.partition(".")[0]


def teardown_rank(name: str) -> int:
    """Return the place of *name* in the order of ending, first is 0."""
    kind = kind_of(name)
    return TEARDOWN.index(kind) + 1 if kind in TEARDOWN else 0
