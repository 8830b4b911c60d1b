"""Tables of cells: columns as wide as they need, the least of them left out first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ._cells import Ink, Row, Segment, padded, shortened

_GAP: Final = 2
#: Cells that are left of a name at least.
_LEAST_WORD: Final = 8


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: its head.
      is_right: flush right, as numbers are.
      rank: 0 stays; of the others the highest is left out first.
      most: cells that it takes at most.
    """

    title: str
    is_right: bool = False
    rank: int = 0
    most: int = 40


Cells = Sequence[tuple[str, Ink]]


def table(
    title: str,
    columns: Sequence[Column],
    lines: Sequence[Cells],
    size: tuple[int, int],
    inks: tuple[Ink, Ink],
) -> list[Row]:
    """Return a table.

    Args:
      title: left of the columns' heads, in the first row.
      columns: of each line.
      lines: from the top; where there is no room the number of the others is told.
      size: width and rows.
      inks: of the title, and of the heads.
    """
    width, height = size
    if height <= 0:
        return []
    room = height - 1
    hidden = max(len(lines) - room, 0)
    if hidden:  # the last row says how many more there are
        hidden += 1
    shown = lines[: len(lines) - hidden]
    kept, widths = _kept(columns, shown, width - 1)
    rows = [_head(title, columns, kept, widths, width, inks)]
    rows += [_line(columns, line, kept, widths, width, inks[1]) for line in shown]
    if hidden and room:
        rows.append(padded([(f" … {hidden} more", inks[1])], width, inks[1]))
    rows += [padded([], width, inks[1])] * (height - len(rows))
    return rows[:height]


def _kept(
    columns: Sequence[Column], lines: Sequence[Cells], width: int
) -> tuple[list[int], list[int]]:
    """Return which columns there is room for, and how wide each column is."""
    widths = [
        min(max([len(line[i][0]) for line in lines], default=0), column.most)
        for i, column in enumerate(columns)
    ]
    kept = [i for i in range(len(columns)) if widths[i] or not lines] or [0]
    while len(kept) > 1 and _total(kept, widths) > width:
        worst = max(kept, key=lambda i: (columns[i].rank, i))
        if not columns[worst].rank:
            break
        kept.remove(worst)
    surplus = _total(kept, widths) - width
    words = [i for i in kept if not columns[i].is_right]
    if surplus > 0 and words:  # numbers aren't cut, names may be
        widest = max(words, key=lambda i: widths[i])
        widths[widest] = max(widths[widest] - surplus, _LEAST_WORD)
    # heads need room too, where there is some left
    for i in kept:
        spare = width - _total(kept, widths)
        want = len(columns[i].title) - widths[i]
        widths[i] += min(max(want, 0), max(spare, 0))
    return kept, widths


def _total(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[i] for i in kept) + _GAP * (len(kept) - 1)


def _head(
    title: str,
    columns: Sequence[Column],
    kept: Sequence[int],
    widths: Sequence[int],
    width: int,
    inks: tuple[Ink, Ink],
) -> Row:
    """Return the heads of the columns; the title stands over the first."""
    line = [(f" {title}"[:width], inks[0])]
    at = len(line[0][0])
    begin = 1
    for i in kept:
        end = begin + widths[i]
        text = columns[i].title[: widths[i]]
        x = end - len(text) if columns[i].is_right else begin
        if text and x > at:
            line += [(" " * (x - at), inks[1]), (text, inks[1])]
            at = x + len(text)
        begin = end + _GAP
    return padded(line, width, inks[1])


def _line(
    columns: Sequence[Column],
    cells: Cells,
    kept: Sequence[int],
    widths: Sequence[int],
    width: int,
    blank: Ink,
) -> Row:
    line: list[Segment] = [(" ", blank)]
    for number, i in enumerate(kept):
        text, ink = cells[i]
        text = shortened(text, widths[i])
        pad = " " * (widths[i] - len(text))
        line += [(" " * _GAP, blank)] * (number > 0)
        line += (
            [(pad, blank), (text, ink)]
            if columns[i].is_right
            else [(text, ink), (pad, blank)]
        )
    return padded(line, width, blank)
