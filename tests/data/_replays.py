"""Recorded sessions: what they say, worked out without any code of piker."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from functools import cache
from pathlib import Path

from tests._data import binance_session
from tests.data._naive import NS, Print, naive_bars

#: File below ``binance_`` -> the market it plays back.
SESSIONS = {
    "usdm_hft/btcusdt_20240808.gz": "btcusdt.usdtm.perp.binance.sim",
    "usdm_hft/ethusdt_20240808.gz": "ethusdt.usdtm.perp.binance.sim",
    "spot_hft/btcusdt_20240808.gz": "btcusdt.spot.binance.sim",
    "spot_hft/btcusdt_20240809.gz": "btcusdt.spot.binance.sim",
    "spot_hft/ethusdt_20240808.gz": "ethusdt.spot.binance.sim",
}


@cache
def prints_of(path: Path) -> tuple[Print, ...]:
    """Return the trades of a session that its venue counts in its own bars."""
    found = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if '"trade"' not in line:
                continue  # most are of the book
            frame = json.loads(line.partition(" ")[2])
            data = frame.get("data", {})
            if data.get("e") == "trade" and data.get("X", "MARKET") == "MARKET":
                found.append(
                    Print(
                        data["T"] * NS // 1000,
                        data["t"],
                        Decimal(data["p"]),
                        Decimal(data["q"]),
                    )
                )
    return tuple(found)


def bars_of(name: str, period_s: int) -> list[tuple]:
    """Return the bars of a session's trades by venue time, without holes."""
    return list(_bars_of(name, period_s))


@cache
def _bars_of(name: str, period_s: int) -> tuple[tuple, ...]:
    return tuple(naive_bars(prints_of(binance_session(name)), period_s))


def conf_of(*names: str, speed: float = 0, **data: int) -> str:
    """Return a ``conf.toml`` that offers sessions at *speed*."""
    files = ", ".join(f'"{binance_session(name)}"' for name in names)
    sizes = "".join(f"{key} = {value}\n" for key, value in data.items())
    return f"[sim]\nspeed = {speed}\nsessions = [{files}]\n[data]\n{sizes}"


def rows(shm) -> list[tuple]:
    """Return all bars of a buffer."""
    return shm.last(shm.capacity).to_structured().tolist()
