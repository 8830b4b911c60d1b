"""What every test may use."""

from __future__ import annotations

from functools import partial

import pytest

from piker import testing


@pytest.fixture
def open_test_pikerd(tmp_path):
    """Opens a private tree in a folder of the test's own."""
    return partial(testing.open_test_pikerd, tmp_path / "tree")
