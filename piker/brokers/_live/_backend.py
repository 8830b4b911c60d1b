"""What a backend with live accounts brings, and whose it is."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from piker.errors import UsageError
from piker.msgs import MktPair

from ._secrets import Keys, Sealed
from ._venue import Session


@dataclass(frozen=True)
class LiveBackend:
    """What a backend with live accounts brings: ``BACKEND`` of its ``_orders``.

    Attributes:
      open_session: opens an account's session with what brokers.toml tells of it, one
        of *keys*.
      get_mkt: finds a market by its full name.
      keys: what brokers.toml tells of an account.
    """

    open_session: Callable[[str, Any], AbstractAsyncContextManager[Session]]
    get_mkt: Callable[[str], Awaitable[MktPair]]
    keys: type[Sealed] = Keys


def backend_of(broker: str) -> LiveBackend:
    """Return what a backend brings for live accounts; UsageError if nothing."""
    name = f"piker.brokers.{broker}._orders"
    try:
        module: Any = importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name != name:  # a fault of ours, or of the installation
            raise
        raise UsageError(f"{broker!r} has no live accounts") from None
    backend: LiveBackend = module.BACKEND
    return backend
