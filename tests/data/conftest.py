"""What tests of history and of stores share."""

from __future__ import annotations

import pytest

from piker.testing import private_dirs
from tests.data._clock import waits_for_threads


@pytest.fixture
def clock(autojump_clock):
    """A clock that jumps when all tasks wait, but not while a thread works for one."""
    with waits_for_threads(autojump_clock):
        yield autojump_clock


@pytest.fixture
def dirs(tmp_path):
    with private_dirs(tmp_path / "dirs") as found:
        yield found
