"""A feed with a past: how much sooner it would be open without one, and all of it.

emulated Binance --> datad, which runs --> open_feed() of a market it doesn't have yet
floor: the same without history, nothing stored
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from piker.testing.emulator import VENUES

from ._procs import Program, Tree, piker_tree, running
from ._report import Report, compared

FLOOR: Final = "open_feed() of the same market without history"
FQME: Final = "btcusdt.spot.binance"
_OTHER: Final = "ethusdt.spot.binance"
_SIM: Final = ("btcusdt.spot.sim", "ethusdt.spot.sim")
#: A thousand bars of each period.
_WARM: Final = "[data]\nhist_days = 0.6944\nrt_hours = 0.2777\n"
_NONE: Final = "[data]\nhist_days = 0\nrt_hours = 0\nstore = false\n"
_LOAD_DEADLINE_S: Final = 30.0


def run(rounds: int = 5) -> Report:
    """Measure the time of ``open_feed()``, milliseconds, and how long all takes."""
    warm: list[float] = []
    without: list[float] = []
    with (
        _venue() as venue,
        tempfile.TemporaryDirectory(prefix="piker-bench-history-") as folder,
    ):
        places = {conf: Path(folder) / name for conf, name in _FOLDERS.items()}
        for place in places.values():
            place.mkdir()
        cold, loaded = _cold(venue, places[_WARM])
        for _ in range(rounds):
            without.append(_open(_NONE + venue, places[_NONE]))
            warm.append(_open(_WARM + venue, places[_WARM]))
    rows = (
        compared("open_feed(), 1,000 bars stored", "ms", warm, without, target=1.3),
        compared("open_feed(), nothing stored", "ms", [cold], without),
        compared("from there until 1,000 bars of each are stored", "s", [loaded]),
    )
    return Report("history", FLOOR, rows)


_FOLDERS: Final = {_WARM: "warm", _NONE: "none"}


@contextmanager
def _venue() -> Iterator[str]:
    """Run an emulated venue; yield text for ``conf.toml`` that leads there."""
    argv = ("piker.testing.emulator", VENUES[0], "--history-s", "90000", "--sim", *_SIM)
    with running(Program(argv)) as emulator:
        port = emulator.hear()["port"]
        yield (
            f'[brokers.binance]\nspot_rest = "http://127.0.0.1:{port}"\n'
            f'spot_ws = "ws://127.0.0.1:{port}"\n'
        )


def _open(conf: str, place: Path) -> float:
    """Return how long a market's feed takes to open, where datad runs, ms."""
    with piker_tree(conf, place) as tree, _watched(tree, _OTHER):
        return _first_ms(tree)


def _cold(venue: str, place: Path) -> tuple[float, float]:
    """Return that for a market with nothing stored, and until its past is, seconds."""
    with piker_tree(_WARM + venue, place) as tree, _watched(tree, _OTHER):
        took_ms = _first_ms(tree)
        began = time.perf_counter()
        with tree.client("loaded", fqmes=[FQME]) as client:
            client.hear(_LOAD_DEADLINE_S)
        return took_ms, time.perf_counter() - began


@contextmanager
def _watched(tree: Tree, fqme: str) -> Iterator[None]:
    """Have datad run, connected, with another market."""
    with tree.client("first", fqmes=[fqme]) as client:
        client.hear()
        client.hear_key("live")
        yield


def _first_ms(tree: Tree) -> float:
    with tree.client("first", fqmes=[FQME]) as client:
        said = client.hear()
        client.hear_key("live")
        return (said["first"] - said["began"]) / 1e6
