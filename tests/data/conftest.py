"""What tests of history and of stores share."""

from __future__ import annotations

import math

import pytest
import trio

from piker.data import _history, _keeper
from piker.testing import private_dirs

#: How long a thread may work, real seconds, before time jumps on without it.
HUNG_S = 20.0


@pytest.fixture
def clock(autojump_clock, monkeypatch):
    """A clock that jumps when all tasks wait, but not while a thread works for one."""
    working = 0
    run_sync = trio.to_thread.run_sync

    async def waited_for(*args, **kwargs):
        nonlocal working
        working += 1
        autojump_clock.autojump_threshold = HUNG_S
        try:
            return await run_sync(*args, **kwargs)
        finally:
            working -= 1
            if not working:
                autojump_clock.autojump_threshold = 0.001  # one that was abandoned

    monkeypatch.setattr(trio.to_thread, "run_sync", waited_for)
    for name in ("NEWEST_DEADLINE_S", "TAIL_DEADLINE_S", "CLOSE_DEADLINE_S"):
        monkeypatch.setattr(_history, name, math.inf)
    monkeypatch.setattr(_keeper, "CLOSE_DEADLINE_S", math.inf)
    autojump_clock.autojump_threshold = 0.001
    return autojump_clock


@pytest.fixture
def dirs(tmp_path):
    with private_dirs(tmp_path / "dirs") as found:
        yield found
