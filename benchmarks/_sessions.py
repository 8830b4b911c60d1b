"""Sessions to play: a made one at an even pace, and the recorded ones of the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

#: The market of `write_session`.
SESSION_FQME: Final = "btcusdt.spot.binance.sim"
_ORIGIN_NS: Final = 1_700_000_000_000_000_000
_BESIDE_THE_PROJECT: Final = Path(__file__).resolve().parents[2] / "shared" / "data"


def write_session(path: Path, rate_hz: float, seconds: float) -> None:
    """Write a spot session of evenly spaced trades, each stamped when it is due."""
    step_ms = round(1000 / rate_hz)
    with path.open("w", encoding="ascii") as file:
        for i in range(int(seconds * rate_hz)):
            due_ms = _ORIGIN_NS // 1_000_000 + i * step_ms
            trade = {
                "e": "trade",
                "E": due_ms,
                "s": "BTCUSDT",
                "t": i + 1,
                "p": f"{61000 + i % 50 * 0.01:.2f}",
                "q": "0.00123",
                "T": due_ms,
                "m": bool(i % 2),
                "M": True,
            }
            frame = {"stream": "btcusdt@trade", "data": trade}
            file.write(f"{due_ms * 1_000_000} {json.dumps(frame)}\n")


def recorded_session() -> Path | None:
    """Return a recorded futures session, 94,000 frames; None if there is none here."""
    told = os.environ.get("PIKER_TEST_DATA")
    folder = Path(told) if told else _BESIDE_THE_PROJECT
    path = folder / "history_and_streams/binance_usdm_hft/btcusdt_20240808.gz"
    return path if path.is_file() else None
