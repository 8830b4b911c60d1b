"""All instruments that follow one market of the tape, and how its trades are dealt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from ._deribit_family import Family
from ._deribit_series import Deal, Series
from ._tape import Market


class Group:
    """All instruments that follow one market of the tape.

    Attributes:
      source: the market.
      direct: that have all its trades.
      derived: the rest.
    """

    def __init__(
        self, source: Market, family: Family, ids: dict[str, Iterator[int]]
    ) -> None:
        self.source = source
        first = source.first_tid
        of = [ids.setdefault(one.currency, count(first * 4)) for one in family.direct]
        self.direct = [
            Series(one, source, first, own)
            for one, own in zip(family.direct, of, strict=True)
        ]
        self.derived: list[Series] = []
        self._slots: list[Series] = []
        for one, shares in family.derived:
            own = ids.setdefault(one.currency, count(first * 4))
            series = Series(one, source, first // 16 + 1, own)
            self.derived.append(series)
            self._slots += [series] * shares
        self._passed = 0

    @property
    def all(self) -> list[Series]:
        """All of them."""
        return self.direct + self.derived

    def catch_up(self) -> Iterator[tuple[Series, list[Deal]]]:
        """Make deals of all prints that passed since the last time."""
        prints = self.source.prints
        while self._passed < len(prints):
            item = prints[self._passed]
            self._passed += 1
            touched = list(self.direct)
            if self._slots:  # a stride, so that neighbours don't trade in a row
                touched.append(self._slots[item.agg_id * 37 % len(self._slots)])
            for series in touched:
                if series.is_active:
                    yield series, series.follow(item)
