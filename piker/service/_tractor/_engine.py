"""The one place where the version of tractor is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._version import A5

if A5:
    from . import _a5 as engine
else:
    from . import _main as engine  # type: ignore[no-redef]

#: Messages a context holds for a consumer that isn't looking, before it is an error.
BUFFER_SIZE = 2**12


def _guard_rpc(func: Any, ns: str, name: str, refusal: Callable[..., Exception]) -> Any:
    """Let only endpoints be called: a module exposes all it imports otherwise."""
    if not hasattr(func, "__endpoint__"):
        raise refusal(f"{ns}:{name} is not an endpoint")
    return func


engine.prepare(_guard_rpc, BUFFER_SIZE)

Addr = engine.Addr
Uid = engine.Uid

__all__ = ["BUFFER_SIZE", "Addr", "Uid", "engine"]
