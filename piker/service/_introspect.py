"""What an actor is doing: its task tree as text."""

from __future__ import annotations

import traceback
from types import CoroutineType, FrameType
from typing import Any

import trio


def _frames(coro: Any) -> list[FrameType]:
    """Return the frames a suspended task stands in, outermost first."""
    frames: list[FrameType] = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        frame = frame or getattr(coro, "ag_frame", None)
        if frame is None:
            break
        frames.append(frame)
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
        if not isinstance(coro, CoroutineType) and not hasattr(coro, "gi_frame"):
            coro = getattr(coro, "ag_await", None)
    return frames


def _telling(frames: list[FrameType]) -> list[FrameType]:
    """Return the innermost frames that say what a task does: none of trio's traps."""
    own = [f for f in frames if "/trio/_core/" not in f.f_code.co_filename]
    return (own or frames)[-2:]


def _task_lines(task: trio.lowlevel.Task, depth: int) -> list[str]:
    pad = "  " * depth
    lines = [f"{pad}{task.name}"]
    for frame in _telling(_frames(task.coro)):
        at = traceback.extract_stack(frame, 1)[0]
        lines.append(f"{pad}  | {at.filename}:{at.lineno} {at.name}: {at.line}")
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda t: t.name):
            lines += _task_lines(child, depth + 1)
    return lines


def task_tree() -> str:
    """Return all tasks of this trio run, nested by nursery, with where each waits."""
    root = trio.lowlevel.current_root_task()
    return "\n".join(_task_lines(root, 0))
