"""Which markets a few letters mean, the likeliest first: one ranking for all backends.

    entries --SymbolIndex--> the words of their names, kinds and descriptions
    pattern --.search()----> points for how its words are met, less what kind, quote
                             and volume cost --> the best few

Pure, a few milliseconds over 20,000 markets. It must never ask a venue anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Final

import numpy as np

from piker.msgs import Match
from piker.types import Struct

from ._words import MISSPELT_CHARS, Points, WordIndex

# What a word of a market is: its own name, a part that narrows it (venue, expiry,
# strike), or the rest (quote, kind, description); and, by column, what it is worth if
# not met, met inside, at its beginning, exactly, one letter off, two letters off.
_NAME, _PART, _TEXT = 0, 1, 2
_POINTS: Final = np.array(
    (
        (0, 55, 85, 95, 90, 65),
        (0, 50, 65, 95, 75, 55),
        (0, 45, 60, 70, 75, 55),
    ),
    np.uint8,
)
_FULL_NAME: Final = 100.0
_ANY: Final = 50.0  # an empty pattern fits everything
_MISSPELT_SHARE: Final = 0.45  # below all that is spelt right
_HALTED_SHARE: Final = 0.1  # of its points is left to a market that doesn't trade

# Together below 5, the least distance between two ways of being met.
_KIND_COST, _QUOTE_COST, _VOLUME_COST = 1.2, 0.4, 0.35
_CASH: Final = frozenset({"crypto", "stock", "fiat", "index", "commodity", "bond"})
_OPTIONS: Final = frozenset({"option", "futures_option"})
_DOLLARS: Final = frozenset({"", "usdt", "usd", "usdc", "fdusd"})
_MAJORS: Final = frozenset({"eur", "gbp", "jpy", "btc", "xbt", "eth"})
_OTHER_NAMES: Final = {"btc": "xbt", "xbt": "btc", "doge": "xdg", "xdg": "doge"}

_MAX_WORDS: Final = 10
_RUN: Final = re.compile(r"[^\W_]+")


class Entry(Struct, frozen=True, gc=False):
    """One market to search for.

    Attributes:
      fqme: full name.
      kind: asset type of the market.
      description: a few words, may be empty.
      volume: of a day, or anything that grows with it; 0 if unknown.
      trading: whether it trades at all.
      base, quote: what is bought, for what; empty where the name doesn't tell.
      aliases: further names, dotted like full ones.
    """

    fqme: str
    kind: str
    description: str = ""
    volume: float = 0.0
    trading: bool = True
    base: str = ""
    quote: str = ""
    aliases: tuple[str, ...] = ()


class SymbolIndex:
    """A list of markets, to be searched; never changed, so threads may share it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        told = list(entries)
        costs = _costs(told)
        order = np.argsort(costs, kind="stable")
        self._entries = [told[at] for at in order]
        self._costs = costs[order]
        self._halted = np.array([not one.trading for one in self._entries], bool)
        kinds: dict[str, int] = {}
        numbers = (kinds.setdefault(one.kind, len(kinds)) for one in self._entries)
        self._kinds = np.fromiter(numbers, np.int32, len(order))
        self._kind_numbers = kinds
        self._rows = {one.fqme: row for row, one in enumerate(self._entries)}
        uses = (
            (word, row, field)
            for row, one in enumerate(self._entries)
            for word, field in _words_of(one).items()
        )
        self._words = WordIndex(uses, len(self._entries), _POINTS)

    def __len__(self) -> int:
        return len(self._entries)

    def search(self, pattern: str, limit: int, kind: str = "") -> list[Match]:
        """Return the markets that fit *pattern*, best first.

        Args:
          pattern: words in any case, each of which must fit, up to the tenth;
            ``btc/usdt`` is a word, and two. An empty one fits everything.
          limit: of matches.
          kind: asset type they must have; any if empty.
        """
        words = list(dict.fromkeys(pattern.casefold().split()))
        points = np.full(len(self), _ANY) if not words else self._rate(words)
        exact = self._rows.get(pattern.strip().lower(), -1)
        if exact >= 0:
            points[exact] = _FULL_NAME
        if kind:
            points[self._kinds != self._kind_numbers.get(kind, -1)] = 0.0
        rows = np.flatnonzero(points)
        scores = points[rows] - self._costs[rows]
        scores[self._halted[rows]] *= _HALTED_SHARE
        scores[rows == exact] = _FULL_NAME
        # rows ascend by what they cost, and a stable sort keeps that order
        best = np.argsort(-scores, kind="stable")[: max(limit, 0)]
        return [self._match(int(rows[at]), float(scores[at])) for at in best]

    def _match(self, row: int, score: float) -> Match:
        one = self._entries[row]
        text = one.description
        if not one.trading:
            text = f"{text} (not trading)".lstrip()
        return Match(fqme=one.fqme, kind=one.kind, score=score, description=text)

    def _rate(self, words: list[str]) -> Points:
        groups = _groups(words)
        if not groups:
            return np.zeros(len(self))
        as_spelt = cache(self._words.rate)
        points = _rate_all(groups, as_spelt)
        if points.any():
            return points

        def rate(run: str) -> Points:
            is_short = len(run) < MISSPELT_CHARS
            return as_spelt(run) if is_short else self._words.rate_misspelt(run)

        return _rate_all(groups, cache(rate)) * _MISSPELT_SHARE


