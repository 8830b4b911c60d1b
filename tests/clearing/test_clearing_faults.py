"""A seeded sample of ``python -m benchmarks.faults clearing``."""

from __future__ import annotations

import pytest

from benchmarks._clearing_faults import KINDS, trade_and_kill

pytestmark = pytest.mark.tree


@pytest.mark.parametrize("kind", KINDS)
async def test_12_what_was_promised_is_there_whoever_is_killed(kind, tmp_path):
    outcome = await trade_and_kill(tmp_path, kind, kills=3, seed=5)
    assert (outcome.lost, outcome.doubled, outcome.wrong) == ([], [], [])
    assert outcome.kills == 3
    assert outcome.orders > 10
    assert outcome.fills > 5
