"""What tests of history and of stores share."""

from __future__ import annotations

import math

import pytest

from piker.data import _history
from piker.testing import private_dirs


@pytest.fixture
def clock(autojump_clock, monkeypatch):
    autojump_clock.autojump_threshold = 0.001  # a thread works meanwhile
    monkeypatch.setattr(_history, "NEWEST_DEADLINE_S", math.inf)  # or for longer
    return autojump_clock


@pytest.fixture
def dirs(tmp_path):
    with private_dirs(tmp_path / "dirs") as found:
        yield found
