"""Symbol search over sim's 20,000 markets: in process, and from a client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import chain
from typing import Final

from piker.brokers.sim._search import _search as search
from piker.brokers.sim._universe import iter_universe

from ._procs import piker_tree
from ._report import Report, compared, quantile

FLOOR = "rapidfuzz.process.extract with WRatio over the same names and descriptions"
IN_PROCESS_MS = 10.0
CLIENT_MS = 30.0
#: Repeats of a search in process, of which the fastest counts.
BEST_OF = 3
_LIMIT = 20
#: What people type that isn't a part of one name.
WORDS: Final = (
    "", "a", "e", "1", "btc", "xbt", "btcusdt", "btcustd", "btc/usdt", "BTC-USDT",
    "eth perp", "usdt", "perp", "option", "mnq", "mnq dec 2026", "tsla 200 call",
    "telsa", "bitcoin", "qqqqzzzz", "zzz", "é", "比特币", "\u2028?!", "x" * 1000,
    "btc " * 250, "a b c d e f g h i j k l", "btcusdt.usdtm.perp.sim",
)  # fmt: skip


def run(rounds: int = 5, patterns: int = 200, floor_patterns: int = 20) -> Report:
    """Measure the time of a search, milliseconds, over a mix of what people type."""
    asked = _patterns(patterns)
    names = [f"{row.fqme} {row.description}" for row in iter_universe()]
    search("warm", _LIMIT, "")
    inside: list[list[float]] = []
    floor: list[list[float]] = []
    opened: list[list[float]] = []
    once: list[list[float]] = []
    for _ in range(rounds):
        inside.append(_timed(asked, lambda text: search(text, _LIMIT, "")))
        floor.append(_timed(asked[:floor_patterns], lambda text: _bare(text, names)))
        through = _through_datad(asked)
        opened.append(through["took"])
        once.append(through["once"])
    rows = []
    for name, taken, target in (
        ("in process", inside, IN_PROCESS_MS),
        ("from a client", opened, CLIENT_MS),
        ("from a client, opened for it", once, None),
    ):
        for part, share, aim in (("half", 0.5, None), ("99 of 100", 0.99, target)):
            ours = [quantile(times, share) for times in taken]
            bare = [quantile(times, share) for times in floor]
            row = f"{name}, {part} are faster than"
            rows.append(compared(row, "ms", ours, bare, rule="<=", target=aim))
    return Report("search", FLOOR, tuple(rows))


def _patterns(count: int) -> list[str]:
    """Return a mix of words, parts of names and typos; the same in each run."""
    dice = random.Random(3)
    names = [row.fqme for row in iter_universe()]
    kinds = (_prefix, _inside, _typo, _pair)
    parts = (dice.choice(kinds)(dice.choice(names), dice) for _ in range(count))
    asked = list(chain(WORDS, parts))[:count]
    dice.shuffle(asked)
    return asked


def _pair(name: str, _: random.Random) -> str:
    return name.partition(".")[0]


def _prefix(name: str, dice: random.Random) -> str:
    return name[: dice.randint(1, len(name))]


def _inside(name: str, dice: random.Random) -> str:
    first = dice.randrange(len(name))
    return name[first : first + dice.randint(1, 8)]


def _typo(name: str, dice: random.Random) -> str:
    letters = [*name.partition(".")[0]]
    at = dice.randrange(len(letters))
    letters[at : at + 2] = reversed(letters[at : at + 2])
    return "".join(letters)


def _timed(asked: list[str], find: Callable[[str], object]) -> list[float]:
    # a neighbour on the core only ever makes it slower
    return [min(_once(text, find) for _ in range(BEST_OF)) for text in asked]


def _once(text: str, find: Callable[[str], object]) -> float:
    began_ns = time.perf_counter_ns()
    find(text)
    return (time.perf_counter_ns() - began_ns) / 1e6


def _bare(text: str, names: list[str]) -> object:
    from rapidfuzz import fuzz, process, utils

    return process.extract(
        text,
        names,
        scorer=fuzz.WRatio,
        processor=utils.default_process,
        limit=_LIMIT,
    )


def _through_datad(asked: list[str]) -> dict[str, list[float]]:
    with piker_tree() as tree, tree.client("searches", patterns=asked) as client:
        return {key: [ns / 1e6 for ns in took] for key, took in client.hear().items()}
