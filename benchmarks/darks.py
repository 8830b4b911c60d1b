"""What a tick costs while darks wait: ten thousand of them beside ten."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from typing import Final

from piker.clearing._triggers import DarkBook, Trigger
from piker.msgs import Tick

from ._report import Report, compared

FLOOR = "the same with ten darks"
TIMES: Final = 1.2
FEW, MANY = 10, 10_000
_MID = 100_000  # cents


def run(rounds: int = 5, ticks: int = 100_000, changes: int = 2000) -> Report:
    """Measure nanoseconds a tick, and microseconds to add, fire and remove one.

    Args:
      rounds: of each, few and many in turn.
      ticks: of all types, of which none fires.
      changes: orders that are added, fired or removed while the others wait.
    """
    found: dict[int, dict[str, list[float]]] = {FEW: {}, MANY: {}}
    quiet = _ticks(ticks)
    for _ in range(rounds):
        for count, taken in found.items():
            book = _book(count)
            for name, each in (
                ("a tick that fires none", _passed(book, quiet)),
                *_changed(book, changes).items(),
            ):
                taken.setdefault(name, []).append(each)
    rows = [
        compared(name, "us", many, found[FEW][name], target=_target(name))
        for name, many in found[MANY].items()
    ]
    return Report("darks", FLOOR, tuple(rows))


def _target(name: str) -> float | None:
    return TIMES if name.startswith("a tick") else None


def _book(count: int) -> DarkBook:
    """Return a book of orders of all sides, within 1% to 50% of the price."""
    rng, book = random.Random(7), DarkBook()
    for i in range(count):
        way = "above" if i % 2 else "below"
        away = rng.randrange(_MID // 100, _MID // 2) * (1 if i % 2 else -1)
        action = ("buy", "sell", "alert")[i % 3]
        level = Decimal(_MID + away).scaleb(-2)
        book.add(f"dark{i}", Trigger(level=level, way=way, action=action))
    return book


def _ticks(count: int) -> list[Tick]:
    rng = random.Random(8)
    kinds = ("trade", "bid", "ask", "bsize", "asize")
    return [
        Tick(kinds[i % 5], (_MID + rng.randrange(-500, 500)) / 100, 1.0)
        for i in range(count)
    ]


def _passed(book: DarkBook, ticks: list[Tick]) -> float:
    began = time.perf_counter()
    fired = book.fire(ticks)
    took_s = time.perf_counter() - began
    assert not fired
    return took_s / len(ticks) * 1e6


def _changed(book: DarkBook, count: int) -> dict[str, float]:
    """Return microseconds to add one near the price, and to be rid of it."""
    near = Trigger(level=Decimal(_MID + 600).scaleb(-2), way="above", action="buy")
    tick = [Tick("ask", (_MID + 600) / 100, 1.0)]
    took = {"to add one": 0.0, "a tick that fires one": 0.0, "to remove one": 0.0}
    for _ in range(count):
        at = [time.perf_counter()]
        book.add("near", near)
        at.append(time.perf_counter())
        assert len(book.fire(tick)) == 1
        at.append(time.perf_counter())
        book.add("near", near)
        at.append(time.perf_counter())
        book.remove("near")
        at.append(time.perf_counter())
        took["to add one"] += (at[1] - at[0] + at[3] - at[2]) / 2
        took["a tick that fires one"] += at[2] - at[1]
        took["to remove one"] += at[4] - at[3]
    return {name: each / count * 1e6 for name, each in took.items()}
