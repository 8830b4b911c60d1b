"""What is typed at commands, without the library that typer loads to look at it.

Some releases of typer (0.29 is one) look at every value, also at None and at plain
text, by pydantic: a fifth of the start of a command that reaches for nothing else.
Here only values that are to become something else are looked at so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer.core


class _Late:
    """Coerces one parameter as typer does, which it asks where there is need only."""

    def __init__(self, descriptor: Any, build: Callable[[Any], Any]) -> None:
        self._descriptor = descriptor
        self._build = build

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_many = param.multiple or param.nargs == -1
        if value is None:
            return () if is_many else None
        if self._is_as_wanted(value, is_many=is_many):
            return list(value) if is_many else value
        return self._build(self._descriptor).coerce(value, param=param, ctx=ctx)

    def _is_as_wanted(self, value: Any, *, is_many: bool) -> bool:
        info, kind = self._descriptor.parameter_info, self._descriptor.annotation
        if info.parser is not None:
            return False
        if is_many:
            return (
                kind == list[str]
                and isinstance(value, list | tuple)
                and all(type(each) is str for each in value)
            )
        if kind is str:
            return type(value) is str
        if kind not in (int, float) or type(value) is not kind:
            return False
        least, most = info.min, info.max
        return (least is None or value >= least) and (most is None or value <= most)


def leave_text_alone() -> None:
    """Have typer take text and what wasn't typed as they are, if it does otherwise."""
    core: Any = typer.core
    build = getattr(core, "build_runtime_param", None)
    if build is not None and not isinstance(build, _Builder):
        core.build_runtime_param = _Builder(build)


class _Builder:
    def __init__(self, build: Callable[[Any], Any]) -> None:
        self._build = build

    def __call__(self, descriptor: Any) -> _Late:
        return _Late(descriptor, self._build)