def _groups(words: list[str]) -> list[list[str]]:
    """Return what stands between separators in each word, ten in all at most."""
    groups: list[list[str]] = []
    left = _MAX_WORDS
    for word in words:
        runs = _RUN.findall(word)[:left]
        left -= len(runs)
        if runs:
            groups.append(runs)
    return groups


def _rate_all(groups: list[list[str]], rate: Callable[[str], Points]) -> Points:
    """Return the points of rows that fit every group, its runs joined or one by one."""

    def joined(runs: list[str], points: Points) -> Points:
        return np.maximum(points, rate("".join(runs))) if len(runs) > 1 else points

    def rate_group(runs: list[str]) -> Points:
        return joined(runs, _mean(rate(run) for run in runs))

    points = _mean(rate_group(runs) for runs in groups)
    return joined([*chain(*groups)], points) if len(groups) > 1 else points


def _mean(each: Iterator[Points]) -> Points:
    """Return the mean of each row, 0 where one is 0; ends early if all are."""
    total = next(each)
    fits = total > 0
    count = 1
    for points in each:
        fits &= points > 0
        if not fits.any():
            return np.zeros(len(total))
        total = total + points
        count += 1
    return np.where(fits, total / count, 0.0) if count > 1 else total


# -- what is known of a market --------------------------------------------------------


def _costs(entries: list[Entry]) -> Points:
    """Return what is taken from the points of each market: kind, quote, volume."""
    count = len(entries)
    volumes = np.fromiter((one.volume for one in entries), float, count)
    sizes = np.fromiter((len(one.fqme) for one in entries), int, count)
    longest = int(sizes.max(initial=1))
    names = np.fromiter((one.fqme for one in entries), f"U{longest}", count)
    rank = np.empty(count)
    rank[np.lexsort((names, sizes, -volumes))] = np.arange(count) / max(count, 1)
    fixed = np.fromiter((_fixed_cost(one.kind, one.quote) for one in entries), float)
    return fixed + _VOLUME_COST * rank


def _fixed_cost(kind: str, quote: str) -> float:
    if kind in _CASH:
        steps = 0
    elif kind == "perpetual_future":
        steps = 1
    else:
        steps = 3 if kind in _OPTIONS else 2
    quote_steps = 0 if quote in _DOLLARS else 1 if quote in _MAJORS else 2
    return _KIND_COST * steps + _QUOTE_COST * quote_steps


def _words_of(one: Entry) -> dict[str, int]:
    """Return what a market can be found by: words, and the field of each."""
    fields: dict[str, int] = {}
    for field, text in _texts(one):  # the fields that are worth most come first
        for word in _RUN.findall(text.casefold()):
            fields.setdefault(word, field)
    return fields


def _texts(one: Entry) -> Iterator[tuple[int, str]]:
    pair, *rest = one.fqme.split(".")
    names = {(pair, one.base or pair)}
    for alias in one.aliases:
        other = alias.partition(".")[0]
        names.add((other, other.removesuffix(one.quote) if one.quote else other))
    for name, base in tuple(names):
        if base in _OTHER_NAMES:
            other = _OTHER_NAMES[base]
            names.add((name.replace(base, other, 1), other))
    for name in chain(*names):
        yield _NAME, name.replace("_", "").replace("-", "")
        yield _NAME, name
    for part in rest:
        yield _PART, part.replace("_", "")
    yield _TEXT, f"{one.quote} {one.kind} {one.description}"
