"""Cells of a terminal: what is drawn, as values, before any toolkit sees it.

    put(x, y, text, ink) --> Grid --rows()--> rows of (text, ink), equal inks joined

Pure. A colour is ``#rrggbb``. Each character takes one cell: what comes from elsewhere,
e.g. a venue's words, goes through :func:`one_cell` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from rich.cells import cell_len

_MOST_TEXT: Final = 600


class Ink(NamedTuple):
    """How a character looks.

    Attributes:
      fore: colour of the character.
      back: colour behind it.
      bold: drawn fat.
    """

    fore: str
    back: str
    bold: bool = False


Segment = tuple[str, Ink]
Row = tuple[Segment, ...]


class Grid:
    """A rectangle of cells.

    Attributes:
      width: columns.
      height: rows.
      ink: of a cell that nothing was put on.
    """

    def __init__(self, width: int, height: int, ink: Ink) -> None:
        """Begin with blanks."""
        self.width, self.height, self.ink = max(width, 0), max(height, 0), ink
        self._chars = [[" "] * self.width for _ in range(self.height)]
        self._inks = [[ink] * self.width for _ in range(self.height)]

    def put(self, x: int, y: int, text: str, ink: Ink) -> None:
        """Put text on a row; what lies outside is left out."""
        if not 0 <= y < self.height or x >= self.width:
            return
        if x < 0:
            text, x = text[-x:], 0
        text = text[: self.width - x]
        if text:
            self._chars[y][x : x + len(text)] = text
            self._inks[y][x : x + len(text)] = [ink] * len(text)

    def put_under(self, x: int, y: int, char: str, ink: Ink) -> None:
        """Put one character where there is none yet."""
        if self.is_blank(x, y):
            self._chars[y][x] = char
            self._inks[y][x] = ink

    def is_blank(self, x: int, y: int) -> bool:
        """Tell whether a cell lies inside, and nothing was put there."""
        is_inside = 0 <= y < self.height and 0 <= x < self.width
        if not is_inside or self._chars[y][x] != " ":
            return False
        return self._inks[y][x] == self.ink  # the blanks of a label have its own

    def paste(self, other: Grid) -> None:
        """Put all cells of a grid that is no larger at the top left."""
        for row, (chars, inks) in enumerate(other.cells()):
            self._chars[row][: len(chars)] = chars
            self._inks[row][: len(inks)] = inks

    def cells(self) -> Iterator[tuple[list[str], list[Ink]]]:
        """Yield the characters and the inks of each row."""
        yield from zip(self._chars, self._inks, strict=True)

    def rows(self) -> list[Row]:
        """Return what was put, from the top."""
        return [_joined(chars, inks) for chars, inks in self.cells()]


def _joined(chars: list[str], inks: list[Ink]) -> Row:
    """Return segments of equal ink."""
    row, at = [], 0
    for ink, same in groupby(inks):
        end = at + sum(1 for _ in same)
        row.append(("".join(chars[at:end]), ink))
        at = end
    return tuple(row)


# -- rows -----------------------------------------------------------------------------


def width_of(row: Iterable[Segment]) -> int:
    """Return how many cells segments take."""
    return sum(len(text) for text, _ in row)


def padded(row: Iterable[Segment], width: int, ink: Ink) -> Row:
    """Return segments cut or filled up to a width."""
    out: list[Segment] = []
    left = width
    for text, each in row:
        if left <= 0:
            break
        if text:
            out.append((text[:left], each))
            left -= len(text)
    if left > 0:
        out.append((" " * left, ink))
    return tuple(out)


def text_of(rows: Iterable[Row]) -> str:
    """Return the characters of rows alone, a line each."""
    return "\n".join("".join(text for text, _ in row) for row in rows)


class Piece(NamedTuple):
    """A part of a line that may have to go.

    Attributes:
      row: its segments.
      rank: 0 stays; of the others the highest goes first.
    """

    row: Row
    rank: int = 0


def fitted(pieces: Sequence[Piece], width: int, ink: Ink, gap: str = "  ") -> Row:
    """Return a line of pieces; the least of them are left out if there is no room."""
    kept = [piece for piece in pieces if piece.row]
    while len(kept) > 1 and _line_width(kept, gap) > width:
        worst = max(piece.rank for piece in kept)
        if worst == 0:
            break
        # of equal ones the last
        at = max(i for i, piece in enumerate(kept) if piece.rank == worst)
        del kept[at]
    line: list[Segment] = []
    for i, piece in enumerate(kept):
        line += [(gap, ink)] * (i > 0)
        line += piece.row
    return padded(line, width, ink)


def _line_width(pieces: Sequence[Piece], gap: str) -> int:
    return sum(width_of(piece.row) for piece in pieces) + len(gap) * (len(pieces) - 1)


# -- text -----------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def one_cell(text: str) -> str:
    """Return text in which each character takes one cell; others are shown as ``?``."""
    return "".join(map(_shown, " ".join(text[:_MOST_TEXT].split())))


def _shown(char: str) -> str:
    if char.isascii():
        return char if char.isprintable() else "?"
    return char if char.isprintable() and cell_len(char) == 1 else "?"


def shortened(text: str, width: int) -> str:
    """Return text that is no longer than *width*; the end of what was cut is a dot."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"[:width]


# -- colours --------------------------------------------------------------------------


@lru_cache(maxsize=256)
def solid(color: str, back: str) -> str:
    """Return the colour of *color*, which may let some of *back* through, over it."""
    if len(color) == 7:
        return color
    alpha, *over = bytes.fromhex(color[1:])
    under = bytes.fromhex(back[1:])
    mixed = (
        round(one * alpha / 255 + other * (1 - alpha / 255))
        for one, other in zip(over, under, strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)
