"""Sessions to play: a made one at an even pace, and the recorded ones of the tests."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

#: The market of `write_session`.
SESSION_FQME: Final = "btcusdt.usdtm.perp.binance.sim"
#: Beyond all of its prices, and in between.
LOW: Final = Decimal(60_990)
TOP: Final = Decimal(61_010)
MIDDLE: Final = Decimal("61002.5")
#: The market of `write_windows`, and how long it is silent, then loud, in turn.
WINDOWS_FQME: Final = "ethusdt.usdtm.perp.binance.sim"
WINDOW_S: Final = 3
_WINDOW_NS: Final = WINDOW_S * 10**9
_ORIGIN_NS: Final = 1_700_000_000_000_000_000
_BESIDE_THE_PROJECT: Final = Path(__file__).resolve().parents[2] / "shared" / "data"


def write_session(
    path: Path, rate_hz: float, seconds: float, quotes_a_trade: int = 0
) -> None:
    """Write a futures session of evenly spaced frames, each stamped when it is due.

    Before each trade stand *quotes_a_trade* frames of bid and ask.
    """
    step_ms = round(1000 / rate_hz)
    with path.open("w", encoding="ascii") as file:
        for i in range(int(seconds * rate_hz)):
            due_ms = _ORIGIN_NS // 1_000_000 + i * step_ms
            is_trade = not (i + 1) % (quotes_a_trade + 1)
            frame = (_trade if is_trade else _book_ticker)(i, due_ms)
            file.write(f"{due_ms * 1_000_000} {json.dumps(frame)}\n")


def write_windows(path: Path, rate_hz: float, seconds: float) -> None:
    """Write a session of a market that is silent and loud in turn.

    Args:
      path: of the file.
      rate_hz: frames a second while it is loud, three of four of bid and ask; it is
        100 times less while it isn't.
      seconds: of all.
    """
    with path.open("w", encoding="ascii") as file:
        at_ns, i = _ORIGIN_NS, 0
        while at_ns < _ORIGIN_NS + seconds * 1e9:
            frame = (_book_ticker if (i + 1) % 4 else _trade)(
                i, at_ns // 1_000_000, "ETHUSDT"
            )
            file.write(f"{at_ns} {json.dumps(frame)}\n")
            at_ns += int((1 if is_loud(at_ns) else 100) * 1e9 / rate_hz)
            i += 1


def is_loud(now_ns: int) -> bool:
    """Tell whether the market of `write_windows` is loud, by its clock."""
    return (now_ns - _ORIGIN_NS) // _WINDOW_NS % 2 == 1


def _trade(i: int, due_ms: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = {
        "e": "trade",
        "E": due_ms,
        "T": due_ms,
        "s": symbol,
        "t": i + 1,
        "p": f"{61000 + i % 50 * 0.1:.1f}",
        "q": "0.123",
        "X": "MARKET",
        "m": bool(i % 2),
    }
    return {"stream": f"{symbol.lower()}@trade", "data": data}


def _book_ticker(i: int, due_ms: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = {
        "e": "bookTicker",
        "u": i + 1,
        "s": symbol,
        "b": f"{60999.9 + i % 50 * 0.1:.1f}",
        "B": "2.507",
        "a": f"{61000 + i % 50 * 0.1:.1f}",
        "A": "2.510",
        "T": due_ms,
        "E": due_ms,
    }
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def recorded_session() -> Path | None:
    """Return a recorded futures session, 94,000 frames; None if there is none here."""
    told = os.environ.get("PIKER_TEST_DATA")
    folder = Path(told) if told else _BESIDE_THE_PROJECT
    path = folder / "history_and_streams/binance_usdm_hft/btcusdt_20240808.gz"
    return path if path.is_file() else None
