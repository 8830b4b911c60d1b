"""What every daemon lets others call, whatever its kind. Endpoints only."""

from __future__ import annotations

from . import _tractor as tr
from ._introspect import task_tree


@tr.endpoint(started=str)
async def dump_tasks(ctx: tr.Context) -> None:
    """Started: this actor's task tree as text."""
    await ctx.started(task_tree())
