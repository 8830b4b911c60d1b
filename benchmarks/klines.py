"""REST bodies of bars into arrays: rows a CPU second, beside json.loads of them.

bytes of a klines request --> OHLCV                       (one process, no socket)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from piker.brokers.binance._rest import parse_klines
from piker.brokers.kraken._rest import parse_ohlc

from ._report import Measure, Report, alternate, compared

ROWS_S = 600_000
FLOOR = "json.loads of the same bytes"
#: Rows of one answer, as many as the venues give.
_BINANCE_ROWS, _KRAKEN_ROWS = 1_000, 720
_FIRST_S = 1_700_000_040


def run(rounds: int = 5, bodies: int = 100) -> Report:
    """Measure rows a second; *bodies* are parsed a round."""
    cases = (
        ("binance klines", binance_body(_BINANCE_ROWS), _BINANCE_ROWS, parse_klines),
        ("kraken ohlc", kraken_body(_KRAKEN_ROWS), _KRAKEN_ROWS, parse_ohlc),
    )
    return Report(
        "klines", FLOOR, tuple(_measure(rounds, bodies, *case) for case in cases)
    )


def _measure(
    rounds: int,
    bodies: int,
    name: str,
    body: bytes,
    rows: int,
    parse: Callable[[bytes], Any],
) -> Measure:
    def speed(read: Callable[[bytes], Any]) -> float:
        began = time.process_time()  # neighbours on the machine don't count
        for _ in range(bodies):
            read(body)
        return bodies * rows / (time.process_time() - began)

    ours, floor = alternate(rounds, lambda: speed(parse), lambda: speed(json.loads))
    return compared(name, "rows/s", ours, floor, rule=">=", target=ROWS_S)


def binance_body(rows: int) -> bytes:
    """Return a klines body of that many minutes, as the venue writes it."""
    told = [
        [
            (_FIRST_S + i * 60) * 1000,
            f"{36500 + i * 0.01:.8f}",
            f"{36510 + i * 0.01:.8f}",
            f"{36490 + i * 0.01:.8f}",
            f"{36505 + i * 0.01:.8f}",
            f"{12.34567 + i:.8f}",
            (_FIRST_S + i * 60) * 1000 + 59_999,
            f"{450481.2 + i:.8f}",
            115 + i,
            f"{6.1 + i:.8f}",
            f"{222590.6 + i:.8f}",
            "0",
        ]
        for i in range(rows)
    ]
    return json.dumps(told, separators=(",", ":")).encode()


def kraken_body(rows: int) -> bytes:
    """Return an OHLC body of that many minutes, as the venue writes it."""
    told = [
        [
            _FIRST_S + i * 60,
            f"{36500 + i * 0.1:.1f}",
            f"{36510 + i * 0.1:.1f}",
            f"{36490 + i * 0.1:.1f}",
            f"{36505 + i * 0.1:.1f}",
            f"{36501 + i * 0.1:.1f}",
            f"{12.34567 + i:.8f}",
            115 + i,
        ]
        for i in range(rows)
    ]
    result = {"XXBTZUSD": told, "last": _FIRST_S + rows * 60 - 120}
    return json.dumps({"error": [], "result": result}, separators=(",", ":")).encode()
