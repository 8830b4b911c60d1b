"""What a backend's module says of the daemons that host it."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def broker_name(mod: ModuleType) -> str:
    """Return a backend's name."""
    return mod.__name__.rpartition(".")[2]


def rpc_modules(mod: ModuleType, kind: str) -> tuple[str, ...]:
    """Return the backend's modules whose endpoints the daemon *kind* exposes."""
    fallback: tuple[str, ...] = getattr(mod, "__enable_modules__", ())
    return tuple(getattr(mod, f"_{kind}_mods", fallback))


def spawn_kwargs(mod: ModuleType) -> dict[str, Any]:
    """Return what the backend asks of the process of **every** daemon that hosts it."""
    return dict(getattr(mod, "_spawn_kwargs", {}))
