"""Where the recorded market data lies: the one place that knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ENV = "PIKER_TEST_DATA"
_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data"


def find_data_dir() -> Path | None:
    """Return the folder of recorded data, None if this machine has none."""
    told = os.environ.get(ENV)
    place = Path(told) if told else _BESIDE_THE_PROJECT
    return place if (place / "SOURCES.md").is_file() else None


def data_dir() -> Path:
    """Return the folder of recorded data, or skip the test and say why."""
    place = find_data_dir()
    if place is None:
        pytest.skip(f"no recorded market data: set {ENV} to its folder")
    return place


def binance_session(name: str) -> Path:
    """Return a recorded Binance session, e.g. ``usdm_hft/btcusdt_20240808.gz``."""
    return data_dir() / "history_and_streams" / f"binance_{name}"
