"""An index of the words that rows of a table hold, for search as one types.

    rows' words --WordIndex()--> distinct words, shortest first, as one string of bytes
    a word      --.rate()------> points by row: the best of its words' points

A word is met exactly, at its beginning, inside, or, misspelt, nearly. The string is
scanned with numpy, letter by letter, so the cost hardly depends on how much is found.
Nothing here sorts long lists of objects: that would hold up a thread beside it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]  # by row, 0 where nothing fits
_Levels = npt.NDArray[np.uint8]  # by distinct word: how it is met, as below

#: Columns of the table of points: not met, inside, begins, equal, 1 and 2 letters off.
LEVELS: Final = 6
_INSIDE, _BEGINS, _EQUAL, _OFF = 1, 2, 3, 3  # n letters off is _OFF + n
#: A shorter word can't be misspelt; one of `_TWO_OFF_CHARS` may have two wrong letters.
MISSPELT_CHARS: Final = 3
_TWO_OFF_CHARS = 5

_ALPHABET: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", np.uint8)
_BITS: Final = np.zeros(256, np.uint64)
_BITS[_ALPHABET] = np.uint64(1) << np.arange(len(_ALPHABET), dtype=np.uint64)


class WordIndex:
    """Words by row, each in a field that says what it is worth there."""

    def __init__(
        self,
        uses: Iterable[tuple[str, int, int]],
        rows: int,
        points: npt.NDArray[np.uint8],
    ) -> None:
        """Index the words.

        Args:
          uses: word, row, field; by ascending row.
          rows: how many there are.
          points: what a word that is met is worth, shape (fields, LEVELS).
        """
        self._rows = rows
        self._points = points.ravel()
        seen: dict[str, int] = {}
        words, in_rows, in_fields = array("i"), array("i"), array("B")
        for word, row, field in uses:
            words.append(seen.setdefault(word, len(seen)))
            in_rows.append(row)
            in_fields.append(field * LEVELS)
        rows_of_uses = np.array(in_rows)
        self._firsts = np.flatnonzero(np.diff(rows_of_uses, prepend=-1))
        self._filled = rows_of_uses[self._firsts]
        self._use_field = np.array(in_fields)
        told = list(seen)
        chars = np.fromiter((len(word) for word in told), np.int64)
        order = np.argsort(chars, kind="stable")
        self._words = [told[at] for at in order]
        self._numbers = {word: number for number, word in enumerate(self._words)}
        self._chars = chars[order]
        renumber = np.empty(len(order), np.intp)
        renumber[order] = np.arange(len(order))
        self._use_word = renumber[np.array(words)]
        self._join()

    def _join(self) -> None:
        raw = [word.encode() for word in self._words]
        sizes = np.fromiter((len(one) + 1 for one in raw), np.int64)
        self._starts = np.cumsum(sizes) - sizes
        # padded, so that looking ahead from the last word stays inside
        pad = bytes(int(sizes.max(initial=1)))
        self._bytes = np.frombuffer(b"\0".join((*raw, pad)), np.uint8)
        self._word_at = np.repeat(np.arange(len(raw), dtype=np.int32), sizes)
        bits = _BITS[self._bytes]
        self._letters = np.bitwise_or.reduceat(bits, self._starts) if raw else bits[:0]

    def rate(self, word: str) -> Points:
        """Return the points of each row for a *word* that is spelt right."""
        levels = np.zeros(len(self._words), np.uint8)
        places = self._find(word.encode())
        numbers = self._word_at[places]
        levels[numbers] = _INSIDE
        levels[numbers[self._starts[numbers] == places]] = _BEGINS
        if word in self._numbers:
            levels[self._numbers[word]] = _EQUAL
        return self._rate(levels)

    def rate_misspelt(self, word: str) -> Points:
        """Return the points of each row for a *word* with a letter or two wrong."""
        off = 2 if len(word) >= _TWO_OFF_CHARS else 1
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        levels = np.zeros(len(self._words), np.uint8)
        numbers = self._alike(word, off)
        words = [self._words[number] for number in numbers]
        near = process.extract(
            word, words, scorer=OSA.distance, score_cutoff=off, limit=None
        )
        for _, letters, at in near:
            levels[numbers[at]] = _OFF + letters if letters else _EQUAL
        return self._rate(levels)

    def _alike(self, word: str, off: int) -> npt.NDArray[np.int64]:
        """Return the numbers of words that may be *off* letters from *word*.

        Each letter that only one of two words has takes a change at least.
        """
        first, last = np.searchsorted(
            self._chars, [len(word) - off, len(word) + off + 1]
        )
        raw = np.frombuffer(word.encode(), np.uint8)
        letters = np.bitwise_or.reduce(_BITS[raw])
        others = self._letters[first:last]
        lacking = np.bitwise_count(letters & ~others)
        beyond = np.bitwise_count(others & ~letters)
        return np.flatnonzero((lacking <= off) & (beyond <= off)) + first

    def _find(self, word: bytes) -> npt.NDArray[np.int64]:
        """Return where *word* stands in the string of all words, ascending."""
        places = np.flatnonzero(self._bytes[: len(self._word_at)] == word[0])
        for at in range(1, len(word)):
            if not len(places):
                break
            places = places[self._bytes[places + at] == word[at]]
        return places

    def _rate(self, levels: _Levels) -> Points:
        # every use each time, in bytes: that is quicker than to pick those that are met
        worth = self._points.take(self._use_field + levels.take(self._use_word))
        points = np.zeros(self._rows)
        if len(worth):
            points[self._filled] = np.maximum.reduceat(worth, self._firsts)
        return points
